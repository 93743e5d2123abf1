"""Our store with the service's own worker loop. Arguments: URL, seconds of a step, lease."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.build import Build, BuildFailed, BuildStarted, RunBuild, StartBuild
from watcher.core.jobs import Event, JobKind
from watcher.engine import Worker
from watcher.ports import StillOurs


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


async def main(url: str, step_seconds: float, lease_seconds: float) -> None:
    client = from_url(url)

    async def start(job: Build, action: StartBuild, still_ours: StillOurs) -> Event:
        return BuildStarted()

    async def step(job: Build, action: RunBuild, still_ours: StillOurs) -> Event:
        await client.execute_command("RPUSH", "begun", f"{os.getpid()} {time.time()}")  # type: ignore[no-untyped-call]
        await asyncio.sleep(step_seconds)
        return BuildFailed("that was the step")

    await Worker(
        name=str(os.getpid()),
        kinds=(JobKind.BUILD,),
        store=RedisStore(client),
        handlers={StartBuild: start, RunBuild: step},
        clock=_Clock(),
        lease_seconds=lease_seconds,
    ).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))

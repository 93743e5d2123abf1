"""State transitions through the store: saved, indexed and audited, in one process, over a socket.

As the service does it: several workers in one loop, each with a job under its lease, committing one
step after the other and keeping the lease. The server is the one that `relayer run` would start,
with its settings; `everysec` beside it shows what the safer way of writing costs.
"""

import asyncio
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.contract.stores import a_build, entry
from watcher.clients.store.embedded import embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.jobs import JobKind
from watcher.ports import Change, Leased

WORKERS = 16
STEPS = 500
ROUNDS = 3


async def _steps(store: RedisStore, leased: Leased) -> None:
    version = leased.version
    line = entry(leased.job)
    for _ in range(STEPS):
        change = Change(job=leased.job, expected=version, fence=leased.fence, keep_lease=True)
        (version,) = await store.commit([change], [line])


async def _round(store: RedisStore, number: int) -> float:
    leases = []
    for worker in range(WORKERS):
        job = a_build(f"b{number}-{worker}")
        await store.commit([Change(job=job, expected=0)], [])
        leased = await store.claim("bench", 600, [JobKind.BUILD])
        assert leased is not None
        leases.append(leased)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for leased in leases:
            group.create_task(_steps(store, leased))
    return WORKERS * STEPS / (time.perf_counter() - began)


async def _measure() -> dict[str, object]:
    with TemporaryDirectory(prefix="relayer-bench-") as directory:
        async with embedded(Path(directory), alone=True) as server:
            client = from_url(server.url)
            store = RedisStore(client)
            safe = [await _round(store, number) for number in range(ROUNDS)]
            await client.config_set("appendfsync", "everysec")
            lax = [await _round(store, ROUNDS + number) for number in range(ROUNDS)]
            info = await client.info("server")
            await client.aclose()
    return {
        "transitions_per_second": round(max(safe)),
        "transitions_per_second_everysec": round(max(lax)),
        "workers": WORKERS,
        "server": f"{info.get('server_name', 'redis')} {info['redis_version']}",
    }


def run() -> dict[str, object]:
    return asyncio.run(_measure())


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

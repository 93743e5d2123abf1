"""The courier in a process of its own, as the service joins it, for updates only.

`python -m bench.letters_courier REDIS_URL API_URL TOKEN UPDATES CHANNEL…`, until it is terminated.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.letters import chat_settings
from watcher import logs
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.sink import SlackSink
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.clock import SystemClock
from watcher.settings import Settings
from watcher.telling.cards import Cards
from watcher.telling.courier import Courier
from watcher.telling.subjects import Subjects
from watcher.telling.updates import UpdateLetters


@dataclass(slots=True)
class Leading:
    """This replica leads, all the time."""

    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    process: "subprocess.Popen[bytes]"

    def rss_mib(self) -> float:
        """Memory of the courier's process now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def couriering(redis: str, api: str, token: str, updates: int, *channels: str) -> Iterator[Running]:
    """Run it while inside."""
    words = [redis, api, token, str(updates), *channels]
    with subprocess.Popen([sys.executable, "-m", "bench.letters_courier", *words]) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def courier_of(settings: Settings, store: RedisStore, api: SlackApi) -> Courier:
    clock = SystemClock()
    cards = Cards(settings, store, clock)

    async def nothing(*_: str) -> Any:
        raise AssertionError("only updates are marked here")

    subjects = Subjects(
        store=store, updates=UpdateLetters(settings, cards), fleet=nothing, digest=nothing
    )
    return Courier(
        outbox=store.outbox,
        sinks={"slack": SlackSink(api)},
        letters_of=subjects.letters_of,
        leadership=Leading(),
        clock=clock,
    )


async def main() -> None:
    redis, url, token, updates, *channels = sys.argv[1:]
    logs.configure("error", stream=sys.stderr)
    settings = chat_settings(*channels, approver="token:ann", pools=int(updates), nudges=False)
    async with SlackApi.opened(lambda: token, api_url=url) as api:
        await courier_of(settings, RedisStore(from_url(redis)), api).run()


if __name__ == "__main__":
    asyncio.run(main())

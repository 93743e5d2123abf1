"""Open the store that the settings name: a Redis server, or the embedded one.

Checked at the start: a store that forgets on restart or evicts what was approved is refused.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from watcher.clients.store.embedded import Server, embedded
from watcher.clients.store.redis_connect import check, from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.clients.store.warnings import warn
from watcher.ports import Refused
from watcher.settings import RedisSettings


@asynccontextmanager
async def opened(
    settings: RedisSettings, *, state_dir: Path, alone: bool = False
) -> AsyncIterator[RedisStore]:
    """Yield the store, checked. Raise Transient if it does not answer, Refused if it is unsafe.

    `alone`: be the owner of the embedded server or raise Refused, as a service must; commands
    beside it join the running server.
    """
    async with opened_with_server(settings, state_dir=state_dir, alone=alone) as (store, _):
        yield store


@asynccontextmanager
async def opened_with_server(
    settings: RedisSettings, *, state_dir: Path, alone: bool = False
) -> AsyncIterator[tuple[RedisStore, Server | None]]:
    """As `opened`, with the embedded server to watch over; None where `redis.url` is set."""
    if settings.url:
        async with _connected(settings.url, settings) as store:
            yield store, None
        return
    async with (
        embedded(state_dir, alone=alone) as server,
        _connected(server.url, settings) as store,
    ):
        yield store, server


@asynccontextmanager
async def _connected(url: str, settings: RedisSettings) -> AsyncIterator[RedisStore]:
    password = None
    if settings.password_file:
        password = await asyncio.to_thread(_password, settings.password_file)
    ca_file = str(settings.ca_file) if settings.ca_file else None
    client = from_url(url, password=password, ca_file=ca_file)
    try:
        for problem in await check(client, allow_unsafe=settings.allow_unsafe):
            warn("unsafe_redis", problem=problem)
        yield RedisStore(client, prefix=settings.prefix)
    finally:
        await client.aclose()


def _password(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"redis.password_file {path} cannot be read") from error

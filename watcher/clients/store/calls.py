"""Calls to Redis: held to their time, and scripts by their hash, sent again when it forgot them.

A script is one atomic step of Redis; that is why every change of the store is one.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from watcher.clients.store.redis_errors import translated
from watcher.clients.store.rows import milliseconds
from watcher.ports import Clock

Argument = bytes | str | int

ANSWER_SECONDS = 5.0
"""No call may hang: a worker that is stuck would lose its lease without knowing."""


@asynccontextmanager
async def answered(within_seconds: float) -> AsyncIterator[None]:
    """Hold a call to Redis to its time; raise Transient or Refused.

    In place of redis-py's own `socket_timeout`: that sends with `asyncio.wait_for`, which before
    Python 3.12 loses a cancellation that arrives while the sending has just ended (cpython
    gh-86296), and then a worker that is told to stop goes on waiting for work.
    """
    with translated():
        async with asyncio.timeout(within_seconds):
            yield


@cache
def _text(name: str) -> tuple[str, str]:
    """Return the script's source and its hash."""
    folder = files(__package__)
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
    # Not for security: it is the name under which Redis keeps a script.
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Calls:
    """Runs commands and scripts on one prefix."""

    def __init__(
        self, client: Redis, prefix: str, *, clock: Clock | None, answer_seconds: float
    ) -> None:
        """`clock` replaces the server's time in scripts."""
        self._execute: Any = client.execute_command  # untyped in redis-py
        # The braces put every key into one slot of a Redis Cluster, so that scripts work there.
        self._tag = f"{{{prefix}}}"
        self._clock = clock
        self._answer_seconds = answer_seconds

    @property
    def longest_block_ms(self) -> int:
        """How long one read may block: silence must not be taken for a dead server. 2 s of 5."""
        return round(self._answer_seconds * 400)

    def key(self, name: str) -> str:
        """Return the whole name of a key."""
        return f"{self._tag}:{name}"

    async def do(self, command: str, *arguments: Argument) -> Any:
        """Run one command; raise Transient or Refused."""
        async with answered(self._answer_seconds):
            return await self._execute(command, *arguments)

    async def run(self, name: str, *arguments: Argument) -> Any:
        """Run `<name>.lua` with the time and these; raise Transient or Refused."""
        source, digest = _text(name)
        now: Argument = "" if self._clock is None else milliseconds(self._clock.now())
        async with answered(self._answer_seconds):
            try:
                return await self._execute("EVALSHA", digest, 1, self._tag, now, *arguments)
            except NoScriptError:  # a restarted or flushed server, or a replica that took over
                return await self._execute("EVAL", source, 1, self._tag, now, *arguments)

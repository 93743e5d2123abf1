"""The outbox in Redis: marks are made in the very scripts that change what people are told."""

import asyncio
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from watcher.clients import codec
from watcher.clients.store.calls import Calls
from watcher.clients.store.rows import DELIVERED_SECONDS, as_milliseconds, changed_meanwhile
from watcher.core.letters import Delivered, Mark


class RedisOutbox:
    """`watcher.ports.Outbox` beside the store with the same calls."""

    def __init__(self, redis: Calls) -> None:
        self._redis = redis
        self._read: WeakKeyDictionary[asyncio.Task[Any], bytes] = WeakKeyDictionary()
        """The last ring that a task may have heard before it last read."""

    async def mark(self, *subjects: str) -> None:
        if subjects:
            await self._redis.run("mark", *subjects)

    async def marked(self, limit: int) -> list[Mark]:
        bell, *found = await self._redis.run("marked", max(0, limit))
        if task := asyncio.current_task():
            self._read[task] = bell
        return [
            Mark(subject=subject.decode(), rev=int(rev))
            for subject, rev in zip(found[::2], found[1::2], strict=True)
        ]

    async def clear(self, mark: Mark) -> bool:
        return bool(await self._redis.run("clear", mark.subject, mark.rev))

    async def wait_marked(self, timeout_seconds: float) -> None:
        """To be called by the task that read; one that never did returns at once if it should."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_seconds
        task = asyncio.current_task()
        assert task is not None
        if task not in self._read and await self.marked(1):
            return
        bell, key = self._read[task], self._redis.key("mark-bell")
        while (left := end - loop.time()) > 0:
            block = max(1, round(min(left * 1000, self._redis.longest_block_ms)))
            if await self._redis.do("XREAD", "BLOCK", block, "STREAMS", key, bell):
                return

    async def delivered(self, subject: str) -> dict[str, Delivered]:
        found = await self._redis.do("HGETALL", self._redis.key(f"delivered:{subject}"))
        return {
            key.decode(): codec.decode_delivered(record, subject) for key, record in found.items()
        }

    async def save(self, subject: str, letter: Delivered) -> Delivered:
        saved = replace(letter, version=letter.version + 1)
        record, kept = codec.encode_delivered(saved), as_milliseconds(DELIVERED_SECONDS)
        answer = await self._redis.run("letter", subject, letter.key, letter.version, record, kept)
        match answer[0]:
            case b"conflict":
                raise changed_meanwhile(subject, letter.key, int(answer[1]))
            case b"unreadable":
                raise codec.UnreadableRecord(f"what was delivered of {subject} cannot be read")
        return saved

"""The outbox in memory, with the promises of the one in Redis."""

import asyncio
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from watcher.clients import codec
from watcher.clients.store.rows import (
    DELIVERED_SECONDS,
    as_milliseconds,
    changed_meanwhile,
    milliseconds,
)
from watcher.core.letters import Delivered, Mark
from watcher.ports import Clock


class MemoryOutbox:
    """`watcher.ports.Outbox` that ends with the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._marks: dict[str, int] = {}
        """Subject → when it was marked first since it was cleared."""
        self._revs: dict[str, int] = {}
        """Subject → how often it was ever marked; a clear leaves it, see `prelude.lua`."""
        self._delivered: dict[str, dict[str, bytes]] = {}
        self._kept_until: dict[str, int] = {}
        self._bell = asyncio.Event()
        self._read: WeakKeyDictionary[asyncio.Task[Any], asyncio.Event] = WeakKeyDictionary()
        """The bell that a task waits for since it last read."""

    async def mark(self, *subjects: str) -> None:
        self.mark_now(*subjects)

    def mark_now(self, *subjects: str) -> None:
        """Mark within a step of the store."""
        now = milliseconds(self._clock.now())
        for subject in subjects:
            self._marks.setdefault(subject, now)
            self._revs[subject] = self._revs.get(subject, 0) + 1
        if subjects:
            self._bell.set()
            self._bell = asyncio.Event()

    async def marked(self, limit: int) -> list[Mark]:
        if task := asyncio.current_task():
            self._read[task] = self._bell
        first = sorted(self._marks, key=lambda subject: (self._marks[subject], subject))
        return [Mark(subject=s, rev=self._revs[s]) for s in first[: max(0, limit)]]

    async def clear(self, mark: Mark) -> bool:
        if self._revs.get(mark.subject) != mark.rev:
            return False
        self._marks.pop(mark.subject, None)
        return True

    async def wait_marked(self, timeout_seconds: float) -> None:
        """To be called by the task that read; one that never did returns at once if it should."""
        task = asyncio.current_task()
        assert task is not None
        if task not in self._read and await self.marked(1):
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._read[task].wait()
        except TimeoutError:
            return

    async def delivered(self, subject: str) -> dict[str, Delivered]:
        return {
            key: codec.decode_delivered(record, subject)
            for key, record in self._letters(subject).items()
        }

    async def save(self, subject: str, letter: Delivered) -> Delivered:
        saved = replace(letter, version=letter.version + 1)
        record = codec.encode_delivered(saved)
        letters = self._letters(subject)
        old = letters.get(letter.key)
        version = codec.decode_delivered(old, subject).version if old else 0
        if version != letter.version:
            raise changed_meanwhile(subject, letter.key, version)
        self._delivered.setdefault(subject, letters)[letter.key] = record
        now = milliseconds(self._clock.now())
        self._kept_until[subject] = now + as_milliseconds(DELIVERED_SECONDS)
        return saved

    def _letters(self, subject: str) -> dict[str, bytes]:
        if milliseconds(self._clock.now()) >= self._kept_until.get(subject, 0):
            self._delivered.pop(subject, None)
        return self._delivered.get(subject, {})

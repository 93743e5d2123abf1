"""The time of a simulated cluster: it moves when told, or along with real time at some speed."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

Work = Callable[[], Awaitable[None]]

BEGINNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class SimClock:
    """Work that is due at simulated times, done in order, one piece at a time."""

    def __init__(self, beginning: datetime = BEGINNING) -> None:
        self._beginning = beginning
        self._elapsed = 0.0
        self._due: list[tuple[float, int, Work]] = []
        self._order = count()
        self._woken = asyncio.Event()
        self._follow: Callable[[], float] | None = None
        """While time follows real time: simulated seconds since the last call."""

    def now(self) -> datetime:
        return self._beginning + timedelta(seconds=self._elapsed)

    def after(self, seconds: float, work: Work) -> None:
        """Do this so many simulated seconds from now."""
        self._catch_up()
        heapq.heappush(self._due, (self._elapsed + seconds, next(self._order), work))
        self._woken.set()

    def _catch_up(self) -> None:
        """Between two pieces of work time passes too, but never past what is due."""
        if self._follow:
            target = self._elapsed + self._follow()
            self._elapsed = min(target, self._due[0][0]) if self._due else target

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, doing everything that becomes due, at its time."""
        target = self._elapsed + seconds
        while self._due and self._due[0][0] <= target:
            due, _, work = heapq.heappop(self._due)
            self._elapsed = max(self._elapsed, due)
            await work()
        self._elapsed = max(self._elapsed, target)

    async def run(self, speed: float) -> None:
        """Follow real time, ``speed`` simulated seconds for each real one, until cancelled."""
        real = asyncio.get_running_loop().time
        last = real()

        def passed() -> float:
            nonlocal last
            seconds, last = (real() - last) * speed, real()
            return seconds

        while True:
            self._woken.clear()
            wait = (self._due[0][0] - self._elapsed) / speed if self._due else 3600.0
            self._follow = passed
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait)):
                    await self._woken.wait()
            self._follow = None
            await self.advance(passed())

"""The hub of open pages: a number that grows when anything that pages show has changed.

Findings tell by themselves; the store is asked, and only while somebody waits. So a change by any
replica is seen by the pages of all, and a service that nobody looks at asks for nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from weakref import WeakSet

from watcher.core.facts import ClusterName
from watcher.ports import Clock, OutsideError, Store
from watcher.shown_drift import is_stale
from watcher.surveys import Surveys

POLL_SECONDS = 0.2
"""How often the store is asked. A person sees a change within half a second of its commit."""
AGAIN_SECONDS = 1.0
"""After the store did not answer."""
SIGHT_SECONDS = 5.0
"""How often it is looked whether a cluster went out of sight, which nobody tells."""
HEARTBEAT_SECONDS = 15.0
"""Below the idle limits of proxies (HAProxy of OpenShift's routes: 30 s)."""
MOST_OPEN = 250
"""Open pages of one replica; each holds a connection."""


class Seat:
    """Held by a stream while it is open."""


@dataclass(slots=True, kw_only=True)
class Live:
    """One for each replica."""

    store: Store
    surveys: Surveys
    clock: Clock
    most_open: int = MOST_OPEN
    monotonic: Callable[[], float] = time.monotonic
    revision: int = 0
    """Of this process: it grows, whatever becomes of the store's own."""
    closed: bool = False
    _seats: WeakSet["Seat"] = field(default_factory=WeakSet)
    _stored: int | None = None
    """The store's number when it last answered; None: it does not."""
    _sight: tuple[object, ...] = ()
    _sight_at: float = float("-inf")
    _asking: bool = False
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.surveys.listen(self._found)

    def seat(self) -> "Seat | None":
        """Return the right to keep one page up to date, for as long as it is held; None: too many.

        It is counted while somebody refers to it, so that no way in which a stream ends, or never
        begins, can lose one.
        """
        if self.closed or len(self._seats) >= self.most_open:
            return None
        taken = Seat()
        self._seats.add(taken)
        return taken

    @property
    def open(self) -> int:
        """How many pages are kept up to date."""
        return len(self._seats)

    def close(self) -> None:
        """End every stream: the service stops."""
        self.closed = True
        self._ring()

    async def fresh(self) -> int:
        """Return the revision as of now, the store's included; a page is made from it."""
        await self._look()
        return self.revision

    async def changes(
        self, seen: int, *, heartbeat_seconds: float = HEARTBEAT_SECONDS
    ) -> AsyncIterator[int]:
        """Yield each revision beyond `seen`, the last again where nothing happened for a while.

        Ends when the service stops.
        """
        while not self.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(heartbeat_seconds):
                    await self._beyond(seen)
            if not self.closed:
                seen = self.revision
                yield seen

    async def _beyond(self, seen: int) -> None:
        """Wait for a revision beyond `seen`. One of those who wait asks the store for all."""
        while self.revision <= seen and not self.closed:
            bell = self._bell
            if self._asking:
                await bell.wait()
                continue
            self._asking = True
            try:
                while self.revision <= seen and not self.closed:
                    answered = await self._look()
                    if self.revision > seen:
                        break
                    await self._rung(POLL_SECONDS if answered else AGAIN_SECONDS)
            finally:
                self._asking = False
                self._ring()  # somebody else goes on asking

    async def _rung(self, timeout_seconds: float) -> None:
        """Wait for the bell: what is found meanwhile is told at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._bell.wait()

    async def _look(self) -> bool:
        """Ask the store, and whether clusters are in sight; return whether the store answered."""
        try:
            stored: int | None = await self.store.revision()
        except OutsideError:
            stored = None
        sight = self._sight
        if self.monotonic() - self._sight_at >= SIGHT_SECONDS:
            self._sight_at, sight = self.monotonic(), self._seen()
        if (stored, sight) != (self._stored, self._sight):
            self._stored, self._sight = stored, sight
            self._grow()
        return stored is not None

    def _seen(self) -> tuple[object, ...]:
        now = self.clock.now()
        return tuple(
            (one.cluster, one.problems, is_stale(one, now=now)) for one in self.surveys.surveyed()
        )

    async def _found(self, cluster: ClusterName) -> None:
        self._grow()

    def _grow(self) -> None:
        self.revision += 1
        self._ring()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

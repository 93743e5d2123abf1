"""How often and how many at once one host is asked, whoever asks.

A registry counts the requests of a whole address, not of a caller: so does this. Nothing waits
here but for a free connection; the seconds to wait are told, and the transport sleeps them.
"""

import asyncio
from collections.abc import Callable

from watcher.clients.registry.calls import Side

BURST_SECONDS = 0.4
"""As many requests as fit this long go out at once: reading one release takes about ten."""
LONGEST_HOLD_SECONDS = 600.0
"""A host that asks for a longer pause is asked again after this one."""


class Pace:
    """Evenly spaced requests with a small burst (a token bucket), and pauses asked for."""

    def __init__(self, per_second: float, *, monotonic: Callable[[], float]) -> None:
        self._gap = 1.0 / per_second
        self._ahead = max(BURST_SECONDS - self._gap, 0.0)
        self._monotonic = monotonic
        self._next = monotonic()
        self._held_until = monotonic()

    def take(self) -> float:
        """Take the next place in the row; return the seconds until it comes."""
        now = self._monotonic()
        place = max(self._next, now)
        self._next = place + self._gap
        return max(place - self._ahead - now, 0.0)

    def hold(self, seconds: float) -> None:
        """Nobody asks for that long; a longer pause said before stays."""
        until = self._monotonic() + min(seconds, LONGEST_HOLD_SECONDS)
        self._held_until = max(self._held_until, until)

    def held(self) -> float:
        """Seconds left of the pause the host asked for."""
        return max(self._held_until - self._monotonic(), 0.0)


class Slot:
    """What a request holds while its answer is open; given back once, however often one says so."""

    def __init__(self) -> None:
        self._back: list[Callable[[], None]] = []

    def holds(self, give_back: Callable[[], None]) -> None:
        self._back.append(give_back)

    def release(self) -> None:
        while self._back:
            self._back.pop()()


class Lane:
    """One host as all callers together use it."""

    def __init__(self, connections: int, pace: Pace) -> None:
        self.pace = pace
        self._users = 0
        self._places = {side: asyncio.Semaphore(connections) for side in Side}
        # With one connection there is nothing to leave to the small calls.
        self._long = {side: asyncio.Semaphore(max(connections - 1, 1)) for side in Side}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost when it is forgotten."""
        return not self._users and not self.pace.held()

    async def enter(self, side: Side, *, is_long: bool) -> Slot:
        """Wait for a connection. Long calls leave the last one to small ones, whose time is short.

        The waiting is counted here and not by httpx: cancelled there, it may lose a connection for
        good (httpcore 1.0: one assigned to a request that is gone is never opened nor closed).
        """
        slot = Slot()
        self._users += 1
        slot.holds(self._leave)
        try:
            for place in [self._long[side]] * is_long + [self._places[side]]:
                await place.acquire()
                slot.holds(place.release)
        except BaseException:
            slot.release()
            raise
        return slot

    def _leave(self) -> None:
        self._users -= 1

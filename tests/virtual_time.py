"""An event loop whose time jumps to the next timer when nothing else is to be done.

So hours of leases and backoffs pass in milliseconds, in the order in which they really would.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from tests.facts import T0, seconds

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.passed_seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Instead of waiting for `timeout`, let it have passed."""
        if timeout is None:
            raise AssertionError("nothing will ever happen: every task waits for another")
        self.passed_seconds += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed_seconds


class LoopClock:
    """The clock of `ports`, showing the loop's time."""

    def now(self) -> datetime:
        return T0 + seconds(asyncio.get_running_loop().time())


def virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)

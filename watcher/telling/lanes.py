"""One lane for each place: what waits to be said there, and when the next may be said.

A lane holds the names of letters, never what they say: that is asked for when its turn comes. So
an outage costs a few bytes for each message, and only the newest state is sent afterwards.
Places do not wait for each other: every lane has its own pace, pauses and backoff.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Item = tuple[str, str]
"""Subject and key of a letter."""

SECONDS_APART: Mapping[str, float] = {
    # Slack takes one message a second in a channel (docs.slack.dev/apis/web-api/rate-limits), and
    # edits of several channels share 50 a minute, which only its Retry-After can tell us.
    "slack": 1.0,
    # A receiver is somebody's small service: what comes after an outage must not be the next one.
    "webhook": 0.1,
}
"""By kind of place. Counted from an answer to the next call: the place has counted by then."""
USUALLY_APART = 1.0
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""Backoff of a place that does not answer: each pause is twice the one before."""
LONGEST_PAUSE_SECONDS = 3600.0
"""The longest pause that a place can ask for: one that names a week is asked again sooner."""
TRIES_IN_FRONT = 3
"""A letter that fails so often in a row goes to the end: its place may choke on this one only."""


def kind_of(place: str) -> str:
    """`slack` or `webhook`."""
    return place.partition(":")[0]


def seconds_apart(place: str) -> float:
    return SECONDS_APART.get(kind_of(place), USUALLY_APART)


def backoff_seconds(failures: int, *, spread: float) -> float:
    """The pause after so many failures in a row; `spread` in [0, 1) takes up to half off."""
    full: float = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(failures - 1, 10))
    return full * (1 - spread / 2)


@dataclass(slots=True)
class Lane:
    """What waits for one place: oldest first, but what is critical before all else.

    After a long outage a lane needs minutes to say everything; that a node is stuck cannot wait
    for that. Each message is named once, so no message overtakes itself.
    """

    place: str
    not_before: float = 0.0
    """In the loop's time."""
    spread: Callable[[], float] = random.random
    twice: deque[str] = field(default_factory=deque)
    """Names of messages that another replica has said too: to be taken back."""
    failures: int = 0
    """In a row, without a pause that the place named itself."""
    _urgent: dict[Item, None] = field(default_factory=dict)
    _usual: dict[Item, None] = field(default_factory=dict)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._usual)

    def add(self, item: Item, *, urgent: bool) -> None:
        """Put it at the end; one that waits already keeps its turn."""
        if urgent:
            self._usual.pop(item, None)
            self._urgent.setdefault(item)
        elif item not in self._urgent:
            self._usual.setdefault(item)
        self._filled.set()

    def add_twice(self, ref: str) -> None:
        self.twice.append(ref)
        self._filled.set()

    def take(self) -> tuple[Item, bool]:
        """The next one, and whether it is urgent. There must be one."""
        queue = self._urgent or self._usual
        item = next(iter(queue))
        del queue[item]
        return item, queue is self._urgent

    def put_back(self, item: Item, *, urgent: bool) -> None:
        """It could not be said: in front again, or at the end if it failed too often."""
        queue = self._urgent if urgent else self._usual
        queue.pop(item, None)
        others = dict(queue)
        queue.clear()
        behind = self.failures > 0 and self.failures % TRIES_IN_FRONT == 0
        queue.update({**others, item: None} if behind else {item: None, **others})
        self._filled.set()

    def clear(self) -> None:
        """Forget what waits; a pause lasts, and what was said twice is still taken back."""
        self._urgent.clear()
        self._usual.clear()

    async def ready(self) -> None:
        """Return when something waits and may be said."""
        while True:
            if not (self or self.twice):
                self._filled.clear()
                await self._filled.wait()
            wait = self.not_before - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.sleep(wait)
            elif self or self.twice:
                return

    def called(self) -> None:
        """A call has ended, well or not: the next one keeps its distance."""
        self._pause(seconds_apart(self.place))

    def failed(self, retry_after_seconds: float | None) -> float:
        """The place did not do it: return how long it is left alone."""
        if retry_after_seconds is not None:
            pause = min(max(0.0, retry_after_seconds), LONGEST_PAUSE_SECONDS)
        else:
            self.failures += 1
            pause = backoff_seconds(self.failures, spread=self.spread())
        self._pause(pause)
        return pause

    def worked(self) -> None:
        self.failures = 0

    def _pause(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self.not_before = max(self.not_before, until)

"""What can go wrong with Slack, on order; and what was asked of it, counted.

A fault is taken before anything is done, in the order in which they were made. Limits are kept by
the double's clock. The longest log is cut, the counters are not: a benchmark runs for minutes.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from simulator.slack.workspace import Json

Kind = Literal["error", "status", "ratelimited", "close", "lose", "hold", "slow"]


@dataclass(slots=True)
class Call:
    """One call of a method, for assertions."""

    method: str
    args: Json
    at: float
    error: str | None = None
    """Slack's word for the refusal, or what a fault did instead of an answer."""


@dataclass(slots=True)
class Fault:
    """Happens to the next `count` calls that fit; None fits all."""

    kind: Kind
    method: str | None = None
    channel: str | None = None
    count: int = 1
    error: str = "internal_error"
    """`error`: Slack's word in a 200."""
    status: int = 500
    retry_after: int = 1
    """`ratelimited`: seconds."""
    seconds: float = 0.0
    """`slow`: how long it really takes before anything is done."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the fault happened to a call."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """`hold`: the call goes on, as if nothing was, once somebody sets this."""

    def fits(self, method: str, channel: str | None) -> bool:
        of_method = self.method in {None, method}
        return self.count > 0 and of_method and self.channel in {None, channel}


@dataclass(slots=True)
class Limit:
    """At most so many calls of a method in so many seconds, to one channel if `per_channel`."""

    method: str
    calls: int
    seconds: float
    per_channel: bool = False
    _times: dict[str, deque[float]] = field(default_factory=dict)

    def wait_seconds(self, method: str, channel: str | None, now: float) -> float:
        """How long one has to wait; 0 if the call may go on, which is then counted."""
        if method != self.method:
            return 0.0
        times = self._times.setdefault(channel or "" if self.per_channel else "", deque())
        while times and times[0] <= now - self.seconds:
            times.popleft()
        if len(times) >= self.calls:
            return times[0] + self.seconds - now
        times.append(now)
        return 0.0


class Faults:
    """Orders for trouble."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []
        self.limits: list[Limit] = []
        self.refuse_links = False
        """Every websocket handshake is answered with 503."""
        self.pongs = True
        """Without, pings of clients get no answer, as over a connection that is only half there."""

    def error(
        self, error: str, *, method: str | None = None, channel: str | None = None, count: int = 1
    ) -> Fault:
        """An answer `ok: false` with any word."""
        return self._order(Fault("error", method, channel, count, error=error))

    def status(
        self,
        status: int = 500,
        *,
        method: str | None = None,
        channel: str | None = None,
        count: int = 1,
    ) -> Fault:
        """An HTTP status with a page instead of JSON."""
        return self._order(Fault("status", method, channel, count, status=status))

    def ratelimited(
        self,
        retry_after: int = 1,
        *,
        method: str | None = None,
        channel: str | None = None,
        count: int = 1,
    ) -> Fault:
        """A 429 with Retry-After."""
        return self._order(Fault("ratelimited", method, channel, count, retry_after=retry_after))

    def close(
        self, *, method: str | None = None, channel: str | None = None, count: int = 1
    ) -> Fault:
        """The connection closes, and nothing was done."""
        return self._order(Fault("close", method, channel, count))

    def lose(
        self, *, method: str | None = None, channel: str | None = None, count: int = 1
    ) -> Fault:
        """It is done, and then the connection closes instead of the answer."""
        return self._order(Fault("lose", method, channel, count))

    def hold(
        self, *, method: str | None = None, channel: str | None = None, count: int = 1
    ) -> Fault:
        """The call waits, before anything is done, until its `released` is set."""
        return self._order(Fault("hold", method, channel, count))

    def slow(
        self,
        seconds: float,
        *,
        method: str | None = None,
        channel: str | None = None,
        count: int = 1,
    ) -> Fault:
        """The call waits so long in real time; tests rather `hold` it."""
        return self._order(Fault("slow", method, channel, count, seconds=seconds))

    def limit(self, method: str, calls: int, seconds: float, *, per_channel: bool = False) -> Limit:
        """A tier: more calls than that are answered 429."""
        limit = Limit(method, calls, seconds, per_channel)
        self.limits.append(limit)
        return limit

    def one_message_a_second(self) -> Limit:
        """Slack's own limit: about one new message a second to a channel."""
        return self.limit("chat.postMessage", 1, 1.0, per_channel=True)

    def clear(self) -> None:
        """No more trouble; what is held goes on."""
        for order in self.orders:
            order.released.set()
        self.orders.clear()
        self.limits.clear()
        self.refuse_links, self.pongs = False, True

    def take(self, method: str, channel: str | None) -> Fault | None:
        """The first fault for this call, used up by one."""
        for order in self.orders:
            if order.fits(method, channel):
                order.count -= 1
                order.arrived.set()
                return order
        return None

    def wait_seconds(self, method: str, channel: str | None, now: float) -> float:
        """How long this call has to wait by the limits; 0 if it may go on."""
        waits = (limit.wait_seconds(method, channel, now) for limit in self.limits)
        return next((seconds for seconds in waits if seconds), 0.0)

    def _order(self, fault: Fault) -> Fault:
        self.orders.append(fault)
        return fault


class Calls:
    """Every call that came, refused or not."""

    def __init__(self, *, longest: int = 10_000) -> None:
        self.log: deque[Call] = deque(maxlen=longest)
        self.unknown: list[str] = []
        """Names of methods that Slack does not have."""
        self._by_method: Counter[str] = Counter()
        self._by_message: Counter[tuple[str, str, str]] = Counter()

    def add(self, call: Call) -> None:
        self.log.append(call)
        self._by_method[call.method] += 1
        if ts := call.args.get("ts"):
            self._by_message[call.method, str(call.args.get("channel")), str(ts)] += 1

    def count(self, method: str, *, channel: str | None = None, ts: str | None = None) -> int:
        """How often a method was called, in all or for one message."""
        if channel is None and ts is None:
            return self._by_method[method]
        if channel is not None and ts is not None:
            return self._by_message[method, channel, ts]
        return len(self.of(method, lambda call: call.args.get("channel") == channel))

    def of(self, method: str, fits: Callable[[Call], bool] = lambda call: True) -> list[Call]:
        """The logged calls of a method, the oldest first."""
        return [call for call in self.log if call.method == method and fits(call)]

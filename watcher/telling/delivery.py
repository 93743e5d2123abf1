"""Make one letter true at its place, so that no crash and no second replica says it twice.

Save, then act: what a call may leave behind is written down before it is made.

- A first delivery saves `trying`. Whoever finds that without a `ref` looks for the message first.
- An edit empties `sent`. Whoever finds that sends the newest content again, even if it is what was
  sent before: something else may have come in between.
- After the call its outcome is saved against the version from before. A Conflict means that
  another replica delivers: a second message is taken back, a stale edit is repaired.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from watcher.core.letters import Body, Delivered, Wanted
from watcher.ports import Clock, Conflict, Outbox, Refused, Sink, Transient
from watcher.telling.lanes import Lane, kind_of
from watcher.telling.standing import Dropped, Due
from watcher.telling.troubles import Troubles

log = structlog.get_logger()
T = TypeVar("T")

SETTLE_SECONDS = 15.0
"""A message that another one tried to post is looked for after this long: its call may still be
under way, and lasts at most 10 s (`ANSWER_SECONDS` of the sinks)."""
REPAIRS = 5
"""So often a stale edit is tried to be made good before the next one of the same message does."""
LONGEST_REASON = 500
LOST = frozenset({"message_not_found", "cant_update_message"})
"""Places' words for: this message is gone for good. Whatever else keeps an edit away may pass (an
app is invited again, a receiver is configured anew), so the next change of the letter is tried."""


class TellingMeter(Protocol):
    """Figures of what was told: a side channel that never raises. `sink`: `slack`, `webhook`."""

    def delivered(self, sink: str) -> None:
        """A message was accepted for the first time."""

    def edited(self, sink: str) -> None:
        """A message was replaced."""

    def failed(self, sink: str) -> None:
        """A call did not do what it should: tried again later, or refused for good."""

    def paused(self, sink: str, seconds: float) -> None:
        """A place is left alone for so long."""

    def waiting(self, letters: int, oldest_seconds: float) -> None:
        """How many letters wait in lanes, and how long the oldest mark has been known here."""


class Leads(Protocol):
    @property
    def is_ours(self) -> bool:
        """Whether this replica delivers."""


class Away(Exception):
    """The place cannot be reached, or asked for a pause."""


class NotOurs(Exception):
    """Another replica delivers now."""


class Later(Exception):
    """This letter has to wait, the place need not."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:.0f} s")
        self.seconds = seconds


class _Nowhere:
    """The sink of places that nobody has configured."""

    def fingerprint(self, body: Body) -> str:
        return "nowhere"

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        raise Refused(f"{place[:80]} is no place that is configured")

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        raise Refused(f"{place[:80]} is no place that is configured")

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        return ""

    async def take_back(self, place: str, ref: str) -> None:
        """Nothing is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    outbox: Outbox
    sinks: Mapping[str, Sink]
    """By kind of place."""
    leadership: Leads
    clock: Clock
    troubles: Troubles
    meter: TellingMeter
    _seen_trying: dict[str, float] = field(default_factory=dict)
    """Nonce → since when (loop's time) we know that somebody tries it; our own at once."""

    def fingerprint(self, wanted: Wanted) -> str:
        return self._sink(wanted.place).fingerprint(wanted.body)

    def forget(self) -> None:
        """Another replica may try the same now."""
        self._seen_trying.clear()

    async def deliver(self, lane: Lane, subject: str, due: Due) -> None:
        """Make one call that says something. Raise Away, NotOurs, Later, or OutsideError of the
        outbox; Conflict after another replica has delivered the same."""
        if due.letter.ref:
            await self._edit(lane, subject, due.wanted, due.letter)
        else:
            await self._post(lane, subject, due)

    async def take_back(self, lane: Lane, ref: str) -> None:
        """Delete what was said twice, whoever leads: it is our own. Raise Away."""
        sink = self._sink(lane.place)
        try:
            await self._call(lane, lambda: sink.take_back(lane.place, ref))
        except Refused as refusal:
            log.warning("said_twice", place=lane.place, ref=ref, cause=str(refusal))

    async def drop(self, subject: str, dropped: Dropped) -> None:
        """Write down why a letter is not delivered. Raise OutsideError of the outbox."""
        log.info("letter_dropped", subject=subject, key=dropped.letter.key, cause=dropped.because)
        reason = dropped.because[:LONGEST_REASON]
        await self.outbox.save(subject, replace(dropped.letter, gone=reason))

    async def _post(self, lane: Lane, subject: str, due: Due) -> None:
        wanted, letter, place = due.wanted, due.letter, due.wanted.place
        sink, content = self._sink(place), self.fingerprint(due.wanted)
        if letter.trying and await self._adopted(lane, subject, due):
            return
        # Saved for each attempt: its version is the attempt's number, whoever makes it.
        nonce = letter.trying or self._new_nonce()
        letter = await self.outbox.save(subject, replace(letter, trying=nonce, gone="", sent=""))
        try:
            ref = await self._call_as_leader(
                lane,
                lambda: sink.post(
                    place,
                    wanted.body,
                    nonce=letter.trying,
                    sequence=letter.version,
                    thread=due.thread,
                    broadcast=wanted.broadcast,
                ),
            )
        except Refused as refusal:
            self._seen_trying.pop(letter.trying, None)
            after = replace(letter, sent=content, trying="")
            return await self._refused(subject, place, after, refusal)
        lane.worked()
        self.meter.delivered(kind_of(place))
        try:
            await self.outbox.save(
                subject, replace(letter, ref=ref, sent=content, trying="", gone="")
            )
        except Conflict:
            newest = await self._newest(subject, letter.key)
            if newest.ref != ref:  # else it was found and adopted: the only one there is
                lane.add_twice(ref)
            raise
        self._seen_trying.pop(letter.trying, None)
        await self.troubles.over(place)

    async def _adopted(self, lane: Lane, subject: str, due: Due) -> bool:
        """Whether an earlier try has arrived after all; then it is saved as what stands."""
        letter, place = due.letter, due.wanted.place
        self._let_settle(letter.trying)
        sink = self._sink(place)
        try:
            ref = await self._call_as_leader(
                lane, lambda: sink.find(place, letter.trying, thread=due.thread)
            )
        except Refused as refusal:
            # It may stand there: `trying` stays, so that a later try looks again.
            after = replace(letter, sent=self.fingerprint(due.wanted))
            await self._refused(subject, place, after, refusal)
            return True
        if not ref:
            return False
        # What it says may be older than what is wanted: `sent` stays empty.
        await self.outbox.save(subject, replace(letter, ref=ref, sent="", trying="", gone=""))
        self._seen_trying.pop(letter.trying, None)
        return True

    async def _edit(self, lane: Lane, subject: str, wanted: Wanted, letter: Delivered) -> None:
        sink, content = self._sink(wanted.place), self.fingerprint(wanted)
        letter = await self.outbox.save(subject, replace(letter, sent=""))
        try:
            await self._call_as_leader(
                lane,
                lambda: sink.edit(wanted.place, letter.ref, wanted.body, sequence=letter.version),
            )
        except Refused as refusal:
            after = replace(letter, sent=content)
            return await self._refused(subject, wanted.place, after, refusal)
        except Away:
            if (await self._newest(subject, letter.key)).version != letter.version:
                await self._distrust(subject, letter.key)
            raise
        lane.worked()
        self.meter.edited(kind_of(wanted.place))
        try:
            await self.outbox.save(subject, replace(letter, sent=content))
        except Conflict:
            await self._distrust(subject, letter.key)
            raise

    async def _distrust(self, subject: str, key: str) -> None:
        """Our edit may have come after the newer one of another replica: have it sent again."""
        for _ in range(REPAIRS):
            newest = await self._newest(subject, key)
            try:
                if newest.sent and not newest.gone:
                    await self.outbox.save(subject, replace(newest, sent=""))
            except Conflict:
                continue
            break
        await self.outbox.mark(subject)

    async def _refused(self, subject: str, place: str, letter: Delivered, refusal: Refused) -> None:
        """Told before it is saved as gone: else a crash in between would leave it untold."""
        self.meter.failed(kind_of(place))
        log.warning("letter_refused", subject=subject, key=letter.key, cause=str(refusal))
        lost = bool(letter.ref) and _word(refusal) in LOST
        await self.troubles.tell(place, refusal, editing=lost)
        reason = str(refusal)[:LONGEST_REASON] or "refused"
        stands = bool(letter.ref) and not lost
        await self.outbox.save(subject, replace(letter, gone="" if stands else reason))

    async def _call_as_leader(self, lane: Lane, work: Callable[[], Awaitable[T]]) -> T:
        if not self.leadership.is_ours:
            raise NotOurs
        return await self._call(lane, work)

    async def _call(self, lane: Lane, work: Callable[[], Awaitable[T]]) -> T:
        """Raise Away instead of Transient, which here would be the outbox's; the lane pauses."""
        try:
            return await work()
        except Transient as error:
            pause, kind = lane.failed(error.retry_after_seconds), kind_of(lane.place)
            self.meter.failed(kind)
            self.meter.paused(kind, pause)
            log.warning("place_away", place=lane.place, in_seconds=round(pause), cause=str(error))
            raise Away(str(error)) from error
        finally:
            lane.called()

    def _let_settle(self, nonce: str) -> None:
        now = asyncio.get_running_loop().time()
        left = self._seen_trying.setdefault(nonce, now) + SETTLE_SECONDS - now
        if left > 0:
            raise Later(left)

    def _new_nonce(self) -> str:
        """It begins with the time of the first try: sinks look for the message since then."""
        nonce = f"{self.clock.now().timestamp():.0f}:{secrets.token_hex(8)}"
        self._seen_trying[nonce] = -SETTLE_SECONDS
        return nonce

    async def _newest(self, subject: str, key: str) -> Delivered:
        return (await self.outbox.delivered(subject)).get(key) or Delivered(key=key)

    def _sink(self, place: str) -> Sink:
        return self.sinks.get(kind_of(place), _NOWHERE)


def _word(refusal: Refused) -> str:
    return str(getattr(refusal, "error", "")) or str(refusal)


_NOWHERE: Sink = _Nowhere()

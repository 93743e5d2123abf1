"""The courier: makes what stands at every place equal to what is wanted there.

Whatever changes marks its subject; the leader compares each marked subject's letters with what was
delivered, queues those that differ in the lanes of their places, and clears the mark once all of
it stands. So an event can be lost, a process can die and a place can be away for hours: the mark
stays, and only the newest is sent. What else is held in memory here can be forgotten at any time.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog

from watcher.core.letters import Letters, Mark, Severity
from watcher.ports import Clock, Conflict, Outbox, OutsideError, Sink, Transient
from watcher.telling import troubles
from watcher.telling.delivery import Away, Delivery, Later, Leads, NotOurs, TellingMeter
from watcher.telling.lanes import Item, Lane, seconds_apart
from watcher.telling.standing import Standing, compare

__all__ = ["Courier", "TellingMeter"]

log = structlog.get_logger()

AT_ONCE = 8
"""Subjects compared side by side: a slow one must not keep the others waiting."""
BATCH = 500
"""So many marks beyond those known are read at a time: however many cannot be delivered, new ones
are seen."""
IDLE_SECONDS = 5.0
"""Without any mark, leadership and marks are looked at this often."""
PAUSE_SECONDS = 0.2
"""Between two readings of marks: a storm of changes is one reading."""
RELOOK_SECONDS = 5.0
"""A subject whose letters wait for their turn anyway is looked at again only so often, however
often it changes: what is said is asked for when its turn comes. Not never, as it may have become
urgent, or want a letter more."""
TICK_SECONDS = 1.0
"""How exactly `again_at` is kept; a letter that asks for the past is looked at no more often."""
AGAIN_SECONDS = 30.0
"""A subject with a fault of ours is looked at again after this long."""
AWAY_SECONDS = 5.0
"""The same while the store, or what letters are made of, is away; and after losing the lead."""
OVERTAKEN_SECONDS = 1.0
"""The same after another replica has delivered."""
LETTERS_SECONDS = 30.0
"""Making letters means a few reads of the store; longer than this it hangs."""


class Unmetered:
    """A `TellingMeter` that counts nothing."""

    def delivered(self, sink: str) -> None: ...
    def edited(self, sink: str) -> None: ...
    def failed(self, sink: str) -> None: ...
    def paused(self, sink: str, seconds: float) -> None: ...
    def waiting(self, letters: int, oldest_seconds: float) -> None: ...


class Courier:
    """Run it in every replica; only the leader's delivers."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        letters_of: Callable[[str], Awaitable[Letters]],
        leadership: Leads,
        clock: Clock,
        fallback: str = "",
        meter: TellingMeter | None = None,
    ) -> None:
        """`sinks` by kind of place. `letters_of` a subject says what it wants now, or raises
        OutsideError. `fallback`: the place where it is told that another takes no messages."""
        self._outbox, self._letters_of = outbox, letters_of
        self._leadership, self._clock = leadership, clock
        self._meter: TellingMeter = meter or Unmetered()
        self._troubles = troubles.Troubles(outbox, fallback, clock)
        self._delivery = Delivery(
            outbox=outbox,
            sinks=sinks,
            leadership=leadership,
            clock=clock,
            troubles=self._troubles,
            meter=self._meter,
        )
        self._lanes: dict[str, Lane] = {}
        self._led_since = 0.0
        """In the loop's time."""
        self._marks: dict[str, Mark] = {}
        """The marks as they were read last."""
        self._known_since: dict[str, datetime] = {}
        """Marked subject → when it was first read here."""
        self._queued_at: dict[str, float] = {}
        """Subject whose letters wait for their turn → when it was looked at (loop time)."""
        self._asked: dict[str, None] = {}
        """Subjects to look at, in order."""
        self._to_look = asyncio.Event()
        self._again: dict[str, datetime] = {}
        self._alarms: list[tuple[datetime, str]] = []
        """A heap; those that `_again` does not know are of no use any more."""

    async def run(self) -> None:
        """Deliver for ever, while the leadership is ours."""
        self._lanes = {}
        self._forget()
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._read_marks())
            self._group.create_task(self._ring())
            for _ in range(AT_ONCE):
                self._group.create_task(self._look_for_ever())

    # --- which subjects to look at ------------------------------------------------------------

    async def _read_marks(self) -> None:
        led = False
        while True:
            if not self._leadership.is_ours:
                led = False
                self._forget()
                await asyncio.sleep(TICK_SECONDS)
                continue
            if not led:
                led = True
                self._begin()
            try:
                await self._read()
                await self._outbox.wait_marked(IDLE_SECONDS)
            except OutsideError as error:
                log.warning("outbox_away", cause=str(error))
                await asyncio.sleep(AWAY_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)

    def _begin(self) -> None:
        """Until now another replica may have said something: each place is given its distance."""
        self._led_since = asyncio.get_running_loop().time()
        for lane in self._lanes.values():
            lane.called()

    async def _read(self) -> None:
        """Ask for a look at every subject that was marked since it was read last."""
        limit = len(self._marks) + BATCH
        marks = await self._outbox.marked(limit)
        if len(marks) < limit:
            present = {mark.subject for mark in marks}
            for subject in self._marks.keys() - present:
                self._unmarked(self._marks[subject])
        for mark in marks:
            if self._marks.get(mark.subject) != mark and not self._waits(mark.subject):
                self._marks[mark.subject] = mark
                self._known_since.setdefault(mark.subject, self._clock.now())
                self._ask(mark.subject)
        self._show()

    def _waits(self, subject: str) -> bool:
        """Whether it was looked at a moment ago, and letters of it wait for their turn since."""
        at = self._queued_at.get(subject)
        return at is not None and asyncio.get_running_loop().time() < at + RELOOK_SECONDS

    def _unmarked(self, mark: Mark) -> None:
        if self._marks.get(mark.subject) == mark:
            del self._marks[mark.subject]
            self._queued_at.pop(mark.subject, None)
            self._known_since.pop(mark.subject, None)

    async def _ring(self) -> None:
        """Mark what wants to be looked at again by now."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self._leadership.is_ours:
                continue
            now = self._clock.now()
            due = []
            while self._alarms and self._alarms[0][0] <= now:
                when, subject = heapq.heappop(self._alarms)
                if self._again.get(subject) == when:
                    del self._again[subject]
                    due.append(subject)
            try:
                await self._outbox.mark(*due)
            except OutsideError as error:
                log.warning("outbox_away", cause=str(error))
                for subject in due:
                    self._retry(subject, AWAY_SECONDS)

    def _set_alarm(self, subject: str, when: datetime | None) -> None:
        if when is None:
            self._again.pop(subject, None)
        elif self._again.get(subject) != when:
            self._again[subject] = when
            heapq.heappush(self._alarms, (when, subject))

    def _retry(self, subject: str, seconds: float) -> None:
        when = self._clock.now() + timedelta(seconds=seconds)
        self._set_alarm(subject, min(when, self._again.get(subject, when)))

    def _forget(self) -> None:
        """Another replica leads; what is marked says everything when it is our turn again."""
        self._marks.clear()
        self._known_since.clear()
        self._queued_at.clear()
        self._asked.clear()
        self._again.clear()
        self._alarms.clear()
        self._delivery.forget()
        self._troubles.forget()
        for lane in self._lanes.values():
            lane.clear()
        self._show()

    # --- looking at one -----------------------------------------------------------------------

    def _ask(self, subject: str) -> None:
        self._asked.setdefault(subject)
        self._to_look.set()

    async def _look_for_ever(self) -> None:
        while True:
            while not self._asked:
                self._to_look.clear()
                await self._to_look.wait()
            subject = next(iter(self._asked))
            del self._asked[subject]
            await self._guarded(subject, self._look(subject))

    async def _look(self, subject: str) -> None:
        """Queue what is to be delivered, or clear the mark if nothing is."""
        mark = self._marks.get(subject)  # from before its letters are asked for
        letters, standing = await self._compare(subject)
        self._set_alarm(subject, letters.again_at)
        for dropped in standing.dropped:
            await self._delivery.drop(subject, dropped)
        if standing.due:
            self._queued_at[subject] = asyncio.get_running_loop().time()
        else:
            self._queued_at.pop(subject, None)
        for due in standing.due:
            urgent = due.wanted.severity is Severity.CRITICAL
            self._lane(due.wanted.place).add((subject, due.wanted.key), urgent=urgent)
        if standing.is_true and mark is not None and await self._outbox.clear(mark):
            self._unmarked(mark)
        self._show()

    async def _compare(self, subject: str) -> tuple[Letters, Standing]:
        async with asyncio.timeout(LETTERS_SECONDS):
            if subject.startswith(troubles.SUBJECT):
                letters = await self._troubles.letters(subject)
            else:
                letters = await self._letters_of(subject)
        delivered = await self._outbox.delivered(subject)
        return letters, compare(letters, delivered, self._delivery.fingerprint)

    async def _guarded(self, subject: str, work: Awaitable[None]) -> bool:
        """Whether it was done; if not, it stays marked and is looked at again. Raise Away."""
        try:
            await work
            return True
        except Away:
            raise
        except Conflict as error:
            log.info("letter_overtaken", subject=subject, cause=str(error))
            self._retry(subject, OVERTAKEN_SECONDS)
        except NotOurs:
            self._retry(subject, AWAY_SECONDS)
        except Later as later:
            self._retry(subject, later.seconds)
        except OutsideError as error:
            log.warning("letters_held_up", subject=subject, cause=str(error))
            seconds = AWAY_SECONDS if isinstance(error, Transient) else AGAIN_SECONDS
            self._retry(subject, seconds)
        except Exception as error:  # a bug of ours: one subject must not keep the others untold
            log.error("letters_crashed", subject=subject, exc_info=error)
            self._retry(subject, AGAIN_SECONDS)
        return False

    # --- delivering ---------------------------------------------------------------------------

    def _lane(self, place: str) -> Lane:
        if place not in self._lanes:
            began = self._led_since + seconds_apart(place)
            self._lanes[place] = Lane(place, not_before=began)
            self._group.create_task(self._serve(self._lanes[place]))
        return self._lanes[place]

    async def _serve(self, lane: Lane) -> None:
        while True:
            await lane.ready()
            if lane.twice:
                await self._take_back(lane)
                continue
            item, urgent = lane.take()
            try:
                delivered = await self._guarded(item[0], self._deliver(lane, item))
            except Away:
                lane.put_back(item, urgent=urgent)
                continue
            if delivered:
                self._ask(item[0])

    async def _deliver(self, lane: Lane, item: Item) -> None:
        """Deliver what is wanted now, which may be nothing any more."""
        subject, key = item
        _, standing = await self._compare(subject)
        if due := standing.due_by(key):
            await self._delivery.deliver(lane, subject, due)

    async def _take_back(self, lane: Lane) -> None:
        try:
            await self._delivery.take_back(lane, lane.twice[0])
        except Away:
            return
        except Exception as error:
            log.error("take_back_crashed", place=lane.place, exc_info=error)
        lane.twice.popleft()

    def _show(self) -> None:
        oldest = next(iter(self._known_since.values()), None)  # put in as they were read
        age = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        self._meter.waiting(sum(map(len, self._lanes.values())), age)

"""The courier, in virtual time: in the end each letter stands once, with its newest content."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, seconds
from tests.virtual_time import LoopClock, virtually
from watcher.clients.store.memory_outbox import MemoryOutbox
from watcher.core.letters import (
    About,
    Body,
    Delivered,
    Letters,
    Notice,
    Severity,
    Wanted,
)
from watcher.ports import Refused, Transient
from watcher.telling.courier import Courier

C1, C2, HOOK, HOME = "slack:C1", "slack:C2", "webhook:x", "slack:C0HOME"
HARDLY = 1e-6
"""What is lost where floats are added."""


def letter(key: str, says: str, **more: Any) -> Wanted:
    """A letter at C1 unless told otherwise; its body names its key, so that it is recognised."""
    made = {"place": C1, "about": About.UPDATE, "body": Notice(cause=key, title="", sentence=says)}
    return Wanted(key=key, **{**made, **more})


@dataclass(slots=True)
class Said:
    """A message as people see it."""

    place: str
    nonce: str
    body: Body
    thread: str
    broadcast: bool
    deleted: bool = False


@dataclass(slots=True)
class Call:
    what: str
    place: str
    key: str
    at: float
    accepted: bool = False


Hook = Callable[[Call], Awaitable[None]]


async def nothing(call: Call) -> None:
    """Let it happen."""


@dataclass(slots=True)
class Places:
    """A sink that keeps what is said. `before`: may refuse or hold; `after`: may lose answers."""

    said: dict[str, Said] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    before: Hook = nothing
    after: Hook = nothing
    down: set[str] = field(default_factory=set)
    names: Any = field(default_factory=lambda: itertools.count(1))

    def fingerprint(self, body: Body) -> str:
        return repr(body)

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        def act() -> str:
            ref = f"m{next(self.names)}"
            self.said[ref] = Said(place, nonce, body, thread, broadcast)
            return ref

        return str(await self._do(Call("post", place, key_of(body), now()), act))

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        def act() -> None:
            if self.said[ref].deleted:
                raise Refused("message_not_found")
            self.said[ref].body = body

        await self._do(Call("edit", place, key_of(body), now()), act)

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        def act() -> str:
            fits = (r for r, m in self.said.items() if m.nonce == nonce and not m.deleted)
            return next(fits, "")

        return str(await self._do(Call("find", place, nonce, now()), act))

    async def take_back(self, place: str, ref: str) -> None:
        def act() -> None:
            self.said[ref].deleted = True

        await self._do(Call("take back", place, ref, now()), act)

    async def _do(self, call: Call, act: Callable[[], str | None]) -> str | None:
        self.calls.append(call)
        await self.before(call)
        if call.place in self.down:
            raise Transient("connection refused")
        done = act()
        await self.after(call)
        if call.place in self.down:
            raise Transient("the answer got lost")
        call.accepted = True
        return done

    def at(self, place: str = C1) -> list[Said]:
        return [m for m in self.said.values() if m.place == place and not m.deleted]

    def made(self, *what: str, place: str = "") -> list[Call]:
        return [c for c in self.calls if c.what in what and (not place or c.place == place)]


class Pointed:
    """An outbox or a sink whose every call is a point before and after, where one may die."""

    def __init__(self, of: Any, point: Callable[[], Awaitable[None]]) -> None:
        self._of, self._point = of, point

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._of, name)
        if name in {"fingerprint", "wait_marked"}:
            return inner

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._point()
            done = await inner(*args, **kwargs)
            await self._point()
            return done

        return call


@dataclass(slots=True)
class Lead:
    is_ours: bool = True


@dataclass(slots=True)
class Figures:
    """A meter."""

    counts: Counter[str] = field(default_factory=Counter)
    letters: int = 0
    oldest: float = 0.0

    def delivered(self, sink: str) -> None:
        self.counts[f"delivered {sink}"] += 1

    def edited(self, sink: str) -> None:
        self.counts[f"edited {sink}"] += 1

    def failed(self, sink: str) -> None:
        self.counts[f"failed {sink}"] += 1

    def paused(self, sink: str, seconds: float) -> None:
        self.counts[f"paused {sink}"] += 1

    def waiting(self, letters: int, oldest_seconds: float) -> None:
        self.letters, self.oldest = letters, oldest_seconds


class World:
    """Subjects that want letters, an outbox, and places; couriers come and go."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox(LoopClock())
        self.places = Places()
        self.figures = Figures()
        self.wanted: dict[str, Letters] = {}
        self.asked: Counter[str] = Counter()
        self.broken: dict[str, Exception] = {}
        """Subject → what asking for its letters raises."""
        self.asking_takes = 0.0

    async def letters_of(self, subject: str) -> Letters:
        self.asked[subject] += 1
        if error := self.broken.get(subject):
            raise error
        letters = self.wanted.get(subject, Letters())
        await asyncio.sleep(self.asking_takes)
        return letters

    async def want(self, subject: str, *wanted: Wanted, again_at: datetime | None = None) -> None:
        self.wanted[subject] = Letters(wanted=wanted, again_at=again_at)
        await self.outbox.mark(subject)

    @asynccontextmanager
    async def courier(
        self,
        lead: Lead | None = None,
        *,
        fallback: str = HOME,
        point: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncIterator[asyncio.Task[None]]:
        outbox: Any = Pointed(self.outbox, point) if point else self.outbox
        places: Any = Pointed(self.places, point) if point else self.places
        courier = Courier(
            outbox=outbox,
            sinks={"slack": places, "webhook": places},
            letters_of=self.letters_of,
            leadership=lead or Lead(),
            clock=LoopClock(),
            fallback=fallback,
            meter=self.figures,
        )
        task = asyncio.create_task(courier.run())
        try:
            yield task
            assert not task.done(), "it delivers for ever"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def quiet(self, longest: float = 4000) -> None:
        """Until nothing is marked any more."""
        async with asyncio.timeout(longest):
            while await self.outbox.marked(1):
                await asyncio.sleep(0.5)

    def check(self) -> None:
        """Each wanted letter stands once, with its newest content, in its thread; at no place were
        there two messages within a second."""
        self.check_rate()
        for letters in self.wanted.values():
            for wanted in letters.wanted:
                standing = [
                    (ref, m)
                    for ref, m in self.places.said.items()
                    if key_of(m.body) == wanted.key and m.place == wanted.place and not m.deleted
                ]
                assert len(standing) == 1, (wanted.key, standing)
                (_, message) = standing[0]
                assert message.body == wanted.body
                thread = self.places.said.get(message.thread)
                assert (key_of(thread.body) if thread else "") == wanted.thread_of

    def check_rate(self) -> None:
        for place in {c.place for c in self.places.calls}:
            times = [c.at for c in self.places.made("post", "edit", place=place)]
            apart = 0.1 if place == HOOK else 1.0
            gaps = [b - a for a, b in itertools.pairwise(times)]
            assert min(gaps, default=apart) > apart - HARDLY, (place, min(gaps))


def key_of(body: Body) -> str:
    return body.cause if isinstance(body, Notice) else type(body).__name__


def now() -> float:
    return asyncio.get_running_loop().time()


def once(error: Exception, what: str, *, times: int = 1) -> Hook:
    """A hook that raises at the first calls of a kind."""
    left = itertools.count(1)

    async def hook(call: Call) -> None:
        if call.what == what and next(left) <= times:
            raise error

    return hook


Scenario = Callable[[World], Awaitable[None]]


def play(scenario: Scenario) -> None:
    virtually(_played(scenario))


async def _played(scenario: Scenario) -> None:
    world = World()
    await scenario(world)
    world.check_rate()


# --- what stands is what is wanted ----------------------------------------------------------


def test_a_letter_is_posted_once_and_edited_as_it_changes() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            for says in ("building", "awaiting", "done"):
                await world.want("u", letter("card", says))
                await world.quiet()
        world.check()
        assert [c.what for c in world.places.calls] == ["post", "edit", "edit"]
        assert world.figures.counts == {"delivered slack": 1, "edited slack": 2}

    play(scenario)


def test_what_has_not_changed_is_not_sent_again() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            for _ in range(3):
                await world.want("u", letter("card", "building"))
                await world.quiet()
        async with world.courier():
            await world.outbox.mark("u")
            await world.quiet()
        assert len(world.places.calls) == 1

    play(scenario)


def test_only_the_newest_of_many_changes_is_sent() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            for number in range(500):
                await world.want("u", letter("card", f"{number} of 500"))
                await asyncio.sleep(0.01)
            await world.quiet()
        world.check()
        assert len(world.places.calls) <= 7  # in 5 s

    play(scenario)


def test_a_change_while_its_letters_are_made_is_not_forgotten() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "a"))
            await world.quiet()
            world.asking_takes = 5
            await world.outbox.mark("u")
            await asyncio.sleep(1)
            await world.want("u", letter("card", "b"))
            await world.quiet()
        world.check()

    play(scenario)


def test_replies_wait_for_their_message_and_stand_in_its_thread() -> None:
    async def scenario(world: World) -> None:
        wanted = [
            letter("details", "events", thread_of="card"),
            letter("nudge", "somebody must look", thread_of="card", broadcast=True, once=True),
            letter("card", "building"),
        ]
        world.places.before = once(Transient("busy"), "post")
        async with world.courier():
            await world.want("u", *wanted)
            await world.quiet()
        world.check()
        assert [key_of(m.body) for m in world.places.at()] == ["card", "details", "nudge"]
        assert [m.broadcast for m in world.places.at()] == [False, False, True]

    play(scenario)


def test_what_is_said_once_is_not_said_or_edited_again() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            for says in ("half a day left", "a quarter left"):
                await world.want("u", letter("nudge", says, once=True))
                await world.quiet()
        assert [c.what for c in world.places.calls] == ["post"]

    play(scenario)


def test_a_letter_that_is_no_longer_wanted_is_left_as_it_stands() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "building"))
            await world.quiet()
            await world.want("u")
            await world.quiet()
        assert len(world.places.at()) == len(world.places.calls) == 1

    play(scenario)


def test_a_letter_for_later_is_delivered_then_without_being_asked_all_the_time() -> None:
    async def scenario(world: World) -> None:
        due = T0 + seconds(7200)
        async with world.courier():
            await world.want("u", again_at=due)
            await asyncio.sleep(7000)
            assert world.asked["u"] == 1
            world.wanted["u"] = Letters(wanted=(letter("reminder", "still waiting"),))
            await asyncio.sleep(210)
        assert 7200 <= world.places.calls[0].at <= 7202

    play(scenario)


def test_a_letter_that_is_always_due_is_asked_for_at_most_once_a_second() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "x"), again_at=T0)
            await asyncio.sleep(60)
        assert world.asked["u"] <= 65

    play(scenario)


def test_a_later_time_replaces_the_earlier_one() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", again_at=T0 + seconds(100))
            await asyncio.sleep(10)
            await world.want("u", again_at=T0 + seconds(1000))
            await asyncio.sleep(500)
        assert world.asked["u"] == 2

    play(scenario)


# --- pace and pauses ------------------------------------------------------------------------


def test_a_place_takes_one_message_a_second_and_places_do_not_wait_for_each_other() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            for number in range(20):
                key = f"card{number}"
                places = (C1, C2, HOOK)
                await world.want(
                    f"u{number}", *(letter(f"{key}@{p}", "x", place=p) for p in places)
                )
            await world.quiet()
        world.check()
        last = {place: world.places.made("post", place=place)[-1].at for place in (C1, C2, HOOK)}
        assert (round(last[C1]), round(last[C2]), round(last[HOOK])) == (20, 20, 2)

    play(scenario)


def test_the_longest_marked_is_told_first_and_what_is_critical_before_it() -> None:
    async def scenario(world: World) -> None:
        for number in range(5):
            await world.want(f"u{number}", letter(f"card{number}", "x"))
            await asyncio.sleep(1)
        await world.want("stuck", letter("stuck", "x", severity=Severity.CRITICAL))
        async with world.courier():
            await world.quiet()
        keys = [c.key for c in world.places.calls]
        assert keys.index("stuck") <= 1
        assert [k for k in keys if k != "stuck"] == [f"card{n}" for n in range(5)]

    play(scenario)


def test_a_pause_that_a_place_asks_for_is_kept_by_all_its_letters_and_by_no_other_place() -> None:
    async def scenario(world: World) -> None:
        refuse = Transient("slow down", retry_after_seconds=30)
        world.places.before = once(refuse, "post")
        async with world.courier():
            await world.want("u1", letter("a", "x"), letter("b", "x"))
            await asyncio.sleep(2)
            await world.want("u2", letter("c", "x", place=C2))
            await world.quiet()
        world.check()
        times = [c.at for c in world.places.made("post", "find", place=C1)]
        assert times[1] - times[0] > 30 - HARDLY
        assert world.places.made("post", place=C2)[0].at < 3
        assert world.figures.counts["paused slack"] == 1

    play(scenario)


def test_after_an_outage_of_ten_minutes_each_changed_message_is_right_with_one_call() -> None:
    async def scenario(world: World) -> None:
        count = 500
        async with world.courier():
            for number in range(count):
                await world.want(f"u{number}", letter(f"card{number}", "before"))
            await world.quiet()
            world.places.down.add(C1)
            world.places.calls.clear()
            for step in range(5):
                for number in range(count):
                    await world.want(f"u{number}", letter(f"card{number}", f"step {step}"))
                await asyncio.sleep(120)
            # One try for each backoff: 1, 2, 4 … 60 s, half of it chance.
            assert 10 < len(world.places.calls) < 30
            assert world.figures.letters == count
            assert world.figures.oldest > 500
            world.places.down.clear()
            await world.quiet()
        world.check()
        accepted = Counter(c.key for c in world.places.calls if c.accepted)
        assert set(accepted.values()) == {1}
        assert len(accepted) == count

    play(scenario)


def test_a_letter_that_its_place_chokes_on_keeps_no_other() -> None:
    async def scenario(world: World) -> None:
        async def choke(call: Call) -> None:
            if call.what == "post" and call.key == "bad":
                raise Transient("internal_error")

        world.places.before = choke
        async with world.courier():
            await world.want("u0", letter("bad", "x"))
            for number in range(10):
                await world.want(f"u{number}", letter(f"card{number}", "x"))
            await world.want("bad", letter("bad", "x"))
            await asyncio.sleep(120)
            assert len(world.places.at()) == 10
            world.places.before = nothing
            await world.quiet()
        world.check()

    play(scenario)


# --- what gets lost -------------------------------------------------------------------------


def test_a_lost_answer_never_says_it_twice() -> None:
    async def scenario(world: World) -> None:
        world.places.after = once(Transient("the connection broke"), "post")
        async with world.courier():
            await world.want("u", letter("card", "building"))
            await asyncio.sleep(0.2)
            await world.want("u", letter("card", "awaiting"))
            await world.quiet()
        world.check()
        assert [c.what for c in world.places.calls] == ["post", "find", "edit"]

    play(scenario)


def test_a_lost_answer_to_what_is_said_once_is_no_reason_to_edit_it() -> None:
    async def scenario(world: World) -> None:
        world.places.after = once(Transient("the connection broke"), "post")
        async with world.courier():
            await world.want("u", letter("nudge", "look", once=True))
            await world.quiet()
        world.check()
        assert [c.what for c in world.places.calls] == ["post", "find"]

    play(scenario)


def test_an_edit_whose_answer_got_lost_is_made_good_even_if_nothing_differs_any_more() -> None:
    """Sent was `a`; `b` may have arrived; `a` is wanted again."""

    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "a"))
            await world.quiet()
            world.places.after = once(Transient("the connection broke"), "edit")
            await world.want("u", letter("card", "b"))
            await asyncio.sleep(1.2)
            assert world.places.made("edit")
            await world.want("u", letter("card", "a"))
            await world.quiet()
        world.check()

    play(scenario)


def test_the_same_nonce_is_kept_over_all_tries() -> None:
    async def scenario(world: World) -> None:
        world.places.down.add(C1)
        async with world.courier():
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(30)
            world.places.down.clear()
            await world.quiet()
        assert len({c.key for c in world.places.made("find")}) == 1
        assert world.places.at()[0].nonce.startswith(f"{T0.timestamp() + 1:.0f}:")

    play(scenario)


async def _some_life(world: World) -> None:
    """A message with its thread, edited; a second place; something said once."""
    card = letter("card", "building")
    await world.want("u", card, letter("details", "1", thread_of="card"))
    await world.want("fleet", letter("held", "since today", place=C2))
    await asyncio.sleep(4)
    await world.want(
        "u",
        replace(card, body=Notice(cause="card", title="", sentence="awaiting")),
        letter("details", "2", thread_of="card"),
        letter("nudge", "please", thread_of="card", once=True),
    )
    await asyncio.sleep(6)


async def _later_life(world: World) -> None:
    """The card as it was at first, so that only a courier that distrusts itself is right."""
    await world.want(
        "u",
        letter("card", "building"),
        letter("details", "3", thread_of="card"),
        letter("nudge", "please", thread_of="card", once=True),
    )


async def _until(event: asyncio.Event, work: Awaitable[None]) -> None:
    """Whichever comes first."""
    task = asyncio.ensure_future(work)
    waits = asyncio.ensure_future(event.wait())
    await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
    for one in (task, waits):
        one.cancel()
    await asyncio.gather(task, waits, return_exceptions=True)


class Stop:
    """A point where one courier stays for a while: at its n-th call, before or after it."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()
        if self.reached.is_set():
            await self.go_on.wait()


def test_wherever_it_dies_the_next_one_says_everything_once_and_newest() -> None:
    async def dies_at(number: int) -> bool:
        world, stop = World(), Stop(number)
        async with world.courier(point=stop):
            await _until(stop.reached, _some_life(world))
        await _later_life(world)
        async with world.courier():
            await world.quiet()
        world.check()
        return stop.reached.is_set()

    deaths = next(n for n in itertools.count(1) if not virtually(dies_at(n)))
    assert deaths > 50


def test_wherever_an_old_leader_freezes_its_thaw_leaves_everything_once_and_newest() -> None:
    async def freezes_at(number: int) -> bool:
        world, stop = World(), Stop(number)
        old, new = Lead(), Lead(is_ours=False)
        async with world.courier(old, point=stop), world.courier(new):
            await _until(stop.reached, _some_life(world))
            new.is_ours = True
            # It does not know yet that it does not lead any more.
            await _later_life(world)
            await asyncio.sleep(40)
            old.is_ours = False
            stop.go_on.set()
            await asyncio.sleep(10)
            await world.quiet()
        for letters in world.wanted.values():  # two leaders know nothing of each other's pace
            for wanted in letters.wanted:
                standing = [m for m in world.places.said.values() if not m.deleted]
                found = [m.body for m in standing if key_of(m.body) == wanted.key]
                assert found == [wanted.body], (number, wanted.key, found)
        return stop.reached.is_set()

    freezes = next(n for n in itertools.count(1) if not virtually(freezes_at(n)))
    assert freezes > 50


def test_a_frozen_leader_whose_message_was_adopted_does_not_take_it_back() -> None:
    async def scenario(world: World) -> None:
        frozen, thaw = asyncio.Event(), asyncio.Event()

        async def freeze(call: Call) -> None:
            if call.what == "post" and not frozen.is_set():
                frozen.set()
                await thaw.wait()

        world.places.after = freeze
        old, new = Lead(), Lead(is_ours=False)
        async with world.courier(old), world.courier(new):
            await world.want("u", letter("card", "building"))
            await frozen.wait()
            old.is_ours, new.is_ours = False, True
            await asyncio.sleep(20)
            thaw.set()
            await world.quiet()
            await asyncio.sleep(10)
        world.check()
        assert not world.places.made("take back")

    play(scenario)


def test_what_another_replica_has_just_tried_is_left_alone_until_its_call_must_be_over() -> None:
    async def scenario(world: World) -> None:
        nonce = f"{T0.timestamp():.0f}:abc"
        await world.outbox.save("u", Delivered(key="card", trying=nonce))
        async with world.courier():
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(10)
            await world.places.post(
                C1, letter("card", "x").body, nonce=nonce, sequence=1, thread="", broadcast=False
            )
            await world.quiet()
        world.check()

    play(scenario)


def test_a_stale_edit_that_arrives_late_is_made_good_even_if_its_answer_gets_lost() -> None:
    async def scenario(world: World) -> None:
        frozen, thaw = asyncio.Event(), asyncio.Event()
        old, new = Lead(), Lead(is_ours=False)

        async def freeze(call: Call) -> None:
            if call.what == "edit" and not frozen.is_set():
                frozen.set()
                await thaw.wait()

        async def lose(call: Call) -> None:
            if call in world.places.made("edit")[:1]:
                raise Transient("the connection broke")

        world.places.before, world.places.after = freeze, lose
        async with world.courier(old), world.courier(new):
            await world.want("u", letter("card", "a"))
            await world.quiet()
            await world.want("u", letter("card", "stale"))
            await frozen.wait()
            old.is_ours, new.is_ours = False, True
            await world.want("u", letter("card", "newest"))
            await asyncio.sleep(20)
            thaw.set()
            await asyncio.sleep(1)
            await world.quiet()
        world.check()

    play(scenario)


def test_a_second_message_is_taken_back_even_if_that_fails_at_first() -> None:
    async def scenario(world: World) -> None:
        frozen, thaw = asyncio.Event(), asyncio.Event()

        async def freeze(call: Call) -> None:
            if call.what == "post" and not frozen.is_set():
                frozen.set()
                await thaw.wait()
            if call.what == "take back" and len(world.places.made("take back")) < 3:
                raise Transient("busy")

        world.places.before = freeze
        old, new = Lead(), Lead(is_ours=False)
        async with world.courier(old), world.courier(new):
            await world.want("u", letter("card", "building"))
            await frozen.wait()
            old.is_ours, new.is_ours = False, True
            await asyncio.sleep(20)
            thaw.set()
            await asyncio.sleep(20)
        assert len(world.places.at()) == 1
        assert len(world.places.said) == 2

    play(scenario)


# --- who delivers ---------------------------------------------------------------------------


def test_only_the_leader_delivers() -> None:
    async def scenario(world: World) -> None:
        lead = Lead(is_ours=False)
        async with world.courier(lead):
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(60)
            assert world.places.calls == []
            lead.is_ours = True
            await world.quiet()
        world.check()

    play(scenario)


def test_who_loses_the_lead_sends_nothing_more_and_what_is_left_waits_for_the_next() -> None:
    async def scenario(world: World) -> None:
        lead = Lead()
        async with world.courier(lead):
            for number in range(20):
                await world.want(f"u{number}", letter(f"card{number}", "x"))
            await asyncio.sleep(5.5)
            lead.is_ours = False
            sent = len(world.places.calls)
            await asyncio.sleep(60)
            assert len(world.places.calls) == sent
            assert world.figures.letters == 0
        async with world.courier():
            await world.quiet()
        world.check()

    play(scenario)


@pytest.mark.parametrize("away", [0.3, 0.9, 1.5, 4.0])
def test_a_lead_that_is_lost_for_a_moment_loses_no_letter(away: float) -> None:
    async def scenario(world: World) -> None:
        lead = Lead()
        async with world.courier(lead):
            for number in range(10):
                await world.want(f"u{number}", letter(f"card{number}", "x"))
            for _ in range(4):
                await asyncio.sleep(1.2)
                lead.is_ours = False
                await asyncio.sleep(away)
                lead.is_ours = True
            await world.quiet(200)
        world.check()

    play(scenario)


def test_more_subjects_than_are_read_at_once_hide_none() -> None:
    async def scenario(world: World) -> None:
        world.places.down.add(C1)
        async with world.courier():
            for number in range(1200):
                await world.want(f"u{number}", letter(f"card{number}", "x"))
            await asyncio.sleep(60)
            await world.want("new", letter("new", "x", place=C2))
            await asyncio.sleep(2)
            assert len(world.places.at(C2)) == 1

    play(scenario)


# --- what a place does not take -------------------------------------------------------------


def test_a_message_that_somebody_deleted_is_not_said_anew_and_that_is_told_elsewhere() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "a"), letter("details", "1", thread_of="card"))
            await world.quiet()
            world.places.said["m1"].deleted = True
            for says in ("b", "c"):
                await world.want(
                    "u", letter("card", says), letter("details", says, thread_of="card")
                )
                await world.quiet()
                await asyncio.sleep(5)
        stands = await world.outbox.delivered("u")
        assert stands["card"].gone == stands["details"].gone == "message_not_found"
        assert len(world.places.made("edit", place=C1)) == 1
        (told,) = world.places.at(HOME)
        assert isinstance(told.body, Notice)
        assert told.body.sentence == "slack:C1: message_not_found"

    play(scenario)


def test_twenty_letters_to_an_archived_channel_make_one_notice_elsewhere() -> None:
    async def scenario(world: World) -> None:
        async def archived(call: Call) -> None:
            if call.place == C1:
                raise Refused("is_archived")

        world.places.before = archived
        async with world.courier():
            for number in range(20):
                await world.want(f"u{number}", letter(f"card{number}", "x"))
            await world.want("other", letter("other", "x", place=C2))
            await world.quiet()
        async with world.courier():  # which knows only what the outbox knows
            await world.want("u20", letter("card20", "x"))
            await world.quiet()
        assert len(world.places.made("post", place=C1)) == 21  # none of them was tried twice
        assert len(world.places.at(HOME)) == len(world.places.at(C2)) == 1

    play(scenario)


def test_wherever_it_dies_a_refusal_is_told_once() -> None:
    async def dies_at(number: int) -> bool:
        world, stop = World(), Stop(number)

        async def archived(call: Call) -> None:
            if call.place == C1:
                raise Refused("is_archived")

        async def life() -> None:
            await world.want("u", letter("card", "x"))
            await world.quiet()

        world.places.before = archived
        async with world.courier(point=stop):
            await _until(stop.reached, life())
        async with world.courier():
            await world.quiet()
        assert len(world.places.at(HOME)) == 1, number
        return stop.reached.is_set()

    deaths = next(n for n in itertools.count(1) if not virtually(dies_at(n)))
    assert deaths > 20


def test_what_cannot_be_looked_for_now_is_looked_for_before_it_is_said_again() -> None:
    async def scenario(world: World) -> None:
        world.places.after = once(Transient("the connection broke"), "post")
        world.places.before = once(Refused("not_in_channel"), "find")
        async with world.courier():
            await world.want("u", letter("card", "a"))
            await world.quiet()
            assert (await world.outbox.delivered("u"))["card"].gone == "not_in_channel"
            await world.want("u", letter("card", "b"))
            await world.quiet()
        world.check()

    play(scenario)


def test_a_refused_letter_is_tried_again_only_when_it_changes() -> None:
    async def scenario(world: World) -> None:
        world.places.before = once(Refused("is_archived"), "post")
        async with world.courier(fallback=""):
            for says in ("a", "a", "b"):
                await world.want(
                    "u", letter("card", says), letter("nudge", "x", thread_of="card", once=True)
                )
                await world.quiet()
                if says == "a":
                    assert (await world.outbox.delivered("u"))["nudge"].gone == "is_archived"
        world.check()  # the reply too: it has a thread again
        assert world.places.made("find") == []

    play(scenario)


def test_once_a_place_takes_messages_again_the_notice_says_so_and_the_next_time_is_a_new_one() -> (
    None
):
    async def scenario(world: World) -> None:
        async def archived(call: Call) -> None:
            if call.place == C1:
                raise Refused("is_archived")

        async with world.courier():
            for says, hook in (("a", archived), ("b", nothing), ("c", archived)):
                world.places.before = hook
                await world.want(f"u{says}", letter(f"card{says}", says))
                await world.quiet()
        first, second = (m.body for m in world.places.at(HOME))
        assert isinstance(first, Notice)
        assert isinstance(second, Notice)
        assert first.over_at is not None
        assert second.over_at is None

    play(scenario)


def test_trouble_at_the_fallback_itself_is_not_told_there() -> None:
    async def scenario(world: World) -> None:
        async def archived(call: Call) -> None:
            raise Refused("is_archived")

        world.places.before = archived
        async with world.courier():
            await world.want("u", letter("card", "x", place=HOME), letter("card2", "x"))
            await world.quiet()
        assert len(world.places.made("post", place=HOME)) == 2  # the card, and the notice about C1
        assert world.figures.counts == {"failed slack": 3}

    play(scenario)


def test_a_place_of_no_known_kind_is_told_of_like_one_that_refuses() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "x", place="mail:a"), letter("card2", "x"))
            await world.quiet()
        (told,) = world.places.at(HOME)
        assert isinstance(told.body, Notice)
        assert "mail:a is no place that is configured" in told.body.sentence
        assert len(world.places.at(C1)) == 1

    play(scenario)


def test_a_reply_to_what_nobody_wants_holds_nothing_up() -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("details", "x", thread_of="card"))
            await world.quiet()
        assert "card" in (await world.outbox.delivered("u"))["details"].gone

    play(scenario)


# --- faults of ours, and of the store -------------------------------------------------------


def test_a_bug_in_one_subject_stops_no_other_and_is_tried_again() -> None:
    async def scenario(world: World) -> None:
        world.broken["bad"] = ZeroDivisionError()
        async with world.courier():
            await world.want("bad", letter("bad", "x"))
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(100)
            assert world.asked["bad"] == 4  # now and then every 30 s
            assert [m.subject for m in await world.outbox.marked(9)] == ["bad"]
            world.broken.clear()
            await world.quiet()
        world.check()

    play(scenario)


def test_a_bug_of_a_sink_stops_no_other_letter() -> None:
    async def scenario(world: World) -> None:
        async def crash(call: Call) -> None:
            if call.key == "bad":
                raise ZeroDivisionError

        world.places.before = crash
        async with world.courier():
            await world.want("bad", letter("bad", "x"))
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(20)
            assert len(world.places.at()) == 1
            world.places.before = nothing
            await world.quiet()
        world.check()

    play(scenario)


def test_letters_that_cannot_be_made_now_are_asked_for_again_soon() -> None:
    async def scenario(world: World) -> None:
        world.broken["u"] = Transient("the store is away")
        async with world.courier():
            await world.want("u", letter("card", "x"))
            await asyncio.sleep(2)
            world.broken.clear()
            await world.quiet(10)
        world.check()

    play(scenario)


def test_a_store_that_is_away_for_a_while_loses_and_doubles_nothing() -> None:
    async def scenario(world: World) -> None:
        away = False

        async def point() -> None:
            if away:
                raise Transient("the store is away")

        async with world.courier(point=point):
            await world.want("u", letter("card", "a"), letter("details", "1", thread_of="card"))
            for _ in range(20):
                await asyncio.sleep(0.7)
                away = not away
            away = False
            await world.quiet()
        world.check()

    play(scenario)


# --- any schedule ---------------------------------------------------------------------------

PLACES = (C1, C2, HOOK)
SUBJECTS = ("u1", "u2", "u3")
STEPS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(SUBJECTS)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.5, 20.0])),
    st.tuples(st.just("die"), st.sampled_from(["now"])),
    st.tuples(st.just("break"), st.sampled_from(PLACES)),
    st.tuples(st.just("mend"), st.sampled_from(PLACES)),
    st.tuples(st.just("lose"), st.sampled_from(["post", "edit", "find"])),
    st.tuples(st.just("busy"), st.sampled_from(["post", "edit", "find"])),
    st.tuples(st.just("slow"), st.sampled_from([0.2, 3.0])),
)


@given(st.lists(STEPS, min_size=3, max_size=30))
@settings(max_examples=150)
def test_in_the_end_each_letter_stands_once_with_its_newest_content(
    steps: list[tuple[str, Any]],
) -> None:
    virtually(_any_schedule(steps))


async def _any_schedule(steps: list[tuple[str, Any]]) -> None:
    world = World()
    says: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    busy: Counter[str] = Counter()
    takes = 0.0

    async def before(call: Call) -> None:
        await asyncio.sleep(takes / 2)
        if busy[call.what]:
            busy[call.what] -= 1
            raise Transient("busy", retry_after_seconds=5)

    async def after(call: Call) -> None:
        await asyncio.sleep(takes / 2)
        if lost[call.what]:
            lost[call.what] -= 1
            raise Transient("lost")

    async def change(subject: str) -> None:
        says[subject] += 1
        text = f"{says[subject] % 3}"  # so that contents come again
        cards = [letter(f"{subject}:card@{p}", text, place=p) for p in PLACES]
        more = [
            letter(
                f"{subject}:{kind}@{C1}", text if kind == "details" else "", once=kind == "nudge"
            )
            for kind in ("details", "nudge")
        ]
        more = [replace(reply, thread_of=f"{subject}:card@{C1}") for reply in more]
        await world.want(subject, *cards, *(more if says[subject] > 1 else ()))

    world.places.before, world.places.after = before, after
    left = list(steps)
    while left:
        async with world.courier():
            while left:
                what, value = left.pop(0)
                match what:
                    case "change":
                        await change(value)
                    case "wait":
                        await asyncio.sleep(value)
                    case "die":
                        break
                    case "break":
                        world.places.down.add(value)
                    case "mend":
                        world.places.down.discard(value)
                    case "lose":
                        lost[value] += 1
                    case "busy":
                        busy[value] += 1
                    case "slow":
                        takes = value
    world.places.down.clear()
    lost.clear()
    async with world.courier():
        await world.quiet()
    world.check()

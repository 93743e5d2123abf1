"""Digests come once on each local day, whatever clocks and leaders do."""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.facts import INFRA, PROD, an_update
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from watcher.core.digests import DigestTimes
from watcher.core.letters import About, Delivered, Digest, Letters
from watcher.core.update_events import UpdateState as S
from watcher.ports import Change, Conflict
from watcher.settings import DigestSettings, PoolSettings, Settings
from watcher.telling.digesting import Digesting

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
TICK = 30.0
HOUR = 3600.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_digest(name: str = "morning", timezone: str = "UTC", **said: object) -> DigestSettings:
    times = DigestTimes(at="09:00", timezone=timezone)
    known = {"name": name, "to": ("slack:C1",), "times": times}
    return DigestSettings(**{**known, **said})  # type: ignore[arg-type]


@dataclass
class World:
    """Leaders that tick, and what arrives in chat."""

    digests: tuple[DigestSettings, ...] = field(default_factory=lambda: (a_digest(),))
    now: str = "2026-11-25T00:00"
    posted: list[tuple[datetime, str, str]] = field(default_factory=list)
    """When, where, which subject."""

    def __post_init__(self) -> None:
        self.clock = FixedClock(at(self.now))
        self.store = FakeStore(self.clock)
        pool = PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu")
        self.settings = Settings(digests=self.digests, pools=(pool,))

    @property
    def digesting(self) -> Digesting:
        """Of any replica: nothing is remembered in it."""
        return Digesting(self.store, self.settings, self.clock)

    async def tick(self) -> None:
        """What the schedule and the courier of a leader do."""
        subjects = await self.digesting.due()
        if subjects:
            await self.store.outbox.mark(*subjects)
        for mark in await self.store.outbox.marked(100):
            letters = await self.digesting.letters(mark.subject)
            await self.deliver(mark.subject, letters)
            await self.store.outbox.clear(mark)

    async def deliver(self, subject: str, letters: Letters) -> None:
        known = await self.store.outbox.delivered(subject)
        for wanted in letters.wanted:
            assert wanted.once
            if wanted.key not in known:
                await self.post(subject, wanted.place, wanted.key)

    async def post(self, subject: str, place: str, key: str) -> None:
        """As a courier does: it may not be there yet by the time another one has it."""
        await self.store.outbox.save(subject, Delivered(key=key, ref="1", sent="said"))
        self.posted.append((self.clock.now(), place, subject))

    async def tick_for(self, days: float, *, every: float = TICK) -> None:
        for _ in range(round(days * 86400 / every)):
            await self.tick()
            self.clock.advance(every)


@pytest.mark.parametrize(
    "begin",
    ["2026-03-26", "2026-10-22", "2026-03-05", "2026-10-29"],
    ids=["Berlin forward", "Berlin back", "New York forward", "New York back"],
)
async def test_in_a_week_in_which_clocks_change_each_local_day_has_one_at_nine(begin: str) -> None:
    zones = (BERLIN, NEW_YORK)
    # Three in the morning, UTC: what was due the day before is past all delay by then.
    world = World(tuple(a_digest(zone.partition("/")[2], zone) for zone in zones), f"{begin}T03:00")
    end = world.clock.now() + timedelta(days=7)
    while world.clock.now() < end:
        await world.tick()
        # Around nine by both clocks as often as the schedule; in other hours less would come of it.
        is_near = world.clock.now().hour in (6, 7, 8, 12, 13, 14)
        world.clock.advance(TICK if is_near else 10 * TICK)
    days = [str(datetime.fromisoformat(begin).date() + timedelta(days=n)) for n in range(7)]
    for zone in zones:
        name = zone.partition("/")[2]
        mine = [(when, subject) for when, _, subject in world.posted if f":{name}:" in subject]
        assert [subject for _, subject in mine] == [f"digest:{name}:{day}" for day in days]
        shown = [f"{when.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" for when, _ in mine]
        assert shown == [f"{day} 09:00:00" for day in days]


async def test_a_week_over_which_clocks_change_has_both_offsets() -> None:
    world = World((a_digest(timezone=BERLIN),), "2026-10-22T01:00")
    await world.tick_for(7, every=300)
    hours = [when.hour for when, _, _ in world.posted]
    assert hours == [7, 7, 7, 8, 8, 8, 8]


async def test_a_leader_that_was_down_when_it_was_due_sends_it_once_it_is_back() -> None:
    world = World(now="2026-11-25T20:59")
    await world.tick_for(2 / 1440)
    assert [subject for _, _, subject in world.posted] == ["digest:morning:2026-11-25"]
    await world.tick_for(0.4)
    assert len(world.posted) == 1


async def test_a_leader_that_was_down_for_longer_leaves_it_out() -> None:
    world = World(now="2026-11-25T21:00:01")
    assert await world.digesting.due() == []
    await world.tick_for(0.49)
    assert world.posted == []
    await world.tick_for(0.1)
    assert [subject for _, _, subject in world.posted] == ["digest:morning:2026-11-26"]


async def test_a_digest_that_chat_did_not_take_for_half_a_day_is_not_said_beside_the_next() -> None:
    world = World(now="2026-11-25T09:00")
    (subject,) = await world.digesting.due()
    assert len((await world.digesting.letters(subject)).wanted) == 1
    world.clock.advance(12 * HOUR)
    assert len((await world.digesting.letters(subject)).wanted) == 1
    world.clock.advance(1)
    assert await world.digesting.letters(subject) == Letters()
    world.clock.advance(12 * HOUR)
    assert await world.digesting.letters(subject) == Letters()


async def test_two_leaders_send_it_once() -> None:
    world = World(now="2026-11-25T09:00")
    (subject,) = await world.digesting.due()
    ours, theirs = [await world.digesting.letters(subject) for _ in range(2)]
    await world.deliver(subject, ours)
    world.clock.advance(1)
    # The other one read before: it has to save under the same key, and learns of ours.
    with pytest.raises(Conflict):
        await world.post(subject, theirs.wanted[0].place, theirs.wanted[0].key)
    assert (len(world.posted), await world.digesting.due()) == (1, [])


async def test_leaders_that_come_and_go_send_it_once() -> None:
    draw = random.Random(7)
    world = World(now="2026-11-25T08:00")
    for _ in range(2000):
        await world.tick()
        world.clock.advance(draw.choice((1, 30, 30, 3000)))
    days = Counter(subject for _, _, subject in world.posted)
    assert len(days) > 10
    assert set(days.values()) == {1}


async def test_each_place_is_told_and_one_that_refuses_does_not_keep_it_due() -> None:
    world = World((a_digest(to=("slack:C1", "webhook:a", "webhook:b")),), "2026-11-25T09:00")
    (subject,) = await world.digesting.due()
    letters = await world.digesting.letters(subject)
    assert {w.key: w.place for w in letters.wanted} == {
        "digest@slack:C1": "slack:C1",
        "digest@webhook:a": "webhook:a",
        "digest@webhook:b": "webhook:b",
    }
    assert {w.about for w in letters.wanted} == {About.DIGEST}
    save = world.store.outbox.save
    await save(subject, Delivered(key="digest@slack:C1", sent="said", ref="1"))
    await save(subject, Delivered(key="digest@webhook:a", gone="no such receiver"))
    trying = await save(subject, Delivered(key="digest@webhook:b", trying="it may arrive"))
    assert await world.digesting.due() == [subject]
    await save(subject, replace(trying, sent="said", trying=""))
    assert await world.digesting.due() == []


@pytest.mark.parametrize(
    "subject",
    ["digest:evening:2026-11-25", "digest:morning:2026-11-24", "digest:morning:", "digest:x"],
)
async def test_what_is_not_due_wants_nothing(subject: str) -> None:
    world = World(now="2026-11-25T09:00")
    assert await world.digesting.letters(subject) == Letters()


async def test_without_digests_nothing_is_due() -> None:
    assert await World(digests=()).digesting.due() == []


async def test_it_is_about_what_happened_from_the_last_one_to_this_one() -> None:
    """Weekly: whatever became of an update, exactly one digest has it."""
    times = DigestTimes(at="09:00", days=("mon",), timezone=BERLIN)
    world = World((a_digest("weekly", times=times),), "2026-11-16T10:00")
    ends = [at("2026-11-16T08:00"), at("2026-11-16T08:00:01"), at("2026-11-23T08:00")]
    for number, end in enumerate((*ends, at("2026-11-23T08:30"))):
        update = an_update(id=f"u-{number}", state=S.DONE, changed_at=end)
        await world.store.commit([Change(job=update, expected=0, due_in_seconds=None)], [])
    found = []
    for _ in range(3):
        (subject,) = await world.digesting.due()
        (wanted,) = (await world.digesting.letters(subject)).wanted
        assert isinstance(wanted.body, Digest)
        assert subject == f"digest:weekly:{wanted.body.day}"
        found.append((wanted.body.title, wanted.body.day, [row.update for row in wanted.body.done]))
        world.clock.advance(7 * 86400)
    assert found == [
        ("Weekly summary", "2026-11-16", ["u-0"]),
        ("Weekly summary", "2026-11-23", ["u-1", "u-2"]),
        ("Weekly summary", "2026-11-30", ["u-3"]),
    ]


async def test_it_says_how_the_pools_stand_that_are_configured() -> None:
    world = World(now="2026-11-25T09:00")
    await world.store.put_view("pool:prod/infra", {"decision": "InStep"})
    await world.store.put_view("pool:prod/gone", {"decision": "Hold", "because": "gone"})
    (subject,) = await world.digesting.due()
    body = (await world.digesting.letters(subject)).wanted[0].body
    assert body == Digest(title="Morning summary", day="2026-11-25", in_step=1)

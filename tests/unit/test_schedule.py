"""Ticks of the leader: they only enqueue, and only where this replica leads."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from tests.facts import INFRA, PROD, T0, an_update, seconds
from tests.scene import Scene
from watcher.core.update_events import UpdateState as S
from watcher.planning import Leadership, Planning
from watcher.ports import Change, Transient
from watcher.schedule import Schedule


@dataclass
class World:
    """A replica with its schedule; it leads unless a test says otherwise."""

    digests: list[str] = field(default_factory=list)
    refreshed: int = 0

    def __post_init__(self) -> None:
        self.scene = Scene()
        self.time = 100.0
        leadership = Leadership(self.scene.store, "one", monotonic=lambda: self.time)
        self.planning = Planning(self.scene.planner, leadership, [(PROD, INFRA)])
        self.schedule = Schedule(
            self.planning,
            self.scene.store,
            self.scene.clock,
            300.0,
            due_digests=self.due,
            refresh_groups=self.refresh,
        )

    async def due(self) -> Sequence[str]:
        return self.digests

    async def refresh(self) -> None:
        self.refreshed += 1

    async def lead(self) -> None:
        await self.planning.leadership._prolong()
        assert self.planning.leadership.is_ours

    def lose(self) -> None:
        self.planning.leadership._until = 0.0

    async def tick(self, name: str) -> None:
        (tick,) = [one for one in self.schedule.ticks() if one.name == name]
        await self.schedule.tick(tick)

    async def marked(self) -> set[str]:
        """What is marked, and unmark it."""
        marks = await self.scene.store.outbox.marked(100)
        for mark in marks:
            assert await self.scene.store.outbox.clear(mark)
        return {mark.subject for mark in marks}

    @property
    def will_look(self) -> bool:
        return bool(self.planning._dirty)


async def a_leader() -> World:
    world = World()
    await world.lead()
    return world


def every(schedule: Schedule) -> dict[str, float]:
    return {tick.name: tick.every_seconds for tick in schedule.ticks()}


def test_what_is_done_how_often() -> None:
    assert every(World().schedule) == {
        "resync": 300.0,
        "expiry": 60.0,
        "fleet": 60.0,
        "gained": 5.0,
        "digests": 30.0,
        "groups": 240.0,
    }


def test_without_digests_and_chat_there_is_nothing_to_do_about_them() -> None:
    world = World()
    bare = Schedule(world.planning, world.scene.store, world.scene.clock, 300.0)
    assert set(every(bare)) == {"resync", "expiry", "fleet", "gained"}


async def test_a_replica_that_does_not_lead_does_nothing() -> None:
    world = World(digests=["digest:morning:2026-11-25"])
    await world.scene.put(an_update(state=S.AWAITING_APPROVAL, expires_at=T0 + seconds(60)))
    await world.marked()
    world.scene.clock.advance(61)
    for name in every(world.schedule):
        await world.tick(name)
    assert (await world.marked(), world.refreshed, world.will_look) == (set(), 0, False)
    assert world.scene.store.due_in("u-1") == -61


async def test_a_resync_looks_at_every_pool() -> None:
    world = await a_leader()
    await world.tick("resync")
    assert world.will_look


async def test_an_update_whose_time_ran_out_is_due_at_once() -> None:
    world = await a_leader()
    update = an_update(state=S.AWAITING_APPROVAL, expires_at=T0 + seconds(60))
    await world.scene.store.commit([Change(job=update, expected=0, due_in_seconds=3600)], [])
    world.scene.clock.advance(59)
    await world.tick("expiry")
    assert world.scene.store.due_in("u-1") == 3600 - 59
    world.scene.clock.advance(1)
    await world.tick("expiry")
    assert world.scene.store.due_in("u-1") == 0


async def test_the_fleet_is_marked() -> None:
    world = await a_leader()
    await world.tick("fleet")
    assert await world.marked() == {"fleet"}


async def test_digests_that_are_due_are_marked() -> None:
    world = await a_leader()
    await world.tick("digests")
    assert await world.marked() == set()
    world.digests = ["digest:morning:2026-11-25", "digest:weekly:2026-11-23"]
    await world.tick("digests")
    assert await world.marked() == set(world.digests)


async def test_groups_are_refreshed() -> None:
    world = await a_leader()
    await world.tick("groups")
    assert world.refreshed == 1


async def updates(world: World) -> None:
    """One that goes on, and one that has ended."""
    for update in (
        an_update(id="u-1", state=S.AWAITING_APPROVAL),
        an_update(id="u-2", state=S.DONE),
    ):
        change = Change(job=update, expected=0, due_in_seconds=None)
        await world.scene.store.commit([change], [])
    await world.marked()


async def test_a_new_leader_marks_all_that_is_told_once() -> None:
    world = World()
    await updates(world)
    await world.tick("gained")
    assert await world.marked() == set()
    await world.lead()
    await world.tick("gained")
    assert await world.marked() == {"u-1", "fleet"}
    await world.tick("gained")
    assert await world.marked() == set()


async def test_one_that_led_before_and_leads_again_marks_it_again() -> None:
    world = await a_leader()
    await updates(world)
    await world.tick("gained")
    await world.marked()
    world.lose()
    await world.tick("gained")
    await world.lead()
    await world.tick("gained")
    assert await world.marked() == {"u-1", "fleet"}


async def test_marking_that_failed_is_done_at_the_next_tick() -> None:
    world = await a_leader()
    await updates(world)
    outbox = world.scene.store.outbox
    mark = outbox.mark

    async def broken(*subjects: str) -> None:
        raise Transient("the store does not answer")

    outbox.mark = broken  # type: ignore[method-assign]
    await world.tick("gained")
    outbox.mark = mark  # type: ignore[method-assign]
    assert await world.marked() == set()
    await world.tick("gained")
    assert await world.marked() == {"u-1", "fleet"}


@pytest.mark.parametrize("name", ["digests", "groups"])
async def test_a_tick_that_fails_outside_is_no_error(name: str) -> None:
    world = await a_leader()

    async def broken() -> list[str]:
        raise Transient("the store does not answer")

    world.schedule = replace(world.schedule, due_digests=broken, refresh_groups=broken)  # type: ignore[arg-type]
    await world.tick(name)
    assert await world.marked() == set()


async def test_the_schedule_ticks_by_itself_until_it_is_stopped() -> None:
    world = await a_leader()
    schedule = replace(world.schedule, resync_seconds=0.01)
    moved = world.planning._moved
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(schedule.run())
        for _ in range(2):
            await moved.wait()
            moved.clear()
        task.cancel()
    assert task.cancelled()
    assert world.will_look

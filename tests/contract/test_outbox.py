"""The outbox of every store: whatever people are told of is marked, and no mark is ever lost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.stores import (
    START,
    AnyStore,
    ManualClock,
    a_build,
    an_update,
    entry,
    put,
    redis_store,
    take,
)
from watcher.clients.store.embedded import Server
from watcher.clients.store.memory_store import MemoryStore
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.build import BuildState
from watcher.core.letters import Mark
from watcher.core.timing import Freeze
from watcher.core.update_events import UpdateState
from watcher.ports import Change, Conflict, Outbox

FREEZE = Freeze(scope="prod", by="token:ann", because="audit week", at=START, until=None)


async def subjects(outbox: Outbox) -> list[str]:
    return [mark.subject for mark in await outbox.marked(100)]


async def clear_all(outbox: Outbox) -> None:
    for mark in await outbox.marked(100):
        assert await outbox.clear(mark)


# --- what marks -----------------------------------------------------------------------------


async def test_a_commit_marks_its_updates_and_no_builds(store: AnyStore) -> None:
    jobs = (an_update("u1"), a_build("b1"), an_update("u2"))
    await store.commit([Change(job=job, expected=0) for job in jobs], [])
    assert await store.outbox.marked(10) == [Mark(subject=s, rev=1) for s in ("u1", "u2")]


async def test_every_way_to_change_an_update_marks_it(store: AnyStore) -> None:
    job = an_update("u1")
    await put(store, job)
    leased = await take(store)
    kept = Change(job=job, expected=1, fence=leased.fence, keep_lease=True)
    await store.commit([kept], [])
    await store.commit([Change(job=job, expected=2)], [])
    ended = an_update("u1", state=UpdateState.REJECTED)
    await store.commit([Change(job=ended, expected=3, due_in_seconds=None)], [])
    assert await store.outbox.marked(10) == [Mark(subject="u1", rev=4)]


async def test_a_commit_that_fails_marks_nothing(store: AnyStore) -> None:
    await put(store, an_update("old", pool="infra"))
    await clear_all(store.outbox)
    good = Change(job=an_update("u1"), expected=0)
    stale = Change(job=an_update("old", pool="infra"), expected=7)
    lost = Change(job=an_update("old", pool="infra"), expected=1, fence=9)
    taken = Change(job=an_update("u2", pool="infra"), expected=0)
    for bad in (stale, lost, taken):
        with pytest.raises(Conflict):
            await store.commit([good, bad], [])
    assert await subjects(store.outbox) == []


async def test_looking_and_leasing_mark_nothing(store: AnyStore) -> None:
    await put(store, a_build("b1"))
    await put(store, an_update("u1", build="b1"))
    await clear_all(store.outbox)
    await store.wake("u1")
    leased = await take(store)
    await store.release(leased, due_in_seconds=0, failed=True)
    done = a_build("b1", state=BuildState.READY)
    await store.commit([Change(job=done, expected=1, due_in_seconds=None)], [])
    assert await subjects(store.outbox) == []


async def test_anything_can_be_marked_by_name(outbox: Outbox) -> None:
    await outbox.mark()
    await outbox.mark("fleet", "digest:weekly:2026-03-02")
    assert await subjects(outbox) == ["digest:weekly:2026-03-02", "fleet"]


# --- what is marked -------------------------------------------------------------------------


async def test_what_was_marked_longest_ago_comes_first(outbox: Outbox, clock: ManualClock) -> None:
    for subject in ("u3", "u1", "u2"):
        await outbox.mark(subject)
        clock.forward(1)
    assert await subjects(outbox) == ["u3", "u1", "u2"]
    assert [mark.subject for mark in await outbox.marked(2)] == ["u3", "u1"]
    assert await outbox.marked(0) == []


async def test_what_is_marked_again_keeps_its_place(outbox: Outbox, clock: ManualClock) -> None:
    for subject in ("u1", "u2", "u1"):
        await outbox.mark(subject)
        clock.forward(1)
    assert await outbox.marked(10) == [Mark(subject="u1", rev=2), Mark(subject="u2", rev=1)]


async def test_what_was_cleared_and_is_marked_again_is_the_last(
    outbox: Outbox, clock: ManualClock
) -> None:
    await outbox.mark("u1", "u2")
    first, _ = await outbox.marked(2)
    assert await outbox.clear(first)
    clock.forward(1)
    await outbox.mark("u1")
    assert await subjects(outbox) == ["u2", "u1"]


async def test_who_reads_and_crashes_has_cleared_nothing(store_server: Server | None) -> None:
    if store_server is None:
        store = MemoryStore(ManualClock())
        await put(store, an_update("u1"))
        read = await store.outbox.marked(10)
        assert await store.outbox.marked(10) == read != []
        return
    async with redis_store(store_server, None, prefix="crashing") as one:
        await put(one, an_update("u1"))
        read = await one.outbox.marked(10)
    async with redis_store(store_server, None, prefix="crashing") as other:
        assert await other.outbox.marked(10) == read != []


# --- clearing -------------------------------------------------------------------------------


async def test_what_was_told_is_cleared_and_clearing_can_be_repeated(outbox: Outbox) -> None:
    await outbox.mark("u1", "u2")
    mark, _ = await outbox.marked(10)
    assert await outbox.clear(mark)
    assert await outbox.clear(mark)
    assert await subjects(outbox) == ["u2"]


async def test_a_mark_made_while_its_letters_were_written_stays(store: AnyStore) -> None:
    await put(store, an_update("u1"))
    (mark,) = await store.outbox.marked(10)
    await store.commit([Change(job=an_update("u1"), expected=1)], [])
    assert not await store.outbox.clear(mark)
    (newest,) = await store.outbox.marked(10)
    assert newest.rev > mark.rev
    assert await store.outbox.clear(newest)


async def test_an_old_mark_never_clears_one_made_after_a_clear(outbox: Outbox) -> None:
    await outbox.mark("u1")
    (mark,) = await outbox.marked(10)
    assert await outbox.clear(mark)
    await outbox.mark("u1")
    assert not await outbox.clear(mark)
    assert await subjects(outbox) == ["u1"]


async def test_what_was_never_marked_is_not_cleared(outbox: Outbox) -> None:
    assert not await outbox.clear(Mark(subject="nobody", rev=1))


async def test_marks_and_clears_at_once_lose_nothing(outbox: Outbox) -> None:
    """Whatever the order, a subject that was marked after it was read is still marked."""
    told = 0

    async def marks() -> None:
        for _ in range(50):
            await outbox.mark("u1")

    async def clears() -> None:
        nonlocal told
        while told < 50:
            for mark in await outbox.marked(10):
                if await outbox.clear(mark):
                    told = mark.rev
            await asyncio.sleep(0)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(marks())
        for _ in range(3):
            group.create_task(clears())
    assert await outbox.marked(10) == []


# --- views ----------------------------------------------------------------------------------

SEEN = {"at": "12:00", "decision": "Hold", "because": "it is paused", "paused": True}


async def test_a_pool_that_is_seen_for_the_first_time_marks_the_fleet(store: AnyStore) -> None:
    await store.put_view("pool:prod/infra", SEEN)
    assert await subjects(store.outbox) == ["fleet"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"decision": "Rebuild"}, id="decision"),
        pytest.param({"because": "the base moved — ünd wie"}, id="because"),
        pytest.param({"paused": False}, id="paused"),
    ],
)
async def test_what_people_are_told_of_a_pool_marks_the_fleet(
    store: AnyStore, change: dict[str, object]
) -> None:
    await store.put_view("pool:prod/infra", SEEN)
    for value in ({**SEEN, **change}, SEEN):
        await clear_all(store.outbox)
        await store.put_view("pool:prod/infra", value)
        assert await subjects(store.outbox) == ["fleet"]


@pytest.mark.parametrize("name", ["decision", "because", "paused"])
async def test_a_view_that_gains_or_loses_what_people_are_told_marks_the_fleet(
    store: AnyStore, name: str
) -> None:
    without = {key: value for key, value in SEEN.items() if key != name}
    await store.put_view("pool:prod/infra", SEEN)
    for value in (without, SEEN):
        await clear_all(store.outbox)
        await store.put_view("pool:prod/infra", value)
        assert await subjects(store.outbox) == ["fleet"]


async def test_another_look_with_the_same_result_marks_nothing(store: AnyStore) -> None:
    await store.put_view("pool:prod/infra", SEEN)
    await clear_all(store.outbox)
    await store.put_view("pool:prod/infra", {**SEEN, "at": "12:10", "nodes": 4})
    assert await subjects(store.outbox) == []
    assert (await store.views())["pool:prod/infra"]["at"] == "12:10"


async def test_views_of_anything_but_pools_mark_nothing(store: AnyStore) -> None:
    for decision in ("Hold", "Rebuild"):
        await store.put_view("leader", {"decision": decision})
    assert await subjects(store.outbox) == []


async def test_a_view_that_cannot_be_read_counts_as_changed(running: Server) -> None:
    async with redis_store(running, None) as store:
        for broken in ("{", "7"):
            await store._redis.do("HSET", store._redis.key("views"), "pool:prod/infra", broken)
            await store.put_view("pool:prod/infra", SEEN)
            assert await subjects(store.outbox) == ["fleet"]
            await clear_all(store.outbox)


# --- waiting --------------------------------------------------------------------------------

Doing = Callable[[AnyStore], Awaitable[object]]
MARKING = [
    pytest.param(lambda store: put(store, an_update("u1")), id="commit"),
    pytest.param(lambda store: store.outbox.mark("u1"), id="mark"),
    pytest.param(lambda store: store.put_view("pool:prod/infra", SEEN), id="view"),
    pytest.param(lambda store: store.freeze(FREEZE, entry("")), id="freeze"),
]


@pytest.mark.parametrize("do", MARKING)
async def test_waiting_ends_when_something_is_marked(store: AnyStore, do: Doing) -> None:
    async def mark() -> None:
        await do(store)

    assert await store.outbox.marked(10) == []
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(mark())
        await store.outbox.wait_marked(60)
    assert len(await store.outbox.marked(10)) == 1


@pytest.mark.parametrize("do", MARKING)
async def test_what_was_marked_between_reading_and_waiting_is_not_missed(
    store: AnyStore, do: Doing
) -> None:
    await store.outbox.marked(10)
    await do(store)
    async with asyncio.timeout(5):
        await store.outbox.wait_marked(60)


async def test_what_was_marked_again_is_not_missed_either(outbox: Outbox) -> None:
    await outbox.mark("u1")
    (mark,) = await outbox.marked(10)
    await outbox.mark("u1")
    assert not await outbox.clear(mark)
    async with asyncio.timeout(5):
        await outbox.wait_marked(60)


async def test_a_task_that_never_read_does_not_wait_for_what_is_there(outbox: Outbox) -> None:
    await outbox.mark("u1")

    async def waits() -> None:
        await outbox.wait_marked(60)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(waits())


async def test_what_was_read_before_wakes_nobody(store: AnyStore) -> None:
    """Neither do work, builds and looks: else a courier with a letter it cannot send would spin."""
    outbox = store.outbox
    await outbox.mark("u1")

    async def reads_and_waits() -> None:
        await outbox.marked(10)
        await outbox.wait_marked(60)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(reads_and_waits())
        for number in range(20):
            await put(store, a_build(f"b{number}"))
            await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.mark("u2")


async def test_waiting_ends_after_its_time(outbox: Outbox) -> None:
    await outbox.mark("u1")
    await outbox.marked(10)
    async with asyncio.timeout(5):
        await outbox.wait_marked(0.01)
        await outbox.wait_marked(0)


async def test_everybody_who_waits_is_woken(outbox: Outbox) -> None:
    looked = asyncio.Barrier(5)

    async def waiter() -> None:
        await outbox.marked(10)
        await looked.wait()
        await outbox.wait_marked(60)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(waiter())
        await looked.wait()
        await outbox.mark("u1")


async def test_waiting_longer_than_an_answer_may_take_is_no_silence(running: Server) -> None:
    client = from_url(running.url)
    try:
        store = RedisStore(client, prefix="patient", answer_seconds=0.3)
        assert await store.outbox.marked(10) == []
        await store.outbox.wait_marked(0.4)
    finally:
        await client.aclose()

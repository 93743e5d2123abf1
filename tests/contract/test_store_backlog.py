"""How the queue stands, as every store tells it."""

from dataclasses import replace

import pytest

from tests.contract.stores import (
    ManualClock,
    a_build,
    an_update,
    entry,
    put,
    redis_store,
    take,
)
from watcher.clients.store.embedded import Server
from watcher.core.build import BuildState
from watcher.core.jobs import JobKind
from watcher.ports import Backlog, Change, Store

NOTHING = Backlog()


async def of(store: Store, clock: ManualClock, kind: JobKind = JobKind.UPDATE) -> Backlog:
    found = await store.backlog(clock.now())
    assert set(found) == set(JobKind), "every kind is told of"
    return found[kind]


async def test_an_empty_queue_is_told_of_for_every_kind(store: Store, clock: ManualClock) -> None:
    assert await store.backlog(clock.now()) == dict.fromkeys(JobKind, NOTHING)


async def test_the_kinds_are_told_apart(store: Store, clock: ManualClock) -> None:
    await put(store, a_build("b1"))
    assert await of(store, clock, JobKind.BUILD) == Backlog(waiting=1, due=1)
    assert await of(store, clock, JobKind.UPDATE) == NOTHING


async def test_what_is_due_later_waits_and_is_not_due(store: Store, clock: ManualClock) -> None:
    await put(store, an_update("u1"), due_in_seconds=60)
    assert await of(store, clock) == Backlog(waiting=1)
    clock.forward(59.999)
    assert await of(store, clock) == Backlog(waiting=1)
    clock.forward(0.001)
    assert await of(store, clock) == Backlog(waiting=1, due=1)


async def test_the_age_is_that_of_the_one_that_was_due_first(
    store: Store, clock: ManualClock
) -> None:
    await put(store, an_update("u1"), due_in_seconds=30)
    await put(store, an_update("u2"), due_in_seconds=10)
    await put(store, an_update("u3"), due_in_seconds=3600)
    clock.forward(100.25)
    assert await of(store, clock) == Backlog(waiting=3, due=2, oldest_due_seconds=90.25)


async def test_what_is_leased_does_not_wait(store: Store, clock: ManualClock) -> None:
    await put(store, an_update("u1"))
    await put(store, an_update("u2"), due_in_seconds=5)
    await take(store, lease_seconds=10)
    assert await of(store, clock) == Backlog(waiting=1, leased=1)
    clock.forward(7)
    assert await of(store, clock) == Backlog(waiting=1, due=1, leased=1, oldest_due_seconds=2)


async def test_a_job_whose_holder_died_is_due_again(store: Store, clock: ManualClock) -> None:
    await put(store, an_update("u1"))
    await take(store, lease_seconds=10)
    clock.forward(12)
    assert await of(store, clock) == Backlog(waiting=1, due=1, oldest_due_seconds=2)


async def test_what_was_given_back_for_later_waits(store: Store, clock: ManualClock) -> None:
    await put(store, an_update("u1"))
    await store.release(await take(store), due_in_seconds=20, failed=True)
    assert await of(store, clock) == Backlog(waiting=1)


async def test_what_is_out_of_the_queue_is_not_told_of(store: Store, clock: ManualClock) -> None:
    job = a_build("b1")
    await put(store, job)
    leased = await take(store)
    ended = replace(job, state=BuildState.READY)
    done = Change(job=ended, expected=1, fence=leased.fence, due_in_seconds=None)
    await store.commit([done], [entry(ended)])
    await put(store, an_update("u1"))
    await store.bury(await take(store), "why", entry("u1"))
    assert await store.backlog(clock.now()) == dict.fromkeys(JobKind, NOTHING)


async def test_asking_is_one_round_trip(running: Server, clock: ManualClock) -> None:
    async with redis_store(running, clock) as store:
        for number in range(20):
            await put(store, an_update(f"u{number}"))
        await store.backlog(clock.now())  # the script is known from here on
        redis = store._client
        before = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        await store.backlog(clock.now())
        after = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
        assert after - before == 1


@pytest.mark.parametrize("seconds", [-3600, 3600])
async def test_a_replica_whose_clock_is_wrong_tells_the_same(
    running: Server, clock: ManualClock, seconds: float
) -> None:
    async with redis_store(running, clock) as store:
        await put(store, an_update("u1"), due_in_seconds=60)
        wrong = ManualClock(clock.now())
        wrong.forward(seconds)
        assert (await store.backlog(wrong.now()))[JobKind.UPDATE] == Backlog(waiting=1)

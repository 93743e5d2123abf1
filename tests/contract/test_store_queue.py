"""Queue and leases of every store: one worker at a time, and nothing asked for is forgotten."""

from dataclasses import replace

import pytest

from tests.contract.stores import (
    ManualClock,
    a_build,
    an_update,
    entry,
    nothing_due,
    put,
    take,
)
from watcher.core.build import BuildState
from watcher.core.jobs import JobKind
from watcher.core.update_events import UpdateState
from watcher.ports import Change, Conflict, LeaseLost, Store

# --- claiming -------------------------------------------------------------------------------


async def test_the_job_that_has_been_due_longest_comes_first(
    store: Store, clock: ManualClock
) -> None:
    await put(store, a_build("b1"), due_in_seconds=5)
    await put(store, an_update("u1"), due_in_seconds=2)
    await put(store, an_update("u2"), due_in_seconds=8)
    assert await nothing_due(store)
    clock.forward(6)
    assert [(await take(store)).job.id for _ in range(2)] == ["u1", "b1"]
    assert await nothing_due(store)


async def test_only_jobs_of_the_wanted_kinds_are_claimed(store: Store) -> None:
    await put(store, an_update("u1"))
    assert await store.claim("w", 10, [JobKind.BUILD]) is None
    assert (await take(store, JobKind.UPDATE)).job.id == "u1"


async def test_a_job_that_is_out_of_the_queue_is_not_claimed(store: Store) -> None:
    await put(store, a_build("b1", state=BuildState.READY), due_in_seconds=None)
    await store.wake("b1")
    await store.wake("nobody")
    assert await nothing_due(store)


async def test_a_leased_job_is_nobody_elses_until_the_lease_ends(
    store: Store, clock: ManualClock
) -> None:
    await put(store, a_build("b1"))
    first = await take(store, lease_seconds=10)
    assert (first.fence, first.attempt, first.version) == (1, 1, 1)
    clock.forward(9.999)
    assert await nothing_due(store)
    clock.forward(0.001)
    second = await take(store)
    assert (second.fence, second.attempt) == (2, 2)


async def test_renewing_keeps_the_lease(store: Store, clock: ManualClock) -> None:
    await put(store, a_build("b1"))
    leased = await take(store, lease_seconds=10)
    clock.forward(9)
    assert await store.renew(leased, 10) == 1
    clock.forward(9)
    assert await nothing_due(store)
    clock.forward(1)
    assert not await nothing_due(store)


# --- fences ---------------------------------------------------------------------------------


@pytest.mark.parametrize("taken_over", [True, False], ids=["taken-over", "only-late"])
async def test_a_worker_that_froze_beyond_its_lease_can_do_nothing(
    store: Store, clock: ManualClock, taken_over: bool
) -> None:
    job = a_build("b1")
    await put(store, job)
    frozen = await take(store, lease_seconds=10)
    clock.forward(10)
    if taken_over:
        await take(store)
    done = replace(job, state=BuildState.BUILDING)
    with pytest.raises(LeaseLost):
        await store.commit([Change(job=done, expected=1, fence=frozen.fence)], [entry(done)])
    with pytest.raises(LeaseLost):
        await store.renew(frozen, 10)
    with pytest.raises(LeaseLost):
        await store.release(frozen, due_in_seconds=0, failed=True)
    with pytest.raises(LeaseLost):
        await store.bury(frozen, "why", entry(job))
    assert (await store.get("b1")).version == 1
    assert [line.event for line in await store.audit()] == ["Put"]
    assert await store.dead() == []


async def test_a_lease_that_was_given_back_is_lost(store: Store) -> None:
    await put(store, a_build("b1"))
    leased = await take(store)
    await store.release(leased, due_in_seconds=0, failed=False)
    with pytest.raises(LeaseLost):
        await store.renew(leased, 10)


async def test_a_fence_on_a_job_that_is_not_there_is_lost(store: Store) -> None:
    with pytest.raises(LeaseLost):
        await store.commit([Change(job=a_build("b1"), expected=0, fence=1)], [])


async def test_a_lease_can_only_be_kept_under_its_fence(store: Store) -> None:
    with pytest.raises(ValueError, match="fence"):
        await store.commit([Change(job=a_build("b1"), expected=0, keep_lease=True)], [])


async def test_a_commit_that_keeps_the_lease_goes_on_under_it(
    store: Store, clock: ManualClock
) -> None:
    job = a_build("b1")
    await put(store, job)
    leased = await take(store, lease_seconds=10)
    building = replace(job, state=BuildState.BUILDING)
    kept = Change(job=building, expected=1, fence=leased.fence, keep_lease=True)
    assert await store.commit([kept], []) == [2]
    clock.forward(9)
    assert await nothing_due(store)
    assert await store.renew(leased, 10) == 2
    clock.forward(10)
    again = await take(store)
    assert (again.job, again.fence, again.attempt) == (building, 2, 1)


async def test_a_commit_without_keeping_gives_the_lease_back(
    store: Store, clock: ManualClock
) -> None:
    job = a_build("b1")
    await put(store, job)
    leased = await take(store)
    await store.commit([Change(job=job, expected=1, fence=leased.fence, due_in_seconds=3)], [])
    with pytest.raises(LeaseLost):
        await store.renew(leased, 10)
    assert await nothing_due(store)
    clock.forward(3)
    assert (await take(store)).attempt == 1


# --- giving back ----------------------------------------------------------------------------


async def test_failed_attempts_are_counted_until_one_does_not_fail(
    store: Store, clock: ManualClock
) -> None:
    await put(store, a_build("b1"))
    seen = []
    for failed in (True, True, False, True):
        leased = await take(store)
        seen.append(leased.attempt)
        await store.release(leased, due_in_seconds=5, failed=failed)
        assert await nothing_due(store)
        clock.forward(5)
    assert [*seen, (await take(store)).attempt] == [1, 2, 3, 1, 2]


# --- decisions during a lease ---------------------------------------------------------------


async def test_a_vote_during_a_lease_steals_nothing_and_is_not_forgotten(
    store: Store, clock: ManualClock
) -> None:
    job = an_update("u1")
    await put(store, job)
    leased = await take(store)
    voted = replace(job, because="voted")
    await store.commit([Change(job=voted, expected=1)], [entry(voted, "Voted")])
    assert await nothing_due(store)
    assert await store.renew(leased, 10) == 2
    assert await nothing_due(store)
    mine = replace(job, because="mine")
    with pytest.raises(Conflict) as caught:
        await store.commit([Change(job=mine, expected=1, fence=leased.fence)], [])
    assert not isinstance(caught.value, LeaseLost)
    await store.release(leased, due_in_seconds=3600, failed=False)
    assert (await take(store)).job == voted


async def test_a_delay_asked_for_during_a_lease_counts_when_it_is_given_back(
    store: Store, clock: ManualClock
) -> None:
    job = an_update("u1")
    await put(store, job)
    leased = await take(store)
    await store.commit([Change(job=job, expected=1, due_in_seconds=20)], [])
    await store.commit([Change(job=job, expected=2, due_in_seconds=5)], [])
    await store.commit([Change(job=job, expected=3, due_in_seconds=30)], [])
    await store.release(leased, due_in_seconds=3600, failed=False)
    clock.forward(4)
    assert await nothing_due(store)
    clock.forward(1)
    assert (await take(store)).job == job


async def test_a_vote_is_seen_when_the_holder_dies(store: Store, clock: ManualClock) -> None:
    job = an_update("u1")
    await put(store, job)
    await take(store, lease_seconds=10)
    voted = replace(job, because="voted")
    await store.commit([Change(job=voted, expected=1, due_in_seconds=3600)], [])
    clock.forward(10)
    assert (await take(store)).job == voted
    assert await nothing_due(store)


async def test_what_was_asked_for_in_an_earlier_lease_is_not_asked_for_again(
    store: Store, clock: ManualClock
) -> None:
    job = an_update("u1")
    await put(store, job)
    await take(store, lease_seconds=10)
    await store.commit([Change(job=job, expected=1)], [])
    clock.forward(10)
    await store.release(await take(store), due_in_seconds=3600, failed=False)
    assert await nothing_due(store)


async def test_an_end_during_a_lease_takes_it_out_of_the_queue_for_good(
    store: Store, clock: ManualClock
) -> None:
    await put(store, an_update("u1"))
    leased = await take(store)
    rejected = an_update("u1", state=UpdateState.REJECTED)
    await store.commit([Change(job=rejected, expected=1, due_in_seconds=None)], [])
    assert await store.renew(leased, 10) == 2
    await store.wake("u1")
    await store.release(leased, due_in_seconds=0, failed=False)
    clock.forward(100)
    assert await nothing_due(store)


async def test_an_ended_job_whose_holder_died_stays_out_of_the_queue(
    store: Store, clock: ManualClock
) -> None:
    await put(store, an_update("u1"))
    await take(store)
    rejected = an_update("u1", state=UpdateState.REJECTED)
    await store.commit([Change(job=rejected, expected=1, due_in_seconds=None)], [])
    clock.forward(100)
    assert await nothing_due(store)


async def test_a_decision_about_a_waiting_job_makes_it_due(
    store: Store, clock: ManualClock
) -> None:
    job = an_update("u1")
    await put(store, job, due_in_seconds=3600)
    await store.commit([Change(job=job, expected=1)], [])
    assert (await take(store)).version == 2


# --- waking ---------------------------------------------------------------------------------


async def test_waking_makes_a_waiting_job_due(store: Store) -> None:
    await put(store, an_update("u1"), due_in_seconds=3600)
    await store.wake("u1")
    assert (await take(store)).job.id == "u1"


async def test_waking_does_not_change_who_is_first(store: Store, clock: ManualClock) -> None:
    await put(store, an_update("u1"))
    await put(store, an_update("u2"), due_in_seconds=1)
    clock.forward(2)
    await store.wake("u1")
    assert (await take(store)).job.id == "u1"


async def test_a_nudge_during_a_lease_counts_when_it_is_given_back(store: Store) -> None:
    await put(store, an_update("u1"))
    leased = await take(store)
    await store.wake("u1")
    assert await nothing_due(store)
    await store.release(leased, due_in_seconds=3600, failed=False)
    again = await take(store)
    await store.release(again, due_in_seconds=3600, failed=False)
    assert await nothing_due(store)


@pytest.mark.parametrize("state", [BuildState.READY, BuildState.FAILED])
async def test_a_build_that_ends_wakes_all_who_wait_for_it(store: Store, state: BuildState) -> None:
    await put(store, a_build("b1"))
    for name in ("u1", "u2", "u3"):
        await put(store, an_update(name, build="b1"), due_in_seconds=3600)
    await put(store, an_update("other", build="b2"), due_in_seconds=3600)
    ended = an_update("u3", build="b1", state=UpdateState.REJECTED)
    await store.commit([Change(job=ended, expected=1, due_in_seconds=None)], [])
    build = await take(store, JobKind.BUILD)
    done = Change(job=a_build("b1", state=state), expected=1, fence=build.fence)
    await store.commit([replace(done, due_in_seconds=None)], [])
    assert {(await take(store)).job.id for _ in range(2)} == {"u1", "u2"}
    assert await nothing_due(store)


async def test_an_update_that_is_being_looked_at_hears_of_its_build(store: Store) -> None:
    await put(store, a_build("b1"))
    await put(store, an_update("u1", build="b1"))
    update = await take(store, JobKind.UPDATE)
    ready = a_build("b1", state=BuildState.READY)
    await store.commit([Change(job=ready, expected=1, due_in_seconds=None)], [])
    assert await nothing_due(store)
    await store.release(update, due_in_seconds=3600, failed=False)
    assert (await take(store)).job.id == "u1"


async def test_an_update_that_waits_for_another_build_now_is_not_woken(store: Store) -> None:
    await put(store, a_build("b1"), due_in_seconds=3600)
    await put(store, an_update("u1", build="b1"), due_in_seconds=3600)
    moved = an_update("u1", build="b2")
    await store.commit([Change(job=moved, expected=1, due_in_seconds=3600)], [])
    ready = a_build("b1", state=BuildState.READY)
    await store.commit([Change(job=ready, expected=1, due_in_seconds=None)], [])
    assert await nothing_due(store)


# --- dead letters ---------------------------------------------------------------------------


async def test_a_dead_letter_waits_for_a_person(store: Store, clock: ManualClock) -> None:
    job = an_update("u1")
    await put(store, job)
    leased = await take(store)
    await store.bury(leased, "it crashed five times", entry(job, "Buried"))
    clock.forward(1000)
    await store.wake("u1")
    assert await nothing_due(store)
    assert [(s.job.id, why) for s, why in await store.dead()] == [("u1", "it crashed five times")]
    await store.revive("u1", entry(job, "Revived"))
    assert await store.dead() == []
    assert (await take(store)).attempt == 1
    assert [line.event for line in await store.audit()] == ["Put", "Buried", "Revived"]


@pytest.mark.parametrize("job_id", ["u1", "nobody"])
async def test_only_the_dead_are_revived(store: Store, job_id: str) -> None:
    await put(store, an_update("u1"))
    with pytest.raises(KeyError):
        await store.revive(job_id, entry(job_id))
    assert [line.event for line in await store.audit()] == ["Put"]


async def test_a_vote_does_not_revive_the_dead_but_an_end_removes_them(store: Store) -> None:
    job = an_update("u1", pool="infra")
    await put(store, job)
    await store.bury(await take(store), "why", entry(job))
    await store.commit([Change(job=job, expected=1)], [])
    assert await nothing_due(store)
    assert len(await store.dead()) == 1
    ended = an_update("u1", pool="infra", state=UpdateState.SUPERSEDED)
    await store.commit([Change(job=ended, expected=2, due_in_seconds=None)], [])
    assert await store.dead() == []
    with pytest.raises(KeyError):
        await store.revive("u1", entry("u1"))


async def test_a_job_that_changed_meanwhile_is_not_buried(store: Store) -> None:
    job = an_update("u1")
    await put(store, job)
    leased = await take(store)
    await store.commit([Change(job=job, expected=1)], [])
    with pytest.raises(Conflict):
        await store.bury(leased, "why", entry(job))
    assert await store.dead() == []

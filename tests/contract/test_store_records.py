"""Records, keys, indexes and audit of every store: all or nothing, and nothing twice."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.stores import (
    START,
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
from watcher.ports import Change, Conflict, Refused, Store


async def test_what_was_written_is_read_with_its_version(store: Store) -> None:
    job = an_update("u1")
    assert await put(store, job) == 1
    found = await store.get("u1")
    assert (found.job, found.version) == (job, 1)


async def test_a_job_that_is_not_there_is_a_key_error(store: Store) -> None:
    with pytest.raises(KeyError):
        await store.get("nobody")


async def test_the_second_of_two_writers_is_told(store: Store) -> None:
    job = an_update("u1")
    await put(store, job)
    first = replace(job, because="first")
    assert await store.commit([Change(job=first, expected=1)], []) == [2]
    with pytest.raises(Conflict, match="version 2"):
        await store.commit([Change(job=replace(job, because="second"), expected=1)], [])
    assert (await store.get("u1")).job == first


async def test_a_new_job_must_be_new(store: Store) -> None:
    await put(store, a_build("b1"))
    with pytest.raises(Conflict):
        await put(store, a_build("b1"))


async def test_one_bad_change_leaves_nothing_of_the_others(store: Store) -> None:
    await put(store, an_update("old"))
    good, bad = a_build("b1"), an_update("old")
    with pytest.raises(Conflict):
        await store.commit(
            [Change(job=good, expected=0), Change(job=bad, expected=7)],
            [entry(good), entry("refused")],
        )
    with pytest.raises(KeyError):
        await store.get("b1")
    assert await store.owner("build:b1") is None
    assert await store.jobs(JobKind.BUILD, ended=False) == []
    assert [line.event for line in await store.audit()] == ["Put"]
    assert (await take(store)).job.id == "old"
    assert await nothing_due(store)


async def test_a_job_may_not_be_twice_in_one_commit(store: Store) -> None:
    job = a_build("b1")
    with pytest.raises(ValueError, match="twice"):
        await store.commit([Change(job=job, expected=0), Change(job=job, expected=0)], [])


# --- keys -----------------------------------------------------------------------------------


async def test_a_pool_has_one_active_update(store: Store) -> None:
    await put(store, an_update("u1", pool="infra"))
    with pytest.raises(Conflict, match="u1"):
        await put(store, an_update("u2", pool="infra"))
    assert await store.owner("update:east/infra") == "u1"


async def test_two_new_jobs_of_one_commit_may_not_want_one_key(store: Store) -> None:
    both = [Change(job=an_update(name, pool="infra"), expected=0) for name in ("u1", "u2")]
    with pytest.raises(Conflict):
        await store.commit(both, [])
    assert await store.jobs(JobKind.UPDATE, ended=False) == []


@pytest.mark.parametrize("order", [1, -1], ids=["old-first", "new-first"])
async def test_a_newer_update_supersedes_in_one_commit(store: Store, order: int) -> None:
    old = an_update("u1", pool="infra")
    await put(store, old)
    ended = replace(old, state=UpdateState.SUPERSEDED)
    changes = [
        Change(job=ended, expected=1, due_in_seconds=None),
        Change(job=an_update("u2", pool="infra"), expected=0),
    ]
    await store.commit(changes[::order], [])
    assert await store.owner("update:east/infra") == "u2"
    assert (await take(store)).job.id == "u2"
    assert await nothing_due(store)


async def test_an_ended_update_frees_its_pool(store: Store) -> None:
    await put(store, an_update("u1", pool="infra"))
    ended = an_update("u1", pool="infra", state=UpdateState.FAILED)
    await store.commit([Change(job=ended, expected=1, due_in_seconds=None)], [])
    assert await store.owner("update:east/infra") is None
    await put(store, an_update("u2", pool="infra"))


async def test_a_ready_build_keeps_its_key_until_it_is_built_again(store: Store) -> None:
    await put(store, a_build("b1", key="k"))
    with pytest.raises(Conflict):
        await put(store, a_build("b2", key="k"))
    ready = a_build("b1", key="k", state=BuildState.READY)
    await store.commit([Change(job=ready, expected=1, due_in_seconds=None)], [])
    assert await store.owner("build:k") == "b1"
    await put(store, a_build("b2", key="k"))
    assert await store.owner("build:k") == "b2"


async def test_a_failed_build_frees_its_key(store: Store) -> None:
    await put(store, a_build("b1", key="k"))
    failed = a_build("b1", key="k", state=BuildState.FAILED)
    await store.commit([Change(job=failed, expected=1, due_in_seconds=None)], [])
    assert await store.owner("build:k") is None


async def test_a_late_end_does_not_free_the_key_of_another(store: Store) -> None:
    await put(store, a_build("b1", key="k"))
    ready = a_build("b1", key="k", state=BuildState.READY)
    await store.commit([Change(job=ready, expected=1, due_in_seconds=None)], [])
    await put(store, a_build("b2", key="k"))
    failed = a_build("b1", key="k", state=BuildState.FAILED)
    await store.commit([Change(job=failed, expected=2, due_in_seconds=None)], [])
    assert await store.owner("build:k") == "b2"


# --- indexes --------------------------------------------------------------------------------


async def test_jobs_are_listed_newest_first_and_move_when_they_end(store: Store) -> None:
    for number in range(3):
        await put(store, an_update(f"u{number}", created_at=START + timedelta(seconds=number)))
    assert [s.job.id for s in await store.jobs(JobKind.UPDATE, ended=False)] == ["u2", "u1", "u0"]
    ended = replace(an_update("u1"), state=UpdateState.DONE)
    await store.commit([Change(job=ended, expected=1, due_in_seconds=None)], [])
    assert [s.job.id for s in await store.jobs(JobKind.UPDATE, ended=False)] == ["u2", "u0"]
    assert [s.job.id for s in await store.jobs(JobKind.UPDATE, ended=True)] == ["u1"]
    assert await store.jobs(JobKind.BUILD, ended=False) == []


async def test_five_hundred_ended_jobs_are_shown_and_none_is_forgotten(store: Store) -> None:
    jobs = [
        replace(a_build(f"b{n:03}"), state=BuildState.FAILED, changed_at=START + timedelta(hours=n))
        for n in range(502)
    ]
    changes = [Change(job=job, expected=0, due_in_seconds=None) for job in jobs]
    await store.commit(changes, [])
    shown = await store.jobs(JobKind.BUILD, ended=True)
    assert [shown[0].job.id, shown[-1].job.id, len(shown)] == ["b501", "b002", 500]
    assert (await store.get("b000")).version == 1


async def test_a_pool_has_its_own_history(store: Store) -> None:
    for number in range(3):
        made_at = START + timedelta(seconds=number)
        ended = an_update(f"u{number}", pool="infra", state=UpdateState.DONE, created_at=made_at)
        await put(store, ended, due_in_seconds=None)
    await put(store, an_update("other", pool="gpu"))
    assert [s.job.id for s in await store.history("east", "infra", 2)] == ["u2", "u1"]
    assert await store.history("west", "infra", 2) == []
    assert await store.history("east", "infra", 0) == []


# --- audit ----------------------------------------------------------------------------------


async def test_audit_is_told_oldest_first_and_by_job(store: Store) -> None:
    await put(store, a_build("b1"))
    await put(store, an_update("u1"))
    refused = entry("", "RefusedVote")
    await store.audit_only(refused)
    assert [(e.job, e.event) for e in await store.audit()] == [
        ("b1", "Put"),
        ("u1", "Put"),
        ("", "RefusedVote"),
    ]
    assert [e.job for e in await store.audit("u1")] == ["u1"]
    assert await store.audit(limit=1) == [refused]
    assert await store.audit("nobody") == []
    assert await store.audit("") == []


# --- what people see ------------------------------------------------------------------------


async def test_only_the_newest_lines_of_a_log_are_kept(store: Store) -> None:
    await store.add_log("b1", [f"line {n}" for n in range(1500)])
    await store.add_log("b1", [f"line {n}" for n in range(1500, 2500)])
    kept = await store.log("b1")
    assert (len(kept), kept[0], kept[-1]) == (2000, "line 500", "line 2499")
    assert await store.log("b2") == []


async def test_a_log_line_is_cut_and_cannot_steer_a_terminal(store: Store) -> None:
    await store.add_log("b1", ["x" * 600, "\x1b[2Jgone\r", "Grüße", "broken \ud800"])
    await store.add_log("b1", [])
    assert await store.log("b1") == ["x" * 500, " [2Jgone ", "Grüße", "broken  "]


async def test_progress_and_views_are_small_snapshots(store: Store) -> None:
    assert await store.progress("u1") == {}
    await store.set_progress("u1", {"nodes": {"total": 3, "updated": 1}})
    await store.set_progress("u1", {"nodes": {"total": 3, "updated": 2}})
    assert await store.progress("u1") == {"nodes": {"total": 3, "updated": 2}}
    await store.put_view("east/infra", {"decision": "hold"})
    await store.put_view("east/gpu", {"decision": "in step"})
    assert await store.views() == {
        "east/infra": {"decision": "hold"},
        "east/gpu": {"decision": "in step"},
    }


async def test_a_snapshot_that_is_too_large_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match="shorten"):
        await store.set_progress("u1", {"text": "x" * 70_000})
    with pytest.raises(Refused, match="shorten"):
        await store.put_view("east/infra", {"text": "x" * 70_000})
    assert await store.progress("u1") == {}
    assert await store.views() == {}


async def test_what_was_rolled_back_is_remembered_until_a_person_asks(store: Store) -> None:
    await store.remember("east", "infra", "k1", "rolled back: node-1 degraded")
    await store.remember("east", "infra", "k2", "rejected by ann")
    await store.remember("east", "gpu", "k1", "rejected by bob")
    assert await store.remembered("east", "infra") == {
        "k1": "rolled back: node-1 degraded",
        "k2": "rejected by ann",
    }
    await store.forget("east", "infra")
    assert await store.remembered("east", "infra") == {}
    assert await store.remembered("east", "gpu") == {"k1": "rejected by bob"}


# --- leadership -----------------------------------------------------------------------------


async def test_one_replica_leads_until_its_lease_ends(store: Store, clock: ManualClock) -> None:
    assert await store.lead("a", 10)
    assert not await store.lead("b", 10)
    clock.forward(9)
    assert await store.lead("a", 10)
    clock.forward(9)
    assert not await store.lead("b", 10)
    clock.forward(1)
    assert await store.lead("b", 10)
    assert not await store.lead("a", 10)


async def test_a_leader_that_resigns_is_followed_at_once(store: Store) -> None:
    assert await store.lead("a", 10)
    await store.resign("b")
    assert not await store.lead("b", 10)
    await store.resign("a")
    assert await store.lead("b", 10)


async def test_the_store_answers(store: Store) -> None:
    await store.ping()

"""Figures of jobs, approvals, builds and the queue: from the store, at each scrape."""

from datetime import timedelta

from tests.facts import T0, an_update, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.figures import a_build, put, scrape
from watcher.core.build import BuildState
from watcher.core.jobs import JobKind
from watcher.core.update_events import UpdateState
from watcher.metrics import Metrics

S = UpdateState
WHERE = {"cluster": "prod", "pool": "infra"}


async def test_an_update_is_in_its_state_since_it_came_into_it(store: FakeStore) -> None:
    """A vote changes an update and leaves it in its state."""
    came = T0 - seconds(600)
    voted = an_update(
        state=S.AWAITING_APPROVAL, changed_at=T0, times=((str(S.AWAITING_APPROVAL), came),)
    )
    await put(store, voted)
    found = await scrape(store)
    name = "relayer_update_state_timestamp_seconds"
    assert found.value(name, **WHERE, state="awaiting-approval") == came.timestamp()
    at = found.value("relayer_approval_requested_timestamp_seconds", **WHERE)
    assert at == came.timestamp()


async def test_the_newest_update_of_a_pool_counts_and_an_active_one_first(
    store: FakeStore,
) -> None:
    old = an_update(id="u-0", state=S.FAILED, changed_at=T0 + seconds(9))
    await put(store, old, an_update(state=S.SCHEDULED))
    found = await scrape(store)
    assert found.having("relayer_update_state_timestamp_seconds") == {
        ("prod", "infra", "scheduled"): T0.timestamp()
    }


async def test_approvals_wait_unless_they_are_put_off(store: FakeStore) -> None:
    put_off = T0 + timedelta(hours=1)
    snoozed = an_update(state=S.AWAITING_APPROVAL, snoozed_until=put_off, snoozed_by="ann")
    await put(store, snoozed)
    found = await scrape(store, clusters=["prod", "test"])
    waiting = {("prod",): 0.0, ("test",): 0.0}
    assert found.having("relayer_approvals_waiting") == waiting
    assert found.having("relayer_approval_requested_timestamp_seconds") == {}
    found = await scrape(store, clusters=["prod", "test"], now=put_off)
    assert found.having("relayer_approvals_waiting") == waiting | {("prod",): 1.0}


async def test_ends_are_counted_once_whoever_brought_them_about(store: FakeStore) -> None:
    metrics = Metrics()
    await put(store, a_build("b-0", BuildState.READY))
    found = await scrape(store, metrics=metrics, clusters=["prod"])
    name, counted = "relayer_updates_ended_total", {"cluster": "prod", "result": "rejected"}
    assert found.value(name, **counted) == 0
    assert found.value("relayer_builds_ended_total", result="ready") == 0, "ended before us"
    times = ((str(S.WAITING_FOR_BUILD), T0), (str(S.REJECTED), T0 + seconds(60)))
    ended = an_update(state=S.REJECTED, changed_at=T0 + seconds(60), times=times)
    await put(store, ended, a_build("b-1", BuildState.FAILED))
    for _ in range(2):
        found = await scrape(store, metrics=metrics, clusters=["prod"])
        assert found.value(name, **counted) == 1
        assert found.value("relayer_builds_ended_total", result="failed") == 1
        took = found.value("relayer_update_duration_seconds_sum", result="rejected")
        assert took == 60
        took = found.value("relayer_update_state_duration_seconds_sum", state="waiting-for-build")
        assert took == 60
        assert found.value("relayer_build_duration_seconds_sum", result="failed") == 90


async def test_failed_builds_in_a_row_end_with_one_that_is_ready(store: FakeStore) -> None:
    builds = [
        a_build("b-1", BuildState.FAILED, T0 - seconds(50)),
        a_build("b-2", BuildState.READY, T0 - seconds(40)),
        a_build("b-3", BuildState.FAILED, T0 - seconds(30)),
        a_build("b-4", BuildState.FAILED, T0 - seconds(20)),
        a_build("b-5", BuildState.READY, T0 - seconds(10), recipe="web"),
        a_build("b-6", BuildState.FAILED, T0 - timedelta(days=8), recipe="old"),
    ]
    await put(store, *builds)
    found = await scrape(store)
    name = "relayer_builds_failed_in_a_row"
    assert found.having(name) == {("gpu",): 2, ("web",): 0}


async def test_a_rollout_that_is_late_is_told(store: FakeStore) -> None:
    update = an_update(state=S.ROLLING_OUT)
    await put(store, update)
    found = await scrape(store)
    assert found.value("relayer_update_stalled", **WHERE) == 0
    await store.set_progress(update.id, {"phase": "stalled"})
    found = await scrape(store)
    assert found.value("relayer_update_stalled", **WHERE) == 1


async def test_how_the_queue_stands_is_told_by_kind(store: FakeStore, clock: FixedClock) -> None:
    await put(store, an_update(), a_build("b-1", BuildState.QUEUED))
    await store.claim("w", 600, [JobKind.BUILD])
    clock.advance(42)
    found = await scrape(store, now=clock.now())
    for kind, numbers in {"update": (1, 1, 0, 42), "build": (0, 0, 1, 0)}.items():
        names = ("waiting", "due", "leased", "oldest_due_seconds")
        assert numbers == tuple(found.value(f"relayer_queue_{n}", kind=kind) for n in names)

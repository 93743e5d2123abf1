"""What alerts are made from: views, updates, builds and the queue, as the store has them."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import INFRA, PROD, T0, a_build, an_update, base_image, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.figures import put
from watcher.core.alerts import Facts
from watcher.core.build import Build, BuildState
from watcher.core.rollout import Phase
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.core.windows import Blackout
from watcher.settings import PoolSettings, Settings
from watcher.telling.gathering import Gathering

S = UpdateState
PLACE = "prod/infra"
POOL = PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu")
DAY = 86400


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(FixedClock())


async def gathered(store: FakeStore, pool: PoolSettings = POOL, *, after: float = 0) -> Facts:
    gathering = Gathering(store=store, settings=Settings(pools=(pool,)), surveyed=lambda: ())
    return await gathering.facts([], T0 + seconds(after))


def ended_build(number: int, state: BuildState, **said: Any) -> Build:
    at, because = T0 + seconds(number), "no space"
    return a_build(
        id=f"b-{number}", key=str(number), state=state, changed_at=at, ended_because=because, **said
    )


async def show(store: FakeStore, decision: str, base: str = "4.16.3") -> None:
    view = {"decision": decision, "expected_base": str(base_image(base))}
    await store.put_view(f"pool:{PLACE}", view)


# --- builds --------------------------------------------------------------------------------------


async def test_builds_that_failed_since_the_last_good_one_are_counted(store: FakeStore) -> None:
    await show(store, "Hold")
    for number, state in enumerate(
        (BuildState.FAILED, BuildState.READY, BuildState.FAILED, BuildState.FAILED)
    ):
        await put(store, ended_build(number, state))
    failing = (await gathered(store)).failing[PLACE]
    assert (failing.number, failing.build, failing.recipe) == (2, "b-3", "gpu")
    assert (failing.since, failing.because) == (T0 + seconds(2), "no space")
    await put(store, ended_build(4, BuildState.READY))
    assert (await gathered(store)).failing == {}


@pytest.mark.parametrize(
    ("decision", "base", "recipe"),
    [("InStep", "4.16.3", "gpu"), ("Hold", "4.16.4", "gpu"), ("Hold", "4.16.3", "net")],
    ids=["the pool needs none", "another base", "another recipe"],
)
async def test_builds_that_no_pool_needs_are_nobody_s_trouble(
    store: FakeStore, decision: str, base: str, recipe: str
) -> None:
    await show(store, decision, base)
    await put(store, ended_build(1, BuildState.FAILED, recipe=recipe))
    assert (await gathered(store)).failing == {}


async def test_a_pool_never_looked_at_has_no_builds_that_fail(store: FakeStore) -> None:
    await put(store, ended_build(1, BuildState.FAILED))
    facts = await gathered(store)
    assert facts.failing == {}
    assert [(view["cluster"], view["pool"]) for view in facts.views] == [("prod", "infra")]


# --- approvals -----------------------------------------------------------------------------------


def asking(number: int, state: UpdateState, *, after: float, **said: Any) -> Update:
    at = T0 + seconds(after)
    times: list[tuple[str, Any]] = [("waiting-for-build", at), ("awaiting-approval", at)]
    if state is not S.AWAITING_APPROVAL:
        times.append((str(state), at + seconds(DAY)))
    known: dict[str, Any] = {"approval": None, "created_at": at, "changed_at": times[-1][1]}
    return an_update(id=f"u-{number}", state=state, times=tuple(times), **(known | said))


async def test_people_are_asked_since_the_first_update_that_nobody_decided(
    store: FakeStore,
) -> None:
    await put(store, asking(1, S.REJECTED, after=0))
    await put(store, asking(2, S.EXPIRED, after=DAY))
    await put(store, asking(3, S.EXPIRED, after=2 * DAY))
    await put(store, asking(4, S.AWAITING_APPROVAL, after=3 * DAY))
    facts = await gathered(store, after=4 * DAY)
    assert facts.asked == {PLACE: T0 + seconds(DAY)}
    assert facts.active[PLACE].id == "u-4"
    assert facts.ended[PLACE].id == "u-3"


async def test_who_put_it_off_is_asked_since_then(store: FakeStore) -> None:
    await put(store, asking(1, S.EXPIRED, after=0))
    until = T0 + seconds(3 * DAY)
    await put(store, asking(2, S.AWAITING_APPROVAL, after=DAY, snoozed_until=until))
    assert (await gathered(store, after=2 * DAY)).asked == {PLACE: until}


async def test_nobody_is_asked_where_the_policy_says_yes(store: FakeStore) -> None:
    policy = replace(an_update().policy, approval=replace(an_update().policy.approval, auto=True))
    await put(store, asking(1, S.AWAITING_APPROVAL, after=0, policy=policy))
    assert (await gathered(store, after=DAY)).asked == {}


# --- rollouts, blackouts, queue ------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.ROLLING_OUT, S.SOAKING, S.ROLLING_BACK])
async def test_a_rollout_that_is_late_says_by_when_it_should_have_ended(
    store: FakeStore, state: UpdateState
) -> None:
    await put(store, an_update(state=state))
    await store.set_progress("u-1", {"phase": str(Phase.ROLLING), "waiting": "1 of 3"})
    assert (await gathered(store)).late == {}
    await store.set_progress("u-1", {"phase": str(Phase.STALLED), "waiting": "it is late"})
    assert (await gathered(store)).late == {PLACE: "it is late"}


async def test_progress_of_what_waits_is_not_looked_at(store: FakeStore) -> None:
    await put(store, an_update(state=S.SCHEDULED))
    await store.set_progress("u-1", {"phase": str(Phase.STALLED), "waiting": "old"})
    assert (await gathered(store)).late == {}


async def test_a_pool_in_a_blackout_is_known(store: FakeStore) -> None:
    out = Blackout(first="2026-11-18", last="2026-11-18", reason="a fair")
    pool = replace(POOL, policy=Policy(blackouts=(out,)))
    assert (await gathered(store, pool)).blacked_out == {PLACE}
    assert (await gathered(store, pool, after=3 * DAY)).blacked_out == frozenset()


async def test_the_queue_is_told_by_kind(store: FakeStore) -> None:
    await put(store, an_update(state=S.SCHEDULED))
    assert (await gathered(store, after=600)).queue == {"build": 0.0, "update": 600.0}

"""The pools that go first, as they are seen: what they run, since when, and how it went."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from handlers.clear import ClearHandler
from tests.facts import (
    INFRA,
    PROD,
    T0,
    a_pool,
    a_recipe,
    a_target,
    a_version,
    an_update,
    conditions,
    image,
    our_override,
    release_image,
    seconds,
)
from tests.fakes import FakeCluster, FakeImages
from tests.scene import POLL, Scene, key_of, ours, payload
from watcher.core.drift import MAX_AGE, Observation
from watcher.core.facts import ClusterName, PoolName, Pullspec
from watcher.core.images import Payload
from watcher.core.order import After, OtherPool
from watcher.core.update import Policy, Update
from watcher.core.update_events import Cleared, ClearForApply, Kind, UpdateState
from watcher.ports import Change, Cluster, Transient
from watcher.scout import Scout

S = UpdateState
STAGE = ClusterName("stage")
HOUR, DAY = 3600, 86400
FIRST = After(place="stage/infra", soak_seconds=DAY)
LONG_AGO = T0 - seconds(30 * DAY)


def layered(version: str, **said: Any) -> Update:
    """The update of `stage` that once brought its pool there."""
    default: dict[str, Any] = {
        "id": f"u-stage-{version}",
        "cluster": STAGE,
        "state": S.DONE,
        "target": a_target(version, build_key=key_of(version)),
        "image": image(f"layered {version}"),
    }
    return an_update(**{**default, **said})


class Fleet:
    """`prod/infra` follows `stage/infra`, which has run 4.16.3 for long, unless said otherwise."""

    def __init__(self, *, after: tuple[After, ...] = (FIRST,), runs: str = "4.16.3") -> None:
        self.scene = Scene(policy=Policy(after=after))
        self.clock, self.store = self.scene.clock, self.scene.store
        self.stage = FakeCluster(self.clock, override=layered(runs))
        self.stage.name = STAGE
        self.well_since(LONG_AGO)
        self.images: FakeImages = self.scene.images
        self.join()

    def join(self) -> None:
        scene, self.clusters = self.scene, {PROD: self.scene.cluster, STAGE: self.stage}
        clusters: dict[ClusterName, Cluster] = dict(self.clusters)
        scene.observer = replace(scene.observer, clusters=clusters, images=self.images)
        scene.planner = replace(scene.planner, observer=scene.observer)
        scout = Scout(scene.settings, scene.observer, self.images, self.clock, self.store)
        scene.clear = ClearHandler(scout, clusters, self.store, self.clock, POLL)

    def well_since(self, at: datetime | None) -> None:
        said = conditions(Updated="True", Updating="False", Degraded="False")
        moved = tuple(replace(one, last_transition=at) for one in said)
        self.stage.edit_pool(conditions=moved)

    async def record(self, **said: Any) -> Update:
        """What Relayer remembers of an update of `stage`."""
        update = layered("4.16.3", **said)
        await self.store.commit([Change(job=update, expected=0, due_in_seconds=None)], [])
        return update

    async def waits(self, **said: Any) -> str:
        """What an approved update of `prod` waits for; empty: it begins."""
        update = replace(self.scene.update, **said)
        event = await self.scene.clear(update, ClearForApply(update.binding), ours)
        if isinstance(event, Cleared):
            return ""
        return str((await self.store.progress(update.id))["waiting"])

    async def seen(self) -> OtherPool:
        found = await self.scene.observer.observe(PROD, INFRA)
        assert isinstance(found, Observation)
        (other,) = found.others
        return other


# --- in order -------------------------------------------------------------------------------------


async def test_what_has_soaked_where_it_goes_first_begins() -> None:
    assert await Fleet().waits() == ""


async def test_without_a_rule_no_other_pool_is_looked_at() -> None:
    fleet = Fleet(after=(), runs="4.16.1")
    found = await fleet.scene.observer.observe(PROD, INFRA)
    assert isinstance(found, Observation)
    assert found.others == ()
    assert await fleet.waits() == ""


async def test_a_pool_that_goes_first_and_has_not_taken_it_is_waited_for() -> None:
    said = await Fleet(runs="4.16.1").waits()
    assert said == "stage/infra has to take 4.16.3 first; it does not run it yet"


async def test_a_pool_whose_cluster_is_on_another_release_is_waited_for() -> None:
    fleet = Fleet(runs="4.16.1")
    fleet.stage.version = a_version("4.16.1", before="4.16.0")
    said = await fleet.waits()
    assert said == "stage/infra has to take 4.16.3 first; its cluster is on another release"


async def test_a_pool_that_is_updating_is_waited_for() -> None:
    fleet = Fleet()
    fleet.stage.begin("node-0")
    assert "it is updating or degraded" in await fleet.waits()


async def test_a_pool_that_is_degraded_is_waited_for() -> None:
    fleet = Fleet()
    fleet.stage.edit_pool(conditions=conditions(Updated="True", Updating="False", Degraded="True"))
    assert "it is updating or degraded" in await fleet.waits()


async def test_the_stock_image_with_the_release_counts_as_having_taken_it() -> None:
    fleet = Fleet()
    fleet.stage.machine_configs.clear()
    assert (await fleet.seen()).on_base
    assert await fleet.waits() == ""


async def test_the_stock_image_during_an_upgrade_has_not_taken_it() -> None:
    fleet = Fleet()
    fleet.stage.machine_configs.clear()
    fleet.stage.version = a_version("4.16.3", completed=False)
    assert not (await fleet.seen()).on_base


async def test_a_pool_of_the_same_cluster_may_go_first() -> None:
    fleet = Fleet(after=(After(place="prod/canary", soak_seconds=0),))
    fleet.scene.cluster.pools["canary"] = a_pool("canary", nodes=0)
    assert (await fleet.seen()).problem == ""


async def test_of_two_that_go_first_both_are_waited_for() -> None:
    fleet = Fleet(after=(FIRST, After(place="lab/infra", soak_seconds=0)), runs="4.16.1")
    said = await fleet.waits()
    assert "stage/infra has to take 4.16.3 first" in said
    assert "lab/infra has to take 4.16.3 first" in said


async def test_the_way_to_the_stock_image_waits_for_nobody() -> None:
    fleet = Fleet(runs="4.16.1")
    assert "stage/infra" not in await fleet.waits(kind=Kind.STOCK)


async def test_a_look_says_what_is_waited_for_before_anybody_has_approved() -> None:
    plan = await Fleet(runs="4.16.1").scene.planner.plan(PROD, INFRA)
    assert plan.unmet == ("stage/infra has to take 4.16.3 first; it does not run it yet",)


# --- soaking --------------------------------------------------------------------------------------


async def test_it_soaks_since_the_cluster_calls_the_pool_updated() -> None:
    fleet = Fleet()
    fleet.well_since(T0 - seconds(HOUR))
    assert await fleet.waits() == (
        "stage/infra has run it since 2026-11-18 07:00 UTC; it soaks until 2026-11-19 07:00 UTC"
    )


async def test_it_begins_when_the_soak_ends_and_not_a_second_before() -> None:
    fleet = Fleet()
    fleet.well_since(T0 - seconds(HOUR))
    fleet.clock.advance(DAY - HOUR - 1)
    assert "it soaks until" in await fleet.waits()
    fleet.clock.advance(1)
    assert await fleet.waits() == ""


async def test_it_soaks_since_our_records_say_it_was_done() -> None:
    fleet = Fleet()
    await fleet.record(changed_at=T0 - seconds(HOUR))
    assert "has run it since 2026-11-18 07:00 UTC" in await fleet.waits()


async def test_where_the_cluster_does_not_say_since_when_our_records_do() -> None:
    fleet = Fleet()
    fleet.well_since(None)
    assert "nobody knows since when" in await fleet.waits()
    await fleet.record(changed_at=LONG_AGO)
    assert await fleet.waits() == ""


async def test_a_way_to_the_stock_image_that_was_done_says_nothing_of_the_release() -> None:
    fleet = Fleet()
    fleet.well_since(None)
    await fleet.record(kind=Kind.STOCK, changed_at=LONG_AGO)
    assert (await fleet.seen()).done_at is None


class SameRecipe(Fleet):
    """`stage/infra` is configured too, with the recipe that `prod/infra` has."""

    def __init__(self) -> None:
        super().__init__()
        pools = self.scene.settings.pools
        there = replace(pools[0], cluster=STAGE, policy=Policy())
        self.scene.settings = replace(self.scene.settings, pools=(*pools, there))
        self.scene.observer = replace(self.scene.observer, settings=self.scene.settings)
        self.join()


async def test_a_canary_with_the_recipe_as_it_is_now_is_followed() -> None:
    assert await SameRecipe().waits() == ""


async def test_a_recipe_that_changed_goes_to_its_canary_first() -> None:
    fleet = SameRecipe()
    fleet.scene.recipe = a_recipe("changed")
    target = replace(fleet.scene.update.target, recipe_digest=fleet.scene.recipe.digest)
    said = await fleet.waits(target=target)
    assert "stage/infra has to take 4.16.3 first; it does not run it yet" in said


async def test_what_was_done_with_the_recipe_as_it_was_does_not_count() -> None:
    fleet = SameRecipe()
    await fleet.record()
    assert (await fleet.seen()).done_at == T0
    await fleet.record(
        id="u-other", target=replace(layered("4.16.3").target, recipe_digest=image("x").digest)
    )
    assert (await fleet.seen()).done_at == T0


async def test_what_was_done_for_another_release_does_not_count() -> None:
    fleet = Fleet()
    await fleet.record(id="u-old", target=a_target("4.16.1"), changed_at=T0)
    assert (await fleet.seen()).done_at is None


async def test_a_cluster_that_has_moved_on_keeps_what_it_has_proved() -> None:
    fleet = Fleet(runs="4.17.0")
    fleet.stage.version = a_version("4.17.0")
    await fleet.record(changed_at=LONG_AGO)
    assert await fleet.waits() == ""


# --- failed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.ROLLING_BACK, S.ROLLED_BACK, S.STUCK, S.FAILED])
async def test_where_it_failed_first_nothing_follows_however_long_ago(state: UpdateState) -> None:
    fleet = Fleet()
    await fleet.record(state=state, ended_because="node-0 is Degraded")
    fleet.clock.advance(5 * DAY)
    assert await fleet.waits() == (
        f"stage/infra failed with 4.16.3: u-stage-4.16.3 is {state}: node-0 is Degraded; "
        "nothing follows it"
    )


@pytest.mark.parametrize("state", [S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.ROLLING_OUT])
async def test_what_did_not_fail_there_is_no_failure(state: UpdateState) -> None:
    fleet = Fleet()
    await fleet.record(state=state)
    assert (await fleet.seen()).failed == ""


async def test_what_failed_with_another_release_is_no_failure() -> None:
    fleet = Fleet()
    await fleet.record(state=S.ROLLED_BACK, target=a_target("4.16.1"))
    assert await fleet.waits() == ""


async def test_what_failed_and_then_went_well_may_be_followed() -> None:
    fleet = Fleet()
    await fleet.record(id="u-a", state=S.ROLLED_BACK, created_at=LONG_AGO)
    done = LONG_AGO + seconds(DAY)
    await fleet.record(id="u-b", state=S.DONE, created_at=done, changed_at=done)
    assert await fleet.waits() == ""


async def test_what_went_well_and_then_failed_is_not_followed() -> None:
    fleet = Fleet()
    await fleet.record(id="u-a", state=S.DONE, created_at=LONG_AGO, changed_at=LONG_AGO)
    await fleet.record(id="u-b", state=S.STUCK, created_at=T0)
    assert "u-b is stuck" in await fleet.waits()


async def test_a_second_try_that_is_not_done_does_not_hide_the_failure() -> None:
    fleet = Fleet()
    await fleet.record(id="u-a", state=S.ROLLED_BACK, created_at=LONG_AGO)
    await fleet.record(id="u-b", state=S.AWAITING_APPROVAL, created_at=T0)
    assert "u-a is rolled-back" in await fleet.waits()


# --- not to be seen -------------------------------------------------------------------------------


async def test_a_cluster_that_nobody_configured_is_waited_for() -> None:
    fleet = Fleet(after=(After(place="moon/infra", soak_seconds=0),))
    assert await fleet.waits() == (
        "moon/infra has to take 4.16.3 first, and cannot be seen: "
        "cluster moon is not looked at here"
    )


async def test_a_cluster_that_was_not_read_yet_is_waited_for() -> None:
    fleet = Fleet()
    fleet.stage.version = None  # type: ignore[assignment] # as before the first answer
    assert "ClusterVersion `version` was not seen yet" in await fleet.waits()


async def test_a_pool_that_is_not_there_is_waited_for() -> None:
    fleet = Fleet(after=(After(place="stage/gone", soak_seconds=0),))
    assert "stage has no MachineConfigPool gone" in await fleet.waits()


async def test_a_cluster_that_was_not_seen_for_long_is_waited_for() -> None:
    """What its watch still shows was true once; since then a node may have died of the release."""
    fleet = Fleet()
    fleet.stage.lag()
    fleet.clock.advance(MAX_AGE.total_seconds())
    assert await fleet.waits() == ""
    fleet.clock.advance(1)
    assert await fleet.waits() == (
        "stage/infra has to take 4.16.3 first, and cannot be seen: stage was not seen for too long"
    )


async def test_a_cluster_seen_before_the_clock_was_put_back_is_waited_for() -> None:
    fleet = Fleet()
    fleet.stage.lag()
    fleet.clock.advance(-60)
    assert await fleet.waits() == ""
    fleet.clock.advance(-1)
    assert "stage was not seen for too long" in await fleet.waits()


async def test_a_release_that_is_named_wrongly_there_is_a_problem_of_that_pool_alone() -> None:
    fleet = Fleet()
    fleet.stage.version = a_version("latest")
    assert "not a version" in (await fleet.seen()).problem


class Picky(FakeImages):
    """A registry that does not answer about one release."""

    async def payload(self, release: Pullspec) -> Payload:
        if release == release_image("4.15.9"):
            raise Transient("quay.io: 503")
        return await super().payload(release)


async def test_a_registry_that_does_not_answer_about_it_is_a_problem_of_that_pool_alone() -> None:
    fleet = Fleet()
    fleet.stage.version = a_version("4.15.9")
    fleet.images = Picky(payloads={release_image("4.16.3"): payload("4.16.3")})
    fleet.join()
    assert (await fleet.seen()).problem == "quay.io: 503"


async def test_an_override_there_that_was_edited_by_hand_has_not_taken_it() -> None:
    fleet = Fleet()
    fleet.stage.put(our_override(layered("4.16.3"), os_image_url="example.com/by-hand:1"))
    assert not (await fleet.seen()).on_base


# --- when a release was first seen ----------------------------------------------------------------


async def first_seen(scene: Scene) -> datetime | None:
    found = await scene.observer.observe(PROD, INFRA)
    assert isinstance(found, Observation)
    return found.release_seen_at


async def test_a_release_is_as_old_as_the_first_look_at_it() -> None:
    scene = Scene()
    assert await first_seen(scene) == T0
    scene.clock.advance(DAY)
    assert await first_seen(scene) == T0


async def test_another_release_is_new_again() -> None:
    scene = Scene()
    await first_seen(scene)
    scene.clock.advance(DAY)
    scene.upgrade("4.17.0", completed=True)
    assert await first_seen(scene) == T0 + seconds(DAY)


async def test_a_release_is_as_old_as_its_first_look_by_any_pool() -> None:
    scene = Scene()
    scene.cluster.pools["gpu"] = a_pool("gpu", nodes=0)
    scene.configure(scene.policy, pools=("infra", "gpu"))
    await scene.observer.observe(PROD, PoolName("gpu"))
    scene.clock.advance(DAY)
    assert await first_seen(scene) == T0


async def waiting(scene: Scene) -> str:
    event = await scene.clear(scene.update, ClearForApply(scene.update.binding), ours)
    if isinstance(event, Cleared):
        return ""
    return str((await scene.store.progress("u-1"))["waiting"])


async def test_a_release_must_be_old_enough_and_then_begins() -> None:
    scene = Scene(policy=Policy(min_age_seconds=3 * DAY))
    await first_seen(scene)
    scene.clock.advance(3 * DAY - 1)
    assert await waiting(scene) == "release first seen 2026-11-18 08:00 UTC; this policy waits 3d"
    scene.clock.advance(1)
    assert await waiting(scene) == ""

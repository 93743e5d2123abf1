"""Rollouts that are easily misjudged: lagging watches, other people's troubles, pools that go."""

from dataclasses import replace

import pytest

from tests.facts import INFRA, PROD, SETTLED, conditions
from tests.scene import Scene
from tests.unit.test_handlers_rollout import OLD, WAIT, applied, broken, climbed, followed, soaked
from watcher.bootstrap import Clusters
from watcher.core.cluster import Condition
from watcher.core.drift import Hold
from watcher.core.update_events import RolledBack, RolledOut, Soaked, TakenOver, UpdateState
from watcher.planner import Plan
from watcher.planning import Leadership, Planning
from watcher.ports import Transient


@pytest.mark.parametrize("soaking", [False, True])
async def test_a_pool_that_was_deleted_on_the_way_ends_the_update(soaking: bool) -> None:
    scene = Scene()
    update = await applied(scene)
    del scene.cluster.pools["infra"]
    outcome = await (soaked if soaking else followed)(scene, update)
    assert isinstance(outcome, TakenOver), outcome
    assert "infra was deleted" in outcome.because


async def test_a_pool_that_only_the_watch_does_not_know_is_waited_for() -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.lag()
    assert scene.cluster.lagging is not None
    scene.cluster.lagging = replace(scene.cluster.lagging, pools={})
    with pytest.raises(Transient):
        await followed(scene, update)


async def test_a_node_that_falls_over_while_soaking_keeps_the_update_from_being_done() -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.render()
    scene.cluster.take(*scene.cluster.nodes)
    assert await followed(scene, update) == RolledOut()
    soaking = replace(update, state=UpdateState.SOAKING, changed_at=scene.clock.now())
    scene.cluster.edit_pool(
        ready_count=2, unavailable_count=1, conditions=conditions(Updated="False", Updating="True")
    )
    scene.clock.advance(update.policy.soak_seconds + 1)
    assert await soaked(scene, soaking) == WAIT
    scene.cluster.edit_pool(ready_count=3, unavailable_count=0, conditions=SETTLED)
    assert await soaked(scene, soaking) == Soaked()


@pytest.mark.parametrize(
    "kind", ["RenderDegraded", "PinnedImageSetsDegraded", "ImageBuildDegraded"]
)
async def test_what_is_not_the_nodes_trouble_is_no_reason_to_go_back(kind: str) -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.render()
    scene.cluster.take("node-0")
    told = Condition(type=kind, status="True", message="somebody else's")
    scene.cluster.edit_pool(conditions=(*conditions(Degraded="True", Updating="True"), told))
    assert await followed(scene, update) == WAIT
    assert "somebody else's" in str((await scene.store.progress(update.id))["waiting"])


async def test_a_watch_that_lags_does_not_end_the_way_back() -> None:
    """It still shows the pool as it was before the apply: all well on the old image."""
    scene = Scene()
    scene.cluster.lag()
    before = scene.cluster.lagging
    scene.cluster.catch_up()
    update = await broken(scene)
    for _ in range(3):
        await climbed(scene, update)
        scene.cluster.render()
    assert scene.image == OLD
    assert not scene.cluster.pools["infra"].paused
    scene.cluster.lagging = before
    assert await climbed(scene, update) == WAIT
    scene.cluster.catch_up()
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == RolledBack()


async def test_one_pool_that_cannot_be_decided_leaves_the_others_looked_at() -> None:
    looked: list[str] = []

    class Broken:
        async def pass_over(self, cluster: str, pool: str) -> Plan:
            looked.append(pool)
            raise KeyError("a record that is gone")

    scene = Scene()
    leadership = Leadership(scene.store, "here")
    places = [(PROD, INFRA), (PROD, type(INFRA)("gpu"))]
    planning = Planning(Broken(), leadership, places)  # type: ignore[arg-type]
    await planning._look(places)
    assert sorted(looked) == ["gpu", "infra"]


def test_a_cluster_that_is_no_longer_configured_is_told_by_name() -> None:
    with pytest.raises(Transient, match="cluster prod is not in the configuration"):
        Clusters()[PROD]


async def test_a_degraded_pool_is_never_said_to_be_in_step() -> None:
    """With the store lost in the middle of a rollout this is all that people are told."""
    scene = Scene()
    await applied(scene)
    scene.cluster.render()
    scene.cluster.begin("node-0", state="Degraded", why="rebase failed")
    told = conditions(Updating="True", NodeDegraded="True:node-0: rebase failed")
    scene.cluster.edit_pool(conditions=told)
    decision = (await scene.planner.plan(PROD, INFRA)).decision
    assert isinstance(decision, Hold)
    assert "rebase failed" in decision.because

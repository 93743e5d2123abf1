"""What may reach a cluster: exactly what was approved, on exactly the pools it was approved for."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.facts import (
    INFRA,
    OURS,
    PROD,
    a_machine_config,
    a_node,
    a_policy,
    a_pool,
    a_recipe,
    image,
)
from tests.scene import Scene, ours
from watcher.core import lineage
from watcher.core.drift import Hold, Observation
from watcher.core.update import Policy, Update, step
from watcher.core.update_events import (
    Applied,
    Apply,
    Cleared,
    ClearForApply,
    Kind,
    NotApplied,
)
from watcher.core.windows import Window
from watcher.ports import Refused

NEW = image("new")
STOCK = Kind.STOCK


async def cleared(scene: Scene, update: Update) -> Update:
    event = await scene.clear(update, ClearForApply(update.binding), ours)
    assert isinstance(event, Cleared), await scene.store.progress(update.id)
    after = step(update, event, now=scene.clock.now())
    scene.cluster.writes.clear()
    return after


def recipe_edited(scene: Scene) -> None:
    scene.recipe = a_recipe("edited")


def another_recipe_configured(scene: Scene) -> None:
    scene.recipe = a_recipe("another", name="other")


def arm_node_joined(scene: Scene) -> None:
    node = a_node("node-arm", "worker", "infra", has="rendered-infra-1")
    scene.cluster.nodes["node-arm"] = replace(node, architecture="arm64")


@pytest.mark.parametrize("change", [recipe_edited, another_recipe_configured, arm_node_joined])
async def test_what_was_built_otherwise_than_is_wanted_now_is_not_applied(
    change: Callable[[Scene], None],
) -> None:
    scene = Scene()
    update = await cleared(scene, scene.update)
    change(scene)
    outcome = await scene.apply(update, Apply(NEW), ours)
    assert isinstance(outcome, NotApplied), outcome
    assert "since its image was built" in outcome.because
    assert scene.cluster.writes == []


async def test_a_fresh_look_knows_the_architectures_of_the_pool() -> None:
    scene = Scene()
    for name, node in scene.cluster.nodes.items():
        scene.cluster.nodes[name] = replace(node, architecture="arm64")
    seen = await scene.observer.observe(PROD, INFRA, fresh=True)
    assert isinstance(seen, Observation)
    assert seen.architectures == ("arm64",)


def worker_scene() -> Scene:
    """The configured pool is `worker`; `infra` inherits all that is made for it."""
    scene = Scene(runs=None)
    scene.configure(a_policy(), pools=("worker",))
    scene.cluster.pools["worker"] = a_pool("worker", nodes=0, spec_sources=())
    return scene


async def test_an_override_of_worker_waits_while_another_pool_would_get_it_too() -> None:
    scene = worker_scene()
    update = replace(scene.update, pool=type(INFRA)("worker"))
    outcome = await scene.clear(update, ClearForApply(update.binding), ours)
    assert not isinstance(outcome, Cleared)
    said = (await scene.store.progress(update.id))["waiting"]
    assert "99-worker-relayer-osimage would also change infra" in str(said)


async def test_nobody_is_asked_about_an_override_that_would_change_another_pool() -> None:
    scene = worker_scene()
    decision = (await scene.planner.pass_over(PROD, type(INFRA)("worker"))).decision
    assert isinstance(decision, Hold)
    assert "would also change infra" in decision.because


async def test_an_inheriting_pool_with_an_override_of_its_own_is_not_in_the_way() -> None:
    scene = worker_scene()
    scene.cluster.put(a_machine_config(OURS, "infra", "registry.example.com/os/own:1"))
    update = replace(scene.update, pool=type(INFRA)("worker"))
    outcome = await scene.clear(update, ClearForApply(update.binding), ours)
    assert isinstance(outcome, Cleared)


async def test_a_note_that_cannot_be_written_does_not_keep_a_rollout_unwatched() -> None:
    scene = Scene()
    scene.cluster.edit_pool(
        meta=replace(scene.cluster.pools["infra"].meta, annotations={lineage.STOCK_BY: "ann"})
    )
    update = await cleared(scene, scene.update)
    scene.cluster.fails["annotate_pool"] = [Refused("403")]
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    assert scene.image == NEW


async def test_a_wish_for_the_stock_image_that_cannot_be_noted_touches_nothing() -> None:
    """Without the note the next look would layer the pool again."""
    scene = Scene()
    update = await cleared(scene, replace(scene.update, kind=STOCK, requested_by="ann"))
    scene.cluster.fails["annotate_pool"] = [Refused("403: may not patch the pool")]
    outcome = await scene.apply(update, Apply(NEW), ours)
    assert isinstance(outcome, NotApplied), outcome
    assert "may not patch the pool" in outcome.because
    assert OURS in scene.cluster.machine_configs


async def test_a_stock_image_that_was_refused_leaves_no_note_behind() -> None:
    scene = Scene()
    update = await cleared(scene, replace(scene.update, kind=STOCK, requested_by="ann"))
    scene.cluster.fails["delete_override"] = [Refused("403: may not delete MachineConfigs")]
    assert isinstance(await scene.apply(update, Apply(NEW), ours), NotApplied)
    assert lineage.STOCK_BY not in scene.cluster.pools["infra"].meta.annotations


def test_hours_of_a_window_are_one_number_however_written() -> None:
    def policy(hours: float) -> Policy:
        return Policy(windows=(Window(days=("sat",), start="02:00", hours=hours),))

    assert policy(4).digest() == policy(4.0).digest()
    assert policy(4).digest() != policy(4.5).digest()

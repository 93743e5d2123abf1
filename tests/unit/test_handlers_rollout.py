"""Follow, soak, and go back: a ladder that can be killed at any rung."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.facts import INFRA, OURS, conditions, image, our_override
from tests.scene import POLL, Scene, ours
from watcher.core import lineage, mco
from watcher.core.update import Update, step
from watcher.core.update_events import (
    Applied,
    Apply,
    Cleared,
    ClearForApply,
    FollowRollout,
    Kind,
    RollBack,
    RolledBack,
    RolledOut,
    Soak,
    Soaked,
    TakenOver,
    UndoFailed,
    UpdateState,
    WentWrong,
)
from watcher.ports import Conflict, FieldConflict, Later, LeaseLost, Refused, Transient

NEW, OLD = image("new"), image("layered 4.16.1")
WAIT = Later(POLL)


async def applied(scene: Scene, *, kind: Kind = Kind.LAYERED) -> Update:
    """The update right after its apply; MCO has not rendered it yet."""
    asked = replace(scene.update, kind=kind, requested_by="bob")
    event = await scene.clear(asked, ClearForApply(asked.binding), ours)
    assert isinstance(event, Cleared), await scene.store.progress(asked.id)
    update = step(asked, event, now=scene.clock.now())
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    scene.cluster.writes.clear()
    return step(update, Applied(), now=scene.clock.now())


async def followed(scene: Scene, update: Update) -> object:
    return await scene.follow.follow(update, FollowRollout(NEW), ours)


async def soaked(scene: Scene, update: Update) -> object:
    return await scene.follow.soak(update, Soak(NEW), ours)


# --- follow and soak ---


async def test_a_rollout_is_followed_node_by_node_soaked_and_done() -> None:
    scene = Scene()
    update = await applied(scene)
    assert await followed(scene, update) == WAIT
    scene.cluster.render()
    scene.cluster.begin("node-0")
    scene.cluster.take("node-1")
    assert await followed(scene, update) == WAIT
    said = await scene.store.progress(update.id)
    assert (said["updated"], said["total"], said["phase"]) == (1, 3, "rolling")
    scene.cluster.take("node-0", "node-2")
    assert await followed(scene, update) == RolledOut()
    soaking = step(update, RolledOut(), now=scene.clock.now())
    assert await scene.follow.soak(soaking, Soak(NEW), ours) == WAIT
    scene.clock.advance(soaking.policy.soak_seconds - 2)
    assert await scene.follow.soak(soaking, Soak(NEW), ours) == Later(2)
    scene.clock.advance(2)
    assert await scene.follow.soak(soaking, Soak(NEW), ours) == Soaked()


async def test_a_watch_that_lags_behind_our_own_apply_is_no_take_over() -> None:
    """The rollout is looked at milliseconds after the write; the watch brings it a little later."""
    scene = Scene()
    scene.cluster.lag()
    update = await applied(scene)
    assert await followed(scene, update) == WAIT
    assert (await scene.store.progress(update.id))["phase"] == "rendering"
    scene.cluster.catch_up()
    assert await followed(scene, update) == WAIT


async def test_the_first_override_of_a_pool_is_no_take_over_either() -> None:
    scene = Scene(runs=None)
    scene.cluster.lag()
    assert await followed(scene, await applied(scene)) == WAIT


@pytest.mark.parametrize("soaking", [False, True])
async def test_a_take_over_is_told_by_the_api_server_itself(soaking: bool) -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.put(our_override(update, os_image_url="by hand"))
    outcome = await (soaked if soaking else followed)(scene, update)
    assert outcome == TakenOver(f"somebody changed {OURS} to by hand")


@pytest.mark.parametrize("soaking", [False, True])
async def test_a_node_that_degrades_goes_wrong_with_its_reason(soaking: bool) -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.render()
    scene.cluster.begin("node-0", state="Degraded", why="rebase failed")
    outcome = await (soaked if soaking else followed)(scene, update)
    assert isinstance(outcome, WentWrong)
    assert "node node-0 is Degraded: rebase failed" in outcome.because


async def test_a_late_rollout_is_told_and_watched_on() -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.render()
    scene.clock.advance(10**6)
    assert await followed(scene, update) == WAIT
    assert (await scene.store.progress(update.id))["phase"] == "stalled"
    assert await followed(scene, update) == WAIT
    told = [entry.event for entry in await scene.store.audit(update.id)]
    assert told.count("Stalled") == 1, "a person is told once, not at every look"


async def test_a_view_that_is_too_old_is_not_judged() -> None:
    scene = Scene()
    update = await applied(scene)
    scene.cluster.lag()
    scene.clock.advance(601)
    with pytest.raises(Transient, match="the pool cannot be seen now"):
        await followed(scene, update)


# --- back ---


async def broken(scene: Scene, *, kind: Kind = Kind.LAYERED) -> Update:
    """The first node degraded on the new image; the others were not told yet."""
    update = await applied(scene, kind=kind)
    scene.cluster.render()
    scene.cluster.begin("node-0", state="Degraded", why="rebase failed")
    wrong = WentWrong("node node-0 is Degraded: rebase failed")
    return step(update, wrong, now=scene.clock.now())


async def back(scene: Scene, update: Update) -> object:
    return await scene.roll_back(update, RollBack(), ours)


async def climbed(scene: Scene, update: Update) -> object:
    """Take rungs until there is only waiting."""
    for _ in range(10):
        outcome = await back(scene, update)
        if outcome != Later(0):
            return outcome
    raise AssertionError("the ladder has no end")


async def test_the_way_back_pauses_restores_and_lets_it_roll() -> None:
    scene = Scene()
    update = await broken(scene)
    assert await climbed(scene, update) == WAIT
    assert scene.cluster.writes == [
        f"annotate {lineage.REFUSED_BUILDS}",
        "pause",
        f"apply {OLD}",
    ]
    assert scene.cluster.pools["infra"].meta.annotations[lineage.PAUSED_FOR] == update.id
    scene.cluster.render()
    assert await climbed(scene, update) == WAIT
    assert scene.cluster.writes[3:] == ["unpause"]
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == RolledBack()
    it = scene.cluster.pools["infra"]
    assert (it.paused, scene.image) == (False, OLD)
    assert lineage.PAUSED_FOR not in it.meta.annotations


async def test_what_is_put_back_has_the_annotations_it_had() -> None:
    scene = Scene()
    update = await broken(scene)
    await climbed(scene, update)
    assert scene.runs is not None
    put_back = dict(scene.cluster.machine_configs[OURS].meta.annotations)
    assert put_back == lineage.to_annotations(scene.runs)


async def test_where_there_was_none_ours_is_deleted() -> None:
    scene = Scene(runs=None)
    update = await broken(scene)
    assert await climbed(scene, update) == WAIT
    assert scene.cluster.writes[1:] == ["pause", "delete"]
    scene.cluster.render()
    await climbed(scene, update)
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == RolledBack()
    assert scene.image == ""


async def test_without_others_who_would_follow_nothing_is_paused() -> None:
    scene = Scene()
    update = await broken(scene)
    for node in ("node-1", "node-2"):
        scene.cluster.begin(node)
    await climbed(scene, update)
    assert "pause" not in scene.cluster.writes


async def test_a_pool_that_a_person_paused_stays_paused() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.cluster.edit_pool(paused=True)
    await climbed(scene, update)
    scene.cluster.render()
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == WAIT, "until the person unpauses it"
    assert {"pause", "unpause"} & set(scene.cluster.writes) == set()


async def test_the_rolled_back_build_is_remembered_in_both_places() -> None:
    scene = Scene()
    update = await broken(scene)
    await climbed(scene, update)
    key = update.target.build_key
    said = await scene.store.remembered("prod", "infra")
    assert said[key] == "u-1 was rolled back: node node-0 is Degraded: rebase failed"
    assert lineage.refused_builds(scene.cluster.pools["infra"].meta.annotations) == (key,)


@pytest.mark.parametrize("killed_after", range(1, 5))
async def test_killed_at_any_rung_it_goes_on_from_there(killed_after: int) -> None:
    """The write was done, its answer never came, and another process begins from the same state."""
    scene = Scene()
    update = await broken(scene)
    scene.cluster.after_write = None
    writes = 0
    for _ in range(30):
        if writes == killed_after - 1 and scene.cluster.after_write is None:
            scene.cluster.after_write = KeyboardInterrupt()
        try:
            outcome = await back(scene, update)
        except KeyboardInterrupt:
            writes = 99
        else:
            if outcome == RolledBack():
                break
        if writes != 99:
            writes = len(scene.cluster.writes)
        scene.cluster.render()
        if not scene.cluster.pools["infra"].paused and scene.image == OLD:
            scene.cluster.take("node-0")
    else:
        raise AssertionError("it never came back")
    assert scene.cluster.writes == [
        f"annotate {lineage.REFUSED_BUILDS}",
        "pause",
        f"apply {OLD}",
        "unpause",
    ]


async def test_a_process_that_was_dead_past_the_deadline_still_puts_it_back() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.clock.advance(10**6)
    await climbed(scene, update)
    assert scene.image == OLD


async def test_nodes_have_their_time_from_when_the_pool_was_unpaused() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.clock.advance(10**6)
    await climbed(scene, update)
    scene.cluster.render()
    updating = conditions(Updated="False", Updating="True")
    moved = tuple(replace(c, last_transition=scene.clock.now()) for c in updating)
    scene.cluster.edit_pool(conditions=moved)
    assert await climbed(scene, update) == WAIT


async def test_what_does_not_come_back_in_time_tells_a_person_what_to_do() -> None:
    scene = Scene()
    update = await broken(scene)
    await climbed(scene, update)
    scene.clock.advance(600 + 3 * 1800 + 1)
    assert await back(scene, update) == UndoFailed(
        "The pool infra did not come back in time. See `oc describe mcp infra` and the nodes that "
        f"are not Done; restore {OURS} to {OLD} if that is not so yet and unpause it"
    )


@pytest.mark.parametrize(
    "error",
    [FieldConflict("argocd owns spec.osImageURL"), Refused("admission: denied")],
    ids=["another owner", "refused"],
)
async def test_a_restore_that_is_not_taken_tells_a_person_what_to_do(error: Exception) -> None:
    scene = Scene()
    update = await broken(scene)
    scene.cluster.fails["apply_override"] = [error]
    outcome = await climbed(scene, update)
    assert isinstance(outcome, UndoFailed)
    assert outcome.because.startswith(f"{error}. The pool infra did not come back")
    assert f"restore {OURS} to {OLD}" in outcome.because


async def test_a_note_that_cannot_be_written_keeps_nobody_from_going_back() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.cluster.fails["annotate_pool"] = [Refused("403 on pools")] * 9
    await climbed(scene, update)
    assert scene.image == OLD


async def test_a_pool_that_changed_while_it_was_paused_is_read_again() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.cluster.fails["set_paused"] = [Conflict("it was changed")]
    with pytest.raises(Conflict):
        await climbed(scene, update)
    await climbed(scene, update)
    assert scene.image == OLD


@pytest.mark.parametrize("paused", [False, True], ids=["before pausing", "before restoring"])
async def test_who_has_lost_the_job_puts_nothing_back(paused: bool) -> None:
    async def lost() -> None:
        raise LeaseLost("another worker has it")

    scene = Scene()
    update = await broken(scene)
    await back(scene, update)
    scene.cluster.edit_pool(paused=paused)
    with pytest.raises(LeaseLost):
        await scene.roll_back(update, RollBack(), lost)
    assert scene.image == NEW
    assert scene.cluster.writes == [f"annotate {lineage.REFUSED_BUILDS}"]


def by_hand(scene: Scene, update: Update) -> None:
    scene.cluster.put(our_override(update, os_image_url="a fix by hand"))


def by_deleting(scene: Scene, update: Update) -> None:
    del scene.cluster.machine_configs[OURS]


@pytest.mark.parametrize(("change", "to"), [(by_hand, "a fix by hand"), (by_deleting, "nothing")])
async def test_what_somebody_changed_while_it_was_broken_is_not_overwritten(
    change: Callable[[Scene, Update], None], to: str
) -> None:
    scene = Scene()
    update = await broken(scene)
    await back(scene, update)
    await back(scene, update)
    change(scene, update)
    assert await back(scene, update) == TakenOver(
        f"somebody changed {OURS} to {to} while it was put back; see `oc describe mcp infra`, "
        "and unpause the pool when it is well"
    )


async def test_a_pool_that_is_gone_cannot_be_put_back() -> None:
    scene = Scene()
    update = await broken(scene)
    scene.cluster.pools.clear()
    assert await back(scene, update) == UndoFailed(
        "the pool infra is gone; nothing can be put back"
    )


async def test_what_could_not_be_rendered_is_put_back_without_a_pause() -> None:
    scene = Scene()
    update = await applied(scene)
    said = conditions(Updated="True", RenderDegraded="True:two kernels")
    scene.cluster.edit_pool(conditions=said)
    outcome = await followed(scene, update)
    assert outcome == WentWrong("rendering failed: two kernels")
    assert isinstance(outcome, WentWrong)
    update = step(update, outcome, now=scene.clock.now())
    await climbed(scene, update)
    assert (scene.image, "pause" in scene.cluster.writes) == (OLD, False)


async def test_a_node_that_mco_left_cordoned_is_freed_once_it_can_go_back() -> None:
    """Else it counts as unavailable, MCO never chooses it, and the pool stands still."""
    scene = Scene()
    update = await broken(scene)
    node = scene.cluster.nodes["node-0"]
    drain = f"drain-{node.meta.annotations[mco.DESIRED_CONFIG]}"
    said = {**node.meta.annotations, mco.DESIRED_DRAIN: drain, mco.APPLIED_DRAIN: drain}
    meta = replace(node.meta, annotations=said)
    scene.cluster.nodes["node-0"] = replace(node, meta=meta, unschedulable=True)
    await climbed(scene, update)
    assert "uncordon node-0" not in scene.cluster.writes, "it would be sent to the bad image"
    scene.cluster.render()
    await climbed(scene, update)
    assert scene.cluster.writes[3:] == ["unpause", "uncordon node-0"]


# --- the stock image ---


async def test_the_way_to_the_stock_image_is_followed_too() -> None:
    scene = Scene()
    update = await applied(scene, kind=Kind.STOCK)
    assert await followed(scene, update) == WAIT
    scene.cluster.render()
    assert await followed(scene, update) == WAIT
    scene.cluster.take(*scene.cluster.nodes)
    assert await followed(scene, update) == RolledOut()


async def test_a_failed_way_to_the_stock_image_brings_ours_back_and_the_wish_is_over() -> None:
    scene = Scene()
    update = await broken(scene, kind=Kind.STOCK)
    assert update.state is UpdateState.ROLLING_BACK
    await climbed(scene, update)
    scene.cluster.render()
    await climbed(scene, update)
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == RolledBack()
    assert scene.image == OLD
    assert scene.cluster.pools["infra"].meta.annotations == {}
    assert await scene.store.remembered("prod", INFRA) == {}

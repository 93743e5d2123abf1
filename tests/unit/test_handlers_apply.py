"""Clear and apply: everything is checked again at the moment of the change, and written once."""

from dataclasses import replace

import pytest

from tests.facts import INFRA, OURS, T0, a_policy, image, our_override
from tests.scene import POLL, Scene, key_of, ours
from watcher.core import lineage
from watcher.core.update import Update, step
from watcher.core.update_events import (
    Applied,
    Apply,
    Cleared,
    ClearForApply,
    Expired,
    Kind,
    NotApplied,
    Override,
    TakenOver,
)
from watcher.ports import FieldConflict, Later, LeaseLost, Refused, Transient

NEW = image("new")


async def cleared(scene: Scene) -> Update:
    """The update after its clearance, saved as the engine would."""
    update = scene.update
    event = await scene.clear(update, ClearForApply(update.binding), ours)
    assert isinstance(event, Cleared), event
    return step(update, event, now=scene.clock.now())


# --- clear ---


async def test_a_clearance_keeps_the_override_that_is_there() -> None:
    scene = Scene()
    update = await cleared(scene)
    assert scene.runs is not None
    assert update.previous == Override(
        image=str(scene.runs.image),
        annotations=tuple(sorted(lineage.to_annotations(scene.runs).items())),
    )
    assert scene.cluster.writes == []


async def test_a_clearance_without_an_override_has_nothing_to_put_back() -> None:
    scene = Scene(runs=None)
    assert (await cleared(scene)).previous is None


async def test_a_clearance_waits_and_tells_why() -> None:
    scene = Scene()
    scene.upgrade("4.16.3", completed=False)
    scene.cluster.edit_pool(paused=True)
    update = scene.update
    assert await scene.clear(update, ClearForApply(update.binding), ours) == Later(POLL)
    waiting = (await scene.store.progress(update.id))["waiting"]
    assert waiting == "the control plane: upgrading to 4.16.3; the pool is paused"


async def test_a_clearance_asks_the_api_server_itself_at_last() -> None:
    """The watch lags: it has not brought yet that somebody paused the pool."""
    scene = Scene()
    scene.cluster.lag()
    scene.cluster.edit_pool(paused=True)
    update = scene.update
    assert await scene.clear(update, ClearForApply(update.binding), ours) == Later(POLL)


async def test_an_image_that_nodes_cannot_pull_is_told() -> None:
    scene = Scene()
    scene.images.not_pullable[NEW] = "registry.example.com: 401"
    update = scene.update
    assert await scene.clear(update, ClearForApply(update.binding), ours) == Later(POLL)
    said = await scene.store.progress(update.id)
    assert said["waiting"] == "nodes cannot pull the image: registry.example.com: 401"


async def test_what_may_not_be_read_is_told_and_waited_for() -> None:
    scene = Scene()
    scene.cluster.fails["fresh_view"] = [Refused("403 on machineosconfigs")]
    update = scene.update
    assert await scene.clear(update, ClearForApply(update.binding), ours) == Later(POLL)
    assert (await scene.store.progress(update.id))["waiting"] == "403 on machineosconfigs"


async def test_an_approval_that_was_not_used_in_time_expires() -> None:
    scene = Scene()
    update = scene.update
    scene.clock.advance(7 * 24 * 3600)
    assert await scene.clear(update, ClearForApply(update.binding), ours) == Expired()


# --- apply ---


async def test_an_apply_writes_the_image_and_its_lineage() -> None:
    scene = Scene()
    update = await cleared(scene)
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    written = scene.cluster.machine_configs[OURS]
    assert written.os_image_url == NEW
    assert dict(written.meta.annotations) == lineage.to_annotations(update)
    assert written.meta.annotations[lineage.PREVIOUS] == image("layered 4.16.1")
    assert scene.cluster.writes == [f"apply {NEW}"]


@pytest.mark.parametrize("error", [Transient("the answer was lost"), KeyboardInterrupt()])
async def test_an_apply_repeated_after_a_crash_writes_once(error: BaseException) -> None:
    scene = Scene()
    update = await cleared(scene)
    scene.cluster.after_write = error
    with pytest.raises(type(error)):
        await scene.apply(update, Apply(NEW), ours)
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    assert scene.cluster.writes == [f"apply {NEW}"]


async def test_an_apply_that_was_done_is_done_though_an_upgrade_began_since() -> None:
    scene = Scene()
    update = await cleared(scene)
    await scene.apply(update, Apply(NEW), ours)
    scene.upgrade("4.17.0", completed=False)
    assert await scene.apply(update, Apply(NEW), ours) == Applied()


@pytest.mark.parametrize(
    ("change", "because"),
    [
        (lambda s: s.upgrade("4.17.0", completed=False), "the control plane: upgrading to 4.17.0"),
        (lambda s: s.upgrade("4.17.0", completed=True), "its base is not that of the release"),
        (lambda s: s.cluster.edit_pool(paused=True), "the pool is paused"),
        (lambda s: s.clock.advance(7 * 24 * 3600), "its approval was good until"),
        (lambda s: s.configure(a_policy(quorum=2)), "the policy of the pool changed"),
        (lambda s: s.configure(a_policy(), pools=()), "prod/infra is not in the configuration"),
        (lambda s: s.images.not_pullable.update({NEW: "401"}), "nodes cannot pull the image: 401"),
        (lambda s: s.images.payloads.clear(), "release 4.16.3 cannot be read"),
        (
            lambda s: s.cluster.fails.update(pull_secret=[Refused("403 on secrets")]),
            "403 on secrets",
        ),
        (
            lambda s: s.cluster.fails.update(fresh_view=[None, Refused("403 on osimagestreams")]),
            "403 on osimagestreams",
        ),
        (lambda s: s.cluster.pools.clear(), "prod has no MachineConfigPool infra"),
    ],
    ids=[
        "an upgrade began",
        "an upgrade completed",
        "the pool was paused",
        "the approval ran out",
        "the policy changed",
        "the pool was taken out of the configuration",
        "the image cannot be pulled",
        "the base is not known",
        "the pull secret may not be read",
        "a kind may not be read",
        "the pool is gone",
    ],
)
async def test_an_apply_checks_everything_again(change: object, because: str) -> None:
    """The process may have been dead for days since the clearance."""
    scene = Scene()
    update = await cleared(scene)
    assert callable(change)
    change(scene)
    outcome = await scene.apply(update, Apply(NEW), ours)
    assert isinstance(outcome, NotApplied)
    assert because in outcome.because
    assert scene.cluster.writes == []
    assert scene.image == image("layered 4.16.1")


async def test_who_has_lost_the_job_changes_nothing() -> None:
    scene = Scene()
    update = await cleared(scene)

    async def lost() -> None:
        raise LeaseLost("another worker has it")

    with pytest.raises(LeaseLost):
        await scene.apply(update, Apply(NEW), lost)
    assert scene.cluster.writes == []


@pytest.mark.parametrize(
    "error", [FieldConflict("argocd owns spec.osImageURL"), Refused("admission: denied")]
)
async def test_a_cluster_that_says_no_was_not_touched(error: Exception) -> None:
    scene = Scene()
    update = await cleared(scene)
    scene.cluster.fails["apply_override"] = [error]
    assert await scene.apply(update, Apply(NEW), ours) == NotApplied(str(error))
    assert scene.image == image("layered 4.16.1")


@pytest.mark.parametrize(
    ("now", "said"),
    [(image("by hand"), f"somebody changed {OURS} to {image('by hand')}"), ("", "to nothing")],
)
async def test_an_override_that_somebody_changed_since_is_theirs(now: str, said: str) -> None:
    scene = Scene()
    update = await cleared(scene)
    if now:
        scene.cluster.put(our_override(update, os_image_url=now))
    else:
        del scene.cluster.machine_configs[OURS]
    outcome = await scene.apply(update, Apply(NEW), ours)
    assert isinstance(outcome, TakenOver)
    assert said in outcome.because
    assert scene.cluster.writes == []


async def test_the_same_image_of_another_update_is_not_ours() -> None:
    scene = Scene()
    update = await cleared(scene)
    scene.cluster.put(our_override(replace(update, id="u-other")))
    assert isinstance(await scene.apply(update, Apply(NEW), ours), TakenOver)


async def test_a_build_that_was_asked_for_again_loses_its_mark_on_the_pool() -> None:
    """Else it would be told for ever that this build must not run here."""
    scene = Scene()
    key = key_of("4.16.3")
    await scene.cluster.annotate_pool(INFRA, {lineage.REFUSED_BUILDS: f"x,{key}"})
    await scene.cluster.annotate_pool(INFRA, {lineage.STOCK_BY: "bob"})
    update = await cleared(scene)
    await scene.apply(update, Apply(NEW), ours)
    said = scene.cluster.pools["infra"].meta.annotations
    assert said == {lineage.REFUSED_BUILDS: "x"}


# --- the stock image ---


async def cleared_for_stock(scene: Scene) -> Update:
    made = replace(scene.update, kind=Kind.STOCK, requested_by="bob")
    event = await scene.clear(made, ClearForApply(made.binding), ours)
    assert isinstance(event, Cleared), await scene.store.progress(made.id)
    return step(made, event, now=T0)


async def test_a_request_for_the_stock_image_deletes_ours_and_is_kept_on_the_pool() -> None:
    scene = Scene()
    update = await cleared_for_stock(scene)
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    # The note first: a process that died in between must not let the pool be layered again.
    assert scene.cluster.writes == [f"annotate {lineage.STOCK_BY}", "delete"]
    assert scene.cluster.pools["infra"].meta.annotations == {lineage.STOCK_BY: "bob"}


async def test_a_request_for_the_stock_image_repeated_after_a_crash_is_still_kept() -> None:
    scene = Scene()
    update = await cleared_for_stock(scene)
    scene.cluster.after_write = Transient("lost")
    with pytest.raises(Transient):
        await scene.apply(update, Apply(NEW), ours)
    assert await scene.apply(update, Apply(NEW), ours) == Applied()
    assert scene.cluster.writes == [f"annotate {lineage.STOCK_BY}", "delete"]

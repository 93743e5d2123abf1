"""What people decided holds: lost races, crashes in between, and what was taken over by hand."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.facts import INFRA, PROD, a_machine_config, a_policy
from tests.fake_store import FakeStore
from tests.scene import Scene
from tests.unit.test_planner import active, asked, look, save
from watcher.core.drift import Hold
from watcher.core.update import Update, step
from watcher.core.update_events import (
    Applied,
    Cleared,
    NotApplied,
    TakenOver,
    UpdateEvent,
    UpdateState,
)
from watcher.errors import Declined
from watcher.people import People
from watcher.ports import AuditEntry, Change

AUTO = a_policy(auto=True)


class Overtaken(FakeStore):
    """A worker clears the update just before a person's decision is saved."""

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        if changes[0].expected == 1:
            row = self.rows[changes[0].job.id]
            assert isinstance(row.job, Update)
            row.job, row.version = replace(row.job, state=UpdateState.APPLYING), 2
        return await super().commit(changes, audit)


async def test_a_rejection_that_lost_to_the_apply_is_not_remembered() -> None:
    scene = Scene()
    store = Overtaken(scene.clock)
    update = scene.update
    await store.commit([Change(job=update, expected=0)], [])
    with pytest.raises(Declined, match="is applying already"):
        await People(store=store, clock=scene.clock).reject(update.id, by="ann")
    assert await store.remembered(PROD, INFRA) == {}


async def test_a_rejection_holds_though_the_process_died_before_it_was_remembered() -> None:
    scene = Scene()
    update = await asked(scene)
    await scene.people.reject(update.id, by="ann", reason="breaks the GPU")
    await scene.store.forget(PROD, INFRA)  # as if it had died right before
    assert await look(scene) is None
    decision = (await scene.planner.plan(PROD, INFRA)).decision
    assert isinstance(decision, Hold)
    assert "breaks the GPU" in decision.because


async def ended(scene: Scene, *events: UpdateEvent) -> Update:
    update = scene.update
    await scene.put(update)
    for event in events:
        update = step(update, event, now=scene.clock.now())
    await save(scene, update)
    return update


def cleared(scene: Scene) -> Cleared:
    update = scene.update
    return Cleared(update.binding, update.target.base.digest, None)


async def test_what_a_person_took_over_is_not_taken_back_by_the_policy() -> None:
    scene = Scene(policy=AUTO)
    events = cleared(scene), Applied(), TakenOver("somebody deleted 99-infra-relayer-osimage")
    await ended(scene, *events)
    assert await look(scene) is None
    decision = (await scene.planner.plan(PROD, INFRA)).decision
    assert isinstance(decision, Hold)
    assert "somebody deleted" in decision.because
    await scene.planner.rebuild(PROD, INFRA, by="ann")
    assert await active(scene) is not None


async def test_an_update_that_the_cluster_refused_is_not_tried_at_every_look() -> None:
    scene = Scene(policy=AUTO)
    await ended(scene, cleared(scene), NotApplied("403: may not patch MachineConfigs"))
    plan = await scene.planner.pass_over(PROD, INFRA)
    assert await active(scene) is None
    assert isinstance(plan.decision, Hold)
    assert "may not patch" in plan.decision.because
    scene.clock.advance(1801)
    assert await look(scene) is not None


async def test_asking_for_what_the_policy_would_approve_needs_an_approver() -> None:
    scene = Scene(policy=a_policy(auto=True, approvers=("token:ann",)))
    with pytest.raises(Declined, match="not an approver"):
        await scene.planner.rebuild(PROD, INFRA, by="token:bob", allow_downgrade=True)
    assert await active(scene) is None
    await scene.planner.rebuild(PROD, INFRA, by="token:ann")
    assert await active(scene) is not None


async def test_what_would_not_be_the_stock_image_is_not_promised_as_such() -> None:
    """A pool that inherits from worker, or has an override of somebody else's beneath ours."""
    scene = Scene()
    scene.cluster.put(a_machine_config("99-worker-layers", "worker", "example.com/os:1"))
    with pytest.raises(Declined, match="gets the image of MachineConfig 99-worker-layers"):
        await scene.planner.stock(PROD, INFRA, by="ann")


async def test_a_request_for_the_stock_image_is_asked_anew_when_the_cluster_moved() -> None:
    scene = Scene(policy=a_policy(quorum=2))
    before = await scene.planner.stock(PROD, INFRA, by="ann")
    scene.upgrade("4.17.0", completed=True)
    after = await look(scene)
    assert after is not None
    assert (after.kind, after.requested_by) == (before.kind, "ann")
    assert after.id != before.id
    assert after.target.release_version == "4.17.0"
    assert after.votes == ()


async def test_a_request_for_the_stock_image_is_asked_anew_under_another_policy() -> None:
    scene = Scene()
    before = await scene.planner.stock(PROD, INFRA, by="ann")
    scene.configure(a_policy(quorum=2))
    after = await look(scene)
    assert after is not None
    assert after.id != before.id
    assert after.state is UpdateState.AWAITING_APPROVAL
    assert await look(scene) == after

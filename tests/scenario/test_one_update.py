"""The whole way of one update through the running service, on real HTTP and a real Redis."""

from pathlib import Path

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS
from tests.scenario.service import decided, running, update_in
from tests.scenario.world import CLUSTER, INFRA, World, until, world
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy


async def _layered(made: World, settings: object = None) -> None:
    """Bring the pool to its first layered image, unattended."""
    automatic = made.with_policy(Policy(approval=ApprovalRules(auto=True), soak_seconds=0))
    async with running(automatic) as app:
        await update_in(app, "done")


async def test_a_pool_without_an_override_is_layered_once_somebody_approves(tmp_path: Path) -> None:
    async with world(tmp_path) as made, running(made.settings) as app:
        asked = await update_in(app, "awaiting-approval")
        assert made.images() == {made.old.os_image}, "nothing is applied before the approval"
        await app.people.approve(asked.id, by="token:ann")
        done = await update_in(app, "done")
        assert done.id == asked.id
        assert made.images() == {str(done.image)}
        assert [made.cluster.reboots(node) for node in made.cluster.nodes_of("infra")] == [1, 1]
        events = [entry.event for entry in await app.store.audit(done.id)]
        assert events == [
            "Proposed",
            "BuildReady",
            "Voted",
            "Approved",
            "Cleared",
            "Applied",
            "RolledOut",
            "Soaked",
        ]


async def test_an_upgrade_is_built_before_and_applied_after_it_completes(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await _layered(made)
        async with running(made.settings) as app:
            before = await update_in(app, "done")
            made.cluster.start_upgrade(made.new)
            asked = await update_in(app, "awaiting-approval", after=before.id)
            assert asked.target.base == made.new.os_image
            history = made.api.store.get(CLUSTER_VERSIONS, "version").object["status"]["history"]
            assert history[0]["state"] == "Partial", "asked while the control plane upgrades"
            await app.people.approve(asked.id, by="token:ann")
            done = await update_in(app, "done", after=before.id)
            assert made.images() == {str(done.image)}


async def test_a_node_that_degrades_brings_the_pool_back(tmp_path: Path) -> None:
    async with world(tmp_path, nodes=3) as made:
        await _layered(made)
        old_images = made.images()
        async with running(made.settings) as app:
            before = await update_in(app, "done")
            made.cluster.start_upgrade(made.new)
            asked = await update_in(app, "awaiting-approval", after=before.id)
            made.cluster.degrade_next("first", when_image=str(asked.image))
            await app.people.approve(asked.id, by="token:ann")
            back = await update_in(app, "rolled-back", "stuck", "done", after=before.id)
            assert back.state == "rolled-back"
            assert made.images() == old_images
            await until(lambda: made.cluster.is_settled("infra"))
            plan = await app.planner.plan(CLUSTER, INFRA)
            assert "was rolled back" in plan.decision.because


@pytest.mark.parametrize("reason", ["", "not this week"])
async def test_a_rejected_update_is_not_proposed_again(tmp_path: Path, reason: str) -> None:
    async with world(tmp_path) as made, running(made.settings) as app:
        asked = await update_in(app, "awaiting-approval")
        await app.people.reject(asked.id, by="token:ann", reason=reason)
        plan = await app.planner.plan(CLUSTER, INFRA)
        assert "token:ann rejected it" in plan.decision.because
        assert made.override_writes() == 0
        again = await app.planner.rebuild(CLUSTER, INFRA, by="token:bob")
        assert again.id != asked.id
        assert (await update_in(app, "awaiting-approval", after=asked.id)).id == again.id


async def test_stock_removes_the_override_and_stays_stock(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        await _layered(made)
        async with running(made.settings) as app:
            before = await update_in(app, "done")
            await decided(app, "InStep")
            asked = await app.planner.stock(CLUSTER, INFRA, by="token:ann")
            done = await update_in(app, "done", after=before.id)
            assert done.id == asked.id
            assert made.images() == {made.old.os_image}
            plan = await app.planner.plan(CLUSTER, INFRA)
            assert plan.decision.because.startswith("token:ann asked for the stock image")

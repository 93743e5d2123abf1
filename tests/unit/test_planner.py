"""From a look at a pool to one update in the queue, whoever looks and however often."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from handlers.await_build import AwaitBuildHandler
from tests.facts import INFRA, PROD, a_policy, a_pool, a_recipe, base_image, image, our_override
from tests.fake_store import FakeStore
from tests.fakes import FakeImages
from tests.scene import Scene, key_of, ours
from watcher.core import build as builds
from watcher.core.build import Build, BuildFailed, BuildStarted, BuildState, Built, Verified
from watcher.core.drift import Hold, InStep, Rebuild
from watcher.core.facts import PoolName
from watcher.core.images import ImageFacts
from watcher.core.jobs import JobKind
from watcher.core.update import Update, step
from watcher.core.update_events import (
    AwaitBuild,
    BuildReady,
    Failed,
    Kind,
    Superseded,
    UpdateState,
)
from watcher.errors import Declined
from watcher.planner import RELAYER
from watcher.ports import AuditEntry, Change, Conflict, Transient

S = UpdateState
NEW = image("new")


async def look(scene: Scene) -> Update | None:
    """One pass of the service; the update that is active after it."""
    await scene.planner.pass_over(PROD, INFRA)
    return await active(scene)


async def active(scene: Scene) -> Update | None:
    owner = await scene.store.owner("update:prod/infra")
    if owner is None:
        return None
    job = (await scene.store.get(owner)).job
    assert isinstance(job, Update)
    return job


async def the_update(scene: Scene) -> Update:
    found = await look(scene)
    assert found is not None
    return found


async def all_jobs(scene: Scene, kind: JobKind) -> list[object]:
    return [
        stored.job
        for ended in (False, True)
        for stored in await scene.store.jobs(kind, ended=ended)
    ]


async def the_build(scene: Scene) -> Build:
    (job,) = await all_jobs(scene, JobKind.BUILD)
    assert isinstance(job, Build)
    return job


async def save(scene: Scene, job: Update | Build) -> None:
    version = (await scene.store.get(job.id)).version
    due = None if job.is_ended else 0.0
    await scene.store.commit([Change(job=job, expected=version, due_in_seconds=due)], [])


async def built(scene: Scene) -> Build:
    """The build of the pool's update is ready, and the registry has its image."""
    build = await the_build(scene)
    for event in (BuildStarted(), Built(NEW), Verified(NEW.digest)):
        build = builds.step(build, event, now=scene.clock.now())
    await save(scene, build)
    scene.images.present.add(NEW)
    return build


async def asked(scene: Scene) -> Update:
    """The update waits for approval of the image that was built."""
    update = await the_update(scene)
    await built(scene)
    update = step(update, BuildReady(NEW), now=scene.clock.now())
    await save(scene, update)
    return update


# --- one proposal ---


async def test_a_pool_behind_its_cluster_gets_one_update_and_one_build() -> None:
    scene = Scene()
    update = await the_update(scene)
    build = await the_build(scene)
    assert (update.state, update.build, update.requested_by) == (
        S.WAITING_FOR_BUILD,
        build.id,
        RELAYER,
    )
    assert update.because == "its base is that of 4.16.1, the cluster's is that of 4.16.3"
    assert (build.key, build.base) == (key_of("4.16.3"), update.target.base)
    assert [entry.event for entry in scene.store.entries] == ["Queued", "Proposed"]


async def test_a_second_look_changes_nothing() -> None:
    scene = Scene()
    first = await the_update(scene)
    for _ in range(3):
        assert await look(scene) == first
    assert len(scene.store.rows) == 2
    assert len(scene.store.entries) == 2


async def test_what_was_seen_is_shown_to_people() -> None:
    scene = Scene()
    await look(scene)
    shown = (await scene.store.views())["pool:prod/infra"]
    assert (shown["decision"], shown["expected_release"]) == ("Rebuild", "4.16.3")


async def test_a_plan_changes_nothing() -> None:
    scene = Scene()
    plan = await scene.planner.plan(PROD, INFRA)
    assert isinstance(plan.decision, Rebuild)
    assert (scene.store.rows, scene.store.shown) == ({}, {})


async def test_a_pool_that_is_not_configured_is_held() -> None:
    scene = Scene()
    scene.configure(a_policy(), pools=())
    plan = await scene.planner.plan(PROD, INFRA)
    assert plan.decision == Hold(INFRA, "prod/infra is not in the configuration")


async def test_during_an_upgrade_the_next_image_is_built_already() -> None:
    scene = Scene()
    scene.upgrade("4.17.0", completed=False)
    update = await the_update(scene)
    assert update.target.release_version == "4.17.0"


class RacedStore(FakeStore):
    """Right before the first commit somebody else is faster."""

    faster: Callable[[], Awaitable[object]] | None = None

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        faster, self.faster = self.faster, None
        if faster is not None:
            await faster()
        return await super().commit(changes, audit)


def raced(scene: Scene) -> RacedStore:
    scene.store = RacedStore(scene.clock)
    scene.configure(scene.policy)
    return scene.store


async def test_two_planners_at_once_propose_one_update() -> None:
    scene = Scene()
    store = raced(scene)
    store.faster = lambda: replace(scene.planner).pass_over(PROD, INFRA)
    await look(scene)
    assert len(await all_jobs(scene, JobKind.UPDATE)) == 1
    assert len(await all_jobs(scene, JobKind.BUILD)) == 1
    assert [entry.event for entry in store.entries] == ["Queued", "Proposed"]


async def test_a_wish_for_the_stock_image_that_came_in_between_stands() -> None:
    scene = Scene()
    store = raced(scene)
    store.faster = lambda: scene.planner.stock(PROD, INFRA, by="bob")
    with pytest.raises(Conflict):
        await look(scene)
    update = await active(scene)
    assert update is not None
    assert update.kind is Kind.STOCK


async def test_an_update_that_began_in_between_is_left_alone() -> None:
    scene = Scene()
    store = raced(scene)
    begun = replace(scene.update, state=S.ROLLING_OUT)
    store.faster = lambda: scene.put(begun)
    with pytest.raises(Conflict):
        await look(scene)
    assert await active(scene) == begun


async def test_a_pool_that_keeps_changing_is_told_not_looped_upon() -> None:
    scene = Scene()
    scene.store.fails["commit"] = [Conflict("changed")] * 5
    with pytest.raises(Conflict, match="keeps changing; nothing was proposed"):
        await look(scene)


async def test_a_build_is_shared_by_two_pools() -> None:
    scene = Scene()
    storage = PoolName("storage")
    scene.cluster.pools["storage"] = a_pool("storage", nodes=0)
    scene.configure(scene.policy, pools=("infra", "storage"))
    await scene.planner.pass_over(PROD, INFRA)
    await scene.planner.pass_over(PROD, storage)
    updates = await all_jobs(scene, JobKind.UPDATE)
    assert len(updates) == 2
    assert {u.build for u in updates if isinstance(u, Update)} == {(await the_build(scene)).id}


# --- superseded, withdrawn, left alone ---


async def test_a_newer_target_supersedes_what_has_not_begun() -> None:
    scene = Scene()
    first = await asked(scene)
    scene.upgrade("4.17.0", completed=False)
    second = await the_update(scene)
    assert second.target.release_version == "4.17.0"
    ended = (await scene.store.get(first.id)).job
    assert ended.state is S.SUPERSEDED
    assert isinstance(ended, Update)
    assert ended.ended_because == f"superseded by {second.id}"


@pytest.mark.parametrize("state", [S.APPLYING, S.ROLLING_OUT, S.SOAKING, S.ROLLING_BACK])
async def test_what_has_begun_is_never_superseded(state: UpdateState) -> None:
    scene = Scene()
    begun = await scene.put(replace(scene.update, state=state))
    scene.upgrade("4.17.0", completed=True)
    assert await look(scene) == begun
    with pytest.raises(Declined, match=f"u-1 is {state}; wait for its end"):
        await scene.planner.rebuild(PROD, INFRA, by="ann")
    with pytest.raises(Declined, match=f"u-1 is {state}; wait for its end"):
        await scene.planner.stock(PROD, INFRA, by="ann")


async def test_a_changed_policy_is_asked_anew() -> None:
    scene = Scene()
    first = await asked(scene)
    scene.configure(a_policy(quorum=2))
    second = await the_update(scene)
    assert second.id != first.id
    assert second.policy.approval.quorum == 2
    assert second.build == first.build, "the same image, though"


async def test_a_changed_recipe_is_built_anew() -> None:
    scene = Scene()
    first = await asked(scene)
    scene.recipe = a_recipe("another recipe")
    second = await the_update(scene)
    assert (second.id != first.id, second.build != first.build) == (True, True)


async def test_a_pool_that_came_in_step_by_itself_withdraws_our_update() -> None:
    scene = Scene()
    first = await asked(scene)
    by_hand = replace(scene.update, id="u-7", image=image("the same by hand"))
    scene.cluster.put(our_override(by_hand))
    assert await look(scene) is None
    ended = (await scene.store.get(first.id)).job
    assert ended.state is S.SUPERSEDED
    assert scene.store.entries[-1].event == "Superseded"


async def test_an_override_that_was_edited_by_hand_is_not_in_step() -> None:
    """Its annotations still say what we wrote; the image is another."""
    scene = Scene()
    scene.cluster.put(our_override(scene.update, os_image_url="example.com/by-hand:1"))
    plan = await scene.planner.plan(PROD, INFRA)
    assert isinstance(plan.decision, Rebuild)
    assert plan.decision.because == "runs example.com/by-hand:1, of which nobody knows the base"


async def test_what_a_person_asked_for_is_not_withdrawn() -> None:
    scene = Scene()
    scene.cluster.put(our_override(replace(scene.update, id="u-7")))
    update = await scene.planner.rebuild(PROD, INFRA, by="ann")
    plan = await scene.planner.pass_over(PROD, INFRA)
    assert isinstance(plan.decision, InStep)
    assert await active(scene) == update


# --- builds ---


async def test_a_failed_build_is_remembered_and_not_proposed_again() -> None:
    scene = Scene()
    update = await the_update(scene)
    build = builds.step(await the_build(scene), BuildFailed("no space"), now=scene.clock.now())
    await save(scene, build)
    outcome = await AwaitBuildHandler(scene.store)(update, AwaitBuild(), ours)
    assert outcome == Failed(f"build {build.id} failed: no space")
    assert isinstance(outcome, Failed)
    await save(scene, step(update, outcome, now=scene.clock.now()))
    assert await look(scene) is None
    plan = await scene.planner.plan(PROD, INFRA)
    assert "no space; `relayer rebuild prod/infra` tries it again" in plan.decision.because
    again = await scene.planner.rebuild(PROD, INFRA, by="ann")
    assert again.build != build.id
    assert await look(scene) == again


async def test_a_ready_build_is_used_again() -> None:
    scene = Scene()
    build = await built_before(scene)
    assert (await the_update(scene)).build == build.id


async def built_before(scene: Scene) -> Build:
    """Some other pool wanted the same build; its update has ended."""
    update = await the_update(scene)
    build = await built(scene)
    await save(scene, step(update, Superseded("u-9"), now=scene.clock.now()))
    return build


async def test_a_ready_build_whose_image_vanished_is_built_anew() -> None:
    scene = Scene()
    build = await built_before(scene)
    scene.images.present.clear()
    update = await the_update(scene)
    assert update.build != build.id
    assert (await scene.store.get(update.build)).job.state is BuildState.QUEUED


async def test_an_approved_image_that_vanished_is_built_and_asked_anew() -> None:
    scene = Scene()
    first = await asked(scene)
    assert await look(scene) == first
    scene.images.present.clear()
    second = await the_update(scene)
    assert second.build != first.build
    assert await look(scene) == second


async def test_a_registry_that_does_not_answer_is_no_reason_to_build_anew() -> None:
    scene = Scene()
    first = await asked(scene)
    real = scene.planner
    scene.planner = replace(real, images=FakeImages(fails=[Transient("503")]))
    assert await look(scene) == first


# --- what people ask for ---


async def test_a_rebuild_forgets_what_was_held_against_it() -> None:
    scene = Scene()
    await scene.store.remember(PROD, INFRA, key_of("4.16.3"), "ann rejected it")
    assert await look(scene) is None
    update = await scene.planner.rebuild(PROD, INFRA, by="bob")
    assert update.requested_by == "bob"
    assert await look(scene) == update
    assert await scene.store.remembered(PROD, INFRA) == {}


async def test_a_rebuild_that_cannot_be_is_declined_with_its_reason() -> None:
    scene = Scene()
    scene.cluster.edit_pool(os_image_stream="rhel-10")
    with pytest.raises(Declined, match=r"release 4.16.3 cannot be read: .* is not there"):
        await scene.planner.rebuild(PROD, INFRA, by="ann")
    only = base_image("4.16.3")
    scene.images.held[only] = ImageFacts(
        image=only, manifest_digest=only.digest, os="linux", architecture="amd64", diff_ids=()
    )
    with pytest.raises(Declined, match="has no image tag 'rhel-coreos-10'"):
        await scene.planner.rebuild(PROD, INFRA, by="ann")


async def test_a_wish_for_the_stock_image_counts_as_the_asker_s_vote() -> None:
    scene = Scene(policy=a_policy(auto=True, approvers=("ann",)))
    update = await scene.planner.stock(PROD, INFRA, by="ann")
    assert (update.state, update.kind) == (S.SCHEDULED, Kind.STOCK)
    assert update.approval is not None
    assert update.approval.by == ("ann",)


async def test_the_policy_alone_never_takes_the_override_away() -> None:
    scene = Scene(policy=a_policy(auto=True, approvers=("ann",)))
    update = await scene.planner.stock(PROD, INFRA, by="eve")
    assert (update.state, update.policy.approval.auto) == (S.AWAITING_APPROVAL, False)


async def test_the_same_wish_of_a_second_person_is_the_second_vote() -> None:
    scene = Scene(policy=a_policy(quorum=2))
    first = await scene.planner.stock(PROD, INFRA, by="ann")
    second = await scene.planner.stock(PROD, INFRA, by="bob")
    assert (second.id, second.state) == (first.id, S.SCHEDULED)


async def test_a_wish_for_the_stock_image_is_not_superseded_by_our_own_looks() -> None:
    scene = Scene()
    await scene.planner.stock(PROD, INFRA, by="ann")
    scene.upgrade("4.17.0", completed=True)
    assert (await the_update(scene)).kind is Kind.STOCK


async def test_a_wish_for_the_stock_image_supersedes_our_own_update() -> None:
    scene = Scene()
    first = await asked(scene)
    await scene.planner.stock(PROD, INFRA, by="ann")
    assert (await scene.store.get(first.id)).job.state is S.SUPERSEDED


async def test_without_an_override_of_ours_there_is_nothing_to_take_away() -> None:
    scene = Scene(runs=None)
    with pytest.raises(Declined, match="has no override of Relayer's to remove"):
        await scene.planner.stock(PROD, INFRA, by="ann")


async def test_with_the_store_emptied_the_same_decision_is_reached() -> None:
    scene = Scene()
    before = (await scene.planner.plan(PROD, INFRA)).decision
    await asked(scene)
    scene.store = FakeStore(scene.clock)
    scene.configure(scene.policy)
    assert (await scene.planner.plan(PROD, INFRA)).decision == before
    assert (await the_update(scene)).target.build_key == key_of("4.16.3")

"""Who says yes to which kind of change, and what people are shown beside a proposal."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from handlers.ask_approval import AskApprovalHandler
from tests.facts import (
    INFRA,
    PROD,
    T0,
    a_policy,
    a_recipe,
    a_target,
    an_update,
    approved,
    base_image,
    image,
    release_image,
    seconds,
)
from tests.fakes import FakeImages
from tests.scene import Scene, ours
from tests.unit.test_planner import asked, look, the_update
from watcher.core.approval import AUTO
from watcher.core.changes import Change, Mode
from watcher.core.facts import Pullspec
from watcher.core.genuine import Proof, Verdict
from watcher.core.images import ImageFacts
from watcher.core.update import Background, Policy, Update, step
from watcher.core.update_events import (
    Approved,
    AskApproval,
    Cleared,
    ClearForApply,
    Kind,
    UpdateState,
)
from watcher.ports import Change as Write
from watcher.ports import Later, Refused, Transient
from watcher.proposals import OS_VERSION
from watcher.scout import Scout
from watcher.settings import PersonSettings

S = UpdateState


def under(scene: Scene, mode: Mode = Mode.APPROVE, **modes: str) -> Scene:
    """The service started anew with other modes."""
    place = replace(scene.settings.pools[0], mode=mode, modes=modes)
    return with_settings(scene, pools=(place,))


def with_settings(scene: Scene, **said: Any) -> Scene:
    scene.settings = replace(scene.settings, **said)
    scene.observer = replace(scene.observer, settings=scene.settings)
    planner = replace(scene.planner, settings=scene.settings, observer=scene.observer)
    scene.planner = replace(planner, images=scene.images)
    scout = Scout(scene.settings, scene.observer, scene.images, scene.clock, scene.store)
    scene.clear = replace(scene.clear, scout=scout)
    return scene


async def shown(scene: Scene) -> Any:
    return (await scene.store.views())["pool:prod/infra"]


async def ended(scene: Scene, update: Update) -> Update:
    job = (await scene.store.get(update.id)).job
    assert isinstance(job, Update)
    return job


# --- notify ---------------------------------------------------------------------------------------


async def test_under_notify_nothing_is_proposed() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    assert await look(scene) is None
    assert (scene.store.rows, scene.store.entries) == ({}, [])


async def test_under_notify_people_are_shown_what_there_is_to_do() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    await look(scene)
    said = await shown(scene)
    assert (said["decision"], said["mode"], said["only_told"]) == ("Rebuild", "notify", True)
    assert said["because"] == "its base is that of 4.16.1, the cluster's is that of 4.16.3"


@pytest.mark.parametrize(
    ("modes", "goes_by_itself"),
    [({}, True), ({"minor": "approve"}, False), ({"minor": "approve", "first": "auto"}, True)],
    ids=["all by itself", "minor is asked about", "said so for first"],
)
async def test_where_nobody_knows_what_runs_people_are_asked_if_they_are_about_anything(
    modes: dict[str, str], goes_by_itself: bool
) -> None:
    """It may be a minor release, or a way back."""
    scene = under(Scene(runs=None), Mode.AUTO, **modes)
    update = await look(scene)
    assert update is not None
    assert (update.change, update.policy.approval.auto) == ("first", goes_by_itself)


async def test_a_downgrade_by_name_is_asked_about_though_all_goes_by_itself() -> None:
    scene = under(Scene(), Mode.AUTO)
    update = await scene.planner.rebuild(PROD, INFRA, by="ann", allow_downgrade=True)
    assert not update.policy.approval.auto
    scheduled = approved(replace(update, state=S.SCHEDULED, image=image("new")))
    event = await scene.clear(scheduled, ClearForApply(scheduled.binding), ours)
    assert isinstance(event, Cleared), "the configured policy is still the one it was"


async def test_where_people_are_asked_it_is_not_only_told() -> None:
    scene = Scene()
    await look(scene)
    said = await shown(scene)
    assert (said["mode"], said["only_told"]) == ("approve", False)


async def test_the_rebuild_of_a_person_under_notify_asks_for_approval() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    update = await scene.planner.rebuild(PROD, INFRA, by="ann")
    assert (update.policy.approval.auto, update.requested_by) == (False, "ann")
    assert await look(scene) == update
    assert (await shown(scene))["only_told"] is False


async def test_the_rebuild_of_a_person_is_not_replaced_by_ours_under_notify() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    update = await scene.planner.rebuild(PROD, INFRA, by="ann")
    scene.upgrade("4.17.0", completed=True)
    assert await look(scene) == update
    assert len(scene.store.entries) == 2


async def test_a_kind_of_change_may_be_told_of_while_others_are_asked_about() -> None:
    scene = under(Scene(), minor="notify")
    assert (await the_update(scene)).change == Change.PATCH
    scene.upgrade("4.17.0", completed=True)
    assert await look(scene) is None


# --- auto -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "change", "is_auto"), [("4.16.3", "patch", True), ("4.17.0", "minor", False)]
)
async def test_a_patch_goes_by_itself_and_a_minor_release_is_asked_about(
    version: str, change: str, is_auto: bool
) -> None:
    scene = under(Scene(), Mode.APPROVE, patch="auto")
    scene.upgrade(version, completed=True)
    update = await the_update(scene)
    assert (update.change, update.policy.approval.auto) == (change, is_auto)


async def test_a_changed_recipe_is_a_kind_of_its_own() -> None:
    runs = replace(Scene().update, id="u-0", state=S.DONE)
    scene = under(Scene(runs=runs), Mode.APPROVE, recipe="auto")
    scene.recipe = a_recipe("another recipe")
    update = await the_update(scene)
    assert (update.change, update.policy.approval.auto) == (Change.RECIPE, True)


async def test_the_first_layer_of_a_pool_is_a_kind_of_its_own() -> None:
    scene = under(Scene(runs=None), Mode.AUTO, first="approve")
    update = await the_update(scene)
    assert (update.change, update.policy.approval.auto) == (Change.FIRST, False)


async def test_what_goes_by_itself_is_approved_by_the_policy_and_begins() -> None:
    scene = under(Scene(), patch="auto")
    update = await asked(scene)
    ask = AskApprovalHandler(scene.store, scene.clock)
    event = await ask(update, AskApproval(update.binding), ours)
    assert event == Approved(update.binding)
    update = step(update, Approved(update.binding), now=scene.clock.now())
    assert update.approval is not None
    assert update.approval.by == (AUTO,)
    assert isinstance(await scene.clear(update, ClearForApply(update.binding), ours), Cleared)


async def test_what_people_are_asked_about_waits_for_them() -> None:
    scene = under(Scene(), minor="auto")
    update = await asked(scene)
    ask = AskApprovalHandler(scene.store, scene.clock)
    assert isinstance(await ask(update, AskApproval(update.binding), ours), Later)


async def test_the_way_to_the_stock_image_is_asked_about_though_all_goes_by_itself() -> None:
    scene = under(Scene(), Mode.AUTO)
    update = await scene.planner.stock(PROD, INFRA, by="slack:U1")
    assert (update.kind, update.state, update.policy.approval.auto) == (
        Kind.STOCK,
        S.AWAITING_APPROVAL,
        False,
    )


# --- a changed mode -------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [Mode.APPROVE, Mode.AUTO])
async def test_under_another_mode_it_is_proposed_anew(before: Mode) -> None:
    scene = under(Scene(), before)
    first = await the_update(scene)
    after = Mode.AUTO if before is Mode.APPROVE else Mode.APPROVE
    second = await the_update(under(scene, after))
    assert second.id != first.id
    assert second.policy.approval.auto == (after is Mode.AUTO)
    assert (await ended(scene, first)).state is S.SUPERSEDED


async def test_an_approval_under_another_mode_is_worth_nothing() -> None:
    """Between the restart and the next look, a worker could begin it."""
    scene = under(Scene(), patch="auto")
    update = await asked(scene)
    update = step(update, Approved(update.binding), now=scene.clock.now())
    under(scene, Mode.APPROVE)
    assert isinstance(await scene.clear(update, ClearForApply(update.binding), ours), Later)
    said = await scene.store.progress(update.id)
    assert "the policy of the pool changed" in str(said["waiting"])


@pytest.mark.parametrize("before", [Mode.APPROVE, Mode.AUTO])
async def test_what_shall_only_be_told_of_now_is_withdrawn(before: Mode) -> None:
    scene = under(Scene(), before)
    update = await asked(scene)
    assert await look(under(scene, Mode.NOTIFY)) is None
    after = await ended(scene, update)
    assert after.state is S.SUPERSEDED
    assert "shall only be told of" in after.ended_because


async def test_what_has_begun_is_not_withdrawn() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    begun = await scene.put(replace(scene.update, state=S.ROLLING_OUT))
    assert await look(scene) == begun


async def test_what_a_person_asked_for_stands_when_the_mode_becomes_notify() -> None:
    scene = Scene()
    update = await scene.planner.rebuild(PROD, INFRA, by="ann")
    assert await look(under(scene, Mode.NOTIFY)) == update


async def test_after_notify_it_is_proposed() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    await look(scene)
    assert await look(under(scene, Mode.APPROVE)) is not None


# --- who asked for it, who wrote it ---------------------------------------------------------------


def written_by(scene: Scene, *authors: str) -> Scene:
    recipe = replace(scene.settings.recipes[0], authors=authors)
    ann = PersonSettings(name="ann", identities=("token:ann", "slack:UANN"))
    return with_settings(scene, recipes=(recipe,), people=(ann,))


async def test_the_authors_of_a_recipe_are_authors_by_all_their_names() -> None:
    scene = written_by(Scene(), "token:ann", "person:bob", "slack:UEVE")
    assert (await the_update(scene)).authors == (
        *("relayer", "token:ann", "person:ann"),
        *("person:bob", "slack:UEVE"),
    )


async def test_whoever_asks_is_an_author_by_all_her_names() -> None:
    scene = written_by(Scene())
    update = await scene.planner.rebuild(PROD, INFRA, by="slack:UANN")
    assert update.authors == ("slack:UANN", "person:ann")


async def test_of_the_stock_image_whoever_asks_is_the_only_author() -> None:
    scene = written_by(Scene(), "token:bob")
    update = await scene.planner.stock(PROD, INFRA, by="token:ann")
    assert update.authors == ("token:ann", "person:ann")


async def test_who_asks_for_the_stock_image_cannot_alone_approve_it_under_four_eyes() -> None:
    policy = Policy(approval=replace(a_policy().approval, two_person=True))
    scene = written_by(Scene(policy=policy))
    update = await scene.planner.stock(PROD, INFRA, by="token:ann")
    assert (update.state, len(update.votes)) == (S.AWAITING_APPROVAL, 1)


# --- what is shown beside it ----------------------------------------------------------------------


@dataclass
class CountedImages(FakeImages):
    reads: int = 0

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        self.reads += 1
        return await super().facts(image, architecture)


def facts(of: Pullspec, version: str) -> ImageFacts:
    return ImageFacts(
        image=of,
        manifest_digest=of.digest,
        os="linux",
        architecture="amd64",
        diff_ids=(),
        labels={OS_VERSION: version},
    )


def with_versions(scene: Scene) -> CountedImages:
    """The registry knows the RHCOS versions of what runs and of what shall run."""
    runs, base = image("layered 4.16.1"), base_image("4.16.3")
    held = {runs: facts(runs, "416.94.1"), base: facts(base, "416.94.3")}
    images = CountedImages(payloads=scene.images.payloads, held=held)
    scene.images = images
    scene.observer = replace(scene.observer, images=images)
    with_settings(scene)
    return images


async def test_a_proposal_shows_from_where_to_where_it_leads() -> None:
    scene = Scene()
    with_versions(scene)
    assert scene.runs is not None
    said = (await the_update(scene)).background
    assert (said.from_os_version, said.os_version) == ("416.94.1", "416.94.3")
    assert (said.from_release, said.from_image) == ("4.16.1", str(scene.runs.image))
    assert (said.from_base, said.from_recipe) == (
        scene.runs.target.base.digest,
        scene.runs.target.recipe_digest,
    )
    assert said.nodes == 3


async def test_of_a_pool_on_the_stock_image_it_shows_no_before() -> None:
    scene = Scene(runs=None)
    with_versions(scene)
    said = (await the_update(scene)).background
    assert (said.from_image, said.from_release, said.from_os_version) == ("", "", "")
    assert said.os_version == "416.94.3"


async def test_it_shows_what_is_known_of_the_signature() -> None:
    scene = Scene()
    signers = ("567E347AD0044ADE55BA8A5F199E2F91FD431D51",)
    good = Verdict(proof=Proof.GOOD, because="all have", signers=signers, source="cluster")
    scene.signatures.verdicts[release_image("4.16.3")] = good
    assert "signed by 199E2F91FD431D51" in (await the_update(scene)).background.signature
    assert scene.signatures.asked
    assert set(scene.signatures.asked) == {release_image("4.16.3")}


async def test_a_request_for_the_stock_image_shows_the_same() -> None:
    scene = Scene()
    with_versions(scene)
    said = (await scene.planner.stock(PROD, INFRA, by="ann")).background
    assert (said.from_os_version, said.os_version, said.nodes) == ("416.94.1", "416.94.3", 3)


@pytest.mark.parametrize("error", [Transient("quay.io: 503"), Refused("quay.io: 401")])
async def test_a_registry_that_fails_leaves_it_empty_and_the_proposal_goes_on(
    error: Exception,
) -> None:
    scene = Scene()
    with_versions(scene)
    failing = CountedImages(fails=[error] * 9)
    scene.planner = replace(scene.planner, images=failing)
    said = (await the_update(scene)).background
    assert (said.from_os_version, said.os_version) == ("", "")
    assert said.from_release == "4.16.1"


async def test_an_image_that_somebody_named_by_tag_leaves_it_empty_too() -> None:
    scene = Scene()
    with_versions(scene)
    assert scene.runs is not None
    ours_now = scene.cluster.machine_configs["99-infra-relayer-osimage"]
    scene.cluster.put(replace(ours_now, os_image_url="example.com/by-hand:1"))
    said = (await the_update(scene)).background
    assert (said.from_os_version, said.from_image) == ("", "example.com/by-hand:1")


async def test_looking_again_reads_no_versions() -> None:
    scene = Scene()
    images = with_versions(scene)
    await look(scene)
    assert images.reads == 2
    for _ in range(3):
        await look(scene)
    assert images.reads == 2


async def test_looking_again_at_a_request_for_the_stock_image_reads_no_versions() -> None:
    scene = Scene(policy=a_policy(quorum=2))
    images = with_versions(scene)
    await scene.planner.stock(PROD, INFRA, by="ann")
    assert images.reads == 2
    for _ in range(3):
        await look(scene)
    assert images.reads == 2


async def test_under_notify_no_versions_are_read() -> None:
    scene = under(Scene(), Mode.NOTIFY)
    images = with_versions(scene)
    await look(scene)
    assert images.reads == 0


async def test_a_request_for_the_stock_image_asked_anew_shows_what_is_true_now() -> None:
    scene = Scene(policy=a_policy(quorum=2))
    images = with_versions(scene)
    await scene.planner.stock(PROD, INFRA, by="ann")
    base = base_image("4.17.0")
    images.held[base] = facts(base, "417.94.0")
    scene.upgrade("4.17.0", completed=True)
    after = await look(scene)
    assert after is not None
    assert after.background.os_version == "417.94.0"


# --- how long it may take -------------------------------------------------------------------------


async def rolled_out(scene: Scene, took_seconds: float, *, nodes: int, **said: Any) -> None:
    """The pool's last update took so long."""
    times = (
        (str(S.ROLLING_OUT), T0 - seconds(86400)),
        (str(S.SOAKING), T0 - seconds(86400 - took_seconds)),
    )
    default: dict[str, Any] = {
        "id": "u-before",
        "state": S.DONE,
        "target": a_target("4.16.1"),
        "created_at": T0 - seconds(90000),
        "background": Background(nodes=nodes),
        "times": times,
    }
    made = an_update(**{**default, **said})
    await scene.store.commit([Write(job=made, expected=0, due_in_seconds=None)], [])


async def estimate(scene: Scene) -> int | None:
    return (await the_update(scene)).background.estimate_seconds


async def test_without_a_rollout_before_nothing_is_promised() -> None:
    assert await estimate(Scene()) is None


async def test_a_pool_of_the_same_size_takes_as_long_as_the_last_time() -> None:
    scene = Scene()
    await rolled_out(scene, 1800, nodes=3)
    assert await estimate(scene) == 1800


async def test_a_pool_that_has_grown_takes_longer() -> None:
    scene = Scene()
    await rolled_out(scene, 1800, nodes=1)
    assert await estimate(scene) == 3 * 1800


async def test_several_nodes_at_once_are_one_wave() -> None:
    scene = Scene()
    scene.cluster.edit_pool(max_unavailable="2")
    await rolled_out(scene, 1800, nodes=2)
    assert await estimate(scene) == 2 * 1800


@pytest.mark.parametrize(
    "said",
    [{"state": S.ROLLED_BACK}, {"background": Background()}, {"times": ()}],
    ids=["rolled back", "of unknown size", "of unknown times"],
)
async def test_a_rollout_that_tells_nothing_is_left_out(said: dict[str, Any]) -> None:
    scene = Scene()
    await rolled_out(scene, 1800, nodes=3, **said)
    assert await estimate(scene) is None


async def test_the_newest_rollout_counts() -> None:
    scene = Scene()
    await rolled_out(scene, 600, nodes=3, id="u-older", created_at=T0 - seconds(99999))
    await rolled_out(scene, 1800, nodes=3)
    assert await estimate(scene) == 1800


async def test_an_update_begins_its_times_with_its_first_state() -> None:
    scene = Scene()
    update = await the_update(scene)
    assert update.times == ((str(S.WAITING_FOR_BUILD), T0),)

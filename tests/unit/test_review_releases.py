"""What a review of releases, signatures and lineages found: each was so once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.facts import (
    INFRA,
    PROD,
    a_machine_config,
    a_node,
    a_policy,
    a_pool,
    base_image,
    digest,
    image,
    release_image,
)
from tests.fakes import FakeCluster, FixedClock
from tests.played_signatures import BY_KEY, KEY, KEY2, RELEASE, PlayedGpgv, PlayedStores
from tests.releases import IT, Counting, World, cluster, z
from tests.scene import Scene, ours
from watcher.ancestry import UNREADABLE_SECONDS, Ancestry
from watcher.clients.signatures import GpgSignatures
from watcher.core.changes import Change
from watcher.core.cluster import OsImageUrls
from watcher.core.drift import Hold, Observation, Rebuild
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec
from watcher.core.genuine import Proof, Verdict
from watcher.core.images import BASE_DIGEST, ImageFacts, Payload
from watcher.core.images import RELEASE as RELEASE_LABEL
from watcher.core.order import After
from watcher.core.release import Base
from watcher.core.update import Update
from watcher.core.update_events import Apply, NotApplied, UpdateState
from watcher.planner import Plan
from watcher.planning import AT_ONCE, Leadership, Place, Planning
from watcher.ports import OutsideError, Refused, ReleaseSignatures, Transient
from watcher.proposals import kind_of_change
from watcher.settings_registry import ReleaseSettings

S = UpdateState
BAD = Verdict(proof=Proof.BAD, because="it is signed by another key")


async def observed(scene: Scene, *, fresh: bool = False) -> Observation:
    seen = await scene.observer.observe(PROD, INFRA, fresh=fresh)
    assert isinstance(seen, Observation), seen
    return seen


def names(scene: Scene, base: str) -> None:
    """The ConfigMap of the machine-config operator names this base for the completed release."""
    scene.cluster.urls = OsImageUrls(base_image=base, release_version="4.16.3")


# --- the base, where the cluster names it ---------------------------------------------------------


async def test_a_base_that_the_signed_release_does_not_name_is_not_proven_by_its_signature() -> (
    None
):
    scene = Scene()
    names(scene, str(base_image("of somebody else")))
    seen = await observed(scene)
    assert "it has no image sha256:" in seen.genuine.blocks
    assert seen.genuine.told.startswith("BAD SIGNATURE: ")


async def test_a_base_that_the_signed_release_names_is_proven_whoever_says_it() -> None:
    scene = Scene()
    names(scene, str(base_image("4.16.3")))
    seen = await observed(scene)
    assert isinstance(seen.base, Base)
    assert (seen.genuine.blocks, seen.base.source) == ("", "ConfigMap")


@pytest.mark.parametrize("error", [Transient("no route"), Refused("denied")])
async def test_where_the_release_cannot_be_read_its_base_is_not_proven_and_the_look_goes_on(
    error: OutsideError,
) -> None:
    scene = Scene()
    names(scene, str(base_image("4.16.3")))
    scene.images.fails = [error]
    seen = await observed(scene)
    assert str(error) in seen.genuine.blocks


async def test_a_release_that_cannot_be_read_is_not_waited_for_at_every_look() -> None:
    scene = Scene()
    names(scene, str(base_image("4.16.3")))
    scene.images.fails = [Transient("no route")]
    for _ in range(2):
        assert "no route" in (await observed(scene)).genuine.blocks
    assert (await observed(scene, fresh=True)).genuine.blocks == ""
    assert (await observed(scene)).genuine.blocks == ""


async def test_a_registry_that_hiccups_at_the_last_moment_ends_no_update() -> None:
    scene = Scene()
    names(scene, str(base_image("4.16.3")))
    scene.images.fails = [Transient("no route")]
    with pytest.raises(Transient):
        await observed(scene, fresh=True)


async def test_nothing_on_an_unnamed_base_is_applied_at_the_last_moment() -> None:
    scene = Scene(runs=None)
    update = await scene.put(replace(scene.update, state=S.APPLYING))
    names(scene, str(base_image("4.16.3")))
    scene.images.payloads[release_image("4.16.3")] = Payload(
        image=release_image("4.16.3"), version="4.16.3", tags={"cli": str(image("cli"))}
    )
    assert update.image is not None
    outcome = await scene.apply(update, Apply(update.image), ours)
    assert isinstance(outcome, NotApplied)
    assert "is not proven genuine" in outcome.because
    assert scene.cluster.writes == []


async def test_at_the_last_moment_the_signature_is_judged_by_the_keys_of_that_moment() -> None:
    scene = Scene(runs=None)
    update = await scene.put(replace(scene.update, state=S.APPLYING))
    assert update.image is not None
    scene.signatures.verdicts[release_image("4.16.3")] = BAD
    assert isinstance(await scene.apply(update, Apply(update.image), ours), NotApplied)
    assert scene.signatures.afresh == [release_image("4.16.3")]
    await observed(scene)
    assert scene.signatures.afresh == [release_image("4.16.3")]


# --- what approvers see ---------------------------------------------------------------------------


async def shown(scene: Scene) -> Update:
    await scene.planner.pass_over(PROD, INFRA)
    owner = await scene.store.owner("update:prod/infra")
    assert owner is not None
    job = (await scene.store.get(owner)).job
    assert isinstance(job, Update)
    return job


async def test_what_approvers_are_told_of_a_signature_follows_what_is_known_now() -> None:
    scene = Scene()
    first = await shown(scene)
    assert first.background.signature == "signed by the test key"
    scene.signatures.verdicts[release_image("4.16.3")] = BAD
    later = await shown(scene)
    assert later.id == first.id
    assert later.background.signature == "BAD SIGNATURE: it is signed by another key"
    assert replace(later, background=first.background) == first
    scene.signatures.verdicts.clear()
    assert await shown(scene) == first


async def test_what_is_told_of_a_signature_is_written_once() -> None:
    scene = Scene()
    await shown(scene)
    scene.signatures.verdicts[release_image("4.16.3")] = BAD
    update = await shown(scene)
    version = (await scene.store.get(update.id)).version
    await shown(scene)
    assert (await scene.store.get(update.id)).version == version


async def test_what_was_told_of_a_begun_update_stays() -> None:
    scene = Scene()
    update = await scene.put(replace(scene.update, state=S.APPLYING))
    scene.signatures.verdicts[release_image("4.16.3")] = BAD
    await scene.planner.pass_over(PROD, INFRA)
    assert (await scene.store.get(update.id)).job == update


# --- pools without a node, and clusters of another architecture -----------------------------------


def on_arm(scene: Scene) -> None:
    nodes = {n: replace(node, architecture="arm64") for n, node in scene.cluster.nodes.items()}
    scene.cluster.nodes = nodes


async def test_a_pool_without_nodes_is_of_the_architecture_of_its_cluster() -> None:
    scene = Scene()
    on_arm(scene)
    empty = PoolName("empty")
    scene.cluster.pools["empty"] = a_pool("empty", nodes=0)
    scene.configure(scene.policy, pools=("infra", "empty"))
    seen = await scene.observer.observe(PROD, empty)
    assert isinstance(seen, Observation)
    assert seen.architectures == ("arm64",)


async def test_the_base_of_a_canary_s_image_is_found_on_another_architecture_too() -> None:
    """Its image was made by hand, and is for arm64 alone."""
    after = (After(place="prod/canary", soak_seconds=0),)
    scene = Scene(policy=replace(a_policy(), after=after))
    scene.cluster.pools["canary"] = a_pool("canary")
    scene.cluster.put(a_machine_config("99-by-hand", "canary", str(IT)))
    scene.cluster.nodes = {
        name: replace(a_node(name, "worker", name), architecture="arm64")
        for name in ("canary", "infra")
    }
    base = base_image("4.16.3")
    for one, layers in ((base, ("a",)), (IT, ("a", "by hand"))):
        scene.images.held[one] = ImageFacts(
            image=one,
            manifest_digest=digest(f"manifest of {one}"),
            os="linux",
            architecture="arm64",
            diff_ids=tuple(map(digest, layers)),
        )
    (canary,) = (await observed(scene)).others
    assert (canary.problem, canary.on_base) == ("", True)


# --- one base in several releases -----------------------------------------------------------------


async def test_a_base_that_is_also_in_a_newer_release_makes_no_downgrade() -> None:
    """Made by hand on the base of 4.16.3, which 4.16.4 has too; its label names the latter."""
    scene = Scene(runs=None)
    scene.cluster.put(a_machine_config("50-by-hand", "infra", str(IT)))
    scene.images.held[IT] = ImageFacts(
        image=IT,
        manifest_digest=digest("by hand"),
        os="linux",
        architecture="amd64",
        diff_ids=(digest("a"),),
        labels={BASE_DIGEST: base_image("4.16.3").digest, RELEASE_LABEL: "4.16.4"},
    )
    seen = await observed(scene)
    assert seen.running is not None
    assert seen.running.lineage.release_version == "4.16.3"
    decision = (await scene.planner.plan(PROD, INFRA)).decision
    assert isinstance(decision, Rebuild), decision
    assert kind_of_change(seen) is Change.RECIPE


# --- a search where nothing answers ---------------------------------------------------------------


class Silent(Counting):
    """Its releases lie where nobody answers."""

    async def payload(self, release: Pullspec) -> Payload:
        self.read.append(release)
        await asyncio.Event().wait()
        raise AssertionError


async def test_releases_that_nobody_serves_are_waited_for_once_not_for_every_image() -> None:
    world, time = World(images=Silent()), [0.0]
    world.made_on("4.16.1")
    another = image("another one by hand")
    world.images.held[another] = replace(world.images.held[IT], image=another)
    cv = cluster(*z("4.16", 5))
    ancestry = Ancestry(world.images, world.graphs, search_seconds=0.01, monotonic=lambda: time[0])
    await ancestry.of(IT, cluster=PROD, cluster_version=cv)
    assert len(world.images.read) == 5
    found = await ancestry.of(another, cluster=PROD, cluster_version=cv)
    assert len(world.images.read) == 5
    assert found.gaps[0] == "release 4.16.0: it did not answer a moment ago"
    time[0] += UNREADABLE_SECONDS + 1
    await ancestry.of(another, cluster=PROD, cluster_version=cv, thorough=True)
    assert len(world.images.read) == 10


async def test_a_release_that_failed_for_one_cluster_is_read_from_another() -> None:
    world = World(images=Silent())
    world.made_on("4.16.1")
    cv = cluster(*z("4.16", 2))
    ancestry = Ancestry(world.images, world.graphs, search_seconds=0.01)
    await ancestry.of(IT, cluster=PROD, cluster_version=cv)
    await ancestry.of(IT, cluster=ClusterName("east"), cluster_version=cv)
    assert len(world.images.read) == 4


# --- a verdict for the last moment ----------------------------------------------------------------


class Holding(FakeCluster):
    """A cluster that holds a good signature."""

    held = ReleaseSignatures(keys={"verifier-public-key-one": KEY}, stores=(), signatures=(BY_KEY,))

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        await super().release_signatures(release)
        return self.held


def judging(cluster: FakeCluster) -> GpgSignatures:
    return GpgSignatures(
        ReleaseSettings(),
        {PROD: cluster},
        gpgv=PlayedGpgv(),
        stores=PlayedStores({}),
        clock=cluster.clock,
    )


async def test_keys_that_changed_count_at_once_where_a_fresh_verdict_is_asked_for() -> None:
    cluster = Holding(FixedClock())
    signatures = judging(cluster)
    assert (await signatures.verdict(PROD, RELEASE)).proof is Proof.GOOD
    cluster.held = replace(cluster.held, keys={"verifier-public-key-two": KEY2})
    assert (await signatures.verdict(PROD, RELEASE)).proof is Proof.GOOD
    assert (await signatures.verdict(PROD, RELEASE, fresh=True)).proof is Proof.BAD
    assert (await signatures.verdict(PROD, RELEASE)).proof is Proof.BAD


async def test_an_api_server_that_hiccups_at_the_last_moment_ends_no_update() -> None:
    cluster = Holding(FixedClock())
    signatures = judging(cluster)
    cluster.fails["release_signatures"] = [Transient("503"), Transient("503"), Refused("403")]
    with pytest.raises(Transient):
        await signatures.verdict(PROD, RELEASE, fresh=True)
    assert (await signatures.verdict(PROD, RELEASE)).proof is Proof.UNREACHABLE
    assert (await signatures.verdict(PROD, RELEASE, fresh=True)).proof is Proof.UNREACHABLE
    assert (await signatures.verdict(PROD, RELEASE, fresh=True)).proof is Proof.GOOD


# --- a look that takes long -----------------------------------------------------------------------


class Looks:
    """Looks at pools; those of cluster `prod` wait until they are told to go on."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()
        self.now = self.most = 0

    async def pass_over(self, cluster: str, pool: str) -> Plan:
        self.begun.append(f"{cluster}/{pool}")
        self.now += 1
        self.most = max(self.most, self.now)
        if cluster == PROD:
            await self.go.wait()
        self.now -= 1
        return Plan(
            cluster=ClusterName(cluster),
            pool=PoolName(pool),
            decision=Hold(PoolName(pool), ""),
            active=None,
        )


@asynccontextmanager
async def planning(looks: Looks, *places: Place) -> AsyncIterator[Planning]:
    leadership = Leadership(Scene().store, "here")
    await leadership._prolong()
    made = Planning(looks, leadership, places)  # type: ignore[arg-type]
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


EAST = (ClusterName("east"), INFRA)


async def test_a_cluster_whose_looks_take_long_keeps_no_other_cluster_waiting() -> None:
    looks = Looks()
    slow = [(PROD, PoolName(f"p{number:02}")) for number in range(20)]
    async with planning(looks, *slow, EAST) as made:
        await turns()  # a new leader looks at every pool
        assert looks.begun.count("east/infra") == 1
        assert len(looks.begun) == AT_ONCE + 1
        made.changed_cluster(EAST[0])
        await turns()
        assert looks.begun[AT_ONCE + 1 :] == ["east/infra"]
        looks.go.set()
        await turns()
        assert len(looks.begun) == 20 + 2


async def test_what_moves_while_it_is_looked_at_is_looked_at_again_and_never_twice_at_once() -> (
    None
):
    looks = Looks()
    async with planning(looks, (PROD, INFRA)) as made:
        for _ in range(3):
            made.changed_all()
            await turns()
        assert looks.begun == ["prod/infra"]
        looks.go.set()
        await turns()
        assert (looks.begun, looks.most) == (["prod/infra"] * 2, 1)

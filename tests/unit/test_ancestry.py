"""Looking for the base of an image among releases: in which order, how far, and what is told."""

import asyncio
from dataclasses import replace as changed

import pytest

from tests.facts import PROD, base_image, digest, release_image
from tests.releases import IT, Counting, World, cluster, z
from watcher.ancestry import AT_ONCE, KEPT_SECONDS, MOST_RELEASES, Ancestry
from watcher.core.cluster import HistoryEntry
from watcher.core.facts import Pullspec
from watcher.core.graph import PUBLIC
from watcher.core.images import BASE_DIGEST, BUILD_KEY, ON_CLUSTER_BASE, VERSION, Payload
from watcher.core.lineage import SaidBy
from watcher.core.streams import EXTENSIONS
from watcher.ports import OutsideError, Refused, Transient


@pytest.fixture
def world() -> World:
    return World()


# --- claims --------------------------------------------------------------------------------------


async def test_our_own_labels_cost_no_search(world: World) -> None:
    world.made_on("4.16.1", **{BUILD_KEY: "k", BASE_DIGEST: base_image("4.16.1").digest})
    found = await world.of(cluster(world.release("4.16.3"), world.release("4.16.1")))
    assert (found.lineage.said_by, found.lineage.base) == (
        SaidBy.OURS,
        base_image("4.16.1").digest,
    )
    assert (world.read, found.gaps) == ([], ())


async def test_thorough_proves_our_labels_too(world: World) -> None:
    world.made_on("4.16.1", **{BUILD_KEY: "k", BASE_DIGEST: base_image("4.16.3").digest})
    cv = cluster(world.release("4.16.3"), world.release("4.16.1"))
    found = (await world.of(cv, thorough=True)).lineage
    assert (found.said_by, found.base) == (SaidBy.LAYERS, base_image("4.16.1").digest)
    assert "its layers are those of 4.16.1's OS image" in found.doubt


async def test_another_s_claim_is_held_against_the_cluster_s_own_releases_only(
    world: World,
) -> None:
    """It tells which release a builder's digest of one platform belongs to, and costs little."""
    one_platform = digest(f"manifest of {base_image('4.16.1')}")
    world.made_on("4.16.1", **{BASE_DIGEST: one_platform})
    cv = cluster(world.release("4.16.3"), world.release("4.16.1"), channel="stable-4.16")
    found = (await world.of(cv)).lineage
    assert (found.said_by, found.base, found.release_version) == (
        SaidBy.BASE_ANNOTATION,
        base_image("4.16.1").digest,
        "4.16.1",
    )
    assert world.graphs.asked == []


async def test_a_claim_costs_few_releases_even_if_none_bears_it_out(world: World) -> None:
    world.made_on("4.15.0", **{ON_CLUSTER_BASE: str(base_image("4.15.0"))})
    found = await world.of(cluster(*map(world.release, z("4.16", 30)), channel="stable-4.16"))
    assert (found.lineage.said_by, found.lineage.base) == (
        SaidBy.ON_CLUSTER,
        base_image("4.15.0").digest,
    )
    assert len(world.read) == AT_ONCE
    assert found.gaps == ("22 more releases were not looked at",)
    assert world.graphs.asked == []


# --- the search ----------------------------------------------------------------------------------


async def test_an_image_without_labels_is_found_in_the_cluster_s_history(world: World) -> None:
    world.made_on("4.16.1")
    cv = cluster(world.release("4.16.3"), world.release("4.16.1"), channel="stable-4.16")
    found = await world.of(cv)
    assert found.lineage.said_by is SaidBy.LAYERS
    assert found.lineage.base_image == base_image("4.16.1")
    assert found.lineage.release_version == "4.16.1"
    assert (found.looked_at, found.gaps) == (("4.16.3", "4.16.1"), ())
    assert world.graphs.asked == []  # it was over before


async def test_registries_are_reached_as_the_cluster_reaches_them(world: World) -> None:
    world.made_on("4.16.1")
    await Ancestry(world.images, world.graphs).of(IT, cluster=PROD)
    assert world.images.clusters == [PROD]


async def test_history_is_read_newest_first_and_the_search_ends_at_the_first_match(
    world: World,
) -> None:
    versions = [world.release(v) for v in reversed(z("4.16", 20))]
    world.made_on("4.16.15")
    await world.of(cluster(*versions))
    assert world.read == versions[:AT_ONCE]


async def test_what_the_history_does_not_have_the_channel_may(world: World) -> None:
    world.graphs.channels["stable-4.16"] = [world.release(v) for v in z("4.16", 5)]
    world.made_on("4.16.1")
    found = await world.of(cluster(world.release("4.16.9"), channel="stable-4.16"))
    assert found.lineage.base == base_image("4.16.1").digest
    assert world.graphs.asked == [(PUBLIC, "stable-4.16", "amd64", "4.16.9")]
    assert world.read == ["4.16.9", "4.16.4", "4.16.3", "4.16.2", "4.16.1", "4.16.0"]


async def test_a_release_is_read_once_whoever_names_it(world: World) -> None:
    both = [world.release("4.16.3"), world.release("4.16.1")]
    world.graphs.channels["stable-4.16"] = both
    world.made_on("4.9.9")
    await world.of(cluster(*both, channel="stable-4.16", offered=("4.16.3",)))
    assert sorted(world.read) == ["4.16.1", "4.16.3"]


async def test_the_cluster_s_own_update_service_is_asked(world: World) -> None:
    world.made_on("4.16.1")
    cv = changed(
        cluster(world.release("4.16.3"), channel="stable-4.16"),
        upstream="https://updates.example/graph",
        architecture="Multi",
    )
    await world.of(cv)
    assert world.graphs.asked[0][:3] == ("https://updates.example/graph", "stable-4.16", "multi")
    await Ancestry(world.images, world.graphs, graph_url="https://mine/").of(IT, cluster_version=cv)
    assert world.graphs.asked[1][0] == "https://mine/"


async def test_the_inherited_version_says_which_minor_comes_first(world: World) -> None:
    """Offline as well: each release read costs a layer of 13 MB."""
    history = [*map(world.release, ("4.18.2", "4.18.1", "4.17.5"))]
    history.append(world.release("4.16.1", "416.94.202408010000-0"))
    world.made_on("4.16.1", **{VERSION: "416.94.202408010000-0"})
    found = await world.of(cluster(*history))
    assert world.read == ["4.16.1"]
    assert found.lineage.said_by is SaidBy.LAYERS


async def test_a_minor_that_the_channel_has_long_left_has_its_own_channel(world: World) -> None:
    world.graphs.channels["stable-4.18"] = [world.release("4.18.2")]
    world.graphs.channels["stable-4.12"] = [world.release("4.12.1", tag="rhel-coreos-8")]
    world.made_on("4.12.1", "rhel-coreos-8", **{VERSION: "412.86.202301061548-0"})
    found = await world.of(cluster(world.release("4.18.3"), channel="stable-4.18"))
    assert found.lineage.release_version == "4.12.1"
    assert world.read == ["4.12.1"]
    assert [asked[1] for asked in world.graphs.asked] == ["stable-4.18", "stable-4.12"]


async def test_a_minor_that_the_channel_has_needs_no_other_channel(world: World) -> None:
    world.graphs.channels["eus-4.18"] = [world.release("4.16.2"), world.release("4.18.2")]
    world.made_on("4.16.1", **{VERSION: "416.94.202408010000-0"})
    await world.of(cluster(world.release("4.18.3"), channel="eus-4.18"))
    assert [asked[1] for asked in world.graphs.asked] == ["eus-4.18"]


async def test_no_cluster_is_needed_where_the_version_says_the_minor(world: World) -> None:
    world.graphs.channels["stable-4.16"] = [world.release("4.16.1")]
    world.made_on("4.16.1", **{VERSION: "416.94.202408010000-0"})
    assert (await world.of()).lineage.base == base_image("4.16.1").digest
    world.made_on("4.16.1")
    nothing = await World(world.images).of()
    assert nothing.lineage.said_by is SaidBy.UNKNOWN
    assert nothing.gaps == ("there is no channel whose releases could be looked at",)


@pytest.mark.parametrize("patch", [0, 1, 17, 38, 58, 59])
async def test_a_long_minor_is_narrowed_by_the_time_of_its_builds(world: World, patch: int) -> None:
    def built(number: int) -> str:
        return f"416.94.2024{number // 28 + 1:02}{number % 28 + 1:02}0000-0"

    world.graphs.channels["stable-4.16"] = [
        world.release(v, built(n)) for n, v in enumerate(z("4.16", 60))
    ]
    world.made_on(f"4.16.{patch}", **{VERSION: built(patch)})
    found = await world.of()
    assert found.lineage.release_version == f"4.16.{patch}"
    assert len(world.read) <= 12


async def test_a_version_of_rhel_alone_is_looked_for_in_each_minor_that_has_it(
    world: World,
) -> None:
    for minor, month in (("4.19", 1), ("4.20", 5), ("4.21", 9)):
        world.graphs.channels[f"stable-{minor}"] = [
            world.release(v, f"9.6.2025{month:02}{n + 1:02}-0") for n, v in enumerate(z(minor, 20))
        ]
    world.made_on("4.20.13", **{VERSION: "9.6.20250514-0"})
    every = [v for c in world.graphs.channels.values() for v in c]  # type: ignore[union-attr]
    world.graphs.channels["candidate-4.21"] = every
    found = await world.of(cluster(world.release("4.22.0"), channel="candidate-4.21"))
    assert found.lineage.release_version == "4.20.13"
    assert len(world.read) <= 24


async def test_a_label_that_leads_astray_only_costs_time(world: World) -> None:
    """The version says 4.16, the layers are of 4.17."""
    sixteen = [world.release(v, "416.94.202408010000-0") for v in z("4.16", 3)]
    world.made_on("4.17.5", **{VERSION: "416.94.202501010000-0"})
    found = await world.of(cluster(world.release("4.17.5", "417.94.202501010000-0"), *sixteen))
    assert found.lineage.release_version == "4.17.5"
    assert world.read == [*sixteen, "4.17.5"]


async def test_the_search_is_bounded_and_says_so(world: World) -> None:
    world.graphs.channels["stable-4.16"] = [world.release(v) for v in z("4.16", 70)]
    world.made_on("4.9.9")
    found = await world.of(cluster(world.release("4.16.99"), channel="stable-4.16"))
    assert found.lineage.said_by is SaidBy.UNKNOWN
    assert len(world.read) == MOST_RELEASES == len(found.looked_at)
    assert found.gaps == ("31 more releases were not looked at",)
    assert world.images.most_at_once == AT_ONCE


async def test_nobody_without_gaps_means_none_of_them(world: World) -> None:
    world.made_on("4.9.9")
    world.graphs.channels["stable-4.16"] = [world.release("4.16.1")]
    found = await world.of(cluster(world.release("4.16.3"), channel="stable-4.16"))
    assert (found.lineage.base, found.gaps) == (None, ())
    assert found.looked_at == ("4.16.3", "4.16.1")


# --- what goes wrong -----------------------------------------------------------------------------


async def test_a_release_that_cannot_be_read_is_a_gap_and_no_end(world: World) -> None:
    world.made_on("4.16.1")
    found = await world.of(cluster("4.16.3", world.release("4.16.1")))
    assert found.lineage.release_version == "4.16.1"
    assert found.gaps == (f"release 4.16.3: {release_image('4.16.3')} is not there",)


async def test_an_os_image_that_cannot_be_read_is_a_gap(world: World) -> None:
    world.made_on("4.16.1")
    world.release("4.16.3")
    del world.images.held[base_image("4.16.3")]
    found = await world.of(cluster("4.16.3", world.release("4.16.1")))
    assert found.lineage.release_version == "4.16.1"
    (gap,) = found.gaps
    assert gap.startswith("release 4.16.3, rhel-coreos: ")


@pytest.mark.parametrize("error", [Transient("it is down"), Refused("no such channel")])
async def test_an_update_service_that_does_not_answer_is_a_gap(
    world: World, error: OutsideError
) -> None:
    world.made_on("4.16.1")
    world.graphs.channels["stable-4.16"] = error
    found = await world.of(cluster(world.release("4.16.3"), channel="stable-4.16"))
    assert found.lineage.said_by is SaidBy.UNKNOWN
    assert found.gaps == (f"update graph of stable-4.16: {error}",)


async def test_an_old_graph_is_used_and_told(world: World) -> None:
    world.made_on("4.16.1")
    world.graphs.channels["stable-4.16"] = [world.release("4.16.1")]
    world.graphs.stale_because = "it is down"
    found = await world.of(cluster(world.release("4.16.3"), channel="stable-4.16"))
    assert found.lineage.release_version == "4.16.1"
    assert found.gaps == ("update graph of stable-4.16 is an old one: it is down",)


async def test_a_release_by_tag_and_a_version_that_is_none_do_no_harm(world: World) -> None:
    world.made_on("4.16.1")
    cv = cluster(world.release("4.16.3"), world.release("4.16.1"))
    odd = HistoryEntry(state="Completed", version="nonsense", image=release_image("4.16.3"))
    by_tag = HistoryEntry(state="Completed", version="4.16.2", image="quay.io/x/release:4.16.2")
    found = await world.of(changed(cv, desired_image="", history=(odd, by_tag, *cv.history)))
    assert found.lineage.release_version == "4.16.1"


async def test_the_image_itself_must_be_readable(world: World) -> None:
    with pytest.raises(Refused):
        await world.of(cluster(world.release("4.16.3")))


# --- several OS images in one release ------------------------------------------------------------


async def test_every_stream_of_a_release_is_looked_at(world: World) -> None:
    """The pool may have been of another stream when the image was made."""
    world.release("4.22.0")
    world.made_on("4.22.0", "rhel-coreos-10")
    found = await world.of(cluster(world.release("4.22.0", tag="rhel-coreos-10")), stream="rhel-9")
    assert found.lineage.base_image == world.base("4.22.0", "rhel-coreos-10")


async def test_extensions_are_no_base(world: World) -> None:
    """Under a name that does not say it; only the label does."""
    world.release("4.22.0", tag="rhel-more-coreos")
    world.hold(world.base("4.22.0", "rhel-more-coreos"), ("common",), {EXTENSIONS: "true"})
    world.made_on("4.22.0", "another")
    assert (await world.of(cluster("4.22.0"))).lineage.said_by is SaidBy.UNKNOWN


async def test_the_stock_image_is_known_as_such(world: World) -> None:
    world.release("4.16.3")
    ancestry = Ancestry(world.images, world.graphs)
    found = await ancestry.of(base_image("4.16.3"), cluster_version=cluster("4.16.3"))
    assert found.lineage.stock


# --- how long it lasts ---------------------------------------------------------------------------


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_was_found_is_not_looked_for_again_for_a_while(world: World) -> None:
    world.made_on("4.16.1")
    cv = cluster(world.release("4.16.3"), world.release("4.16.1"))
    clock = Clock()
    ancestry = Ancestry(world.images, world.graphs, monotonic=clock)
    first = await ancestry.of(IT, cluster_version=cv)
    read = len(world.images.read)
    assert await ancestry.of(IT, cluster_version=cv) is first
    assert len(world.images.read) == read
    clock.now = KEPT_SECONDS
    assert await ancestry.of(IT, cluster_version=cv) == first
    assert len(world.images.read) > read


async def test_another_release_of_the_cluster_is_another_question(world: World) -> None:
    world.made_on("4.16.1")
    ancestry = Ancestry(world.images, world.graphs)
    before = await ancestry.of(IT, cluster_version=cluster(world.release("4.16.3")))
    assert before.lineage.said_by is SaidBy.UNKNOWN
    cv = cluster(world.release("4.16.1"), world.release("4.16.3"))
    assert (await ancestry.of(IT, cluster_version=cv)).lineage.said_by is SaidBy.LAYERS


class Hanging(Counting):
    """Registries that accept the connection and say nothing more."""

    async def payload(self, release: Pullspec) -> Payload:
        await asyncio.Event().wait()
        raise AssertionError("it never answers")


async def test_a_search_ends_after_its_time_and_says_so(world: World) -> None:
    world.made_on("4.16.1")
    cv = cluster(world.release("4.16.3"))
    images = Hanging()
    images.held = world.images.held
    ancestry = Ancestry(images, world.graphs, search_seconds=0.0)
    found = await ancestry.of(IT, cluster_version=cv)
    assert found.lineage.said_by is SaidBy.UNKNOWN
    assert found.gaps[-1] == "not looked at further: 0 s were over"

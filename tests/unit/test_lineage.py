"""Where an image came from: written on what is applied, read back from it."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.build import labels
from tests.facts import (
    RECIPE_DIGEST,
    a_build,
    a_target,
    an_update,
    base_image,
    digest,
    image,
    release_image,
)
from watcher.core import images, lineage
from watcher.core.facts import Digest, Pullspec
from watcher.core.images import BASE_DIGEST, BASE_NAME, BUILD_KEY, ON_CLUSTER_BASE, ImageFacts
from watcher.core.lineage import (
    REFUSED_BUILDS,
    REFUSED_BUILDS_KEPT,
    Candidate,
    Lineage,
    SaidBy,
    by_layers,
    of_image,
)
from watcher.core.update_events import Override, UpdateState


def facts(
    labels: dict[str, str],
    annotations: dict[str, str] | None = None,
    layers: Sequence[str] = (),
    of: Pullspec | None = None,
) -> ImageFacts:
    return ImageFacts(
        image=of or image("x"),
        manifest_digest=(of or image("x")).digest,
        os="linux",
        architecture="amd64",
        diff_ids=tuple(map(digest, layers)),
        labels=labels,
        annotations=annotations or {},
    )


def test_what_is_written_is_read_back() -> None:
    update = an_update(state=UpdateState.APPLYING, previous=Override(image="old:tag"))
    written = lineage.to_annotations(update)
    assert lineage.from_annotations(written) == Lineage(
        base=base_image("4.16.3").digest,
        recipe=RECIPE_DIGEST,
        build_key=a_target().build_key,
        release_version="4.16.3",
    )
    assert written[lineage.APPROVED_BY] == "ann"
    assert written[lineage.PREVIOUS] == "old:tag"
    assert written[lineage.IMAGE] == update.image
    assert written[lineage.UPDATE] == update.id


def test_what_is_malformed_is_unknown() -> None:
    read = lineage.from_annotations({lineage.BASE: "latest", lineage.RECIPE: "sha256:short"})
    assert (read.base, read.recipe) == (None, None)
    assert lineage.from_annotations({}) == Lineage()


def test_an_image_says_the_release_it_was_built_for() -> None:
    """So that going back is known as such where the override's annotations are lost."""
    said = labels(a_build(base_version="4.16.3"))
    assert lineage.from_image(facts(said)).release_version == "4.16.3"


def test_an_image_says_its_lineage_by_labels_before_annotations() -> None:
    labels = {images.BASE_DIGEST: digest("a"), images.RECIPE: digest("r"), images.BUILD_KEY: "k"}
    read = lineage.from_image(facts(labels, {images.BASE_DIGEST: digest("b")}))
    assert read == Lineage(base=digest("a"), recipe=digest("r"), build_key="k")
    only = lineage.from_image(facts({}, {images.BASE_DIGEST: digest("b")}))
    assert only.base == digest("b")


def test_refused_builds_are_kept_by_key_newest_last_and_bounded() -> None:
    said: dict[str, str] = {}
    for number in range(REFUSED_BUILDS_KEPT + 5):
        said[REFUSED_BUILDS] = lineage.with_refused(said, f"k{number}")
    kept = lineage.refused_builds(said)
    assert len(kept) == REFUSED_BUILDS_KEPT
    assert kept[-1] == f"k{REFUSED_BUILDS_KEPT + 4}"
    again = lineage.with_refused(said, kept[0]).split(",")
    assert again.count(kept[0]) == 1


def test_a_refused_build_can_be_taken_back() -> None:
    said = {REFUSED_BUILDS: "a,b"}
    assert lineage.without_refused(said, "a") == "b"
    assert lineage.without_refused({REFUSED_BUILDS: "a"}, "a") is None
    assert lineage.without_refused({}, "a") is None


# --- any image: claims and layers ----------------------------------------------------------------


def candidate(version: str, *layers: str, os_version: str = "", **said: str) -> Candidate:
    """A release's base; its index and its one manifest have digests of their own."""
    return Candidate(
        release_version=version,
        release_image=release_image(version),
        base=base_image(said.get("base", version)),
        manifest_digest=digest(said.get("manifest", f"manifest of {version}")),
        diff_ids=tuple(map(digest, layers)),
        os_version=os_version,
    )


OLD = candidate("4.16.1", "a", "b", os_version="416.94.202408010000-0")
NEW = candidate("4.16.3", "a", "c", os_version="416.94.202409040013-0")
BOTH = (NEW, OLD)
LAYERED_ON_OLD = ("a", "b", "ours")


def claims(base: Digest) -> dict[str, str]:
    return {BASE_DIGEST: base}


def test_every_claim_says_who_makes_it() -> None:
    assert lineage.from_annotations({lineage.BASE: digest("a")}).said_by is SaidBy.OURS
    assert lineage.from_annotations({}).said_by is SaidBy.UNKNOWN
    ours = lineage.from_image(facts(labels(a_build(base_version="4.16.3"))))
    assert (ours.said_by, ours.base_image) == (SaidBy.OURS, base_image("4.16.3"))
    theirs = lineage.from_image(facts({}, claims(digest("a"))))
    assert (theirs.said_by, theirs.base_image) == (SaidBy.BASE_ANNOTATION, None)
    assert lineage.from_image(facts({BUILD_KEY: "k"})).said_by is SaidBy.UNKNOWN


def test_a_base_by_tag_is_known_with_its_repository() -> None:
    said = {**claims(digest("a")), BASE_NAME: "quay.io/os/rhel-coreos:9.6"}
    assert lineage.from_image(facts({}, said)).base_image == f"quay.io/os/rhel-coreos@{digest('a')}"
    bad = {**claims(digest("a")), BASE_NAME: "rhel-coreos; rm -rf /"}
    assert lineage.from_image(facts({}, bad)).base_image is None


def test_on_cluster_layering_names_its_base_as_the_release_does() -> None:
    """The annotation beside it is of one platform where the release names an index."""
    said = {ON_CLUSTER_BASE: base_image("4.16.3"), "releaseversion": "4.16.3"}
    read = lineage.from_image(facts(said, claims(digest("of one platform"))))
    assert read.said_by is SaidBy.ON_CLUSTER
    assert (read.base, read.base_image) == (base_image("4.16.3").digest, base_image("4.16.3"))
    assert read.release_version == "4.16.3"
    malformed = lineage.from_image(facts({ON_CLUSTER_BASE: "quay.io/x:latest"}))
    assert (malformed.base, malformed.said_by) == (None, SaidBy.UNKNOWN)


def test_what_on_cluster_layering_puts_on_top_of_ours_is_still_ours() -> None:
    said = {**labels(a_build(base_version="4.16.3")), ON_CLUSTER_BASE: image("our layered one")}
    read = lineage.from_image(facts(said))
    assert (read.said_by, read.base) == (SaidBy.OURS, base_image("4.16.3").digest)


def test_an_image_made_by_hand_years_ago_is_known_by_its_layers() -> None:
    read = of_image(facts({}, layers=LAYERED_ON_OLD), BOTH)
    assert read.said_by is SaidBy.LAYERS
    assert (read.base, read.base_image) == (OLD.base.digest, OLD.base)
    assert (read.release_version, read.os_version) == ("4.16.1", OLD.os_version)
    assert (read.stock, read.doubt) == (False, "")


@pytest.mark.parametrize(
    ("layers", "base"),
    [
        (("a", "b", "z"), "4.16.1"),
        (("a", "c"), "4.16.3"),
        (("a",), None),  # the beginning of a base is no base
        (("z", "a", "b"), None),
        ((), None),
    ],
)
def test_every_layer_of_the_base_counts_in_order(layers: tuple[str, ...], base: str | None) -> None:
    found = by_layers(facts({}, layers=layers), (NEW, OLD, candidate("4.16.0")))
    assert (found.release_version if found else None) == base


def test_the_longest_base_wins_and_of_equal_ones_the_first() -> None:
    longer, again = candidate("4.16.2", "a", "b", "d"), candidate("4.15.9", "a", "b")
    image_on_longer = facts({}, layers=("a", "b", "d", "ours"))
    assert by_layers(image_on_longer, (OLD, longer)) is longer
    assert by_layers(facts({}, layers=LAYERED_ON_OLD), (OLD, again)) is OLD


@pytest.mark.parametrize("named", [OLD.base.digest, OLD.manifest_digest])
def test_a_claim_that_the_layers_bear_out_stands(named: Digest) -> None:
    """A builder writes one platform's digest; the base is told as the release names it."""
    read = of_image(facts({}, claims(named), LAYERED_ON_OLD), BOTH)
    assert (read.said_by, read.base) == (SaidBy.BASE_ANNOTATION, OLD.base.digest)
    assert (read.release_version, read.doubt) == ("4.16.1", "")


def test_of_several_releases_with_one_base_the_claimed_one_is_told() -> None:
    same = candidate("4.16.4", "a", "b", base="4.16.1", manifest="manifest of 4.16.1")
    said = {**labels(a_build(base_version="4.16.1")), **claims(OLD.base.digest)}
    read = of_image(facts(said, layers=LAYERED_ON_OLD), (same, OLD))
    assert (read.said_by, read.release_version) == (SaidBy.OURS, "4.16.1")


@pytest.mark.parametrize("ours", [True, False])
def test_layers_win_over_a_claim_that_lies(ours: bool) -> None:
    said = {BUILD_KEY: "k"} if ours else {}
    read = of_image(facts({**said, **claims(NEW.base.digest)}, layers=LAYERED_ON_OLD), BOTH)
    assert (read.said_by, read.base) == (SaidBy.LAYERS, OLD.base.digest)
    who = "our labels" if ours else "base annotation"
    assert read.doubt == (
        f"it says that its base is {NEW.base.digest.short} ({who}), "
        "but its layers are those of 4.16.1's OS image"
    )
    assert read.build_key == ("k" if ours else "")


def test_a_claim_that_no_layer_bears_out_is_nobody_s() -> None:
    read = of_image(facts({}, claims(NEW.base.digest), ("z",)), BOTH)
    assert (read.said_by, read.base, read.release_version) == (SaidBy.UNKNOWN, None, "")
    assert "does not begin with the layers of 4.16.3's" in read.doubt


def test_an_image_between_the_two_is_no_lie() -> None:
    """Built on a golden image that was built on the OS: the OS is its base."""
    read = of_image(facts({}, claims(digest("golden")), LAYERED_ON_OLD), BOTH)
    assert (read.said_by, read.base, read.doubt) == (SaidBy.LAYERS, OLD.base.digest, "")


def test_a_base_of_ours_that_is_none_of_its_layers_is_doubted() -> None:
    said = {BUILD_KEY: "k", **claims(digest("gone"))}
    read = of_image(facts(said, layers=LAYERED_ON_OLD), BOTH)
    assert (read.said_by, read.base) == (SaidBy.LAYERS, OLD.base.digest)
    assert read.doubt


def test_a_claim_that_cannot_be_proven_stands() -> None:
    read = of_image(facts({}, claims(digest("elsewhere")), ("z",)), BOTH)
    assert (read.said_by, read.base, read.doubt) == (
        SaidBy.BASE_ANNOTATION,
        digest("elsewhere"),
        "",
    )


def test_a_squashed_image_is_known_by_its_os_version() -> None:
    said = {images.VERSION: OLD.os_version}
    read = of_image(facts(said, layers=("squashed",)), BOTH)
    assert (read.said_by, read.base) == (SaidBy.OS_VERSION, OLD.base.digest)
    other = of_image(facts({images.VERSION: "416.94.202301010000-0"}, layers=("squashed",)), BOTH)
    assert (other.said_by, other.base) == (SaidBy.UNKNOWN, None)
    assert other.os_version == "416.94.202301010000-0"


def test_one_os_version_of_two_images_says_nothing() -> None:
    twin = candidate("4.16.2", "x", os_version=OLD.os_version)
    said = {images.VERSION: OLD.os_version}
    assert of_image(facts(said, layers=("squashed",)), (OLD, twin)).said_by is SaidBy.UNKNOWN


def test_no_os_version_is_not_the_same_as_no_os_version() -> None:
    unversioned = candidate("4.16.9", "x")
    assert of_image(facts({}, layers=("squashed",)), (unversioned,)).said_by is SaidBy.UNKNOWN


def test_a_base_itself_is_stock() -> None:
    by_index = of_image(facts({}, layers=("a", "b"), of=OLD.base), BOTH)
    assert (by_index.stock, by_index.base) == (True, OLD.base.digest)
    relabelled = of_image(facts({}, layers=("a", "b")), BOTH)
    assert (relabelled.stock, relabelled.base) == (False, OLD.base.digest)


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from((BASE_DIGEST, BASE_NAME, BUILD_KEY, ON_CLUSTER_BASE, images.VERSION)),
        st.text(max_size=90) | st.sampled_from((OLD.base, OLD.base.digest, f"@{digest('a')}")),
    ),
    st.lists(st.sampled_from("abcz"), max_size=4),
)
def test_any_label_is_a_lineage(said: dict[str, str], layers: list[str]) -> None:
    read = of_image(facts(said, layers=layers), BOTH)
    assert (read.base is None) == (read.said_by is SaidBy.UNKNOWN)

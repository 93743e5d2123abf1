"""Where an image came from: written on what is applied, read back from it."""

from handlers.build import labels
from tests.facts import RECIPE_DIGEST, a_build, a_target, an_update, base_image, digest, image
from watcher.core import images, lineage
from watcher.core.images import ImageFacts
from watcher.core.lineage import REFUSED_BUILDS, REFUSED_BUILDS_KEPT, Lineage
from watcher.core.update_events import Override, UpdateState


def facts(labels: dict[str, str], annotations: dict[str, str] | None = None) -> ImageFacts:
    return ImageFacts(
        image=image("x"),
        manifest_digest=digest("x"),
        os="linux",
        architecture="amd64",
        diff_ids=(),
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

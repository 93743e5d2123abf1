"""Where a cluster stands between releases, and which base a pool should have."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.facts import a_pool, a_version, a_view, base_image, conditions, image, release_image
from watcher.core.cluster import ClusterView, HistoryEntry, Meta, OsImageStream, OsImageUrls, Pool
from watcher.core.facts import Malformed, Pullspec
from watcher.core.images import Payload
from watcher.core.release import (
    PAYLOAD_ANNOTATION,
    Base,
    NeedsLabels,
    NeedsPayload,
    Stage,
    UnknownBase,
    default_stream,
    effective_stream,
    expected_base,
    os_tags,
    release_state,
)
from watcher.core.streams import BOOTC, STREAM_CLASS


def entry(version: str, state: str, of: Pullspec | None = None) -> HistoryEntry:
    return HistoryEntry(state=state, version=version, image=of or release_image(version))


MULTI = image("the same version, for many architectures", "quay.io/openshift-release-dev/multi")


@pytest.mark.parametrize(
    ("said", "stage", "completed"),
    [
        ({}, Stage.COMPLETED, True),
        ({"completed": False}, Stage.IN_PROGRESS, False),
        ({"history": ()}, Stage.IN_PROGRESS, False),
        # The first upgrade was given up for another: its entry is Partial for ever.
        (
            {"history": (entry("4.16.3", "Completed"), entry("4.16.2", "Partial"))},
            Stage.COMPLETED,
            True,
        ),
        # The same release asked for again: its entry is opened anew.
        (
            {"history": (entry("4.16.3", "Partial"), entry("4.16.1", "Completed"))},
            Stage.IN_PROGRESS,
            False,
        ),
        # Same version, other image: single to multi architecture.
        (
            {"desired_image": MULTI, "history": (entry("4.16.3", "Completed"),)},
            Stage.IN_PROGRESS,
            False,
        ),
        ({"requested_version": "4.16.9"}, Stage.REQUESTED, True),
        ({"requested_version": "4.16.3"}, Stage.COMPLETED, True),
        ({"requested_version": "4.16.3", "requested_image": MULTI}, Stage.REQUESTED, True),
        ({"requested_image": release_image("4.16.3")}, Stage.COMPLETED, True),
        ({"completed": False, "requested_version": "4.17.0"}, Stage.REQUESTED, False),
    ],
    ids=[
        "completed",
        "in progress",
        "no history yet",
        "after one that was given up",
        "opened again",
        "same version, other image",
        "asked for, not accepted",
        "asked for and accepted",
        "other image asked for",
        "asked for by image and accepted",
        "asked for another midway",
    ],
)
def test_the_stage_of_a_release(said: dict[str, Any], stage: Stage, completed: bool) -> None:
    state = release_state(a_version(**said))
    assert (state.stage, state.completed) == (stage, completed)


def test_a_refused_request_tells_why() -> None:
    said = conditions(ReleaseAccepted="False:the image is not signed")
    state = release_state(a_version(requested_version="4.16.9", conditions=said))
    assert state.sentence == (
        "4.16.9 was asked for and is not accepted yet: the image is not signed"
    )


def test_an_upgrade_tells_how_far_it_is() -> None:
    said = conditions(Progressing="True:Working towards 4.16.3: 80 of 900 done")
    state = release_state(a_version(completed=False, conditions=said))
    assert state.sentence == "upgrading to 4.16.3: Working towards 4.16.3: 80 of 900 done"


@pytest.mark.parametrize(
    "said",
    [{"desired_image": "quay.io/x/y:4.16.3"}, {"desired_image": ""}, {"desired_version": ""}],
    ids=["by tag", "no image", "no version"],
)
def test_a_release_that_is_named_wrongly_is_malformed(said: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        release_state(a_version(**said))


# --- streams and tags ----------------------------------------------------------------------------


def streams(
    default: str = "rhel-9", *, made_from: str = "4.16.3", **images: Pullspec
) -> OsImageStream:
    meta = Meta(name="cluster", annotations={PAYLOAD_ANNOTATION: release_image(made_from)})
    by_name = {name.replace("_", "-"): str(of) for name, of in images.items()}
    return OsImageStream(meta=meta, default_stream=default, images=by_name)


@pytest.mark.parametrize(
    ("pool", "own", "worker", "default", "stream"),
    [
        ("infra", "rhel-10", "rhel-9", "rhel-9", "rhel-10"),
        ("infra", "", "rhel-10", "rhel-9", "rhel-10"),
        ("infra", "", "", "rhel-10", "rhel-10"),
        ("infra", "", "", "", "rhel-9"),
        ("master", "", "rhel-10", "rhel-9", "rhel-9"),
        ("arbiter", "", "rhel-10", "rhel-9", "rhel-9"),
        ("worker", "", "rhel-10", "rhel-9", "rhel-10"),
    ],
)
def test_which_stream_a_pool_follows(
    pool: str, own: str, worker: str, default: str, stream: str
) -> None:
    workers = a_pool("worker", os_image_stream=worker)
    it = workers if pool == "worker" else a_pool(pool, os_image_stream=own)
    view = a_view(pools=(workers, it), os_image_stream=streams(default) if default else None)
    assert effective_stream(view, it) == stream


@pytest.mark.parametrize(
    ("version", "stream", "tags"),
    [
        ("4.11.9", "rhel-9", ()),
        ("4.12.0", "rhel-9", ("rhel-coreos-8",)),
        ("4.13.0", "rhel-9", ("rhel-coreos",)),
        ("4.20.1", "rhel-9", ("rhel-coreos",)),
        ("4.21.0", "rhel-10", ("rhel-coreos-10",)),
        ("5.0.0", "rhel-9", ("rhel-coreos",)),
        ("5.0.0", "rhel-10", ("rhel-coreos-10",)),
        ("5.3.0", "rhel-11", ()),
        ("4.19.0-okd-scos.12", "rhel-9", ("stream-coreos", "fedora-coreos")),
        ("4.15.0-0.okd-2024-03-10-010116", "rhel-9", ("stream-coreos", "fedora-coreos")),
        ("4.17.0-0.nightly-2026-01-02-030405", "rhel-9", ("rhel-coreos",)),
    ],
)
def test_which_tag_of_the_payload_holds_the_os(
    version: str, stream: str, tags: tuple[str, ...]
) -> None:
    assert os_tags(version, stream) == tags


# --- the expected base ---------------------------------------------------------------------------


def urls(version: str, of: str = "from the ConfigMap") -> OsImageUrls:
    return OsImageUrls(release_version=version, base_image=str(image(of)))


def of_stream(stream: str) -> dict[str, str]:
    return {STREAM_CLASS: stream, BOOTC: "1"}


LABELS = {image("nine"): of_stream("rhel-9"), image("ten"): of_stream("rhel-10")}


def payload(version: str, **tags: str) -> Payload:
    named = {tag.replace("_", "-"): str(image(of)) for tag, of in tags.items()}
    return Payload(image=release_image(version), version=version, tags=named)


def base(
    version: str = "4.16.3",
    *,
    completed: bool = True,
    pool: Pool | None = None,
    payload: Payload | None = None,
    labels: Mapping[Pullspec, Mapping[str, str]] | None = None,
    history: tuple[HistoryEntry, ...] | None = None,
    **view: Any,
) -> Base | NeedsPayload | NeedsLabels | UnknownBase:
    it = pool or a_pool()
    cv = a_version(version, completed=completed)
    cv = cv if history is None else replace(cv, history=history)
    seen: ClusterView = a_view(pools=(it,), cluster_version=cv, **view)
    return expected_base(seen, it, release_state(cv), payload, labels)


def read(version: str = "4.16.3", **said: Any) -> tuple[str, str]:
    """Which image it is, and from where it was read."""
    found = base(version, **said)
    assert isinstance(found, Base), found
    return found.image, found.source


def test_the_osimagestream_made_from_this_release_says_the_base() -> None:
    made = streams(rhel_9=image("stream 9"), rhel_10=image("stream 10"))
    ten = a_pool(os_image_stream="rhel-10")
    assert read(os_image_stream=made, os_image_urls=urls("4.16.3")) == (
        image("stream 9"),
        "OSImageStream",
    )
    assert read(os_image_stream=made, pool=ten) == (image("stream 10"), "OSImageStream")


def test_an_osimagestream_of_another_payload_is_not_believed() -> None:
    stale = streams(made_from="4.16.1", rhel_9=image("stale"))
    assert read(os_image_stream=stale, os_image_urls=urls("4.16.3"))[1] == "ConfigMap"
    assert base(os_image_stream=stale) == NeedsPayload(release_image("4.16.3"))


def test_a_configmap_of_another_release_is_not_believed() -> None:
    assert base(os_image_urls=urls("4.16.1")) == NeedsPayload(release_image("4.16.3"))


def test_before_the_upgrade_is_complete_the_payload_says_the_base() -> None:
    """The ConfigMap changes at run level 80 of the upgrade; the payload is there from the start."""
    both: dict[str, Any] = {"completed": False, "os_image_urls": urls("4.16.3")}
    assert base(**both) == NeedsPayload(release_image("4.16.3"))
    given = payload("4.16.3", rhel_coreos="from the payload")
    assert read(**both, payload=given) == (image("from the payload"), "payload")


def test_a_payload_of_another_release_is_not_taken() -> None:
    other = payload("4.16.9", rhel_coreos="other")
    assert base(payload=other) == NeedsPayload(release_image("4.16.3"))


def test_the_configmap_says_nothing_about_rhel_10() -> None:
    ten = a_pool(os_image_stream="rhel-10")
    asked = base("4.21.0", pool=ten, os_image_urls=urls("4.21.0"))
    assert asked == NeedsPayload(release_image("4.21.0"))
    both = payload("4.21.0", rhel_coreos="nine", rhel_coreos_10="ten")
    assert read("4.21.0", pool=ten, payload=both, labels=LABELS) == (image("ten"), "payload")


@pytest.mark.parametrize(
    ("version", "tags", "of"),
    [
        ("4.12.0", {"machine_os_content": "old", "rhel_coreos_8": "eight"}, "eight"),
        ("4.14.0", {"machine_os_content": "old", "rhel_coreos": "nine"}, "nine"),
        ("4.19.0-okd-scos.1", {"stream_coreos": "scos"}, "scos"),
        ("4.15.0-0.okd-2024-03-10-010116", {"fedora_coreos": "fcos"}, "fcos"),
    ],
)
def test_the_payload_s_tag_by_release(version: str, tags: dict[str, str], of: str) -> None:
    assert read(version, payload=payload(version, **tags))[0] == image(of)


BOTH = payload("4.22.0", rhel_coreos="nine", rhel_coreos_10="ten", rhel_coreos_extensions="ext")
OKD = payload("4.19.0-okd-scos.1", stream_coreos="scos", stream_coreos_extensions="ext")


def test_of_two_streams_the_labels_are_asked_for() -> None:
    """And of nothing else: the extensions are left out by their name."""
    assert base("4.22.0", payload=BOTH) == NeedsLabels((image("nine"), image("ten")))
    assert read("4.22.0", payload=BOTH, labels=LABELS) == (image("nine"), "payload")


def test_labels_that_are_missing_are_asked_for_again() -> None:
    some = {image("nine"): of_stream("rhel-9")}
    assert base("4.22.0", payload=BOTH, labels=some) == NeedsLabels((image("ten"),))


def test_one_os_image_under_its_usual_name_costs_no_request() -> None:
    for version in ("4.16.3", "4.12.0"):
        tag = "rhel_coreos_8" if version == "4.12.0" else "rhel_coreos"
        given = payload(version, **{tag: "it", f"{tag}_extensions": "ext", "cli": "cli"})
        assert read(version, payload=given)[0] == image("it")
    assert read("4.19.0-okd-scos.1", payload=OKD)[0] == image("scos")


def test_a_stream_that_is_not_the_default_is_never_taken_by_its_name_alone() -> None:
    """A pool asked for RHEL 10, and the one image there is may be of RHEL 9 or 10."""
    ten = a_pool(os_image_stream="rhel-10")
    only = payload("4.22.0", rhel_coreos_10="ten")
    assert base("4.22.0", pool=ten, payload=only) == NeedsLabels((image("ten"),))
    nine = {image("ten"): of_stream("rhel-9")}
    found = base("4.22.0", pool=ten, payload=only, labels=nine)
    assert found == UnknownBase("release 4.22.0 has no OS image of stream 'rhel-10': it has rhel-9")


def test_a_cluster_installed_as_5_gets_rhel_10_and_an_upgraded_one_keeps_rhel_9() -> None:
    new = payload("5.0.0", rhel_coreos="nine", rhel_coreos_10="ten")
    now, was = entry("5.0.0", "Completed"), entry("4.23.1", "Completed")
    given_up = entry("4.22.0", "Partial")
    for history, of in [((now,), "ten"), ((now, was), "nine"), ((now, given_up), "ten")]:
        found = base("5.0.0", payload=new, labels=LABELS, history=history)
        assert isinstance(found, Base)
        assert found.image == image(of)
    assert default_stream(None) == "rhel-9"


def test_a_cluster_installed_as_5_does_not_believe_the_configmap() -> None:
    """It holds the RHEL 9 image, on 5.x too."""
    fresh = (entry("5.0.0", "Completed"),)
    asked = base("5.0.0", os_image_urls=urls("5.0.0"), history=fresh)
    assert asked == NeedsPayload(release_image("5.0.0"))


def test_okd_has_one_stream_and_its_configmap_is_believed() -> None:
    found = base("4.19.0-okd-scos.1", os_image_urls=urls("4.19.0-okd-scos.1"))
    assert isinstance(found, Base)
    assert (found.source, found.stream) == ("ConfigMap", "centos-10")
    nine = a_pool(os_image_stream="rhel-9")
    asked = base("4.19.0-okd-scos.1", pool=nine, os_image_urls=urls("4.19.0-okd-scos.1"))
    assert asked == NeedsPayload(release_image("4.19.0-okd-scos.1"))


def test_a_candidate_that_is_named_by_tag_is_told() -> None:
    named = {**BOTH.tags, "rhel-coreos-10": "quay.io/x/rhel-coreos:10"}
    found = base("4.22.0", payload=replace(BOTH, tags=named))
    assert isinstance(found, UnknownBase)
    assert "payload of 4.22.0 names its OS image wrongly" in found.because


def test_up_to_4_11_nothing_can_be_layered() -> None:
    found = base("4.11.20", payload=payload("4.11.20", machine_os_content="old"))
    assert found == UnknownBase("release 4.11.20 has no OS image to build on (needs 4.12)")


def test_a_payload_without_the_tag_is_told() -> None:
    found = base(payload=payload("4.16.3", cli="x"))
    assert isinstance(found, UnknownBase)
    assert "4.16.3 has no image tag 'rhel-coreos'" in found.because


def test_a_base_that_is_named_by_tag_is_told() -> None:
    by_tag = replace(payload("4.16.3"), tags={"rhel-coreos": "quay.io/x/rhel-coreos:9.6"})
    found = base(payload=by_tag)
    assert isinstance(found, UnknownBase)
    assert "payload of 4.16.3 names its OS image wrongly" in found.because


def test_the_base_carries_its_release() -> None:
    found = base(payload=payload("4.16.3", rhel_coreos="x"))
    assert isinstance(found, Base)
    assert (found.release.version, found.release.image) == ("4.16.3", release_image("4.16.3"))
    assert base_image("4.16.3") != found.image

"""Which tag of a release holds the OS image of a stream: by labels, else by names."""

import json
from pathlib import Path

import pytest

from tests.facts import image, release_image
from watcher.core import streams
from watcher.core.images import Payload
from watcher.core.streams import BOOTC, EXTENSIONS, SOURCE, STREAM_CLASS, NoTag

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"


def payload(*tags: str, version: str = "4.22.0", **sources: str) -> Payload:
    """`sources`: tag (with _ for -) → source-location of its annotation."""
    named = {source.replace("_", "-"): {SOURCE: url} for source, url in sources.items()}
    every = dict.fromkeys((*tags, *named))
    return Payload(
        image=release_image(version),
        version=version,
        tags={tag: str(image(tag)) for tag in every},
        annotations=named,
    )


def os_labels(stream: str, bootc: str = "true", **more: str) -> dict[str, str]:
    return {STREAM_CLASS: stream, BOOTC: bootc, **more}


BOTH = payload("cli", "rhel-coreos", "rhel-coreos-10", "rhel-coreos-extensions")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (BOTH, ("rhel-coreos", "rhel-coreos-10")),
        (payload("machine-os-content", "rhel-coreos-8"), ("rhel-coreos-8",)),
        (payload("stream-coreos", "stream-coreos-extensions"), ("stream-coreos",)),
        (payload("rhel9.6-coreos-extensions-rt", "rhel9.6-coreos"), ("rhel9.6-coreos",)),
        (payload("fedora-coreos", "machine-os-images", "coreos-rhel"), ()),
        (payload(node_os="https://github.com/openshift/os"), ("node-os",)),
        (payload(node_os="https://github.com/openshift/os.git"), ("node-os",)),
        (payload(osin="https://github.com/openshift/osin"), ()),
        (payload(os="https://github.com/openshift/os-tests"), ()),
        (payload(node_extensions="https://github.com/openshift/os"), ()),
    ],
)
def test_which_tags_may_hold_an_os_image(given: Payload, found: tuple[str, ...]) -> None:
    assert streams.candidates(given) == found


@pytest.mark.parametrize(
    ("stream", "tag"),
    [("rhel-9", "rhel-coreos"), ("rhel-10", "rhel-coreos-10")],
)
def test_the_labels_say_which_image_is_of_a_stream(stream: str, tag: str) -> None:
    labels = {
        "rhel-coreos": os_labels("rhel-9", "1"),
        "rhel-coreos-10": os_labels("rhel-10", "True"),
    }
    assert streams.choose(BOTH, labels, version="4.22.0", stream=stream) == tag


def test_labels_count_more_than_names() -> None:
    """A release whose plain name is RHEL 10: the table would send its pools to the wrong OS."""
    labels = {"rhel-coreos": os_labels("rhel-10"), "rhel-coreos-10": os_labels("rhel-9")}
    assert streams.choose(BOTH, labels, version="5.3.0", stream="rhel-9") == "rhel-coreos-10"


@pytest.mark.parametrize(
    "labels",
    [
        {STREAM_CLASS: "rhel-10"},
        os_labels("rhel-10", "false"),
        os_labels("rhel-10", **{EXTENSIONS: "true"}),
    ],
    ids=["not said to be bootable", "not bootable", "extensions under another name"],
)
def test_an_image_of_the_stream_that_is_no_os_is_not_taken(labels: dict[str, str]) -> None:
    said = {"rhel-coreos": os_labels("rhel-9"), "rhel-coreos-10": labels}
    assert streams.choose(BOTH, said, version="4.22.0", stream="rhel-10") == NoTag(
        "release 4.22.0 has no OS image of stream 'rhel-10': it has rhel-9"
    )


def test_two_images_of_one_stream_are_refused() -> None:
    """MCO takes whichever it inspects last; we would not know which."""
    said = {"rhel-coreos": os_labels("rhel-9"), "rhel-coreos-10": os_labels("rhel-9")}
    assert streams.choose(BOTH, said, version="4.22.0", stream="rhel-9") == NoTag(
        "release 4.22.0 has several OS images of stream 'rhel-9': rhel-coreos, rhel-coreos-10"
    )


def test_two_names_of_one_image_are_one() -> None:
    same = Payload(
        image=release_image("4.22.0"),
        version="4.22.0",
        tags={"rhel-coreos": str(image("x")), "rhel-coreos-9": str(image("x"))},
    )
    said = dict.fromkeys(same.tags, os_labels("rhel-9"))
    assert streams.choose(same, said, version="4.22.0", stream="rhel-9") == "rhel-coreos"


@pytest.mark.parametrize(
    ("version", "stream", "tags", "chosen"),
    [
        ("4.20.1", "rhel-9", ("rhel-coreos",), "rhel-coreos"),
        ("4.21.0", "rhel-10", ("rhel-coreos", "rhel-coreos-10"), "rhel-coreos-10"),
        ("4.19.0-okd-scos.1", "centos-10", ("stream-coreos",), "stream-coreos"),
        ("4.15.0-0.okd-2024-03-10-010116", "centos-10", ("fedora-coreos",), "fedora-coreos"),
    ],
)
def test_names_decide_where_no_label_says_a_stream(
    version: str, stream: str, tags: tuple[str, ...], chosen: str
) -> None:
    given = payload(*tags, version=version)
    unlabelled = {tag: {BOOTC: "true"} for tag in tags}
    assert streams.choose(given, unlabelled, version=version, stream=stream) == chosen


def test_a_stream_without_a_known_name_is_not_guessed() -> None:
    found = streams.choose(BOTH, {}, version="4.21.0", stream="rhel-11")
    assert found == NoTag("release 4.21.0 has no OS image of stream 'rhel-11' that we know of")


@pytest.mark.parametrize(
    ("tags", "stream", "named"),
    [
        (("rhel-coreos", "rhel-coreos-extensions"), "rhel-9", "rhel-coreos"),
        (("rhel-coreos", "rhel-coreos-10"), "rhel-9", ""),
        (("rhel-coreos-10",), "rhel-10", "rhel-coreos-10"),
        (("rhel-coreos",), "rhel-10", ""),
        (("cli",), "rhel-9", ""),
    ],
)
def test_when_the_names_alone_are_enough(tags: tuple[str, ...], stream: str, named: str) -> None:
    assert streams.named(payload(*tags), "4.22.0", stream) == named


@pytest.mark.parametrize(
    ("installed", "now", "stream"),
    [
        ("4.18.1", "4.22.0", "rhel-9"),
        ("4.18.1", "5.0.0", "rhel-9"),
        ("5.0.0", "5.1.0", "rhel-10"),
        ("", "5.1.0", "rhel-10"),
        ("", "4.16.0", "rhel-9"),
        ("nonsense", "5.0.0", "rhel-10"),
        ("4.18.0-okd-scos.1", "4.19.0-okd-scos.1", "centos-10"),
        ("5.0.0-okd-scos.1", "5.0.0-okd-scos.1", "centos-10"),
    ],
)
def test_the_built_in_default_stream(installed: str, now: str, stream: str) -> None:
    assert streams.built_in_default(installed, now) == stream


def test_a_payload_says_its_architecture_and_advisory() -> None:
    said = {"release.openshift.io/architecture": "multi", "url": "https://access.example/1"}
    multi = Payload(image=release_image("4.16.3"), version="4.16.3", tags={}, metadata=said)
    assert (multi.architecture, multi.url) == ("multi", "https://access.example/1")
    assert (BOTH.architecture, BOTH.url) == ("", "")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("image-references-4.12.0-x86_64.json", ("rhel-coreos-8",)),
        ("image-references-4.22-dualstream-excerpt.json", ("rhel-coreos", "rhel-coreos-10")),
    ],
)
def test_real_payloads(name: str, found: tuple[str, ...]) -> None:
    said = json.loads((SAMPLES / name).read_text())["spec"]["tags"]
    real = Payload(
        image=release_image("x"),
        version="x",
        tags={tag["name"]: tag["from"]["name"] for tag in said},
        annotations={tag["name"]: tag.get("annotations") or {} for tag in said},
    )
    assert streams.candidates(real) == found

"""Which tag of a release holds the OS image of a stream.

Rules: machine-config-operator pkg/osimagestream (imagestream_source.go, image_data.go,
streams.go); names: its install/image-references per branch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.core import mco
from watcher.core.images import Payload

RHEL_9, RHEL_10, CENTOS_10 = "rhel-9", "rhel-10", "centos-10"
STREAM_CLASS = "io.openshift.os.streamclass"
"""Label of an OS image and of its extensions: the stream. As a tag's annotation it is not sure."""
BOOTC = "containers.bootc"
EXTENSIONS = "io.openshift.os.extensions"
SOURCE = "io.openshift.build.source-location"
FIRST_LAYERABLE = (4, 12)
_OS_SOURCE = re.compile(r"github\.com/openshift/os(?![A-Za-z0-9_-])")
_OS_NAME = re.compile(r"(rhel|stream)[a-zA-Z0-9.-]*-coreos[a-zA-Z0-9.-]*")
_EXTENSIONS_NAME = re.compile(r".*-extensions[a-zA-Z0-9.-]*")

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoTag:
    """The release has no OS image of the stream, or not exactly one."""

    because: str


def is_okd(version: str) -> bool:
    return "okd" in version


def built_in_default(install_version: str, release_version: str) -> str:
    """Return MCO's default stream, given the release that was installed first (or now runs).

    OKD has one stream only, whatever is in it; an upgraded 4.x cluster stays on RHEL 9.
    """
    if is_okd(release_version):
        return CENTOS_10
    for version in (install_version, release_version):
        try:
            return RHEL_9 if mco.minor_of(version)[0] <= 4 else RHEL_10
        except ValueError:
            continue
    return RHEL_9


def os_tags(version: str, stream: str) -> tuple[str, ...]:
    """Return the payload tags that hold the OS image by their names, best first.

    Empty for a stream without a known name, and up to 4.11: machine-os-content is an OSTree in a
    container, nothing can be built on it.
    """
    if mco.minor_of(version) < FIRST_LAYERABLE:
        return ()
    if is_okd(version):
        return ("stream-coreos", "fedora-coreos")
    if stream == RHEL_10:
        return ("rhel-coreos-10",)
    if stream != RHEL_9:
        return ()
    if mco.minor_of(version) == (4, 12):
        return ("rhel-coreos-8",)
    return ("rhel-coreos",)


def candidates(payload: Payload) -> tuple[str, ...]:
    """Return the tags that may hold an OS image, by source or name, extensions left out."""
    return tuple(
        tag
        for tag in payload.tags
        if not _EXTENSIONS_NAME.fullmatch(tag)
        and (
            _OS_NAME.fullmatch(tag)
            or _OS_SOURCE.search(payload.annotations.get(tag, {}).get(SOURCE, ""))
        )
    )


def is_os_image(labels: Labels) -> bool:
    return labels.get(BOOTC, "").lower() in ("true", "1") and not is_extensions(labels)


def is_extensions(labels: Labels) -> bool:
    return labels.get(EXTENSIONS, "").lower() == "true"


def named(payload: Payload, version: str, stream: str) -> str:
    """Return the tag that the names alone tell: the only candidate, and the one expected.

    Empty where labels must be asked for.
    """
    found = candidates(payload)
    expected = [tag for tag in os_tags(version, stream) if tag in payload.tags]
    return expected[0] if expected and set(found) <= {expected[0]} else ""


def choose(
    payload: Payload, labels: Mapping[str, Labels], *, version: str, stream: str
) -> str | NoTag:
    """Return the tag of a stream's OS image, given the labels of every candidate's image.

    The labels decide; the names do where no candidate says its stream, as up to 4.20 and in OKD.
    Two different images of one stream are refused: MCO takes any of them.
    """
    classed = {tag: said for tag, said in labels.items() if said.get(STREAM_CLASS)}
    if not classed:
        return _by_name(payload, version, stream)
    found = [
        tag for tag, said in classed.items() if said[STREAM_CLASS] == stream and is_os_image(said)
    ]
    if not found:
        there = sorted({s[STREAM_CLASS] for s in classed.values() if is_os_image(s)})
        has = f"it has {', '.join(there)[:200]}" if there else "none of its images is one"
        return NoTag(f"release {version} has no OS image of stream {stream!r}: {has}")
    if len({payload.tags[tag] for tag in found}) > 1:
        both = ", ".join(sorted(found))[:200]
        return NoTag(f"release {version} has several OS images of stream {stream!r}: {both}")
    return found[0]


def _by_name(payload: Payload, version: str, stream: str) -> str | NoTag:
    if mco.minor_of(version) < FIRST_LAYERABLE:
        return NoTag(f"release {version} has no OS image to build on (needs 4.12)")
    tags = os_tags(version, stream)
    if not tags:
        return NoTag(f"release {version} has no OS image of stream {stream!r} that we know of")
    found = next((tag for tag in tags if tag in payload.tags), "")
    return found or NoTag(f"release {version} has no image tag {' or '.join(tags)!r}")

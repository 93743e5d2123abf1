"""`relayer image-for`: lists of platforms, and the OS image of a release where no tag is named."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry.images import Tag, base_image, index_of, make_image, release_image
from tests.facts import image
from tests.registries import simulated_registry
from tests.release_world import ART, CLI, OS, Vendor, dual, nobody_at_home
from watcher.core.streams import SOURCE

OLD = Tag("source.invalid/gone@" + OS.digest, {SOURCE: "https://github.com/openshift/os"})
"""An OS image that is not there to be looked at."""
SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with simulated_registry() as running:
        yield Vendor(running, tmp_path)


# --- lists ----------------------------------------------------------------------------------------


async def test_of_a_list_the_entry_of_this_machine_or_of_the_filter_is_read(
    vendor: Vendor,
) -> None:
    named = {arch: image(arch, ART) for arch in ("amd64", "arm64", "s390x")}
    made = [
        release_image("4.16.3", {"cli": named[arch]}, architecture=arch, multi=True)
        for arch in ("s390x", "arm64", "amd64")
    ]
    release = await vendor.push("ocp/release", index_of(*made))
    mine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    assert (await vendor.image_for("cli", release)).out == f"{named[mine]}\n"
    for pattern, arch in (("linux/arm64", "arm64"), ("s390", "s390x"), (".*", "s390x")):
        ran = await vendor.image_for("cli", release, "--filter-by-os", pattern)
        assert ran.out == f"{named[arch]}\n"
    ran = await vendor.image_for("cli", release, "--filter-by-os", "windows", code=4)
    assert "linux/s390x, linux/arm64, linux/amd64" in ran.err


async def test_the_only_entry_of_a_list_is_read_whatever_it_is_for(vendor: Vendor) -> None:
    only = release_image("4.16.3", {"cli": CLI}, architecture="s390x")
    release = await vendor.push("ocp/release", index_of(only))
    for filtered in ((), ("--filter-by-os", "windows")):
        assert (await vendor.image_for("cli", release, *filtered)).out == f"{CLI}\n"


# --- the OS image ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "tags", "expected"),
    [
        ("4.12.0", ("machine-os-content", "rhel-coreos-8", "rhel-coreos-8-extensions"), 1),
        ("4.14.1", ("machine-os-content", "rhel-coreos", "rhel-coreos-extensions"), 1),
        ("4.16.3", ("rhel-coreos-extensions", "rhel-coreos"), 1),
        ("4.18.0-okd-scos.1", ("stream-coreos-extensions", "stream-coreos"), 1),
    ],
)
async def test_without_a_tag_it_is_the_os_image(
    vendor: Vendor, version: str, tags: tuple[str, ...], expected: int
) -> None:
    """Told by its name alone where there is one: then nothing else is read."""
    named = {tag: str(image(f"{version} {tag}", ART)) for tag in tags}
    release = await vendor.release(version, named)
    assert (await vendor.image_for(release)).out == f"{named[tags[expected]]}\n"


async def test_of_two_streams_the_default_or_the_one_asked_for_is_taken(vendor: Vendor) -> None:
    named = await dual(vendor)
    release = f"{vendor.running.host}/ocp/release:dual"
    for words, tag in (
        ((), "rhel-coreos"),
        (("--stream", "rhel-9"), "rhel-coreos"),
        (("--stream", "rhel-10"), "rhel-coreos-10"),
    ):
        assert (await vendor.image_for(release, *words)).out == f"{named[tag]}\n"
    ran = await vendor.image_for(release, "--stream", "rhel-11\x1b", code=6)
    assert "it has rhel-10, rhel-9" in ran.err
    assert "\x1b" not in ran.err


async def test_a_stream_that_was_asked_for_is_held_against_the_label(vendor: Vendor) -> None:
    """Even of an image that is alone under the name of that stream."""
    image = await vendor.push("ocp/parts", base_image("10.2.20260605-0", stream="rhel-10"))
    release = await vendor.release("4.22.1", {"rhel-coreos": str(image)})
    ran = await vendor.image_for(release, "--stream", "rhel-9", code=6)
    assert "no OS image of stream 'rhel-9': it has rhel-10" in ran.err
    assert (await vendor.image_for(release, "--stream", "rhel-10")).out == f"{image}\n"


async def test_the_real_4_12_names_what_oc_prints_for_it(vendor: Vendor) -> None:
    names = ("image-references", "release-metadata")
    found = {name: SAMPLES / f"{name}-4.12.0-x86_64.json" for name in names}
    if not all(path.is_file() for path in found.values()):
        pytest.skip(f"{SAMPLES} has no files of release 4.12.0")
    files = {f"release-manifests/{name}": path.read_bytes() for name, path in found.items()}
    release = await vendor.push("ocp/release", make_image([files], labels={}))
    named = {
        tag["name"]: tag["from"]["name"]
        for tag in json.loads(files["release-manifests/image-references"])["spec"]["tags"]
    }
    assert (await vendor.image_for(release)).out == f"{named['rhel-coreos-8']}\n"
    for tag in ("machine-os-content", "cli", "cluster-version-operator"):
        assert (await vendor.image_for(tag, release)).out == f"{named[tag]}\n"


async def test_labels_are_read_of_a_list_too(vendor: Vendor) -> None:
    both = [base_image("9.8.20260601-0", architecture=arch) for arch in ("arm64", "amd64")]
    other = base_image("10.2.20260605-0", stream="rhel-10")
    first = await vendor.push("ocp/parts", index_of(*both))
    second = await vendor.push("ocp/parts", other)
    tags = {"rhel-coreos": str(first), "rhel-coreos-10": str(second)}
    release = await vendor.release("4.22.1", tags)
    assert (await vendor.image_for(release)).out == f"{first}\n"


@pytest.mark.parametrize(
    ("version", "tags", "code", "told"),
    [
        ("4.11.9", {"machine-os-content": OLD}, 6, "needs 4.12"),
        ("4.16.3", {"cli": str(CLI)}, 6, "no image tag 'rhel-coreos'"),
        (f"4.16.3-{'x' * 9999}", {"cli": str(CLI)}, 4, "has the version '4.16.3-xxx"),
        ("4.16.3\x1b", {"rhel-coreos": str(OS)}, 4, "has the version '4.16.3'"),
        ("latest", {"rhel-coreos": str(OS)}, 4, "no version"),
        ("4.22.1", {"rhel-coreos": "?", "rhel-coreos-10": str(OS)}, 4, "tag rhel-coreos of"),
    ],
)
async def test_a_release_without_an_os_image_that_can_be_told(
    vendor: Vendor, version: str, tags: dict[str, Tag | str], code: int, told: str
) -> None:
    release = await vendor.release(version, tags)
    ran = await vendor.image_for(release, code=code)
    assert told in ran.err
    assert ran.out == ""
    assert len(ran.err) < 900
    assert "\x1b" not in ran.err


async def test_an_os_image_that_is_an_empty_list_is_refused(vendor: Vendor) -> None:
    empty = index_of(base_image())
    nothing = replace(empty, images=(), manifest=b'{"schemaVersion":2,"manifests":[]}')
    at = await vendor.push("ocp/parts", nothing)
    release = await vendor.release("4.22.1", {"rhel-coreos": str(at), "rhel-coreos-10": str(OS)})
    assert "index of nothing" in (await vendor.image_for(release, code=4)).err

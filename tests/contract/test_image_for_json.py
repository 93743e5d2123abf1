"""`relayer image-for -o json`: what is told of the image and of its release, and what is not."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import CONFIG_MAPS
from simulator.cluster import Release, objects
from simulator.registry.images import MadeImage, Tag, base_image, index_of, make_image
from simulator.signing import Signer, signer_here
from tests.contract.signature_store import a_store
from tests.registries import simulated_registry
from tests.release_world import CLI, OS, Sites, Vendor, dual, nobody_at_home, sites
from watcher.core.facts import Digest, Pullspec

OLD_GRAMMAR, NEW_GRAMMAR = "416.94.202409040013-0", "9.6.20251201-1"
GPG = pytest.mark.real("gpg", "gpgv")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with simulated_registry() as running:
        yield Vendor(running, tmp_path)


@pytest.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[Sites]:
    async with sites(tmp_path) as opened:
        yield opened


def noted(image: object, version: str) -> Tag:
    annotation = f"machine-os={version},kubernetes=1.29.7"
    return Tag(str(image), {"io.openshift.build.versions": annotation})


def plain(version: str = "", **labels: str) -> MadeImage:
    """An OS image of the days before streams: no label names one."""
    said = {"org.opencontainers.image.version": version} if version else {}
    return make_image([{"etc/a": b"a"}, {"etc/b": b"b"}], labels=said | labels)


async def test_every_field(vendor: Vendor) -> None:
    image = await vendor.push("ocp/parts", base_image(OLD_GRAMMAR))
    release = await vendor.release("4.16.3", {"rhel-coreos": noted(image, OLD_GRAMMAR)})
    assert await vendor.json(release) == {
        "image": image,
        "tag": "rhel-coreos",
        "stream": "rhel-9",
        "machine_os_version": OLD_GRAMMAR,
        "created": "2026-01-15T08:00:00+00:00",
        "architectures": ["amd64"],
        "layers": 3,
        "release": {
            "image": release,
            "version": "4.16.3",
            "architecture": None,
            "url": "https://access.redhat.com/errata/4.16.3",
            "signature": {
                "proof": "unchecked",
                "because": (
                    "no key says who must have signed it: the cluster has no ConfigMap"
                    " release-verification in openshift-config-managed; name the keys in"
                    " release.keys"
                ),
                "signers": [],
                "source": None,
            },
        },
        "problems": [],
    }


# --- the version of the OS ------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLD_GRAMMAR, NEW_GRAMMAR])
async def test_the_annotation_of_the_tag_says_the_version(vendor: Vendor, version: str) -> None:
    """Of the tag, not of the image: a label may be anybody's."""
    image = await vendor.push("ocp/parts", plain("another"))
    release = await vendor.release("4.19.1", {"rhel-coreos": noted(image, version)})
    assert (await vendor.json(release))["machine_os_version"] == version


async def test_in_4_12_the_image_itself_says_it(vendor: Vendor) -> None:
    """There the annotation is on machine-os-content alone; and RHEL 8 is no stream."""
    image = await vendor.push("ocp/parts", plain("412.86.202301061548-0"))
    other = noted(CLI, "412.86.202201010000-0")
    tags = {"machine-os-content": other, "rhel-coreos-8": Tag(str(image))}
    said = await vendor.json(await vendor.release("4.12.0", tags))
    assert (said["tag"], said["machine_os_version"]) == ("rhel-coreos-8", "412.86.202301061548-0")
    assert said["stream"] is None


async def test_each_stream_has_the_version_of_its_own_tag(vendor: Vendor) -> None:
    """The least of both, which `oc` gives for the release, is that of RHEL 10: 10 < 9 as text."""
    await dual(vendor)
    release = f"{vendor.running.host}/ocp/release:dual"
    for stream, version in (("rhel-9", "9.8.20260601-0"), ("rhel-10", "10.2.20260605-0")):
        said = await vendor.json(release, "--stream", stream)
        assert (said["stream"], said["machine_os_version"]) == (stream, version)
    said = await vendor.json("rhel-coreos-10", release)
    assert (said["stream"], said["machine_os_version"]) == ("rhel-10", "10.2.20260605-0")


async def test_an_image_that_is_no_os_has_no_version_of_one(vendor: Vendor) -> None:
    image = await vendor.push("ocp/parts", plain())
    tag = Tag(str(image), {"io.openshift.build.versions": "kubectl=1.29.1"})
    said = await vendor.json("cli", await vendor.release(tags={"cli": tag, "x": noted(OS, "1.2")}))
    assert (said["machine_os_version"], said["stream"], said["layers"]) == (None, None, 2)


@pytest.mark.parametrize("is_asked", [False, True])
async def test_okd_has_its_own_stream(vendor: Vendor, clusters: Sites, is_asked: bool) -> None:
    """Whatever the default of a cluster is that was asked along."""
    image = await vendor.push("ocp/parts", plain("10.0.20260101-0"))
    release = await vendor.release("4.20.0-okd-scos.1", {"stream-coreos": str(image)})
    site = await clusters.open(release)
    asked = ("--kubeconfig", site.kubeconfig) if is_asked else ()
    assert (await vendor.json(release, *asked))["stream"] == "centos-10"


# --- the image ------------------------------------------------------------------------------------


async def test_of_a_list_all_architectures_are_told_and_one_is_looked_at(vendor: Vendor) -> None:
    arm = make_image([{"a": b"1"}], labels={}, architecture="arm64")
    both = index_of(arm, base_image(OLD_GRAMMAR), base_image(NEW_GRAMMAR))
    image = await vendor.push("ocp/parts", both)
    release = await vendor.release("4.16.3", {"rhel-coreos": str(image)}, multi=True)
    for pattern, layers in (("amd64", 3), ("arm64", 1), ("s390x", 3)):
        said = await vendor.json(release, "--filter-by-os", pattern)
        assert (said["architectures"], said["layers"]) == (["arm64", "amd64"], layers)
        assert said["release"]["architecture"] == "multi"


async def test_what_cannot_be_read_is_null_and_told(vendor: Vendor) -> None:
    gone = Pullspec(f"{vendor.running.host}/ocp/gone@{OS.digest}")
    release = await vendor.release(tags={"rhel-coreos": noted(gone, OLD_GRAMMAR)})
    said = await vendor.json(release)
    assert (said["image"], said["machine_os_version"]) == (gone, OLD_GRAMMAR)
    assert [said[key] for key in ("created", "architectures", "layers")] == [None] * 3
    assert len(said["problems"]) == 1
    assert "the image itself cannot be read" in said["problems"][0]


async def test_what_the_cluster_did_not_tell_is_among_the_problems(
    vendor: Vendor, clusters: Sites
) -> None:
    gone = f"{vendor.running.host}/ocp/gone@{OS.digest}"
    site = await clusters.open(await vendor.release(tags={"rhel-coreos": gone}))
    site.api.denials.deny(["get"], "secrets")
    said = await vendor.json("--kubeconfig", site.kubeconfig)
    assert any("without the pull secret" in problem for problem in said["problems"])


async def test_text_from_outside_is_escaped_and_cut(vendor: Vendor) -> None:
    nasty = "\x1b[2J\u202e" + "x" * 9999
    labels = {"io.openshift.os.streamclass": nasty}
    image = await vendor.push("ocp/parts", plain(**labels))
    release = await vendor.release(f"4.16.3-{'x' * 100}", {"rhel-coreos": str(image)})
    ran = await vendor.image_for("rhel-coreos", release, "-o", "json")
    assert all(character.isprintable() or character == "\n" for character in ran.out)
    assert len(ran.out) < 3000


# --- the signature --------------------------------------------------------------------------------


@pytest.fixture
def signer() -> Signer:
    made = signer_here()
    assert made is not None
    return made


async def unread(vendor: Vendor) -> Pullspec:
    """A release whose OS image is not there: its signature is not about that."""
    return await vendor.release(tags={"rhel-coreos": f"{vendor.running.host}/gone@{OS.digest}"})


async def signature(vendor: Vendor, *words: object) -> Any:
    return (await vendor.json(*words))["release"]["signature"]


@GPG
async def test_a_release_that_the_clusters_keys_signed_is_good(
    vendor: Vendor, clusters: Sites, signer: Signer
) -> None:
    release = await unread(vendor)
    site = await clusters.open(release, signer=signer)
    for asked in ((), (release,)):
        said = await signature(vendor, *asked, "--kubeconfig", site.kubeconfig)
        assert (said["proof"], said["source"]) == ("good", "cluster")
        assert said["signers"] == [signer.fingerprint]


@GPG
async def test_a_release_without_or_with_a_strangers_signature(
    vendor: Vendor, clusters: Sites, signer: Signer
) -> None:
    release = await unread(vendor)
    site = await clusters.open(release, signer=signer, signed=False)
    asked = ("--kubeconfig", site.kubeconfig)
    said = await signature(vendor, *asked)
    assert (said["proof"], said["signers"]) == ("missing", [])
    with Signer.made("Somebody else") as stranger:
        theirs = objects.release_signature(
            Release(version="4.16.3", image=str(release), os_image=str(OS)),
            stranger.sign(release.digest),
        )
    site.api.writer.create(CONFIG_MAPS, theirs)
    said = await signature(vendor, *asked)
    assert (said["proof"], said["signers"], said["source"]) == ("bad", [], None)
    vendor.said["release"] = {"verify": "off"}
    said = await signature(vendor, *asked)
    assert (said["proof"], said["because"]) == (
        "unchecked",
        "not looked at: release.verify is off",
    )


@GPG
async def test_without_a_cluster_the_configured_keys_and_stores_count(
    vendor: Vendor, signer: Signer
) -> None:
    release = await unread(vendor)
    keys = vendor.directory / "keys.asc"
    keys.write_text(signer.public_key)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(a_store())
        vendor.said["release"] = {"keys": [str(keys)], "signature_stores": [store.url]}
        assert (await signature(vendor, release))["proof"] == "missing"
        store.hold(signer.sign(release.digest), release=Digest(release.digest))
        said = await signature(vendor, release)
        assert (said["proof"], said["signers"]) == ("good", [signer.fingerprint])
        assert said["source"] == store.url
    said = await signature(vendor, release)
    assert said["proof"] == "unreachable"

"""`relayer lineage`: which base an image stands on, who says so, and how old that is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import DIGEST_MIRROR_SETS
from simulator.registry.images import make_image
from tests.facts import digest
from tests.registries import simulated_registry
from tests.release_world import (
    BUILT,
    OS,
    OURS,
    Graphs,
    Sites,
    Vendor,
    a_cluster,
    a_release,
    by_hand,
    graphs,
    layered,
    mirror_set,
    nobody_at_home,
    relayer,
    sites,
)
from watcher.core import images
from watcher.core.facts import Pullspec


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def service() -> AsyncIterator[Graphs]:
    async with graphs() as made:
        yield made


@pytest.fixture
async def vendor(tmp_path: Path, service: Graphs) -> AsyncIterator[Vendor]:
    async with simulated_registry() as running:
        yield Vendor(running, tmp_path, {"release": {"graph_url": service.url}})


@pytest.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[Sites]:
    async with sites(tmp_path) as opened:
        yield opened


async def json(vendor: Vendor, *words: object, code: int = 0) -> Any:
    return (await vendor.lineage(*words, "-o", "json", code=code)).json()


# --- what the image says of itself ----------------------------------------------------------------


async def test_our_labels_are_believed_and_nothing_else_is_asked(
    vendor: Vendor, service: Graphs
) -> None:
    image = await vendor.push("team/os", layered("4.16.3", ("motd",), OURS))
    assert await json(vendor, image) == {
        "image": image,
        "base": OS,
        "said_by": "our labels",
        "release": "4.16.3",
        "os_version": BUILT["4.16.3"],
        "os_built_at": "2024-09-04T00:13:00+00:00",
        "stock": False,
        "recipe": digest("recipe"),
        "build_key": "key-1",
        "doubt": None,
        "behind": None,
        "looked_at": [],
        "gaps": [],
    }
    ran = await vendor.lineage(image)
    assert ran.err == ""
    assert ran.out.splitlines() == [
        f"image       {image}",
        f"base        {OS}",
        "said by     Relayer's labels on the image",
        "release     4.16.3",
        f"OS version  {BUILT['4.16.3']}",
        f"recipe      {digest('recipe')}",
    ]
    assert service.asked == []


@pytest.mark.parametrize(
    ("labels", "said_by", "words"),
    [
        (
            {images.BASE_DIGEST: OS.digest, images.BASE_NAME: f"{OS.repository}:x"},
            "base annotation",
            "the base annotation of the image",
        ),
        (
            {images.ON_CLUSTER_BASE: OS, images.ON_CLUSTER_RELEASE: "4.16.3"},
            "labels of on-cluster layering",
            "the labels of on-cluster layering",
        ),
    ],
)
async def test_the_labels_of_others_are_told_as_theirs(
    vendor: Vendor, labels: dict[str, Any], said_by: str, words: str
) -> None:
    image = await vendor.push("team/os", layered("4.16.3", ("motd",), labels))
    said = await json(vendor, image)
    assert (said["base"], said["said_by"]) == (OS, said_by)
    assert f"said by  {words}" in (await vendor.lineage(image)).out


async def test_an_image_may_be_named_by_tag(vendor: Vendor) -> None:
    image = await vendor.push("team/os", layered("4.16.3", ("motd",), OURS), tag="v1")
    await vendor.push("team/os", layered("4.16.3", ("b",), OURS), tag="latest")
    assert (await json(vendor, f"{image.repository}:v1"))["image"] == image
    assert (await json(vendor, image.repository))["image"] != image
    assert "not a repository" in (await vendor.lineage("os:v1", code=2)).err
    assert "not a sha256" in (await vendor.lineage(f"{image}0", code=2)).err


async def test_text_of_labels_is_clean_and_cut(vendor: Vendor) -> None:
    nasty = "\x1b[2J" + "x" * 9999
    labels = {**OURS, images.BUILD_KEY: nasty, images.RELEASE: nasty, images.VERSION: nasty}
    image = await vendor.push("team/os", layered("4.16.3", ("motd",), labels))
    for form in ("table", "json"):
        ran = await vendor.lineage(image, "-o", form)
        assert "\x1b" not in ran.out + ran.err
        assert len(ran.out) < 1500


# --- what is found out ----------------------------------------------------------------------------


async def test_its_layers_are_found_among_the_cluster_s_releases(
    vendor: Vendor, clusters: Sites
) -> None:
    old, base = await a_release(vendor, "4.16.1")
    new, _ = await a_release(vendor, "4.16.3")
    site = await a_cluster(clusters, ("4.16.3", new), ("4.16.1", old))
    image = await by_hand(vendor, "4.16.1")
    said = await json(vendor, image, "--kubeconfig", site.kubeconfig)
    assert (said["base"], said["said_by"], said["release"]) == (base, "layers", "4.16.1")
    assert said["looked_at"] == ["4.16.3", "4.16.1"]
    assert said["os_version"] == BUILT["4.16.1"]
    ran = await vendor.lineage(base, "--kubeconfig", site.kubeconfig)
    assert "no: it is the release's own OS image" in ran.out


async def test_a_squashed_image_still_has_the_version_of_its_os(
    vendor: Vendor, clusters: Sites
) -> None:
    release, base = await a_release(vendor, "4.16.1")
    site = await a_cluster(clusters, ("4.16.1", release))
    squashed = make_image([{"all": b"of it"}], labels={images.VERSION: BUILT["4.16.1"]})
    image = await vendor.push("team/os", squashed)
    said = await json(vendor, image, "--kubeconfig", site.kubeconfig)
    assert (said["base"], said["said_by"]) == (base, "OS version")


async def test_without_a_cluster_the_update_graph_knows_the_releases(
    vendor: Vendor, service: Graphs
) -> None:
    release, base = await a_release(vendor, "4.16.1")
    service.hold("stable-4.16", v4_16_1=release)
    image = await vendor.push(
        "team/os", layered("4.16.1", ("motd",), {images.VERSION: BUILT["4.16.1"]})
    )
    said = await json(vendor, image)
    assert (said["base"], said["said_by"], said["behind"]) == (base, "layers", None)
    assert service.asked[0]["channel"] == "stable-4.16"


async def test_what_nobody_knows_is_not_found(vendor: Vendor, clusters: Sites) -> None:
    release, _ = await a_release(vendor, "4.16.3")
    site = await a_cluster(clusters, ("4.16.3", release))
    image = await by_hand(vendor, "4.9.9")
    asked = (image, "--kubeconfig", site.kubeconfig)
    said = await json(vendor, *asked, code=6)
    assert (said["base"], said["said_by"], said["release"]) == (None, "nobody", None)
    assert (said["looked_at"], said["behind"]) == (["4.16.3"], None)
    ran = await vendor.lineage(*asked, code=6)
    assert "base     not known" in ran.out
    assert "looked at 4.16.3" in ran.out
    alone = await vendor.lineage(image, code=6)
    assert "looked at no release" in alone.out
    assert "there is no channel whose releases could be looked at" in alone.err


async def test_thoroughly_our_labels_are_proven_too(vendor: Vendor, clusters: Sites) -> None:
    old, base = await a_release(vendor, "4.16.1")
    new, other = await a_release(vendor, "4.16.3")
    site = await a_cluster(clusters, ("4.16.3", new), ("4.16.1", old))
    lies = {**OURS, images.BASE_DIGEST: other.digest, images.BASE_NAME: other.repository}
    image = await vendor.push("team/os", layered("4.16.1", ("motd",), lies))
    asked = (image, "--kubeconfig", site.kubeconfig)
    said = await json(vendor, *asked)
    assert (said["base"], said["doubt"]) == (other, None)
    said = await json(vendor, *asked, "--thorough")
    assert (said["base"], said["said_by"]) == (base, "layers")
    assert "its layers are those of 4.16.1's OS image" in said["doubt"]
    assert "doubt" in (await vendor.lineage(*asked, "--thorough")).out


async def test_of_a_list_the_architecture_asked_for_is_looked_at(vendor: Vendor) -> None:
    image = await vendor.push("team/os", layered("4.16.3", ("motd",), OURS))
    ran = await vendor.lineage(image, "--architecture", "arm64", code=4)
    assert "is for amd64, not for arm64" in ran.err


async def test_of_two_bases_that_fit_that_of_the_stream_is_meant(
    vendor: Vendor, clusters: Sites
) -> None:
    tags = {}
    for tag in ("rhel-coreos", "rhel-coreos-10"):
        tags[tag] = await vendor.push("ocp/parts", layered("4.16.1", (), {"of": tag}))
    named = {tag: str(image) for tag, image in tags.items()}
    site = await a_cluster(clusters, ("4.22.1", await vendor.release("4.22.1", named)))
    image = await by_hand(vendor, "4.16.1")
    for stream, tag in (("rhel-9", "rhel-coreos"), ("rhel-10", "rhel-coreos-10")):
        said = await json(vendor, image, "--kubeconfig", site.kubeconfig, "--stream", stream)
        assert said["base"] == tags[tag]


async def test_what_could_not_be_looked_at_is_told(vendor: Vendor, clusters: Sites) -> None:
    release, base = await a_release(vendor, "4.16.1")
    gone = Pullspec(f"{vendor.running.host}/ocp/release@{digest('gone')}")
    site = await a_cluster(clusters, ("4.16.3", gone), ("4.16.1", release))
    ran = await vendor.lineage(await by_hand(vendor, "4.16.1"), "--kubeconfig", site.kubeconfig)
    assert str(base) in ran.out
    assert "release 4.16.3: " in ran.err


# --- how it is reached ----------------------------------------------------------------------------


async def test_the_cluster_s_login_and_mirrors_serve_here_too(
    tmp_path: Path, clusters: Sites, service: Graphs
) -> None:
    async with simulated_registry(basic=True) as running:
        vendor = Vendor(running, tmp_path, {"release": {"graph_url": service.url}})
        image = await vendor.push("mirror/team/os", layered("4.16.3", ("motd",), OURS))
        logins = {host: login.entry for host, login in running.credentials.logins.items()}
        gone = Pullspec(f"{running.host}/gone@{OS.digest}")
        site = await clusters.open(gone, auths=logins)
        mirrors = mirror_set(f"{running.host}/mirror", source="source.invalid")
        site.api.writer.create(DIGEST_MIRROR_SETS, mirrors)
        there = f"source.invalid/team/os@{image.digest}"
        said = await json(vendor, there, "--kubeconfig", site.kubeconfig)
        assert (said["image"], said["base"]) == (there, OS)
        vendor.said["clusters"] = [{"name": "prod", "kubeconfig": str(site.kubeconfig)}]
        assert (await json(vendor, there, "--cluster", "prod"))["base"] == OS


async def test_a_missing_login_is_told_with_what_to_do(tmp_path: Path) -> None:
    async with simulated_registry(basic=True) as running:
        image = f"{running.host}/team/os@{OS.digest}"
        ran = await relayer("lineage", image, "--insecure", code=4)
        assert "wants a login" in ran.err
        assert "podman login" in ran.err

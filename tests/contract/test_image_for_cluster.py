"""`relayer image-for` with a cluster: its release, those it knows, its logins and mirrors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS, DIGEST_MIRROR_SETS
from simulator.registry.images import release_image
from tests.facts import digest
from tests.registries import Running, simulated_registry
from tests.release_world import (
    CLI,
    GONE,
    OS,
    Graphs,
    Site,
    Sites,
    Vendor,
    dual,
    graphs,
    mirror_set,
    nobody_at_home,
    relayer,
    sites,
    write_json,
)
from watcher.core.facts import Digest, Repository

SOURCE = Repository("source.invalid/ocp/release")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
async def vendor(tmp_path: Path) -> AsyncIterator[Vendor]:
    async with simulated_registry() as running:
        # Where nothing says another, nobody's update service is asked.
        yield Vendor(running, tmp_path, {"release": {"graph_url": "http://127.0.0.1:1/graph"}})


@pytest.fixture
async def clusters(tmp_path: Path) -> AsyncIterator[Sites]:
    async with sites(tmp_path) as opened:
        yield opened


def named(**kubeconfigs: Path) -> list[dict[str, str]]:
    return [{"name": name, "kubeconfig": str(path)} for name, path in kubeconfigs.items()]


# --- which cluster --------------------------------------------------------------------------------


async def test_without_a_release_it_is_the_clusters(
    vendor: Vendor, clusters: Sites, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await clusters.open(await vendor.release())
    assert (await vendor.image_for("--kubeconfig", site.kubeconfig)).out == f"{OS}\n"
    assert (await vendor.image_for("cli", "--kubeconfig", site.kubeconfig)).out == f"{CLI}\n"
    monkeypatch.setenv("KUBECONFIG", str(site.kubeconfig))
    assert (await vendor.image_for("cli")).out == f"{CLI}\n"
    monkeypatch.delenv("KUBECONFIG")
    (home / ".kube").mkdir()
    (home / ".kube" / "config").write_bytes(site.kubeconfig.read_bytes())
    assert (await vendor.image_for("cli")).out == f"{CLI}\n"


async def test_the_configured_cluster_is_meant_if_it_is_the_only_one(
    vendor: Vendor, clusters: Sites
) -> None:
    first = await clusters.open(await vendor.release("4.16.3", {"cli": CLI}))
    second = await clusters.open(await vendor.release("4.16.4", {"cli": OS}), "4.16.4")
    vendor.said["clusters"] = named(prod=first.kubeconfig)
    assert (await vendor.image_for("cli")).out == f"{CLI}\n"
    vendor.said["clusters"] = named(prod=first.kubeconfig, test=second.kubeconfig)
    ran = await vendor.image_for("cli", code=2)
    assert "say which with --cluster: prod, test" in ran.err
    assert (await vendor.image_for("cli", "--cluster", "test")).out == f"{OS}\n"
    ran = await vendor.image_for("cli", "--cluster", "tset", code=6)
    assert "no cluster tset is configured (there is: prod, test)" in ran.err


async def test_a_cluster_that_was_named_must_answer(vendor: Vendor, clusters: Sites) -> None:
    release = await vendor.release()
    site = await clusters.open(release)
    await site.api.stop_listening()
    for asked in ((), (release,), ("4.16.3",)):
        await vendor.image_for("cli", *asked, "--kubeconfig", site.kubeconfig, code=3)
    await vendor.image_for("cli", "--kubeconfig", vendor.directory / "none", code=4)


async def test_a_cluster_that_only_might_have_helped_need_not_answer(
    vendor: Vendor, clusters: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = await vendor.release()
    site = await clusters.open(release)
    await site.api.stop_listening()
    monkeypatch.setenv("KUBECONFIG", str(site.kubeconfig))
    async with graphs() as service:
        vendor.said["release"] = {"graph_url": service.url}
        service.hold("stable-4.16", v4_16_3=release)
        ran = await vendor.image_for("cli", "4.16.3")
    assert ran.out == f"{CLI}\n"
    assert "going on without the cluster" in ran.err
    assert (await vendor.image_for("cli", release)).err == "", "not asked at all"
    await vendor.image_for("cli", code=3)


# --- which release --------------------------------------------------------------------------------


async def test_versions_that_the_cluster_knows(vendor: Vendor, clusters: Sites) -> None:
    """The one it works towards first: a version alone may be of several images."""
    now, before, offered = [
        await vendor.release(version, {"cli": f"quay.io/{path}@{CLI.digest}"})
        for version, path in (("4.16.3", "a/now"), ("4.16.2", "a/before"), ("4.17.0", "a/offered"))
    ]
    site = await clusters.open(now)
    had = [
        {
            "state": "Partial",
            "version": version,
            "image": str(image),
            "startedTime": "2026-01-01T00:00:00Z",
        }
        for version, image in (("4.16.3", before), ("4.16.2", before))
    ]
    site.edit(
        CLUSTER_VERSIONS,
        "version",
        status=True,
        history=had,
        availableUpdates=[{"version": "4.17.0", "image": str(offered)}],
    )
    for version, path in (("4.16.3", "a/now"), ("4.16.2", "a/before"), ("4.17.0", "a/offered")):
        ran = await vendor.image_for("cli", version, "--kubeconfig", site.kubeconfig)
        assert ran.out == f"quay.io/{path}@{CLI.digest}\n"


@pytest.fixture
async def update_service(vendor: Vendor) -> AsyncIterator[Graphs]:
    async with graphs() as made:
        vendor.said.clear()
        yield made


async def test_other_versions_are_looked_up_where_the_cluster_looks(
    vendor: Vendor, clusters: Sites, update_service: Graphs
) -> None:
    release = await vendor.release()
    site = await clusters.open(await vendor.release("4.15.9", {"cli": OS}), "4.15.9")
    site.edit(CLUSTER_VERSIONS, "version", upstream=update_service.url, channel="eus-4.16")
    update_service.hold("eus-4.16", v4_16_3=release)
    for channel in ("stable", "fast", "candidate"):
        update_service.hold(f"{channel}-4.99", v4_99_0=GONE)
    ran = await vendor.image_for("cli", "4.16.3", "--kubeconfig", site.kubeconfig)
    assert ran.out == f"{CLI}\n"
    assert [asked["channel"] for asked in update_service.asked] == ["eus-4.16"]
    ran = await vendor.image_for("cli", "4.99.1", "--kubeconfig", site.kubeconfig, code=6)
    assert (
        "is not in ClusterVersion of kubeconfig, the update graph (eus-4.16, stable-4.99" in ran.err
    )
    site.edit(CLUSTER_VERSIONS, "version", upstream="http://127.0.0.1:1/graph")
    await vendor.image_for("cli", "4.16.3", "--kubeconfig", site.kubeconfig, code=3)


async def test_the_configured_update_service_comes_before_the_clusters(
    vendor: Vendor, clusters: Sites, update_service: Graphs
) -> None:
    site = await clusters.open(GONE, "4.15.9")
    site.edit(CLUSTER_VERSIONS, "version", upstream="http://127.0.0.1:1/graph", channel="eus-4.16")
    update_service.hold("eus-4.16", v4_16_3=await vendor.release())
    vendor.said["release"] = {"graph_url": update_service.url}
    ran = await vendor.image_for("cli", "4.16.3", "--kubeconfig", site.kubeconfig)
    assert ran.out == f"{CLI}\n"


async def test_a_cluster_of_many_architectures_is_looked_up_as_such(
    vendor: Vendor, clusters: Sites, update_service: Graphs
) -> None:
    site = await clusters.open(GONE, "4.15.9")
    desired = {"version": "4.15.9", "image": GONE, "architecture": "Multi"}
    site.edit(CLUSTER_VERSIONS, "version", status=True, desired=desired)
    site.edit(CLUSTER_VERSIONS, "version", upstream=update_service.url)
    update_service.hold("stable-4.16", v4_16_3=await vendor.release())
    await vendor.image_for("cli", "4.16.3", "--kubeconfig", site.kubeconfig)
    assert update_service.asked[-1]["arch"] == "multi"


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("{host}/ocp/release:4.16.3", 0, ""),
        ("{host}/ocp/release@sha256:\x1b1", 4, "cluster kubeconfig names a release image that is"),
        ("release", 4, "cluster kubeconfig names a release image that is"),
    ],
)
async def test_the_clusters_release_may_be_by_tag_and_not_garbage(
    vendor: Vendor, clusters: Sites, name: str, code: int, told: str
) -> None:
    await vendor.release(tag="4.16.3")
    site = await clusters.open(name.format(host=vendor.running.host))
    ran = await vendor.image_for("cli", "--kubeconfig", site.kubeconfig, code=code)
    assert ran.out == (f"{CLI}\n" if code == 0 else "")
    assert told in ran.err
    assert "\x1b" not in ran.err


# --- which stream ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "served", "expected"),
    [
        ("4.16.3", "", "rhel-coreos"),
        ("5.0.1", "", "rhel-coreos-10"),
        ("4.16.3", "rhel-10", "rhel-coreos-10"),
    ],
    ids=["installed as 4", "installed as 5", "chosen"],
)
async def test_the_default_stream_is_the_clusters(
    vendor: Vendor, clusters: Sites, installed: str, served: str, expected: str
) -> None:
    images = await dual(vendor)
    more: dict[str, Any] = {}
    if served:
        more = {"streams": {"rhel-9": str(OS), "rhel-10": str(OS)}, "default_stream": served}
    site = await clusters.open(GONE, installed, **more)
    release = f"{vendor.running.host}/ocp/release:dual"
    ran = await vendor.image_for(release, "--kubeconfig", site.kubeconfig)
    assert ran.out == f"{images[expected]}\n"


async def test_okd_has_a_stream_of_its_own_whatever_cluster_is_asked(
    vendor: Vendor, clusters: Sites
) -> None:
    site = await clusters.open(GONE)
    release = await vendor.release("4.20.0-okd-scos.1", {"stream-coreos": str(OS)})
    assert (await vendor.image_for(release, "--kubeconfig", site.kubeconfig)).out == f"{OS}\n"


# --- logins and mirrors ---------------------------------------------------------------------------


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Vendor]:
    """A registry that wants a login."""
    async with simulated_registry(basic=True) as running:
        yield Vendor(running, tmp_path)


def auths(running: Running) -> dict[str, Any]:
    return {host: login.entry for host, login in running.credentials.logins.items()}


async def test_the_clusters_pull_secret_is_the_login(closed: Vendor, clusters: Sites) -> None:
    release = await closed.release()
    broken = {"broken.example.com": {"auth": "%%%"}}
    site = await clusters.open(release, auths={**auths(closed.running), **broken})
    assert (await closed.image_for("cli", "--kubeconfig", site.kubeconfig)).out == f"{CLI}\n"
    wrong = closed.directory / "wrong.json"
    wrong.write_text(closed.running.auth_json(password="another"))
    ours = ("--kubeconfig", site.kubeconfig, "-a", wrong)
    await closed.image_for("cli", *ours, code=4)  # what was named comes first


async def test_a_pull_secret_that_may_not_be_read_is_gone_without_and_told(
    closed: Vendor, clusters: Sites
) -> None:
    release = await closed.release()
    site = await clusters.open(release, auths=auths(closed.running))
    site.api.denials.deny(["get"], "secrets")
    ran = await closed.image_for("cli", "--kubeconfig", site.kubeconfig, code=4)
    assert "without the pull secret of cluster kubeconfig" in ran.err
    assert "wants a login" in ran.err
    assert "gone_without" not in ran.err, "a note for people, no line of a log"
    right = closed.directory / "right.json"
    right.write_text(closed.running.auth_json())
    ran = await closed.image_for("cli", "--kubeconfig", site.kubeconfig, "-a", right)
    assert (ran.out, ran.err) == (f"{CLI}\n", "")


@pytest.fixture
async def island(closed: Vendor, clusters: Sites) -> Site:
    """A cluster whose release is in a mirror, and nowhere else that answers."""
    release = await closed.push(
        "mirrored/ocp/release", release_image("4.16.3", {"rhel-coreos": OS})
    )
    site = await clusters.open(SOURCE.at(Digest(release.digest)), auths=auths(closed.running))
    mirrors = (f"127.0.0.1:1/{SOURCE.path}", f"{closed.running.host}/mirrored/ocp/release")
    site.api.writer.create(DIGEST_MIRROR_SETS, mirror_set(*mirrors, source=SOURCE))
    return site


async def test_a_release_that_only_a_mirror_has(closed: Vendor, island: Site) -> None:
    """The source does not resolve; the mirrors and the login are the cluster's."""
    ran = await closed.image_for("--kubeconfig", island.kubeconfig)
    assert (ran.out, ran.err) == (f"{OS}\n", "")
    ran = await closed.image_for("rhel-coreos", "4.16.3", "--kubeconfig", island.kubeconfig)
    assert ran.out == f"{OS}\n"


async def test_a_file_of_mirrors_comes_before_those_of_the_cluster(
    closed: Vendor, island: Site
) -> None:
    assert closed.running.simulated
    first = mirror_set(f"{closed.running.host}/first", source=SOURCE)
    path = write_json(closed.directory / "m.yaml", first)
    await closed.image_for("--kubeconfig", island.kubeconfig, "--idms-file", path)
    paths = [seen.path for seen in closed.running.simulated.requests if seen.method == "GET"]
    asked = [path.split("/")[2] for path in paths if path != "/v2/"]
    assert asked[0] == "first"
    assert "mirrored" in asked


async def test_mirrors_that_may_not_be_read_are_told_where_something_fails(
    closed: Vendor, island: Site
) -> None:
    island.api.denials.deny(["list"], "imagedigestmirrorsets")
    closed.said["registry"] = {"plain_http": [closed.running.host, "127.0.0.1:1"]}
    asked = ("cli", f"{closed.running.host}/gone@{digest('gone')}")
    ran = await closed.image_for(*asked, "--kubeconfig", island.kubeconfig, code=4)
    assert "imagedigestmirrorsets" in ran.err


async def test_a_cluster_without_openshift_is_refused(clusters: Sites) -> None:
    site = await clusters.open(GONE)
    site.api.set_away(CLUSTER_VERSIONS)
    ran = await relayer("image-for", "cli", "--kubeconfig", site.kubeconfig, code=4)
    assert "ClusterVersion" in ran.err

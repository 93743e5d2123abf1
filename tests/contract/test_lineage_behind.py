"""`relayer lineage` with a cluster: how far the base of an image is behind, as far as is known."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver.kinds import CLUSTER_VERSIONS
from simulator.registry.images import Tag
from tests.facts import digest
from tests.registries import simulated_registry
from tests.release_world import (
    GONE,
    OS,
    OURS,
    Graphs,
    Ran,
    Site,
    Sites,
    Vendor,
    a_cluster,
    a_release,
    by_hand,
    graphs,
    layered,
    nobody_at_home,
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


@pytest.fixture
async def behind(vendor: Vendor, clusters: Sites) -> Site:
    """A cluster on 4.17.3 that had 4.16.1 once, and 4.17.2 in between."""
    first, _ = await a_release(vendor, "4.16.1")
    last, _ = await a_release(vendor, "4.17.3")
    between, _ = await a_release(vendor, "4.17.2")
    return await a_cluster(clusters, ("4.17.3", last), ("4.17.2", between), ("4.16.1", first))


async def asked(vendor: Vendor, site: Site, *words: object) -> tuple[Any, Ran]:
    image = await by_hand(vendor, "4.16.1")
    words = (image, "--kubeconfig", site.kubeconfig, *words)
    return (await json(vendor, *words))["behind"], await vendor.lineage(*words)


async def test_the_cluster_alone_says_how_far_at_least(
    vendor: Vendor, behind: Site, service: Graphs
) -> None:
    said, ran = await asked(vendor, behind)
    assert service.asked == [], "it is in no channel"
    assert said == {"releases": 2, "minors": 1, "days": 99, "said_by": "ClusterVersion"}
    assert "behind      at least 1 minor, 2 releases, 99 days\n" in ran.out


async def test_with_the_graph_all_releases_are_counted(
    vendor: Vendor, behind: Site, service: Graphs
) -> None:
    other = "http://127.0.0.1:1/graph"  # what is configured comes before the cluster's own
    behind.edit(CLUSTER_VERSIONS, "version", channel="stable-4.17", upstream=other)
    service.hold("stable-4.17", v4_17_0=GONE, v4_17_1=GONE, v4_17_2=GONE, v4_17_3=GONE)
    said, ran = await asked(vendor, behind)
    assert said == {"releases": 4, "minors": 1, "days": 99, "said_by": "update graph"}
    assert "behind      1 minor, 4 releases, 99 days\n" in ran.out


async def test_a_graph_that_does_not_answer_is_told_and_gone_without(
    vendor: Vendor, behind: Site
) -> None:
    vendor.said.clear()
    url = "http://127.0.0.1:1/graph"
    behind.edit(CLUSTER_VERSIONS, "version", channel="stable-4.17", upstream=url)
    said, ran = await asked(vendor, behind)
    assert said["said_by"] == "ClusterVersion"
    assert "only the cluster's own list counts: http://127.0.0.1:1/graph" in ran.err


@pytest.mark.parametrize(
    ("release", "told"), [("4.17.3", "not behind the cluster"), ("soon", "not known")]
)
async def test_not_behind_is_said_only_of_what_is_known(
    vendor: Vendor, behind: Site, release: str, told: str
) -> None:
    labels = {**OURS, images.RELEASE: release, images.VERSION: ""}
    image = await vendor.push("team/os", layered("4.16.1", ("motd",), labels))
    ran = await vendor.lineage(image, "--kubeconfig", behind.kubeconfig)
    assert any(line.split(maxsplit=1) == ["behind", told] for line in ran.out.splitlines())


async def test_of_two_streams_the_days_are_those_of_its_own(
    vendor: Vendor, clusters: Sites
) -> None:
    def noted(version: str) -> Tag:
        return Tag(str(OS), {"io.openshift.build.versions": f"machine-os={version}"})

    tags = {"rhel-coreos-10": noted("10.2.20260705-0"), "rhel-coreos": noted("9.8.20260611-0")}
    site = await a_cluster(clusters, ("4.22.2", await vendor.release("4.22.2", tags)))
    for version, days in (("9.8.20260601-0", 10), ("10.2.20260605-0", 30)):
        labels = {**OURS, images.RELEASE: "4.22.1", images.VERSION: version}
        image = await vendor.push("team/os", layered("4.16.1", ("motd",), labels))
        said = await json(vendor, image, "--kubeconfig", site.kubeconfig)
        assert said["behind"]["days"] == days


async def test_a_release_that_cannot_be_read_only_hides_the_days(
    vendor: Vendor, clusters: Sites
) -> None:
    gone = Pullspec(f"{vendor.running.host}/ocp/release@{digest('gone')}")
    site = await a_cluster(clusters, ("4.16.4", gone))
    image = await vendor.push("team/os", layered("4.16.1", ("motd",), OURS))
    said = await json(vendor, image, "--kubeconfig", site.kubeconfig)
    assert (said["behind"]["releases"], said["behind"]["days"]) == (1, None)
    ran = await vendor.lineage(image, "--kubeconfig", site.kubeconfig)
    assert "how many days it is behind is not known" in ran.err
    silent = layered("4.16.1", ("motd",), {**OURS, images.VERSION: ""})
    image = await vendor.push("team/os", silent)
    assert (await vendor.lineage(image, "--kubeconfig", site.kubeconfig)).err == "", "not read"

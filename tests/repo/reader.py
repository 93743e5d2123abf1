"""Where a reader of the pages stands: files that pages speak of without showing them."""

from pathlib import Path

from tests import dumped
from tests.dumped import Document, Oc
from tests.repo.console import Block, beside
from watcher.core import lineage

BASE = f"FROM {dumped.OS_REPOSITORY}@sha256:{'a' * 64}\n"
OLD = f"sha256:{'0' * 64}"
BY_HAND = f"registry.example.com/ops/rhcos-infra@sha256:{'f' * 64}"
VERSION, OLD_VERSION = "4.18.9", "4.17.20"
KUBELET, OLD_KUBELET = "v1.31.9", "v1.30.12"


def prepare(directory: Path, shown: list[Block]) -> None:
    """Put recipes, a configuration, dumps of a cluster and all files that a page shows there."""
    dumped.write(
        directory,
        {
            "recipe/Containerfile": BASE + "COPY motd /etc/motd\n",
            "recipe/motd": "layered\n",
            "recipes/gpu/Containerfile": BASE + "COPY motd /etc/motd\n",
            "recipes/gpu/motd": "layered\n",
            "recipes/infra/Containerfile": BASE + "COPY motd /etc/motd\n",
            "recipes/infra/motd": "layered\n",
            "relayer.yaml": "recipes:\n  - name: gpu\n    path: recipes/gpu\n"
            "    target: registry.example.com/rhcos/gpu\n",
            "prod.yaml": Oc.yaml(*a_cluster()),
            "must-gather.tar.gz": dumped.gz(dumped.tar(dumped.gathered(a_cluster()))),
        },
    )
    dumped.write(directory / "must-gather", dumped.gathered(a_cluster()))
    for one in shown:
        if one.saved:
            text = one.text.replace("sha256:…", OLD)
            dumped.write(directory, {one.saved: text})
            place = (directory / one.saved).parent
            dumped.write(place, dict.fromkeys(beside(one), "made by somebody\n"))


def a_cluster() -> list[Document]:
    """Four pools: two stock ones, one layered by hand, one of ours that is old and paused."""
    made = [dumped.cluster_version(VERSION), dumped.os_image_urls(VERSION)]
    for name in ("master", "worker", "gpu", "infra"):
        made += [_pool(name), *(_node(name, number) for number in range(3))]
    by_hand = dumped.machine_config("50-infra-osimage", role="infra", image=BY_HAND)
    ours = dumped.machine_config("99-gpu-relayer-osimage", role="gpu")
    ours["metadata"]["annotations"] = {
        lineage.BASE: OLD,
        lineage.RELEASE: OLD_VERSION,
        lineage.RECIPE: OLD,
        lineage.IMAGE: dumped.LAYERED,
    }
    return [*made, by_hand, ours]


def _pool(name: str) -> Document:
    made = dumped.pool(name, nodes=3)
    if name == "gpu":
        made["spec"]["paused"] = True
        made["status"]["configuration"] = {"name": "rendered-gpu-0"}
        made["status"]["conditions"] = [
            {"type": kind, "status": "False", "lastTransitionTime": "2026-11-02T09:00:00Z"}
            for kind in ("Updated", "Updating")
        ]
    return made


def _node(pool: str, number: int) -> Document:
    made = dumped.node(f"{pool}-{number}", role=pool)
    made["status"]["nodeInfo"]["kubeletVersion"] = OLD_KUBELET if pool == "gpu" else KUBELET
    return made

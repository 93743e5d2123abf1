"""A small simulated cluster in virtual time, and short ways to look at it."""

from collections.abc import Callable
from typing import Any

import pytest

from simulator.apiserver import ApiServer, By, kinds
from simulator.cluster import PoolSpec, Release, SimClock, SimulatedCluster, pools


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def a_release(version: str, letter: str, **more: Any) -> Release:
    return Release(
        version=version,
        image=f"quay.test/ocp-release@{digest(letter)}",
        os_image=f"quay.test/art-dev@{digest(letter)}",
        os_extensions=f"quay.test/extensions@{digest(letter)}",
        **more,
    )


OLD = a_release("4.16.3", "1")
NEW = a_release("4.17.1", "2")
NEWER = a_release("4.17.2", "3")
LAYERED = f"registry.test/team/gpu@{digest('a')}"
BROKEN = f"registry.test/team/gpu@{digest('b')}"
FIXED = f"registry.test/team/gpu@{digest('c')}"

POOLS = ("master", "worker", "gpu")


def a_cluster(
    gpu: PoolSpec | None = None, release: Release = OLD, **options: Any
) -> SimulatedCluster:
    clock = SimClock()
    specs = [PoolSpec(name="worker", nodes=2), gpu or PoolSpec(name="gpu", nodes=3)]
    return SimulatedCluster.create(
        ApiServer(now=clock.now), release=release, pools=specs, clock=clock, **options
    )


def override(cluster: SimulatedCluster, image: str, *, role: str = "gpu") -> None:
    """What Relayer applies."""
    name = f"99-{role}-relayer-osimage"
    document = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": {"osImageURL": image},
    }
    writer = cluster.world.api.writer
    writer.apply(kinds.MACHINE_CONFIGS, ("", name), document, By("relayer"))


async def until(
    cluster: SimulatedCluster, met: Callable[[], bool], *, limit: float = 7200, step: float = 5
) -> None:
    for _ in range(int(limit / step)):
        if met():
            return
        await cluster.advance(step)
    pytest.fail("it did not come to that in time")


def cluster_version(cluster: SimulatedCluster) -> Any:
    return cluster.world.store.get(kinds.CLUSTER_VERSIONS, "version").object


def conditions(thing: Any) -> dict[str, Any]:
    return {entry["type"]: entry for entry in thing["status"]["conditions"]}


def holds(thing: Any, kind: str) -> bool:
    return bool(conditions(thing)[kind]["status"] == "True")


def completed(cluster: SimulatedCluster, release: Release) -> bool:
    newest = cluster_version(cluster)["status"]["history"][0]
    return (newest["image"], newest["state"]) == (release.image, "Completed")


def images(cluster: SimulatedCluster, pool: str) -> set[str]:
    return {cluster.running_image(node) for node in cluster.nodes_of(pool)}


def target_of(cluster: SimulatedCluster, pool: str) -> Any:
    name = cluster.pool(pool)["spec"]["configuration"]["name"]
    return cluster.world.store.get(kinds.MACHINE_CONFIGS, name).object


def notes_of(cluster: SimulatedCluster, node: str) -> Any:
    return cluster.world.store.get(kinds.NODES, node).object["metadata"]["annotations"]


def patch_spec(cluster: SimulatedCluster, kind: kinds.Kind, name: str, **spec: Any) -> None:
    def change(document: dict[str, Any]) -> dict[str, Any]:
        document["spec"] |= spec
        return document

    cluster.world.api.writer.patch(kind, ("", name), change, By("somebody"))


def states_of(cluster: SimulatedCluster, pool: str) -> dict[str, pools.NodeState]:
    found = {n: cluster.world.store.get(kinds.NODES, n).object for n in cluster.nodes_of(pool)}
    return {name: pools.NodeState.of(node) for name, node in found.items()}

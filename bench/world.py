"""A simulated cluster in a process of its own, for measurements of the service beside it.

`python -m bench.world POOLS NODES HEARTBEATS` prints one JSON line with its addresses, then lives
until its standard input closes. HEARTBEATS nodes a second report their status, as kubelets do.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.apiserver import ApiServer, By
from simulator.apiserver.kinds import NODES
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from simulator.registry.images import base_image, push_to, release_image
from simulator.registry.server import SimulatedRegistry
from simulator.signing import release_settings, signer_here
from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.settings import (
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    Settings,
    WebSettings,
    WorkSettings,
)
from watcher.settings_registry import RegistrySettings

CLUSTER = ClusterName("bench")


@dataclass(frozen=True, slots=True)
class Address:
    api: str
    registry: str


@contextmanager
def world(*, pools: int, nodes: int, heartbeats: float = 0.0) -> Iterator[Address]:
    """Start the other process, and end it."""
    command = [sys.executable, "-m", "bench.world", str(pools), str(nodes), str(heartbeats)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield Address(**json.loads(process.stdout.readline()))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)


def settings(address: Address, directory: Path, *, pools: int) -> Settings:
    """What the service is told: every pool has the same small recipe."""
    recipe = directory / "recipe"
    recipe.mkdir(parents=True)
    (recipe / "Containerfile").write_text("FROM quay.io/example/rhcos:1\nCOPY motd /etc/motd\n")
    (recipe / "motd").write_text("hello\n")
    names = [PoolName(f"pool-{n}") for n in range(pools)]
    return Settings(
        state_dir=directory / "state",
        registry=RegistrySettings(plain_http=(address.registry,)),
        release=release_settings(),
        web=WebSettings(port=0),
        work=WorkSettings(),
        clusters=(ClusterSettings(name=CLUSTER, url=address.api),),
        recipes=(
            RecipeSettings(
                name="os", path=recipe, target=Repository(f"{address.registry}/layered/os")
            ),
        ),
        pools=tuple(PoolSettings(cluster=CLUSTER, pool=name, recipe="os") for name in names),
    )


async def _serve(pools: int, nodes: int, heartbeats: float) -> None:
    async with SimulatedRegistry() as registry, ApiServer.start() as api:
        base = await push_to(registry.url, "openshift/rhel-coreos", base_image())
        payload = release_image("4.18.9", {"rhel-coreos": str(base)})
        image = await push_to(registry.url, "openshift/release", payload)
        release = Release(version="4.18.9", image=str(image), os_image=str(base))
        specs = [PoolSpec(name=f"pool-{n}", nodes=nodes // pools) for n in range(pools)]
        cluster = SimulatedCluster.create(api, release=release, pools=specs, signer=signer_here())
        print(json.dumps({"api": api.url, "registry": registry.host}), flush=True)
        closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        beating = asyncio.get_running_loop().create_task(
            _beat(api, sorted(cluster.machines), heartbeats)
        )
        await closed
        beating.cancel()


async def _beat(api: ApiServer, names: list[str], per_second: float) -> None:
    """Touch one node after another: the kubelet's status report every five minutes."""
    turn = 0

    def beat(node: dict[str, Any]) -> dict[str, Any]:
        node["metadata"]["annotations"]["example.com/beat"] = str(turn)
        return node

    while per_second:
        await asyncio.sleep(1 / per_second)
        api.writer.patch(NODES, ("", names[turn % len(names)]), beat, By("kubelet"))
        turn += 1


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

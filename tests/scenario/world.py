"""A small world for whole-service tests: one simulated cluster, one registry, two releases.

Everything the service talks to is real HTTP on 127.0.0.1; only time in the cluster runs faster.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.apiserver import ApiServer
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from simulator.registry.access import Access
from simulator.registry.images import base_image, push_to, release_image
from simulator.registry.server import SimulatedRegistry
from simulator.signing import release_settings, signer_here
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Mode
from watcher.core.facts import ClusterName, PoolName, Repository
from watcher.core.update import Policy
from watcher.settings import (
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    RedisSettings,
    Settings,
    WebSettings,
    WorkSettings,
)
from watcher.settings_registry import RegistrySettings

CLUSTER = ClusterName("prod")
INFRA = PoolName("infra")
OURS = "99-infra-relayer-osimage"
CONTAINERFILE = """FROM quay.io/example/rhel-coreos:latest
COPY motd /etc/motd
LABEL com.example.team="platform"
"""
QUICK = WorkSettings(
    workers=2, lease_seconds=2.0, resync_seconds=5.0, rollout_poll_seconds=0.1, drain_seconds=5.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    api: ApiServer
    cluster: SimulatedCluster
    registry: SimulatedRegistry
    old: Release
    new: Release
    directory: Path
    settings: Settings

    def with_policy(self, policy: Policy) -> Settings:
        """The settings with another policy for the pool."""
        mode = Mode.AUTO if policy.approval.auto else Mode.APPROVE
        pools = tuple(replace(p, policy=policy, mode=mode) for p in self.settings.pools)
        return replace(self.settings, pools=pools)

    def override_writes(self) -> int:
        """How many requests changed our MachineConfig, whoever sent them."""
        changing = ("PATCH", "DELETE", "PUT", "POST")
        return sum(r.method in changing for r in self.api.requests.find(path=f"*{OURS}*"))

    def images(self) -> set[str]:
        """What the infra nodes really run."""
        return {self.cluster.running_image(node) for node in self.cluster.nodes_of("infra")}


@asynccontextmanager
async def world(
    directory: Path,
    *,
    speed: float = 200.0,
    nodes: int = 2,
    access: Access | None = None,
    more: tuple[PoolSpec, ...] = (),
) -> AsyncIterator[World]:
    """A settled cluster on the old release, with the new one offered, and its time running."""
    async with SimulatedRegistry(access) as registry, ApiServer.start() as api:
        old = await _release(registry, "4.18.9", "418.94.202510010000-0")
        new = await _release(registry, "4.18.10", "418.94.202511010000-0")
        pools = (PoolSpec(name="infra", nodes=nodes), PoolSpec(name="master", nodes=1))
        cluster = SimulatedCluster.create(
            api,
            release=old,
            pools=(*pools, PoolSpec(name="worker", nodes=1), *more),
            pull_secret_auths={registry.host: {"auth": base64.b64encode(b"node:node").decode()}},
            signer=signer_here(),
        )
        cluster.versions.offer(new)
        made = World(
            api=api,
            cluster=cluster,
            registry=registry,
            old=old,
            new=new,
            directory=directory,
            settings=_settings(directory, api, registry),
        )
        running = asyncio.get_running_loop().create_task(cluster.run(speed))
        try:
            yield made
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _release(registry: SimulatedRegistry, version: str, machine_os: str) -> Release:
    base = await push_to(registry.url, "openshift/rhel-coreos", base_image(machine_os))
    payload = release_image(version, {"rhel-coreos": str(base), "cli": str(base)})
    image = await push_to(registry.url, "openshift/release", payload)
    return Release(version=version, image=str(image), os_image=str(base))


def _settings(directory: Path, api: ApiServer, registry: SimulatedRegistry) -> Settings:
    recipe = directory / "recipe"
    recipe.mkdir(parents=True)
    (recipe / "Containerfile").write_text(CONTAINERFILE)
    (recipe / "motd").write_text("layered by the platform team\n")
    token = directory / "token"
    token.write_text("a-token\n")
    return Settings(
        state_dir=directory / "state",
        redis=RedisSettings(),
        registry=RegistrySettings(plain_http=(registry.host,)),
        release=release_settings(),
        web=WebSettings(port=0),
        work=QUICK,
        clusters=(ClusterSettings(name=CLUSTER, url=api.url, token_file=token),),
        recipes=(
            RecipeSettings(
                name="infra-os", path=recipe, target=Repository(f"{registry.host}/layered/infra")
            ),
        ),
        pools=(
            PoolSettings(
                cluster=CLUSTER,
                pool=INFRA,
                recipe="infra-os",
                policy=Policy(approval=ApprovalRules(), soak_seconds=0),
            ),
        ),
    )


async def until(condition: Callable[[], object], *, seconds: float = 20.0, what: str = "") -> None:
    """Wait for something another process or task brings about; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def as_json(text: str) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(text)
    return parsed

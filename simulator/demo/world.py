"""The world of the demo: a registry with two releases, and a cluster that is about to upgrade.

All of it speaks real HTTP on free ports of 127.0.0.1, with logins and tokens as in a real place;
only the cluster's time runs faster. The nodes pull what they boot from the registry.
"""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from simulator.apiserver import ApiServer
from simulator.apiserver.kinds import MACHINE_CONFIGS
from simulator.cluster import PoolSpec, Release, SimulatedCluster
from simulator.cluster.machines import Pull
from simulator.registry import Access, Account, SimulatedRegistry
from simulator.registry.images import base_image, push_to, release_image
from simulator.registry.store import Wrong
from simulator.signing import release_settings, signer_here
from watcher.clients.access import Fixed
from watcher.clients.images import RegistryImages
from watcher.clients.registry import Credentials, RegistryClient
from watcher.clients.registry import RegistrySettings as RegistryAccess
from watcher.core import mco
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Mode
from watcher.core.facts import ClusterName, PoolName, Pullspec, Repository
from watcher.core.update import Policy
from watcher.settings import (
    ClusterSettings,
    PoolSettings,
    RecipeSettings,
    Settings,
    TokenSettings,
    WebSettings,
    WorkSettings,
)
from watcher.settings_registry import RegistrySettings

CLUSTER = ClusterName("prod")
POOL = PoolName("infra")
RECIPE = "infra-os"
OLD, NEW = "4.18.9", "4.18.10"
PERSON = "you"
"""Name of the page's token: its votes are those of `token:you`."""
POOLS = (
    PoolSpec(name="master", nodes=3),
    PoolSpec(name="worker", nodes=3),
    PoolSpec(name=POOL, nodes=3),
)
CONTAINERFILE = """\
# The base is named as it was on the day this was written; Relayer replaces only that reference.
FROM quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:{zeros}
COPY chrony.conf /etc/chrony.conf
LABEL com.example.team="platform"
"""
CHRONY = "pool ntp.example.com iburst\ndriftfile /var/lib/chrony/drift\nmakestep 1.0 3\n"
WORK = WorkSettings(
    workers=2,
    lease_seconds=10.0,
    resync_seconds=30.0,
    rollout_poll_seconds=0.1,  # a simulated second is a few milliseconds
    drain_seconds=5.0,
)
SOAK_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoWorld:
    """What is there, and the truth about it that Relayer's word is checked against."""

    api: ApiServer
    cluster: SimulatedCluster
    registry: SimulatedRegistry
    old: Release
    new: Release
    settings: Settings
    """The service as the story runs it: people are asked."""
    token: str
    """Opens the local page as PERSON."""

    def settings_on(self, port: int) -> Settings:
        """The same with the page on this port; 0 is any free one."""
        return replace(self.settings, web=replace(self.settings.web, port=port))

    def before(self, state_dir: Path) -> Settings:
        """The service as it ran before the story, with a memory of its own: nobody was asked."""
        quick = Policy(soak_seconds=0)
        pools = tuple(replace(p, policy=quick, mode=Mode.AUTO) for p in self.settings.pools)
        return replace(self.settings, state_dir=state_dir, pools=pools)

    def running(self) -> dict[str, str]:
        """Node of the pool → the image it is really booted into."""
        return {node: self.cluster.running_image(node) for node in self.cluster.nodes_of(POOL)}

    def override(self) -> str:
        """What our MachineConfig really says; empty if there is none."""
        found = self.api.store.find(MACHINE_CONFIGS, mco.override_name(POOL))
        return str(found.object["spec"].get("osImageURL", "")) if found else ""

    def holds(self, image: Pullspec) -> bool:
        """Whether the registry has the image, with content that has that very digest."""
        try:
            _, _, content = self.registry.store.manifest(image.repository.path, image.digest)
        except Wrong:
            return False
        return f"sha256:{sha256(content).hexdigest()}" == image.digest


@asynccontextmanager
async def demo_world(directory: Path) -> AsyncIterator[DemoWorld]:
    """Make it; the cluster is settled on the old release, and its time stands still."""
    passwords = {name: secrets.token_urlsafe(16) for name in ("vendor", "relayer", "node")}
    accounts = {
        "vendor": Account(passwords["vendor"]),
        "relayer": Account(passwords["relayer"], push=("layered/",)),
        "node": Account(passwords["node"], push=()),
    }
    async with AsyncExitStack() as stack:
        access = Access("bearer", accounts)
        registry = await stack.enter_async_context(SimulatedRegistry(access))
        token = secrets.token_urlsafe(24)
        api = await stack.enter_async_context(ApiServer.start(tokens={token: "relayer"}))
        logins = {
            name: {registry.host: {"auth": base64.b64encode(f"{name}:{word}".encode()).decode()}}
            for name, word in passwords.items()
        }
        vendor = Credentials.parse(json.dumps({"auths": logins["vendor"]}))
        old = await _release(registry, vendor, OLD, "418.94.202510010000-0")
        new = await _release(registry, vendor, NEW, "418.94.202511010000-0")
        secret = json.dumps({"auths": logins["node"]}).encode()
        cluster = SimulatedCluster.create(
            api,
            release=old,
            pools=POOLS,
            pull=await stack.enter_async_context(_pulling(registry, secret)),
            pull_secret_auths=logins["node"],
            signer=signer_here(),
        )
        cluster.versions.offer(new)
        page_token = secrets.token_urlsafe(16)  # short: its URL shall fit into 80 columns
        files = {
            "cluster-token": token,
            "page-token": page_token,
            "auth.json": json.dumps({"auths": logins["relayer"]}),
        }
        for name, content in files.items():
            private_file(directory / name, content)
        yield DemoWorld(
            api=api,
            cluster=cluster,
            registry=registry,
            old=old,
            new=new,
            settings=_settings(directory, api, registry),
            token=page_token,
        )


@asynccontextmanager
async def time_running(cluster: SimulatedCluster, speed: float) -> AsyncIterator[None]:
    """Let the cluster's time run, `speed` simulated seconds a second, until left."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cluster.run(speed))
        try:
            yield
        finally:
            running.cancel()


async def _release(
    registry: SimulatedRegistry, vendor: Credentials, version: str, machine_os: str
) -> Release:
    base = await push_to(
        registry.url, "openshift/rhel-coreos", base_image(machine_os), credentials=vendor
    )
    payload = release_image(version, {"rhel-coreos": str(base), "cli": str(base)})
    image = await push_to(registry.url, "openshift/release", payload, credentials=vendor)
    return Release(version=version, image=str(image), os_image=str(base))


@asynccontextmanager
async def _pulling(registry: SimulatedRegistry, secret: bytes) -> AsyncIterator[Pull]:
    """What a node does before it boots an image: read all of it with the cluster's pull secret."""
    access = RegistryAccess(insecure_hosts=frozenset({registry.host}), use_proxy_environment=False)
    async with RegistryClient.opened(access, Credentials.parse(secret)) as client:
        images = RegistryImages(Fixed(client))

        async def pull(image: str) -> bool:
            await images.check_pullable(Pullspec.parse(image), secret)
            return True

        yield pull


def private_file(path: Path, content: str) -> None:
    """Write a secret that only we may read."""
    path.touch(mode=0o600)
    path.write_text(content)


def _settings(directory: Path, api: ApiServer, registry: SimulatedRegistry) -> Settings:
    recipe = directory / "recipe"
    recipe.mkdir()
    (recipe / "Containerfile").write_text(CONTAINERFILE.format(zeros="0" * 64))
    (recipe / "chrony.conf").write_text(CHRONY)
    policy = Policy(approval=ApprovalRules(), soak_seconds=SOAK_SECONDS)
    return Settings(
        state_dir=directory / "state",
        registry=RegistrySettings(auth_file=directory / "auth.json", plain_http=(registry.host,)),
        release=release_settings(),
        web=WebSettings(
            port=0,
            tokens=(TokenSettings(name=PERSON, token_file=directory / "page-token"),),
        ),
        work=WORK,
        clusters=(
            ClusterSettings(name=CLUSTER, url=api.url, token_file=directory / "cluster-token"),
        ),
        recipes=(
            RecipeSettings(
                name=RECIPE,
                path=recipe,
                target=Repository(f"{registry.host}/layered/infra"),
                builder="append",
            ),
        ),
        pools=(PoolSettings(cluster=CLUSTER, pool=POOL, recipe=RECIPE, policy=policy),),
    )

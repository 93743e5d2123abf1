"""Registries, and one cluster where one is needed, for the commands that work beside `oc`.

Loads what a question needs and no more: without a cluster and a configuration that is the
registry client alone.
"""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.cli.exits import NotFound, Usage
from watcher.clients import registries
from watcher.clients.access import ClusterAccess, Ways
from watcher.clients.registry import RegistryClient, RegistrySettings
from watcher.core.facts import NO_CLUSTER, ClusterName, Digest
from watcher.core.mirrors import Mirrors
from watcher.settings_registry import RegistrySettings as Said
from watcher.settings_registry import ReleaseSettings

if TYPE_CHECKING:
    from watcher.clients.kube.cluster import KubeCluster
    from watcher.core.cluster import ClusterView
    from watcher.ports import ReleaseSignatures
    from watcher.settings import ClusterSettings, Settings

KUBECONFIG = "kubeconfig"
"""What a cluster is called that is in no configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Options that say how to reach things, named as in `oc`."""

    registry_config: Path | None = None
    certificate_authority: Path | None = None
    insecure: bool = False
    idms_file: Path | None = None
    icsp_file: Path | None = None
    cluster: str = ""
    kubeconfig: Path | None = None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A cluster as it was read once: nothing of it is watched."""

    cluster: "KubeCluster"
    read: "ClusterView"
    """Its version, streams and mirrors."""

    @property
    def name(self) -> ClusterName:
        return self.cluster.name

    def view(self) -> "ClusterView":
        return self.read

    async def pull_secret(self) -> bytes:
        return await self.cluster.pull_secret()

    async def trusted_cas(self) -> Mapping[str, str]:
        return await self.cluster.trusted_cas()

    async def release_signatures(self, release: Digest) -> "ReleaseSignatures":
        return await self.cluster.release_signatures(release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a command has in hand."""

    client: RegistryClient
    ways: Ways
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    seen: "Seen | None" = None
    """The cluster, if one was asked."""

    @property
    def name(self) -> ClusterName:
        return self.seen.name if self.seen else NO_CLUSTER

    @property
    def view(self) -> "ClusterView | None":
        return self.seen.view() if self.seen else None


@asynccontextmanager
async def opened(flags: Flags, *, needs_cluster: bool) -> AsyncIterator[Reach]:
    """Open registries in the ways of the configuration, the flags and the cluster.

    A cluster is asked if one is needed or named. Raise Usage, NotFound, Refused or Transient.
    """
    settings = _settings(flags.config)
    said = settings.registry if settings else Said()
    release = settings.release if settings else ReleaseSettings()
    async with AsyncExitStack() as stack:
        patience = RegistrySettings(ca_file=flags.certificate_authority, insecure=flags.insecure)
        said = replace(said, auth_file=flags.registry_config or said.auth_file)
        client, ways = await stack.enter_async_context(registries.opened(said, patience))
        mirrors = Mirrors.joined(_from_files(flags).rules, ways.mirrors.rules)
        ways = replace(ways, mirrors=mirrors)
        client = client.using(mirrors=mirrors)
        if not (needs_cluster or flags.cluster or flags.kubeconfig):
            yield Reach(client=client, ways=ways, release=release)
            return
        cluster = await _cluster(settings, flags, stack)
        seen = Seen(cluster, await cluster.release_view())
        access = ClusterAccess(client, {cluster.name: seen}, ways)
        yield Reach(
            client=await access.client(cluster.name),
            ways=await access.ways(cluster.name),
            release=release,
            seen=seen,
        )


def _settings(path: Path | None) -> "Settings | None":
    """What is configured, if anything is."""
    from watcher.cli.running import USUAL, settings_from

    return settings_from(path) if path or USUAL.exists() else None


def _from_files(flags: Flags) -> Mirrors:
    """As `oc`: one of the two flags, with objects of its own kind."""
    if flags.idms_file and flags.icsp_file:
        raise Usage("--idms-file and --icsp-file exclude each other")
    path = flags.idms_file or flags.icsp_file
    if path is None:
        return Mirrors()
    from watcher.clients import mirror_files

    kind = mirror_files.DIGEST_MIRROR_SET if flags.idms_file else mirror_files.CONTENT_SOURCE_POLICY
    return mirror_files.read_mirror_files([path], kinds={kind})


async def _cluster(
    settings: "Settings | None", flags: Flags, stack: AsyncExitStack
) -> "KubeCluster":
    import structlog

    from watcher import logs
    from watcher.bootstrap import clients
    from watcher.clock import SystemClock
    from watcher.settings import ClusterSettings, Settings

    there = settings.clusters if settings else ()
    if flags.kubeconfig:
        chosen = ClusterSettings(name=ClusterName(KUBECONFIG), kubeconfig=flags.kubeconfig)
    elif flags.cluster:
        found = [one for one in there if one.name == flags.cluster]
        if not found:
            names = ", ".join(one.name for one in there) or "none"
            raise NotFound(f"no cluster {flags.cluster} is configured (there is: {names})")
        chosen = found[0]
    elif len(there) > 1:
        names = ", ".join(one.name for one in there)
        raise Usage(f"several clusters are configured; say which with --cluster: {names}")
    else:
        chosen = there[0] if there else _from_environment()
    if not structlog.is_configured():
        logs.configure("error", stream=sys.stderr)
    only = Settings(clusters=(chosen,))
    opened = await clients.open_clusters(only, stack, SystemClock(), None, clients.USUAL)
    return opened[chosen.name]


def _from_environment() -> "ClusterSettings":
    """As `oc`: KUBECONFIG, else ~/.kube/config."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    path = Path(named) if named else Path.home() / ".kube/config"
    if not path.is_file():
        raise Usage(
            f"no cluster to ask: {path} is not there; name a release by its pullspec, or a "
            "cluster with --kubeconfig or -c"
        )
    from watcher.settings import ClusterSettings

    return ClusterSettings(name=ClusterName(KUBECONFIG), kubeconfig=path)

"""Registries, and one cluster where one is needed, for the commands that work beside `oc`.

Loads what a question needs and no more: without a cluster and a configuration that is the
registry client alone.
"""

import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.cli.exits import NotFound, Usage
from watcher.cli.output import tell
from watcher.clients import registries
from watcher.clients.access import ClusterAccess, Source, Ways
from watcher.clients.registry import RegistryClient, RegistrySettings, Unauthorised
from watcher.core.facts import NO_CLUSTER, ClusterName, Digest, Pullspec, Repository, split_tag
from watcher.core.mirrors import Mirrors
from watcher.errors import OutsideError
from watcher.settings_registry import RegistrySettings as Said
from watcher.settings_registry import ReleaseSettings

if TYPE_CHECKING:
    from watcher.clients.kube.cluster import KubeCluster
    from watcher.core.cluster import ClusterView
    from watcher.ports import ReleaseSignatures
    from watcher.settings import ClusterSettings, Settings

KUBECONFIG = "kubeconfig"
"""What a cluster is called that is in no configuration."""
LOGIN = "log in with `podman login`, or name a file of logins with -a/--registry-config"
"""What to do about a 401."""


class Need(Enum):
    """What for a cluster is asked; one that was named is asked always, and must answer."""

    NOTHING = "nothing"
    HELP = "help"
    """It may know the answer; without it others do."""
    ANSWER = "answer"


class NoCluster(Usage):
    """None is named, configured, or usual on this machine."""


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

    @classmethod
    def given(cls, parameters: Mapping[str, Any]) -> "Flags":
        """Return those of a command's parameters, which have the same names."""
        return cls(**{one.name: parameters[one.name] for one in fields(cls)})


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
    notes: list[str] = field(default_factory=list)
    """What of the cluster could not be had; told where something fails without it."""

    @property
    def name(self) -> ClusterName:
        return self.seen.name if self.seen else NO_CLUSTER

    @property
    def view(self) -> "ClusterView | None":
        return self.seen.view() if self.seen else None


@asynccontextmanager
async def opened(
    flags: Flags, *, cluster: Need, patience: RegistrySettings | None = None
) -> AsyncIterator[Reach]:
    """Open registries in the ways of the configuration, the flags and the cluster.

    `patience` has times and limits. Raise Usage, NotFound, Refused or Transient.
    """
    settings = _settings(flags.config)
    said = settings.registry if settings else Said()
    release = settings.release if settings else ReleaseSettings()
    async with AsyncExitStack() as stack:
        patience = replace(
            patience or RegistrySettings(),
            ca_file=flags.certificate_authority,
            insecure=flags.insecure,
        )
        said = replace(said, auth_file=flags.registry_config or said.auth_file)
        client, ways = await stack.enter_async_context(registries.opened(said, patience))
        mirrors = Mirrors.joined(from_files(flags).rules, ways.mirrors.rules)
        ways = replace(ways, mirrors=mirrors)
        at = Reach(client=client.using(mirrors=mirrors), ways=ways, release=release)
        if seen := await _seen(settings, flags, cluster, stack):
            at = await _with(at, seen)
        with _explained(at.notes):
            yield at


@contextmanager
def _explained(notes: list[str]) -> Iterator[None]:
    """Tell beside an error what may be its cause, and what to do about it."""
    try:
        yield
    except OutsideError as error:
        for note in notes:
            tell(note)
        if isinstance(error, Unauthorised):
            raise Unauthorised(f"{error}; {LOGIN}") from error
        raise


async def _with(at: Reach, seen: Seen) -> Reach:
    """The same in the ways that a cluster adds to."""
    notes = list(seen.read.problems)

    def gone(what: str, cluster: Source, error: Exception) -> None:
        notes.append(f"without {what} of cluster {cluster.name}: {error}")

    access = ClusterAccess(at.client, {seen.name: seen}, at.ways, on_gone=gone)
    client, ways = await access.client(seen.name), await access.ways(seen.name)
    return replace(at, client=client, ways=ways, seen=seen, notes=notes)


async def resolved(text: str, client: RegistryClient) -> Pullspec:
    """Return the image: by digest as it is, by tag as it stands now. Raise Malformed."""
    if "@" in text:
        return Pullspec(text)
    name, tag = split_tag(text)
    repository = Repository(name)
    return repository.at((await client.manifest((repository, tag or "latest"))).digest)


def _settings(path: Path | None) -> "Settings | None":
    """What is configured, if anything is."""
    from watcher.cli.running import USUAL, settings_from

    return settings_from(path) if path or USUAL.exists() else None


def from_files(flags: Flags) -> Mirrors:
    """As `oc`: one of the two flags, with objects of its own kind."""
    if flags.idms_file and flags.icsp_file:
        raise Usage("--idms-file and --icsp-file exclude each other")
    path = flags.idms_file or flags.icsp_file
    if path is None:
        return Mirrors()
    from watcher.clients import mirror_files

    kind = mirror_files.DIGEST_MIRROR_SET if flags.idms_file else mirror_files.CONTENT_SOURCE_POLICY
    return mirror_files.read_mirror_files([path], kinds={kind})


async def _seen(
    settings: "Settings | None", flags: Flags, need: Need, stack: AsyncExitStack
) -> Seen | None:
    """A cluster as it is now; None where none is needed, or none is there to help."""
    is_named = bool(flags.cluster or flags.kubeconfig)
    if need is Need.NOTHING and not is_named:
        return None
    try:
        cluster = await _opened(_chosen(settings, flags), stack)
        return Seen(cluster, await cluster.release_view())
    except NoCluster:
        if need is Need.ANSWER:
            raise
        return None
    except OutsideError as error:
        if is_named or need is Need.ANSWER:
            raise
        tell(f"going on without the cluster: {error}")
        return None


def _chosen(settings: "Settings | None", flags: Flags) -> "ClusterSettings":
    """The cluster that is meant; raise NoCluster where there is none."""
    from watcher.settings import ClusterSettings

    there = settings.clusters if settings else ()
    names = ", ".join(one.name for one in there) or "none"
    if flags.kubeconfig and flags.cluster:
        raise Usage("--kubeconfig and --cluster exclude each other")
    if flags.kubeconfig:
        return ClusterSettings(name=ClusterName(KUBECONFIG), kubeconfig=flags.kubeconfig)
    if flags.cluster:
        found = next((one for one in there if one.name == flags.cluster), None)
        if found is None:
            raise NotFound(f"no cluster {flags.cluster} is configured (there is: {names})")
        return found
    if len(there) > 1:
        raise Usage(f"several clusters are configured; say which with --cluster: {names}")
    return there[0] if there else from_environment()


def from_environment() -> "ClusterSettings":
    """As `oc`: KUBECONFIG, else ~/.kube/config; raise NoCluster."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    path = Path(named) if named else Path.home() / ".kube/config"
    if not path.is_file():
        raise NoCluster(
            f"no cluster to ask: {path} is not there; name a release by its pullspec, or a "
            "cluster with --kubeconfig or -c"
        )
    from watcher.settings import ClusterSettings

    return ClusterSettings(name=ClusterName(KUBECONFIG), kubeconfig=path)


async def _opened(chosen: "ClusterSettings", stack: AsyncExitStack) -> "KubeCluster":
    import structlog

    from watcher import logs
    from watcher.bootstrap import clients
    from watcher.clock import SystemClock
    from watcher.settings import Settings

    if not structlog.is_configured():
        logs.configure("error", stream=sys.stderr)
    only = Settings(clusters=(chosen,))
    clusters = await clients.open_clusters(only, stack, SystemClock(), None, clients.USUAL)
    return clusters[chosen.name]

"""What `relayer doctor` sees of one cluster: its objects, how registries are reached from it, and
the bases of its pools."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from watcher.bootstrap import clients
from watcher.cli import reach
from watcher.cli.doctor_places import Places
from watcher.cli.doctor_steps import Patience, Tried, counted, skipped, tried
from watcher.cli.exits import NotFound, Usage
from watcher.cli.reach import KUBECONFIG, Flags
from watcher.cli.session import pool_named
from watcher.clients.access import Fixed, Ways
from watcher.clients.images import RegistryImages, payload_of
from watcher.clients.kube import kinds, listing
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.registry import Credentials, RegistryClient, read_payload
from watcher.clients.registry_checks import LoginSource
from watcher.clock import SystemClock
from watcher.core import mco
from watcher.core.cluster import ClusterView, Pool
from watcher.core.facts import ClusterName, Malformed, PoolName, Pullspec
from watcher.core.images import Payload
from watcher.core.mirrors import Mirrors
from watcher.core.os_version import machine_os_of
from watcher.core.release import (
    Base,
    NeedsLabels,
    NeedsPayload,
    ReleaseState,
    effective_stream,
    expected_base,
    release_state,
)
from watcher.errors import Refused, Transient
from watcher.findings import Finding, Level
from watcher.settings import ClusterSettings, Settings

_SHOWN = 6
"""Names in one sentence; a cluster may have forty pools."""


@dataclass(frozen=True, slots=True)
class Concerned:
    """A cluster that is looked at."""

    cluster: ClusterSettings
    pools: tuple[PoolName, ...] = ()
    """Those that are looked at; empty: all it has."""


def concerned(settings: Settings, flags: Flags, pool: str) -> list[Concerned]:
    """Return the clusters that the arguments name, else all; raise Usage or NotFound."""
    if flags.kubeconfig:
        one = ClusterSettings(name=ClusterName(KUBECONFIG), kubeconfig=flags.kubeconfig)
        return [Concerned(one, (PoolName(pool.rpartition("/")[2]),) if pool else ())]
    clusters = {one.name: one for one in settings.clusters}
    if flags.cluster and flags.cluster not in clusters:
        there = ", ".join(clusters) or "none"
        raise NotFound(f"no cluster {flags.cluster} is configured (there is: {there})")
    if pool:
        name = pool if "/" in pool or not flags.cluster else f"{flags.cluster}/{pool}"
        found = pool_named(settings, name)
        if flags.cluster and found.cluster != flags.cluster:
            raise Usage(f"{pool} is not a pool of {flags.cluster}, which --cluster names")
        return [Concerned(clusters[found.cluster], (found.pool,))]
    if not clusters:
        return [Concerned(reach.from_environment())]
    named = [flags.cluster] if flags.cluster else list(clusters)
    return [
        Concerned(
            clusters[ClusterName(name)],
            tuple(dict.fromkeys(p.pool for p in settings.pools if p.cluster == name)),
        )
        for name in named
    ]


@dataclass(slots=True, kw_only=True)
class Common:
    """What all clusters share."""

    settings: Settings
    client: RegistryClient
    configured: Ways
    logins: LoginSource
    """Those of the configuration or the flags, with where they are from."""
    patience: Patience
    stack: AsyncExitStack
    buildah: str
    """The program of the builder of that name."""
    hidden: set[str] = field(default_factory=set)
    """Secrets read so far: none of them is printed."""

    def hide(self, credentials: Credentials) -> None:
        """Never print these passwords."""
        self.hidden.update(text for one in credentials.logins.values() for text in one.secrets)


def configured_logins(flags: Flags, settings: Settings, credentials: Credentials) -> LoginSource:
    """Say where the logins are from that no cluster told."""
    file: Path | None = flags.registry_config or settings.registry.auth_file
    where = str(file) if file else "the auth files of podman and docker"
    return LoginSource(where, credentials)


class ClusterSteps:
    """The steps about one cluster. Those that others need come first."""

    def __init__(self, common: Common, what: Concerned) -> None:
        self.common = common
        self.name = what.cluster.name
        self.prefix = f"{self.name} "
        self._what = what
        self.cluster: KubeCluster | None = None
        self.view: ClusterView | None = None
        """Version, streams and mirrors; with `pools` also those."""
        self.state: ReleaseState | None = None
        self.pull_secret: Credentials | None = None
        self.trusted: Mapping[str, str] = {}
        self.payload: Payload | None = None
        self._pools_known = False
        self._nodes_known = False
        self._labels: dict[Pullspec, Mapping[str, str]] = {}
        self._places: Places | None = None

    async def run(self) -> AsyncIterator[Finding]:
        """Read the cluster."""
        opening = await self._try("credentials", self._open())
        yield opening.finding
        if opening.error is not None:
            yield skipped(f"{self.prefix}objects", "nothing of the cluster can be read")
            return
        reading = await self._try("ClusterVersion", self._version())
        yield reading.finding
        if isinstance(reading.error, (Transient, TimeoutError)):
            yield skipped(f"{self.prefix}objects", "the cluster does not answer, see above")
            return
        yield self._mirrors()
        yield (await self._try("pools", self._read_pools())).finding
        nodes = await self._try("nodes", self._read_nodes())
        if nodes.error is not None:
            why = f"{nodes.error}; taken to be amd64, so other architectures are not looked at"
            yield Finding(Level.WARNING, nodes.finding.what, why)
        else:
            yield nodes.finding
        secret = await self._try("pull secret", self._read_pull_secret())
        yield secret.finding
        trusted = await self._try("trusted CA", self._read_trusted())
        if trusted.error is not None:
            why = f"{trusted.error}; gone without: registries that only it vouches for are refused"
            yield Finding(Level.WARNING, trusted.finding.what, why)
        else:
            yield trusted.finding

    @property
    def places(self) -> Places:
        """Registries as reached from this cluster; ask after `run`."""
        if self._places is None:
            mine, theirs = self.common.configured, self.pull_secret or Credentials()
            ways = Ways(
                credentials=Credentials.joined(mine.credentials, theirs),
                mirrors=Mirrors.joined(mine.mirrors.rules, self.view.mirrors if self.view else ()),
                trusted={**self.trusted, **mine.trusted},
            )
            self._places = Places(
                self.common.client.using(
                    ways.credentials, mirrors=ways.mirrors, trusted=ways.trusted
                ),
                ways,
                (self.common.logins, LoginSource(f"the pull secret of {self.name}", theirs)),
                patience=self.common.patience,
                prefix=self.prefix,
            )
        return self._places

    @property
    def nodes_client(self) -> RegistryClient:
        """Reaches registries as the cluster's nodes do, with its own pull secret alone."""
        return self.common.client.using(
            self.pull_secret or Credentials(),
            mirrors=Mirrors(self.view.mirrors if self.view else ()),
            trusted=self.trusted,
        )

    async def _try(self, what: str, work: Awaitable[tuple[str, None]]) -> Tried[None]:
        return await tried(f"{self.prefix}{what}", work, seconds=self.common.patience.step_seconds)

    # --- reading the cluster ----------------------------------------------------------------------

    async def _open(self) -> tuple[str, None]:
        one, stack = self._what.cluster, self.common.stack
        only = Settings(clusters=(one,))
        opened = await clients.open_clusters(only, stack, SystemClock(), None, clients.USUAL)
        self.cluster = opened[one.name]
        return _way(one), None

    async def _version(self) -> tuple[str, None]:
        assert self.cluster is not None
        self.view = await self.cluster.release_view()
        if self.view.cluster_version is None:
            raise Refused("there is no ClusterVersion `version`: is this an OpenShift cluster?")
        self.state = release_state(self.view.cluster_version)
        return self.state.sentence, None

    def _mirrors(self) -> Finding:
        what = f"{self.prefix}mirror sets"
        if self.view is None:
            return skipped(what, "the cluster's configuration cannot be read, see above")
        if self.view.problems:
            why = f"{'; '.join(self.view.problems)}; gone without what cannot be read"
            return Finding(Level.WARNING, what, why)
        rules = self.view.mirrors
        said = f"{counted(len(rules), 'rule')} about {_some(sorted({r.source for r in rules}))}"
        return Finding(Level.OK, what, said if rules else "there are none")

    async def _read_pools(self) -> tuple[str, None]:
        assert self.cluster is not None
        fresh = await self.cluster.fresh_view()
        missing = [name for name in self._what.pools if name not in fresh.pools]
        self.view = replace(fresh, mirrors=self.view.mirrors if self.view else ())
        self._pools_known = True
        there = _some(sorted(fresh.pools))
        if missing:
            raise Refused(
                f"there is no MachineConfigPool {_some(missing)} (there is: {there}); create it, "
                "or correct pools in the configuration"
            )
        return f"{len(fresh.pools)}: {there}", None

    async def _read_nodes(self) -> tuple[str, None]:
        assert self.cluster is not None
        listed = await listing.list_served(self.cluster._session, kinds.NODE)
        if listed is None or not listed.facts:
            raise Refused(f"cluster {self.name} shows no nodes")
        if self.view is not None:
            self.view = replace(self.view, nodes=listed.facts)
        self._nodes_known = True
        found = sorted({node.architecture or "unknown" for node in listed.facts.values()})
        return f"{len(listed.facts)}, of {_some(found)}", None

    async def _read_pull_secret(self) -> tuple[str, None]:
        assert self.cluster is not None
        raw = await self.cluster.pull_secret()
        found = Credentials.parse(raw, what=f"the pull secret of {self.name}")
        self.common.hide(found)
        self.pull_secret = found
        return f"logins for {_some(sorted(found.logins))}" if found.logins else "no login", None

    async def _read_trusted(self) -> tuple[str, None]:
        assert self.cluster is not None
        self.trusted = await self.cluster.trusted_cas()
        said = f"for {_some(sorted(self.trusted))}" if self.trusted else "no additionalTrustedCA"
        return said, None

    # --- bases ------------------------------------------------------------------------------------

    async def bases(self) -> AsyncIterator[Finding]:
        """The base of each pool that is looked at: which it is, and whether it can be read."""
        if not self._pools_known or self.state is None or self.view is None:
            why = "the release or the pools are not known, see above"
            yield skipped(f"{self.prefix}bases", why)
            return
        for stream, pools in self._by_stream(self.view).items():
            what = f"base {stream}"
            finding = await tried(
                f"{self.prefix}{what}",
                self._base(self.view, pools[0]),
                seconds=self.common.patience.payload_seconds,
            )
            names = _some([pool.name for pool in pools])
            yield replace(finding.finding, said=f"{finding.finding.said} (pools: {names})")
            if finding.result is None:
                continue
            async for one in self._readable(finding.result, what, pools):
                yield one

    def _by_stream(self, view: ClusterView) -> dict[str, list[Pool]]:
        found: dict[str, list[Pool]] = {}
        for name in self._what.pools or sorted(view.pools):
            if pool := view.pools.get(name):
                found.setdefault(effective_stream(view, pool), []).append(pool)
        return found

    async def _base(self, view: ClusterView, pool: Pool) -> tuple[str, Base]:
        base = await self._expected(view, pool)
        said = f"{base.image}, named by {base.source}"
        if self.payload is None or base.source == "payload":
            return said, base
        # The same asked of the release alone: the cluster's own answer must not differ.
        made = view.os_image_stream
        bare = replace(
            view,
            os_image_urls=None,
            os_image_stream=replace(made, images={}) if made else None,
        )
        named = await self._expected(bare, pool)
        if named.image != base.image:
            raise Refused(
                f"{base.source} names {base.image}, the release {named.image}: wait until the "
                "machine-config operator is done with the upgrade, else look at its log"
            )
        return f"{said} and by the release", base

    async def _expected(self, view: ClusterView, pool: Pool) -> Base:
        assert self.state is not None
        while True:
            found = expected_base(view, pool, self.state, self.payload, self._labels)
            if isinstance(found, Base):
                return found
            if isinstance(found, NeedsPayload):
                await self.read_release(found.release)
            elif isinstance(found, NeedsLabels):
                for image in found.images:
                    self._labels[image] = await self._labels_of(image)
            else:
                raise Refused(f"{found.because}; look at the pool's osImageStream")

    async def read_release(self, release: Pullspec) -> Payload:
        """Read what a release consists of; raise OutsideError."""
        self.payload = payload_of(await read_payload(self.places.client, release))
        return self.payload

    async def _labels_of(self, image: Pullspec) -> Mapping[str, str]:
        client = self.places.client
        top = await client.manifest(image)
        if top.is_index:
            if not top.entries:
                raise Malformed(f"{image} is an index of nothing")
            top = await client.child(top, top.entries[0].descriptor)
        return (await client.config_of(top)).labels

    async def _readable(
        self, base: Base, what: str, pools: Sequence[Pool]
    ) -> AsyncIterator[Finding]:
        async for one in self.places.read(base.image, what):
            yield one
        for architecture in self._architectures(pools):
            name = f"{self.prefix}{what}: linux/{architecture}"
            if base.image not in self.places.found:
                yield skipped(name, "its manifest is not there, see above")
                continue
            facts = self._facts(base.image, architecture)
            reading = await tried(name, facts, seconds=self.common.patience.step_seconds)
            yield reading.finding

    def _architectures(self, pools: Sequence[Pool]) -> list[str]:
        view = self.view
        if view is None or not self._nodes_known:
            return ["amd64"]
        nodes = (node for pool in pools for node in mco.nodes_of(view, pool.name))
        return sorted({node.architecture for node in nodes if node.architecture}) or ["amd64"]

    async def _facts(self, image: Pullspec, architecture: str) -> tuple[str, None]:
        images = RegistryImages(Fixed(self.places.client, self.places.ways))
        facts = await images.facts(image, architecture)
        version = machine_os_of({}, facts.labels) or "of no known version"
        return f"machine-os {version}, {counted(len(facts.diff_ids), 'layer')}", None


def _way(one: ClusterSettings) -> str:
    if one.in_cluster:
        return "those of this pod"
    return f"token for {one.url}" if one.url else f"kubeconfig {one.kubeconfig or 'of the user'}"


def _some(names: Sequence[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])

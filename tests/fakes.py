"""Working stand-ins for the outside world, behind the ports: they keep state and say no.

`FakeCluster` plays the Machine Config Operator in steps a test chooses: `render`, `begin`, `take`.
Its watch may lag behind its API server, as a real one does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from tests.facts import PROD, T0, a_pool, a_version, conditions, our_override, seconds, some_nodes
from watcher.core import mco
from watcher.core.cluster import ClusterView, MachineConfig, Meta, Node, OsImageUrls, Pool
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec
from watcher.core.genuine import Proof, Verdict
from watcher.core.graph import SeenGraph
from watcher.core.images import ImageFacts, Payload
from watcher.core.update import Update
from watcher.ports import BuildOrder, Conflict, Log, Refused, ReleaseSignatures


class FixedClock:
    """Stands still until it is told to go."""

    def __init__(self, now: datetime = T0) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by_seconds: float) -> None:
        self._now += seconds(by_seconds)


class FakeCluster:
    """One cluster: a live state, and the watch's view of it."""

    def __init__(
        self, clock: FixedClock, *, override: Update | None = None, nodes: int = 3
    ) -> None:
        self.name: ClusterName = PROD
        self.clock = clock
        self.version = a_version()
        self.machine_configs: dict[str, MachineConfig] = {}
        self.pools: dict[str, Pool] = {"infra": a_pool(nodes=nodes)}
        self.nodes: dict[str, Node] = some_nodes(nodes)
        self.urls: OsImageUrls | None = None
        self.lagging: ClusterView | None = None
        """What the watch still believes; None: it is up to date."""
        self.writes: list[str] = []
        self.fails: dict[str, list[Exception | None]] = {}
        """Method name → what its next calls raise; None lets one pass."""
        self.after_write: BaseException | None = None
        """Raised once the next write is done: the answer was lost, or the process died."""
        if override is not None:
            self.put(our_override(override))
        self.render()
        self.take(*self.nodes)

    # --- what a test does to it ---

    def put(self, machine_config: MachineConfig) -> None:
        self.machine_configs[machine_config.meta.name] = machine_config

    def lag(self) -> None:
        """From now on the watch shows only what is so far."""
        self.lagging = self._now_seen()

    def catch_up(self) -> None:
        self.lagging = None

    def edit_pool(self, pool: str = "infra", **said: object) -> None:
        before = self.pools[pool]
        version = str(int(before.meta.resource_version) + 1)
        meta = replace(before.meta, resource_version=version)
        self.pools[pool] = replace(before, **{"meta": meta, **said})  # type: ignore[arg-type]

    def render(self, pool: str = "infra") -> None:
        """MCO merges the pool's MachineConfigs and targets the result."""
        it = self.pools[pool]
        sources = [mc for mc in self.machine_configs.values() if mc.meta.labels]
        chosen = [m for m in sources if mco.selects(it.machine_config_selector, m.meta.labels)]
        won = mco.winner(it, chosen, version=self.version.desired_version)
        url = won.os_image_url if won else "the release's own"
        name = f"rendered-{pool}-{url[-6:]}"
        self.put(MachineConfig(meta=Meta(name=name), os_image_url=url))
        names = tuple(sorted(m.meta.name for m in chosen))
        self.edit_pool(pool, spec_configuration=name, spec_sources=names)
        self._count(pool)

    def take(self, *names: str, pool: str = "infra") -> None:
        """These nodes take what the pool targets; all of them finish the rollout."""
        for name in names:
            self._annotate(name, self.pools[pool].spec_configuration, "Done")
        self._count(pool)

    def begin(
        self, name: str, pool: str = "infra", *, state: str = "Working", why: str = ""
    ) -> None:
        """MCO tells a node to take it; `state` Degraded: and it fails."""
        before = self.nodes[name].meta.annotations
        annotations = {
            **before,
            mco.DESIRED_CONFIG: self.pools[pool].spec_configuration,
            mco.NODE_STATE: state,
            mco.NODE_REASON: why,
        }
        node = self.nodes[name]
        self.nodes[name] = replace(node, meta=replace(node.meta, annotations=annotations))
        self._count(pool)

    def _annotate(self, name: str, rendered: str, state: str) -> None:
        node = self.nodes[name]
        annotations = {
            mco.CURRENT_CONFIG: rendered,
            mco.DESIRED_CONFIG: rendered,
            mco.NODE_STATE: state,
        }
        self.nodes[name] = replace(node, meta=replace(node.meta, annotations=annotations))

    def _count(self, pool: str) -> None:
        it = self.pools[pool]
        updated = sum(
            n.meta.annotations[mco.CURRENT_CONFIG] == it.spec_configuration
            and n.meta.annotations[mco.NODE_STATE] == "Done"
            for n in self.nodes.values()
        )
        degraded = sum(
            n.meta.annotations[mco.NODE_STATE] == "Degraded" for n in self.nodes.values()
        )
        done = updated == len(self.nodes)
        self.edit_pool(
            pool,
            updated_count=updated,
            ready_count=updated,
            machine_count=len(self.nodes),
            degraded_count=degraded,
            status_configuration=it.spec_configuration if done else it.status_configuration,
            conditions=conditions(
                Updated=str(done),
                Updating=str(not done),
                Degraded=str(degraded > 0),
                NodeDegraded=str(degraded > 0),
            ),
        )

    # --- the port ---

    def _now_seen(self) -> ClusterView:
        return ClusterView(
            cluster=self.name,
            observed_at=self.clock.now(),
            cluster_version=self.version,
            pools=dict(self.pools),
            machine_configs=dict(self.machine_configs),
            nodes=dict(self.nodes),
            os_image_urls=self.urls,
        )

    def view(self) -> ClusterView:
        return self.lagging or self._now_seen()

    async def fresh_view(self) -> ClusterView:
        self._maybe_fail("fresh_view")
        return replace(self._now_seen(), nodes={})

    async def apply_override(
        self, *, name: str, pool: PoolName, image: str, annotations: Mapping[str, str]
    ) -> None:
        self._maybe_fail("apply_override")
        made = MachineConfig(
            meta=Meta(name=name, labels={mco.ROLE: pool}, annotations=dict(annotations)),
            os_image_url=image,
        )
        if self.machine_configs.get(name) != made:
            self.put(made)
            self._wrote(f"apply {image}")

    async def delete_override(self, name: str) -> None:
        self._maybe_fail("delete_override")
        if self.machine_configs.pop(name, None):
            self._wrote("delete")

    async def set_paused(
        self, pool: Pool, *, paused: bool, annotations: Mapping[str, str | None]
    ) -> None:
        self._maybe_fail("set_paused")
        if pool.meta.resource_version != self.pools[pool.name].meta.resource_version:
            raise Conflict(f"pool {pool.name} was changed meanwhile")
        self._note(pool.name, annotations)
        self.edit_pool(pool.name, paused=paused)
        self._wrote("pause" if paused else "unpause")

    async def annotate_pool(self, pool: PoolName, annotations: Mapping[str, str | None]) -> None:
        self._maybe_fail("annotate_pool")
        self._note(pool, annotations)
        self._wrote("annotate " + ", ".join(sorted(annotations)))

    async def uncordon(self, node: str) -> None:
        self._maybe_fail("uncordon")
        if self.nodes[node].unschedulable:
            self.nodes[node] = replace(self.nodes[node], unschedulable=False)
            self._wrote(f"uncordon {node}")

    async def pull_secret(self) -> bytes:
        self._maybe_fail("pull_secret")
        return b"{}"

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        self._maybe_fail("release_signatures")
        return ReleaseSignatures(keys={}, stores=(), signatures=())

    async def trusted_cas(self) -> Mapping[str, str]:
        self._maybe_fail("trusted_cas")
        return {}

    def _note(self, pool: str, annotations: Mapping[str, str | None]) -> None:
        it = self.pools[pool]
        merged = {**it.meta.annotations, **annotations}
        kept = {k: v for k, v in merged.items() if v is not None}
        self.pools[pool] = replace(it, meta=replace(it.meta, annotations=kept))
        self.edit_pool(pool)

    def _maybe_fail(self, method: str) -> None:
        if self.fails.get(method) and (error := self.fails[method].pop(0)):
            raise error

    def _wrote(self, what: str) -> None:
        self.writes.append(what)
        if self.after_write is not None:
            error, self.after_write = self.after_write, None
            raise error


@dataclass
class FakeImages:
    """A registry that holds what it is given; everything else is not there."""

    payloads: dict[Pullspec, Payload] = field(default_factory=dict)
    held: dict[Pullspec, ImageFacts] = field(default_factory=dict)
    present: set[Pullspec] = field(default_factory=set)
    """Images that exist, beside `held`."""
    not_pullable: dict[Pullspec, str] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    """What `repository:tag` means."""
    fails: list[Exception] = field(default_factory=list)

    def seen_from(self, cluster: ClusterName) -> "FakeImages":
        return self

    async def payload(self, release: Pullspec) -> Payload:
        self._maybe_fail()
        if release not in self.payloads:
            raise Refused(f"{release} is not there")
        return self.payloads[release]

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        self._maybe_fail()
        found = self.held.get(image)
        if found is None or found.architecture != architecture:
            raise Refused(f"{image} for {architecture} is not there")
        return found

    async def exists(self, image: Pullspec) -> bool:
        self._maybe_fail()
        return image in self.held or image in self.present

    async def digest_of(self, reference: str) -> Digest:
        self._maybe_fail()
        if reference not in self.tags:
            raise Refused(f"{reference} is not there")
        return self.tags[reference]

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        self._maybe_fail()
        if why := self.not_pullable.get(image):
            raise Refused(why)

    def _maybe_fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


@dataclass
class FakeSignatures:
    """Finds every release genuine, but those it is told of."""

    verdicts: dict[Pullspec, Verdict] = field(default_factory=dict)
    asked: list[Pullspec] = field(default_factory=list)
    afresh: list[Pullspec] = field(default_factory=list)
    """Of these: with what the cluster holds now."""

    async def verdict(
        self, cluster: ClusterName, release: Pullspec, *, fresh: bool = False
    ) -> Verdict:
        self.asked.append(release)
        if fresh:
            self.afresh.append(release)
        good = Verdict(proof=Proof.GOOD, because="signed by the test key", source="cluster")
        return self.verdicts.get(release, good)


class NoGraphs:
    """Disconnected: there is no update service."""

    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> SeenGraph:
        raise Refused("no update service here")


@dataclass
class FakeBuilder:
    """Gives the image it was told to give, and remembers what it was asked."""

    name: str = "append"
    gives: Pullspec | None = None
    refusals: list[str] = field(default_factory=list)
    lines: int = 0
    fails: list[Exception] = field(default_factory=list)
    orders: list[BuildOrder] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)

    def refuses(self, order: BuildOrder) -> list[str]:
        return self.refusals

    async def build(self, order: BuildOrder, log: Log) -> Pullspec:
        self.orders.append(order)
        for number in range(self.lines):
            await log(f"line {number}")
        if self.fails:
            raise self.fails.pop(0)
        assert self.gives is not None, "nobody said what to give"
        return self.gives

    async def clean(self, build: str) -> None:
        self.cleaned.append(build)

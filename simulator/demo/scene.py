"""What Relayer sees and remembers at one moment, and what happened between two such moments.

Everything comes from the service itself (its watches, its store), not from the simulator: the
demo shows what an operator would see. Two scenes give the lines of the log; that part is pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from simulator.demo.world import CLUSTER, POOL
from watcher.bootstrap import App
from watcher.core import mco
from watcher.core.build import Build
from watcher.core.cluster import ClusterView, Node
from watcher.core.update import Update
from watcher.ports import AuditEntry

BOOT_ACTION = mco.PREFIX + "post-config-action"


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the story."""

    at: datetime
    kind: str
    """cluster, pool, node, build, update; or demo, for what the demo itself does."""
    id: str
    event: str
    state: str
    detail: str = ""
    by: str = ""
    """Who, where it is written in the audit trail."""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    name: str
    state: str
    """MCO's Done, Working, Degraded …; or Draining, Rebooting while that is what it does."""
    updated: bool
    """It has the configuration that its pool targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    name: str
    nodes: tuple[NodeSeen, ...] = ()
    paused: bool = False
    decision: str = ""
    """Empty where Relayer is not configured to care."""
    because: str = ""
    decided_at: datetime | None = None

    @property
    def updated(self) -> int:
        return sum(node.updated for node in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    at: datetime
    version: str = ""
    """status.desired of the cluster."""
    completed: bool = False
    progress: str = ""
    """The version operator's own sentence."""
    pools: Mapping[str, PoolSeen] = field(default_factory=dict)
    update: Update | None = None
    build: Build | None = None
    waiting: str = ""
    """What the update waits for, as its handler says."""
    audit: tuple[AuditEntry, ...] = ()


async def look(app: App) -> Scene:
    """Read everything that is shown. Raises the store's Transient."""
    # What follows is read before what it follows from, so that a line never comes before its cause.
    audit = tuple(await app.store.audit())
    history = await app.store.history(CLUSTER, POOL, 1)
    update = history[0].job if history and isinstance(history[0].job, Update) else None
    build = (await app.store.get(update.build)).job if update and update.build else None
    progress = await app.store.progress(update.id) if update else {}
    views = await app.store.views()
    view = app.clusters[CLUSTER].view()
    version = view.cluster_version
    newest = version.history[0] if version and version.history else None
    said = {c.type: c for c in version.conditions}.get("Progressing") if version else None
    return Scene(
        at=app.clock.now(),
        version=version.desired_version if version else "",
        completed=bool(
            version
            and newest
            and newest.state == "Completed"
            and newest.image == version.desired_image
        ),
        progress=said.message if said else "",
        pools=_pools(view, views),
        update=update,
        build=build if isinstance(build, Build) else None,
        waiting=str(progress.get("waiting", "")),
        audit=audit,
    )


def _pools(view: ClusterView, decided: Mapping[str, Mapping[str, object]]) -> dict[str, PoolSeen]:
    pools = {}
    for name, pool in sorted(view.pools.items()):
        said = decided.get(f"pool:{CLUSTER}/{name}", {})
        nodes = mco.nodes_of(view, pool.name)
        pools[name] = PoolSeen(
            name=name,
            nodes=tuple(node_seen(node, pool.spec_configuration) for node in nodes),
            paused=pool.paused,
            decision=str(said.get("decision", "")),
            because=str(said.get("because", "")),
            decided_at=datetime.fromisoformat(str(said["at"])) if "at" in said else None,
        )
    return pools


def node_seen(node: Node, target: str) -> NodeSeen:
    """What a node is doing, in one word."""
    said = node.meta.annotations
    state = said.get(mco.NODE_STATE, "")
    configured = said.get(mco.CURRENT_CONFIG) == said.get(mco.DESIRED_CONFIG)
    drain = said.get(mco.DESIRED_DRAIN, "")
    if state in mco.FAILED_STATES:
        pass
    elif not node.ready or said.get(BOOT_ACTION):
        state = "Rebooting"
    elif drain.startswith("drain-") and said.get(mco.APPLIED_DRAIN) != drain:
        state = "Draining"
    elif state == "Done" and not configured:
        state = "Next"
    updated = state == "Done" and configured and said.get(mco.CURRENT_CONFIG) == target
    return NodeSeen(node.meta.name, state, updated)


def happenings(before: Scene | None, after: Scene) -> list[Happening]:
    """What is new, in the order in which it happened."""
    new = [*_of_cluster(before, after)]
    for name, pool in after.pools.items():
        new += _of_pool(before.pools.get(name) if before else None, pool, after.at)
    for entry in after.audit[len(before.audit) if before else 0 :]:
        kind = "update" if entry.pool else "build"
        new.append(
            Happening(
                entry.at, kind, entry.job, entry.event, entry.state, entry.detail, by=entry.by
            )
        )
    return sorted(new, key=lambda happening: happening.at)


def _of_cluster(before: Scene | None, after: Scene) -> Iterator[Happening]:
    if before is None or (before.version, before.completed) == (after.version, after.completed):
        return
    state = "Completed" if after.completed else "Partial"
    event = "UpgradeCompleted" if after.completed else "UpgradeAccepted"
    # It was so somewhere between two looks: before what it made possible, whose moment is known.
    new = after.audit[len(before.audit) :]
    cleared = [entry.at for entry in new if entry.event == "Cleared" and after.completed]
    if before.version:
        at = min([after.at, *cleared])
        yield Happening(at, "cluster", CLUSTER, event, state, after.progress)


def _of_pool(before: PoolSeen | None, after: PoolSeen, at: datetime) -> Iterator[Happening]:
    place = f"{CLUSTER}/{after.name}"
    if after.decision and (
        before is None or (before.decision, before.because) != (after.decision, after.because)
    ):
        decided_at = after.decided_at or at
        yield Happening(decided_at, "pool", place, "Decided", after.decision, after.because)
    if before and before.paused != after.paused:
        word = "Paused" if after.paused else "Unpaused"
        yield Happening(at, "pool", place, word, word.lower())
    known = {node.name: node for node in before.nodes} if before else {}
    for node in after.nodes:
        if node.name in known and known[node.name].state != node.state:
            yield Happening(at, "node", node.name, "NodeChanged", node.state, after.name)

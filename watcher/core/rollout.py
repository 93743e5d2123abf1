"""Judge how far a pool has come with a change of its image, without being fooled by stale status.

The order of the checks is the race-free test: `Updated=True` is worth nothing before the rendered
MachineConfig that the pool targets carries the image. Sources: MCO pkg/controller/node/status.go,
render_controller.go; 5 s render delay, then 5 s node update delay.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watcher.core import mco
from watcher.core.cluster import ClusterView, MachineConfig, Node, Pool
from watcher.core.update import Update
from watcher.core.update_events import Kind

NOT_THE_NODES = ("RenderDegraded", "ImageBuildDegraded", "PinnedImageSetsDegraded")
"""Parts of a pool's Degraded that say nothing about the image that nodes are taking."""
RENDER_ALLOWANCE = timedelta(minutes=10)
"""For rendering and for controllers that wait for each other, on top of the nodes' own time."""


class Phase(StrEnum):
    RENDERING = "rendering"
    ROLLING = "rolling"
    DONE = "done"
    DEGRADED = "degraded"
    STALLED = "stalled"
    """Not degraded, but later than the deadline: tell somebody, keep watching."""
    TAKEN_OVER = "taken-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProgress:
    name: str
    state: str
    """MCO's word: Done, Working, Rebooting, Degraded, Unreconcilable."""
    updated: bool
    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    phase: Phase
    sentence: str
    nodes: tuple[NodeProgress, ...] = ()

    @property
    def updated(self) -> int:
        return sum(node.updated for node in self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the pool shall come to."""

    image: str
    """The osImageURL, character for character; empty: the release's own, our override gone."""
    override: str
    """Name of our MachineConfig."""
    began_at: datetime
    node_seconds: int


def expectation(update: Update, *, override: str, began_at: datetime) -> Expectation:
    """Return what the pool shall come to when `update` succeeds."""
    image = "" if update.kind is Kind.STOCK else str(update.image)
    return Expectation(
        image=image,
        override=override,
        began_at=began_at,
        node_seconds=update.policy.node_seconds,
    )


def is_as_before(update: Update, ours: MachineConfig | None) -> bool:
    """Whether our override says what it said before `update` touched it, or is absent again."""
    if update.previous is None or ours is None:
        return update.previous is None and ours is None
    return ours.os_image_url == update.previous.image


def deadline(pool: Pool, nodes: int, expected: Expectation) -> datetime:
    """Return when the rollout is late: waves of maxUnavailable nodes, each with a node's time."""
    at_once = mco.max_unavailable(pool, nodes)
    waves = -(-nodes // at_once)
    return expected.began_at + RENDER_ALLOWANCE + timedelta(seconds=waves * expected.node_seconds)


def judge(view: ClusterView, pool: Pool, expected: Expectation, *, now: datetime) -> Rollout:
    """Return how far `pool` has come."""
    nodes = mco.nodes_of(view, pool.name)
    progress = tuple(_node(node, pool.spec_configuration) for node in nodes)
    rendered = view.machine_configs.get(pool.spec_configuration)
    if because := _taken_over(view, pool, expected):
        return Rollout(phase=Phase.TAKEN_OVER, sentence=because, nodes=_none(progress))
    if not _targets(pool, rendered, expected):
        if pool.is_true("RenderDegraded"):
            said = pool.message("RenderDegraded")
            return Rollout(phase=Phase.DEGRADED, sentence=f"rendering failed: {said}")
        return _late_or(pool, expected, now, Phase.RENDERING, "MCO is rendering", _none(progress))
    if because := _degraded(pool, progress):
        return Rollout(phase=Phase.DEGRADED, sentence=because, nodes=progress)
    if _finished(pool, progress):
        sentence = f"all {len(progress)} nodes run it" if progress else "the pool has no nodes"
        return Rollout(phase=Phase.DONE, sentence=sentence, nodes=progress)
    updated = sum(node.updated for node in progress)
    sentence = f"{updated} of {len(progress)} nodes run it"
    for kind in NOT_THE_NODES:
        if pool.is_true(kind):
            sentence += f"; {kind}, which is not about this image: {pool.message(kind)}"
    if pool.paused:
        sentence += "; the pool is paused, so no further node will take it"
    return _late_or(pool, expected, now, Phase.ROLLING, sentence, progress)


def others_would_follow(view: ClusterView, pool: Pool) -> bool:
    """Whether a node is left that MCO has not yet told to take the image."""
    return any(
        node.meta.annotations.get(mco.DESIRED_CONFIG) != pool.spec_configuration
        for node in mco.nodes_of(view, pool.name)
    )


def last_moved(pool: Pool, *, since: datetime) -> datetime:
    """Return when the pool last began or stopped updating (a pause does both), if after `since`."""
    moved = (c.last_transition for c in pool.conditions if c.type == "Updating")
    return max([since, *(at for at in moved if at is not None)])


def _late_or(
    pool: Pool,
    expected: Expectation,
    now: datetime,
    phase: Phase,
    sentence: str,
    nodes: tuple[NodeProgress, ...],
) -> Rollout:
    if now > (limit := deadline(pool, len(nodes), expected)):
        sentence += f"; it should have ended by {limit:%Y-%m-%d %H:%M} UTC"
        phase = Phase.STALLED
    return Rollout(phase=phase, sentence=sentence, nodes=nodes)


def _none(nodes: tuple[NodeProgress, ...]) -> tuple[NodeProgress, ...]:
    """Before the pool targets the image, a node that is Done is done with something else."""
    return tuple(
        NodeProgress(name=n.name, state=n.state, updated=False, ready=n.ready, reason=n.reason)
        for n in nodes
    )


def _node(node: Node, rendered: str) -> NodeProgress:
    said = node.meta.annotations
    state = said.get(mco.NODE_STATE, "")
    configured = said.get(mco.CURRENT_CONFIG) == said.get(mco.DESIRED_CONFIG) == rendered
    return NodeProgress(
        name=node.meta.name,
        state=state,
        updated=bool(rendered) and state == "Done" and configured,
        ready=node.ready and not node.unschedulable,
        reason=said.get(mco.NODE_REASON, ""),
    )


def _taken_over(view: ClusterView, pool: Pool, expected: Expectation) -> str | None:
    ours = view.machine_configs.get(expected.override)
    if expected.image and ours is None:
        return f"somebody deleted {expected.override}"
    if expected.image and ours and ours.os_image_url != expected.image:
        return f"somebody changed {expected.override} to {ours.os_image_url or 'no image'}"
    if not expected.image and ours is not None:
        return f"somebody made {expected.override} again"
    return None


def _targets(pool: Pool, rendered: MachineConfig | None, expected: Expectation) -> bool:
    """Whether the rendered MachineConfig that the pool targets is the one that says so."""
    if rendered is None:
        return False
    if not expected.image:
        return expected.override not in pool.spec_sources
    return rendered.os_image_url == expected.image and expected.override in pool.spec_sources


def _degraded(pool: Pool, nodes: tuple[NodeProgress, ...]) -> str | None:
    broken = [n for n in nodes if n.state in mco.FAILED_STATES and not n.updated]
    if broken:
        return "; ".join(
            f"node {n.name} is {n.state}: {n.reason or 'no reason given'}" for n in broken
        )
    others = any(pool.is_true(kind) for kind in NOT_THE_NODES)
    if pool.is_true("NodeDegraded") or (pool.is_true("Degraded") and not others):
        said = pool.message("NodeDegraded") or pool.message("Degraded")
        return f"the pool is degraded: {said or 'no reason given'}"
    return None


def _finished(pool: Pool, nodes: tuple[NodeProgress, ...]) -> bool:
    counts = {pool.machine_count, pool.updated_count, pool.ready_count, len(nodes)}
    return (
        pool.meta.generation <= pool.observed_generation
        and pool.status_configuration == pool.spec_configuration
        and pool.is_true("Updated")
        and not pool.is_true("Updating")
        and len(counts) == 1
        and pool.unavailable_count == pool.degraded_count == 0
        and all(node.updated for node in nodes)
    )

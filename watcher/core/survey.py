"""Every pool of a cluster classified; after a change only those that it concerns, again.

Facts never change in place, so what a finding was made from is compared by identity: a node event
costs the membership of one node and one pool's finding.

What only time changes (how old a finding is, how many days a certificate lasts) is set right by a
full pass, not by a node event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypedDict

from watcher.core import mco
from watcher.core.blocks import blocks
from watcher.core.classify import Evidence, classify
from watcher.core.cluster import ClusterView, MachineConfig, MachineOsConfig, Node, Pool, Selector
from watcher.core.drift import RecipeBroken, RecipeSeen, Running
from watcher.core.facts import ClusterName
from watcher.core.lag import Lag
from watcher.core.lineage import Lineage
from watcher.core.release import Base, ReleaseState, UnknownBase, effective_stream
from watcher.core.state import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What had to be asked for outside the cluster, or was read from it once for all pools."""

    release: ReleaseState | None = None
    problem: str = ""
    """Why the release is not known."""
    bases: Mapping[str, Base | UnknownBase] = field(default_factory=dict)
    """By stream."""
    lineages: Mapping[str, Lineage] = field(default_factory=dict)
    """By image, as MachineConfigs name it."""
    recipes: Mapping[str, RecipeSeen | RecipeBroken] = field(default_factory=dict)
    """By pool; of those that have one configured."""
    lags: Mapping[str, Lag] = field(default_factory=dict)
    """By pool."""
    unpullable: Mapping[str, str] = field(default_factory=dict)
    """By image: why nodes could not pull it."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """By image named by tag: what the tag means now, if that is something else than before."""


@dataclass(frozen=True, slots=True)
class _Kept:
    made_from: tuple[object, ...]
    """Compared by identity."""
    stream: str
    now: datetime
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Selected:
    """Who won, and what that was decided from."""

    version: str
    selectors: Mapping[str, Selector | None]
    machine_configs: tuple[MachineConfig, ...]
    winners: Mapping[str, MachineConfig | None]


_NO_NODES: dict[str, Node] = {}
"""One for all pools that have none: findings are compared by what they were made from."""


@dataclass(slots=True)
class Survey:
    """One cluster; `of` is called with each new view."""

    cluster: ClusterName
    _pools: Mapping[str, Pool] = field(default_factory=dict)
    _member: mco.Membership = field(default_factory=lambda: mco.Membership({}))
    _seen: dict[str, tuple[Node, str | None]] = field(default_factory=dict)
    """Node by name, and the pool it was found to be in."""
    _nodes: dict[str, dict[str, Node]] = field(default_factory=dict)
    """Pool → its nodes by name."""
    _found: dict[str, _Kept] = field(default_factory=dict)
    _selected: _Selected | None = None

    def of(
        self, view: ClusterView, known: Known, *, now: datetime, nodes: Iterable[str] | None = None
    ) -> tuple[Finding, ...]:
        """Return the finding of each pool, by name.

        `nodes`: names of those that changed since the last call, where that is known and nothing
        else did; None looks at all.
        """
        self._place(view, nodes)
        winners = self._winners(view, known)
        owners: dict[str, MachineOsConfig] = {}
        for owner in view.machine_os_configs.values():
            owners.setdefault(owner.pool, owner)
        for gone in self._found.keys() - view.pools.keys():
            del self._found[gone]
        found: list[Finding] = []
        for name in sorted(view.pools):
            pool, won, owner_ = view.pools[name], winners.get(name), owners.get(name)
            found.append(self._finding(view, known, pool, won, owner_, now, is_full=nodes is None))
        return tuple(found)

    def members(self) -> Mapping[str, tuple[Node, ...]]:
        """Return the nodes of each pool as of the last view."""
        return {pool: tuple(nodes.values()) for pool, nodes in self._nodes.items()}

    def _place(self, view: ClusterView, changed: Iterable[str] | None) -> None:
        """Put nodes into their pools."""
        if {name: pool.node_selector for name, pool in view.pools.items()} != {
            name: pool.node_selector for name, pool in self._pools.items()
        }:
            self._member = mco.Membership(view.pools)
            self._seen.clear()
            self._nodes.clear()
            changed = None
        self._pools = dict(view.pools)
        if changed is None:
            gone = self._seen.keys() - view.nodes.keys()
            changed = [*gone, *view.nodes]
        copied: set[str] = set()
        for name in changed:
            self._put(name, view.nodes.get(name), copied)

    def _put(self, name: str, node: Node | None, copied: set[str]) -> None:
        """Note a node, or that it is gone.

        A pool's nodes are another dictionary then: findings are kept by what they are made from.
        """
        before, was_in = self._seen.get(name, (None, None))
        if node is before:
            return
        pool = self._member.pool_of(node) if node else None
        for touched in {was_in, pool} - {None} - copied:
            assert touched is not None
            self._nodes[touched] = dict(self._nodes.get(touched, {}))
            copied.add(touched)
        if was_in is not None:
            del self._nodes[was_in][name]
        if node is None:
            self._seen.pop(name, None)
            return
        self._seen[name] = (node, pool)
        if pool is not None:
            self._nodes[pool][name] = node

    def _winners(self, view: ClusterView, known: Known) -> Mapping[str, MachineConfig | None]:
        """Pool → the MachineConfig whose image it gets; a generated one may win up to 4.20."""
        if known.release is None:
            return {}
        version = known.release.desired.version
        key = tuple(view.machine_configs.values())
        selectors = {name: pool.machine_config_selector for name, pool in view.pools.items()}
        last = self._selected
        if (
            last
            and (last.version, last.selectors) == (version, selectors)
            and _same(last.machine_configs, key)
        ):
            return last.winners
        speaking = [mc for mc in key if mc.os_image_url]
        found = {
            name: mco.winner(pool, speaking, version=version) for name, pool in view.pools.items()
        }
        self._selected = _Selected(version, selectors, key, found)
        return found

    def _finding(
        self,
        view: ClusterView,
        known: Known,
        pool: Pool,
        won: MachineConfig | None,
        owner: MachineOsConfig | None,
        now: datetime,
        *,
        is_full: bool,
    ) -> Finding:
        name = pool.meta.name
        nodes = self._nodes.get(name, _NO_NODES)
        ours = view.machine_configs.get(mco.override_name(pool.name))
        stream = effective_stream(view, pool)
        made_from = (pool, won, nodes, ours, owner, known, view.cluster_version)
        kept = self._found.get(name)
        # Only what a paused pool blocks speaks of days that are left.
        is_timeless = not is_full or not pool.paused or (kept is not None and kept.now == now)
        if kept and is_timeless and kept.stream == stream and _same(kept.made_from, made_from):
            return self._seen_again(kept, view) if is_full else kept.finding
        mine = tuple(nodes[n] for n in sorted(nodes))
        evidence = Evidence(
            cluster=self.cluster,
            pool=pool,
            observed_at=view.observed_at,
            base=known.bases.get(stream),
            ours=ours,
            owner=owner.meta.name if owner else "",
            nodes=mine,
            blocks=blocks(view, pool, mine, now=now),
            **_told(pool, won, known),
        )
        self._found[name] = _Kept(made_from, stream, now, classify(evidence))
        return self._found[name].finding

    def _seen_again(self, kept: _Kept, view: ClusterView) -> Finding:
        if kept.finding.observed_at == view.observed_at:
            return kept.finding
        finding = replace(kept.finding, observed_at=view.observed_at)
        self._found[finding.pool] = replace(kept, finding=finding)
        return finding


def _same(before: tuple[object, ...], now: tuple[object, ...]) -> bool:
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


class _Told(TypedDict):
    release: ReleaseState | None
    problem: str
    recipe: RecipeSeen | RecipeBroken | None
    running: Running | None
    beaten_by: str
    lag: Lag
    unpullable: str
    tag_moved: str


def _told(pool: Pool, won: MachineConfig | None, known: Known) -> _Told:
    """What is known of a pool and its override from elsewhere."""
    image = won.os_image_url if won else ""
    return {
        "release": known.release,
        "problem": known.problem,
        "recipe": known.recipes.get(pool.name),
        "running": _running(pool, won, known),
        "beaten_by": won.meta.name if won and mco.is_generated(won) else "",
        "lag": known.lags.get(pool.name, Lag()),
        "unpullable": known.unpullable.get(image, ""),
        "tag_moved": known.moved.get(image, ""),
    }


def _running(pool: Pool, won: MachineConfig | None, known: Known) -> Running | None:
    if won is None or mco.is_generated(won):
        return None
    return Running(
        machine_config=won.meta.name,
        image=won.os_image_url,
        ours=won.meta.name == mco.override_name(pool.name),
        lineage=known.lineages.get(won.os_image_url, Lineage()),
    )

"""Every pool of a cluster classified; after a change only those that it concerns, again.

Facts never change in place, so what a finding was made from is compared by identity: a node event
costs the membership of one node and one pool's finding.

What only time changes (how old a finding is, how many days a certificate lasts) is set right by a
full pass, not by a node event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from operator import is_
from typing import NamedTuple, TypedDict

from watcher.core import image_mode, mco
from watcher.core.blocks import blocks
from watcher.core.classify import Evidence, classify, unreadable
from watcher.core.cluster import (
    ClusterVersion,
    ClusterView,
    MachineConfig,
    MachineOsBuild,
    MachineOsConfig,
    Node,
    Pool,
    Selector,
)
from watcher.core.drift import RecipeBroken, RecipeSeen, Running
from watcher.core.facts import ClusterName
from watcher.core.lag import Lag
from watcher.core.lineage import Lineage, from_rendered
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
    """By MachineConfig: what its image's tag means now, if that is something else than before."""


class _Sources(NamedTuple):
    """What a finding is made from. All but the first two are compared by identity."""

    stream: str
    unread: str
    """A MachineConfig that may decide, and is not among those that were read; mostly empty."""
    pool: Pool
    won: MachineConfig | None
    """Whose image the pool gets; a generated one may win up to 4.20."""
    had: MachineConfig | None
    """The rendered one that nodes had last, where the pool shall have another."""
    nodes: Mapping[str, Node]
    ours: MachineConfig | None
    owner: MachineOsConfig | None
    build: MachineOsBuild | None
    known: Known
    cluster_version: ClusterVersion | None

    def are(self, others: "_Sources") -> bool:
        return self[:2] == others[:2] and all(map(is_, self[2:], others[2:]))


@dataclass(frozen=True, slots=True)
class _Kept:
    sources: _Sources | None
    """None: of a pool that cannot be read."""
    now: datetime
    finding: Finding


_NO_NODES: dict[str, Node] = {}
"""One for all pools that have none: findings are compared by what they were made from."""


@dataclass(slots=True)
class Survey:
    """One cluster; `of` is called with each new view."""

    cluster: ClusterName
    _view: ClusterView | None = None
    """The last one."""
    _known: Known | None = None
    _winners: mco.Winners | None = None
    """None: the release is not known, so nobody can say."""
    _owners: Mapping[str, MachineOsConfig] = field(default_factory=dict)
    """By pool."""
    _member: mco.Membership = field(default_factory=lambda: mco.Membership({}))
    _seen: dict[str, tuple[Node, str | None]] = field(default_factory=dict)
    """Node by name, and the pool it was found to be in."""
    _nodes: dict[str, dict[str, Node]] = field(default_factory=dict)
    """Pool → its nodes by name."""
    _found: dict[str, _Kept] = field(default_factory=dict)
    """By pool, in the order of names."""

    def of(
        self, view: ClusterView, known: Known, *, now: datetime, nodes: Iterable[str] | None = None
    ) -> tuple[Finding, ...]:
        """Return the finding of each pool, by name.

        `nodes`: names of those that changed since the last call, where that is known; None looks
        at all, and so does a view or a knowledge of which anything else is not what it was.
        """
        is_full = nodes is None or not self._is_as_before(view, known)
        if is_full:
            self._owners = image_mode.owners(view)
            self._winners = _winners(view, known)
        touched = self._place(view, None if is_full else nodes)
        self._view, self._known = view, known
        if is_full:
            self._found = {
                name: self._again(name, view, known, now)
                for name in sorted({*view.pools, *view.unreadable_pools})
            }
        else:
            for name in touched:
                self._found[name] = self._made(name, view, known, now)
        return tuple(kept.finding for kept in self._found.values())

    def _is_as_before(self, view: ClusterView, known: Known) -> bool:
        """Whether all but nodes is the same, and not only equal."""
        return (
            self._view is not None
            and known is self._known
            and all(
                _is_same(getattr(self._view, name), getattr(view, name)) for name in _BESIDE_NODES
            )
        )

    def members(self) -> Mapping[str, tuple[Node, ...]]:
        """Return the nodes of each pool as of the last view."""
        return {pool: tuple(nodes.values()) for pool, nodes in self._nodes.items()}

    def _place(self, view: ClusterView, changed: Iterable[str] | None) -> set[str]:
        """Put nodes into their pools; return the pools whose nodes are others now."""
        before = self._view.pools if self._view else {}
        if changed is None and _selectors(before) != _selectors(view.pools):
            self._member = mco.Membership(view.pools)
            self._seen.clear()
            self._nodes.clear()
        if changed is None:
            gone = self._seen.keys() - view.nodes.keys()
            changed = [*gone, *view.nodes]
        touched: set[str] = set()
        for name in changed:
            self._put(name, view.nodes.get(name), touched)
        return touched

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

    def _again(self, name: str, view: ClusterView, known: Known, now: datetime) -> _Kept:
        """What is kept, where all that it was made from is as it was; else made anew."""
        if name not in view.pools:
            why = view.unreadable_pools[name]
            at = view.observed_at
            return _Kept(None, now, unreadable(self.cluster, name, why=why, observed_at=at))
        kept = self._found.get(name)
        # Only what a paused pool blocks speaks of days that are left.
        is_timely = kept is not None and (kept.now == now or not view.pools[name].paused)
        of = self._sources(name, view, known)
        if not (kept and is_timely and kept.sources and kept.sources.are(of)):
            return self._made(name, view, known, now)
        if kept.finding.observed_at == view.observed_at:
            return kept
        return replace(kept, finding=replace(kept.finding, observed_at=view.observed_at))

    def _sources(self, name: str, view: ClusterView, known: Known) -> _Sources:
        pool, owner = view.pools[name], self._owners.get(name)
        won, stream = (
            self._winners.of(pool) if self._winners else None,
            effective_stream(view, pool),
        )
        return _Sources(
            stream=stream,
            unread=_unread(view, pool, won, known.bases.get(stream)),
            pool=pool,
            won=won,
            had=mco.last_had(pool, view.machine_configs),
            nodes=self._nodes.get(name, _NO_NODES),
            ours=view.machine_configs.get(mco.override_name(pool.name)),
            owner=owner,
            build=image_mode.current_build(view, pool, owner) if owner else None,
            known=known,
            cluster_version=view.cluster_version,
        )

    def _made(self, name: str, view: ClusterView, known: Known, now: datetime) -> _Kept:
        of = self._sources(name, view, known)
        pool, mine = of.pool, tuple(of.nodes[n] for n in sorted(of.nodes))
        evidence = Evidence(
            cluster=self.cluster,
            pool=pool,
            observed_at=view.observed_at,
            base=known.bases.get(of.stream),
            ours=of.ours,
            owner=of.owner.meta.name if of.owner else "",
            build=of.build,
            present=_present(of.owner, known),
            had=None if of.owner else _had(of, known),
            nodes=mine,
            blocks=blocks(view, pool, mine, now=now, paused_since=mco.in_step_until(pool)),
            **(_unknown(of.unread, known) if of.unread else _told(pool, of.won, known)),
        )
        return _Kept(of, now, classify(evidence))


_BESIDE_NODES = tuple(
    one.name
    for one in fields(ClusterView)
    if one.name not in ("nodes", "mirrors", "observed_at", "problems")
)
"""What a finding may be made from, but for nodes."""


def _is_same(before: object, now: object) -> bool:
    """Whether a fact is the same one, or facts by name are the same ones."""
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return before is now
    return before is now or (
        len(before) == len(now) and all(map(is_, before.values(), now.values()))
    )


def _selectors(pools: Mapping[str, Pool]) -> dict[str, Selector | None]:
    return {name: pool.node_selector for name, pool in pools.items()}


def _winners(view: ClusterView, known: Known) -> mco.Winners | None:
    if known.release is None:
        return None
    return mco.Winners(view.machine_configs.values(), version=known.release.desired.version)


def _unread(
    view: ClusterView, pool: Pool, won: MachineConfig | None, base: Base | UnknownBase | None
) -> str:
    """Return a MachineConfig that the pool's own was rendered from and that was not read.

    It may have set the image. It has not where what was rendered names just the image that those
    which were read come to: then it is one that was deleted a moment ago, or says nothing of it.
    """
    gone = next((name for name in pool.spec_sources if name not in view.machine_configs), "")
    if not gone:
        return ""
    rendered = view.machine_configs.get(pool.spec_configuration)
    image = won.os_image_url if won else str(base.image) if isinstance(base, Base) else ""
    return "" if rendered and image and rendered.os_image_url == image else gone


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
        "tag_moved": known.moved.get(won.meta.name if won else "", ""),
    }


def _unknown(unread: str, known: Known) -> _Told:
    """What is known of a pool where nobody knows which image it gets: nothing of that image."""
    why = f"MachineConfig {unread}, which its configuration was rendered from, was not read"
    return {
        "release": known.release,
        "problem": known.problem or f"{why}, so nobody knows which image it gets",
        "recipe": None,
        "running": None,
        "beaten_by": "",
        "lag": Lag(),
        "unpullable": "",
        "tag_moved": "",
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


def _had(of: _Sources, known: Known) -> Running | None:
    """What nodes have; None where it is the override that they shall have."""
    image = of.had.os_image_url if of.had else ""
    if of.had is None or (of.won and of.won.os_image_url == image):
        return None
    found = known.lineages.get(image, Lineage())
    lineage = found if found.base else from_rendered(of.had)
    return Running(machine_config=of.had.meta.name, image=image, ours=False, lineage=lineage)


def _present(owner: MachineOsConfig | None, known: Known) -> Running | None:
    """What a pool in image mode runs; None before its first build is done."""
    if owner is None or not owner.current_image:
        return None
    return Running(
        machine_config=owner.meta.name,
        image=owner.current_image,
        ours=False,
        lineage=known.lineages.get(owner.current_image, Lineage()),
    )

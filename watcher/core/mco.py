"""The Machine Config Operator's rules: who selects what, which wins, whose node it is.

Sources: machine-config-operator pkg/controller/common/helpers.go (MergeMachineConfigs),
pkg/controller/render/render_controller.go, GetPoolsForNode and ListPools (pool membership).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import semver

from watcher.core.cluster import (
    ClusterView,
    Condition,
    MachineConfig,
    Meta,
    Node,
    Pool,
    Requirement,
    Selector,
)
from watcher.core.facts import PoolName

PREFIX = "machineconfiguration.openshift.io/"
ROLE = PREFIX + "role"
GENERATED_BY = PREFIX + "generated-by-controller-version"
RENDERED_BY_RELEASE = PREFIX + "release-image-version"
"""On rendered MachineConfigs: the version of the release that rendered them."""
OVERRIDDEN = PREFIX + "os-image-url-overridden"
"""``true`` on a rendered MachineConfig whose image is not the release's own."""
CURRENT_CONFIG = PREFIX + "currentConfig"
DESIRED_CONFIG = PREFIX + "desiredConfig"
NODE_STATE = PREFIX + "state"
NODE_REASON = PREFIX + "reason"
DESIRED_DRAIN = PREFIX + "desiredDrain"
APPLIED_DRAIN = PREFIX + "lastAppliedDrain"
FAILED_STATES = ("Degraded", "Unreconcilable")
PREBUILT = "10-prebuiltimage-osimageurl-"
"""Install-time on-cluster layering: made by MCO, frozen for ever, never ours to touch."""


def override_name(pool: PoolName) -> str:
    """Our MachineConfig of a pool. 99-: up to 4.20 it must sort after 01-<role>-kubelet."""
    return f"99-{pool}-relayer-osimage"


def is_prebuilt(name: str, pool: PoolName) -> bool:
    """Whether a MachineConfig is the one of install-time on-cluster layering for this pool."""
    return name == PREBUILT + pool


def minor_of(version: str) -> tuple[int, int]:
    """``4.16.3`` → (4, 16); raise ValueError. OpenShift versions are semver."""
    parsed = semver.Version.parse(version)
    return parsed.major, parsed.minor


def is_version(text: str) -> bool:
    """Whether a text is the version of a release."""
    return semver.Version.is_valid(text)


def is_older(version: str, *, than: str) -> bool:
    """Whether a release is older than another; False where one of them is no version."""
    try:
        return semver.Version.parse(version) < semver.Version.parse(than)
    except ValueError:
        return False


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            # An operator we do not know selects nothing: guessing could reach a foreign pool.
            return False


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Whether a pool's label selector matches. One that is not there or empty matches nothing.

    To Kubernetes an empty one means everything, but MCO leaves such a pool alone: it renders
    nothing for it (render_controller.go: SelectingAll) and gives it no nodes (ListPools).
    """
    if selector is None or not (selector.match_labels or selector.match_expressions):
        return False
    # Loops, and no generators: it is asked of every pool and object, and those take twice as long.
    for key, value in selector.match_labels.items():
        if labels.get(key) != value:
            return False
    for requirement in selector.match_expressions:  # noqa: SIM110
        if not _meets(requirement, labels):
            return False
    return True


def is_generated(machine_config: MachineConfig) -> bool:
    """Made by a controller: carries the base itself up to 4.20, and is ignored from 4.21 on."""
    return bool(machine_config.meta.annotations.get(GENERATED_BY))


def merge_order(
    machine_configs: Iterable[MachineConfig], *, version: str
) -> tuple[MachineConfig, ...]:
    """Return them as MCO merges them for this version: the last one that says something wins.

    From 4.15: those of role worker by name, then all others by name. Before: plainly by name.
    """
    by_name = sorted(machine_configs, key=lambda mc: mc.meta.name)
    if minor_of(version) < (4, 15):
        return tuple(by_name)
    return tuple(sorted(by_name, key=lambda mc: mc.meta.labels.get(ROLE) != "worker"))


def winner(
    pool: Pool, machine_configs: Iterable[MachineConfig], *, version: str
) -> MachineConfig | None:
    """Return the MachineConfig whose osImageURL the pool gets, None for the release's own image.

    A generated one that wins over an override (possible up to 4.20) is returned too: the caller
    can tell by `is_generated`.
    """
    selector = pool.machine_config_selector
    mine = (mc for mc in machine_configs if mc.os_image_url and selects(selector, mc.meta.labels))
    return Winners(mine, version=version).of(pool)


class Winners:
    """Who wins in each of many pools, without trying every MachineConfig on every pool.

    They are looked up by a label that the pool's selector requires: a cluster of 500 pools has some
    thousand rendered ones that carry an image, and trying each on each takes seconds.
    """

    def __init__(self, machine_configs: Iterable[MachineConfig], *, version: str) -> None:
        is_ignored = is_generated if minor_of(version) >= (4, 21) else _never
        speaking = (mc for mc in machine_configs if mc.os_image_url and not is_ignored(mc))
        self._ordered = merge_order(speaking, version=version)
        self._by_label: dict[tuple[str, str], list[int]] = {}
        """Places in that order."""
        for place, mc in enumerate(self._ordered):
            for label in mc.meta.labels.items():
                self._by_label.setdefault(label, []).append(place)

    def of(self, pool: Pool) -> MachineConfig | None:
        """Return the pool's; see `winner`."""
        selector = pool.machine_config_selector
        places = [
            place
            for place in self._likely(selector)
            if selects(selector, self._ordered[place].meta.labels)
        ]
        if all(is_generated(self._ordered[place]) for place in places):
            return None
        return self._ordered[max(places)]

    def overriding(self, pool: Pool) -> MachineConfig | None:
        """Return the pool's override; see `overriding`."""
        return _override(self.of(pool))

    def _likely(self, selector: Selector | None) -> Iterable[int]:
        """Places outside of which the selector matches nothing."""
        if selector is None:
            return ()
        for label in selector.match_labels.items():
            return self._by_label.get(label, ())
        for requirement in selector.match_expressions:
            if requirement.operator == "In":
                labels = ((requirement.key, value) for value in requirement.values)
                return [place for label in labels for place in self._by_label.get(label, ())]
        return range(len(self._ordered))


def _never(machine_config: MachineConfig) -> bool:
    return False


def _override(won: MachineConfig | None) -> MachineConfig | None:
    return None if won is None or is_generated(won) else won


def overriding(
    pool: Pool, machine_configs: Iterable[MachineConfig], *, version: str
) -> MachineConfig | None:
    """Return the override that the pool gets; None where the release's own image wins."""
    return _override(winner(pool, machine_configs, version=version))


def _ours(pool: Pool) -> MachineConfig:
    meta = Meta(name=override_name(pool.name), labels={ROLE: pool.name})
    return MachineConfig(meta=meta, os_image_url="ours-if-applied")


def winner_if_applied(view: ClusterView, pool: Pool, *, version: str) -> MachineConfig | None:
    """Return who would win if our override were there with some image."""
    ours = _ours(pool)
    others = [mc for mc in view.machine_configs.values() if mc.meta.name != ours.meta.name]
    return winner(pool, [*others, ours], version=version)


def also_hit(view: ClusterView, pool: Pool, *, version: str) -> tuple[PoolName, ...]:
    """Return the other pools whose image our override of `pool` would change: they inherit it.

    A pool with an override of its own that wins there is not among them.
    """
    ours = _ours(pool)
    inheriting = [
        other
        for other in view.pools.values()
        if other.name != pool.name and selects(other.machine_config_selector, ours.meta.labels)
    ]
    if not inheriting:
        return ()
    others = [mc for mc in view.machine_configs.values() if mc.meta.name != ours.meta.name]
    winners = Winners([*others, ours], version=version)
    return tuple(other.name for other in inheriting if winners.of(other) is ours)


def pools_hit(view: ClusterView, machine_config: MachineConfig) -> tuple[PoolName, ...]:
    """Return every pool that selects a MachineConfig: one of role worker hits inheriting pools."""
    labels = machine_config.meta.labels
    return tuple(p.name for p in view.pools.values() if selects(p.machine_config_selector, labels))


class Membership:
    """Which pool a node belongs to, by MCO's rules, for many nodes without trying every pool.

    Pools are looked up by a label key that their selector requires: with 200 pools and 5,000
    nodes, trying each pool on each node would take a second, every time.
    """

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._by_key: dict[str, list[Pool]] = {}
        self._others: list[Pool] = []
        for pool in pools.values():
            key = _required_key(pool.node_selector)
            place = self._others if key is None else self._by_key.setdefault(key, [])
            place.append(pool)

    def pool_of(self, node: Node) -> str | None:
        """Return its pool; None for none, for Windows and for a node in two custom pools."""
        labels = node.meta.labels
        if labels.get("kubernetes.io/os") == "windows":
            return None
        likely = (pool for key in labels if key in self._by_key for pool in self._by_key[key])
        names = {
            pool.meta.name
            for pool in (*likely, *self._others)
            if selects(pool.node_selector, labels)
        }
        # MCO counts all but these two as custom, the arbiter's pool too.
        custom = names - {"master", "worker"}
        if len(custom) > 1:
            return None  # MCO reports an error and leaves the node alone, a master too
        if "master" in names:
            return "master"
        return next(iter(custom), "worker" if "worker" in names else None)


def _required_key(selector: Selector | None) -> str | None:
    """Return a label key without which the selector matches nothing, if there is one."""
    if selector is None:
        return None
    for key in selector.match_labels:
        return key
    for requirement in selector.match_expressions:
        if requirement.operator in ("In", "Exists"):
            return requirement.key
    return None


def pool_of(node: Node, pools: Mapping[str, Pool]) -> str | None:
    """Return the pool of one node; see `Membership`."""
    return Membership(pools).pool_of(node)


def nodes_of(view: ClusterView, pool: str) -> tuple[Node, ...]:
    """Return the pool's nodes, by name."""
    known = view.pools.get(pool)
    if known is None:
        return ()
    member = Membership(view.pools)
    mine = (
        node
        for node in view.nodes.values()
        if selects(known.node_selector, node.meta.labels) and member.pool_of(node) == pool
    )
    return tuple(sorted(mine, key=lambda node: node.meta.name))


def max_unavailable(pool: Pool, nodes: int) -> int:
    """Return how many nodes may be down at once: percentages round down, never below 1."""
    if pool.name == "arbiter":
        return 1  # whatever the pool says: it votes in etcd
    text = pool.max_unavailable.strip()
    try:
        number = nodes * int(text[:-1]) // 100 if text.endswith("%") else int(text)
    except ValueError:
        number = 1  # MCO's default; an unreadable value is the cluster's business
    return max(1, number)


def left_cordoned(node: Node, *, target: str) -> bool:
    """Whether MCO drained a node for a config it failed on, and left it cordoned.

    A failing node is free to be sent to another config (getAllCandidateMachines), but a cordoned
    one counts as unavailable and is never chosen: with maxUnavailable 1 the pool stands still
    until somebody uncordons it. True only for a cordon that is MCO's own and done.
    """
    said = node.meta.annotations
    desired = said.get(DESIRED_CONFIG, "")
    drained = f"drain-{desired}"
    return (
        node.unschedulable
        and said.get(NODE_STATE) in FAILED_STATES
        and desired != target
        and said.get(DESIRED_DRAIN) == said.get(APPLIED_DRAIN) == drained
    )


def in_step_until(pool: Pool) -> datetime | None:
    """Return when a pool that stands still last had all that was rendered for it.

    None where it is in step, on its way, or its conditions do not tell.
    """
    return next((c.last_transition for c in _stood_still(pool) if c.type == "Updated"), None)


def standing_since(pool: Pool) -> datetime | None:
    """Return since when a pool stands still with something to do; None as above.

    Nothing tells when it was paused. One that was paused before stops being Updated as there is
    something to do; one that was paused in the midst of it stops Updating.
    """
    return max((c.last_transition for c in _stood_still(pool) if c.last_transition), default=None)


def _stood_still(pool: Pool) -> list[Condition]:
    conditions = [c for c in pool.conditions if c.type in ("Updated", "Updating")]
    if {c.type for c in conditions if c.status == "False"} != {"Updated", "Updating"}:
        return []
    return conditions


def is_at_target(pool: Pool) -> bool:
    """Whether MCO says, about what the pool wants now, that every node has it."""
    return (
        not pool.is_true("Updating")
        and pool.is_true("Updated")
        and pool.meta.generation <= pool.observed_generation
        and pool.status_configuration == pool.spec_configuration
    )


def last_had(pool: Pool, machine_configs: Mapping[str, MachineConfig]) -> MachineConfig | None:
    """Return the rendered MachineConfig that every node of a pool had last.

    None where that is what the pool shall have, as far as its own status tells; where it was not
    read or names no image; and where there is no node to have it. A pool that cannot be rendered
    may say that it is at its target: that is an old one.
    """
    if pool.machine_count == 0 or (is_at_target(pool) and not pool.is_true("RenderDegraded")):
        return None
    had = machine_configs.get(pool.status_configuration)
    return had if had and had.os_image_url else None


def is_settled(pool: Pool) -> bool:
    """Whether the pool is at its target and well."""
    return is_at_target(pool) and not pool.is_true("Degraded")

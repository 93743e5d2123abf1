"""Which node is in which pool, kept up to date as nodes and pools change.

A node in one custom pool and in worker belongs to the custom pool; custom and master is master.
Selectors are compiled once per pool, and a node is looked at again only when its labels change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.apiserver import selectors
from simulator.apiserver.selectors import LabelTest
from simulator.cluster.pools import NodeState

BUILT_IN = ("master", "worker")


@dataclass(frozen=True, slots=True)
class PoolSelectors:
    nodes: LabelTest
    configs: LabelTest

    @classmethod
    def of(cls, pool: Mapping[str, Any]) -> "PoolSelectors":
        spec = pool["spec"]
        return cls(
            nodes=selectors.of_object(spec.get("nodeSelector")),
            configs=selectors.of_object(spec.get("machineConfigSelector")),
        )


class Membership:
    """An index of pools and their nodes."""

    def __init__(self) -> None:
        self.pools: dict[str, PoolSelectors] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._pool_of: dict[str, str] = {}
        self._members: dict[str, dict[str, NodeState]] = {}

    def set_pool(self, name: str, pool: Mapping[str, Any] | None) -> None:
        """Add or change a pool; None removes it."""
        if pool is None:
            self.pools.pop(name, None)
        else:
            self.pools[name] = PoolSelectors.of(pool)
        for node, labels in list(self._labels.items()):
            old = self._pool_of.get(node, "")
            if (new := self._primary(labels)) != old:
                state = self._members[old].pop(node)
                self._enter(node, new, state)

    def set_node(self, state: NodeState, labels: Mapping[str, str]) -> str:
        """Note what a node is now; return its pool, or the empty string."""
        name = state.name
        if name not in self._labels or self._labels[name] != labels:
            self._members.get(self._pool_of.get(name, ""), {}).pop(name, None)
            self._labels[name] = labels
            self._pool_of[name] = self._primary(labels)
        self._enter(name, self._pool_of[name], state)
        return self._pool_of[name]

    def drop_node(self, name: str) -> str:
        """Forget a deleted node; return the pool it was in."""
        self._labels.pop(name, None)
        pool = self._pool_of.pop(name, "")
        self._members.get(pool, {}).pop(name, None)
        return pool

    def pool_of(self, node: str) -> str:
        return self._pool_of.get(node, "")

    def nodes(self, pool: str) -> list[NodeState]:
        return list(self._members.get(pool, {}).values())

    def _enter(self, node: str, pool: str, state: NodeState) -> None:
        self._pool_of[node] = pool
        self._members.setdefault(pool, {})[node] = state

    def _primary(self, labels: Mapping[str, str]) -> str:
        """Empty: no pool, or more than one custom pool, which the MCO refuses to decide."""
        found = [name for name, pool in self.pools.items() if pool.nodes(labels)]
        custom = [name for name in found if name not in BUILT_IN]
        if len(custom) > 1:
            return ""
        if "master" in found:
            return "master"
        return custom[0] if custom else "worker" if "worker" in found else ""

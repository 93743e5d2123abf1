"""What a cluster itself says against its next minor upgrade, and which pools that is about.

ClusterVersion has it in one condition, Upgradeable, whose message lists the reasons of all cluster
operators (cluster-version-operator pkg/cvo/upgradeable.go). Absent means upgradeable. The operators
say it of the cluster; pools are named at most by their nodes, so the reason tells what to look for.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from watcher.core.cluster import ClusterVersion, Pool

_ITEM = "\n* "
_SEVERAL_REASONS = re.compile(
    r"Cluster should not be upgraded between minor versions for multiple reasons: ?(.*)", re.DOTALL
)
_SEVERAL_OPERATORS = "Multiple cluster operators should not be upgraded between minor versions"
_OPERATOR = re.compile(
    r"Cluster operator (\S+) should not be upgraded between minor versions: ?(.*)", re.DOTALL
)
_REASON = re.compile(r"([A-Z][A-Za-z0-9_]*): ?(.*)", re.DOTALL)
_COUNTED = re.compile(r"\bon [0-9]+ nodes\b")
_BETWEEN_WORDS = re.compile(r"[\s,;()\"'`]+")
_POOL = re.compile(r"\b(?:pools?|MachineConfigPool)[\s:/\"'`]{1,3}([\w.-]+)", re.IGNORECASE)
_MOST_ITEMS = 100


class Cause(StrEnum):
    KUBELETS = "kubelets"
    DEGRADED = "degraded"
    UPDATING = "updating"
    INTERRUPTED = "interrupted"
    """The build of a pool's image on the cluster was broken off."""
    OTHER = "other"


_OF_MACHINE_CONFIG = (
    (Cause.DEGRADED, "DegradedPool", "pools are degraded"),
    (Cause.UPDATING, "PoolUpdating", "pools are updating"),
    (Cause.INTERRUPTED, "InterruptedBuild", "builds have been interrupted"),
    (Cause.KUBELETS, "KubeletSkew", "kubelet"),
)
"""Cause, how its reason begins, and what its message has; the reason is not always told.

machine-config-operator pkg/operator/status.go. ClusterBootImageSkewError is about new machines,
not about any pool.
"""
_CONDITIONS = {
    Cause.DEGRADED: "Degraded",
    Cause.UPDATING: "Updating",
    Cause.INTERRUPTED: "BuildInterrupted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One reason against minor upgrades."""

    operator: str = ""
    """The cluster operator; empty: the version operator itself."""
    reason: str = ""
    message: str = ""

    @property
    def cause(self) -> Cause:
        if self.operator == "kube-apiserver":
            is_skew = "Kubelet" in self.reason or "kubelet" in self.message.lower()
            return Cause.KUBELETS if is_skew else Cause.OTHER
        if self.operator == "machine-config":
            for cause, reason, message in _OF_MACHINE_CONFIG:
                if self.reason.startswith(reason) or message in self.message:
                    return cause
        return Cause.OTHER

    def is_about(self, pool: Pool, nodes: Collection[str], *, lags: bool) -> bool:
        """Whether it is about a pool with these nodes; `lags`: its kubelets block a minor upgrade.

        The message counts where it names nodes, or a pool as `pool NAME`; else the pool's own
        conditions say whether it is one of those meant.
        """
        words, pools = _named(self.message)
        if pool.meta.name in pools or not words.isdisjoint(nodes):
            return True
        cause = self.cause
        if cause is Cause.KUBELETS:
            # Up to three nodes are named, and these are of other pools.
            has_names = self.operator == "kube-apiserver" and not _COUNTED.search(self.message)
            return lags and not has_names
        return cause in _CONDITIONS and pool.is_true(_CONDITIONS[cause])


@lru_cache(maxsize=256)
def _named(message: str) -> tuple[frozenset[str], frozenset[str]]:
    """The words of a message, nodes' names among them, and the names of pools.

    A bare name is no pool's: `worker` is a word of many messages.
    """
    words = frozenset(word.rstrip(".:") for word in _BETWEEN_WORDS.split(message))
    return words, frozenset(name.rstrip(".:") for name in _POOL.findall(message))


def said(cv: ClusterVersion) -> tuple[Said, ...]:
    """Return every reason in the condition Upgradeable; none unless it is False."""
    condition = next((c for c in cv.conditions if c.type == "Upgradeable"), None)
    if condition is None or condition.status != "False":
        return ()
    items = condition.message.split(_ITEM)[:_MOST_ITEMS]
    reasons = [condition.reason]
    if several := _SEVERAL_REASONS.fullmatch(items[0]):
        reasons, items = [r.strip() for r in several[1].split(",")], items[1:]
    found: list[Said] = []
    is_nested = False
    for item in items:
        if item.startswith(_SEVERAL_OPERATORS):
            is_nested = True
            del reasons[:1]
            continue
        operator = _OPERATOR.fullmatch(item)
        if operator and is_nested:
            found.append(_with_reason(operator[1], operator[2]))
            continue
        reason = reasons.pop(0) if reasons else ""
        if operator:
            found.append(Said(operator=operator[1], reason=reason, message=operator[2]))
        else:
            found.append(Said(reason=reason, message=item))
    return tuple(found)


def _with_reason(operator: str, text: str) -> Said:
    """Where several operators are listed, each has its reason before its message."""
    if found := _REASON.fullmatch(text):
        return Said(operator=operator, reason=found[1], message=found[2])
    return Said(operator=operator, message=text)

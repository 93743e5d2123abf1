"""How old a pool's kubelets may be for the control plane to go on to the next minor releases.

Rules: cluster-kube-apiserver-operator pkg/operator/kubeletversionskewcontroller. It compares the
minor of every node's kubelet with that of the API server, and sets Upgradeable=False, which stops
minor upgrades and never patches (cluster-version-operator pkg/cvo/upgradeable.go).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from watcher.core.cluster import Node

Minor = tuple[int, int]
"""Of an OpenShift release: (4, 16)."""
_KUBELET = re.compile(r"v?1\.([0-9]{1,3})\.[0-9]")
_FIRST_IN_STEP = 3
"""4.3 has Kubernetes 1.16; from there on each minor release has the next one."""
_AHEAD_OF_4, _AHEAD_OF_5 = 13, 36
"""4.23 and 5.0 are twins, both of Kubernetes 1.36."""
_EXTENDED_OF_TURN = {2: 0, 3: 2}


def allowed(release: Minor) -> int | None:
    """Return how many minors kubelets may be behind under this release; None if nobody knows.

    4.y: two if y is even, one if odd. 5.y, in turns of three: one, two, three.
    """
    major, minor = release
    if major == 4:
        return 2 - minor % 2
    if major == 5:
        return minor % 3 + 1
    return None


def kubernetes_minor(release: Minor) -> int | None:
    """Return the minor of the API server that a release has; None if nobody knows.

    Of the release and not of the masters' kubelets: those keep an old OS, and kubelet, while
    their pool has an override.
    """
    major, minor = release
    if major == 4 and minor >= _FIRST_IN_STEP:
        return minor + _AHEAD_OF_4
    if major == 5:
        return minor + _AHEAD_OF_5
    return None


def targets(release: Minor) -> tuple[Minor, ...]:
    """Return the next minor, and the next one that kubelets may stay behind for: often the same.

    In 4 the second is the next even one: the far end of an update between extended releases
    (4.18 → 4.20), where the workers are paused over the minor between. In 5 it is the third of each
    turn: 5.2, 5.5. As the operator does, the major is never raised: 4.24 stands for 5.1, its twin.
    """
    major, minor = release
    turn = 3 if major == 5 else 2
    extended = minor + 1
    while extended % turn != _EXTENDED_OF_TURN[turn]:
        extended += 1
    return tuple(dict.fromkeys(((major, minor + 1), (major, extended))))


def most_behind(release: Minor, target: Minor) -> int | None:
    """Return how far kubelets may be behind now for the control plane to get to `target` with them.

    Every minor on the way moves it on by one. Below 0: not even with kubelets in step, they have to
    follow on the way. None: there is no limit (a patch) or none is known.
    """
    if target[0] != release[0] or target[1] <= release[1]:
        return None
    left: list[int] = []
    for step, minor in enumerate(range(release[1] + 1, target[1] + 1), start=1):
        may = allowed((release[0], minor))
        if may is None:
            return None
        left.append(may - step)
    return min(left)


def is_last_stop(release: Minor) -> bool:
    """Whether no kubelet may be behind when the next minor is begun: an even 4.y, or 5.2."""
    return most_behind(release, (release[0], release[1] + 1)) == 0


@lru_cache(maxsize=1024)
def kubelet_minor(version: str) -> int | None:
    """``v1.29.6+aba1e8d`` → 29; None for what is no version of Kubernetes 1."""
    found = _KUBELET.match(version)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubelets:
    """The kubelets of one pool beside the API server."""

    behind: int = 0
    """Minors that the oldest one is behind; 0 if none is."""
    number_behind: int = 0
    """Nodes whose kubelet is behind at all."""
    ahead: int = 0
    """Nodes with a newer kubelet than the API server, which is unsupported and stops nothing."""
    unreadable: int = 0


def kubelets(nodes: Iterable[Node], release: Minor) -> Kubelets | None:
    """Return how far the nodes' kubelets are behind; None if of no node it can be told.

    `release` is what the version operator works towards: the API server is among the first to be
    there, the nodes are the last.
    """
    server = kubernetes_minor(release)
    known, unreadable = [], 0
    for node in nodes:
        minor = kubelet_minor(node.kubelet_version)
        if minor is None or server is None:
            unreadable += 1
        else:
            known.append(server - minor)
    if not known:
        return None
    return Kubelets(
        behind=max(0, *known),
        number_behind=sum(1 for behind in known if behind > 0),
        ahead=sum(1 for behind in known if behind < 0),
        unreadable=unreadable,
    )


def blocked(release: Minor, seen: Kubelets) -> tuple[tuple[Minor, str], ...]:
    """Return the targets that these kubelets block, nearest first, each with why."""
    found: list[tuple[Minor, str]] = []
    for target in targets(release):
        may = most_behind(release, target)
        if may is not None and seen.behind > may:
            minors = "minor" if seen.behind == 1 else "minors"
            found.append((target, f"its kubelet is {seen.behind} {minors} behind, {may} allowed"))
    return tuple(found)

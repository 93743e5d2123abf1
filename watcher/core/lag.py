"""How far one release is behind another: releases by the update graph, days by the OS images.

The graph has no times, but each OS image's version has the time of its build.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watcher.core import os_version
from watcher.core.cluster import ClusterVersion
from watcher.core.graph import Graph, order, semver_of
from watcher.core.os_version import OsVersion


class Source(StrEnum):
    GRAPH = "update graph"
    CLUSTER = "ClusterVersion"
    """Its history and what it is offered: there may be more releases between."""
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far one release or base is behind another."""

    minors: int | None = None
    """Minor releases between the two; None where a version is none."""
    releases: int | None = None
    """Newer releases of the later one's minor, up to that one. None: nobody knows."""
    days: int | None = None
    """From build to build of the two OS images. None: nobody knows."""
    said_by: Source = Source.NOBODY
    """Who knew the releases; for ClusterVersion they are at least so many."""


Built = OsVersion | str
"""When an OS image was built: its version, or an image's `created` where that is all there is."""


def lag(
    version: str,
    *,
    behind: str = "",
    graph: Graph | None = None,
    cluster_version: ClusterVersion | None = None,
    built: tuple[Built, Built] | None = None,
) -> Lag:
    """Return how far `version` is behind another; by default behind the newest of its minor.

    `built`: of the OS image of `version`, and of the other. The graph counts, else what the
    cluster itself says, which is all there is offline.
    """
    if graph is not None and graph.nodes:
        known, said_by = [node.version for node in graph.nodes], Source.GRAPH
    elif cluster_version is not None:
        known, said_by = known_to(cluster_version), Source.CLUSTER
    else:
        known, said_by = [], Source.NOBODY
    days = days_between(*built) if built else None
    mine, other = semver_of(version), semver_of(behind or version)
    if mine is None or other is None:
        return Lag(days=days)
    minors = max(0, other.minor - mine.minor) if other.major == mine.major else None
    minor = (other.major, other.minor)
    if minor not in {(v.major, v.minor) for v in map(semver_of, known) if v is not None}:
        return Lag(minors=minors, days=days)  # a channel of other minors: not «none is newer»
    # The other one is a release, whether somebody lists it or not.
    newer = {v for v in (*known, behind) if _is_in(v, minor) and _is_newer(v, than=version)}
    if behind:
        newer = {v for v in newer if order(v) <= order(behind)}
    return Lag(minors=minors, releases=len(newer), days=days, said_by=said_by)


def by_minor(version: str, versions: Collection[str]) -> Mapping[str, int]:
    """Return how many newer releases there are in each minor, from its own up, oldest first."""
    minors: dict[str, int] = {}
    for one in sorted(set(versions), key=order):
        parsed = semver_of(one)
        if parsed is not None and _is_newer(one, than=version):
            name = f"{parsed.major}.{parsed.minor}"
            minors[name] = minors.get(name, 0) + 1
    return minors


def newest(version: str, versions: Collection[str]) -> str:
    """Return the newest release of a version's minor; itself where there is no newer one."""
    mine = semver_of(version)
    if mine is None:
        return version
    minor = (mine.major, mine.minor)
    newer = [v for v in versions if _is_in(v, minor) and _is_newer(v, than=version)]
    return max(newer, key=order, default=version)


def known_to(cv: ClusterVersion) -> list[str]:
    """Return the versions that a cluster knows by itself: had, has, and is offered."""
    had = [entry.version for entry in cv.history]
    offered = [update.version for update in cv.offered]
    return list(dict.fromkeys([cv.desired_version, *had, *offered]))


def days_between(older: Built, newer: Built) -> int | None:
    """Whole days between two builds, 0 where the second is not the later; None if unknown."""
    if isinstance(older, OsVersion) and isinstance(newer, OsVersion):
        days = os_version.days_between(older, newer)
        return None if days is None else max(0, days)
    moments = [_moment(built) for built in (older, newer)]
    if moments[0] is None or moments[1] is None:
        return None
    return max(0, (moments[1].date() - moments[0].date()).days)


def _moment(built: Built) -> datetime | None:
    if isinstance(built, OsVersion):
        return built.built_at
    try:
        moment = datetime.fromisoformat(built)
    except ValueError:
        return None
    # Reproducible builds have the epoch there, which says nothing.
    return moment if moment.tzinfo and moment.year > 1970 else None


def _is_in(version: str, minor: tuple[int, int]) -> bool:
    parsed = semver_of(version)
    return parsed is not None and (parsed.major, parsed.minor) == minor


def _is_newer(version: str, *, than: str) -> bool:
    """Early ones (rc, ec) count only for somebody who runs such a one."""
    mine, other = semver_of(version), semver_of(than)
    if mine is None or other is None:
        return False
    return mine > other and not (mine.prerelease and not other.prerelease)

"""Which files are of one cluster, what it is called, and the view that they make.

The rule, in this order:

1. A must-gather is one cluster, whatever is beside it.
2. What else lies in a directory that was given, or beside a file that was given, is one cluster if
   it holds one ClusterVersion or none.
3. If it holds several, each subdirectory is looked at for itself, and the directory's own files are
   told apart by name: `prod-mcp.yaml` and `prod-nodes.yaml` belong together.

A cluster is called as its files (`prod-mcp.yaml`), else as its directory or archive; where that is
only `must-gather.local.…`, by the first eight characters of its clusterID.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watcher.clients.dumps import places
from watcher.clients.dumps.objects import File, Found
from watcher.clients.dumps.places import Parts
from watcher.clients.kube import kinds
from watcher.clients.kube.assembling import assemble
from watcher.clients.registry.errors import clean
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName

_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Group:
    """Files of one cluster."""

    names: tuple[str, ...]
    """What it may be called, the best first; the last is there when all say nothing."""
    files: tuple[File, ...]

    def found(self) -> Iterator[Found]:
        for file in self.files:
            yield from file.found

    def unreadable_pools(self) -> dict[str, str]:
        return {n: why for file in self.files for n, why in file.unreadable_pools.items()}

    def identities(self) -> set[str]:
        """clusterIDs, or else uids, of the ClusterVersions."""
        return {
            found.cluster_id or found.fact.meta.uid
            for found in self.found()
            if found.kind is kinds.CLUSTER_VERSION
        }

    def problems(self, limit: int) -> tuple[str, ...]:
        told = [problem for file in self.files for problem in file.problems]
        untold = sum(file.untold for file in self.files) + max(0, len(told) - limit)
        more = [f"{untold} more objects are left out"] if untold else []
        return (*told[:limit], *more)


def grouped(files: Iterable[File]) -> list[Group]:
    """The files by cluster, in the order of their paths."""
    gathered: dict[Parts, list[File]] = {}
    trees: dict[Parts, list[File]] = {}
    for file in files:
        root = places.gather_root(file.parts)
        if root is not None:
            gathered.setdefault(root, []).append(file)
        else:
            trees.setdefault(file.root, []).append(file)
    for root, others in trees.items():
        trees[root] = [f for f in others if not (f.gathered and _joins(f, gathered))]
    groups = [
        Group(_gather_names(root, found[0]), tuple(found)) for root, found in gathered.items()
    ]
    for root, others in trees.items():
        groups += _split(root, others)
    return groups


def _joins(timestamp: File, gathered: dict[Parts, list[File]]) -> bool:
    """A must-gather's `timestamp` lies at its root, and in the directory of each image."""
    for root in (timestamp.parts[:-1], timestamp.parts[:-2]):
        if root in gathered:
            gathered[root].append(timestamp)
            return True
    return False


def _gather_names(root: Parts, file: File) -> tuple[str, ...]:
    """Of a must-gather: its own directory's, else the one's it is in, below what was given."""
    outer = root[len(file.root) : -1]
    archive = [root[-2]] if len(root) > 1 and places.is_archive(root[-2]) else []
    names = [root[-1], *archive, *reversed(outer)]
    return tuple(_bare(name) for name in names)


def _bare(name: str) -> str:
    return places.stem_of(name) if places.is_archive(name) else name


def _split(directory: Parts, files: list[File]) -> Iterator[Group]:
    group = _flat(directory, files)
    if len(group.identities()) <= 1:
        if files:
            yield group
        return
    own: dict[str, list[File]] = {}
    deeper: dict[str, list[File]] = {}
    depth = len(directory)
    for file in files:
        if len(file.parts) == depth + 1:
            own.setdefault(places.stem_of(file.parts[-1]), []).append(file)
        else:
            deeper.setdefault(file.parts[depth], []).append(file)
    together = _flat(directory, [file for files in own.values() for file in files])
    if len(together.identities()) <= 1:
        if together.files:
            yield together
    else:
        yield from (_flat(directory, found) for found in own.values())
    for name, found in deeper.items():
        yield from _split((*directory, name), found)


def _flat(directory: Parts, files: list[File]) -> Group:
    stems = {places.stem_of(file.parts[-1]) for file in files if file.has_objects}
    names = [stems.pop()] if len(stems) == 1 else []
    return Group((*names, _bare(directory[-1]) if directory else ""), tuple(files))


@dataclass(frozen=True, slots=True)
class Cluster:
    view: ClusterView
    identity: str
    """Its clusterID; empty where no ClusterVersion says it."""


class Views:
    """Groups in, views out; names are given once."""

    def __init__(self, *, now: datetime, limit: int, told: tuple[str, ...] = ()) -> None:
        self._now = now
        self._limit = limit
        self._told = told
        """Problems of every view."""
        self.clusters: list[Cluster] = []
        self.problems: list[str] = []
        """Of files that make no view."""

    def add(self, group: Group) -> None:
        told = group.problems(self._limit)
        found = {f.kind for f in group.found()}
        if group.unreadable_pools():
            found.add(kinds.POOL)
        identities = group.identities()
        if len(identities) > 1:
            told = (
                *told,
                f"{_where(group)} holds ClusterVersions of {len(identities)} clusters: what of the"
                " rest belongs to which cannot be told; give each its own file or directory",
            )
        elif found and not found & {kinds.CLUSTER_VERSION, kinds.POOL}:
            told = (
                *told,
                f"{_where(group)} holds neither ClusterVersion nor MachineConfigPool: there is"
                " nothing to say of a pool; add `oc get clusterversion,mcp -o yaml`",
            )
        elif found:
            self._view(group, identities.pop() if identities else "", told)
            return
        self.problems += told

    def _view(self, group: Group, identity: str, told: tuple[str, ...]) -> None:
        facts, several = _merged(group.found())
        unreadable = group.unreadable_pools()
        there = facts.keys() | ({kinds.POOL.title} if unreadable else set())
        name = self._name(group, identity)
        missing = [
            f"cluster {name}: no {kind.title} is in the dump; add `oc get {kind.resource} -o yaml`"
            for kind in kinds.KINDS
            if kind.required and kind.title not in there
        ]
        view = assemble(
            name,
            facts,
            observed_at=_observed_at(group.files, self._now),
            unreadable_pools=unreadable,
            problems=(*told, *several, *missing, *self._told),
        )
        self.clusters.append(Cluster(view, identity))

    def _name(self, group: Group, identity: str) -> ClusterName:
        says = [name for name in group.names if not places.is_generic(name)]
        name = (says or [identity[:8]])[0] or group.names[-1] or "dump"
        name = clean(name, limit=_NAME_LENGTH) or "dump"
        taken = {cluster.view.cluster for cluster in self.clusters}
        tries = [name, *([f"{name}-{clean(identity[:8])}"] if identity else [])]
        number = 2
        while tries[0] in taken:
            del tries[0]
            if not tries:
                tries.append(f"{name}-{number}")
                number += 1
        return ClusterName(tries[0])

    def told_twice(self) -> Iterator[str]:
        """Clusters that are there more than once, in several must-gathers: all are shown."""
        names: dict[str, list[str]] = {}
        for cluster in self.clusters:
            if cluster.identity:
                names.setdefault(cluster.identity, []).append(cluster.view.cluster)
        for same in names.values():
            if len(same) > 1:
                yield f"{' and '.join(same)} are dumps of one cluster: they have one clusterID"


def _merged(found: Iterable[Found]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Facts by kind and name. Of two that differ the newer counts, else the later."""
    kept: dict[tuple[str, str], Found] = {}
    several: list[str] = []
    for one in found:
        key = (one.kind.title, one.name)
        before = kept.get(key)
        if before is not None and before.fact != one.fact:
            several.append(f"{one.kind.title} {clean(one.name)}")
        if before is None or _age(before) <= _age(one) or not (_age(before) and _age(one)):
            kept[key] = one
    facts: dict[str, dict[str, Any]] = {}
    for (title, name), one in kept.items():
        facts.setdefault(title, {})[name] = one.fact
    if not several:
        return facts, []
    return facts, [
        f"{several[0]}{f' and {len(several) - 1} more' if len(several) > 1 else ''}"
        " is there more than once: the newest counts"
    ]


def _age(found: Found) -> int:
    """A resourceVersion as a number; 0 where it is none. Kubernetes promises that they grow."""
    text = found.version
    return int(text) if text.isascii() and text.isdigit() and len(text) < 40 else 0


def _observed_at(files: Iterable[File], now: datetime) -> datetime:
    """When a must-gather says that it ended, else when its newest file was written; never later
    than now, which it is where nothing says a time."""
    gathered = [file.gathered for file in files if file.gathered]
    written = [file.written for file in files if file.written and file.has_objects]
    return min(now, max(gathered or written, default=now))


def _where(group: Group) -> str:
    first = next((file for file in group.files if file.has_objects), group.files[0])
    return first.shown

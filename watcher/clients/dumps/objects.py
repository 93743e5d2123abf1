"""From an object's text to a fact, by the same structs as a live cluster's (kube.kinds)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from watcher.clients.dumps import places
from watcher.clients.dumps.limits import Budget
from watcher.clients.dumps.pieces import Head, HeadMeta, Piece, Unreadable
from watcher.clients.dumps.places import Parts
from watcher.clients.kube import kinds
from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.wire import Wire
from watcher.clients.kube.wire_mco import MachineConfigWire
from watcher.clients.registry.errors import clean
from watcher.core.facts import Malformed

_KINDS: dict[str, Kind[Any]] = {kind.title: kind for kind in kinds.KINDS}
_NAME_LENGTH = 253
"""Kubernetes allows no longer name."""


class _ClusterIdSpec(Wire, frozen=True):
    cluster_id: str = msgspec.field(default="", name="clusterID")


class _ClusterId(Wire, frozen=True):
    spec: _ClusterIdSpec = _ClusterIdSpec()


@dataclass(frozen=True, slots=True)
class Found:
    """One object that became a fact."""

    kind: Kind[Any]
    name: str
    version: str
    """Its resourceVersion."""
    fact: Any
    cluster_id: str = ""
    """Of a ClusterVersion: spec.clusterID."""


@dataclass(slots=True)
class File:
    """What one file gave."""

    parts: Parts
    """Where it is, archives being directories."""
    root: Parts
    """The directory or archive that was given, or that the given file is in."""
    shown: str
    """As people know it: the path that was given, and what is within."""
    written: datetime | None = None
    """When it was written last, if anything says so."""
    gathered: datetime | None = None
    """Of a must-gather's `timestamp`: what stands in it."""
    found: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unreadable_pools: dict[str, str] = field(default_factory=dict)
    """Name → why, a sentence: those that are there and became no fact."""
    ignored: int = 0
    """Objects of kinds that say nothing to us, Secrets among them."""
    untold: int = 0
    """Problems beyond the limit."""

    @property
    def has_objects(self) -> bool:
        """Whether anything of a cluster is in it."""
        return bool(self.found or self.unreadable_pools)

    def tell(self, why: str, *, line: int = 0, limit: int) -> None:
        if len(self.problems) >= limit:
            self.untold += 1
            return
        place = f"{self.shown}:{line}" if line else self.shown
        self.problems.append(f"{place}: {why}")


def take(pieces: Iterable[Piece | Unreadable], *, into: File, budget: Budget) -> None:
    """Read every object that can matter. Raise Spent at a limit; other errors are of the pieces."""
    limit = budget.limits.problems
    for piece in pieces:
        if isinstance(piece, Unreadable):
            why = f"an object is left out: {clean(piece)}"
            into.tell(why, line=piece.line, limit=limit)
            continue
        kind = piece.kind
        if kind and not _may_matter(kind, piece):
            into.ignored += 1
            continue
        budget.spend_object()
        _take(piece, into, limit)


def _may_matter(title: str, piece: Piece) -> bool:
    """Before anything of it is read: most of a dump, and every Secret, ends here."""
    kind = _KINDS.get(title)
    return kind is not None and (not kind.only or piece.says(kind.only.encode()))


def _take(piece: Piece, into: File, limit: int) -> None:
    what, pool = "an object", ""
    try:
        head = piece.read(Head)
        kind = _kind_of(head, head.kind or piece.kind or places.kind_at(into.parts))
        if kind is None:
            into.ignored += 1
            return
        name = (head.metadata or HeadMeta()).name
        shown = clean(name, limit=_NAME_LENGTH)
        what = f"{kind.title} {shown or '(without a name)'}"
        pool = shown if kind is kinds.POOL else ""
        _check_version(head, kind)
        into.found.append(_found(piece, kind, name))
    except Unreadable as error:
        why = f"{what} is left out: {clean(error)}"
        into.tell(why, line=error.line or piece.line, limit=limit)
        if pool:
            into.unreadable_pools[pool] = why
    except Malformed as error:
        # What a mirror set names may be anything, a login too: that is not repeated.
        said = "one of its entries is no mirror" if kind in kinds.MIRROR_SETS else clean(error)
        into.tell(f"{what} is left out: {said}", line=piece.line, limit=limit)


def _kind_of(head: Head, title: str) -> Kind[Any] | None:
    """The kind that is meant; None for what nobody asks for."""
    kind = _KINDS.get(title)
    if kind is None:
        return None
    if head.api_version and head.api_version.rpartition("/")[0] != kind.group:
        return None
    meta = head.metadata or HeadMeta()
    if (kind.only and meta.name != kind.only) or meta.namespace != kind.namespace:
        return None
    return kind


def _check_version(head: Head, kind: Kind[Any]) -> None:
    version = head.api_version.rpartition("/")[2]
    if version and version not in kind.versions:
        raise Unreadable(f"its version is not {' or '.join(kind.versions)}")


def _found(piece: Piece, kind: Kind[Any], name: str) -> Found:
    # The body of a MachineConfig is cut out of YAML, and says nothing to whoever reads dumps.
    wire: Any = piece.read(MachineConfigWire if kind is kinds.MACHINE_CONFIG else kind.struct)
    if not name:
        raise Unreadable("it has no name")
    return Found(
        kind=kind,
        name=name,
        version=wire.metadata.resource_version,
        fact=kind.convert(wire),
        cluster_id=piece.read(_ClusterId).spec.cluster_id if kind is kinds.CLUSTER_VERSION else "",
    )

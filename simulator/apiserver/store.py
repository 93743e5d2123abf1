"""The objects and their one revision log, as etcd and the watch cache hold them.

Everything runs on one event loop, so a write is atomic by not awaiting. Objects in the store are
shared and never changed in place: a write puts a new version. Each version is encoded once,
when it is written; lists and watches only join the bytes.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from simulator.apiserver import status
from simulator.apiserver.kinds import Kind
from simulator.apiserver.selectors import FieldTest, LabelTest

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Version:
    """One object as it was at one revision."""

    key: Key
    revision: int
    object: Mapping[str, Any]
    """Shared: copy before changing (:meth:`Store.copy_of`)."""
    body: bytes
    """The object as JSON."""

    @property
    def labels(self) -> Mapping[str, str]:
        return self.object["metadata"].get("labels") or {}


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log. It keeps bytes and labels, not whole objects: logs are long."""

    revision: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    key: Key
    body: bytes
    labels: Mapping[str, str]
    labels_before: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, all of it as it was at one revision."""

    revision: int
    items: list[Version]
    remaining: int
    next_start: int | None


Listener = Callable[[Kind, Version | None, Version | None], None]
"""Called after each write with the version before and after."""


class _Table:
    """All objects of one kind, with the log of their changes."""

    def __init__(self, log_limit: int) -> None:
        self.live: dict[Key, Version] = {}
        self.log: deque[Change] = deque()
        self.log_limit = log_limit
        self.compacted = 0
        """Changes up to this revision are no longer in the log."""
        self.appended = 0
        """How many changes were ever logged: positions of readers count in these."""

    def add(self, change: Change) -> None:
        self.log.append(change)
        self.appended += 1
        while len(self.log) > self.log_limit:
            self.compacted = self.log.popleft().revision

    def compact(self, revision: int) -> None:
        self.compacted = max(self.compacted, revision)
        while self.log and self.log[0].revision <= revision:
            self.log.popleft()


class Store:
    """Objects of all kinds under one counter of revisions."""

    def __init__(self, *, log_limit: int = 20_000) -> None:
        self.revision = 1
        self.writes: dict[tuple[str, str], int] = {}
        """How often each manager wrote each object, by (``plural/name``, manager)."""
        self._log_limit = log_limit
        self._tables: dict[Kind, _Table] = {}
        self._snapshots: OrderedDict[tuple[Kind, int], list[Version]] = OrderedDict()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have it called after each write, in the order of writes."""
        self._listeners.append(listener)

    def table(self, kind: Kind) -> _Table:
        table = self._tables.get(kind)
        if table is None:
            table = self._tables[kind] = _Table(self._log_limit)
        return table

    def find(self, kind: Kind, name: str, namespace: str = "") -> Version | None:
        return self.table(kind).live.get((namespace, name))

    def get(self, kind: Kind, name: str, namespace: str = "") -> Version:
        """The current version; raise ApiError 404."""
        found = self.find(kind, name, namespace)
        if found is None:
            raise status.not_found(kind, name)
        return found

    def all(self, kind: Kind, namespace: str = "") -> Iterator[Version]:
        """Every object of a kind, of one namespace or all, in no order."""
        live = list(self.table(kind).live.values())
        return (v for v in live if not namespace or v.key[0] == namespace)

    @staticmethod
    def copy_of(version: Version) -> dict[str, Any]:
        """A private copy to change. Decoding the bytes again is faster than copying deeply."""
        copied: dict[str, Any] = msgspec.json.decode(version.body)
        return copied

    def put(self, kind: Kind, key: Key, document: dict[str, Any], *, by: str = "") -> Version:
        """Make this the current version under the next revision. The document now belongs here."""
        table = self.table(kind)
        before = table.live.get(key)
        version = self._stamp(key, document)
        table.live[key] = version
        self._commit(kind, "ADDED" if before is None else "MODIFIED", before, version, by)
        return version

    def remove(self, kind: Kind, key: Key, *, by: str = "") -> Version:
        """Delete the object; return its last version, which carries the revision of the delete."""
        before = self.table(kind).live.pop(key)
        version = self._stamp(key, self.copy_of(before))
        self._commit(kind, "DELETED", before, version, by)
        return version

    def _stamp(self, key: Key, document: dict[str, Any]) -> Version:
        self.revision += 1
        document["metadata"]["resourceVersion"] = str(self.revision)
        return Version(key, self.revision, document, _encode(document))

    def _commit(
        self, kind: Kind, what: str, before: Version | None, after: Version, by: str
    ) -> None:
        labels_before = before.labels if before else None
        change = Change(after.revision, what, after.key, after.body, after.labels, labels_before)
        self.table(kind).add(change)
        if by:
            counted = (f"{kind.plural}/{after.key[1]}", by)
            self.writes[counted] = self.writes.get(counted, 0) + 1
        for listener in self._listeners:
            listener(kind, before, None if what == "DELETED" else after)

    def page(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        label_test: LabelTest | None = None,
        field_test: FieldTest | None = None,
        limit: int = 0,
        at: tuple[int, int] | None = None,
    ) -> Page:
        """List, in pieces of ``limit``; ``at`` is (revision, start) of a later piece.

        All pieces show the revision of the first one. Raise ApiError 410 once it is compacted.
        """
        revision, start = at or (self.revision, 0)
        listing = self._snapshots.get((kind, revision)) if at else self._sorted(kind)
        if listing is None:
            raise status.expired(
                "The provided continue parameter is too old to display a consistent list result."
                " You must start a new list without the continue parameter."
            )
        chosen: list[Version] = []
        for index in range(start, len(listing)):
            if limit and len(chosen) == limit:
                self._keep(kind, revision, listing)
                return Page(revision, chosen, len(listing) - index, index)
            version = listing[index]
            if _matches(version, namespace, label_test, field_test):
                chosen.append(version)
        return Page(revision, chosen, 0, None)

    def _sorted(self, kind: Kind) -> list[Version]:
        live = self.table(kind).live
        return [live[key] for key in sorted(live)]

    def _keep(self, kind: Kind, revision: int, listing: list[Version]) -> None:
        self._snapshots[kind, revision] = listing
        while len(self._snapshots) > 50:
            self._snapshots.popitem(last=False)

    def compact(self) -> None:
        """Forget all history: older watches and continue tokens are answered with 410."""
        self._snapshots.clear()
        for table in self._tables.values():
            table.compact(self.revision)


def _matches(
    version: Version, namespace: str, label_test: LabelTest | None, field_test: FieldTest | None
) -> bool:
    return (
        (not namespace or version.key[0] == namespace)
        and (label_test is None or label_test(version.labels))
        and (field_test is None or field_test(*version.key))
    )

"""Facts of one kind by name, as last seen.

A view is handed out without copying and never changes under its reader: the dictionary is copied
when the first change after that comes. Watch events are kept as decoded structs and become facts
when somebody looks, so a burst on one object costs one conversion.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.listing import Listed, malformed
from watcher.core.facts import Malformed

F = TypeVar("F")

OnChange = Callable[[str, str], None]
"""(kind's title, object's name). Only wakes: it must not block or raise."""


class Cache(Generic[F]):
    def __init__(self, kind: Kind[F], *, on_change: OnChange) -> None:
        self._kind = kind
        self._on_change = on_change
        self._facts: dict[str, F] = {}
        self._shown = False
        """True while a reader may hold `_facts`."""
        self._pending: dict[str, Any] = {}
        self._versions: dict[str, str] = {}
        self._malformed: dict[str, str] = {}

    def facts(self) -> Mapping[str, F]:
        """Everything known now. Stays as it is; ask again for news."""
        self._settle()
        self._shown = True
        return MappingProxyType(self._facts)

    def problems(self) -> tuple[str, ...]:
        """A sentence for each object that is left out."""
        return tuple(self.unreadable().values())

    def unreadable(self) -> Mapping[str, str]:
        """Name → sentence, of objects that are left out. Stays as it is; ask again for news."""
        self._settle()
        return dict(self._malformed)

    def put(self, name: str, *, version: str, item: Any) -> None:
        """An object was added or changed. `item` is the kind's struct."""
        self._versions[name] = version
        if self._kind.heartbeats:
            before = self._facts.get(name)
            self._convert(name, item)
            if before is not None and self._facts.get(name) == before:
                return
        else:
            self._pending[name] = item
        self._on_change(self._kind.title, name)

    def reject(self, name: str, *, why: str) -> None:
        """An object came that cannot be read: what was known of it is no longer true."""
        self.remove(name)
        self._malformed[name] = why

    def remove(self, name: str) -> None:
        """An object is gone."""
        known = name in self._versions or name in self._malformed
        self._versions.pop(name, None)
        self._pending.pop(name, None)
        self._malformed.pop(name, None)
        if name in self._facts:
            del self._own()[name]
        if known:
            self._on_change(self._kind.title, name)

    def replace(self, listed: Listed[F]) -> None:
        """A new list: what it does not name has vanished."""
        before, after = self._versions, listed.versions
        names = before.keys() | after.keys() | self._malformed.keys() | listed.malformed.keys()
        changed = [
            name
            for name in names
            if before.get(name) != after.get(name)
            or (name in self._malformed) != (name in listed.malformed)
        ]
        self._facts, self._shown = listed.facts, False
        self._versions = listed.versions
        self._malformed = listed.malformed
        self._pending = {}
        for name in changed:
            self._on_change(self._kind.title, name)

    def _settle(self) -> None:
        pending, self._pending = self._pending, {}
        for name, item in pending.items():
            self._convert(name, item)

    def _convert(self, name: str, item: Any) -> None:
        try:
            fact = self._kind.convert(item)
        except Malformed as error:
            if name in self._facts:
                del self._own()[name]
            self._malformed[name] = malformed(self._kind, name, error)
            return
        self._malformed.pop(name, None)
        if self._facts.get(name) != fact:
            self._own()[name] = fact

    def _own(self) -> dict[str, F]:
        if self._shown:
            self._facts = dict(self._facts)
            self._shown = False
        return self._facts

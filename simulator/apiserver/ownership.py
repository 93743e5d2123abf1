"""Who owns which field: ``metadata.managedFields`` and server-side apply.

A field is the path to a leaf: a scalar, an empty object, or a whole list. Lists are atomic here,
as in custom resources without list-map markers. Two things of the real server are left out:
association of list items by key, and conversion between API versions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.apiserver import status

Path = tuple[str, ...]
Fields = frozenset[Path]

_NOBODYS = {
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
}
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry of managedFields: the same name writing in another way is another manager."""

    name: str
    operation: str
    """``Apply`` or ``Update``."""
    subresource: str
    api_version: str

    def __str__(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return text if self.operation == "Apply" else f"{text} using {self.api_version}"


Owned = dict[Manager, Fields]


def leaves(document: Mapping[str, Any]) -> Fields:
    """Every ownable field of an object."""
    return frozenset(
        path
        for path in _walk(document, ())
        if path not in (("apiVersion",), ("kind",), ("metadata",))
        and not (path[0] == "metadata" and path[1] in _NOBODYS)
    )


def _walk(at: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for key, value in at.items():
        if isinstance(value, dict) and value:
            yield from _walk(value, (*path, key))
        else:
            yield (*path, key)


def value_at(document: Any, path: Path) -> Any:
    """The value there, or a marker that equals nothing else."""
    for part in path:
        if not isinstance(document, dict) or part not in document:
            return _MISSING
        document = document[part]
    return document


def after_update(owned: Owned, manager: Manager, old: Any, new: Any) -> Owned:
    """Give the changed fields to the one who changed them, and forget removed ones."""
    present = leaves(new)
    changed = {path for path in present if value_at(old, path) != value_at(new, path)}
    result = {
        who: fields & present - (changed if who != manager else set())
        for who, fields in owned.items()
    }
    if changed:
        result[manager] = result.get(manager, frozenset()) | changed
    return {who: fields for who, fields in result.items() if fields}


def apply(
    owned: Owned,
    manager: Manager,
    live: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    force: bool,
) -> tuple[dict[str, Any], Owned]:
    """Merge an applied configuration into the live object.

    Raise ApiError 409 naming the fields and their managers, unless forced. Fields this manager
    applied before and no longer names are removed, if nobody else owns them.
    """
    fields = leaves(wanted)
    clashes = _clashes(owned, manager, live, wanted, fields)
    if clashes and not force:
        raise status.apply_conflict([(str(who), _dotted(path)) for who, path in clashes])
    lost = {path for _, path in clashes}
    others = {who: had - lost for who, had in owned.items() if who != manager}
    held = frozenset().union(*others.values()) if others else frozenset()
    merged: dict[str, Any] = _copied(live)
    for path in owned.get(manager, frozenset()) - fields - held:
        _drop(merged, path)
    for path in fields:
        _set(merged, path, value_at(wanted, path))
    result = {**others, manager: fields}
    return merged, {who: had for who, had in result.items() if had}


def _clashes(
    owned: Owned, manager: Manager, live: Any, wanted: Any, fields: Fields
) -> list[tuple[Manager, Path]]:
    differing = [p for p in sorted(fields) if value_at(live, p) != value_at(wanted, p)]
    return [
        (who, path)
        for path in differing
        for who, had in owned.items()
        if who != manager and path in had
    ]


def _dotted(path: Path) -> str:
    return "".join(f".{part}" for part in path)


def _copied(document: Any) -> Any:
    return {k: _copied(v) for k, v in document.items()} if isinstance(document, dict) else document


def _set(document: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        inner = document.get(part)
        if not isinstance(inner, dict):
            inner = document[part] = {}
        document = inner
    if value == {} and isinstance(document.get(path[-1]), dict):
        return  # naming an object without fields claims it, and empties nothing
    document[path[-1]] = value


def _drop(document: dict[str, Any], path: Path) -> None:
    """Remove the leaf and the objects that it leaves empty."""
    if len(path) > 1:
        inner = document.get(path[0])
        if not isinstance(inner, dict):
            return
        _drop(inner, path[1:])
        if inner:
            return
    document.pop(path[0], None)


def read(entries: Sequence[Mapping[str, Any]]) -> Owned:
    """Parse ``metadata.managedFields``."""
    return {
        Manager(
            name=entry["manager"],
            operation=entry["operation"],
            subresource=entry.get("subresource", ""),
            api_version=entry["apiVersion"],
        ): frozenset(_paths(entry.get("fieldsV1") or {}, ()))
        for entry in entries
    }


def _paths(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for key, below in tree.items():
        if key == ".":
            continue
        here = (*path, key.removeprefix("f:"))
        if below:
            yield from _paths(below, here)
        else:
            yield here


def written(
    owned: Owned, *, now: str, before: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Format for ``metadata.managedFields``; an entry that did not change keeps its time."""
    times = {
        who: (entry["time"], fields)
        for (who, fields), entry in zip(read(before).items(), before, strict=True)
    }
    entries = []
    for who, fields in owned.items():
        time, had = times.get(who, (now, None))
        entry: dict[str, Any] = {
            "manager": who.name,
            "operation": who.operation,
            "apiVersion": who.api_version,
            "time": time if had == fields else now,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(fields),
        }
        entries.append({**entry, "subresource": who.subresource} if who.subresource else entry)
    return entries


def _tree(fields: Fields) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        at = tree
        for part in path:
            at = at.setdefault(f"f:{part}", {})
    return tree

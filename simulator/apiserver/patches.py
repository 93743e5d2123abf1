"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902), on plain decoded JSON.

Neither changes its input: object versions in the store are shared by everyone who reads them.
"""

import copy
from typing import Any


class BadPatch(ValueError):
    """The patch does not fit the document, or is none."""


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch: null deletes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(target: Any, operations: Any) -> Any:
    """Apply the operations in order; raise BadPatch at the first that does not fit."""
    if not isinstance(operations, list):
        raise BadPatch("a JSON patch is a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: Any) -> Any:
    try:
        verb, path = operation["op"], _split(operation["path"])
    except (KeyError, TypeError) as error:
        raise BadPatch("an operation needs op and path") from error
    match verb:
        case "add":
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=True)
        case "replace":
            _get(document, path)
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=False)
        case "remove":
            return _remove(document, path)
        case "test":
            if _get(document, path) != operation.get("value"):
                raise BadPatch(f"testing value {operation['path']} failed")
            return document
        case "copy" | "move":
            source = _split(str(operation.get("from", "")))
            value = copy.deepcopy(_get(document, source))
            if verb == "move":
                document = _remove(document, source)
            return _put(document, path, value, insert=True)
        case _:
            raise BadPatch(f"unknown operation {str(verb)[:20]!r}")


def _split(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise BadPatch(f"not a JSON pointer: {str(pointer)[:80]!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _step(at: Any, part: str) -> Any:
    try:
        return at[int(part)] if isinstance(at, list) else at[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise BadPatch(f"nothing at {part[:80]!r}") from error


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _put(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        index = len(parent) if last == "-" else _index(last, len(parent))
        parent[index : index + (0 if insert else 1)] = [value]
    else:
        raise BadPatch(f"cannot set {last[:80]!r} there")
    return document


def _index(part: str, length: int) -> int:
    if not part.isdecimal() or int(part) > length:
        raise BadPatch(f"no such index: {part[:20]!r}")
    return int(part)


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise BadPatch("the whole document cannot be removed")
    parent, last = _get(document, path[:-1]), path[-1]
    _step(parent, last)
    del parent[int(last) if isinstance(parent, list) else last]
    return document

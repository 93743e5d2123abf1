"""Strategic merge, as far as our patches need it.

Lists are replaced, except those of Kubernetes' own types that have a key; there new items come
first, as kustomize puts them. None removes a key.
"""

from typing import Any

_KEYS = {
    "containers": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Field → `patchMergeKey` of k8s.io/api core/v1 types.go; those that our patches touch."""


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `change` laid over it; neither is changed."""
    made = dict(base)
    for key, value in change.items():
        there = made.get(key)
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(there, dict):
            made[key] = merged(there, value)
        elif isinstance(value, list) and isinstance(there, list) and key in _KEYS:
            made[key] = _merged_lists(there, value, _KEYS[key])
        else:
            made[key] = value
    return made


def _merged_lists(there: list[Any], changes: list[Any], key: str) -> list[Any]:
    by_key = {item[key]: item for item in changes}
    known = {item[key] for item in there}
    new = [item for item in changes if item[key] not in known]
    kept = [merged(item, by_key.get(item[key], {})) for item in there]
    return new + kept

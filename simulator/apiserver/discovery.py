"""What the server tells about itself: ``/api``, ``/apis``, ``/version`` and the health pages."""

from typing import Any

from simulator.apiserver.kinds import Kind, Kinds

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def document(path: str, kinds: Kinds, *, version: str) -> dict[str, Any] | str | None:
    """The page at that path; None if it is not one of these."""
    match path.strip("/").split("/"):
        case [("readyz" | "livez" | "healthz")]:
            return "ok"
        case ["version"]:
            major, minor = version.split(".")[:2]
            return {"major": major, "minor": minor, "gitVersion": f"v{version}"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = sorted({k.group for k in kinds if k.group})
            return {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [_group(group, kinds) for group in groups],
            }
        case ["apis", group]:
            if not any(k.group == group for k in kinds):
                return None
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, kinds)}
        case ["api", group_version]:
            return _resources("", group_version, kinds)
        case ["apis", group, group_version]:
            return _resources(group, group_version, kinds)
        case _:
            return None


def _group(group: str, kinds: Kinds) -> dict[str, Any]:
    versions = sorted({k.version for k in kinds if k.group == group})
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0] if listed else None}


def _resources(group: str, version: str, kinds: Kinds) -> dict[str, Any] | None:
    mine = [k for k in kinds if (k.group, k.version) == (group, version)]
    if not mine:
        return None
    resources = [_resource(kind) for kind in mine]
    resources += [
        {**_resource(kind), "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]}
        for kind in mine
        if kind.has_status
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": mine[0].api_version,
        "resources": resources,
    }


def _resource(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.plural,
        "singularName": kind.kind.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
    }

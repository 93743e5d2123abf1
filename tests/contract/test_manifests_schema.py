"""Every rendered object has the shape that API servers know, and none of what they would drop.

Kubernetes' own kinds are held against the typed models of the client library; those of OpenShift
and of the Prometheus operator against the fields written down here. Then all is applied to the
simulated API server, twice.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from kubernetes.client import models

from simulator.apiserver import ApiServer
from simulator.apiserver.kinds import ALL, Kind
from tests.contract.api_server import APPLY
from tests.contract.test_manifests_kustomize import rendered
from watcher.manifests import COMPONENTS, Object
from watcher.manifests.reading import identity

INSTALLATIONS = [
    ("single", ()),
    ("single", ("route",)),
    ("highly-available", ()),
    ("highly-available", ("redis", "route", "disconnected")),
    ("single", ("openshift-logins",)),
    ("disconnected", ("route",)),
    ("watched", ()),
]
MODELS = {
    "ClusterRole": models.V1ClusterRole,
    "ClusterRoleBinding": models.V1ClusterRoleBinding,
    "ConfigMap": models.V1ConfigMap,
    "Deployment": models.V1Deployment,
    "Namespace": models.V1Namespace,
    "NetworkPolicy": models.V1NetworkPolicy,
    "PersistentVolumeClaim": models.V1PersistentVolumeClaim,
    "PodDisruptionBudget": models.V1PodDisruptionBudget,
    "Role": models.V1Role,
    "RoleBinding": models.V1RoleBinding,
    "Secret": models.V1Secret,
    "Service": models.V1Service,
    "ServiceAccount": models.V1ServiceAccount,
    "StatefulSet": models.V1StatefulSet,
}
# openshift/api route/v1 types.go; prometheus-operator pkg/apis/monitoring/v1: what we use of them.
OTHERS: dict[str, dict[str, Any]] = {
    "Route": {
        "host": str,
        "to": {"kind": str, "name": str},
        "port": {"targetPort": str},
        "tls": {"termination": str, "insecureEdgeTerminationPolicy": str},
    },
    "ServiceMonitor": {
        "selector": {"matchLabels": {"*": str}},
        "endpoints": [{"port": str, "path": str, "interval": str}],
    },
    "PrometheusRule": {
        "groups": [
            {
                "name": str,
                "rules": [
                    {
                        "alert": str,
                        "expr": str,
                        "for": str,
                        "labels": {"*": str},
                        "annotations": {"*": str},
                    }
                ],
            }
        ]
    },
}
INT_OR_STRING = {"targetPort", "maxSurge", "maxUnavailable", "minAvailable", "port"}
"""Fields of type IntOrString, which the library calls `object`."""


def wrong(value: Any, kind: Any, where: str) -> Iterator[str]:
    """What an API server would refuse or drop, each with its place."""
    if kind == "object":
        fits = isinstance(value, int | str) if where.rpartition(".")[2] in INT_OR_STRING else False
        if not fits:
            yield f"{where}: nothing is known of it"
    elif match := re.fullmatch(r"List\[(.+)\]", str(kind)):
        if not isinstance(value, list):
            yield f"{where}: no list"
            return
        for number, item in enumerate(value):
            yield from wrong(item, match[1], f"{where}[{number}]")
    elif match := re.fullmatch(r"Dict\[str, (.+)\]", str(kind)):
        if not isinstance(value, dict):
            yield f"{where}: no mapping"
            return
        for key, item in value.items():
            yield from wrong(item, match[1], f"{where}.{key}")
    elif kind in ("str", "int", "bool"):
        if type(value).__name__ != kind:
            yield f"{where}: {value!r} is no {kind}"
    elif kind == "bytes":
        if not isinstance(value, str):
            yield f"{where}: no base64"
    else:
        yield from _wrong_model(value, getattr(models, kind), where)


def _wrong_model(value: Any, model: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: no object"
        return
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, item in value.items():
        if key not in names:
            yield f"{where}.{key}: unknown"
        elif item is None:
            yield f"{where}.{key}: null"
        else:
            yield from wrong(item, model.openapi_types[names[key]], f"{where}.{key}")
    for name, field in model.model_fields.items():
        if field.is_required() and model.attribute_map[name] not in value:
            yield f"{where}.{model.attribute_map[name]}: missing"


def wrong_shape(value: Any, shape: Any, where: str) -> Iterator[str]:
    if isinstance(shape, type):
        if type(value) is not shape:
            yield f"{where}: {value!r} is no {shape.__name__}"
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for number, item in enumerate(value):
            yield from wrong_shape(item, shape[0], f"{where}[{number}]")
    else:
        for key, item in value.items():
            if key not in shape and "*" not in shape:
                yield f"{where}.{key}: unknown"
            else:
                yield from wrong_shape(item, shape.get(key, shape.get("*")), f"{where}.{key}")


def complaints(one: Object) -> list[str]:
    if model := MODELS.get(one["kind"]):
        return list(_wrong_model(one, model, one["kind"]))
    meta = list(_wrong_model(one["metadata"], models.V1ObjectMeta, "metadata"))
    return meta + list(wrong_shape(one["spec"], OTHERS[one["kind"]], one["kind"]))


@pytest.mark.parametrize(("overlay", "components"), INSTALLATIONS)
def test_every_object_has_the_shape_of_its_kind(overlay: str, components: tuple[str, ...]) -> None:
    objects = rendered(overlay, *components)
    assert [line for one in objects for line in complaints(one)] == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("spec.replicas", "2", "spec.replicas: '2' is no int"),
        ("spec.replica", 2, "spec.replica: unknown"),
        ("spec.template.spec.containers", None, "spec.template.spec.containers: null"),
        ("spec.selector", {}, ""),
        ("spec.template.spec.volumes", [{"emptyDir": {}}], "spec.template.spec.volumes[0].name"),
    ],
)
def test_the_check_itself_finds_what_is_wrong(path: str, value: Any, told: str) -> None:
    (deployment,) = (one for one in rendered("single") if one["kind"] == "Deployment")
    *folders, last = path.split(".")
    inside: Any = deployment
    for name in folders:
        inside = inside[name]
    inside[last] = value
    assert told in "\n".join(complaints(deployment))
    assert bool(complaints(deployment)) == bool(told)


# --- applied ---------------------------------------------------------------------------------


def _path(one: Object) -> str:
    kind = next(
        kind for kind in ALL if (kind.kind, kind.api_version) == (one["kind"], one["apiVersion"])
    )
    inside = f"/namespaces/{one['metadata']['namespace']}" if kind.namespaced else ""
    return f"{_prefix(kind)}{inside}/{kind.plural}/{one['metadata']['name']}"


def _prefix(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


async def test_applied_twice_is_applied_once() -> None:
    """Also over values that a person gave to a Secret meanwhile."""
    objects = rendered("highly-available", *COMPONENTS)
    assert {one["kind"] for one in objects} >= {*MODELS, *OTHERS} - {"PersistentVolumeClaim"}
    tokens = "/api/v1/namespaces/relayer/secrets/relayer-tokens"
    async with ApiServer.start() as api, httpx.AsyncClient(base_url=api.url) as client:
        first = [await _applied(client, one) for one in objects]
        assert first == [await _applied(client, one) for one in objects]
        headers = {"Content-Type": "application/merge-patch+json"}
        body = {"data": {"platform": "c2VjcmV0"}}
        (await client.patch(tokens, json=body, headers=headers)).raise_for_status()
        again = [await _applied(client, one) for one in objects]
        moved = [after for after, before in zip(again, first, strict=True) if after != before]
        assert [(identity(one), one["data"]) for one in moved] == [
            (("Secret", "relayer", "relayer-tokens"), {"platform": "c2VjcmV0"})
        ]


async def _applied(client: httpx.AsyncClient, one: Object) -> Any:
    answer = await client.patch(
        _path(one),
        content=json.dumps(one),
        headers={"Content-Type": APPLY},
        params={"fieldManager": "oc"},
    )
    assert answer.status_code in (200, 201), answer.text
    return answer.json()

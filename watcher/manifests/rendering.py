"""Fits the objects of an overlay to somebody's values. Pure, but for the files that values name."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from watcher.manifests.ordering import in_order
from watcher.manifests.own import OwnConfig, read_own
from watcher.manifests.reading import Object, load
from watcher.manifests.values import Values

OURS = "relayer"
"""How everything is named in the files."""
_REFERRING = {
    "name",
    "namespace",
    "serviceAccountName",
    "serviceName",
    "claimName",
    "secretName",
    "app.kubernetes.io/instance",
    "kubernetes.io/service-account.name",
}
"""Keys under which a name of ours stands."""
EXAMPLE = "recipe-example"
CONFIG_DIGEST = "relayer.io/config-digest"
"""On the pod: it starts anew when the configuration or a recipe changes."""


def render(values: Values) -> list[Object]:
    """The objects in the order in which they can be made.

    Raise BadValues for files that do not make an installation, ConfigError for a configuration
    that the service would not take.
    """
    objects = load(values.overlay, values.components)
    own = read_own(values) if values.config else None
    for one in objects:
        _IN_KIND.get(one["kind"], _nothing)(one, values)
    if own:
        objects = _with_own(objects, own)
    return in_order(_named(one, values) for one in objects)


def _nothing(one: Object, values: Values) -> None:
    """Most kinds hold nothing that can be chosen."""


def _deployment(one: Object, values: Values) -> None:
    container = _container(one)
    container["image"] = values.image
    there = {each["name"]: each for each in container["env"]}
    there |= {name: {"name": name, "value": value} for name, value in values.env.items()}
    container["env"] = list(there.values())


def _stateful_set(one: Object, values: Values) -> None:
    _container(one)["image"] = values.redis_image
    for claim in one["spec"]["volumeClaimTemplates"]:
        _claim(claim, values)


def _claim(one: Object, values: Values) -> None:
    one["spec"]["resources"]["requests"]["storage"] = values.storage_size
    if values.storage_class:
        one["spec"]["storageClassName"] = values.storage_class


def _route(one: Object, values: Values) -> None:
    if values.host:
        one["spec"] = {"host": values.host, **one["spec"]}


def _network_policy(one: Object, values: Values) -> None:
    if one["metadata"]["name"] == OURS:
        known = {port["port"] for port in one["spec"]["egress"][-1]["ports"]}
        one["spec"]["egress"][-1]["ports"] += [
            {"port": port} for port in values.egress_ports if port not in known
        ]


def _config_map(one: Object, values: Values) -> None:
    """The configuration that comes with the overlay; somebody's own replaces it as a whole."""
    if one["metadata"]["name"] != f"{OURS}-config":
        return
    text: str = one["data"]["relayer.yaml"]
    if values.redis_url:
        text = text.replace("rediss://redis.example.com:6379/0", values.redis_url)
        if not values.redis_url.startswith("rediss:"):
            text = text.replace("  ca_file: /etc/relayer/redis/ca.crt\n", "")
    text = text.replace(f"//{OURS}-redis:", f"//{values.name}-redis:")
    one["data"]["relayer.yaml"] = text.replace(f"deploy/{OURS} ", f"deploy/{values.name} ")


_IN_KIND: dict[str, Callable[[Object, Values], None]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "PersistentVolumeClaim": _claim,
    "Route": _route,
    "NetworkPolicy": _network_policy,
    "ConfigMap": _config_map,
}


def _container(one: Object) -> dict[str, Any]:
    found: dict[str, Any] = one["spec"]["template"]["spec"]["containers"][0]
    return found


# --- somebody's own configuration and recipes ------------------------------------------------


def _with_own(objects: list[Object], own: OwnConfig) -> list[Object]:
    kept = [one for one in objects if one["metadata"]["name"] != f"{OURS}-{EXAMPLE}"]
    config = next(one for one in kept if one["metadata"]["name"] == f"{OURS}-config")
    config["data"]["relayer.yaml"] = own.text
    deployment = next(one for one in kept if one["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    annotations[CONFIG_DIGEST] = "sha256:" + hashlib.sha256(own.digested()).hexdigest()
    pod = template["spec"]
    pod["volumes"] = [one for one in pod["volumes"] if one["name"] != EXAMPLE]
    mounts = _container(deployment)["volumeMounts"]
    mounts[:] = [one for one in mounts if one["name"] != EXAMPLE]
    for recipe, files in own.recipes.items():
        name = f"{OURS}-recipe-{recipe}"
        meta = {**config["metadata"], "name": name}
        made, items = _recipe_data(files)
        kept.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **made})
        volume = f"recipe-{recipe}"
        pod["volumes"].append({"name": volume, "configMap": {"name": name, "items": items}})
        path = f"/etc/relayer/recipes/{recipe}"
        mounts.append({"name": volume, "mountPath": path, "readOnly": True})
    return kept


def _recipe_data(files: dict[str, tuple[bytes, bool]]) -> tuple[Object, list[Object]]:
    """data and binaryData of a ConfigMap, and where each key goes: keys have no slashes."""
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    items: list[Object] = []
    for number, (path, (content, is_executable)) in enumerate(sorted(files.items())):
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in path)
        key = name if name == path else f"{number:03}.{name}"[:200]
        try:
            data[key] = content.decode()
        except UnicodeDecodeError:
            binary[key] = base64.b64encode(content).decode()
        mode = 0o755 if is_executable else 0o644
        items.append({"key": key, "path": path, "mode": mode})
    made: Object = {"data": data} if data else {}
    return made | ({"binaryData": binary} if binary else {}), items


# --- names -----------------------------------------------------------------------------------


def _named(one: Object, values: Values) -> Object:
    made: Object = _renamed(one, values)
    if one["kind"] == "Namespace":
        made["metadata"]["name"] = values.namespace
    return made


def _renamed(value: Any, values: Values, key: str = "") -> Any:
    if key in ("data", "binaryData"):
        return value  # somebody's bytes, whatever they say
    if isinstance(value, dict):
        return {name: _renamed(inner, values, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, values, key) for inner in value]
    if key not in _REFERRING or not isinstance(value, str):
        return value
    if key == "namespace":
        return values.namespace if value == OURS else value
    if value == OURS or value.startswith(f"{OURS}-"):
        return values.name + value.removeprefix(OURS)
    return value

"""Reads an overlay of `config/manifests/`: resources, components and patches, as kustomize does.

The files are ours, so what stands in them is not checked as what comes from outside would be.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from watcher.manifests.merging import merged

Object = dict[str, Any]
OVERLAYS = ("single", "highly-available", "disconnected", "watched")
COMPONENTS = ("disconnected", "openshift-logins", "redis", "route")
_KNOWN = {"apiVersion", "kind", "resources", "components", "patches"}


def load(overlay: str, components: Sequence[str] = ()) -> list[Object]:
    """The objects of an overlay, with components added as a kustomization would add them."""
    objects = _built(_root() / "overlays" / overlay)
    for name in components:
        objects = _with(_root() / "components" / name, objects)
    return objects


@cache
def _root() -> Path:
    """In the package once it is installed; in a checkout where operators find them."""
    inside = Path(__file__).parent / "files"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "config/manifests"


def identity(document: Object) -> tuple[str, str, str]:
    """What kustomize finds the target of a patch by: kind, namespace, name."""
    meta = document["metadata"]
    return document["kind"], meta.get("namespace", ""), meta["name"]


def _built(directory: Path) -> list[Object]:
    return _with(directory, [])


def _with(directory: Path, objects: list[Object]) -> list[Object]:
    said = _documents(directory / "kustomization.yaml")[0]
    assert set(said) <= _KNOWN, f"{directory}: {set(said) - _KNOWN} is not read here"
    objects = list(objects)
    for name in said.get("resources", ()):
        path = (directory / name).resolve()
        objects += _built(path) if path.is_dir() else _documents(path)
    for name in said.get("components", ()):
        objects = _with((directory / name).resolve(), objects)
    for patch in said.get("patches", ()):
        for change in _documents(directory / patch["path"]):
            objects = _patched(objects, change)
    return objects


def _patched(objects: list[Object], change: Object) -> list[Object]:
    wanted = identity(change)
    assert wanted in map(identity, objects), f"nothing to patch: {wanted}"
    return [merged(one, change) if identity(one) == wanted else one for one in objects]


def _documents(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]

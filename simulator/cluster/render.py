"""How MachineConfigs of a pool become its rendered one. Pure.

Read in openshift/machine-config-operator, ``MergeMachineConfigs`` and the render controller of
each release branch: the order changed in 4.15, generated configs count no more in 4.21.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

MCO = "machineconfiguration.openshift.io"
ROLE = f"{MCO}/role"
GENERATED_BY = f"{MCO}/generated-by-controller-version"
RELEASE_VERSION = f"{MCO}/release-image-version"
OVERRIDDEN = f"{MCO}/os-image-url-overridden"

Config = Mapping[str, Any]


class RenderError(Exception):
    """The pool cannot be rendered: it becomes RenderDegraded with this text."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What differs between versions of the machine-config-operator."""

    workers_first: bool
    """Role worker before all others; before 4.15 only the name counted."""
    skip_generated: bool
    """OS images named by generated configs do not count; before 4.21 they did."""

    @classmethod
    def of(cls, minor: tuple[int, int]) -> Self:
        return cls(workers_first=minor >= (4, 15), skip_generated=minor >= (4, 21))


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result for one pool."""

    name: str
    spec: dict[str, Any]
    overridden: bool
    source: list[str]


def ordered(configs: Iterable[Config], rules: Rules) -> list[Config]:
    """In the order of merging: later ones win."""

    def place(config: Config) -> tuple[bool, str]:
        role = (config["metadata"].get("labels") or {}).get(ROLE)
        return (rules.workers_first and role != "worker", config["metadata"]["name"])

    return sorted(configs, key=place)


def render(
    pool: str,
    configs: Iterable[Config],
    *,
    base: str,
    base_extensions: str,
    rules: Rules,
    stream_named: bool = False,
) -> Rendered:
    """Merge the configs of a pool; raise RenderError."""
    merging = ordered(configs, rules)
    if not merging:
        raise RenderError("no MachineConfigs found matching selector")
    counted = [
        config.get("spec") or {}
        for config in merging
        if not (
            rules.skip_generated and (config["metadata"].get("annotations") or {}).get(GENERATED_BY)
        )
    ]
    image = _last(counted, "osImageURL", base)
    if stream_named and image != base:
        raise RenderError(
            "could not generate rendered MachineConfig: cannot override MachineConfig osImageURL"
            " and set MachineConfigPool spec.osImageStream.name simultaneously"
        )
    extensions_image = _last(counted, "baseOSExtensionsContainerImage", base_extensions)
    spec = _merged([config.get("spec") or {} for config in merging], image, extensions_image)
    return Rendered(
        # The name comes from the content alone: the same content returns to the same name.
        name=f"rendered-{pool}-{_digest(spec)}",
        spec=spec,
        overridden=image != base,
        source=sorted(config["metadata"]["name"] for config in merging),
    )


def _merged(specs: list[Mapping[str, Any]], image: str, extensions_image: str) -> dict[str, Any]:
    return {
        "osImageURL": image,
        "baseOSExtensionsContainerImage": extensions_image,
        "kernelArguments": [arg for one in specs for arg in one.get("kernelArguments") or ()],
        "extensions": [name for one in specs for name in one.get("extensions") or ()],
        "kernelType": _kernel_type(specs),
        "fips": any(one.get("fips") for one in specs),
        "config": _ignition(specs),
    }


def _last(specs: Iterable[Mapping[str, Any]], field: str, default: str) -> str:
    value = default
    for spec in specs:
        value = spec.get(field) or value
    return value


def _kernel_type(specs: Iterable[Mapping[str, Any]]) -> str:
    chosen = "default"
    for spec in specs:
        if spec.get("kernelType") in ("realtime", "64k-pages"):
            chosen = spec["kernelType"]
    return chosen


def _ignition(specs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Files of all configs, the last one of each path: all that the simulation needs."""
    files: dict[str, Any] = {}
    for spec in specs:
        for file in ((spec.get("config") or {}).get("storage") or {}).get("files") or ():
            files[file["path"]] = file
    storage = {"files": list(files.values())}
    return {"ignition": {"version": "3.4.0"}, "storage": storage}


def _digest(spec: Mapping[str, Any]) -> str:
    text = json.dumps(spec, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()

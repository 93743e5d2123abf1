"""Manifest and config of an image that is a base and at most one layer more.

Written in OCI's form whatever the base has; layers keep their digests, so a base in Docker's form
is the same content under other type names. Keys are sorted: equal content gives equal digests.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from watcher.clients.builders.layer import Layer
from watcher.clients.registry import Descriptor, ImageConfig, Manifest, Platform
from watcher.clients.registry.errors import clean
from watcher.clients.registry.model import (
    DOCKER_LAYER_GZIP,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    digest_of,
)
from watcher.core.append import CopyFiles, SetEnv, SetLabels, Step
from watcher.core.facts import Digest
from watcher.ports import Refused

_AS_OCI = {
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
}
_OCI_LAYER = "application/vnd.oci.image.layer.v1."
_OF_THE_BASE_ALONE = ("container", "container_config", "docker_version", "id", "parent")
"""What Docker's older configs say of the container the base was committed from."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What later steps need of the base's config."""

    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"

    @classmethod
    def read(cls, config: ImageConfig) -> Self:
        """Raise Refused for a config that no runtime would take."""
        section = config.document().get("config") or {}
        said = section.get("Env") or []
        if not isinstance(said, list):
            raise Refused(f"the Env of config {config.digest} is no list")
        pairs = [str(text).partition("=") for text in said]
        env = {name: value for name, _, value in pairs}
        return cls(env, str(section.get("WorkingDir") or "/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An image whose manifest is written."""

    platform: Platform
    raw: bytes
    config: bytes = b""

    @property
    def digest(self) -> Digest:
        return digest_of(self.raw)


def platform(name: str) -> Platform:
    """`linux/arm64/v8` taken apart."""
    os, _, rest = name.partition("/")
    architecture, _, variant = rest.partition("/")
    return Platform(os, architecture, variant or None)


def image(
    base: Manifest,
    config: ImageConfig,
    *,
    platform: Platform,
    steps: Sequence[Step],
    layer: Layer | None,
    labels: Mapping[str, str],
    created: str,
) -> Made:
    """The base with `layer` on it and what the steps and `labels` set; `labels` win."""
    changed = _config(config, steps, layer, labels, created)
    layers = [_as_oci(descriptor, base) for descriptor in base.layers]
    if layer:
        layers.append(_descriptor(OCI_LAYER_GZIP, layer.digest, layer.size))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, digest_of(changed), len(changed)),
        "layers": layers,
        "annotations": {**base.annotations, **labels},
    }
    return Made(platform=platform, raw=_json(document), config=changed)


def index(images: Sequence[Made], annotations: Mapping[str, str]) -> bytes:
    """One index of images for several platforms, in the order given."""
    entries = []
    for made in images:
        named = {"os": made.platform.os, "architecture": made.platform.architecture}
        if made.platform.variant:
            named["variant"] = made.platform.variant
        entry = _descriptor(OCI_MANIFEST, made.digest, len(made.raw))
        entries.append({**entry, "platform": named})
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": entries,
            "annotations": dict(annotations),
        }
    )


def _config(
    base: ImageConfig,
    steps: Sequence[Step],
    layer: Layer | None,
    labels: Mapping[str, str],
    created: str,
) -> bytes:
    document = base.document()
    for name in _OF_THE_BASE_ALONE:
        document.pop(name, None)
    section = document.get("config") or {}
    env = Settings.read(base).env
    merged = dict(base.labels)
    for step in steps:
        if isinstance(step, SetLabels):
            merged.update(step.labels)
        elif isinstance(step, SetEnv):
            env.update(step.variables)
    section["Labels"] = {**merged, **labels}
    if env:
        section["Env"] = [f"{name}={value}" for name, value in env.items()]
    document["config"] = section
    document["created"] = created
    if layer:
        document["rootfs"] = {"type": "layers", "diff_ids": [*base.diff_ids, layer.diff_id]}
    # A history must fit the layers, so one that was left out stays left out.
    if base.history:
        document["history"] = [*base.history, *_history(steps, layer, labels, created)]
    return _json(document)


def _history(
    steps: Sequence[Step], layer: Layer | None, labels: Mapping[str, str], created: str
) -> list[dict[str, Any]]:
    told = [text for step in steps if (text := _told(step))]
    told += [f"LABEL {name}={json.dumps(value)}" for name, value in sorted(labels.items())]
    history: list[dict[str, Any]] = [
        {"created": created, "created_by": text, "empty_layer": True} for text in told
    ]
    if layer:
        copied = "; ".join(_copied(step) for step in steps if isinstance(step, CopyFiles))
        history.insert(0, {"created": created, "created_by": copied, "comment": "relayer"})
    return history


def _told(step: Step) -> str:
    if isinstance(step, SetLabels):
        return "LABEL " + " ".join(f"{name}={json.dumps(value)}" for name, value in step.labels)
    if isinstance(step, SetEnv):
        return "ENV " + " ".join(f"{name}={json.dumps(value)}" for name, value in step.variables)
    return ""


def _copied(step: CopyFiles) -> str:
    return f"{'ADD' if step.unpacks else 'COPY'} (line {step.line}) in {step.destination}"


def _as_oci(layer: Descriptor, base: Manifest) -> dict[str, Any]:
    media_type = _AS_OCI.get(layer.media_type, layer.media_type)
    if not media_type.startswith(_OCI_LAYER):
        found = clean(layer.media_type, limit=80)
        raise Refused(f"{base.ref} has a layer of type {found}: use buildah")
    document = _descriptor(media_type, layer.digest, layer.size)
    return {**document, "annotations": layer.annotations} if layer.annotations else document


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()

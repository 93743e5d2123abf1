"""What a registry holds: manifests, indexes, image configs, read strictly.

Two specifications name the same things differently (OCI image-spec, Docker distribution v2 schema
2); both are read into one form. The raw bytes stay with a manifest, because its digest is theirs.
"""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from watcher.clients.registry.errors import BadContent, TooLarge, clean
from watcher.core.facts import Digest, Malformed, Pullspec, Repository

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MOST_PARTS = 1000
"""Layers of an image, or entries of an index: a container runtime mounts 127 layers at most."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and architecture in Go's words, which registries use."""

    os: str
    architecture: str
    variant: str | None = None
    """``v8`` and the like. None asks for any."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


LINUX_AMD64 = Platform("linux", "amd64")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to content: what it is, its digest, its size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One manifest of an index; the platform is None where the index names none."""

    descriptor: Descriptor
    platform: Platform | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index whose bytes were checked against its digest."""

    repository: Repository
    digest: Digest
    media_type: str
    raw: bytes
    config: Descriptor | None
    """None for an index."""
    layers: tuple[Descriptor, ...]
    entries: tuple[IndexEntry, ...]
    annotations: dict[str, str]

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def ref(self) -> Pullspec:
        return self.repository.at(self.digest)

    def document(self) -> dict[str, Any]:
        """The parsed JSON, a fresh copy each time, for those who write a changed manifest."""
        parsed: dict[str, Any] = msgspec.json.decode(self.raw)
        return parsed


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about itself. Labels are claims of whoever built it."""

    digest: Digest
    raw: bytes
    architecture: str
    os: str
    variant: str | None
    created: datetime | None
    labels: dict[str, str]
    diff_ids: tuple[Digest, ...]
    """Digests of the layers' inflated contents, the lowest layer first."""
    history: tuple[dict[str, Any], ...]

    @property
    def platform(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant)

    def document(self) -> dict[str, Any]:
        """The parsed JSON, a fresh copy each time, for those who write a changed config."""
        parsed: dict[str, Any] = msgspec.json.decode(self.raw)
        return parsed


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""
    variant: str | None = None


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    schema_version: int
    media_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    annotations: dict[str, str] | None = None


class _Settings(msgspec.Struct, rename={"labels": "Labels"}):
    labels: dict[str, str] | None = None


class _RootFs(msgspec.Struct):
    diff_ids: list[str] = []


class _Config(msgspec.Struct):
    architecture: str
    os: str
    rootfs: _RootFs
    variant: str | None = None
    created: str | None = None
    config: _Settings | None = None
    history: list[dict[str, Any]] | None = None


def digest_of(content: bytes) -> Digest:
    return Digest(f"sha256:{sha256(content).hexdigest()}")


def decode(raw: bytes, kind: type[T], *, what: str) -> T:
    """Parse JSON from outside into `kind`; raise BadContent naming `what` it should have been."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadContent(f"{what} is malformed: {clean(error)}") from error


def read_manifest(repository: Repository, media_type: str, raw: bytes) -> Manifest:
    """Read the bytes of a manifest that the registry calls `media_type`.

    Raise BadContent, or TooLarge beyond MOST_PARTS.
    """
    digest = digest_of(raw)
    what = f"manifest {repository}@{digest}"
    seen = decode(raw, _Manifest, what=what)
    stated = _agreed_type(seen, media_type, what=what)
    for name, parts in (("layers", seen.layers), ("entries", seen.manifests)):
        if parts and len(parts) > MOST_PARTS:
            raise TooLarge(f"{what} has {len(parts)} {name}; the limit is {MOST_PARTS}")
    try:
        return Manifest(
            repository,
            digest,
            stated,
            raw,
            config=_descriptor(seen.config) if seen.config else None,
            layers=tuple(_descriptor(layer) for layer in seen.layers or ()),
            entries=tuple(_entry(entry) for entry in seen.manifests or ()),
            annotations=seen.annotations or {},
        )
    except Malformed as error:
        raise BadContent(f"{what} is malformed: {clean(error)}") from error


def _agreed_type(seen: _Manifest, media_type: str, *, what: str) -> str:
    """The type on which header, body and form agree.

    Bytes that can be read as two things are refused: that was CVE-2021-41190.
    """
    if seen.schema_version != 2:
        raise BadContent(f"{what} has schema version {seen.schema_version}; only 2 is read")
    header = media_type.partition(";")[0].strip()
    stated = seen.media_type or header
    if stated != header and header in MANIFESTS | INDEXES:
        raise BadContent(f"{what} is sent as {clean(header)} but calls itself {clean(stated)}")
    if stated not in MANIFESTS | INDEXES:
        raise BadContent(f"{what} has the unknown type {clean(stated) or '(none)'}")
    image, index = seen.config is not None, seen.manifests is not None
    if image == index or (index and seen.layers is not None) or index != (stated in INDEXES):
        raise BadContent(f"{what} is neither clearly an image nor clearly an index")
    return stated


def _descriptor(seen: _Descriptor) -> Descriptor:
    if seen.size < 0:
        raise Malformed(f"size {seen.size} of {seen.digest[:100]}")
    return Descriptor(seen.media_type, Digest(seen.digest), seen.size, seen.annotations or {})


def _entry(seen: _Descriptor) -> IndexEntry:
    named = seen.platform
    platform = Platform(named.os, named.architecture, named.variant or None) if named else None
    return IndexEntry(_descriptor(seen), platform)


def read_config(raw: bytes, *, what: str) -> ImageConfig:
    """Read the bytes of an image config; raise BadContent."""
    seen = decode(raw, _Config, what=what)
    try:
        diff_ids = tuple(Digest(text) for text in seen.rootfs.diff_ids)
    except Malformed as error:
        raise BadContent(f"{what} is malformed: {clean(error)}") from error
    return ImageConfig(
        digest_of(raw),
        raw,
        architecture=seen.architecture,
        os=seen.os,
        variant=seen.variant or None,
        created=_moment(seen.created),
        labels=(seen.config.labels or {}) if seen.config else {},
        diff_ids=diff_ids,
        history=tuple(seen.history or ()),
    )


def _moment(text: str | None) -> datetime | None:
    """A RFC 3339 time; None where it is missing or malformed: it is only told to people."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None

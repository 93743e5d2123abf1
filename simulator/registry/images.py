"""Images that look like RHCOS and like release payloads, small enough to make by the dozen.

Layers are real gzip-compressed archives, made the same way each time: the same arguments give the
same digests on every machine and day.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watcher.clients.registry import Credentials, RegistryClient, RegistrySettings
from watcher.clients.registry.model import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    digest_of,
)
from watcher.core.facts import Digest, Pullspec, Repository

_CREATED = "2026-01-15T08:00:00Z"
_EPOCH = 1768464000
"""The same moment, for the files."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a layer."""

    content: bytes
    mode: int = 0o644


Files = Mapping[str, bytes | File]


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image not pushed yet."""

    architecture: str
    media_type: str
    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]
    """Compressed, the lowest first."""

    @property
    def digest(self) -> Digest:
        return digest_of(self.manifest)


@dataclass(frozen=True, slots=True)
class MadeIndex:
    """Several images under one digest, one for each architecture."""

    media_type: str
    manifest: bytes
    images: tuple[MadeImage, ...]

    @property
    def digest(self) -> Digest:
        return digest_of(self.manifest)


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a release: an image and what is noted about it."""

    image: str
    annotations: Mapping[str, str] = field(default_factory=dict)


def tar_of(files: Files) -> bytes:
    """An archive with these files and their directories, in the order given."""
    target = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, given in files.items():
            file = given if isinstance(given, File) else File(given)
            for parent in _parents(path, made):
                archive.addfile(_entry(parent, 0o755, tarfile.DIRTYPE))
            entry = _entry(path, file.mode, tarfile.REGTYPE)
            entry.size = len(file.content)
            archive.addfile(entry, io.BytesIO(file.content))
    return target.getvalue()


def _parents(path: str, made: set[str]) -> list[str]:
    parts = path.split("/")[:-1]
    every = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    new = [parent for parent in every if parent not in made]
    made.update(new)
    return new


def _entry(path: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.mode, entry.type, entry.mtime = mode, kind, _EPOCH
    return entry


def make_image(
    layers: Sequence[Files],
    *,
    labels: Mapping[str, str],
    architecture: str = "amd64",
    docker: bool = False,
) -> MadeImage:
    """An image of these layers in OCI form, or in Docker's."""
    archives = [tar_of(files) for files in layers]
    packed = tuple(gzip.compress(archive, 6, mtime=0) for archive in archives)
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": _CREATED,
            "config": {"Labels": dict(labels), "Cmd": ["/sbin/init"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(a) for a in archives]},
            "history": [
                {"created": _CREATED, "created_by": f"layer {n}"} for n in range(len(packed))
            ],
        }
    )
    kinds = (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER_GZIP)
    media_type, config_type, layer_type = (
        kinds if docker else (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP)
    )
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(config_type, config),
        "layers": [_descriptor(layer_type, layer) for layer in packed],
    }
    return MadeImage(architecture, media_type, _json(document), config, packed)


def base_image(
    version: str = "418.94.202601150800-0",
    *,
    stream: str = "rhel-9",
    architecture: str = "amd64",
    extra: Sequence[Files] = (),
    docker: bool = False,
) -> MadeImage:
    """An RHCOS-like base; `extra` are more layers on top, such as a shell for RUN."""
    kernel = f"usr/lib/modules/5.14.0-{version}"
    release = f'ID="rhcos"\nNAME="Red Hat Enterprise Linux CoreOS"\nOSTREE_VERSION="{version}"\n'
    layers: list[Files] = [
        {"usr/lib/os-release": release.encode(), "usr/lib/ostree/prepare-root.conf": b""},
        {f"{kernel}/vmlinuz": b"kernel of " + version.encode(), f"{kernel}/initramfs.img": b"init"},
        {"usr/share/rhcos/version": version.encode(), "usr/bin/rpm-ostree": File(b"", 0o755)},
        *extra,
    ]
    labels = {
        "containers.bootc": "1",
        "ostree.bootable": "true",
        "ostree.linux": f"5.14.0-{version}",
        "io.openshift.os.streamclass": stream,
        "io.openshift.build.versions": f"machine-os={version}",
        "io.openshift.build.version-display-names": "machine-os=Red Hat Enterprise Linux CoreOS",
        "org.opencontainers.image.version": version,
    }
    return make_image(layers, labels=labels, architecture=architecture, docker=docker)


def release_image(
    version: str,
    tags: Mapping[str, Tag | str],
    *,
    architecture: str = "amd64",
    multi: bool = False,
    docker: bool = True,
) -> MadeImage:
    """A release payload that names these images; real ones are still in Docker's form."""
    listed = [_tag(name, tag) for name, tag in tags.items()]
    references = {
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": version, "creationTimestamp": _CREATED},
        "spec": {"lookupPolicy": {"local": False}, "tags": listed},
        "status": {"dockerImageRepository": ""},
    }
    noted = {"url": f"https://access.redhat.com/errata/{version}"}
    if multi:
        noted["release.openshift.io/architecture"] = "multi"
    metadata = {
        "kind": "cincinnati-metadata-v0",
        "version": version,
        "previous": [],
        "metadata": noted,
    }
    manifests: Files = {
        "release-manifests/image-references": json.dumps(references, indent=2).encode(),
        "release-manifests/release-metadata": json.dumps(metadata, indent=2).encode(),
        "release-manifests/0000_50_operator_01.yaml": b"kind: Namespace\n",
        "release-manifests/0000_80_machine-config_01.yaml": b"kind: CustomResourceDefinition\n",
    }
    labels = {"io.openshift.release": version, "io.openshift.release.base-image-digest": ""}
    below: list[Files] = [
        {"usr/bin/cluster-version-operator": File(b"operator", 0o755)},
        {"release-manifests/image-references": b"of a lower layer: never to be read"},
    ]
    return make_image([*below, manifests], labels=labels, architecture=architecture, docker=docker)


def _tag(name: str, given: Tag | str) -> dict[str, Any]:
    tag = given if isinstance(given, Tag) else Tag(given)
    return {
        "name": name,
        "annotations": dict(tag.annotations),
        "from": {"kind": "DockerImage", "name": tag.image},
        "generation": None,
    }


def index_of(*images: MadeImage) -> MadeIndex:
    """An index in the form, OCI's or Docker's, of its first image."""
    docker = images[0].media_type == DOCKER_MANIFEST
    entries = [
        {
            **_descriptor(image.media_type, image.manifest),
            "platform": {"os": "linux", "architecture": image.architecture},
        }
        for image in images
    ]
    media_type = DOCKER_INDEX if docker else OCI_INDEX
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return MadeIndex(media_type, _json(document), images)


async def push(
    client: RegistryClient,
    repository: Repository,
    image: MadeImage | MadeIndex,
    *,
    tag: str | None = None,
) -> Pullspec:
    """Push to a registry, also under a tag; return where it is."""
    for part in image.images if isinstance(image, MadeIndex) else ():
        await push(client, repository, part)
    if isinstance(image, MadeImage):
        for content in (*image.layers, image.config):
            digest = digest_of(content)
            if not await client.direct.blob_exists(repository, digest):
                await client.upload_blob(repository, content, digest=digest)
    for reference in filter(None, (str(image.digest), tag)):
        await client.put_manifest(
            repository, reference, media_type=image.media_type, raw=image.manifest
        )
    return repository.at(image.digest)


async def push_to(
    url: str,
    path: str,
    image: MadeImage | MadeIndex,
    *,
    tag: str | None = None,
    credentials: Credentials | None = None,
    settings: RegistrySettings | None = None,
) -> Pullspec:
    """Push to the registry at ``http[s]://host[:port]`` with a connection of its own."""
    scheme, _, host = url.rstrip("/").partition("://")
    insecure = frozenset({host}) if scheme == "http" else frozenset[str]()
    settings = settings or RegistrySettings(insecure_hosts=insecure, use_proxy_environment=False)
    async with RegistryClient.opened(settings, credentials) as client:
        return await push(client, Repository(f"{host}/{path}"), image, tag=tag)


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

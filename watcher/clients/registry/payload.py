"""Which images a release consists of, read from the release image itself.

As `oc adm release info` does: the last layer only, the files ``image-references`` (an ImageStream)
and ``release-metadata`` under ``release-manifests/``. Unlike it, the layer is hashed to its end,
though both files come first in it: what is named here becomes the operating system of nodes.
"""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from watcher.clients.registry.errors import BadContent, NotFound, TooLarge, clean
from watcher.clients.registry.inflating import Inflating
from watcher.clients.registry.model import (
    LINUX_AMD64,
    Descriptor,
    IndexEntry,
    Manifest,
    Platform,
    decode,
)
from watcher.clients.registry.reader import Reader
from watcher.clients.registry.settings import Limits
from watcher.clients.registry.tarfiles import TarFiles
from watcher.core.facts import Malformed, Pullspec
from watcher.errors import Refused

REFERENCES = "release-manifests/image-references"
METADATA = "release-manifests/release-metadata"
_LONGEST_VERSION = 128
"""Characters. `4.19.0-0.nightly-multi-2025-10-01-123456` has 40."""


class NoSuchTag(NotFound):
    """The release has no image under this name."""


@dataclass(frozen=True, slots=True)
class ReleasePayload:
    """What a release image says about its release."""

    image: Pullspec
    """The image that was read; for an index, the index."""
    version: str
    images: Mapping[str, str]
    """Tag → where the image is, as the payload has it, mirrors not considered."""
    annotations: Mapping[str, Mapping[str, str]]
    """Tag → annotations, of every tag that has any."""
    metadata: Mapping[str, str]

    def image_for(self, tag: str) -> Pullspec:
        """The image of a tag; raise NoSuchTag, or Refused when it is not named by digest."""
        name = self.images.get(tag)
        if name is None:
            raise NoSuchTag(f'no image tag "{clean(tag)}" exists in the release image {self.image}')
        try:
            return Pullspec.parse(name)
        except Malformed as error:
            raise BadContent(f"tag {clean(tag)} of {self.image}: {clean(error)}") from error


class _From(msgspec.Struct):
    kind: str = ""
    name: str = ""


class _Tag(msgspec.Struct, rename={"source": "from"}):
    name: str
    source: _From | None = None
    annotations: dict[str, str] | None = None


class _Spec(msgspec.Struct):
    tags: list[_Tag]


class _References(msgspec.Struct):
    kind: str
    spec: _Spec


class _Metadata(msgspec.Struct):
    kind: str
    version: str
    metadata: dict[str, str] | None = None


async def read_payload(
    reader: Reader,
    ref: Pullspec,
    *,
    wanted: Callable[[Platform], bool] | None = None,
    limits: Limits | None = None,
) -> ReleasePayload:
    """Read a release image; raise NotFound, BadContent, Tampered, TooLarge, or Transient.

    Of an index its only entry is read, or the first that is `wanted`; where all are welcome,
    linux/amd64 before others: what they name is the same.
    """
    limits = limits or Limits()
    manifest = await _image(reader, ref, wanted)
    if not manifest.layers:
        raise BadContent(f"{ref} is no release image: it has no layers")
    files = await _files(reader, manifest, manifest.layers[-1], limits)
    for name in (REFERENCES, METADATA):
        if name not in files:
            raise BadContent(f"{ref} is no release image: its last layer has no {name}")
    references = decode(files[REFERENCES], _References, what=f"{REFERENCES} of {ref}")
    metadata = decode(files[METADATA], _Metadata, what=f"{METADATA} of {ref}")
    return _payload(ref, references, metadata)


async def _image(
    reader: Reader, ref: Pullspec, wanted: Callable[[Platform], bool] | None
) -> Manifest:
    top = await reader.manifest(ref)
    if not top.is_index:
        return top
    return await reader.child(top, _entry(top, wanted).descriptor)


def _entry(index: Manifest, wanted: Callable[[Platform], bool] | None) -> IndexEntry:
    if len(index.entries) == 1:
        return index.entries[0]
    if wanted is None:
        fitting = sorted(index.entries, key=lambda e: e.platform != LINUX_AMD64)
    else:
        fitting = [e for e in index.entries if e.platform and wanted(e.platform)]
    if not fitting:
        there = clean(", ".join(str(e.platform or "unnamed") for e in index.entries[:20]))
        raise NotFound(f"{index.ref} has nothing for the platform asked for; it has: {there}")
    return fitting[0]


async def _files(
    reader: Reader, manifest: Manifest, layer: Descriptor, limits: Limits
) -> dict[str, bytes]:
    """The wanted files of a layer. A problem in it counts only once the layer's digest is right."""
    what = f"last layer {layer.digest} of {manifest.ref}"
    if layer.size > limits.payload_layer:
        raise TooLarge(f"{what}: {layer.size} bytes; the layer limit is {limits.payload_layer}")
    wanted = _Wanted(limits)
    problem: Refused | None = None
    blob = reader.blob(manifest.repository, layer.digest, size=layer.size)
    async with aclosing(blob) as chunks:
        async for chunk in chunks:
            if problem is None:
                problem = _fed(wanted, chunk)
    problem = problem or _fed(wanted, None)
    if problem is not None:
        raise type(problem)(f"{what}: {problem}") from problem
    return wanted.files.found


def _fed(wanted: "_Wanted", chunk: bytes | None) -> Refused | None:
    try:
        wanted.close() if chunk is None else wanted.feed(chunk)
    except (BadContent, TooLarge) as error:
        return error
    return None


class _Wanted:
    """The wanted files of a layer that is fed in; nothing is inflated once they are complete."""

    def __init__(self, limits: Limits) -> None:
        self.files = TarFiles(frozenset({REFERENCES, METADATA}), limits=limits)
        self._inflating = Inflating(limits.payload_inflated)

    def feed(self, chunk: bytes) -> None:
        """Take the next compressed bytes."""
        if not self.files.wants_more:
            return
        for piece in self._inflating.feed(chunk):
            self.files.feed(piece)
            if not self.files.wants_more:
                return

    def close(self) -> None:
        """Say that the layer is at its end; raise BadContent when its contents are not."""
        if self.files.wants_more and self._inflating.is_within_stream:
            raise BadContent("the compressed stream ends too early")
        self.files.close()


def _payload(ref: Pullspec, references: _References, metadata: _Metadata) -> ReleasePayload:
    if references.kind != "ImageStream" or metadata.kind != "cincinnati-metadata-v0":
        kinds = clean(f"{references.kind} and {metadata.kind}")
        raise BadContent(f"{ref}: image-references and release-metadata have the kinds {kinds}")
    version = metadata.version
    if not version or clean(version, limit=_LONGEST_VERSION) != version:
        raise BadContent(f"{ref}: release-metadata has the version {clean(version)!r}")
    images: dict[str, str] = {}
    for tag in references.spec.tags:
        # The first that names an image counts, as for `oc`.
        if tag.source and tag.source.kind == "DockerImage" and tag.source.name:
            images.setdefault(tag.name, tag.source.name)
    annotations = {tag.name: tag.annotations for tag in references.spec.tags if tag.annotations}
    return ReleasePayload(ref, version, images, annotations, metadata.metadata or {})

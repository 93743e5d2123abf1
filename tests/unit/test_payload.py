"""Reading what a release consists of, from good payloads and from every kind of bad one."""

import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from backports import zstd

from simulator.registry import Fault
from simulator.registry.images import (
    Files,
    MadeImage,
    Tag,
    index_of,
    make_image,
    push,
    release_image,
    tar_of,
)
from tests.registries import Running, simulated_registry
from watcher.clients.registry import (
    BadContent,
    Limits,
    NoSuchTag,
    NotFound,
    RegistryClient,
    ReleasePayload,
    Tampered,
    TooLarge,
    read_payload,
)
from watcher.clients.registry.model import digest_of
from watcher.core.facts import Pullspec
from watcher.ports import Refused

REFERENCES, METADATA = "release-manifests/image-references", "release-manifests/release-metadata"
OS_IMAGE = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + "ab" * 32
BLOBS = r"/v2/.*/blobs/sha256:.*"
GOOD_METADATA = b'{"kind":"cincinnati-metadata-v0","version":"4.18.9"}'
GOOD_REFERENCES = b'{"kind":"ImageStream","spec":{"tags":[]}}'


def _asks_for_too_much_memory() -> bytes:
    """A frame whose header wants a window of 2 GiB."""
    options = {int(zstd.CompressionParameter.window_log): 31}
    streaming = zstd.ZstdCompressor(options=options)
    return streaming.compress(b"x" * 2000) + streaming.flush()


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


@pytest.fixture
async def client(registry: Running) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(registry.settings) as opened:
        yield opened


async def pushed(client: RegistryClient, registry: Running, image: MadeImage) -> Pullspec:
    return await push(client, registry.repository("release"), image)


async def read(
    client: RegistryClient, registry: Running, files: Files, limits: Limits | None = None
) -> ReleasePayload:
    """What is read of a release whose last layer has these files."""
    ref = await pushed(client, registry, make_image([{}, files], labels={}))
    return await read_payload(client, ref, limits=limits)


def packed(layer: bytes) -> MadeImage:
    """A release image with this as its last layer, as it is."""
    image = make_image([{}, {}], labels={})
    old = image.layers[-1]
    manifest = json.loads(image.manifest)
    manifest["layers"][-1].update(digest=digest_of(layer), size=len(layer))
    assert old != layer
    return replace(image, manifest=json.dumps(manifest).encode(), layers=(image.layers[0], layer))


async def test_tags_annotations_and_metadata_are_read(
    client: RegistryClient, registry: Running
) -> None:
    noted = {"io.openshift.build.versions": "machine-os=9.6.20251201-1"}
    release = release_image("4.18.9", {"rhel-coreos": Tag(OS_IMAGE, noted)})
    payload = await read_payload(client, await pushed(client, registry, release))
    assert payload.version == "4.18.9"
    assert payload.images == {"rhel-coreos": OS_IMAGE}
    assert payload.annotations == {"rhel-coreos": noted}
    assert payload.metadata == {"url": "https://access.redhat.com/errata/4.18.9"}


async def test_a_payload_without_the_tag_says_so(client: RegistryClient, registry: Running) -> None:
    release = release_image("4.18.9", {"rhel-coreos": OS_IMAGE})
    payload = await read_payload(client, await pushed(client, registry, release))
    with pytest.raises(NoSuchTag, match='no image tag "rhel-coreos-10" exists in the release'):
        payload.image_for("rhel-coreos-10")


async def test_the_first_tag_that_names_an_image_counts(
    client: RegistryClient, registry: Running
) -> None:
    tags = [
        {"name": "os"},
        {"name": "os", "from": {"kind": "ImageStreamTag", "name": "not:this"}},
        {"name": "os", "from": {"kind": "DockerImage", "name": ""}},
        {"name": "os", "from": {"kind": "DockerImage", "name": OS_IMAGE}},
        {"name": "os", "from": {"kind": "DockerImage", "name": "nor:this"}},
    ]
    references = json.dumps({"kind": "ImageStream", "spec": {"tags": tags}}).encode()
    found = await read(client, registry, {REFERENCES: references, METADATA: GOOD_METADATA})
    assert found.image_for("os") == OS_IMAGE


async def test_an_image_named_by_tag_is_refused(client: RegistryClient, registry: Running) -> None:
    release = release_image("4.18.9", {"rhel-coreos": "quay.io/a/b:latest"})
    payload = await read_payload(client, await pushed(client, registry, release))
    with pytest.raises(BadContent, match="must be named by digest, not by tag"):
        payload.image_for("rhel-coreos")


async def test_only_the_last_layer_counts(client: RegistryClient, registry: Running) -> None:
    below: Files = {REFERENCES: GOOD_REFERENCES, METADATA: GOOD_METADATA}
    image = make_image([below, {"etc/other": b""}], labels={})
    ref = await pushed(client, registry, image)
    with pytest.raises(BadContent, match=f"its last layer has no {REFERENCES}"):
        await read_payload(client, ref)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({METADATA: GOOD_METADATA}, "no release-manifests/image-references"),
        ({REFERENCES: GOOD_REFERENCES}, "no release-manifests/release-metadata"),
        ({REFERENCES: b"{", METADATA: GOOD_METADATA}, "image-references of .* is malformed"),
        ({REFERENCES: b"\xff\xfe", METADATA: GOOD_METADATA}, "image-references of .* is malformed"),
        ({REFERENCES: b"", METADATA: GOOD_METADATA}, "image-references of .* is malformed"),
        ({REFERENCES: GOOD_REFERENCES, METADATA: b"[]"}, "release-metadata of .* is malformed"),
        (
            {REFERENCES: GOOD_REFERENCES, METADATA: b'{"kind":"other","version":"1"}'},
            "have the kinds ImageStream and other",
        ),
        (
            {REFERENCES: b'{"kind":"ImageStream","spec":{}}', METADATA: GOOD_METADATA},
            "missing required field `tags`",
        ),
    ],
    ids=[
        "no references",
        "no metadata",
        "half a file",
        "not UTF-8",
        "empty",
        "a list",
        "of another kind",
        "without tags",
    ],
)
async def test_a_malformed_payload_is_refused(
    client: RegistryClient, registry: Running, files: Files, said: str
) -> None:
    with pytest.raises(BadContent, match=said):
        await read(client, registry, files)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (b"no archive at all, but long enough to be taken for one" * 20, "malformed number"),
        (gzip.compress(b"x" * 2000), "malformed number"),
        (gzip.compress(tar_of({"a": b"b" * 5000}))[:-20], "ends too early"),
        (gzip.compress(tar_of({"a": b"b" * 5000})[:3000]), "ends within an entry"),
        (b"\x1f\x8b\x08 and then no gzip", "malformed gzip"),
        (b"\x28\xb5\x2f\xfd and so on", "malformed zstd"),
        (zstd.compress(tar_of({"a": b"b" * 5000}))[:-20], "ends too early"),
        (zstd.compress(tar_of({"a": b"b" * 5000})[:3000]), "ends within an entry"),
        (_asks_for_too_much_memory(), "Frame requires too much memory"),
        (b"", "no release-manifests/image-references"),
    ],
    ids=[
        "text",
        "compressed text",
        "half gzip",
        "half tar",
        "false gzip",
        "false zstd",
        "half zstd",
        "half tar in zstd",
        "zstd of 2 GiB window",
        "empty",
    ],
)
async def test_a_layer_that_cannot_be_read_is_refused(
    client: RegistryClient, registry: Running, layer: bytes, said: str
) -> None:
    ref = await pushed(client, registry, packed(layer))
    with pytest.raises(BadContent, match=said):
        await read_payload(client, ref)


GOOD_ARCHIVE = tar_of({REFERENCES: GOOD_REFERENCES, METADATA: GOOD_METADATA})
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
"""A zstd frame to be skipped, as zstd:chunked has them."""


@pytest.mark.parametrize(
    "layer",
    [
        GOOD_ARCHIVE,
        gzip.compress(GOOD_ARCHIVE[:700]) + gzip.compress(GOOD_ARCHIVE[700:]),
        zstd.compress(GOOD_ARCHIVE),
        zstd.compress(GOOD_ARCHIVE[:700]) + zstd.compress(GOOD_ARCHIVE[700:]),
        SKIPPED + zstd.compress(GOOD_ARCHIVE),
    ],
    ids=["plain", "two gzip members", "zstd", "two zstd frames", "zstd after a skipped frame"],
)
async def test_layers_in_other_forms_are_read(
    client: RegistryClient, registry: Running, layer: bytes
) -> None:
    found = await read_payload(client, await pushed(client, registry, packed(layer)))
    assert found.version == "4.18.9"


async def test_the_whole_layer_is_checked_although_both_files_come_first(
    client: RegistryClient, registry: Running
) -> None:
    files: Files = {
        REFERENCES: GOOD_REFERENCES,
        METADATA: GOOD_METADATA,
        "release-manifests/more.yaml": os.urandom(500_000),
    }
    image = make_image([{}, files], labels={})
    ref = await pushed(client, registry, image)
    assert registry.simulated
    registry.simulated.faults.append(Fault("corrupt", path=BLOBS, after=len(image.layers[-1]) - 1))
    with pytest.raises(Tampered, match="may have been tampered with"):
        await read_payload(client, ref)


async def test_a_tampered_layer_is_called_that_not_malformed(
    client: RegistryClient, registry: Running
) -> None:
    ref = await pushed(client, registry, release_image("4.18.9", {"rhel-coreos": OS_IMAGE}))
    assert registry.simulated
    registry.simulated.faults.append(Fault("corrupt", path=BLOBS, after=12))
    with pytest.raises(Tampered):
        await read_payload(client, ref)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(payload_layer=50), "the layer limit is 50"),
        (Limits(payload_inflated=4096), "inflates to more than the limit of 4096 bytes"),
        (Limits(payload_file=512), "the file limit of 512"),
        (Limits(payload_entries=2), "more than 2 entries"),
    ],
    ids=["layer", "inflated", "file", "entries"],
)
async def test_each_limit_is_kept_and_named(
    client: RegistryClient, registry: Running, limits: Limits, said: str
) -> None:
    files: Files = {
        "before": b"0" * 300_000,
        REFERENCES: GOOD_REFERENCES + b" " * 1000,
        METADATA: GOOD_METADATA,
    }
    with pytest.raises(TooLarge, match=said):
        await read(client, registry, files, limits)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
async def test_a_small_layer_that_inflates_without_end_is_stopped(
    client: RegistryClient, registry: Running, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(tar_of({"zeros": bytes(20_000_000)}))
    assert len(bomb) < 100_000
    ref = await pushed(client, registry, packed(bomb))
    with pytest.raises(TooLarge, match="inflates to more than"):
        await read_payload(client, ref, limits=Limits(payload_inflated=1_000_000))


async def test_of_an_index_the_platform_is_read_or_the_only_entry(
    client: RegistryClient, registry: Running
) -> None:
    tags = {"rhel-coreos": OS_IMAGE}
    amd = release_image("4.18.9", tags)
    arm = release_image("4.18.9-arm", tags, architecture="arm64")
    repository = registry.repository("release")
    both = await push(client, repository, index_of(amd, arm))
    assert (await read_payload(client, both)).version == "4.18.9"
    only = await push(client, repository, index_of(arm))
    assert (await read_payload(client, only)).version == "4.18.9-arm"
    with pytest.raises(NotFound, match="it has: linux/amd64, linux/arm64"):
        await read_payload(client, both, wanted=lambda it: it.architecture == "s390x")


async def test_an_index_in_an_index_is_refused(client: RegistryClient, registry: Running) -> None:
    inner = index_of(release_image("4.18.9", {}))
    repository = registry.repository("release")
    await push(client, repository, inner)
    entry = {
        "mediaType": inner.media_type,
        "digest": inner.digest,
        "size": len(inner.manifest),
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    document = {"schemaVersion": 2, "mediaType": inner.media_type, "manifests": [entry]}
    raw = json.dumps(document).encode()
    digest = await client.put_manifest(
        repository, digest_of(raw), media_type=inner.media_type, raw=raw
    )
    with pytest.raises(Refused, match="holds another index"):
        await read_payload(client, repository.at(digest))

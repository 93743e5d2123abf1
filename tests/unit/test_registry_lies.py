"""What the registry client does when a registry lies, or sends what it should not."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from simulator.registry import Fault
from simulator.registry.images import base_image, index_of, push
from tests.registries import Running, simulated_registry
from watcher.clients.registry import (
    BadContent,
    Limits,
    RegistryClient,
    RegistrySettings,
    Tampered,
    TooLarge,
    Unauthorised,
)
from watcher.clients.registry.model import DOCKER_INDEX, OCI_INDEX, OCI_MANIFEST, digest_of
from watcher.core.facts import Pullspec, Repository
from watcher.ports import Refused

MANIFESTS, BLOBS = r"/v2/.*/manifests/.*", r"/v2/.*/blobs/sha256:.*"
SIZED = 3_000_000


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


@pytest.fixture
async def client(registry: Running) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(registry.settings) as opened:
        yield opened


@pytest.fixture
async def ref(client: RegistryClient, registry: Running) -> Pullspec:
    return await push(client, registry.repository("rhcos/base"), base_image())


def fail(registry: Running, fault: Fault) -> None:
    assert registry.simulated
    registry.simulated.faults.append(fault)


async def upload(client: RegistryClient, repository: Repository) -> bytes:
    data = os.urandom(SIZED)
    await client.upload_blob(repository, data, digest=digest_of(data))
    return data


async def read(client: RegistryClient, repository: Repository, data: bytes) -> bytes:
    blob = client.blob(repository, digest_of(data), size=len(data))
    return b"".join([part async for part in blob])


async def collect(blob: AsyncIterator[bytes], *, into: list[bytes]) -> None:
    async for part in blob:
        into.append(part)


async def opened_with(registry: Running, **changed: object) -> RegistrySettings:
    return replace(registry.settings, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [0, 1_500_000, SIZED - 1], ids=["first", "middle", "last"])
async def test_a_blob_with_one_wrong_byte_is_refused(
    client: RegistryClient, registry: Running, at: int
) -> None:
    repository = registry.repository("rhcos/base")
    data = await upload(client, repository)
    fail(registry, Fault("corrupt", path=BLOBS, after=at))
    with pytest.raises(Tampered, match="failed verification and may have been tampered with"):
        await read(client, repository, data)


async def test_a_blob_of_another_size_than_promised_is_refused(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("rhcos/base")
    data = await upload(client, repository)
    for wrong in (1000, SIZED - 1, SIZED + 1):
        given: list[bytes] = []
        with pytest.raises(Tampered):
            await collect(client.blob(repository, digest_of(data), size=wrong), into=given)
        assert sum(map(len, given)) <= wrong


async def test_a_manifest_of_another_digest_is_refused(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    fail(registry, Fault("corrupt", path=MANIFESTS, after=300))
    with pytest.raises(Tampered, match="failed verification"):
        await client.manifest(ref)


async def test_another_manifest_than_asked_for_is_refused(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    other = base_image("an older one")
    headers = (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", other.digest))
    body = other.manifest
    fail(registry, Fault("status", path=MANIFESTS, status=200, headers=headers, body=body))
    with pytest.raises(Tampered, match=f"the registry sent {other.digest}"):
        await client.manifest(ref)


async def test_a_manifest_by_tag_must_be_what_its_header_says(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("rhcos/base")
    await push(client, repository, base_image(), tag="latest")
    fail(registry, Fault("corrupt", path=MANIFESTS, after=300))
    with pytest.raises(Tampered):
        await client.manifest((repository, "latest"))


async def test_a_config_of_another_digest_is_refused(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    fail(registry, Fault("corrupt", path=BLOBS, after=20))
    with pytest.raises(Tampered):
        await client.config(ref)


async def test_a_config_for_another_number_of_layers_is_refused(
    client: RegistryClient, registry: Running
) -> None:
    one, other = base_image("418.1"), base_image("418.2", extra=[{"etc/more": b""}])
    repository = registry.repository("rhcos/base")
    await push(client, repository, one)
    await push(client, repository, other)
    mixed = one.manifest.replace(
        digest_of(one.config).encode(), digest_of(other.config).encode()
    ).replace(f'"size":{len(one.config)}'.encode(), f'"size":{len(other.config)}'.encode())
    digest = await client.put_manifest(
        repository, digest_of(mixed), media_type=OCI_MANIFEST, raw=mixed
    )
    with pytest.raises(BadContent, match="4 diff_ids for 3 layers"):
        await client.config(repository.at(digest))


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        pytest.param(OCI_INDEX, base_image().manifest, id="sent as something else"),
        pytest.param("application/json", b'{"schemaVersion":2}', id="of unknown type"),
        pytest.param(OCI_MANIFEST, b'{"schemaVersion":2}', id="empty"),
        pytest.param(OCI_MANIFEST, b'{"schemaVersion":1,"layers":[]}', id="of schema 1"),
        pytest.param(OCI_MANIFEST, b"<html>", id="no JSON"),
        pytest.param(OCI_MANIFEST, b"[" * 100_000, id="deeply nested"),
        pytest.param(
            DOCKER_INDEX, b'{"schemaVersion":2,"manifests":[],"layers":[]}', id="both at once"
        ),
        pytest.param(
            OCI_MANIFEST,
            b'{"schemaVersion":2,"config":{"digest":"md5:x","size":1},"layers":[]}',
            id="with another digest",
        ),
        pytest.param(
            OCI_INDEX,
            b'{"schemaVersion":2,"manifests":[{"digest":"sha256:%s","size":-1}]}' % (b"0" * 64),
            id="with a negative size",
        ),
    ],
)
async def test_a_malformed_manifest_is_refused(
    client: RegistryClient, registry: Running, media_type: str, body: bytes
) -> None:
    headers = (("Content-Type", media_type),)
    fail(registry, Fault("status", path=MANIFESTS, status=200, headers=headers, body=body))
    with pytest.raises(BadContent, match="manifest"):
        await client.manifest(registry.repository("rhcos/base").at(digest_of(body)))


async def test_a_child_of_another_size_than_its_index_says_is_refused(
    client: RegistryClient, registry: Running
) -> None:
    image = base_image()
    repository = registry.repository("rhcos/base")
    await push(client, repository, image)
    size = f'"size":{len(image.manifest)}'.encode()
    raw = index_of(image).manifest.replace(size, b'"size":17')
    digest = await client.put_manifest(repository, "index", media_type=OCI_INDEX, raw=raw)
    with pytest.raises(Tampered, match="17 bytes in its index"):
        await client.platform_manifest(repository.at(digest))


async def test_limits_are_named(registry: Running, ref: Pullspec) -> None:
    settings = await opened_with(registry, limits=Limits(manifest=100, config=100))
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(TooLarge, match="the manifest limit of 100 bytes"):
            await client.manifest(ref)
    settings = await opened_with(registry, limits=Limits(config=100))
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(TooLarge, match="the config limit of 100 bytes"):
            await client.config(ref)


async def test_what_a_registry_says_is_cleaned_and_bounded(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    said = b'{"errors":[{"code":"DENIED","message":"no\\u001b[31m\\n\\u202e' + b"x" * 5000 + b'"}]}'
    fail(registry, Fault("status", path=MANIFESTS, status=403, body=said))
    with pytest.raises(Unauthorised, match="DENIED") as caught:
        await client.manifest(ref)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600


async def test_a_page_of_a_proxy_is_not_repeated_to_people(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    fail(registry, Fault("status", path=MANIFESTS, status=403, body=b"Authorization: Basic abc"))
    with pytest.raises(Unauthorised) as caught:
        await client.manifest(ref)
    assert "abc" not in str(caught.value)


async def test_a_tag_that_is_none_reaches_no_registry(
    client: RegistryClient, registry: Running
) -> None:
    with pytest.raises(Refused, match="not a tag"):
        await client.manifest((registry.repository("rhcos/base"), "../../secret"))
    assert registry.simulated
    assert not registry.simulated.requests


async def test_bytes_are_asked_for_as_they_are_stored(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    await client.config(ref)
    assert registry.simulated
    assert {r.headers["Accept-Encoding"] for r in registry.simulated.requests} == {"identity"}

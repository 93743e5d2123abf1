"""One contract for registries: the simulated one keeps it as Debian's docker-registry does."""

import asyncio
import os
import ssl
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from simulator.registry.images import base_image, index_of, make_image, push, push_to, release_image
from tests.registries import PASSWORD, USER, PrivateCa, Running, real_registry, simulated_registry
from watcher.clients.access import Fixed
from watcher.clients.images import RegistryImages
from watcher.clients.registry import (
    Carried,
    Credentials,
    Descriptor,
    NotFound,
    Platform,
    RegistryClient,
    Tampered,
    Unauthorised,
    Untrusted,
    read_payload,
)
from watcher.clients.registry.model import OCI_MANIFEST, digest_of
from watcher.core.facts import Digest, Pullspec, Repository
from watcher.ports import Refused

REAL = pytest.mark.real("docker-registry")
ABSENT = Digest("sha256:" + "0" * 64)
KINDS = [
    "simulated",
    "simulated-basic",
    "simulated-bearer",
    "simulated-tls",
    pytest.param("real", marks=REAL),
    pytest.param("real-basic", marks=REAL),
    pytest.param("real-tls", marks=REAL),
]


@pytest.fixture(params=KINDS)
async def registry(
    request: pytest.FixtureRequest, tmp_path: Path, ca: PrivateCa
) -> AsyncIterator[Running]:
    kind, _, way = str(request.param).partition("-")
    tls, basic = ca if way == "tls" else None, way == "basic"
    opened = (
        real_registry(tmp_path / "registry", basic=basic, tls=tls)
        if kind == "real"
        else simulated_registry(basic=basic, bearer=way == "bearer", tls=tls)
    )
    async with opened as running:
        yield running


@pytest.fixture
async def client(registry: Running) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(registry.settings, registry.credentials) as opened:
        yield opened


async def whole(stream: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([part async for part in stream])


async def test_an_image_is_pushed_and_read_back(client: RegistryClient, registry: Running) -> None:
    image = base_image("418.94.1-0", stream="rhel-9")
    repository = registry.repository("rhcos/base")
    ref = await push(client, repository, image, tag="418")
    assert (await client.manifest((repository, "418"))).ref == ref
    manifest = await client.manifest(ref)
    assert (manifest.raw, manifest.media_type) == (image.manifest, OCI_MANIFEST)
    config = await client.config(ref)
    assert config.labels["io.openshift.os.streamclass"] == "rhel-9"
    assert config.labels["containers.bootc"] == "1"
    assert (config.architecture, config.os, len(config.diff_ids)) == ("amd64", "linux", 3)
    assert config.created is not None
    for layer, content in zip(manifest.layers, image.layers, strict=True):
        assert await whole(client.blob(repository, layer.digest, size=layer.size)) == content


async def test_an_index_is_resolved_by_platform(client: RegistryClient, registry: Running) -> None:
    amd, arm = base_image(), base_image(architecture="arm64")
    repository = registry.repository("rhcos/multi")
    ref = await push(client, repository, index_of(amd, arm))
    assert (await client.manifest(ref)).is_index
    found = await client.platform_manifest(ref, Platform("linux", "arm64"))
    assert found.digest == arm.digest
    with pytest.raises(NotFound, match=r"linux/s390x; it has: linux/amd64, linux/arm64"):
        await client.platform_manifest(ref, Platform("linux", "s390x"))


async def test_docker_images_and_indexes_are_read(
    client: RegistryClient, registry: Running
) -> None:
    image = base_image(docker=True)
    repository = registry.repository("rhcos/docker")
    ref = await push(client, repository, index_of(image), tag="list")
    found = await client.platform_manifest((repository, "list"))
    assert found.digest == image.digest
    assert (await client.head(ref)).digest == ref.digest
    assert (await client.config(ref)).platform == Platform("linux", "amd64")


async def test_a_tag_means_what_its_bytes_are_and_is_asked_anew(
    client: RegistryClient, registry: Running
) -> None:
    images, repository = RegistryImages(Fixed(client)), registry.repository("rhcos/moves")
    one = await push(client, repository, base_image(), tag="v1")
    assert await images.digest_of(f"{repository}:v1") == one.digest
    other = await push(client, repository, index_of(base_image()), tag="v1")
    assert await images.digest_of(f"{repository}:v1") == other.digest != one.digest
    await push(client, repository, base_image(), tag="latest")
    assert await images.digest_of(str(repository)) == one.digest
    with pytest.raises(NotFound):
        await images.digest_of(f"{repository}:gone")


async def test_what_is_not_there_is_told_apart(client: RegistryClient, registry: Running) -> None:
    repository = registry.repository("rhcos/base")
    ref = await push(client, repository, base_image())
    assert await client.exists(ref)
    assert not await client.exists(repository.at(ABSENT))
    assert not await client.exists((repository, "no-such-tag"))
    assert not await client.blob_exists(repository, ABSENT)
    with pytest.raises(NotFound):
        await client.manifest(repository.at(ABSENT))
    with pytest.raises(NotFound):
        await whole(client.blob(repository, ABSENT))


async def test_a_streamed_upload_is_stored(client: RegistryClient, registry: Running) -> None:
    data = os.urandom(3_000_000)
    repository = registry.repository("team/layers")

    async def stream() -> AsyncGenerator[bytes, None]:
        for at in range(0, len(data), 100_000):
            yield data[at : at + 100_000]

    digest = digest_of(data)
    await client.upload_blob(repository, stream, digest=digest, size=len(data))
    assert await whole(client.blob(repository, digest, size=len(data))) == data
    other = registry.repository("team/unsized")
    await client.upload_blob(other, stream, digest=digest)
    assert await client.blob_exists(other, digest)


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_an_upload_of_other_bytes_stores_nothing(
    client: RegistryClient, registry: Running, streamed: bool
) -> None:
    repository = registry.repository("team/layers")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield b"other bytes"

    body = stream if streamed else b"other bytes"
    with pytest.raises(Tampered, match="failed verification"):
        await client.upload_blob(repository, body, digest=digest_of(b"the bytes"))
    assert not await client.blob_exists(repository, digest_of(b"the bytes"))
    assert not await client.blob_exists(repository, digest_of(b"other bytes"))


async def test_a_blob_is_mounted_from_a_neighbour(
    client: RegistryClient, registry: Running
) -> None:
    source, target = registry.repository("rhcos/base"), registry.repository("team/layered")
    await client.upload_blob(source, b"content", digest=digest_of(b"content"))
    assert not await client.blob_exists(target, digest_of(b"content"))
    assert await client.mount_blob(digest_of(b"content"), source=source, target=target)
    assert await whole(client.blob(target, digest_of(b"content"))) == b"content"


async def test_a_mount_of_what_is_not_there_is_declined(
    client: RegistryClient, registry: Running
) -> None:
    source, target = registry.repository("rhcos/base"), registry.repository("team/layered")
    assert not await client.mount_blob(ABSENT, source=source, target=target)
    foreign = Repository("registry.example.com/rhcos/base")
    assert not await client.mount_blob(ABSENT, source=foreign, target=target)
    if registry.simulated:
        assert not registry.simulated.store.uploads  # the upload it offered instead was ended


async def test_a_blob_is_copied_by_the_cheapest_way(
    client: RegistryClient, registry: Running
) -> None:
    data = os.urandom(500_000)
    blob = Descriptor("application/octet-stream", digest_of(data), len(data))
    target = registry.repository("team/layered")
    async with simulated_registry() as other:
        far = other.repository("rhcos/base")
        async with RegistryClient.opened(other.settings) as reader:
            await reader.upload_blob(far, data, digest=blob.digest)
            ways = [
                await client.copy_blob(blob, source=far, target=target, reader=reader),
                await client.copy_blob(blob, source=far, target=target, reader=reader),
            ]
    near = registry.repository("team/second")
    ways.append(await client.copy_blob(blob, source=target, target=near))
    assert ways == [Carried.COPIED, Carried.PRESENT, Carried.MOUNTED]
    assert await whole(client.blob(near, blob.digest)) == data


async def test_a_manifest_cannot_name_what_is_not_there(
    client: RegistryClient, registry: Running
) -> None:
    image = base_image()
    repository = registry.repository("team/broken")
    with pytest.raises(Refused, match="MANIFEST_BLOB_UNKNOWN"):
        await client.put_manifest(
            repository, "latest", media_type=image.media_type, raw=image.manifest
        )


async def test_a_manifest_is_put_under_its_own_digest_only(
    client: RegistryClient, registry: Running
) -> None:
    image, repository = base_image(), registry.repository("team/broken")
    with pytest.raises(Tampered):
        await client.put_manifest(
            repository, ABSENT, media_type=image.media_type, raw=image.manifest
        )


async def test_a_release_payload_is_read(client: RegistryClient, registry: Running) -> None:
    os_image = f"{registry.host}/art@{base_image().digest}"
    release = release_image("4.18.9", {"rhel-coreos": os_image, "etcd": f"{registry.host}/etcd:1"})
    ref = await push(client, registry.repository("release"), release)
    payload = await read_payload(client, ref)
    assert payload.version == "4.18.9"
    assert payload.image_for("rhel-coreos") == os_image
    with pytest.raises(NotFound, match='no image tag "rhel-coreos-10" exists in the release image'):
        payload.image_for("rhel-coreos-10")
    with pytest.raises(Refused, match="by digest, not by tag"):
        payload.image_for("etcd")


async def test_the_platform_of_a_release_index_is_read(
    client: RegistryClient, registry: Running
) -> None:
    tags = {"rhel-coreos": f"{registry.host}/art@{ABSENT}"}
    releases = [
        release_image("4.18.9", tags, multi=True),
        release_image("4.18.9-arm", tags, architecture="arm64", multi=True),
    ]
    ref = await push(client, registry.repository("release"), index_of(*releases))
    arm = await read_payload(client, ref, wanted=lambda it: it.architecture == "arm64")
    assert (await read_payload(client, ref)).version == "4.18.9"
    assert (arm.version, arm.image) == ("4.18.9-arm", ref)
    assert arm.metadata["release.openshift.io/architecture"] == "multi"


async def test_an_image_is_pullable_with_the_right_credentials_only(
    client: RegistryClient, registry: Running
) -> None:
    ref = await push(client, registry.repository("team/layered"), base_image())
    await client.pullable(ref, registry.credentials)
    with pytest.raises(NotFound):
        await client.pullable(ref.repository.at(ABSENT), registry.credentials)
    if not registry.needs_login:
        return
    # Our own login, used a moment ago, must not help.
    with pytest.raises(Unauthorised, match=registry.host):
        await client.pullable(ref, Credentials())
    wrong = Credentials.parse(registry.auth_json(password="Tr0ub4dor"))
    with pytest.raises(Unauthorised) as caught:
        await client.pullable(ref, wrong)
    assert "Tr0ub4dor" not in str(caught.value)


async def test_an_image_without_one_of_its_layers_is_not_pullable(
    client: RegistryClient, registry: Running
) -> None:
    image = make_image([{"unique": os.urandom(64)}], labels={})
    ref = await push(client, registry.repository("team/layered"), image)
    layer = digest_of(image.layers[0])
    await forget_layer(registry, "team/layered", layer)
    with pytest.raises(NotFound, match=f"layer {layer} is not in"):
        await client.pullable(ref, registry.credentials)


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=REAL)])
async def test_a_private_ca_is_trusted_for_its_host_only(
    kind: str, ca: PrivateCa, tmp_path: Path
) -> None:
    opened = real_registry(tmp_path, tls=ca) if kind == "real" else simulated_registry(tls=ca)
    async with opened as registry:
        ref = registry.repository("rhcos/base").at(ABSENT)
        settings = replace(registry.settings, ca_files={"a.example.com": ca.ca_file})
        async with RegistryClient.opened(settings) as stranger:
            with pytest.raises(Untrusted, match=f"certificate of {registry.host} is not trusted"):
                await stranger.exists(ref)


@REAL
async def test_a_large_blob_is_carried_in_little_memory(tmp_path: Path) -> None:
    piece, pieces = os.urandom(64 * 1024), 1000
    seen = sha256()
    for _ in range(pieces):
        seen.update(piece)
    blob = Descriptor("x", Digest(f"sha256:{seen.hexdigest()}"), len(piece) * pieces)

    async def stream() -> AsyncGenerator[bytes, None]:
        for _ in range(pieces):
            yield piece

    async with (
        real_registry(tmp_path / "one") as one,
        real_registry(tmp_path / "two") as two,
        RegistryClient.opened(one.settings) as first,
        RegistryClient.opened(two.settings) as second,
    ):
        source, target = one.repository("rhcos/base"), two.repository("team/layered")
        tracemalloc.start()
        try:
            await first.upload_blob(source, stream, digest=blob.digest, size=blob.size)
            way = await second.copy_blob(blob, source=source, target=target, reader=first)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert way == Carried.COPIED
    assert peak < blob.size / 10


@pytest.mark.real("buildah")
@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_buildah_works_with_the_simulated_registry(way: str, tmp_path: Path) -> None:
    async with (
        simulated_registry(basic=way == "basic", bearer=way == "bearer") as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        base = await push(client, registry.repository("rhcos/base"), base_image())
        target = registry.repository("team/layered")
        build_and_push = write_build(tmp_path, registry, base=base, target=f"{target}:new")
        for arguments in build_and_push:
            process = await asyncio.create_subprocess_exec("buildah", *arguments)
            assert await process.wait() == 0
        made = await client.config((target, "new"))
        under = await client.config(base)
    assert made.labels["made-by"] == "buildah"
    assert made.diff_ids[: len(under.diff_ids)] == under.diff_ids


def write_build(
    directory: Path, registry: Running, *, base: Pullspec, target: str
) -> list[list[str]]:
    """A build in a directory of its own; the arguments to build it and to push it."""
    login = directory / "auth.json"
    login.write_text(registry.auth_json())
    (directory / "Containerfile").write_text(f"FROM {base}\nCOPY auth.json /etc/x\n")
    storage = ["--storage-driver", "vfs", "--root", f"{directory}/root"]
    storage += ["--runroot", f"{directory}/run"]
    reach = ["--authfile", str(login), "--tls-verify=false"]
    made = ["--isolation", "chroot", "--label", "made-by=buildah", "--tag", "made"]
    return [
        [*storage, "build", *reach, *made, str(directory)],
        [*storage, "push", *reach, "made", f"docker://{target}"],
    ]


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=REAL)])
async def test_a_helper_pushes_by_url(kind: str, tmp_path: Path) -> None:
    opened = real_registry(tmp_path, basic=True) if kind == "real" else simulated_registry()
    async with opened as registry:
        login = registry.credentials
        ref = await push_to(registry.url, "demo/base", base_image(), tag="x", credentials=login)
        async with RegistryClient.opened(registry.settings, login) as client:
            assert (await client.head((ref.repository, "x"))).digest == ref.digest


async def forget_layer(registry: Running, path: str, digest: Digest) -> None:
    """Deleting is no part of the client: the tests do it past it."""
    if registry.simulated:
        registry.simulated.store.repo(path).blobs.discard(digest)
        return
    trust = ssl.create_default_context(cafile=registry.ca_file) if registry.ca_file else False
    async with httpx.AsyncClient(verify=trust, trust_env=False, auth=(USER, PASSWORD)) as plain:
        answer = await plain.delete(f"{registry.url}/v2/{path}/blobs/{digest}")
        assert answer.status_code == 202, answer.text

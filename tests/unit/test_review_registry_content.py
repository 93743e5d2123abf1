"""Found by a review of the registry client: what registries can say."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.registry.images import Tag, base_image, index_of, push, release_image
from tests.builds import COPY_ONLY, order_for, write_recipe
from tests.mirrored import read
from tests.registries import Running, settings_for, simulated_registry
from watcher.clients.access import Fixed
from watcher.clients.builders import Append, manifests
from watcher.clients.images import RegistryImages
from watcher.clients.registry import (
    BadContent,
    RegistryClient,
    TooLarge,
    read_payload,
)
from watcher.clients.registry.calls import Call, authority, redirected
from watcher.clients.registry.model import (
    MOST_PARTS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    read_config,
    read_manifest,
)
from watcher.core.facts import Repository
from watcher.ports import Refused


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


OTHER = "quay.io/a/b@sha256:" + "cd" * 32


async def _silent(line: str) -> None:
    pass


NASTY = "\x1b[31mamd64\u202e\n" + "x" * 5000


async def test_what_an_image_says_of_its_platform_is_cleaned(registry: Running) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        images = RegistryImages(Fixed(client))
        one = await push(client, registry.repository("a"), base_image(architecture=NASTY))
        with pytest.raises(Refused) as caught:
            await images.facts(one)
        both = index_of(base_image(), base_image(architecture=NASTY))
        found = await images.facts(await push(client, registry.repository("b"), both))
    for text in (str(caught.value), *found.platforms):
        assert text.isprintable()
        assert len(text) < 1000


@pytest.mark.parametrize("version", ["4.18.9\x1b[2J", "4" * 300, "", "4.18.9\n4.18.10"])
async def test_a_version_that_is_none_is_refused(registry: Running, version: str) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        image = release_image(version, {"rhel-coreos": Tag(OTHER)})
        ref = await push(client, registry.repository("release"), image)
        with pytest.raises(BadContent, match="version") as caught:
            await read_payload(client, ref)
    assert str(caught.value).isprintable()


async def test_a_base_for_a_nasty_platform_is_refused_in_clean_words(
    registry: Running, tmp_path: Path
) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        repository = registry.repository("a")
        base = await push(client, repository, base_image(architecture=NASTY))
        order = order_for(write_recipe(tmp_path, COPY_ONLY, {"motd": "x"}), base, repository)
        with pytest.raises(Refused, match="is for linux/") as caught:
            await Append(Fixed(client)).build(order, _silent)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("env", [5, {"a": "b"}, "PATH=/bin", True])
def test_a_base_whose_environment_is_no_list_is_refused(env: object) -> None:
    document = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": []},
        "config": {"Env": env},
    }
    config = read_config(json.dumps(document).encode(), what="config")
    with pytest.raises(Refused, match="Env"):
        manifests.Settings.read(config)


def test_a_layer_of_a_nasty_type_is_refused_in_clean_words() -> None:
    layer = {"mediaType": NASTY, "digest": digest_of(b"x"), "size": 1}
    one = {"mediaType": OCI_CONFIG, "digest": digest_of(b"y"), "size": 1}
    raw = json.dumps({"schemaVersion": 2, "config": one, "layers": [layer]}).encode()
    base = read_manifest(Repository("a.b/c"), OCI_MANIFEST, raw)
    with pytest.raises(Refused, match="use buildah") as caught:
        manifests._as_oci(base.layers[0], base)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("media_type", "name", "many"),
    [(OCI_MANIFEST, "layers", "layers"), (OCI_INDEX, "manifests", "entries")],
)
def test_layers_and_platforms_are_bounded(media_type: str, name: str, many: str) -> None:
    """4 MiB hold twenty thousand of them, and each costs requests."""
    part = {"mediaType": OCI_CONFIG, "digest": digest_of(b"y"), "size": 1}
    document: dict[str, object] = {"schemaVersion": 2, name: [part] * (MOST_PARTS + 1)}
    if name == "layers":
        document["config"] = part
    raw = json.dumps(document).encode()
    with pytest.raises(TooLarge, match=f"{MOST_PARTS + 1} {many}; the limit is {MOST_PARTS}"):
        read_manifest(Repository("a.b/c"), media_type, raw)


async def test_a_blob_that_is_whole_needs_no_end_of_its_answer() -> None:
    """Nothing is left to ask for: a registry answers 416 to that."""
    data = b"whole blob" * 50

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"range:" in head.lower():
            writer.write(b"HTTP/1.1 416 Nothing\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with RegistryClient.opened(settings_for(host, None)) as client:
            assert await read(client, Repository(f"{host}/a"), data) == data


_FIELDS = ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size"]
_FIELDS += ["platform", "os", "architecture", "rootfs", "diff_ids", "Labels", "created", "history"]
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(digest_of(b"")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(_FIELDS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=100)
@given(_ANY, st.sampled_from([OCI_MANIFEST, OCI_INDEX, "", "text/html"]), st.binary(max_size=50))
def test_no_manifest_and_no_config_breaks_its_reader(
    said: object, media_type: str, raw: bytes
) -> None:
    part = {"digest": digest_of(b""), "size": 1}
    good = {"schemaVersion": 2, "config": part, "layers": [part], "os": "linux"}
    more = {**good, "architecture": "amd64", "rootfs": {}}
    mixed = {**more, **said} if isinstance(said, dict) else more
    for data in (raw, json.dumps(said).encode(), json.dumps(mixed).encode()):
        with suppress(Refused):
            read_manifest(Repository("a.b/c"), media_type, data)
        with suppress(Refused):
            read_config(data, what="config")


@settings(max_examples=100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_no_address_breaks_who_follows_it(target: str) -> None:
    call = Call("GET", httpx.URL("https://a.example/v2/"), {"Authorization": "Basic x"})
    for address in (target, f"//{target}", f"https://{target}"):
        with suppress(Refused):
            followed = redirected(call, address)
            is_same = authority(followed.url) == "a.example"
            assert followed.url.scheme == "https"
            assert ("Authorization" in followed.headers) == is_same

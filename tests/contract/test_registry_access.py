"""Who is let in by Debian's docker-registry: tokens of a server of ours, authorities, pairs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry.images import base_image, index_of, push, release_image
from tests.registries import USER, PrivateCa, Running, real_registry
from tests.token_server import IDENTITY, TokenServer, token_server
from watcher.clients.registry import (
    Credentials,
    Login,
    RegistryClient,
    Unauthorised,
    Untrusted,
    read_payload,
)
from watcher.core.facts import Digest
from watcher.ports import Refused

pytestmark = pytest.mark.real("docker-registry")
ABSENT = Digest("sha256:" + "0" * 64)


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa.made_in(tmp_path / "ca")


@asynccontextmanager
async def with_tokens(
    directory: Path, tls: PrivateCa | None
) -> AsyncIterator[tuple[Running, TokenServer]]:
    async with (
        token_server(directory / "tokens", tls=tls) as tokens,
        real_registry(directory / "registry", tls=tls, tokens=tokens.configuration) as registry,
    ):
        host = tokens.url.partition("//")[2]
        settings = registry.settings
        if tls:
            settings = replace(settings, ca_files={**settings.ca_files, host: tls.ca_file})
        yield replace(registry, settings=settings), tokens


def by_identity(registry: Running) -> Credentials:
    text = json.dumps({"auths": {registry.host: {"identitytoken": IDENTITY}}})
    return Credentials.parse(text)


@pytest.mark.parametrize("with_tls", [False, True], ids=["http", "tls"])
@pytest.mark.parametrize("way", ["password", "identity token"])
async def test_images_are_pushed_and_read_with_signed_tokens(
    way: str, with_tls: bool, tmp_path: Path, ca: PrivateCa
) -> None:
    async with with_tokens(tmp_path, ca if with_tls else None) as (registry, tokens):
        login = registry.credentials if way == "password" else by_identity(registry)
        tokens.skew_seconds = -86_400  # a server whose clock is a day behind
        async with RegistryClient.opened(registry.settings, login) as client:
            images = [base_image(), base_image("arm", architecture="arm64")]
            ref = await push(client, registry.repository("team/os"), index_of(*images))
            assert (await client.config(ref)).architecture == "amd64"
            tags = {"rhel-coreos": f"{registry.host}/team/os@{ABSENT}"}
            release = await push(
                client, registry.repository("team/release"), release_image("4.18.9", tags)
            )
            assert (await read_payload(client, release)).version == "4.18.9"
            layer = (await client.platform_manifest(ref)).layers[0]
            other = registry.repository("team/other")
            way_there = await client.copy_blob(layer, source=ref.repository, target=other)
            assert way_there == "mounted"
        expected = "GET login" if way == "password" else "POST identity token"
        assert set(tokens.asked) == {expected}
        # Pulls and pushes of three repositories, and the mount: no token is asked for twice.
        assert len(tokens.asked) <= 7


async def test_a_token_is_fetched_once_for_many_at_once(tmp_path: Path) -> None:
    async with (
        with_tokens(tmp_path, None) as (registry, tokens),
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        ref = await push(client, registry.repository("team/os"), base_image())
        tokens.asked.clear()
        fresh = client.using(registry.credentials)
        await asyncio.gather(*(fresh.manifest(ref) for _ in range(20)))
    assert tokens.asked == ["GET login"]


async def test_what_a_stranger_may_and_may_not(tmp_path: Path) -> None:
    async with (
        with_tokens(tmp_path, None) as (registry, tokens),
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        public = await push(client, registry.repository("public/os"), base_image())
        secret = await push(client, registry.repository("secret/os"), base_image())
        stranger = client.using(Credentials())
        await stranger.readable(public)
        with pytest.raises(Unauthorised, match=registry.host):
            await stranger.readable(secret)
        with pytest.raises(Unauthorised):
            await push(stranger, registry.repository("public/os"), base_image("new"))
        wrong = Credentials({registry.host: Login(USER, "", "another identity")})
        with pytest.raises(Unauthorised, match="a token for") as caught:
            await client.pullable(public, wrong)
    assert "another identity" not in str(caught.value)
    assert "GET anonymous" in tokens.asked


async def test_the_token_server_s_certificate_is_checked_too(tmp_path: Path, ca: PrivateCa) -> None:
    other = PrivateCa.made_in(tmp_path / "other")
    async with with_tokens(tmp_path, ca) as (registry, tokens):
        host = tokens.url.partition("//")[2]
        settings = replace(
            registry.settings, ca_files={registry.host: ca.ca_file, host: other.ca_file}
        )
        async with RegistryClient.opened(settings, registry.credentials) as client:
            with pytest.raises(Untrusted, match=f"the certificate of {host} is not trusted"):
                await client.exists((registry.repository("a"), "latest"))
    assert tokens.asked == []


async def test_a_login_goes_to_no_plain_token_server_of_a_registry_with_tls(
    tmp_path: Path, ca: PrivateCa
) -> None:
    async with (
        token_server(tmp_path / "tokens") as tokens,
        real_registry(tmp_path / "registry", tls=ca, tokens=tokens.configuration) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        with pytest.raises(Refused, match="names a token server without https"):
            await client.exists((registry.repository("a"), "latest"))
    assert tokens.asked == []


@pytest.mark.parametrize("way", ["certs.d", "cluster", "insecure"])
async def test_a_private_authority_by_other_ways(way: str, tmp_path: Path, ca: PrivateCa) -> None:
    async with real_registry(tmp_path / "registry", tls=ca, basic=True) as registry:
        settings, trusted = replace(registry.settings, ca_files={}), None
        if way == "certs.d":
            directory = tmp_path / "certs.d" / registry.host
            directory.mkdir(parents=True)
            (directory / "ca.crt").write_bytes(ca.ca_file.read_bytes())
            settings = replace(settings, certs_dirs=(tmp_path / "certs.d",))
        elif way == "cluster":
            trusted = {registry.host: ca.ca_file.read_text()}
        else:
            settings = replace(settings, insecure=True)
        async with RegistryClient.opened(settings, registry.credentials) as client:
            ours = client.using(trusted=trusted)
            assert await push(ours, registry.repository("a/b"), base_image())
            if way == "cluster":
                with pytest.raises(Untrusted):
                    await client.exists((registry.repository("a/b"), "latest"))


async def test_insecure_finds_a_registry_without_tls(tmp_path: Path) -> None:
    async with real_registry(tmp_path / "registry", basic=True) as registry:
        settings = replace(registry.settings, insecure_hosts=frozenset())
        async with RegistryClient.opened(settings, registry.credentials) as client:
            with pytest.raises(Untrusted, match=r"does not speak TLS; .* registry\.plain_http"):
                await client.exists((registry.repository("a"), "latest"))
        settings = replace(settings, insecure=True)
        async with RegistryClient.opened(settings, registry.credentials) as client:
            assert await push(client, registry.repository("a/b"), base_image())


async def test_a_registry_that_wants_a_certificate_says_so_and_gets_it(
    tmp_path: Path, ca: PrivateCa
) -> None:
    async with real_registry(tmp_path / "registry", tls=ca, client_ca=ca.ca_file) as registry:
        settings = replace(registry.settings, certs_dirs=(tmp_path / "certs.d",))
        async with RegistryClient.opened(settings) as client:
            with pytest.raises(Untrusted, match=r"refuses our side of TLS .*\*\.cert and \*\.key"):
                await client.exists((registry.repository("a"), "latest"))
        directory = tmp_path / "certs.d" / registry.host
        directory.mkdir(parents=True)
        (directory / "client.cert").write_bytes(ca.cert_file.read_bytes())
        (directory / "client.key").write_bytes(ca.key_file.read_bytes())
        async with RegistryClient.opened(settings) as client:
            assert await push(client, registry.repository("a/b"), base_image())


async def test_many_copies_on_one_real_host_finish(tmp_path: Path) -> None:
    async with (
        real_registry(tmp_path / "registry", basic=True) as registry,
        RegistryClient.opened(registry.settings, registry.credentials) as client,
    ):
        source = await push(client, registry.repository("rhcos/base"), base_image())
        layer = (await client.manifest(source)).layers[0]

        async def copied(n: int) -> None:
            await client.upload_blob(
                registry.repository(f"team/{n}"),
                lambda: client.blob(source.repository, layer.digest, size=layer.size),
                digest=layer.digest,
                size=layer.size,
            )

        async with asyncio.timeout(30):
            await asyncio.gather(*(copied(n) for n in range(12)))

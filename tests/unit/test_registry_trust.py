"""Whose certificates are believed, for which host, and for which cluster."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as forms

from simulator.registry import Access, Account, Fault, SimulatedRegistry
from simulator.registry.images import base_image, push
from tests.registries import (
    PASSWORD,
    USER,
    PrivateCa,
    Running,
    settings_for,
    simulated_registry,
)
from watcher.clients.registry import (
    Credentials,
    RegistryClient,
    RegistrySettings,
    Unauthorised,
    Untrusted,
)
from watcher.clients.registry.trust import trust_of
from watcher.core.facts import Repository
from watcher.ports import Refused, Transient


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa.made_in(tmp_path / "ca")


@pytest.fixture
async def registry(ca: PrivateCa) -> AsyncIterator[Running]:
    """It has a certificate of a CA that its settings do not name."""
    async with simulated_registry(tls=ca) as running:
        yield replace(running, settings=replace(running.settings, ca_files={}))


async def reached(registry: Running, client: RegistryClient) -> bool:
    """Raise unless TLS works: the image is not there."""
    return not await client.exists((registry.repository("a/b"), "latest"))


class Pauses(list[float]):
    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def test_an_unknown_authority_is_refused_at_once_with_the_next_step(
    registry: Running,
) -> None:
    pauses = Pauses()
    async with RegistryClient.opened(registry.settings, sleep=pauses) as client:
        with pytest.raises(Untrusted, match="is not trusted") as caught:
            await reached(registry, client)
    for step in ("registry.ca_files", f"certs.d/{registry.host}/", "--certificate-authority"):
        assert step in str(caught.value)
    assert "self-signed certificate" in str(caught.value) or "unable to get" in str(caught.value)
    assert pauses == []
    assert registry.simulated
    assert not registry.simulated.requests


@pytest.mark.parametrize("way", ["ca_files", "ca_file", "certs.d", "certs.d of second", "trusted"])
async def test_an_authority_is_named_in_one_of_several_ways(
    way: str, registry: Running, ca: PrivateCa, tmp_path: Path
) -> None:
    settings, trusted = registry.settings, None
    first, second = tmp_path / "first", tmp_path / "second"
    if way == "ca_files":
        settings = replace(settings, ca_files={registry.host: ca.ca_file})
    elif way == "ca_file":
        settings = replace(settings, ca_file=ca.ca_file)
    elif way == "trusted":
        trusted = {registry.host: ca.ca_file.read_text()}
    else:
        directory = (first if way == "certs.d" else second) / registry.host
        directory.mkdir(parents=True)
        (directory / "any-name.crt").write_bytes(ca.ca_file.read_bytes())
        settings = replace(settings, certs_dirs=(first, second))
    async with RegistryClient.opened(settings) as client:
        assert await reached(registry, client.using(trusted=trusted))


async def test_the_first_directory_of_a_host_is_the_only_one(
    registry: Running, ca: PrivateCa, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name / registry.host).mkdir(parents=True)
    (tmp_path / "second" / registry.host / "ca.crt").write_bytes(ca.ca_file.read_bytes())
    dirs = (tmp_path / "none", tmp_path / "first", tmp_path / "second")
    async with RegistryClient.opened(replace(registry.settings, certs_dirs=dirs)) as client:
        with pytest.raises(Untrusted):
            await reached(registry, client)


async def test_the_authority_of_one_cluster_serves_no_other(
    registry: Running, ca: PrivateCa
) -> None:
    """Also not by a connection that the first has open."""
    trusted = {registry.host: ca.ca_file.read_text()}
    async with RegistryClient.opened(registry.settings) as client:
        mine, theirs = client.using(trusted=trusted), client.using(trusted={})
        for _ in range(2):
            assert await reached(registry, mine)
            for stranger in (
                theirs,
                client,
                client.using(trusted={"other.io": trusted.popitem()[1]}),
            ):
                with pytest.raises(Untrusted):
                    await reached(registry, stranger)
            trusted = {registry.host: ca.ca_file.read_text()}
        assert await reached(registry, mine.using(Credentials()))  # None keeps what is


async def test_the_same_authorities_share_their_connections(
    registry: Running, ca: PrivateCa
) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        for _ in range(5):
            one = client.using(trusted={registry.host: ca.ca_file.read_text()})
            assert await reached(registry, one)
    assert registry.simulated
    assert registry.simulated.most_connections == 1


async def test_the_authority_of_one_host_vouches_for_no_other(
    registry: Running, ca: PrivateCa
) -> None:
    settings = replace(registry.settings, ca_files={"a.example.com": ca.ca_file})
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(Untrusted):
            await reached(registry, client.using(trusted={"127.0.0.1": ca.ca_file.read_text()}))


async def test_a_renewed_authority_counts_without_a_restart(
    registry: Running, ca: PrivateCa, tmp_path: Path
) -> None:
    file = tmp_path / "renewed.pem"
    file.write_bytes(PrivateCa.made_in(tmp_path / "old").ca_file.read_bytes())
    settings = replace(registry.settings, ca_files={registry.host: file})
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(Untrusted):
            await reached(registry, client)
        file.write_bytes(ca.ca_file.read_bytes())
        assert await reached(registry, client)


async def test_a_certificate_for_another_name_is_told_apart(tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca", "registry.example.com")
    async with (
        simulated_registry(tls=ca) as registry,
        RegistryClient.opened(registry.settings) as client,
    ):
        with pytest.raises(Untrusted, match="made out to another name"):
            await reached(registry, client)


async def test_a_registry_without_tls_is_told() -> None:
    async with simulated_registry() as registry:
        settings, pauses = replace(registry.settings, insecure_hosts=frozenset()), Pauses()
        async with RegistryClient.opened(settings, sleep=pauses) as client:
            with pytest.raises(Untrusted, match=r"does not speak TLS; .* registry\.plain_http"):
                await reached(registry, client)
    assert pauses == []


@pytest.fixture
async def mutual(ca: PrivateCa) -> AsyncIterator[SimulatedRegistry]:
    """It wants a certificate of its own CA from whoever comes."""
    context = ca.server_context()
    context.load_verify_locations(ca.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    async with SimulatedRegistry(tls=context) as registry:
        yield registry


async def test_a_pair_in_certs_d_is_shown(
    mutual: SimulatedRegistry, ca: PrivateCa, tmp_path: Path
) -> None:
    directory = tmp_path / "certs.d" / mutual.host
    directory.mkdir(parents=True)
    (directory / "ca.crt").write_bytes(ca.ca_file.read_bytes())
    settings = replace(settings_for(mutual.host, ca.ca_file), certs_dirs=(tmp_path / "certs.d",))
    ref = (Repository(f"{mutual.host}/a"), "latest")
    async with RegistryClient.opened(replace(settings, attempts=1)) as client:
        with pytest.raises(Transient):  # a server that says why: see the contract tests
            await client.exists(ref)
    (directory / "client.cert").write_bytes(ca.cert_file.read_bytes())
    with pytest.raises(Refused, match=r"client\.cert: client\.key is missing beside it"):
        trust_of(mutual.host, settings, {})
    (directory / "client.key").write_bytes(ca.key_file.read_bytes())
    async with RegistryClient.opened(settings) as client:
        assert not await client.exists(ref)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("alone.key", "key", r"alone\.key: alone\.cert is missing beside it"),
        ("ca.crt", "nothing", r"ca\.crt of a\.io: holds no certificate"),
        ("ca.crt", "x" * (4 * 1024 * 1024 + 1), "larger than 4194304 bytes"),
    ],
)
def test_a_file_of_certs_d_that_cannot_be_used_is_named(
    name: str, content: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.io").mkdir()
    (tmp_path / "a.io" / name).write_text(content)
    with pytest.raises(Refused, match=said):
        trust_of("a.io", RegistrySettings(certs_dirs=(tmp_path,)), {})


def test_a_key_with_a_password_is_refused_and_asks_nobody(ca: PrivateCa, tmp_path: Path) -> None:
    key = forms.load_pem_private_key(ca.key_file.read_bytes(), None)
    locked = forms.BestAvailableEncryption(b"pass")
    (tmp_path / "a.io").mkdir()
    (tmp_path / "a.io" / "c.cert").write_bytes(ca.cert_file.read_bytes())
    (tmp_path / "a.io" / "c.key").write_bytes(
        key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked)
    )
    with pytest.raises(Refused, match="client certificate"):
        trust_of("a.io", RegistrySettings(certs_dirs=(tmp_path,)), {}).context()


def test_a_cluster_s_authority_that_is_none_is_named() -> None:
    with pytest.raises(Refused, match=r"the cluster's trusted CA of a\.io: holds no certificate"):
        trust_of("a.io", RegistrySettings(), {"a.io": "-----BEGIN nothing"})
    bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    with pytest.raises(Refused, match="a trusted CA cannot be used"):
        trust_of("a.io", RegistrySettings(), {"a.io": bad}).context()


def test_a_bundle_may_hold_comments_and_a_host_its_usual_port(ca: PrivateCa) -> None:
    """OpenShift's bundle names authorities like Főtanúsítvány; OpenSSL reads ASCII only."""
    pem = f"# Főtanúsítvány\n{ca.ca_file.read_text()}\n# the same again\n{ca.ca_file.read_text()}"
    trust = trust_of("a.io", RegistrySettings(), {"a.io:443": pem})
    assert len(trust.authorities) == 1
    trust.context()


def test_a_redirect_to_dots_reads_no_other_directory(ca: PrivateCa, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(ca.ca_file.read_bytes())
    (tmp_path / "certs.d").mkdir()
    settings = RegistrySettings(certs_dirs=(tmp_path / "certs.d",))
    assert trust_of("..", settings, {}).authorities == ()


async def test_tls_that_breaks_within_an_answer_is_a_broken_answer(ca: PrivateCa) -> None:
    """httpx lets the error of the ssl module out as it is."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = ca.server_context().wrap_bio(coming, going, server_side=True)
        request = b""
        while not request:
            try:
                request = tls.read()
            except ssl.SSLWantReadError:
                writer.write(going.read())
                coming.write(await reader.read(65536))
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        writer.write(going.read() + b"no record of TLS at all")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        once = settings_for(host, ca.ca_file, attempts=1)
        async with RegistryClient.opened(once) as client:
            with pytest.raises(Transient, match="ReadError"):
                await client.manifest((Repository(f"{host}/a"), "latest"))


async def test_insecure_believes_every_certificate(registry: Running) -> None:
    settings = replace(registry.settings, insecure=True)
    async with RegistryClient.opened(settings) as client:
        assert await reached(registry, client)


@pytest.mark.parametrize("way", ["basic", "bearer"])
async def test_insecure_goes_on_over_http_where_there_is_no_tls(way: str) -> None:
    access = Access(way, {USER: Account(PASSWORD)})  # type: ignore[arg-type]
    async with simulated_registry(access=access) as registry:
        settings = replace(registry.settings, insecure_hosts=frozenset(), insecure=True)
        async with RegistryClient.opened(settings, registry.credentials) as client:
            ref = await push(client, registry.repository("a/b"), base_image())
            assert await client.config(ref)
            assert client._transport.base(registry.host).scheme == "http"  # TLS is tried once
            with pytest.raises(Unauthorised):
                await client.using(Credentials()).config(ref)


async def test_insecure_tells_why_tls_failed_where_http_fails_too() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    settings = RegistrySettings(insecure=True, attempts=1, use_proxy_environment=False)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with RegistryClient.opened(settings) as client:
            # Over plain HTTP it is "the answer broke off".
            with pytest.raises(Transient, match=r"HEAD https://127.* no connection"):
                await client.exists((Repository(f"{host}/a"), "latest"))


async def test_insecure_never_leaves_the_tls_a_host_has_spoken(ca: PrivateCa) -> None:
    async with simulated_registry(tls=ca) as registry:
        assert registry.simulated
        port = int(registry.host.partition(":")[2])
        settings = replace(registry.settings, insecure=True, attempts=1)
        async with RegistryClient.opened(settings) as client:
            assert await reached(registry, client)
            await registry.simulated._runner.cleanup()
            async with SimulatedRegistry(port=port) as plain:
                with pytest.raises(Refused, match="does not speak TLS"):
                    await reached(registry, client)
                assert not plain.requests


async def test_insecure_sends_a_login_to_its_own_host_only() -> None:
    async with simulated_registry() as other, simulated_registry(basic=True) as registry:
        assert registry.simulated
        assert other.simulated
        away = (("Location", f"{other.url}/v2/a/manifests/latest"),)
        settings = replace(registry.settings, insecure_hosts=frozenset(), insecure=True)
        async with RegistryClient.opened(settings, registry.credentials) as client:
            assert await reached(registry, client)
            registry.simulated.faults.append(Fault("redirect", "HEAD", headers=away))
            assert await reached(registry, client)
        assert [s.headers.get("Authorization") for s in other.simulated.requests] == [None]

"""Getting in: kubeconfig, service account, token file; TLS, proxies, renewal after a 401."""

import asyncio
import base64
import json
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from simulator.apiserver import ApiServer
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import BRIEF, START, VirtualTime, pool, until
from watcher.clients.kube import credentials
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import Credentials, TokenFile
from watcher.core.facts import ClusterName, PoolName
from watcher.ports import Refused

INFRA = PoolName("infra")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    authority.cert_pem.write_to_path(path)
    return path


@asynccontextmanager
async def secure_server(
    authority: trustme.CA, *, client_certificates: bool = False, **options: Any
) -> AsyncIterator[ApiServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    if client_certificates:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    async with ApiServer.start(ssl_context=context, **options) as api:
        infra = pool("infra", 0)
        infra["metadata"] = {"name": "infra"}
        api.writer.create(served.POOLS, infra)
        yield api


def a_cluster(found: Credentials, time: VirtualTime | None = None) -> KubeCluster:
    time = time or VirtualTime()
    return KubeCluster(
        ClusterName("east"),
        credentials=found,
        clock=time,
        limits=BRIEF,
        monotonic=time.monotonic,
        sleep=time.sleep,
    )


async def read_and_write(found: Credentials) -> None:
    """One request of each way to the server."""
    async with a_cluster(found) as cluster:
        await cluster.annotate_pool(INFRA, {"relayer.io/seen": "yes"})
        assert (await cluster.read_pool(INFRA)).meta.annotations == {"relayer.io/seen": "yes"}


def kubeconfig(
    directory: Path, url: str, *, user: dict[str, Any], **cluster: Any
) -> credentials.Library:
    content = {
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "east", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "east",
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return credentials.from_kubeconfig(path, context=None, clock=VirtualTime())


async def test_a_token_file_and_a_ca_are_enough(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("good\n")
    async with secure_server(authority, tokens={"good": "relayer"}) as api:
        await read_and_write(TokenFile(api.url, token_file=tmp_path / "token", ca_file=ca_file))


async def test_a_token_in_a_kubeconfig_works(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    async with secure_server(authority, tokens={"good": "relayer"}) as api:
        found = kubeconfig(
            tmp_path, api.url, user={"token": "good"}, **{"certificate-authority": str(ca_file)}
        )
        before = (tmp_path / "kubeconfig").read_bytes()
        await read_and_write(found)
        assert (tmp_path / "kubeconfig").read_bytes() == before


async def test_a_client_certificate_in_a_kubeconfig_works(
    authority: trustme.CA, tmp_path: Path
) -> None:
    certificate = authority.issue_cert("relayer@example.com", common_name="relayer")
    user = {
        "client-certificate-data": _base64(certificate.cert_chain_pems[0].bytes()),
        "client-key-data": _base64(certificate.private_key_pem.bytes()),
    }
    async with secure_server(authority, client_certificates=True) as api:
        ca = {"certificate-authority-data": _base64(authority.cert_pem.bytes())}
        found = kubeconfig(tmp_path, api.url, user=user, **ca)
        await read_and_write(found)
        other_name = kubeconfig(
            tmp_path,
            api.url,
            user=user,
            **ca,
            **{"tls-server-name": "localhost"},
        )
        await read_and_write(other_name)


async def test_an_exec_plugin_gives_the_token(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    status = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "good", "expirationTimestamp": "2030-01-01T00:00:00Z"},
    }
    plugin = ["-c", f"print({json.dumps(status)!r})"]
    async with secure_server(authority, tokens={"good": "relayer"}) as api:
        found = kubeconfig(
            tmp_path,
            api.url,
            user={
                "exec": {
                    "apiVersion": status["apiVersion"],
                    "command": sys.executable,
                    "args": plugin,
                }
            },
            **{"certificate-authority": str(ca_file)},
        )
        await read_and_write(found)


async def test_an_exec_plugin_that_fails_is_named(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/false"}
    found = kubeconfig(tmp_path, "https://127.0.0.1:1", user={"exec": plugin})
    with pytest.raises(Refused, match="/bin/false gave no credentials; run it by hand"):
        await found.current()


async def test_a_service_account_works_and_its_token_is_renewed(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("first")
    async with secure_server(authority, tokens={"first": "relayer"}) as api:
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
        found = credentials.in_cluster(clock=VirtualTime(), directory=tmp_path, environ=environ)
        await read_and_write(found)
        api._tokens = {"second": "relayer"}
        (tmp_path / "token").write_text("second")
        await read_and_write(found)


async def test_outside_of_a_pod_there_is_no_service_account(tmp_path: Path) -> None:
    found = credentials.in_cluster(clock=VirtualTime(), directory=tmp_path, environ={})
    with pytest.raises(Refused, match="outside of a cluster give a kubeconfig"):
        await found.current()


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
async def test_a_replaced_token_is_read_again_after_a_401(write: bool, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    tokens = {"old": "relayer"}
    async with ApiServer.start(tokens=tokens) as api:
        infra = pool("infra", 0)
        infra["metadata"] = {"name": "infra"}
        api.writer.create(served.POOLS, infra)
        async with a_cluster(TokenFile(api.url, token_file=file)) as cluster:
            await cluster.read_pool(INFRA)
            api._tokens = {"new": "relayer"}
            file.write_text("new")
            if write:
                await cluster.annotate_pool(INFRA, {"relayer.io/a": "1"})
            else:
                await cluster.read_pool(INFRA)


async def test_credentials_that_stay_wrong_are_not_read_for_every_request(tmp_path: Path) -> None:
    class Counting(TokenFile):
        renewals = 0

        async def renew(self) -> bool:
            Counting.renewals += 1
            return await super().renew()

    (tmp_path / "token").write_text("wrong")
    time = VirtualTime()
    async with ApiServer.start(tokens={"right": "relayer"}) as api:
        found = Counting(api.url, token_file=tmp_path / "token", monotonic=time.monotonic)
        async with a_cluster(found, time) as cluster:
            for _ in range(5):
                with pytest.raises(Refused, match="renew the token or kubeconfig"):
                    await cluster.read_pool(INFRA)
            assert Counting.renewals == 2, "once to begin with, once after the first 401"


async def test_a_certificate_of_another_authority_is_refused_with_the_cause(
    authority: trustme.CA, tmp_path: Path
) -> None:
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(other)
    async with (
        secure_server(authority) as api,
        a_cluster(TokenFile(api.url, ca_file=other)) as cluster,
    ):
        with pytest.raises(Refused, match="certificate-authority"):
            await cluster.read_pool(INFRA)
        with pytest.raises(Refused, match="certificate-authority"):
            await cluster.annotate_pool(INFRA, {})


async def test_a_name_that_does_not_resolve_is_told() -> None:
    async with a_cluster(TokenFile("http://no-such-host.invalid:6443")) as cluster:
        with pytest.raises(Exception, match="does not resolve"):
            await cluster.read_pool(INFRA)
        with pytest.raises(Exception, match="does not resolve"):
            await cluster.annotate_pool(INFRA, {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "does not exist", id="missing"),
        pytest.param("directory", "cannot be read", id="directory"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\xff\xfe", "no UTF-8", id="no text"),
        pytest.param(b"a: [", "no YAML", id="no YAML"),
        pytest.param(b"clusters: []", "names no cluster", id="no cluster"),
        pytest.param(b"clusters: [{}]\ncurrent-context: x", "cannot be used", id="no contexts"),
    ],
)
async def test_an_unusable_kubeconfig_is_refused_before_the_first_call(
    content: bytes | str | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    if content == "directory":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    found = credentials.from_kubeconfig(path, context=None, clock=VirtualTime())
    with pytest.raises(Refused, match=says):
        await a_cluster(found).__aenter__()


async def test_an_unknown_context_is_refused(tmp_path: Path) -> None:
    kubeconfig(tmp_path, "https://127.0.0.1:1", user={"token": "t"})
    found = credentials.from_kubeconfig(
        tmp_path / "kubeconfig", context="west", clock=VirtualTime()
    )
    with pytest.raises(Refused, match="west"):
        await found.current()


async def test_an_expired_token_is_refused_before_the_first_call(tmp_path: Path) -> None:
    claims = json.dumps({"exp": int((START - timedelta(hours=1)).timestamp())}).encode()
    token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.x"
    found = kubeconfig(tmp_path, "https://127.0.0.1:1", user={"token": token})
    with pytest.raises(Refused, match=r"token .* expired at 2026-11-21 11:00 UTC; log in again"):
        await found.current()


async def test_an_expired_client_certificate_is_refused_before_the_first_call(
    authority: trustme.CA, tmp_path: Path
) -> None:
    over = authority.issue_cert("relayer", not_after=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    user = {
        "client-certificate-data": _base64(over.cert_chain_pems[0].bytes()),
        "client-key-data": _base64(over.private_key_pem.bytes()),
    }
    found = kubeconfig(tmp_path, "https://127.0.0.1:1", user=user)
    with pytest.raises(Refused, match=r"client certificate .* expired at 2026-03-04 05:06 UTC"):
        await found.current()


async def test_a_token_is_not_sent_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    found = TokenFile("http://api.example.com", token_file=tmp_path / "token")
    with pytest.raises(Refused, match="not sent over plain http"):
        await a_cluster(found).__aenter__()


@pytest.mark.parametrize("token", ["two\nlines", "nul\x00", "umläut"])
async def test_a_token_that_is_none_is_refused(token: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token)
    found = TokenFile("http://127.0.0.1:1", token_file=tmp_path / "token")
    async with a_cluster(found) as cluster:
        with pytest.raises(Refused, match="write it anew"):
            await cluster.read_pool(INFRA)
        with pytest.raises(Refused, match="write it anew"):
            await cluster.annotate_pool(INFRA, {})


@pytest.mark.parametrize("url", ["", "ftp://x", "https://", "127.0.0.1:6443"])
async def test_an_url_or_a_ca_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="URL"):
        await a_cluster(TokenFile(url)).__aenter__()
    with pytest.raises(Refused, match="CA or client certificate unusable"):
        await a_cluster(TokenFile("https://x", ca_file=tmp_path / "none")).__aenter__()


@pytest.mark.parametrize("password", ["", "robot:pass%3Aword@"], ids=["open", "with password"])
async def test_reads_and_writes_go_through_a_proxy(
    password: str, authority: trustme.CA, ca_file: Path
) -> None:
    asked: list[bytes] = []
    async with secure_server(authority) as api, _proxy(asked) as port:
        proxy = f"http://{password}127.0.0.1:{port}"
        await read_and_write(TokenFile(api.url, ca_file=ca_file, proxy=proxy))
        assert len(asked) == 2
        for head in asked:
            assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % api.port)
            secret = base64.b64encode(b"robot:pass:word")
            assert (b"Basic " + secret in head) == bool(password)


async def test_a_proxy_that_says_no_is_told(authority: trustme.CA, ca_file: Path) -> None:
    async def no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(no, "127.0.0.1", 0) as server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = TokenFile("https://127.0.0.1:1", ca_file=ca_file, proxy=proxy)
        async with a_cluster(found) as cluster:
            with pytest.raises(Exception, match="the proxy answered CONNECT with 407"):
                await cluster.read_pool(INFRA)


async def test_a_watch_over_tls_brings_changes(authority: trustme.CA, ca_file: Path) -> None:
    async with (
        secure_server(authority) as api,
        a_cluster(TokenFile(api.url, ca_file=ca_file)) as cluster,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(cluster.reflectors["MachineConfigPool"].run())
        await until(lambda: cluster.view().pools)
        api.writer.patch(served.POOLS, ("", "infra"), lambda o: {**o, "spec": {"paused": True}})
        await until(lambda: cluster.view().pools["infra"].paused)
        task.cancel()


@asynccontextmanager
async def _proxy(asked: list[bytes]) -> AsyncIterator[int]:
    """Tunnels CONNECT, as a company's proxy does."""
    open_ends: list[asyncio.StreamWriter] = []

    async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(65536):
                to.write(block)
        except ConnectionError:
            pass
        to.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        open_ends.extend((writer, far_writer))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, far_writer))
            group.create_task(pump(far_reader, writer))

    async with await asyncio.start_server(tunnel, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for end in open_ends:
            end.close()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

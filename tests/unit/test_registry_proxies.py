"""Through a proxy, past a proxy, and what is told of one that refuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from simulator.registry.images import base_image, push
from tests.registries import PrivateCa, settings_for, simulated_registry
from watcher.clients.registry import Credentials, RegistryClient
from watcher.clients.registry.proxies import proxy_for
from watcher.core.facts import Repository
from watcher.ports import Refused, Transient

NAME = "registry.example.test"
"""Only the proxy knows where that is."""
LOGIN = "Basic dXNlcjpzM2NyZXQ="


@dataclass(slots=True)
class Proxy:
    """Tunnels by CONNECT, and forwards plain requests, all to one port of this machine."""

    port: int
    url: str = ""
    wants_login: bool = False
    seen: list[str] = field(default_factory=list)
    """First line and login of each request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        login = next((h for h in head.split("\r\n") if h.lower().startswith("proxy-auth")), "")
        self.seen.append(f"{head.partition(' HTTP')[0]} {login.partition(': ')[2]}".strip())
        if self.wants_login and LOGIN not in login:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        if head.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            method, address, rest = head.split(" ", 2)
            far_writer.write(f"{method} {httpx.URL(address).path} {rest}".encode())
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, far_writer))
            group.create_task(_pump(far_reader, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


def port_of(host: str) -> int:
    return int(host.rpartition(":")[2])


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
async def test_https_goes_through_a_tunnel(variable: str, tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca", NAME)
    async with simulated_registry(tls=ca, basic=True) as registry:
        host = f"{NAME}:{port_of(registry.host)}"
        login = Credentials({host: registry.credentials.logins[registry.host]})
        proxied = replace(settings_for(host, ca.ca_file), use_proxy_environment=True)
        async with proxy_to(port_of(registry.host)) as proxy:
            environ = {variable: f"http://user:s3cret@{proxy.url}"}
            async with RegistryClient.opened(proxied, login, environ=environ) as client:
                assert await push(client, Repository(f"{host}/a/b"), base_image())
            # The login for the registry stays inside the tunnel.
            assert set(proxy.seen) == {f"CONNECT {host} {LOGIN}"}
            assert len(proxy.seen) <= 2  # one for reading, one for writing


async def test_plain_http_goes_through_its_own_proxy() -> None:
    async with simulated_registry() as registry:
        host = f"{NAME}:{port_of(registry.host)}"
        proxied = replace(settings_for(host, None), use_proxy_environment=True)
        async with proxy_to(port_of(registry.host)) as proxy:
            environ = {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": "http://127.0.0.1:1"}
            async with RegistryClient.opened(proxied, environ=environ) as client:
                assert not await client.exists((Repository(f"{host}/a"), "latest"))
            assert proxy.seen == [f"HEAD http://{host}/v2/a/manifests/latest"]


async def test_a_proxy_that_wants_a_login_is_told_at_once_without_ours(tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca", NAME)
    async with simulated_registry(tls=ca) as registry:
        host = f"{NAME}:{port_of(registry.host)}"
        proxied = replace(settings_for(host, ca.ca_file), use_proxy_environment=True)
        async with proxy_to(port_of(registry.host)) as proxy:
            proxy.wants_login = True
            environ = {"HTTPS_PROXY": f"http://user:wr0ng@{proxy.url}"}
            async with RegistryClient.opened(proxied, environ=environ) as client:
                with pytest.raises(Refused, match=r"407.*HTTPS_PROXY.*NO_PROXY") as caught:
                    await client.exists((Repository(f"{host}/a"), "latest"))
            assert len(proxy.seen) == 1
    assert "wr0ng" not in str(caught.value)


async def test_a_proxy_that_is_away_is_told_without_its_login() -> None:
    settings = replace(settings_for(NAME, None, attempts=1), use_proxy_environment=True)
    environ = {"HTTP_PROXY": "http://user:s3cret@127.0.0.1:1"}
    async with RegistryClient.opened(settings, environ=environ) as client:
        with pytest.raises(Transient, match="no connection") as caught:
            await client.exists((Repository(f"{NAME}/a"), "latest"))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["socks5://user:s3cret@a:1", "http://user:s3cret@a:port", "http://user:s3cret@[", "ftp://a"],
)
async def test_an_address_of_no_use_is_named_and_not_shown(value: str) -> None:
    settings = replace(settings_for(NAME, None), use_proxy_environment=True)
    async with RegistryClient.opened(settings, environ={"HTTP_PROXY": value}) as client:
        with pytest.raises(Refused, match="HTTP_PROXY is no address of a proxy") as caught:
            await client.exists((Repository(f"{NAME}/a"), "latest"))
    assert "s3cret" not in str(caught.value)


async def test_the_environment_counts_only_if_it_shall() -> None:
    direct = settings_for(NAME, None, attempts=1)
    async with proxy_to(1) as proxy:
        environ = {"HTTP_PROXY": proxy.url}
        async with RegistryClient.opened(direct, environ=environ) as client:
            with pytest.raises(Transient, match="does not resolve"):
                await client.exists((Repository(f"{NAME}/a"), "latest"))
        assert proxy.seen == []


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_proxied"),
    [
        ("quay.io", "", True),
        ("quay.io", "*", False),
        ("quay.io", "example.com, quay.io", False),
        ("cdn.quay.io", "quay.io", False),
        ("notquay.io", "quay.io", True),
        ("quay.io", ".quay.io", True),
        ("cdn.quay.io", ".quay.io", False),
        ("cdn.quay.io", "*.quay.io", False),
        ("QUAY.io", "quay.IO", False),
        ("quay.io", "quay.io:443", False),
        ("quay.io", "quay.io:8443", True),
        ("quay.io:8443", "quay.io:8443", False),
        ("image-registry.openshift-image-registry.svc:5000", ".cluster.local,.svc", False),
        ("10.128.3.4:5000", "10.128.0.0/14,172.30.0.0/16", False),
        ("10.200.3.4", "10.128.0.0/14", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3", "2.3", True),
        ("[fd02::5]:5000", "fd02::/112", False),
        ("[fd02::5]", "[fd02::5]:443", False),
        ("127.0.0.1", "", False),
        ("localhost:5000", "", False),
        ("[::1]", "", False),
    ],
)
def test_no_proxy_is_read_as_go_programs_read_it(
    host: str, no_proxy: str, is_proxied: bool
) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy}
    proxy = proxy_for(httpx.URL(f"https://{host}/v2/"), environ)
    assert (proxy is not None) == is_proxied


def test_each_scheme_has_its_own_proxy() -> None:
    environ = {"HTTPS_PROXY": "secure:1", "http_proxy": "http://plain:2"}
    found = [proxy_for(httpx.URL(f"{scheme}://a.io"), environ) for scheme in ("https", "http")]
    assert [str(proxy.url) for proxy in found if proxy] == ["http://secure:1", "http://plain:2"]
    assert proxy_for(httpx.URL("http://a.io"), {"HTTPS_PROXY": "secure:1"}) is None

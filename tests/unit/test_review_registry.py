"""Found by a review of the registry client: what leaked, lied or was left open."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from simulator.registry import Access, Account, Fault
from simulator.registry.images import Tag, base_image, push, release_image
from tests.mirrored import IMAGE, LAYER, World, a_world, read, seen
from tests.registries import PASSWORD, USER, PrivateCa, Running, simulated_registry
from watcher.clients.access import Fixed
from watcher.clients.images import RegistryImages
from watcher.clients.registry import (
    RegistryClient,
    RegistrySettings,
)
from watcher.clients.registry.auth import _Token
from watcher.clients.registry.calls import Call, authority
from watcher.clients.registry.model import (
    digest_of,
)
from watcher.clients.registry.pace import Slot
from watcher.clients.registry.pools import MOST_HOSTS, Pools
from watcher.core.facts import ClusterName, Repository
from watcher.core.mirrors import MirrorRule, Mirrors
from watcher.ports import Refused, Transient


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


# --- logins ---------------------------------------------------------------------------------


@pytest.mark.parametrize("insecure", [False, True])
async def test_a_registry_without_tls_cannot_send_a_login_to_another_host_in_the_clear(
    insecure: bool,
) -> None:
    async with simulated_registry() as other, simulated_registry(bearer=True) as registry:
        assert registry.simulated
        assert other.simulated
        port = other.host.partition(":")[2]
        challenge = f'Bearer realm="http://localhost:{port}/token",service="x"'
        fault = Fault("status", status=401, headers=(("WWW-Authenticate", challenge),))
        registry.simulated.faults.append(fault)
        chosen = replace(registry.settings, insecure=insecure)
        async with RegistryClient.opened(chosen, registry.credentials) as client:
            with pytest.raises(Refused, match="token server without https: http://localhost"):
                await client.manifest((registry.repository("a"), "latest"))
        assert not other.simulated.requests


async def test_a_token_server_named_for_plain_http_is_asked_over_it() -> None:
    access = Access("bearer", {USER: Account(PASSWORD)})
    async with simulated_registry(access=access) as registry:
        assert registry.simulated
        image = base_image()
        port = registry.host.partition(":")[2]
        challenge = f'Bearer realm="http://localhost:{port}/token",service="x"'
        hosts = registry.settings.insecure_hosts | {f"localhost:{port}"}
        chosen = replace(registry.settings, insecure_hosts=hosts)
        async with RegistryClient.opened(chosen, registry.credentials) as client:
            ref = await push(client, registry.repository("a"), image)
            client = client.using(registry.credentials)  # no token yet
            fault = Fault("status", status=401, headers=(("WWW-Authenticate", challenge),))
            registry.simulated.faults.append(fault)
            assert await client.manifest(ref)


async def test_a_user_in_an_upload_s_address_replaces_no_login() -> None:
    async with simulated_registry(basic=True) as registry:
        assert registry.simulated
        async with RegistryClient.opened(registry.settings, registry.credentials) as client:
            repository = registry.repository("a")
            await client.upload_blob(repository, b"first", digest=digest_of(b"first"))
            planted = f"http://robot:planted@{registry.host}/v2/a/blobs/uploads/1"
            away = (("Location", planted),)
            fault = Fault("status", "POST", status=202, headers=away)
            registry.simulated.faults.append(fault)
            with pytest.raises(Refused):
                await client.upload_blob(repository, b"second", digest=digest_of(b"second"))
        shown = {s.headers.get("Authorization") for s in registry.simulated.requests}
    assert len(shown - {None}) == 1


def test_a_call_and_a_token_show_no_secret_where_locals_are_printed() -> None:
    url = httpx.URL("https://robot:pw1@a.example/token?signature=pw2")
    call = Call("POST", url, {"Authorization": "Basic pw3"}, b"refresh_token=pw4")
    for text in (repr(call), str(call), repr(_Token("Bearer pw5", 1.0))):
        assert "pw" not in text


@pytest.mark.parametrize(
    "host", ["xn--fsqu00a.example", "xn--fsqu00a.example:5000", "[::1]", "[::1]:5000", "a.example"]
)
def test_a_host_is_called_as_in_its_pullspec(host: str) -> None:
    """Its CA, its trust and its pace are found by that name."""
    assert authority(httpx.URL(f"https://{host}/v2/")) == host


# --- connections ----------------------------------------------------------------------------


async def test_a_pool_that_is_taken_while_others_are_closed_stays_open() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    loop = asyncio.get_running_loop()
    pools = Pools(RegistrySettings(), monotonic=loop.time, environ={})
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
        stack.push_async_callback(pools.aclose)
        first = httpx.URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        urls = [first, *(httpx.URL(f"http://127.0.0.1:{n}/") for n in range(1, MOST_HOSTS + 5))]
        slots = [Slot() for _ in urls]
        for url, slot in zip(urls, slots, strict=True):
            await pools.client(url, None, slot)
        # An idle connection takes a moment to be closed.
        await (await pools.client(first, None, Slot())).get(first)
        pools._pools = {key: pools._pools[key] for key in reversed(pools._pools)}
        for pool in pools._pools.values():
            pool.users = 0
        closing = asyncio.create_task(
            pools.client(httpx.URL("http://127.0.0.1:999/"), None, Slot())
        )
        await asyncio.sleep(0)
        taken = await pools.client(urls[-1], None, Slot())
        await closing
        assert not taken.is_closed
        assert len(pools._pools) <= MOST_HOSTS + 1


async def test_clusters_of_other_trusts_do_not_multiply_a_host_s_connections(
    tmp_path: Path,
) -> None:
    authorities = [PrivateCa.made_in(tmp_path / name) for name in "abc"]
    async with simulated_registry(tls=authorities[0]) as registry:
        assert registry.simulated
        async with RegistryClient.opened(registry.settings) as client:
            ref = await push(client, registry.repository("a"), base_image())
            for one in authorities:
                view = client.using(trusted={registry.host: one.ca_file.read_text()})
                await asyncio.gather(*(view.manifest(ref) for _ in range(8)))
            server = registry.simulated._runner.server
            assert server
            async with asyncio.timeout(5):
                while len(server.connections) > registry.settings.connections:
                    await asyncio.sleep(0)
            assert server.connections


# --- what is read once ----------------------------------------------------------------------


async def test_nobody_is_told_an_exception_that_another_is_told(registry: Running) -> None:
    async with RegistryClient.opened(replace(registry.settings, attempts=1)) as client:
        images = RegistryImages(Fixed(client))
        assert registry.simulated
        busy = Fault("status", status=429, headers=(("Retry-After", "7"),), count=9)
        registry.simulated.faults.append(busy)
        ref = registry.repository("a").at(IMAGE.digest)
        told = await asyncio.gather(*(images.facts(ref) for _ in range(3)), return_exceptions=True)
    assert len({id(error) for error in told}) == 3
    assert len({str(error) for error in told}) == 1
    assert [type(error) for error in told] == [Transient] * 3
    assert {error.retry_after_seconds for error in told if isinstance(error, Transient)} == {7.0}


async def test_clusters_do_not_wait_for_each_other_s_failures_one_after_the_other(
    registry: Running,
) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        ref = await push(client, registry.repository("a"), base_image())
        images = RegistryImages(Fixed(client))
        assert registry.simulated
        registry.simulated.faults.append(Fault("status", "GET", status=403))
        registry.simulated.faults.append(Fault("hang", "GET", count=2))
        names = map(ClusterName, "abc")
        tasks = [asyncio.create_task(images.seen_from(name).facts(ref)) for name in names]
        async with asyncio.timeout(5):
            # The first was refused; now the two others ask, and neither waits for the other.
            while registry.simulated.count("GET", ".*/manifests/.*") < 3:
                await asyncio.sleep(0)
        assert tasks[0].done()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Planted:
    """A store whose record was written by something else."""

    def __init__(self, change: Mapping[str, object]) -> None:
        self.change = change
        self.value: dict[str, object] = {}

    async def keep(self, key: str, value: Mapping[str, object]) -> None:
        self.value = {**value, **self.change}

    async def kept(self, key: str) -> Mapping[str, object]:
        return self.value


OTHER = "quay.io/a/b@sha256:" + "cd" * 32


@pytest.mark.parametrize(
    "change",
    [
        {"image": OTHER, "version": "4.0.0"},
        {"tags": "rhel-coreos"},
        {"tags": {"rhel-coreos": 3}},
        {"annotations": {"rhel-coreos": "x"}},
        {"version": None},
        {"metadata": []},
    ],
)
async def test_a_payload_s_record_that_is_not_ours_is_read_anew(
    registry: Running, change: Mapping[str, object]
) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        image = release_image("4.18.9", {"rhel-coreos": Tag(OTHER)})
        ref = await push(client, registry.repository("release"), image)
        store = Planted(change)
        first = await RegistryImages(Fixed(client), store).payload(ref)
        assert await RegistryImages(Fixed(client), store).payload(ref) == first


@pytest.mark.parametrize(
    "change",
    [
        {"image": OTHER, "os": "plan9"},
        {"labels": ["a"]},
        {"diff_ids": "sha256"},
        {"architecture": 3},
        {"architecture": "s390x", "os": "plan9"},
        {"platforms": "linux/amd64"},
        {"created": None},
    ],
)
async def test_an_image_s_record_that_is_not_ours_is_read_anew(
    registry: Running, change: Mapping[str, object]
) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        ref = await push(client, registry.repository("os"), base_image())
        store = Planted(change)
        first = await RegistryImages(Fixed(client), store).facts(ref)
        assert await RegistryImages(Fixed(client), store).facts(ref) == first


# --- mirrors --------------------------------------------------------------------------------


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        yield made


@pytest.mark.parametrize("never", [False, True])
async def test_what_a_tag_led_to_in_a_mirror_for_tags_is_read_there(
    world: World, never: bool
) -> None:
    """As a node does: the place that knew the tag gives out the whole image."""
    name = Repository("source.invalid/ocp/base")
    mirrors = (f"{world.first.host}/mirror",)
    rule = MirrorRule(
        source="source.invalid", mirrors=mirrors, by_digest=False, never_contact_source=never
    )
    client = await world.client(Mirrors((rule,)), attempts=1)
    manifest = await client.platform_manifest((name, "x"))
    assert manifest.ref == name.at(IMAGE.digest)
    assert await client.config_of(manifest)
    assert await read(client, name, LAYER) == LAYER
    await client.readable((name, "x"))
    assert await client.manifest(manifest.ref)
    # Who never asked for the tag looks where the rules for digests say: as a node would.
    with pytest.raises((Refused, Transient)):
        await client.using().manifest(manifest.ref)
    assert seen(world.source) == 0

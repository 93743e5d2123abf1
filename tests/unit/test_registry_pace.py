"""How often and how many at once one host is asked."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.registry import Access, Account, Fault, SimulatedRegistry
from simulator.registry.images import base_image, push
from tests.registries import PASSWORD, USER, Running, settings_for, simulated_registry
from tests.virtual_time import virtually
from watcher.clients.registry import Credentials, Login, RegistryClient, RegistrySettings
from watcher.clients.registry.calls import Call, Side
from watcher.clients.registry.model import digest_of
from watcher.clients.registry.pace import LONGEST_HOLD_SECONDS, Lane, Pace
from watcher.clients.registry.pools import MOST_HOSTS
from watcher.clients.registry.transport import Transport
from watcher.core.facts import Digest, Pullspec, Repository
from watcher.ports import Transient

MANIFESTS, BLOBS = r"/v2/.*/manifests/.*", r"/v2/.*/blobs/sha256:.*"
LARGE = 3_000_000
"""More than the sockets of a connection hold: it stays open until somebody reads."""


class Time:
    """A clock, and sleeping that moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


def sim(registry: Running) -> SimulatedRegistry:
    assert registry.simulated
    return registry.simulated


async def large(client: RegistryClient, repository: Repository) -> Digest:
    data = os.urandom(LARGE)
    await client.upload_blob(repository, data, digest=digest_of(data))
    return digest_of(data)


async def drained(client: RegistryClient, repository: Repository, digest: Digest) -> int:
    return sum([len(part) async for part in client.blob(repository, digest, size=LARGE)])


async def answered(client: RegistryClient, ref: Pullspec) -> None:
    assert await client.manifest(ref)


def test_requests_are_spaced_after_a_small_burst() -> None:
    time = Time()
    pace = Pace(10.0, monotonic=time)
    waits = [pace.take() for _ in range(8)]
    assert waits == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4])
    time.now += 60.0  # a rest earns one burst, not six hundred requests
    assert [pace.take() for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.1])


@settings(max_examples=100)
@given(
    st.sampled_from([0.5, 2.0, 50.0]),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=40),
)
def test_no_second_sees_more_than_its_requests_and_a_burst(
    rate: float, pauses: list[float]
) -> None:
    time = Time()
    pace = Pace(rate, monotonic=time)
    sent = []
    for pause in pauses:
        time.now += pause
        sent.append(time.now + pace.take())
    for begin in sent:
        within = [at for at in sent if begin <= at < begin + 1.0 - 1e-6]
        assert len(within) <= rate + max(0.4 * rate, 1.0) + 1e-6


def test_a_pause_asked_for_is_kept_and_never_for_ever() -> None:
    time = Time()
    pace = Pace(10.0, monotonic=time)
    pace.hold(30.0)
    pace.hold(5.0)
    assert pace.held() == 30.0
    time.now = 29.0
    assert pace.held() == 1.0
    time.now = 31.0
    assert pace.held() == 0.0
    pace.hold(1e9)
    assert pace.held() == LONGEST_HOLD_SECONDS


async def test_a_client_keeps_the_pace(registry: Running) -> None:
    time = Time()
    paced = replace(registry.settings, requests_per_second=10.0)
    opened = RegistryClient.opened(paced, sleep=time.sleep, monotonic=time)
    async with opened as client:
        for _ in range(10):
            assert not await client.exists((registry.repository("a"), "latest"))
    assert time.now == pytest.approx(0.6)  # ten with four at once


async def test_retry_after_holds_back_everybody(registry: Running) -> None:
    time = Time()
    opened = RegistryClient.opened(registry.settings, sleep=time.sleep, monotonic=time)
    async with opened as client:
        ref = await push(client, registry.repository("a/b"), base_image())
        asked = (("Retry-After", "7"),)
        sim(registry).faults.append(Fault("status", path=MANIFESTS, status=429, headers=asked))
        await answered(client, ref)
        assert time.slept == [7.0]
        sim(registry).faults.append(Fault("status", path=MANIFESTS, status=429, headers=asked))
        impatient = Transport.patience(client._transport, attempts=1)
        with pytest.raises(Transient, match="429"):
            async with client._transport.send(
                Call("GET", client._url(ref.repository, f"manifests/{ref.digest}")),
                patience=impatient,
            ):
                pass
        # Another caller, with other credentials, waits although nobody told it.
        await answered(client.using(trusted={}, credentials=registry.credentials), ref)
        assert time.slept == [7.0, 7.0]


async def test_a_long_pause_is_told_to_the_others_and_not_waited_for(registry: Running) -> None:
    time = Time()
    opened = RegistryClient.opened(registry.settings, sleep=time.sleep, monotonic=time)
    async with opened as client:
        asked = (("Retry-After", "120"),)
        sim(registry).faults.append(Fault("status", "HEAD", status=503, headers=asked))
        ref = (registry.repository("a"), "latest")
        for said in ("answered 503", "asked for a pause of 120 s more"):
            with pytest.raises(Transient, match=said) as caught:
                await client.exists(ref)
            assert caught.value.retry_after_seconds == 120
        assert len(sim(registry).requests) == 1
        time.now = 121.0
        assert not await client.exists(ref)
    assert time.slept == []


async def test_one_host_s_pause_is_not_another_s(registry: Running) -> None:
    time = Time()
    async with simulated_registry() as other:
        hosts = frozenset({registry.host, other.host})
        both = replace(registry.settings, insecure_hosts=hosts)
        async with RegistryClient.opened(both, sleep=time.sleep, monotonic=time) as client:
            asked = (("Retry-After", "120"),)
            sim(registry).faults.append(Fault("status", "HEAD", status=503, headers=asked))
            with pytest.raises(Transient):
                await client.exists((registry.repository("a"), "latest"))
            assert not await client.exists((other.repository("a"), "latest"))


@pytest.mark.parametrize("connections", [1, 4])
async def test_no_more_connections_than_allowed(registry: Running, connections: int) -> None:
    allowed = replace(registry.settings, connections=connections)
    async with RegistryClient.opened(allowed) as client:
        ref = await push(client, registry.repository("a/b"), base_image())
        digest = await large(client, registry.repository("a/b"))
        clients = [client.using(registry.credentials) for _ in range(3)]
        await asyncio.gather(
            *(answered(one, ref) for one in clients * 10),
            *(drained(one, registry.repository("a/b"), digest) for one in clients * 3),
        )
    assert 0 < sim(registry).most_busy["read"] <= connections
    assert sim(registry).most_connections <= 2 * connections


@pytest.mark.parametrize("connections", [1, 4])
async def test_many_copies_on_one_host_finish(registry: Running, connections: int) -> None:
    """Each holds a connection for writing while it waits for one to read with."""
    source = registry.repository("rhcos/base")
    allowed = replace(registry.settings, connections=connections)
    async with RegistryClient.opened(allowed) as client:
        digest = await large(client, source)

        async def copied(n: int) -> None:
            target = registry.repository(f"team/{n}")
            await client.upload_blob(
                target, lambda: client.blob(source, digest, size=LARGE), digest=digest, size=LARGE
            )

        async with asyncio.timeout(20):
            await asyncio.gather(*(copied(n) for n in range(3 * connections)))
    assert sim(registry).most_connections <= 2 * connections
    assert max(sim(registry).most_busy.values()) <= connections


async def test_asking_for_a_token_never_waits_for_those_who_want_it() -> None:
    """All connections hold a 401 at once, and the token server is the same host."""
    access = Access("bearer", {USER: Account(PASSWORD)}, refresh_tokens={"identity": USER})
    async with simulated_registry(access=access) as registry:
        allowed = replace(registry.settings, connections=1)
        async with RegistryClient.opened(allowed, registry.credentials) as client:
            async with asyncio.timeout(20):
                source = registry.repository("rhcos/base")
                refs = await asyncio.gather(
                    *(push(client, registry.repository(f"a/{n}"), base_image()) for n in range(5))
                )
                digest = await large(client, source)
                await asyncio.gather(
                    *(answered(client.using(registry.credentials), ref) for ref in refs)
                )
                target = registry.repository("team/x")
                # This one asks by POST, and the copy holds the only connection for writing.
                fresh = client.using(Credentials({registry.host: Login(USER, "", "identity")}))
                await client.upload_blob(
                    target, lambda: fresh.blob(source, digest), digest=digest, size=LARGE
                )


async def test_waiting_for_a_connection_is_no_error(registry: Running) -> None:
    """httpx would give up (PoolTimeout) after its read timeout; here the call's time counts."""
    few = replace(registry.settings, connections=1, read_seconds=0.2)
    async with RegistryClient.opened(few) as client:
        ref = await push(client, registry.repository("a/b"), base_image())
        digest = await large(client, registry.repository("a/b"))
        blob = client.blob(registry.repository("a/b"), digest)
        await anext(blob)
        waiting = asyncio.ensure_future(answered(client, ref))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.5)
        await blob.aclose()
        await waiting


async def test_waiting_for_a_connection_ends_with_the_call_s_time(registry: Running) -> None:
    few = replace(registry.settings, connections=1, call_seconds=0.1)
    async with RegistryClient.opened(few) as client:
        digest = await large(client, registry.repository("a/b"))
        blob = client.blob(registry.repository("a/b"), digest)
        await anext(blob)
        with pytest.raises(Transient, match=r"within 0\.1 s"):
            await client.exists((registry.repository("a"), "latest"))
        await blob.aclose()
        assert not await client.exists((registry.repository("a"), "latest"))


async def test_an_answer_that_never_begins_is_given_up(registry: Running) -> None:
    brief = replace(registry.settings, blob_seconds=0.1)
    sim(registry).faults.append(Fault("hang", "POST"))
    async with Transport(brief) as transport:
        call = Call("POST", transport.base(registry.host).join("a/blobs/uploads/"))
        with pytest.raises(Transient, match=r"no answer began within 0\.1 s"):
            async with transport.send(call):
                pass


async def test_long_reads_leave_a_connection_to_small_calls(registry: Running) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        ref = await push(client, registry.repository("a/b"), base_image())
        digest = await large(client, registry.repository("a/b"))
        url = client._url(registry.repository("a/b"), f"blobs/{digest}")
        transport = client._transport
        entered = asyncio.Semaphore(0)

        async def hold(until: asyncio.Event) -> None:
            async with transport.send(Call("GET", url, bulk=True)):
                entered.release()
                await until.wait()

        done = asyncio.Event()
        holding = [asyncio.ensure_future(hold(done)) for _ in range(8)]
        for _ in range(3):
            await entered.acquire()
        async with asyncio.timeout(5):
            await answered(client, ref)
        assert entered.locked()  # the fourth is not theirs
        done.set()
        await asyncio.gather(*holding)


def test_a_cancelled_wait_loses_no_connection() -> None:
    async def many() -> None:
        lane = Lane(2, Pace(1000.0, monotonic=lambda: 0.0))
        held = [await lane.enter(Side.READ, is_long=False) for _ in range(2)]
        waiting = [
            asyncio.ensure_future(lane.enter(Side.READ, is_long=n % 2 == 0)) for n in range(6)
        ]
        await asyncio.sleep(1)
        for one in waiting:
            one.cancel()
        await asyncio.sleep(1)
        for slot in held:
            slot.release()
            slot.release()  # twice gives back once
        assert lane.is_idle
        again = [await lane.enter(Side.READ, is_long=False) for _ in range(2)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await lane.enter(Side.READ, is_long=False)
        for slot in again:
            slot.release()

    virtually(many())


async def test_cancelled_calls_lose_no_connection(registry: Running) -> None:
    async with RegistryClient.opened(replace(registry.settings, connections=2)) as client:
        ref = await push(client, registry.repository("a/b"), base_image())
        for n in range(40):
            calls = [asyncio.ensure_future(answered(client, ref)) for _ in range(6)]
            await asyncio.sleep(0.0005 * (n % 8))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(5):
            await asyncio.gather(*(answered(client, ref) for _ in range(6)))


async def test_a_failed_connection_gives_its_place_back() -> None:
    host = "127.0.0.1:1"
    once = settings_for(host, None, attempts=1, connections=1)
    async with RegistryClient.opened(once) as client:
        for _ in range(3):
            with pytest.raises(Transient, match="no connection"):
                async with asyncio.timeout(5):
                    await client.exists((Repository(f"{host}/a"), "latest"))


async def test_hosts_beyond_number_are_forgotten() -> None:
    """A redirect may name any host: what is kept of them has an end."""
    hosts = [f"127.0.{n // 200}.{n % 200 + 1}:1" for n in range(2 * MOST_HOSTS)]
    many = replace(
        RegistrySettings(use_proxy_environment=False, attempts=1), insecure_hosts=frozenset(hosts)
    )
    async with RegistryClient.opened(many) as client:
        for host in hosts:
            with pytest.raises(Transient):
                await client.exists((Repository(f"{host}/a"), "latest"))
        pools = client._transport._pools
        assert len(pools._pools) <= MOST_HOSTS
        assert len(pools._lanes) <= MOST_HOSTS


async def test_a_name_that_does_not_resolve_costs_no_more_attempts_than_asked() -> None:
    time = Time()
    async with Transport(
        RegistrySettings(), sleep=time.sleep, monotonic=time, environ={}
    ) as transport:
        call = Call("GET", transport.base("registry.invalid"))
        for attempts in (1, 2):
            time.slept.clear()
            with pytest.raises(Transient, match="does not resolve; check"):
                async with transport.send(call, patience=transport.patience(attempts=attempts)):
                    pass
            assert len(time.slept) == attempts - 1

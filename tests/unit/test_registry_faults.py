"""What the registry client does when a registry is busy, broken or slow."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.registry import Fault
from simulator.registry.images import base_image, push
from tests.registries import Running, simulated_registry
from watcher.clients.registry import (
    NotFound,
    RegistryClient,
    RegistrySettings,
    Unauthorised,
)
from watcher.clients.registry.model import digest_of
from watcher.core.facts import Pullspec, Repository
from watcher.ports import Refused, Transient

MANIFESTS, BLOBS = r"/v2/.*/manifests/.*", r"/v2/.*/blobs/sha256:.*"
SIZED = 3_000_000


class Pauses(list[float]):
    """Stands in for sleeping and its clock; keeps how long was asked for."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def monotonic(self) -> float:
        return sum(self)


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry() as running:
        yield running


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def client(registry: Running, pauses: Pauses) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(
        registry.settings, sleep=pauses, monotonic=pauses.monotonic
    ) as opened:
        yield opened


@pytest.fixture
async def ref(client: RegistryClient, registry: Running) -> Pullspec:
    return await push(client, registry.repository("rhcos/base"), base_image())


def fail(registry: Running, fault: Fault) -> None:
    assert registry.simulated
    registry.simulated.faults.append(fault)


async def opened_with(registry: Running, **changed: object) -> RegistrySettings:
    return replace(registry.settings, **changed)  # type: ignore[arg-type]


async def upload(client: RegistryClient, repository: Repository) -> bytes:
    data = os.urandom(SIZED)
    await client.upload_blob(repository, data, digest=digest_of(data))
    return data


async def read(client: RegistryClient, repository: Repository, data: bytes) -> bytes:
    blob = client.blob(repository, digest_of(data), size=len(data))
    return b"".join([part async for part in blob])


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_registry_is_asked_again(
    client: RegistryClient, registry: Running, ref: Pullspec, pauses: Pauses, status: int
) -> None:
    fail(registry, Fault("status", path=MANIFESTS, status=status, count=2))
    assert (await client.manifest(ref)).ref == ref
    assert len(pauses) == 2


async def test_retry_after_is_honoured(
    client: RegistryClient, registry: Running, ref: Pullspec, pauses: Pauses
) -> None:
    headers = (("Retry-After", "7"),)
    fail(registry, Fault("status", path=MANIFESTS, status=429, headers=headers))
    await client.manifest(ref)
    assert pauses == [7.0]


async def test_retry_after_as_a_date_counts_from_the_answers_own_date(
    client: RegistryClient, registry: Running, ref: Pullspec, pauses: Pauses
) -> None:
    headers = (
        ("Date", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("Retry-After", "Wed, 21 Oct 2015 07:28:12 GMT"),
    )
    fail(registry, Fault("status", path=MANIFESTS, status=503, headers=headers))
    await client.manifest(ref)
    assert pauses == [12.0]


async def test_a_retry_after_beyond_the_budget_is_handed_to_the_caller(
    client: RegistryClient, registry: Running, ref: Pullspec, pauses: Pauses
) -> None:
    headers = (("Retry-After", "3600"),)
    fail(registry, Fault("status", path=MANIFESTS, status=429, headers=headers))
    with pytest.raises(Transient, match="answered 429") as caught:
        await client.manifest(ref)
    assert caught.value.retry_after_seconds == 3600
    assert pauses == []


async def test_the_attempts_are_counted(
    client: RegistryClient, registry: Running, ref: Pullspec
) -> None:
    fail(registry, Fault("status", path=MANIFESTS, status=503, count=99))
    with pytest.raises(Transient, match="answered 503"):
        await client.manifest(ref)
    assert registry.simulated
    assert registry.simulated.count("GET", MANIFESTS) == registry.settings.attempts


async def test_a_500_is_for_the_caller_to_repeat(
    client: RegistryClient, registry: Running, ref: Pullspec, pauses: Pauses
) -> None:
    fail(registry, Fault("status", path=MANIFESTS, status=500))
    with pytest.raises(Transient, match="answered 500"):
        await client.manifest(ref)
    assert pauses == []


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorised), (403, Unauthorised), (404, NotFound), (400, Refused)]
)
async def test_a_refusal_is_not_repeated(
    client: RegistryClient,
    registry: Running,
    ref: Pullspec,
    pauses: Pauses,
    status: int,
    kind: type[Refused],
) -> None:
    fail(registry, Fault("status", path=MANIFESTS, status=status))
    with pytest.raises(kind):
        await client.manifest(ref)
    assert pauses == []


async def test_a_registry_that_hangs_is_given_up(registry: Running, ref: Pullspec) -> None:
    fail(registry, Fault("hang", path=MANIFESTS, count=9))
    settings = await opened_with(registry, read_seconds=0.05, attempts=2)
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(Transient, match="no answer in time; check the network"):
            await client.manifest(ref)


async def test_an_answer_that_drips_is_given_up(registry: Running) -> None:
    async with RegistryClient.opened(registry.settings) as client:
        repository = registry.repository("rhcos/base")
        data = await upload(client, repository)
        many = await push(client, repository, base_image())
    fail(registry, Fault("slow", path=".*", pause_seconds=0.3, count=9))
    settings = await opened_with(registry, call_seconds=0.1, blob_seconds=0.1)
    async with RegistryClient.opened(settings) as client:
        with pytest.raises(Transient, match=r"no complete answer within 0\.1 s"):
            await client.manifest(many)
        with pytest.raises(Transient, match="not complete in time"):
            await read(client, repository, data)


async def test_an_unreachable_registry_is_transient(pauses: Pauses) -> None:
    settings = RegistrySettings(
        insecure_hosts=frozenset({"127.0.0.1:1"}), use_proxy_environment=False
    )
    async with RegistryClient.opened(settings, sleep=pauses, monotonic=pauses.monotonic) as client:
        with pytest.raises(Transient, match="no connection; check the name"):
            await client.exists((Repository("127.0.0.1:1/rhcos/base"), "latest"))
    assert len(pauses) == settings.attempts - 1


async def test_a_blob_that_breaks_off_is_continued_where_it_broke(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("rhcos/base")
    data = await upload(client, repository)
    fail(registry, Fault("cut", path=BLOBS, after=1_000_000))
    assert await read(client, repository, data) == data
    assert registry.simulated
    last = registry.simulated.requests[-1].headers["Range"]
    assert 0 < int(last.removeprefix("bytes=").rstrip("-")) <= 1_000_000


async def test_a_blob_is_continued_by_a_registry_without_ranges(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("rhcos/base")
    data = await upload(client, repository)
    fail(registry, Fault("cut", path=BLOBS, after=1_000_000))
    fail(registry, Fault("status", path=BLOBS, status=200, body=data))
    assert await read(client, repository, data) == data


async def test_an_upload_that_fails_is_begun_anew(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("team/layered")
    fail(registry, Fault("status", "PUT", r"/v2/.*/blobs/uploads/.*", status=503))
    fail(registry, Fault("status", "POST", r"/v2/.*/blobs/uploads/", status=503))
    data = await upload(client, repository)
    assert await read(client, repository, data) == data
    assert registry.simulated
    assert not registry.simulated.store.uploads  # the one that failed was ended


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_addresses_with_signatures_are_not_logged(
    registry: Running, ref: Pullspec, caplog: pytest.LogCaptureFixture, level: str
) -> None:
    caplog.set_level(level)
    signed = (("Location", f"/v2/rhcos/base/manifests/{ref.digest}?signature=secret"),)
    fail(registry, Fault("redirect", path=MANIFESTS, headers=signed))
    async with RegistryClient.opened(registry.settings) as client:
        await client.manifest(ref)
        fail(registry, Fault("redirect", path=MANIFESTS, headers=signed))
        fail(registry, Fault("status", path=MANIFESTS, status=404))
        with pytest.raises(NotFound) as caught:
            await client.manifest(ref)
    assert "secret" not in caplog.text + str(caught.value)


async def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.pem", "No such file"), (tmp_path / "bad.pem", "CA file")):
        (tmp_path / "bad.pem").write_text("no certificate")
        settings = RegistrySettings(ca_files={"registry.example.com": path})
        async with RegistryClient.opened(settings) as client:
            with pytest.raises(Refused, match=said):
                await client.exists((Repository("registry.example.com/a"), "latest"))


async def test_a_reader_that_leaves_early_leaves_nothing_open(
    client: RegistryClient, registry: Running
) -> None:
    repository = registry.repository("rhcos/base")
    data = await upload(client, repository)
    for _ in range(20):  # more than the pool has connections
        blob = client.blob(repository, digest_of(data))
        await anext(blob)
        await blob.aclose()
    assert await read(client, repository, data) == data


async def test_cancelling_passes_through(registry: Running, ref: Pullspec) -> None:
    fail(registry, Fault("hang", path=MANIFESTS))
    async with RegistryClient.opened(registry.settings) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.manifest(ref)

"""What a digest names is read once: by one reader for all, for the next process too."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from simulator.registry import Fault
from simulator.registry.images import Tag, base_image, index_of, push, release_image
from tests.contract.stores import ManualClock
from tests.registries import Running, simulated_registry
from watcher.clients.access import Fixed
from watcher.clients.images import KEPT, RegistryImages
from watcher.clients.registry import RegistryClient
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.facts import ClusterName, Pullspec
from watcher.ports import OutsideError, Refused

OS_IMAGE = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + "ab" * 32
A, B = ClusterName("a"), ClusterName("b")


@pytest.fixture
async def registry() -> AsyncIterator[Running]:
    async with simulated_registry(attempts=1) as running:
        yield running


@pytest.fixture
async def client(registry: Running) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(registry.settings) as opened:
        yield opened


async def released(client: RegistryClient, registry: Running, version: str = "4.18.9") -> Pullspec:
    noted = {"io.openshift.build.versions": "machine-os=9.6.20251201-1"}
    image = release_image(version, {"rhel-coreos": Tag(OS_IMAGE, noted), "other": OS_IMAGE})
    return await push(client, registry.repository("release"), image)


def requests(registry: Running) -> int:
    assert registry.simulated is not None
    return len(registry.simulated.requests)


async def test_a_second_question_costs_no_request(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    images = RegistryImages(Fixed(client))
    first = await images.payload(release)
    before = requests(registry)
    assert await images.payload(release) == first
    assert requests(registry) == before


async def test_the_next_process_asks_the_store(client: RegistryClient, registry: Running) -> None:
    release = await released(client, registry)
    base = await push(client, registry.repository("os"), base_image())
    memory = MemoryStore(ManualClock())
    images = RegistryImages(Fixed(client), memory)
    first = await images.payload(release), await images.facts(base)
    assert first[0].tags == {"rhel-coreos": OS_IMAGE, "other": OS_IMAGE}
    assert first[0].annotations["rhel-coreos"]
    assert first[1].platforms == ("linux/amd64",)
    before = requests(registry)
    after = RegistryImages(Fixed(client), memory)
    assert (await after.payload(release), await after.facts(base)) == first
    assert requests(registry) == before


async def test_a_record_of_another_form_is_read_anew(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    memory = MemoryStore(ManualClock())
    first = await RegistryImages(Fixed(client), memory).payload(release)
    key = f"payload:{release}"
    for broken in ({"form": 0}, {"form": 1}, {"form": 1, "image": 3}, {"form": 1, "image": "x"}):
        await memory.keep(key, broken)
        assert await RegistryImages(Fixed(client), memory).payload(release) == first


class Away:
    """A store that does not answer."""

    async def keep(self, key: str, value: object) -> None:
        raise OutsideError("away")

    async def kept(self, key: str) -> dict[str, object]:
        raise OutsideError("away")


async def test_without_the_store_the_registry_is_enough(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    assert (await RegistryImages(Fixed(client), Away()).payload(release)).version == "4.18.9"


async def test_a_hundred_who_ask_at_once_are_one_reader(
    client: RegistryClient, registry: Running
) -> None:
    releases = [await released(client, registry, f"4.18.{n}") for n in range(5)]
    images = RegistryImages(Fixed(client))
    before = requests(registry)
    asked = [images.seen_from(ClusterName(f"c{n}")).payload(r) for n in range(20) for r in releases]
    found = await asyncio.gather(*asked)
    assert len({payload.version for payload in found}) == 5
    # Of each release the manifest and its last layer.
    assert requests(registry) - before == 2 * 5


async def test_a_failure_is_told_to_all_who_waited_and_kept_for_nobody(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    images = RegistryImages(Fixed(client))
    assert registry.simulated is not None
    registry.simulated.faults.append(Fault("status", path=".*/manifests/.*", status=403))
    outcomes = await asyncio.gather(
        *(images.payload(release) for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["Unauthorised"] * 3
    assert (await images.payload(release)).version == "4.18.9"


async def test_the_failure_of_one_cluster_is_not_that_of_another(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    images = RegistryImages(Fixed(client))
    assert registry.simulated is not None
    registry.simulated.faults.append(Fault("status", path=".*/manifests/.*", status=403))
    first, second = await asyncio.gather(
        images.seen_from(A).payload(release),
        images.seen_from(B).payload(release),
        return_exceptions=True,
    )
    assert isinstance(first, Refused)
    assert not isinstance(second, BaseException)


async def test_who_gives_up_leaves_the_reading_to_the_next(
    client: RegistryClient, registry: Running
) -> None:
    release = await released(client, registry)
    images = RegistryImages(Fixed(client))
    assert registry.simulated is not None
    registry.simulated.faults.append(Fault("hang", path=".*/manifests/.*"))
    first = asyncio.create_task(images.payload(release))
    while not registry.simulated.count("GET", ".*/manifests/.*"):
        await asyncio.sleep(0)
    second = asyncio.create_task(images.payload(release))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).version == "4.18.9"


async def test_memory_is_bounded(client: RegistryClient, registry: Running) -> None:
    base = await push(client, registry.repository("os"), base_image())
    images = RegistryImages(Fixed(client))
    kept = images._shared.kept
    for n in range(KEPT + 10):
        kept[f"old:{n}"] = n
    await images.facts(base)
    assert len(kept) <= KEPT + 10
    assert "old:0" not in kept


async def test_an_index_names_its_platforms(client: RegistryClient, registry: Running) -> None:
    both = index_of(base_image(), base_image(architecture="arm64"))
    image = await push(client, registry.repository("os"), both)
    images = RegistryImages(Fixed(client))
    for architecture in ("amd64", "arm64"):
        found = await images.facts(image, architecture)
        assert found.platforms == ("linux/amd64", "linux/arm64")
        assert found.architecture == architecture


@pytest.mark.parametrize("name", ["", "os", "UPPER/os:v1", "h.example.com/os:v 1", "h/os@sha256:x"])
async def test_what_is_no_name_of_an_image_is_refused(client: RegistryClient, name: str) -> None:
    with pytest.raises(Refused, match="not an image by tag"):
        await RegistryImages(Fixed(client)).digest_of(name)

"""What was answered lately is not asked anew; what is old is; and errors are not kept for long."""

from dataclasses import dataclass, field

import pytest

from tests.facts import PROD, digest, image
from tests.fakes import FakeImages
from watcher import lately
from watcher.core.facts import ClusterName, Digest, Pullspec
from watcher.lately import FAILED_SECONDS, KEPT_SECONDS, Lately, RecentImages
from watcher.ports import Refused, Transient

IT = image("it")
TAG = "registry.example.com/os/gpu:latest"


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted(FakeImages):
    asked: list[object] = field(default_factory=list)

    async def exists(self, image: Pullspec) -> bool:
        self.asked.append(image)
        return await super().exists(image)

    async def digest_of(self, reference: str) -> Digest:
        self.asked.append(reference)
        return await super().digest_of(reference)


@dataclass
class World:
    time: Time = field(default_factory=Time)
    images: Counted = field(default_factory=lambda: Counted(tags={TAG: digest("first")}))

    def __post_init__(self) -> None:
        self.recent = RecentImages(self.images, Lately(self.time))


async def test_an_answer_is_kept_for_ten_minutes() -> None:
    world = World()
    for _ in range(3):
        assert not await world.recent.exists(IT)
        assert await world.recent.digest_of(TAG) == digest("first")
    assert world.images.asked == [IT, TAG]
    world.images.present.add(IT)
    world.images.tags[TAG] = digest("second")
    world.time.now += KEPT_SECONDS - 1
    assert not await world.recent.exists(IT)
    world.time.now += 1
    assert await world.recent.exists(IT)
    assert await world.recent.digest_of(TAG) == digest("second")


async def test_an_error_is_kept_for_a_minute() -> None:
    world = World()
    world.images.fails = [Transient("503"), Refused("denied")]
    for _ in range(3):
        with pytest.raises(Transient, match="503"):
            await world.recent.exists(IT)
    world.time.now += FAILED_SECONDS
    with pytest.raises(Refused, match="denied"):
        await world.recent.exists(IT)
    assert world.images.asked == [IT, IT]


async def test_what_one_cluster_is_told_is_not_what_another_is() -> None:
    world = World()
    for cluster in (PROD, ClusterName("lab"), PROD):
        await world.recent.seen_from(cluster).exists(IT)
    assert world.images.asked == [IT, IT]


async def test_failures_of_reading_are_kept_too_and_what_was_read_is_not() -> None:
    world = World()
    world.images.fails = [Transient("503")]
    for _ in range(2):
        with pytest.raises(Transient, match="503"):
            await world.recent.facts(IT)
    with pytest.raises(Refused, match="is not there"):
        await world.recent.facts(IT, "arm64")
    with pytest.raises(Refused, match="is not there"):
        await world.recent.payload(IT)


async def test_before_something_is_applied_nothing_of_it_counts() -> None:
    world = World()
    await world.recent.check_pullable(IT, b"{}")
    world.images.not_pullable[IT] = "denied"
    with pytest.raises(Refused, match="denied"):
        await world.recent.check_pullable(IT, b"{}")


async def test_it_does_not_grow_for_ever() -> None:
    world = World()
    for number in range(lately.KEPT + 1):
        await world.recent.exists(image(str(number)))
    world.images.asked.clear()
    await world.recent.exists(image(str(lately.KEPT)))
    assert world.images.asked == []
    await world.recent.exists(image("0"))
    assert world.images.asked == [image("0")]

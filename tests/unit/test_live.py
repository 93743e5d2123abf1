"""The hub of open pages: it grows with whatever changed, by whomever, and asks for little."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from tests.contract.pages_fleet import PROD, a_finding, surveyed
from tests.contract.pages_site import PlayedSurveys
from tests.facts import T0
from tests.virtual_time import LoopClock, virtually
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.state import State
from watcher.ports import Transient
from watcher.settings import Settings
from watcher.surveying import Offline, Surveyor
from watcher.web.live import HEARTBEAT_SECONDS, POLL_SECONDS, SIGHT_SECONDS, Live

FOUND = surveyed(PROD, T0, [a_finding("prod", "infra", State.CURRENT)])


class Asked(MemoryStore):
    """Notes when it was asked; may be away."""

    def __init__(self) -> None:
        super().__init__(LoopClock())
        self.times: list[float] = []
        self.is_away = False

    async def revision(self) -> int:
        self.times.append(loop_time())
        if self.is_away:
            raise Transient("no answer")
        return await super().revision()


@dataclass
class Hub:
    store: Asked = field(default_factory=Asked)
    surveys: PlayedSurveys = field(
        default_factory=lambda: PlayedSurveys(
            views={},
            surveyor=Surveyor(settings=Settings(), images=Offline(), graphs=Offline()),
            clock=LoopClock(),
            resync_seconds=300,
        )
    )
    heard: list[tuple[float, int]] = field(default_factory=list)
    """When a page was told, and of which revision."""

    def __post_init__(self) -> None:
        self.surveys.played[PROD] = FOUND
        self.live = Live(
            store=self.store, surveys=self.surveys, clock=LoopClock(), monotonic=loop_time
        )

    async def page(self) -> None:
        async for revision in self.live.changes(await self.live.fresh()):
            self.heard.append((loop_time(), revision))


def loop_time() -> float:
    return asyncio.get_running_loop().time()


def played(test: Callable[[Hub], object]) -> None:
    """Run a test with a hub, in virtual time."""

    async def run() -> None:
        await test(Hub())  # type: ignore[misc]

    virtually(run())


def test_what_anybody_wrote_is_told_within_one_poll() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(1.01)
            await hub.store.add_log("b-1", ["a line"])
            await asyncio.sleep(POLL_SECONDS)
            page.cancel()
        assert len(hub.heard) == 1
        assert hub.heard[0][0] <= 1.01 + POLL_SECONDS

    played(test)


def test_findings_are_told_at_once() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(1.05)
            await hub.surveys.put_pool(PROD, "infra", sentence="another")
            await asyncio.sleep(0.001)
            assert [at for at, _ in hub.heard] == [pytest.approx(1.05)]
            page.cancel()

    played(test)


def test_nobody_asks_while_no_page_is_open() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(1)
            page.cancel()
        asked = len(hub.store.times)
        await asyncio.sleep(60)
        assert len(hub.store.times) == asked

    played(test)


def test_one_asks_for_all_and_another_goes_on_when_it_leaves() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            pages = [group.create_task(hub.page()) for _ in range(200)]
            await asyncio.sleep(2)
            first = len(hub.store.times)
            assert first <= 200 + 2 / POLL_SECONDS + 2  # each page's own look at its start
            for page in pages[:150]:
                page.cancel()
            await asyncio.sleep(2)
            assert len(hub.store.times) - first <= 2 / POLL_SECONDS + 3
            await hub.store.add_log("b-1", ["a line"])
            await asyncio.sleep(POLL_SECONDS + 0.01)
            assert len(hub.heard) == 50
            for page in pages:
                page.cancel()

    played(test)


def test_a_silent_stream_is_kept_awake() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(2 * HEARTBEAT_SECONDS + 1)
            page.cancel()
        revision = hub.live.revision
        assert [said for _, said in hub.heard] == [revision, revision]

    played(test)


def test_a_store_that_goes_away_and_comes_back_is_news_once_each() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(0.5)
            hub.store.is_away = True
            await asyncio.sleep(10)
            assert len(hub.heard) == 1
            hub.store.is_away = False
            await asyncio.sleep(2)
            assert len(hub.heard) == 2
            page.cancel()

    played(test)


def test_a_cluster_that_goes_out_of_sight_is_news_though_nobody_tells() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            page = group.create_task(hub.page())
            await asyncio.sleep(119 + SIGHT_SECONDS + 2)
            revisions = {revision for _, revision in hub.heard}
            page.cancel()
        assert max(revisions) > min(revisions)

    played(test)


def test_what_is_fresh_counts_what_was_just_written() -> None:
    async def test(hub: Hub) -> None:
        before = await hub.live.fresh()
        assert await hub.live.fresh() == before
        await hub.store.add_log("b-1", ["a line"])
        assert await hub.live.fresh() > before

    played(test)


def test_seats_are_bounded_and_come_back() -> None:
    async def test(hub: Hub) -> None:
        hub.live.most_open = 2
        first, second = hub.live.seat(), hub.live.seat()
        assert first is not None
        assert second is not None
        assert hub.live.seat() is None
        del first
        assert hub.live.open == 1
        assert hub.live.seat() is not None

    played(test)


def test_a_service_that_stops_ends_every_stream() -> None:
    async def test(hub: Hub) -> None:
        async with asyncio.TaskGroup() as group:
            pages = [group.create_task(hub.page()) for _ in range(3)]
            await asyncio.sleep(1)
            hub.live.close()
            await asyncio.wait(pages)
        assert loop_time() == pytest.approx(1)
        assert hub.live.seat() is None

    played(test)


def test_an_older_finding_changes_nothing_by_itself() -> None:
    async def test(hub: Hub) -> None:
        before = await hub.live.fresh()
        await asyncio.sleep(SIGHT_SECONDS)
        hub.surveys.played[PROD] = replace(FOUND, observed_at=T0 + timedelta(seconds=5))
        assert await hub.live.fresh() == before

    played(test)

"""The service killed, frozen and cut off while people in Slack decide: one message, no vote lost.

The leader's lease of 15 s is ended by the test where waiting for its end would tell nothing more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.slack import Ack, Envelope
from tests.scenario.replicas import Server, on, pause, replica, shared_redis
from tests.scenario.slack_world import LONG, SlackWorld, all_told, first_line, slack_world
from tests.scenario.test_killed import Stage
from watcher.clock import SystemClock
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.directory import SettingsDirectory
from watcher.people import People
from watcher.telling.delivery import SETTLE_SECONDS

pytestmark = pytest.mark.real("redis-server")

STARTING = 30.0
"""Seconds for processes to start and connect, two at a time on two busy cores."""
SYNCED_SECONDS = 1.1
"""everysec: what was confirmed is on disk after a second."""


@dataclass(frozen=True, slots=True)
class SlackStage(Stage):
    there: SlackWorld
    server: Server

    async def update(self, *states: str) -> Update:
        """The update, once it is in one of the states."""
        found = await self.reaches(JobKind.UPDATE, *states, seconds=LONG)
        assert isinstance(found, Update)
        return found

    async def end_lead(self) -> None:
        """As if the time of whoever leads had run out."""
        await self.client.delete("{relayer}:leader")

    async def connected(self, links: int) -> None:
        """Wait for so many connections to Slack."""
        links_open = self.there.slack.socket.links
        await self.there.slack.until(lambda: len(links_open) == links, seconds=STARTING)

    async def ends_well(self) -> Update:
        """Wait until it is done and told: one message, the newest, and each vote once."""
        done = await self.update("done", "stuck")
        await self.there.reads("done", seconds=LONG)
        await all_told(self.store, seconds=LONG)
        assert done.state == "done"
        assert self.made.images() == {str(done.image)}
        voters = [vote.by for vote in done.votes]
        assert (await self.events(done)).count("Voted") == len(voters) == len(set(voters))
        return done


@asynccontextmanager
async def _stage(directory: Path, **approval: int) -> AsyncIterator[SlackStage]:
    async with slack_world(directory) as there, shared_redis(directory) as shared:
        server, store, client = shared
        settings = on(server, there.with_policy(there.policy(**approval)))
        try:
            yield SlackStage(there.made, store, client, settings, there, server)
        except Exception as error:
            error.add_note(_logs(directory))
            raise


def _logs(directory: Path) -> str:
    """How the logs of the replicas end."""
    logs = sorted(directory.glob("?.log"))
    return "\n".join(f"{log.name}: … {log.read_text()[-2000:]}" for log in logs)


async def test_a_vote_is_kept_though_its_process_is_killed_right_after_the_ack(
    tmp_path: Path,
) -> None:
    async with _stage(tmp_path) as stage:
        there = stage.there
        with replica(stage.settings, tmp_path, "a") as first:
            await there.reads("awaiting 0 of 1", seconds=STARTING)

            async def kill(envelope: Envelope, ack: Ack) -> None:
                first.kill()

            there.slack.on_ack = kill
            await there.press("ann", "approve")
            there.slack.on_ack = None
        kept = await stage.job(JobKind.UPDATE)
        assert isinstance(kept, Update)
        assert [vote.by for vote in kept.votes] == [there.by("ann")]
        await stage.end_lead()
        with replica(stage.settings, tmp_path, "b"):
            done = await stage.ends_well()
            assert done.id == kept.id
            there.stands_once("infra: done")


async def test_a_message_is_there_once_though_its_process_is_killed_while_posting_it(
    tmp_path: Path,
) -> None:
    async with _stage(tmp_path) as stage:
        there = stage.there
        held = there.slack.faults.hold(method="chat.postMessage")
        with replica(stage.settings, tmp_path, "a") as first:
            await there.slack.until(held.arrived.is_set, seconds=STARTING)
            first.kill()
        held.released.set()
        await stage.end_lead()
        with replica(stage.settings, tmp_path, "b"):
            await there.reads("awaiting 0 of 1", seconds=STARTING + SETTLE_SECONDS)
            await all_told(stage.store, seconds=LONG)
            assert there.slack.calls.count("chat.postMessage") == 3, "it, and two in its thread"
            await stage.connected(1)
            await there.press("ann", "approve")
            await stage.ends_well()
            there.stands_once("infra: done")


async def test_two_replicas_post_once_and_count_a_click_on_either_connection_once(
    tmp_path: Path,
) -> None:
    async with _stage(tmp_path, quorum=2) as stage:
        there = stage.there
        with (
            replica(stage.settings, tmp_path, "a") as first,
            replica(stage.settings, tmp_path, "b") as second,
        ):
            await stage.connected(2)
            one, other = there.slack.socket.links
            card = await there.reads("awaiting 0 of 2", seconds=STARTING)
            by_ann = there.slack.clicking("ann", card, "approve")
            by_bob = there.slack.clicking("bob", card, "approve")
            assert await there.slack.deliver(by_ann, link=one)
            assert await there.slack.deliver(by_ann, link=other)
            waits = await stage.update("awaiting-approval")
            assert [vote.by for vote in waits.votes] == [there.by("ann")]
            assert await there.slack.deliver(by_bob, link=other)
            assert await there.slack.deliver(by_bob, link=one)
            done = await stage.ends_well()
            assert [vote.by for vote in done.votes] == [there.by("ann"), there.by("bob")]
            there.stands_once("infra: done")
            assert await asyncio.to_thread(first.stop) == 0
            assert await asyncio.to_thread(second.stop) == 0


async def test_a_leader_that_was_frozen_while_it_edited_does_not_leave_the_old_text(
    tmp_path: Path,
) -> None:
    async with _stage(tmp_path) as stage:
        there = stage.there
        with replica(stage.settings, tmp_path, "a") as first:
            card = await there.reads("awaiting 0 of 1", seconds=STARTING)
            await all_told(stage.store)
            with replica(stage.settings, tmp_path, "b"):
                await stage.connected(2)
                held = there.slack.faults.hold(method="chat.update")
                asked = await stage.update("awaiting-approval")
                await _approve(stage, asked)
                await there.slack.until(held.arrived.is_set, seconds=LONG)
                first.freeze()
                await stage.end_lead()
                await stage.update("done")
                await there.reads("done", seconds=LONG)
                held.released.set()
                # What the frozen one said arrives only now, and is what people read.
                stale = await there.slack.until(
                    lambda: [m for m in there.cards() if "done" not in first_line(m)],
                    seconds=LONG,
                )
                assert stale[0].ts == card.ts
                first.thaw()
                await stage.ends_well()
                there.stands_once("infra: done")


async def _approve(stage: SlackStage, update: Update) -> None:
    """Not through a replica: right in the store, as the command line does."""
    clock = SystemClock()
    directory = SettingsDirectory(settings=stage.settings, store=stage.store, clock=clock)
    people = People(store=stage.store, clock=clock, directory=directory)
    await people.approve(update.id, by=stage.there.by("ann"))


async def test_redis_killed_between_two_clicks_loses_neither(tmp_path: Path) -> None:
    async with _stage(tmp_path, quorum=2) as stage:
        there = stage.there
        with replica(stage.settings, tmp_path, "a") as only:
            await there.reads("awaiting 0 of 2", seconds=STARTING)
            await there.press("ann", "approve")
            await there.reads("awaiting 1 of 2")
            await pause(SYNCED_SECONDS)
            stage.server.kill()
            await there.press("bob", "approve")
            await there.told("bob", "not known to be saved")
            stage.server.start()
            waits = await stage.update("awaiting-approval")
            assert [vote.by for vote in waits.votes] == [there.by("ann")]
            await there.press("bob", "approve")
            await stage.ends_well()
            there.stands_once("infra: done")
            assert await asyncio.to_thread(only.stop) == 0

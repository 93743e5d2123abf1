"""Slack away, archived and emptied; and what keeps an update from beginning, told there."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulator.apiserver import kinds
from simulator.apiserver.writes import By
from simulator.cluster import PoolSpec, objects
from simulator.slack import Message
from tests.scenario.replicas import pause
from tests.scenario.service import running
from tests.scenario.slack_world import (
    SlackWorld,
    all_told,
    first_line,
    infra_of,
    slack_world,
    update_of,
)
from tests.scenario.world import CLUSTER, World, until
from watcher.bootstrap import App
from watcher.core.changes import Mode
from watcher.core.facts import PoolName
from watcher.core.order import After
from watcher.core.update import Update
from watcher.core.windows import Window
from watcher.settings import Settings

AWAITING = "awaiting-approval"
CANARY = "canary"
SOAK_SECONDS = 5
A_WHILE = 1.5
"""Seconds in which the service would have begun, had nothing been in its way."""


async def test_an_update_is_not_held_up_while_slack_is_down_and_told_once_after(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as there:
        await there.slack.down()
        async with running(there.with_policy(there.policy(), Mode.AUTO)) as app:
            done = await update_of(app, "infra", "done")
            assert there.made.images() == {str(done.image)}
            assert not there.slack.calls.log
            await pause(A_WHILE)  # an attempt from before it was done is over
            await there.slack.up()
            await there.reads("done", about=done.id)
            await all_told(app.store)
            card = there.stands_once("infra: done")
            assert there.titles(card) == [first_line(card)], "only the newest is said"
            assert len(there.slack.thread(there.channel, card.ts)) == 1
            assert there.slack.calls.count("chat.postMessage") == 2
            await there.slack.connected()
            assert done.id in await there.says("ann", "status")


def _archive(there: SlackWorld, card: Message) -> None:
    there.slack.workspace.archive(there.channel)


def _delete(there: SlackWorld, card: Message) -> None:
    there.slack.workspace.remove(card)


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        pytest.param(_archive, "Messages are not delivered", id="archived"),
        pytest.param(_delete, "A message is not updated any more", id="deleted"),
    ],
)
async def test_what_cannot_be_said_is_told_once_elsewhere_and_holds_nothing_up(
    tmp_path: Path, happens: Callable[[SlackWorld, Message], None], said: str
) -> None:
    async with (
        slack_world(tmp_path) as there,
        running(there.with_fallback(there.settings)) as app,
    ):
        asked = await update_of(app, "infra", AWAITING)
        card = await there.reads("awaiting 0 of 1")
        await all_told(app.store)
        happens(there, card)
        await app.people.approve(asked.id, by="token:ann")
        done = await update_of(app, "infra", "done")
        assert there.made.images() == {str(done.image)}
        await all_told(app.store)
        (told,) = there.cards(there.spare)
        assert said in first_line(told)
        assert there.channel.id in there.shown(told)
        assert len(there.cards()) == (happens is _archive), "it is not said anew"


async def test_a_freeze_from_slack_holds_what_is_approved_until_it_is_lifted(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as there, running(there.settings) as app:
        asked = await update_of(app, "infra", AWAITING)
        await there.reads("awaiting 0 of 1", about=asked.id)
        assert "not an approver" in await there.says("eve", f"freeze {CLUSTER} for fun")
        said = await there.says("ann", f"freeze {CLUSTER} the fair")
        assert "frozen by" in said
        await there.press("bob", "approve", about=asked.id)
        card = await there.shows("the fair", about=asked.id, title="scheduled")
        assert "• frozen by" in there.shown(card)
        await pause(A_WHILE)
        assert there.made.override_writes() == 0
        assert "may go on" in await there.says("bob", f"unfreeze {CLUSTER}")
        await update_of(app, "infra", "done")
        card = await there.reads("done", about=asked.id)
        assert "the fair" not in there.shown(card)


async def test_what_is_approved_while_the_window_is_closed_begins_when_it_opens(
    tmp_path: Path,
) -> None:
    async with slack_world(tmp_path) as there:
        opens = _next_minute(at_least_seconds=8)
        window = Window(days=(f"{opens:%a}".lower(),), start=f"{opens:%H:%M}", hours=1)
        settings = there.with_policy(there.policy(more={"windows": (window,)}))
        async with running(settings) as app:
            asked = await update_of(app, "infra", AWAITING)
            await there.reads("awaiting 0 of 1")
            await there.press("ann", "approve")
            card = await there.reads(f"scheduled for {opens:%H:%M}")
            assert f"• the next window opens {opens:%Y-%m-%d %H:%M} UTC" in there.shown(card)
            assert there.made.override_writes() == 0
            done = await update_of(app, "infra", "done", seconds=100)
            assert done.id == asked.id
            assert _when(done, "applying") >= opens
            await there.reads("done")


def _next_minute(*, at_least_seconds: float) -> datetime:
    soonest = datetime.now(UTC) + timedelta(seconds=at_least_seconds)
    return soonest.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _when(update: Update, state: str) -> datetime:
    """When it came into a state."""
    return dict(update.times)[state]


async def test_a_pool_follows_its_canary_after_the_soak(tmp_path: Path) -> None:
    async with _with_canary(tmp_path) as (there, settings), running(settings) as app:
        canary, infra = await _upgraded(there, app)
        first = await update_of(app, CANARY, "done")
        assert first.id == canary.id
        await there.shows("it soaks until", about=infra.id)
        second = await update_of(app, "infra", "done")
        assert second.id == infra.id
        soaked = _when(first, "done") + timedelta(seconds=SOAK_SECONDS)
        assert _when(second, "applying") >= soaked
        await there.reads("infra: done", about=second.id)
        await there.reads("canary: done", about=first.id)


async def test_a_pool_does_not_follow_a_canary_that_failed(tmp_path: Path) -> None:
    async with _with_canary(tmp_path, soak=0) as (there, settings), running(settings) as app:
        there.made.cluster.degrade_next("first", pool=CANARY)
        writes = there.made.override_writes()
        canary, infra = await _upgraded(there, app)
        failed = await update_of(app, CANARY, "rolled-back")
        assert failed.id == canary.id
        card = await there.shows("nothing follows it", about=infra.id)
        assert f"{CLUSTER}/{CANARY} failed with 4.18.10: {failed.id} is" in there.shown(card)
        await pause(A_WHILE)
        assert (await update_of(app, "infra", "scheduled")).id == infra.id
        assert there.made.override_writes() == writes
        card = await there.reads("canary: rolled back", about=failed.id)
        await there.reply(card, "Degraded")


async def _upgraded(there: SlackWorld, app: App) -> tuple[Update, Update]:
    """Start the upgrade; return the updates of both pools, once they are proposed."""
    before = [(await update_of(app, pool, "done")).id for pool in (CANARY, "infra")]
    there.made.cluster.start_upgrade(there.made.new)
    anything = ("scheduled", "applying", "rolling-out", "rolling-back", "rolled-back", "done")
    canary = await update_of(app, CANARY, *anything, after=before[0])
    return canary, await update_of(app, "infra", "scheduled", after=before[1])


@asynccontextmanager
async def _with_canary(
    directory: Path, *, soak: int = SOAK_SECONDS
) -> AsyncIterator[tuple[SlackWorld, Settings]]:
    """Two layered pools of one cluster; the settings let `infra` follow after `soak` seconds."""
    async with slack_world(directory) as there:
        await _move_to_canary(there.made, "infra-1")
        infra = infra_of(there.with_policy(there.policy(), Mode.AUTO))
        canary = replace(infra, pool=PoolName(CANARY))
        both = replace(there.settings, pools=(infra, canary))
        async with running(both) as app:
            for pool in (CANARY, "infra"):
                await update_of(app, pool, "done")
            await all_told(app.store)
        rule = After(place=f"{CLUSTER}/{CANARY}", soak_seconds=soak)
        follows = replace(infra, policy=replace(infra.policy, after=(rule,)))
        yield there, replace(both, pools=(follows, canary))


async def _move_to_canary(made: World, node: str) -> None:
    """A new pool with a node that another one had, as `oc` makes it."""
    made.api.writer.create(kinds.POOLS, objects.pool(PoolSpec(name=CANARY)), By("oc"))

    def relabel(document: dict[str, object]) -> dict[str, object]:
        metadata = document["metadata"]
        assert isinstance(metadata, dict)
        labels = metadata["labels"]
        del labels["node-role.kubernetes.io/infra"]
        labels[f"node-role.kubernetes.io/{CANARY}"] = ""
        return document

    made.api.writer.patch(kinds.NODES, ("", node), relabel, By("oc"))
    await until(lambda: _is_in(made, node), what="the node in its new pool")


def _is_in(made: World, node: str) -> bool:
    status = made.cluster.pool(CANARY).get("status") or {}
    return (
        made.cluster.nodes_of(CANARY) == [node]
        and status.get("machineCount") == 1
        and made.cluster.is_settled(CANARY)
        and made.cluster.is_settled("infra")
    )

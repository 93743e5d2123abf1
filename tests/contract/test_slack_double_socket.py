"""The Slack double's Socket Mode, held to by Slack's own client and by Bolt."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from simulator.slack import Ack, Envelope, Message, SlackDouble

Json = dict[str, Any]
Act = Callable[[], Coroutine[Any, Any, None]]
PING_SECONDS = 0.05
"""How soon the client notices a dead connection; its own default is five seconds."""


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def slack(clock: HandClock) -> AsyncIterator[SlackDouble]:
    async with SlackDouble.start(clock=clock) as double:
        double.workspace.add_user("ann")
        double.workspace.add_user("bob")
        double.workspace.add_channel("ops")
        yield double


@asynccontextmanager
async def bolt(slack: SlackDouble, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app, connected as it would be in production."""
    handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=PING_SECONDS)
    connect: Act = handler.connect_async
    close: Act = handler.close_async
    await connect()
    try:
        await slack.connected()
        yield handler
    finally:
        await close()


class Listener:
    """Slack's own client; keeps what it got, and acks unless told not to."""

    def __init__(self, slack: SlackDouble, *, acks: int = 1, payload: Json | None = None) -> None:
        self.got: list[SocketModeRequest] = []
        self.frames: asyncio.Queue[Json] = asyncio.Queue()
        self.requests: asyncio.Queue[SocketModeRequest] = asyncio.Queue()
        self.acks, self.payload = acks, payload
        web_client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        self.client = SocketModeClient(
            slack.app_token, web_client=web_client, ping_interval=PING_SECONDS
        )
        # The library gives these no types.
        self.connect: Act = self.client.connect
        self.close: Act = self.client.close
        self.client.message_listeners.append(self._frame)
        self.client.socket_mode_request_listeners.append(self._request)

    async def __aenter__(self) -> "Listener":
        await self.connect()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _frame(self, client: AsyncBaseSocketModeClient, frame: Json, raw: str | None) -> None:
        self.frames.put_nowait(frame)

    async def _request(self, client: AsyncBaseSocketModeClient, got: SocketModeRequest) -> None:
        self.got.append(got)
        acks = self.acks
        self.requests.put_nowait(got)
        for _ in range(acks):
            response = SocketModeResponse(envelope_id=got.envelope_id, payload=self.payload)
            await client.send_socket_mode_response(response)


def app_of(slack: SlackDouble) -> AsyncApp:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
    return AsyncApp(client=client, signing_secret=slack.signing_secret)


async def with_button(slack: SlackDouble, text: str = "Approve?") -> Message:
    """A message of the bot's with a button."""
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
    button = {
        "type": "button",
        "action_id": "approve",
        "value": "u1",
        "text": {"type": "plain_text", "text": "Approve"},
    }
    await client.chat_postMessage(
        channel=slack.workspace.channel("ops").id,
        text=text,
        blocks=[{"type": "actions", "elements": [button]}],
    )
    return await slack.message("ops", contains="Approve")


def modal(**more: Any) -> Json:
    plain = {"type": "plain_text", "text": "Reject"}
    element = {"type": "plain_text_input", "action_id": "text"}
    block = {"type": "input", "block_id": "reason", "label": plain, "element": element}
    return {
        "type": "modal",
        "callback_id": "reject",
        "title": plain,
        "submit": plain,
        "blocks": [block],
        **more,
    }


async def opened(slack: SlackDouble, **more: Any) -> None:
    """Put a modal on Ann's screen."""
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
    trigger = slack.workspace.new_trigger(slack.workspace.user("ann").id)
    await client.views_open(trigger_id=trigger, view=modal(**more))


# Being connected.


async def test_a_connection_is_greeted_with_the_app_and_how_many_there_are(
    slack: SlackDouble,
) -> None:
    async with Listener(slack) as first:
        await slack.connected(1)
        async with Listener(slack) as second:
            await slack.connected(2)
            hellos = [await listener.frames.get() for listener in (first, second)]
    assert [hello["type"] for hello in hellos] == ["hello", "hello"]
    assert [hello["num_connections"] for hello in hellos] == [1, 2]
    assert hellos[0]["connection_info"] == {"app_id": slack.workspace.app_id}


async def test_events_go_round_the_open_connections(slack: SlackDouble) -> None:
    async with Listener(slack) as first, Listener(slack) as second:
        await slack.connected(2)
        for _ in range(4):
            assert await slack.command("ann", "/relayer", "status", "ops")
        assert (len(first.got), len(second.got)) == (2, 2)


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_a_client_that_is_asked_to_connects_anew(slack: SlackDouble, reason: str) -> None:
    async with Listener(slack) as listener:
        (old,) = await slack.connected()
        await slack.socket.disconnect(reason)
        await slack.until(lambda: slack.socket.links and slack.socket.links != [old], "a new one")
        assert await slack.command("ann", "/relayer", "status", "ops")
        assert len(listener.got) == 1


async def test_a_client_comes_back_after_its_connection_broke(slack: SlackDouble) -> None:
    async with Listener(slack) as listener:
        await slack.connected()
        slack.socket.abort()
        await slack.until(lambda: slack.socket.opened == 2 and slack.socket.links, "a new one")
        assert await slack.command("ann", "/relayer", "status", "ops")
        assert len(listener.got) == 1


async def test_a_client_comes_back_after_slack_was_down(slack: SlackDouble) -> None:
    async with Listener(slack):
        await slack.connected()
        await slack.down()
        assert await slack.command("ann", "/relayer", "status", "ops") is None
        await slack.up()
        await slack.connected()
        assert await slack.command("ann", "/relayer", "status", "ops")


async def test_a_client_that_is_refused_tries_again(slack: SlackDouble) -> None:
    slack.faults.refuse_links = True
    listener = Listener(slack)
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.connect())
        await slack.until(lambda: slack.socket.refused, "a refusal")
        slack.faults.refuse_links = False
        await slack.connected()
    await listener.close()


async def test_pings_of_the_double_are_answered_by_the_client(slack: SlackDouble) -> None:
    async with Listener(slack):
        (link,) = await slack.connected()
        await slack.socket.ping()
        assert await slack.until(lambda: link.pongs, "a pong")


async def test_a_client_leaves_a_connection_whose_pings_get_no_answer(slack: SlackDouble) -> None:
    slack.faults.pongs = False
    async with Listener(slack):
        await slack.until(lambda: slack.socket.opened > 1, "another connection")


async def test_a_ticket_lets_one_connection_in(slack: SlackDouble) -> None:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
    url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as websocket:
        assert (await websocket.receive_json())["type"] == "hello"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_the_eleventh_connection_is_sent_away(slack: SlackDouble) -> None:
    client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
    async with aiohttp.ClientSession() as session:
        websockets = []
        for _ in range(11):
            url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
            websockets.append(await session.ws_connect(url))
            frame = await websockets[-1].receive_json()
        assert (frame["type"], frame["reason"]) == ("disconnect", "too_many_websockets")
        await slack.connected(10)


# Doing something, and what the app answers.


async def test_a_click_reaches_bolt_and_its_ack_comes_back(slack: SlackDouble) -> None:
    app = app_of(slack)
    seen: list[Json] = []

    @app.action("approve")
    async def approve(ack: AsyncAck, body: Json, respond: AsyncRespond) -> None:
        await ack()
        seen.append(body)
        await respond("counted", replace_original=False)

    async with bolt(slack, app):
        ack = await slack.click("ann", await with_button(slack), "approve")
        assert ack == Ack(slack.socket.envelopes[0].id, 0.0, None, link=1)
        assert (await slack.ephemeral("ann")).text == "counted"
    assert seen[0]["actions"][0]["value"] == "u1"
    assert seen[0]["user"]["id"] == slack.workspace.user("ann").id


async def test_the_time_of_an_ack_is_taken_by_the_doubles_clock(
    slack: SlackDouble, clock: HandClock
) -> None:
    app = app_of(slack)

    @app.command("/relayer")
    async def late(ack: AsyncAck) -> None:
        clock.seconds += 2.5
        await ack()

    async with bolt(slack, app):
        ack = await slack.command("ann", "/relayer", "status", "ops")
    assert ack
    assert ack.seconds == 2.5


@pytest.mark.parametrize("kind", ["ephemeral", "in_channel"])
async def test_what_a_command_is_acked_with_is_shown(slack: SlackDouble, kind: str) -> None:
    app = app_of(slack)

    @app.command("/relayer")
    async def status(ack: AsyncAck, body: Json) -> None:
        await ack(f"you said {body['text']}", response_type=kind)

    async with bolt(slack, app):
        await slack.command("ann", "/relayer", "status prod", "ops")
    said = [m.text for m in slack.ephemerals("ann")], [m.text for m in slack.messages("ops")]
    text = ["you said status prod"]
    assert said == ((text, []) if kind == "ephemeral" else ([], text))


async def test_a_click_opens_a_modal_whose_errors_keep_it_open(slack: SlackDouble) -> None:
    app = app_of(slack)

    @app.action("approve")
    async def ask(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal())

    @app.view("reject")
    async def submitted(ack: AsyncAck, view: Json) -> None:
        reason = view["state"]["values"]["reason"]["text"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"reason": "say more"})
        else:
            await ack()

    async with bolt(slack, app):
        await slack.click("ann", await with_button(slack), "approve")
        view = await slack.view("ann")
        refused = await slack.submit(view, {"reason": "no"})
        assert refused
        assert refused.errors == {"reason": "say more"}
        assert slack.views("ann") == [view]
        taken = await slack.submit(view, {"reason": "not on a Friday"})
        assert taken
        assert (taken.errors, slack.views("ann")) == ({}, [])


@pytest.mark.parametrize(
    ("answer", "titles"),
    [
        ({"response_action": "update", "view": modal(callback_id="2")}, ["2"]),
        ({"response_action": "push", "view": modal(callback_id="2")}, ["reject", "2"]),
        ({"response_action": "clear"}, []),
        ({"response_action": "update", "view": {"type": "modal"}}, ["reject"]),
        (None, []),
    ],
    ids=["update", "push", "clear", "faulty", "nothing"],
)
async def test_an_ack_changes_what_is_on_the_screen(
    slack: SlackDouble, answer: Json | None, titles: list[str]
) -> None:
    await opened(slack)
    async with Listener(slack, payload=answer):
        await slack.connected()
        await slack.submit(await slack.view("ann"), {"reason": "x"})
    assert [view.view["callback_id"] for view in slack.views("ann")] == titles


async def test_closing_a_modal_is_told_if_the_app_asked(slack: SlackDouble) -> None:
    async with Listener(slack) as listener:
        await slack.connected()
        await opened(slack)
        assert await slack.dismiss(await slack.view("ann")) is None
        await opened(slack, notify_on_close=True)
        assert await slack.dismiss(await slack.view("ann"))
    assert [got.payload["type"] for got in listener.got] == ["view_closed"]
    assert slack.views("ann") == []


async def test_an_event_arrives_as_bolt_expects_it(slack: SlackDouble) -> None:
    app = app_of(slack)
    seen: asyncio.Queue[Json] = asyncio.Queue()

    @app.event("channel_archive")
    async def archived(event: Json) -> None:
        seen.put_nowait(event)

    async with bolt(slack, app):
        assert await slack.event({"type": "channel_archive", "channel": "C1", "user": "U1"})
        assert (await seen.get())["channel"] == "C1"


# When it goes wrong.


async def test_without_a_connection_nobody_hears_it(slack: SlackDouble) -> None:
    assert await slack.click("ann", await with_button(slack), "approve") is None
    assert slack.socket.envelopes[0].link is None


async def after_three_seconds(slack: SlackDouble, clock: HandClock, sent: int) -> None:
    """Let the time for an ack pass once so many envelopes are out."""
    await slack.until(lambda: len(slack.socket.envelopes) == sent, "an envelope")
    clock.seconds += 3


async def test_three_seconds_without_an_ack_are_no_ack(
    slack: SlackDouble, clock: HandClock
) -> None:
    message = await with_button(slack)
    async with Listener(slack, acks=0), asyncio.TaskGroup() as group:
        await slack.connected()
        click = group.create_task(slack.click("ann", message, "approve"))
        await after_three_seconds(slack, clock, 1)
        assert await click is None


async def test_what_was_not_acked_comes_again_in_another_envelope(
    slack: SlackDouble, clock: HandClock
) -> None:
    async with Listener(slack, acks=0) as listener, asyncio.TaskGroup() as group:
        await slack.connected()
        event = group.create_task(slack.event({"type": "app_mention"}, retries=1))
        first = await listener.requests.get()
        listener.acks = 1
        await after_three_seconds(slack, clock, 1)
        second = await listener.requests.get()
        ack = await event
    assert first.payload == second.payload
    assert first.envelope_id != second.envelope_id
    assert (first.retry_attempt, second.retry_attempt) == (None, 1)
    assert ack


async def test_anything_can_be_delivered_again_when_asked(slack: SlackDouble) -> None:
    async with Listener(slack) as listener:
        await slack.connected()
        await slack.command("ann", "/relayer", "status", "ops")
        again = await slack.socket.again(slack.socket.envelopes[0])
        assert await slack.socket.wait(again)
        assert await slack.socket.wait(await slack.socket.again(again))
    first, second, third = listener.got
    assert [got.retry_attempt for got in listener.got] == [None, 1, 2]
    assert len({got.envelope_id for got in listener.got}) == 3
    assert first.payload == second.payload == third.payload


@pytest.mark.parametrize("together", [False, True], ids=["after another", "together"])
async def test_the_very_same_click_can_come_twice_over_two_connections(
    slack: SlackDouble, together: bool
) -> None:
    click = slack.clicking("ann", await with_button(slack), "approve")
    async with Listener(slack) as first, Listener(slack) as second:
        await slack.connected(2)
        acks = await slack.deliver_often(click, together=together)
        assert all(acks)
        assert [len(first.got), len(second.got)] == [1, 1]
        assert first.got[0].payload == second.got[0].payload
    assert len({envelope.id for envelope in slack.socket.envelopes}) == 2


async def test_several_people_can_click_at_the_same_time(slack: SlackDouble) -> None:
    message = await with_button(slack)
    async with Listener(slack) as listener:
        await slack.connected()
        async with asyncio.TaskGroup() as group:
            for who in ("ann", "bob"):
                group.create_task(slack.click(who, message, "approve"))
    assert {got.payload["user"]["name"] for got in listener.got} == {"ann", "bob"}


async def test_a_click_can_be_sent_without_waiting(slack: SlackDouble) -> None:
    click = slack.clicking("ann", await with_button(slack), "approve")
    async with Listener(slack, acks=0) as listener:
        await slack.connected()
        envelope = await slack.send(click)
        assert envelope.ack is None
        await slack.until(lambda: envelope.link, "a delivery")
        slack.socket.abort()
        await slack.until(lambda: slack.socket.opened == 2 and slack.socket.links, "a new one")
        listener.acks = 1
        again = await slack.socket.again(envelope)
        assert await slack.socket.wait(again)


async def test_only_the_first_ack_of_an_envelope_counts(slack: SlackDouble) -> None:
    counted: list[str] = []

    async def count(envelope: Envelope, ack: Ack) -> None:
        counted.append(ack.envelope_id)

    slack.on_ack = count
    async with Listener(slack, acks=2):
        await slack.connected()
        await slack.command("ann", "/relayer", "status", "ops")
        (envelope,) = slack.socket.envelopes
        await slack.until(lambda: envelope.acks == 2, "the second ack")
    assert counted == [envelope.id]


async def test_an_ack_for_nothing_is_noted(slack: SlackDouble) -> None:
    async with Listener(slack) as listener:
        await slack.connected()
        await listener.client.send_socket_mode_response(SocketModeResponse("no-such-envelope"))
        await slack.until(lambda: slack.socket.strays, "the stray")
    assert slack.socket.strays == [{"envelope_id": "no-such-envelope"}]


# The moment of an ack.


async def test_the_hook_comes_before_anything_that_follows_from_an_ack(
    slack: SlackDouble,
) -> None:
    moment: list[tuple[str, list[Message], Ack | None]] = []

    async def look(envelope: Envelope, ack: Ack) -> None:
        moment.append((envelope.payload["text"], slack.ephemerals("ann"), envelope.ack))

    slack.on_ack = look
    async with Listener(slack, payload={"text": "done"}):
        await slack.connected()
        await slack.command("ann", "/relayer", "status", "ops")
    assert moment == [("status", [], None)]
    assert [m.text for m in slack.ephemerals("ann")] == ["done"]


async def test_what_the_hook_finds_wrong_is_raised_where_the_click_is_awaited(
    slack: SlackDouble,
) -> None:
    async def look(envelope: Envelope, ack: Ack) -> None:
        raise AssertionError("not saved yet")

    slack.on_ack = look
    async with Listener(slack):
        await slack.connected()
        with pytest.raises(AssertionError, match="not saved yet"):
            await slack.command("ann", "/relayer", "status", "ops")


# HTTP mode.


@asynccontextmanager
async def over_http(app: AsyncApp) -> AsyncIterator[str]:
    """Bolt's own web server; the URL where it takes requests."""
    runner = web.AppRunner(app.web_app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


@pytest.fixture
def now(clock: HandClock) -> HandClock:
    """Bolt verifies signatures by the real time."""
    clock.seconds = time.time()
    return clock


async def test_a_signed_request_is_taken_by_bolt_and_an_altered_one_is_not(
    slack: SlackDouble, now: HandClock
) -> None:
    app = app_of(slack)

    @app.command("/relayer")
    async def status(ack: AsyncAck) -> None:
        await ack("over http")

    command = slack.commanding("ann", "/relayer", "status", "ops")
    async with over_http(app) as url:
        taken = await slack.deliver_http(command, url)
        forged = await slack.deliver_http(command, url, secret="not the secret")
        stale = await slack.deliver_http(command, url, at=now() - 600)
    assert (taken.status, taken.payload) == (200, {"text": "over http"})
    assert [forged.status, stale.status] == [401, 401]
    assert [m.text for m in slack.ephemerals("ann")] == ["over http"]


async def test_a_click_and_a_modal_go_over_http_as_well(slack: SlackDouble, now: HandClock) -> None:
    app = app_of(slack)

    @app.action("approve")
    async def approve(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal())

    @app.view("reject")
    async def refuse(ack: AsyncAck) -> None:
        await ack(response_action="errors", errors={"reason": "no"})

    moments: list[str] = []

    async def look(envelope: Envelope, ack: Ack) -> None:
        moments.append(envelope.payload["type"])

    slack.on_ack = look
    async with over_http(app) as url:
        click = slack.clicking("ann", await with_button(slack), "approve")
        assert (await slack.deliver_http(click, url)).status == 200
        submitted = slack.submitting(await slack.view("ann"), {"reason": "x"})
        assert (await slack.deliver_http(submitted, url)).errors == {"reason": "no"}
    assert moments == ["block_actions", "view_submission"]

"""Slack's Web API through our client and sink: what is done once, and what each refusal means."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from simulator.slack import SlackDouble
from tests.chat import ANN, BOB, BOT_TOKEN, EVE, a_slack, no_secrets_logged
from watcher.clients.slack.api import CREDENTIALS_SECONDS, SlackApi, SlackRefused
from watcher.clients.slack.sink import PAGE, SlackSink
from watcher.core.letters import Notice, Severity
from watcher.ports import OutsideError, Refused, Transient

HELLO = {"text": "hello", "blocks": []}


@dataclass
class Slack:
    double: SlackDouble
    api: SlackApi
    sink: SlackSink

    @property
    def channel(self) -> str:
        return self.double.workspace.channel("ops").id

    @property
    def place(self) -> str:
        return f"slack:{self.channel}"

    def nonce(self, name: str) -> str:
        return f"{self.double.workspace.clock():.6f}:{name}"

    async def post(
        self, text: str, *, nonce: str = "", thread: str = "", loud: bool = False
    ) -> str:
        return await self.sink.post(
            self.place,
            a_notice(text),
            nonce=nonce or self.nonce(text),
            sequence=1,
            thread=thread,
            broadcast=loud,
        )


def a_notice(sentence: str) -> Notice:
    return Notice(
        cause="a cause",
        title="A title",
        sentence=sentence,
        severity=Severity.WARNING,
        places=("prod/infra",),
        since=datetime(2026, 11, 18, tzinfo=UTC),
    )


@pytest.fixture
async def slack() -> AsyncIterator[Slack]:
    with no_secrets_logged():
        async with a_slack() as (double, api):
            yield Slack(double, api, SlackSink(api))


# --- letters -------------------------------------------------------------------------------------


async def test_a_letter_is_posted_without_previews_and_edited_in_place(slack: Slack) -> None:
    ts = await slack.post("it began")
    await slack.sink.edit(slack.place, ts, a_notice("it is over"), sequence=2)
    (message,) = slack.double.messages("ops")
    assert (message.ts, message.unfurl) == (ts, (False, False))
    assert "it is over" in str(message.blocks)


async def test_a_reply_goes_into_its_thread_and_where_wanted_to_everybody(slack: Slack) -> None:
    parent = await slack.post("parent")
    await slack.post("quiet", thread=parent)
    await slack.post("loud", thread=parent, loud=True)
    assert len(slack.double.thread("ops", parent)) == 2
    assert len(slack.double.messages("ops", contains="loud")) == 1
    assert not slack.double.messages("ops", contains="quiet")


@pytest.mark.parametrize("in_thread", [False, True], ids=["in the channel", "in a thread"])
async def test_a_letter_whose_answer_got_lost_is_found_by_its_nonce(
    slack: Slack, in_thread: bool
) -> None:
    thread = await slack.post("parent") if in_thread else ""
    nonce = slack.nonce("mine")
    slack.double.faults.lose(method="chat.postMessage")
    with pytest.raises(Transient):
        await slack.post("lost", nonce=nonce, thread=thread)
    await slack.post("another", thread=thread)
    ts = await slack.sink.find(slack.place, nonce, thread=thread)
    there = slack.double.thread("ops", thread) if thread else slack.double.messages("ops")
    assert [m.ts for m in there if "lost" in str(m.blocks)] == [ts]
    assert slack.double.calls.count("chat.postMessage") == 2 + in_thread, "it is never sent again"


async def test_a_letter_that_was_not_said_is_not_found(slack: Slack) -> None:
    slack.double.faults.close(method="chat.postMessage")
    nonce = slack.nonce("mine")
    with pytest.raises(Transient):
        await slack.post("never", nonce=nonce)
    assert await slack.sink.find(slack.place, nonce, thread="") == ""


async def test_a_letter_is_found_behind_many_others(slack: Slack) -> None:
    nonce = slack.nonce("mine")
    ts = await slack.post("mine", nonce=nonce)
    for number in range(PAGE + 10):
        slack.double.workspace.say(ANN, "ops", f"chatter {number}")
    assert await slack.sink.find(slack.place, nonce, thread="") == ts
    assert slack.double.calls.count("conversations.history") == 2
    # Asked by query, where all is text: not every reading method takes JSON.
    assert slack.double.calls.log[-1].args["limit"] == str(PAGE)


async def test_taking_back_what_is_gone_already_is_no_trouble(slack: Slack) -> None:
    ts = await slack.post("twice")
    await slack.sink.take_back(slack.place, ts)
    await slack.sink.take_back(slack.place, ts)
    assert not slack.double.messages("ops")


async def test_editing_what_is_gone_is_refused_for_good(slack: Slack) -> None:
    ts = await slack.post("gone")
    await slack.sink.take_back(slack.place, ts)
    with pytest.raises(SlackRefused) as caught:
        await slack.sink.edit(slack.place, ts, a_notice("x"), sequence=2)
    assert caught.value.error == "message_not_found"


async def test_a_place_that_is_not_in_slack_is_refused(slack: Slack) -> None:
    with pytest.raises(Refused, match="no place in Slack"):
        await slack.sink.post(
            "webhook:x", a_notice("x"), nonce="0:x", sequence=1, thread="", broadcast=False
        )


async def test_the_same_letter_has_the_same_fingerprint(slack: Slack) -> None:
    one, other = a_notice("one"), a_notice("other")
    assert slack.sink.fingerprint(one) == slack.sink.fingerprint(a_notice("one"))
    assert slack.sink.fingerprint(one) != slack.sink.fingerprint(other)


# --- what refusals mean --------------------------------------------------------------------------


async def refusal(slack: Slack) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await slack.post("x")
    return caught.value


FOR_GOOD = ["channel_not_found", "not_in_channel", "is_archived", "invalid_blocks", "msg_too_long"]


@pytest.mark.parametrize("error", FOR_GOOD)
async def test_what_will_not_change_by_itself_is_refused(slack: Slack, error: str) -> None:
    slack.double.faults.error(error)
    told = await refusal(slack)
    assert isinstance(told, Refused)
    assert error in str(told)


@pytest.mark.parametrize("error", ["internal_error", "fatal_error", "service_unavailable", "new"])
async def test_what_may_pass_is_tried_again(slack: Slack, error: str) -> None:
    slack.double.faults.error(error)
    assert isinstance(await refusal(slack), Transient)


@pytest.mark.parametrize("error", ["invalid_auth", "token_revoked", "missing_scope"])
async def test_what_somebody_has_to_mend_is_tried_again_later(slack: Slack, error: str) -> None:
    slack.double.faults.error(error)
    told = await refusal(slack)
    assert isinstance(told, Transient)
    assert told.retry_after_seconds == CREDENTIALS_SECONDS
    assert BOT_TOKEN not in str(told)


async def test_a_limit_is_kept_for_as_long_as_slack_says(slack: Slack) -> None:
    slack.double.faults.ratelimited(17)
    told = await refusal(slack)
    assert isinstance(told, Transient)
    assert told.retry_after_seconds == 17


async def test_a_limit_of_the_workspace_is_kept_by_everybody(slack: Slack) -> None:
    """Edits of all channels share one limit: fifty lanes must not each learn it anew."""
    slack.double.faults.ratelimited(17, method="chat.update")
    edit = {"channel": "C0", "ts": "1", "text": "new"}
    for _ in range(2):
        with pytest.raises(Transient) as told:
            await slack.api.call("chat.update", **edit)
        assert told.value.retry_after_seconds is not None
        assert told.value.retry_after_seconds > 16
    assert slack.double.calls.count("chat.update") == 1


async def test_a_limit_of_one_channel_is_no_limit_of_the_others(slack: Slack) -> None:
    slack.double.faults.ratelimited(17, method="chat.postMessage")
    with pytest.raises(Transient):
        await slack.api.call("chat.postMessage", channel="C0", text="a")
    with pytest.raises(Refused):
        await slack.api.call("chat.postMessage", channel="C0NOSUCH", text="a")
    assert slack.double.calls.count("chat.postMessage") == 2


@pytest.mark.parametrize("status", [500, 502, 503, 403, 404])
async def test_a_page_instead_of_an_answer_is_tried_again(slack: Slack, status: int) -> None:
    slack.double.faults.status(status)
    assert isinstance(await refusal(slack), Transient)


async def test_an_answer_that_is_not_slack_s_is_tried_again() -> None:
    """A captive portal, or another web server behind a wrong address."""

    async def portal(request: web.Request) -> web.Response:
        return web.Response(text="please log in")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", portal)
    async with TestServer(app) as server:
        url = str(server.make_url("/api/"))
        async with SlackApi.opened(lambda: BOT_TOKEN, api_url=url) as api:
            with pytest.raises(Transient, match="is not Slack's API"):
                await api.call("chat.update", channel="C0", ts="1", text="x")


async def test_slack_that_is_not_there_is_tried_again(slack: Slack) -> None:
    await slack.double.down()
    assert isinstance(await refusal(slack), Transient)


async def test_each_call_uses_the_token_of_that_moment() -> None:
    async with a_slack() as (double, _):
        tokens = ["xoxb-old"]
        async with SlackApi.opened(lambda: tokens[-1], api_url=double.api_url) as api:
            with pytest.raises(Transient, match="invalid_auth"):
                await api.call("auth.test")
            tokens.append(double.bot_token)
            assert (await api.call("auth.test"))["ok"]


# --- people and private answers ------------------------------------------------------------------


async def test_the_members_of_a_group_are_those_of_slack(slack: Slack) -> None:
    slack.double.workspace.add_usergroup("ops", [ANN, BOB], id="S0OPS")
    assert await slack.api.members("S0OPS") == {ANN, BOB}


@pytest.mark.parametrize("disabled", [False, True], ids=["not there", "switched off"])
async def test_a_group_that_slack_does_not_have_is_refused(slack: Slack, disabled: bool) -> None:
    if disabled:
        slack.double.workspace.add_usergroup("ops", [ANN], id="S0OPS")
        slack.double.workspace.disable("S0OPS")
    with pytest.raises(Refused, match="no usergroup S0OPS"):
        await slack.api.members("S0OPS")


async def test_only_one_person_sees_a_whisper(slack: Slack) -> None:
    await slack.api.whisper(slack.channel, ANN, HELLO)
    assert len(slack.double.ephemerals(ANN)) == 1
    assert not slack.double.ephemerals(EVE)
    assert not slack.double.messages("ops")


ELSEWHERE = [
    "",
    "no address",
    "http://[",
    "https://evil.example/hooks",
    "http://hooks.slack.com/x",
    "https://hooks.slack.com.evil.example/x",
    "https://evilslack.com/x",
    "https://hooks.slack.com@evil.example/x",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("url", ELSEWHERE)
async def test_a_private_answer_goes_to_slack_only(slack: Slack, url: str) -> None:
    with pytest.raises(Refused, match="not Slack's"):
        await slack.api.respond(url, HELLO)


async def test_an_answer_that_slack_does_not_take_is_told(slack: Slack) -> None:
    with pytest.raises(Transient, match="404"):
        await slack.api.respond(f"{slack.double.server.url}/hooks/T0/gone", HELLO)


async def test_an_answer_leaves_the_message_that_was_clicked_as_it_is(slack: Slack) -> None:
    ts = await slack.post("a card")
    message = slack.double.workspace.channel("ops").messages[ts]
    url = slack.double.hooks.new(slack.channel, ANN, message)
    await slack.api.respond(url, HELLO)
    assert len(slack.double.messages("ops", contains="a card")) == 1
    assert [m.text for m in slack.double.ephemerals(ANN)] == ["hello"]


async def test_calls_at_the_same_time_do_not_mix(slack: Slack) -> None:
    groups = {f"S0{n}": {ANN} if n % 2 else {BOB} for n in range(10)}
    for group, members in groups.items():
        slack.double.workspace.add_usergroup(group.lower(), members, id=group)
    found = await asyncio.gather(*(slack.api.members(group) for group in groups))
    assert [set(members) for members in found] == list(groups.values())

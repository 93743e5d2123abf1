"""The Slack double, held to what the real client library expects of Slack's Web API."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import ActionsBlock, ButtonElement, SectionBlock
from slack_sdk.signature import Clock as SdkClock
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from simulator.slack import CannotDo, Message, SlackDouble, Unknown
from simulator.slack.screen import mrkdwn, render

Json = dict[str, Any]


class HandClock(SdkClock):
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> float:
        return self.seconds


@dataclass
class World:
    """The double with Ann in #ops, and the real client with the bot's token."""

    slack: SlackDouble
    client: AsyncWebClient
    clock: HandClock
    ops: str
    ann: str


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = HandClock()
    async with SlackDouble.start(clock=clock) as slack, aiohttp.ClientSession() as session:
        ann = slack.workspace.add_user("ann")
        ops = slack.workspace.add_channel("ops")
        client = _client(slack, session)
        yield World(slack, client, clock, ops.id, ann.id)


def _client(
    slack: SlackDouble, session: aiohttp.ClientSession, token: str | None = None
) -> AsyncWebClient:
    """No retries of its own, so that a test counts what it asked for."""
    return AsyncWebClient(
        token or slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[]
    )


def section(text: str = "hello", **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(action_id: str = "approve", label: str = "Approve", **more: Any) -> Json:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "action_id": action_id, "text": text, "value": "1", **more}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements) or [button()], **more}


def header(text: str) -> Json:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def modal(**more: Any) -> Json:
    plain = {"type": "plain_text", "text": "Reject"}
    return {
        "type": "modal",
        "callback_id": "reject",
        "title": plain,
        "submit": plain,
        "blocks": [
            {
                "type": "input",
                "block_id": "reason",
                "label": plain,
                "element": {"type": "plain_text_input", "action_id": "text", "max_length": 20},
            }
        ],
        **more,
    }


async def refusal(call: Awaitable[Any]) -> Any:
    """The answer with which Slack refused."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response


# Who may do what.


async def test_auth_test_says_who_the_bot_is_and_lists_its_scopes(world: World) -> None:
    answer = await world.client.auth_test()
    assert answer["user_id"] == world.slack.workspace.bot.id
    assert answer["team_id"] == world.slack.workspace.team_id
    assert answer["bot_id"]
    assert answer.headers["x-oauth-scopes"].split(",") == world.slack.workspace.scopes


@pytest.mark.parametrize(
    ("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth")], ids=["none", "wrong"]
)
async def test_a_missing_or_wrong_token_is_refused(world: World, token: str, error: str) -> None:
    client = AsyncWebClient(token, base_url=world.slack.api_url, retry_handlers=[])
    assert (await refusal(client.auth_test()))["error"] == error


async def test_a_revoked_token_is_refused(world: World) -> None:
    world.slack.workspace.revoke(world.slack.bot_token)
    assert (await refusal(world.client.auth_test()))["error"] == "token_revoked"


async def test_a_missing_scope_is_named_with_those_that_are_there(world: World) -> None:
    world.slack.workspace.remove_scope("chat:write")
    answer = await refusal(world.client.chat_postMessage(channel=world.ops, text="x"))
    assert (answer["error"], answer["needed"]) == ("missing_scope", "chat:write")
    assert "users:read" in answer["provided"].split(",")


async def test_connections_are_opened_with_the_app_token_only(world: World) -> None:
    opened = await world.client.apps_connections_open(app_token=world.slack.app_token)
    assert opened["url"].startswith("ws://127.0.0.1:")
    wrong = await refusal(world.client.apps_connections_open(app_token=world.slack.bot_token))
    assert wrong["error"] == "not_allowed_token_type"


async def test_the_app_token_does_nothing_else(world: World) -> None:
    call = world.client.chat_postMessage(channel=world.ops, text="x", token=world.slack.app_token)
    assert (await refusal(call))["error"] == "not_allowed_token_type"


async def test_a_method_that_slack_does_not_have_is_refused_and_noted(world: World) -> None:
    assert (await refusal(world.client.api_call("chat.approve")))["error"] == "unknown_method"
    assert world.slack.calls.unknown == ["chat.approve"]


# Messages.


async def test_a_message_has_a_unique_growing_ts_even_when_no_time_passes(world: World) -> None:
    posted = [await world.client.chat_postMessage(channel=world.ops, text="x") for _ in range(3)]
    ts = [answer["ts"] for answer in posted]
    assert ts == ["1700000000.000100", "1700000000.000200", "1700000000.000300"]


async def test_text_blocks_and_metadata_are_kept_as_they_were_sent(world: World) -> None:
    text = "*bold* &lt;b&gt; <@U1> <https://e.x/?a=1&amp;b=2|link> ü 🚀"
    payload = {"event_type": "relayer.update", "event_payload": {"id": "u1", "n": 3}}
    await world.client.chat_postMessage(
        channel=world.ops, text=text, blocks=[section(text)], metadata=payload, unfurl_links=False
    )
    message = await world.slack.message("ops")
    assert message.text == text
    assert message.blocks[0]["text"]["text"] == text
    assert message.metadata == payload
    assert message.unfurl == (False, None)


async def test_the_model_classes_of_the_library_are_understood(world: World) -> None:
    pressed = ButtonElement(text="Go", action_id="go", value="7", style="primary")
    await world.client.chat_postMessage(
        channel=world.ops,
        text="x",
        blocks=[SectionBlock(text="hi"), ActionsBlock(elements=[pressed])],
    )
    assert (await world.slack.message("ops", contains="Go")).blocks[1]["elements"][0][
        "value"
    ] == "7"


async def test_a_form_is_understood_like_json(world: World) -> None:
    data = {"channel": world.ops, "text": "x", "blocks": '[{"type":"divider"}]'}
    await world.client.api_call("chat.postMessage", data=data)
    assert (await world.slack.message("ops")).blocks[0]["type"] == "divider"


async def test_a_channel_may_be_named_when_posting(world: World) -> None:
    answer = await world.client.chat_postMessage(channel="#ops", text="x")
    assert answer["channel"] == world.ops


async def test_a_message_to_a_person_arrives_in_one_conversation(world: World) -> None:
    first = await world.client.chat_postMessage(channel=world.ann, text="x")
    second = await world.client.chat_postMessage(channel=world.ann, text="y")
    assert first["channel"] == second["channel"]
    assert first["channel"].startswith("D")


async def test_replies_stand_in_the_thread_and_a_broadcast_one_also_outside(world: World) -> None:
    post = world.client.chat_postMessage
    parent = (await post(channel=world.ops, text="parent"))["ts"]
    await post(channel=world.ops, text="quiet", thread_ts=parent)
    await post(channel=world.ops, text="loud", thread_ts=parent, reply_broadcast=True)
    assert [m.text for m in world.slack.messages("ops")] == ["parent", "loud"]
    assert [m.text for m in world.slack.thread("ops", parent)] == ["quiet", "loud"]


async def test_an_update_replaces_the_content_and_is_counted(world: World) -> None:
    posted = await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[section("a")])
    before = await world.slack.message("ops")
    ts = posted["ts"]
    await world.client.chat_update(channel=world.ops, ts=ts, text="y", blocks=[section("b")])
    after = await world.slack.message("ops")
    assert (after.text, after.blocks[0]["text"]["text"], after.edited) == ("y", "b", 1)
    assert (before.text, before.edited) == ("x", 0), "what was seen stays as it was seen"
    assert world.slack.calls.count("chat.update", channel=world.ops, ts=ts) == 1


async def test_an_update_with_text_alone_removes_the_blocks_but_not_the_metadata(
    world: World,
) -> None:
    metadata = {"event_type": "e", "event_payload": {}}
    posted = await world.client.chat_postMessage(
        channel=world.ops, text="x", blocks=[section()], metadata=metadata
    )
    await world.client.chat_update(channel=world.ops, ts=posted["ts"], text="y")
    message = await world.slack.message("ops")
    assert (message.blocks, message.metadata) == ([], metadata)
    assert message.edit_shown


async def test_a_message_of_somebody_else_can_be_neither_changed_nor_deleted(world: World) -> None:
    said = world.slack.workspace.say("ann", "ops", "mine")
    update = world.client.chat_update(channel=world.ops, ts=said.ts, text="x")
    assert (await refusal(update))["error"] == "cant_update_message"
    delete = world.client.chat_delete(channel=world.ops, ts=said.ts)
    assert (await refusal(delete))["error"] == "cant_delete_message"


async def test_a_deleted_message_is_gone_for_everybody(world: World) -> None:
    ts = (await world.client.chat_postMessage(channel=world.ops, text="x"))["ts"]
    await world.client.chat_delete(channel=world.ops, ts=ts)
    assert world.slack.messages("ops") == []
    update = world.client.chat_update(channel=world.ops, ts=ts, text="y")
    assert (await refusal(update))["error"] == "message_not_found"
    assert (await world.client.conversations_history(channel=world.ops))["messages"] == []


async def test_an_ephemeral_message_is_seen_by_one_person_and_not_in_the_channel(
    world: World,
) -> None:
    bob = world.slack.workspace.add_user("bob")
    await world.client.chat_postEphemeral(channel=world.ops, user=world.ann, text="only you")
    assert (await world.slack.ephemeral("ann", contains="only")).thread_ts is None
    assert world.slack.messages("ops") == []
    assert world.slack.ephemerals(bob) == []


@pytest.mark.parametrize(
    ("user", "error"), [("U404", "user_not_found"), ("bob", "user_not_in_channel")]
)
async def test_an_ephemeral_message_needs_its_reader_in_the_channel(
    world: World, user: str, error: str
) -> None:
    bob = world.slack.workspace.add_user("bob")
    reader = bob.id if user == "bob" else user
    call = world.client.chat_postEphemeral(channel=world.ops, user=reader, text="x")
    assert (await refusal(call))["error"] == error


@pytest.mark.parametrize(
    ("trouble", "posting", "updating"),
    [
        (lambda slack: slack.workspace.archive("ops"), "is_archived", "is_inactive"),
        (lambda slack: slack.workspace.kick_bot("ops"), "not_in_channel", "not_in_channel"),
    ],
    ids=["archived", "kicked"],
)
async def test_a_channel_that_is_closed_to_the_bot_refuses_it(
    world: World, trouble: Callable[[SlackDouble], None], posting: str, updating: str
) -> None:
    ts = (await world.client.chat_postMessage(channel=world.ops, text="x"))["ts"]
    trouble(world.slack)
    post = world.client.chat_postMessage(channel=world.ops, text="y")
    assert (await refusal(post))["error"] == posting
    update = world.client.chat_update(channel=world.ops, ts=ts, text="y")
    assert (await refusal(update))["error"] == updating


async def test_an_unknown_channel_and_a_private_one_without_the_bot_look_the_same(
    world: World,
) -> None:
    hidden = world.slack.workspace.add_channel("hidden", private=True, bot=False)
    for channel in ("C404", hidden.id):
        call = world.client.chat_postMessage(channel=channel, text="x")
        assert (await refusal(call))["error"] == "channel_not_found"


# What Slack refuses about content.


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "metadata": {"event_type": "e"}}, "invalid_metadata_format"),
        (
            {"text": "x", "metadata": {"event_type": "e", "event_payload": {"a": "x" * 8000}}},
            "metadata_too_large",
        ),
    ],
    ids=["nothing", "long", "shapeless metadata", "large metadata"],
)
async def test_content_that_slack_does_not_take_is_refused(
    world: World, content: Json, error: str
) -> None:
    # Past the library's own method, which warns about a missing text.
    call = world.client.api_call("chat.postMessage", json={"channel": world.ops, **content})
    assert (await refusal(call))["error"] == error
    assert world.slack.messages("ops") == []


OPTION = {"text": {"type": "plain_text", "text": "o"}, "value": "v"}


def select(*options: Json) -> Json:
    return {"type": "static_select", "action_id": "s", "options": list(options)}


@pytest.mark.parametrize(
    ("blocks", "pointer", "word"),
    [
        ([section()] * 51, "/blocks", "no more than 50"),
        ([section("x" * 3001)], "/blocks/0/text/text", "less than 3001"),
        ([section("")], "/blocks/0/text/text", "more than 0"),
        ([{"type": "section"}], "/blocks/0", "missing required field"),
        ([header("x" * 151)], "/blocks/0/text/text", "less than 151"),
        ([actions(button(label="x" * 76))], "/blocks/0/elements/0/text/text", "less than 76"),
        ([actions(button(value="x" * 2001))], "/blocks/0/elements/0/value", "less than 2001"),
        ([actions(button("x" * 256))], "/blocks/0/elements/0/action_id", "less than 256"),
        ([actions(button(style="green"))], "/blocks/0/elements/0/style", "invalid style"),
        ([section(block_id="x" * 256)], "/blocks/0/block_id", "less than 256"),
        ([actions(*[button(f"a{n}") for n in range(26)])], "/blocks/0/elements", "no more than 25"),
        ([actions(button(), button())], "/blocks/0/elements/1/action_id", "already exists"),
        ([section(block_id="b"), section(block_id="b")], "/blocks/1/block_id", "already exists"),
        (
            [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}],
            "/blocks/0/elements",
            "no more than 10",
        ),
        (
            [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}],
            "/blocks/0/fields/0/text",
            "less than 2001",
        ),
        (
            [actions(select({**OPTION, "text": {"type": "plain_text", "text": "x" * 76}}))],
            "/blocks/0/elements/0/options/0/text/text",
            "less than 76",
        ),
        (
            [actions(select({**OPTION, "value": "x" * 151}))],
            "/blocks/0/elements/0/options/0/value",
            "less than 151",
        ),
        ([{"type": "sections"}], "/blocks/0/type", "unsupported type: sections"),
        ([section(colour="red")], "/blocks/0", "invalid additional property: colour"),
        (
            [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
            "/blocks/0/text/type",
            "un",
        ),
    ],
)
async def test_blocks_beyond_the_limits_are_refused_with_the_place(
    world: World, blocks: list[Json], pointer: str, word: str
) -> None:
    answer = await refusal(
        world.client.chat_postMessage(channel=world.ops, text="x", blocks=blocks)
    )
    assert answer["error"] == "invalid_blocks"
    said = answer["response_metadata"]["messages"]
    assert any(word in one and f"[json-pointer:{pointer}]" in one for one in said), said


async def test_blocks_at_the_limits_are_taken(world: World) -> None:
    buttons = [button(f"{n:0>255}", "x" * 75, value="x" * 2000) for n in range(25)]
    blocks = [section("x" * 3000), header("x" * 150), actions(*buttons), *[section()] * 47]
    await world.client.chat_postMessage(channel=world.ops, text="x" * 40_000, blocks=blocks)
    assert len((await world.slack.message("ops")).blocks) == 50


async def test_slack_names_the_blocks_that_have_no_id(world: World) -> None:
    nameless = {"type": "button", "text": {"type": "plain_text", "text": "x"}}
    await world.client.chat_postMessage(
        channel=world.ops, text="x", blocks=[actions(nameless), section()]
    )
    first, second = (await world.slack.message("ops")).blocks
    assert first["block_id"] != second["block_id"]
    assert first["elements"][0]["action_id"]


# Looking things up.


async def test_history_is_read_in_pages_from_the_newest(world: World) -> None:
    for n in range(5):
        await world.client.chat_postMessage(channel=world.ops, text=str(n))
    pages = await world.client.conversations_history(channel=world.ops, limit=2)
    assert pages["has_more"]
    assert [m["text"] async for page in pages for m in page["messages"]] == list("43210")


async def test_history_has_bounds_that_count_only_if_asked(world: World) -> None:
    ts = [
        (await world.client.chat_postMessage(channel=world.ops, text=str(n)))["ts"]
        for n in range(5)
    ]
    history = world.client.conversations_history
    bounds: Json = {"channel": world.ops, "oldest": ts[1], "latest": ts[3]}
    assert [m["text"] for m in (await history(**bounds))["messages"]] == ["2"]
    inclusive = await history(**bounds, inclusive=True)
    assert [m["text"] for m in inclusive["messages"]] == ["3", "2", "1"]


async def test_history_shows_metadata_only_if_asked(world: World) -> None:
    metadata = {"event_type": "e", "event_payload": {"a": 1}}
    await world.client.chat_postMessage(channel=world.ops, text="x", metadata=metadata)
    history = world.client.conversations_history
    plain = await history(channel=world.ops)
    full = await history(channel=world.ops, include_all_metadata=True)
    assert "metadata" not in plain["messages"][0]
    assert full["messages"][0]["metadata"] == metadata


async def test_history_counts_the_replies_and_leaves_them_out(world: World) -> None:
    post = world.client.chat_postMessage
    parent = (await post(channel=world.ops, text="parent"))["ts"]
    reply = (await post(channel=world.ops, text="reply", thread_ts=parent))["ts"]
    (shown,) = (await world.client.conversations_history(channel=world.ops))["messages"]
    assert (shown["reply_count"], shown["latest_reply"]) == (1, reply)
    replies = await world.client.conversations_replies(channel=world.ops, ts=parent)
    assert [m["text"] for m in replies["messages"]] == ["parent", "reply"]


async def test_history_needs_a_valid_cursor_and_the_bot_inside(world: World) -> None:
    history = world.client.conversations_history
    wrong = await refusal(history(channel=world.ops, cursor="nonsense"))
    assert wrong["error"] == "invalid_cursor"
    world.slack.workspace.kick_bot("ops")
    assert (await refusal(history(channel=world.ops)))["error"] == "not_in_channel"


async def test_a_private_channel_is_read_with_a_scope_of_its_own(world: World) -> None:
    hidden = world.slack.workspace.add_channel("hidden", private=True)
    world.slack.workspace.remove_scope("groups:history")
    await world.client.conversations_history(channel=world.ops)
    answer = await refusal(world.client.conversations_history(channel=hidden.id))
    assert (answer["error"], answer["needed"]) == ("missing_scope", "groups:history")


async def test_a_thread_that_is_not_there_is_said_so(world: World) -> None:
    call = world.client.conversations_replies(channel=world.ops, ts="1.000100")
    assert (await refusal(call))["error"] == "thread_not_found"


async def test_a_channel_says_whether_the_bot_is_in_it_and_whether_it_is_archived(
    world: World,
) -> None:
    world.slack.workspace.archive("ops")
    world.slack.workspace.kick_bot("ops")
    channel = (await world.client.conversations_info(channel=world.ops))["channel"]
    assert (channel["name"], channel["is_member"], channel["is_archived"]) == ("ops", False, True)
    members = await world.client.conversations_members(channel=world.ops)
    assert members["members"] == [world.ann]


async def test_a_person_has_a_name_a_time_zone_and_an_end(world: World) -> None:
    world.slack.workspace.user("ann").deleted = True
    user = (await world.client.users_info(user=world.ann))["user"]
    assert (user["name"], user["tz"], user["deleted"]) == ("ann", "Europe/Berlin", True)
    assert (await refusal(world.client.users_info(user="U404")))["error"] == "user_not_found"


async def test_a_usergroup_is_listed_with_its_members_until_it_is_disabled(world: World) -> None:
    group = world.slack.workspace.add_usergroup("sre", ["ann"])
    (listed,) = (await world.client.usergroups_list(include_users=True))["usergroups"]
    assert (listed["id"], listed["handle"], listed["users"]) == (group.id, "sre", [world.ann])
    users = world.client.usergroups_users_list
    assert (await users(usergroup=group.id))["users"] == [world.ann]
    world.slack.workspace.disable("sre")
    assert (await world.client.usergroups_list())["usergroups"] == []
    assert (await refusal(users(usergroup=group.id)))["error"] == "no_such_subteam"
    assert (await users(usergroup=group.id, include_disabled=True))["users"] == [world.ann]


# Modals and response URLs.


async def clicked(world: World) -> Json:
    """The payload of a click on a message's only button."""
    await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[actions()])
    message = await world.slack.message("ops")
    return world.slack.clicking("ann", message, "approve").payload


async def test_a_modal_opens_with_a_fresh_trigger_once(world: World) -> None:
    trigger = (await clicked(world))["trigger_id"]
    answer = await world.client.views_open(trigger_id=trigger, view=modal())
    assert (await world.slack.view("ann")).id == answer["view"]["id"]
    again = world.client.views_open(trigger_id=trigger, view=modal())
    assert (await refusal(again))["error"] == "exchanged_trigger_id"


@pytest.mark.parametrize(("seconds", "error"), [(2.9, None), (3.1, "expired_trigger_id")])
async def test_a_trigger_lives_three_seconds(
    world: World, seconds: float, error: str | None
) -> None:
    trigger = (await clicked(world))["trigger_id"]
    world.clock.seconds += seconds
    call = world.client.views_open(trigger_id=trigger, view=modal())
    if error:
        assert (await refusal(call))["error"] == error
    else:
        assert (await call)["ok"]


async def test_an_invented_trigger_opens_nothing(world: World) -> None:
    call = world.client.views_open(trigger_id="1.2.3", view=modal())
    assert (await refusal(call))["error"] == "invalid_trigger_id"


@pytest.mark.parametrize(
    ("view", "pointer"),
    [
        (modal(title={"type": "plain_text", "text": "x" * 25}), "/view/title/text"),
        (modal(private_metadata="x" * 3001), "/view/private_metadata"),
        (modal(blocks=[section()] * 101), "/view/blocks"),
        (modal(blocks=[section("x" * 3001)]), "/view/blocks/0/text/text"),
        ({k: v for k, v in modal().items() if k != "submit"}, "/view"),
    ],
    ids=["title", "metadata", "blocks", "text", "no submit"],
)
async def test_a_modal_beyond_the_limits_is_refused_with_the_place(
    world: World, view: Json, pointer: str
) -> None:
    trigger = (await clicked(world))["trigger_id"]
    answer = await refusal(world.client.views_open(trigger_id=trigger, view=view))
    assert answer["error"] == "invalid_arguments"
    assert f"[json-pointer:{pointer}]" in answer["response_metadata"]["messages"][0]


async def test_an_open_modal_is_replaced_unless_its_hash_is_old(world: World) -> None:
    trigger = (await clicked(world))["trigger_id"]
    first = (await world.client.views_open(trigger_id=trigger, view=modal()))["view"]
    update = world.client.views_update
    await update(view_id=first["id"], hash=first["hash"], view=modal(private_metadata="2"))
    assert (await world.slack.view("ann")).view["private_metadata"] == "2"
    late = update(view_id=first["id"], hash=first["hash"], view=modal())
    assert (await refusal(late))["error"] == "hash_conflict"


async def test_a_response_url_shows_something_to_the_person_by_default(world: World) -> None:
    hook = AsyncWebhookClient((await clicked(world))["response_url"])
    answer = await hook.send(text="only you", replace_original=False)
    assert (answer.status_code, answer.body) == (200, "ok")
    assert (await world.slack.ephemeral("ann")).text == "only you"
    await hook.send(text="everybody", response_type="in_channel", replace_original=False)
    assert world.slack.messages("ops")[-1].text == "everybody"


async def test_a_response_url_replaces_and_deletes_what_was_clicked(world: World) -> None:
    hook = AsyncWebhookClient((await clicked(world))["response_url"])
    await hook.send(text="replaced", replace_original=True)
    assert [m.text for m in world.slack.messages("ops")] == ["replaced"]
    await hook.send(delete_original=True)
    assert world.slack.messages("ops") == []


async def test_a_response_url_works_five_times_and_half_an_hour(world: World) -> None:
    hook = AsyncWebhookClient((await clicked(world))["response_url"])
    for _ in range(5):
        assert (await hook.send(text="x")).status_code == 200
    sixth = await hook.send(text="x")
    assert (sixth.status_code, "used_url" in sixth.body) == (404, True)
    other = AsyncWebhookClient((await clicked(world))["response_url"])
    world.clock.seconds += 1801
    assert "expired_url" in (await other.send(text="x")).body


# Trouble.


async def test_a_limited_method_answers_429_with_the_time_to_wait(world: World) -> None:
    world.slack.faults.ratelimited(7, method="chat.update")
    await world.client.chat_postMessage(channel=world.ops, text="not limited")
    call = world.client.chat_update(channel=world.ops, ts="1.1", text="x")
    answer = await refusal(call)
    assert (answer["error"], answer.status_code) == ("ratelimited", 429)
    assert answer.headers["Retry-After"] == "7"


async def test_a_channel_takes_one_message_a_second_if_so_ordered(world: World) -> None:
    world.slack.faults.one_message_a_second()
    other = world.slack.workspace.add_channel("other")
    post = world.client.chat_postMessage
    await post(channel=world.ops, text="1")
    await post(channel=other.id, text="another channel has its own limit")
    answer = await refusal(post(channel=world.ops, text="2"))
    assert answer.headers["Retry-After"] == "1"
    world.clock.seconds += 1
    await post(channel=world.ops, text="2")


async def test_a_server_error_is_a_page_and_passes(world: World) -> None:
    world.slack.faults.status(503, method="auth.test")
    assert (await refusal(world.client.auth_test())).status_code == 503
    assert (await world.client.auth_test())["ok"]


async def test_any_refusal_can_be_ordered_for_one_channel(world: World) -> None:
    other = world.slack.workspace.add_channel("other")
    world.slack.faults.error("fatal_error", channel=world.ops)
    await world.client.chat_postMessage(channel=other.id, text="x")
    call = world.client.chat_postMessage(channel=world.ops, text="x")
    assert (await refusal(call))["error"] == "fatal_error"


async def test_an_answer_can_be_lost_after_the_message_was_stored(world: World) -> None:
    world.slack.faults.lose(method="chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await world.client.chat_postMessage(channel=world.ops, text="stored")
    assert [m.text for m in world.slack.messages("ops")] == ["stored"]
    assert world.slack.calls.of("chat.postMessage")[0].error == "lost"


async def test_a_connection_can_close_before_anything_is_done(world: World) -> None:
    world.slack.faults.close(method="chat.postMessage")
    with pytest.raises(aiohttp.ClientError):
        await world.client.chat_postMessage(channel=world.ops, text="x")
    assert world.slack.messages("ops") == []


async def test_a_held_call_waits_until_it_is_released(world: World) -> None:
    held = world.slack.faults.hold(method="chat.postMessage")
    async with asyncio.TaskGroup() as group:
        call = group.create_task(world.client.chat_postMessage(channel=world.ops, text="x"))
        await held.arrived.wait()
        assert world.slack.messages("ops") == []
        held.released.set()
        assert (await call)["ok"]
    assert len(world.slack.messages("ops")) == 1


async def test_what_is_held_is_let_go_when_the_double_ends() -> None:
    async with aiohttp.ClientSession() as session:
        async with asyncio.TaskGroup() as group, SlackDouble.start() as slack:
            held = slack.faults.hold()
            call = group.create_task(_failing(_client(slack, session)))
            await held.arrived.wait()
        assert call.result()


async def _failing(client: AsyncWebClient) -> bool:
    with pytest.raises((aiohttp.ClientError, SlackApiError)):
        await client.api_call("api.none")
    return True


async def test_slack_can_be_down_and_comes_back_at_the_same_address(world: World) -> None:
    await world.slack.down()
    with pytest.raises(aiohttp.ClientConnectorError):
        await world.client.auth_test()
    await world.slack.up()
    assert (await world.client.auth_test())["ok"]


async def test_while_it_is_down_nobody_else_gets_its_port(world: World) -> None:
    await world.slack.down()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", world.slack.server.port))


async def test_calls_are_counted_by_method_channel_and_message(world: World) -> None:
    ts = (await world.client.chat_postMessage(channel=world.ops, text="x"))["ts"]
    for n in range(3):
        await world.client.chat_update(channel=world.ops, ts=ts, text=str(n))
    await refusal(world.client.chat_update(channel=world.ops, ts="1.1", text="x"))
    count = world.slack.calls.count
    assert count("chat.update") == count("chat.update", channel=world.ops) == 4
    assert count("chat.update", channel=world.ops, ts=ts) == 3
    assert [call.error for call in world.slack.calls.of("chat.update")][-1] == "message_not_found"


# HTTP mode.


async def test_a_request_for_http_mode_is_signed_as_the_library_verifies(world: World) -> None:
    interaction = world.slack.commanding("ann", "/relayer", "status", "ops")
    request = world.slack.http_request(interaction)
    verifier = SignatureVerifier(world.slack.signing_secret, clock=world.clock)
    assert verifier.is_valid_request(request.body, request.headers)
    assert not verifier.is_valid_request(request.body + b"&x=1", request.headers)
    old = world.slack.http_request(interaction, at=world.clock() - 301)
    assert not verifier.is_valid_request(old.body, old.headers)
    forged = world.slack.http_request(interaction, secret="other")
    assert not verifier.is_valid_request(forged.body, forged.headers)


# People.


async def test_a_click_needs_a_button_that_is_there(world: World) -> None:
    await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[actions()])
    with pytest.raises(CannotDo, match="approve"):
        world.slack.clicking("ann", await world.slack.message("ops"), "reject")


async def test_a_click_carries_what_slack_sends(world: World) -> None:
    parent = (await world.client.chat_postMessage(channel=world.ops, text="parent"))["ts"]
    await world.client.chat_postMessage(
        channel=world.ops, text="x", blocks=[actions(block_id="b")], thread_ts=parent
    )
    message = await world.slack.reply("ops", parent)
    payload = world.slack.clicking("ann", message, "approve").payload
    team = world.slack.workspace.team_id
    assert payload["user"] == {
        "id": world.ann,
        "username": "ann",
        "name": "ann",
        "team_id": team,
    }
    assert payload["container"] == {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": world.ops,
        "is_ephemeral": False,
        "thread_ts": parent,
    }
    assert payload["message"]["blocks"] == message.blocks
    (action,) = payload["actions"]
    assert (action["block_id"], action["value"], action["type"]) == ("b", "1", "button")
    assert float(action["action_ts"]) > float(message.ts)


async def test_a_click_can_claim_another_team_app_and_value(world: World) -> None:
    await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[actions()])
    message = await world.slack.message("ops")
    forged = world.slack.clicking("ann", message, "approve", team="T9", app="A9", value="9").payload
    assert (forged["team"]["id"], forged["api_app_id"]) == ("T9", "A9")
    assert forged["actions"][0]["value"] == "9"


@pytest.mark.parametrize("kind", ["static_select", "overflow", "radio_buttons"])
async def test_choosing_carries_the_option(world: World, kind: str) -> None:
    chooser = {"type": kind, "action_id": "s", "options": [OPTION]}
    await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[actions(chooser)])
    message = await world.slack.message("ops")
    (action,) = world.slack.clicking("ann", message, "s", value="v").payload["actions"]
    assert action["selected_option"] == OPTION
    with pytest.raises(CannotDo, match="no option 'w'"):
        world.slack.clicking("ann", message, "s", value="w")


async def test_what_was_seen_can_be_clicked_after_it_was_replaced(world: World) -> None:
    posted = await world.client.chat_postMessage(channel=world.ops, text="x", blocks=[actions()])
    seen = await world.slack.message("ops")
    await world.client.chat_update(channel=world.ops, ts=posted["ts"], text="over")
    payload = world.slack.clicking("ann", seen, "approve").payload
    assert payload["message"]["text"] == "x"


async def test_an_ephemeral_click_has_no_message_but_says_so(world: World) -> None:
    await world.client.chat_postEphemeral(
        channel=world.ops, user=world.ann, text="x", blocks=[actions()]
    )
    payload = world.slack.clicking("ann", await world.slack.ephemeral("ann"), "approve").payload
    assert payload["container"]["is_ephemeral"]
    assert "message" not in payload
    await AsyncWebhookClient(payload["response_url"]).send(delete_original=True)
    assert world.slack.ephemerals("ann") == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "must be filled in"),
        ({"reason": "x" * 21}, "no more than 20"),
        ({"other": "x"}, "must"),
    ],
)
async def test_the_form_itself_keeps_a_person_from_submitting_nonsense(
    world: World, values: Json, why: str
) -> None:
    trigger = (await clicked(world))["trigger_id"]
    await world.client.views_open(trigger_id=trigger, view=modal())
    with pytest.raises(CannotDo, match=why):
        world.slack.submitting(await world.slack.view("ann"), values)


async def test_looking_for_what_never_comes_says_what_was_there(world: World) -> None:
    await world.client.chat_postMessage(channel=world.ops, text="something else")
    with pytest.raises(TimeoutError, match=r"'x'; said was .*something else"):
        await world.slack.until(lambda: None, "'x'", seconds=0.001)


async def test_a_misspelt_name_is_an_error(world: World) -> None:
    with pytest.raises(Unknown, match="no channel 'opps'"):
        world.slack.messages("opps")
    with pytest.raises(Unknown, match="no user 'anne'"):
        world.slack.ephemerals("anne")


# The screen.


async def test_a_message_is_shown_as_a_person_reads_it(world: World) -> None:
    fields = [{"type": "mrkdwn", "text": f"*{name}*\n{name}"} for name in ("left", "right", "odd")]
    blocks = [
        header("Update of <prod>"),
        section(f"*<@{world.ann}>* may approve"),
        {"type": "section", "fields": fields},
        {"type": "divider"},
        actions(button(), button("reject", "Reject"), select(OPTION)),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "by `relayer`"}]},
    ]
    await world.client.chat_postMessage(channel=world.ops, text="x", blocks=blocks)
    shown = render(await world.slack.message("ops"), world.slack.workspace, width=30)
    assert shown.splitlines() == [
        "Update of <prod>",
        "═" * 16,
        "@ann may approve",
        "left            right",
        "left            right",
        "odd",
        "odd",
        "─" * 30,
        "[ Approve ]  [ Reject ]  [",
        "Choose ▾ ]",
        "  by `relayer`",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a &lt;b&gt; &amp;amp;", "a <b> &amp;"),
        ("<https://e.x/a_b_c|the _build_>", "the build"),
        ("<https://e.x/a_b_c>", "https://e.x/a_b_c"),
        ("<#C404|gone> <!here>", "#gone @here"),
        ("<!date^1700000000^{date_num} {time}|then>", "2023-11-14 23:13"),
        ("<!date^1699996400^{ago}|then>", "1 hour ago"),
        ("<!date^soon^{time}|then>", "then"),
        ("*bold* _it_ ~no~ 2*3*4 a_b_c", "bold it no 2*3*4 a_b_c"),
        ("`*code*` &amp; ```a *b*```", "`*code*` & a *b*"),
        (":white_check_mark: :unheard_of:", "✅ :unheard_of:"),
    ],
)
async def test_slack_markup_is_resolved(world: World, text: str, shown: str) -> None:
    assert mrkdwn(text, world.slack.workspace, tz="Europe/Berlin") == shown


async def test_groups_are_shown_by_their_handle(world: World) -> None:
    group = world.slack.workspace.add_usergroup("sre")
    assert mrkdwn(f"<!subteam^{group.id}>", world.slack.workspace) == "@sre"


async def test_a_message_without_blocks_is_its_text_wrapped(world: World) -> None:
    message = Message(world.ops, "1.000100", "U1", "- one two three\nfour", only_for=world.ann)
    shown = render(message, world.slack.workspace, width=10)
    assert shown.splitlines() == ["Only visible to you", "- one two", "  three", "four"]

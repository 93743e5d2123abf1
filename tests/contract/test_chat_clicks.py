"""Clicks on cards in Slack: what was clicked on is what is decided about, or nothing is.

Who may is in `test_chat_rights`; what crashes and comes twice in `test_chat_saved`.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from simulator.slack import Message
from simulator.slack.double import searched
from tests.chat import ANN, BOB, EVE, Chat, a_chat, a_policy, asks, choice, is_approved
from tests.facts import T0, digest, image, seconds
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.core.windows import Window

S = UpdateState
DAY = 24 * 3600


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made, made.listening():
        yield made


async def test_an_approval_by_one_who_may_releases_the_update_and_answers_privately(
    chat: Chat,
) -> None:
    assert await chat.slack.click(ANN, await chat.asked(), "approve")
    after = await chat.get()
    assert after.state is S.SCHEDULED
    assert after.approval is not None
    assert after.approval.binding == after.binding
    assert [(v.by, v.surface) for v in after.votes] == [(f"slack:{ANN}", "slack button")]
    await chat.slack.ephemeral(ANN, contains="is approved by")
    assert len(chat.slack.messages("ops")) == 1, "nobody else is told of it by us"


async def test_a_quorum_needs_as_many_people_and_says_how_many_are_missing(chat: Chat) -> None:
    message = await chat.asked(asks(policy=a_policy(quorum=2)))
    await chat.slack.click(ANN, message, "approve")
    await chat.slack.ephemeral(ANN, contains="1 more approval(s) needed")
    await chat.slack.click(ANN, message, "approve")
    await chat.slack.ephemeral(ANN, contains="counts once")
    assert (await chat.get()).state is S.AWAITING_APPROVAL
    await chat.slack.click(BOB, message, "approve")
    assert (await chat.get()).state is S.SCHEDULED


async def test_reject_asks_why_first_and_only_the_form_decides(chat: Chat) -> None:
    await chat.slack.click(ANN, await chat.asked(), "reject")
    view = await chat.slack.view(ANN)
    assert (await chat.get()).state is S.AWAITING_APPROVAL
    ack = await chat.slack.submit(view, {"reason": "the vendor asks us to wait"})
    assert ack is not None
    assert (await chat.get()).ended_because == (
        f"rejected by slack:{ANN}: the vendor asks us to wait"
    )
    said = await chat.slack.ephemeral(ANN, contains="is rejected")
    assert said.channel == chat.slack.workspace.channel("ops").id
    assert not chat.slack.views(ANN)


async def test_a_reason_that_the_policy_asks_for_is_asked_for_in_the_form(chat: Chat) -> None:
    message = await chat.asked(asks(policy=a_policy(reason_required=True)))
    await chat.slack.click(ANN, message, "reject")
    view = await chat.slack.view(ANN)
    before = await chat.version()
    ack = await chat.slack.submit(view, {"reason": "  "})
    assert ack is not None
    assert ack.errors == {"reason": "This pool's policy asks for a reason."}
    assert await chat.version() == before
    await chat.slack.submit(view, {"reason": "no"})
    assert (await chat.get()).state is S.REJECTED


async def test_without_such_a_policy_no_reason_is_needed(chat: Chat) -> None:
    await chat.slack.click(ANN, await chat.asked(), "reject")
    await chat.slack.submit(await chat.slack.view(ANN))
    assert (await chat.get()).state is S.REJECTED


@pytest.mark.parametrize(
    ("word", "until"),
    [
        ("1h", T0 + seconds(3600)),
        ("4h", T0 + seconds(4 * 3600)),
        # It is 17:00 in Tokyo, and tomorrow's 09:00 there is today's midnight in UTC.
        ("tomorrow", datetime(2026, 11, 19, 0, 0, tzinfo=UTC)),
        ("next-window", datetime(2026, 11, 25, 7, 0, tzinfo=UTC)),
    ],
)
async def test_snooze_puts_it_off_in_the_time_of_its_pool(word: str, until: datetime) -> None:
    # T0 is a Wednesday, 08:00: within this window. The next one is in a week.
    policy = a_policy(windows=(Window(days=("wed",), start="07:00", hours=4),))
    async with a_chat(policy=policy, time_zone="Asia/Tokyo") as chat, chat.listening():
        message = await chat.asked(asks(policy=policy))
        await chat.slack.click(ANN, message, "snooze", value=choice(message, word))
        assert (await chat.get()).snoozed_until == until
        assert (await chat.get()).snoozed_by == f"slack:{ANN}"
        await chat.slack.ephemeral(ANN, contains=f"put off until {until:%Y-%m-%d %H:%M} UTC")


async def test_details_are_shown_to_everybody_and_decide_nothing(chat: Chat) -> None:
    message = await chat.asked()
    before = await chat.version()
    await chat.slack.click(EVE, message, "details")
    assert "May decide" in str((await chat.slack.view(EVE)).view)
    assert await chat.version() == before
    assert not await chat.refusals()


# --- what has become of it meanwhile ---------------------------------------------------------


async def pressed(chat: Chat, message: Message, action: str, by: str = ANN) -> str:
    """Press it, and return what is answered."""
    value = choice(message, "1h") if action == "snooze" else None
    assert await chat.slack.click(by, message, action, value=value), "no ack"
    return searched(await chat.slack.ephemeral(by))


async def superseded(chat: Chat, update: Update) -> None:
    why = "superseded by u-2"
    await chat.become(replace(update, state=S.SUPERSEDED, ended_because=why))


async def expired(chat: Chat, update: Update) -> None:
    await chat.become(replace(update, state=S.EXPIRED, ended_because="nobody acted on it"))


async def rejected(chat: Chat, update: Update) -> None:
    await chat.become(replace(update, state=S.REJECTED, ended_because="rejected by bob: no"))


async def applying(chat: Chat, update: Update) -> None:
    await chat.become(replace(is_approved(), state=S.APPLYING, expires_at=None))


async def rebuilt(chat: Chat, update: Update) -> None:
    await chat.become(replace(update, image=image("another")))


async def another_policy(chat: Chat, update: Update) -> None:
    await chat.become(replace(update, policy=a_policy(quorum=2)))


async def another_base(chat: Chat, update: Update) -> None:
    await chat.become(replace(update, target=replace(update.target, base=image("base"))))


async def another_recipe(chat: Chat, update: Update) -> None:
    target = replace(update.target, recipe_digest=digest("another"))
    await chat.become(replace(update, target=target))


CHANGED = "has changed since it was shown"
MEANWHILE = pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (superseded, "superseded by u-2"),
        (expired, "nobody acted on it"),
        (rejected, "rejected by bob: no"),
        (applying, "is applying already"),
        (rebuilt, CHANGED),
        (another_policy, CHANGED),
        (another_base, CHANGED),
        (another_recipe, CHANGED),
    ],
)
Happens = Callable[[Chat, Update], Awaitable[None]]
ACTIONS = pytest.mark.parametrize("action", ["approve", "reject", "snooze"])


@MEANWHILE
@ACTIONS
async def test_a_click_on_what_has_changed_says_so_and_changes_nothing(
    chat: Chat, happens: Happens, sentence: str, action: str
) -> None:
    update = asks()
    message = await chat.asked(update)
    await happens(chat, update)
    before = await chat.version()
    assert sentence in await pressed(chat, message, action)
    assert await chat.version() == before
    assert not chat.slack.views(ANN)
    (refused,) = await chat.refusals()
    assert refused.event == f"{action.capitalize()}Declined"
    assert refused.by == f"slack:{ANN}"
    assert refused.surface == "slack button"
    assert refused.binding == str(update.binding.digest())


@MEANWHILE
async def test_a_form_about_what_has_changed_meanwhile_says_so_and_changes_nothing(
    chat: Chat, happens: Happens, sentence: str
) -> None:
    update = asks()
    await chat.slack.click(ANN, await chat.asked(update), "reject")
    view = await chat.slack.view(ANN)
    await happens(chat, update)
    before = await chat.version()
    assert await chat.slack.submit(view, {"reason": "no"})
    assert sentence in str((await chat.slack.view(ANN)).view["blocks"])
    assert await chat.version() == before
    (refused,) = await chat.refusals()
    assert (refused.event, refused.surface) == ("RejectDeclined", "slack form")
    assert refused.binding == str(update.binding.digest())


@pytest.mark.parametrize("action", ["approve", "snooze"])
async def test_after_its_time_it_can_neither_be_approved_nor_put_off(
    chat: Chat, action: str
) -> None:
    message = await chat.asked()
    before = await chat.version()
    chat.scene.clock.advance(DAY)
    assert "time to decide ended" in await pressed(chat, message, action)
    assert await chat.version() == before
    assert len(await chat.refusals()) == 1


@ACTIONS
async def test_a_click_on_an_update_that_is_not_there_is_answered_and_audited(
    chat: Chat, action: str
) -> None:
    message = await chat.card(asks(id="u-gone"))
    assert "there is no update" in await pressed(chat, message, action)
    (refused,) = await chat.refusals()
    assert refused.by == f"slack:{ANN}"
    assert str(asks(id="u-gone").binding.digest()) in refused.detail


@ACTIONS
async def test_a_button_of_another_update_decides_about_neither(chat: Chat, action: str) -> None:
    """As if somebody had made a button of two."""
    other = await chat.put(asks(id="u-9", pool="other"))
    message = await chat.asked()
    text = json.dumps(message.blocks).replace('\\"u-1\\"', '\\"u-9\\"')
    forged = replace(message, blocks=json.loads(text))
    before = await chat.version("u-1"), await chat.version("u-9")
    value = choice(forged, "1h") if action == "snooze" else None
    assert await chat.slack.click(ANN, forged, action, value=value)
    await chat.slack.ephemeral(ANN, contains=CHANGED)
    assert (await chat.version("u-1"), await chat.version("u-9")) == before
    assert [refusal.job for refusal in await chat.refusals()] == [other.id]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"u":"u-1"}',
        '{"u":"u-1","b":""}',
        '{"u":"u-1","b":"sha256:no"}',
        '{"u":"u-1","b":1}',
        '{"u":["u-1"]}',
        "[" * 2900,
        "\x00",
        '{"u":"' + "x" * 2900,
    ],
)
async def test_a_value_that_we_did_not_make_decides_nothing(chat: Chat, value: str) -> None:
    message = await chat.asked()
    before = await chat.version()
    assert await chat.slack.click(ANN, message, "approve", value=value)
    await chat.slack.ephemeral(ANN)
    assert await chat.version() == before
    assert not [line for line in chat.logs if line["log_level"] == "error"]
    assert [refusal.by for refusal in await chat.refusals()] == [f"slack:{ANN}"]


async def test_a_button_that_nobody_knows_any_more_decides_nothing(chat: Chat) -> None:
    message = await chat.asked()
    text = json.dumps(message.blocks).replace('"approve"', '"apply-now"')
    old = replace(message, blocks=json.loads(text))
    before = await chat.version()
    assert await chat.slack.click(ANN, old, "apply-now")
    await chat.slack.ephemeral(ANN, contains="not known any more")
    assert await chat.version() == before


async def test_a_form_that_nobody_knows_any_more_decides_nothing(chat: Chat) -> None:
    await chat.slack.click(ANN, await chat.asked(), "reject")
    view = await chat.slack.view(ANN)
    view.view["callback_id"] = "something-else"
    before = await chat.version()
    assert await chat.slack.submit(view, {"reason": "no"})
    assert "not known any more" in str((await chat.slack.view(ANN)).view["blocks"])
    assert await chat.version() == before


PING = "<!channel> <!here> <@U0CAT> <!subteam^S0OPS> <https://evil.example|click>"


async def test_a_reason_wakes_nobody_wherever_it_is_shown(chat: Chat) -> None:
    message = await chat.asked()
    await chat.slack.click(ANN, message, "reject")
    await chat.slack.submit(await chat.slack.view(ANN), {"reason": PING})
    assert (await chat.get()).ended_because.endswith(PING)
    said = [await pressed(chat, message, "approve", by=BOB)]
    await chat.slack.click(BOB, message, "details")
    said += [str((await chat.slack.view(BOB)).view), searched(await chat.card(await chat.get()))]
    for text in said:
        assert "evil.example" in text, "it is shown"
        for live in ("<!channel", "<!here", "<@U0CAT", "<!subteam", "<http"):
            assert live not in text

"""Who may decide from Slack: those who are named, as who they are, and from our workspace only."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from simulator.slack import Interaction, Message
from simulator.slack.double import searched
from tests.chat import ANN, APPROVERS, BOB, CAT, EVE, Chat, a_chat, a_policy, asks, choice
from tests.facts import an_update
from watcher.core.update_events import UpdateState
from watcher.settings import PersonSettings

S = UpdateState
OPS = "S0OPS"
MINUTE = 60


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made, made.listening():
        yield made


def press(chat: Chat, by: str, message: Message, action: str, **said: Any) -> Interaction:
    value = choice(message, "1h") if action == "snooze" else None
    return chat.slack.clicking(by, message, action, value=value, **said)


ACTIONS = pytest.mark.parametrize("action", ["approve", "reject", "snooze"])


@ACTIONS
async def test_whoever_is_not_named_changes_nothing_and_is_audited(chat: Chat, action: str) -> None:
    message = await chat.asked()
    before = await chat.version()
    assert await chat.slack.deliver(press(chat, EVE, message, action))
    await chat.slack.ephemeral(EVE, contains="is not an approver of this pool")
    assert await chat.version() == before
    assert not chat.slack.views(EVE)
    (refused,) = await chat.refusals()
    assert (refused.event, refused.job) == (f"{action.capitalize()}Declined", "u-1")
    assert (refused.by, refused.surface) == (f"slack:{EVE}", "slack button")
    assert refused.binding == str(asks().binding.digest())


async def test_who_may_no_longer_when_the_form_is_sent_decides_nothing(chat: Chat) -> None:
    """The form was opened by Ann; it is sent under the name of Eve."""
    await chat.slack.click(ANN, await chat.asked(), "reject")
    form = chat.slack.submitting(await chat.slack.view(ANN), {"reason": "no"})
    form.payload["user"]["id"] = EVE
    before = await chat.version()
    assert await chat.slack.deliver(form)
    assert "is not an approver" in str((await chat.slack.view(ANN)).view["blocks"])
    assert await chat.version() == before
    (refused,) = await chat.refusals()
    assert (refused.by, refused.surface) == (f"slack:{EVE}", "slack form")


@ACTIONS
async def test_nobody_decides_from_chat_where_no_approver_is_named(chat: Chat, action: str) -> None:
    message = await chat.asked(an_update(state=S.AWAITING_APPROVAL))
    before = await chat.version()
    assert await chat.slack.deliver(press(chat, ANN, message, action))
    await chat.slack.ephemeral(ANN, contains="nobody decides from chat")
    assert await chat.version() == before
    assert len(await chat.refusals()) == 1


# --- people and groups ---------------------------------------------------------------------


async def test_two_identities_of_one_person_are_one_vote() -> None:
    policy = a_policy(quorum=2, approvers=("person:ann", "person:bob"))
    people = (
        PersonSettings(name="ann", identities=(f"slack:{ANN}", "token:ann")),
        PersonSettings(name="bob", identities=(f"slack:{BOB}",)),
    )
    async with a_chat(policy=policy, people=people) as chat, chat.listening():
        message = await chat.asked(asks(policy=policy))
        await chat.people.approve("u-1", by="token:ann", surface="http")
        await chat.slack.click(ANN, message, "approve")
        await chat.slack.ephemeral(ANN, contains="it counts once")
        assert (await chat.get()).state is S.AWAITING_APPROVAL
        await chat.slack.click(BOB, message, "approve")
        assert (await chat.get()).state is S.SCHEDULED


GROUP_POLICY = a_policy(approvers=(f"slack-group:{OPS}",))


@pytest.fixture
async def grouped() -> AsyncIterator[Chat]:
    """Cat is in the group that may decide."""
    async with a_chat(policy=GROUP_POLICY) as made, made.listening():
        made.slack.workspace.add_usergroup("ops", [CAT], id=OPS)
        yield made


async def test_a_member_of_the_group_may_and_it_stands_in_the_vote(grouped: Chat) -> None:
    await grouped.slack.click(CAT, await grouped.asked(asks(policy=GROUP_POLICY)), "approve")
    (vote,) = (await grouped.get()).votes
    assert (vote.by, vote.groups) == (f"slack:{CAT}", (f"slack-group:{OPS}",))
    assert (await grouped.get()).state is S.SCHEDULED


async def refused(chat: Chat, by: str = CAT) -> str:
    """Click, see that nothing changed, and return what was said."""
    message = await chat.asked(asks(policy=GROUP_POLICY))
    before = await chat.version()
    assert await chat.slack.click(by, message, "approve")
    said = searched(await chat.slack.ephemeral(by))
    assert await chat.version() == before
    assert [one.by for one in await chat.refusals()] == [f"slack:{by}"]
    return said


async def test_who_is_not_in_the_group_may_not(grouped: Chat) -> None:
    assert "is not an approver" in await refused(grouped, EVE)


async def test_a_group_that_is_switched_off_has_nobody_and_it_is_said(grouped: Chat) -> None:
    grouped.slack.workspace.disable(OPS)
    assert f"Slack has no usergroup {OPS}" in await refused(grouped)


async def test_a_group_that_was_never_there_has_nobody_and_it_is_said() -> None:
    async with a_chat(policy=GROUP_POLICY) as chat, chat.listening():
        assert f"Slack has no usergroup {OPS}" in await refused(chat)


async def test_a_group_that_cannot_be_looked_up_counts_as_no_and_says_so(grouped: Chat) -> None:
    grouped.slack.faults.error("internal_error", method="usergroups.users.list", count=9)
    assert "cannot be looked up" in await refused(grouped)


async def test_a_group_that_is_not_answered_about_is_no_within_the_three_seconds(
    grouped: Chat,
) -> None:
    grouped.slack.faults.hold(method="usergroups.users.list")
    message = await grouped.asked(asks(policy=GROUP_POLICY))
    ack = await grouped.slack.click(CAT, message, "approve")
    assert ack is not None
    assert ack.seconds < 3
    await grouped.slack.ephemeral(CAT, contains="cannot be looked up")
    assert (await grouped.get()).state is S.AWAITING_APPROVAL


@pytest.mark.parametrize(
    ("minutes", "counts"), [(4, True), (14, True), (16, False)], ids=["fresh", "old", "too old"]
)
async def test_what_is_remembered_of_a_group_counts_for_a_while_when_slack_is_away(
    grouped: Chat, minutes: int, counts: bool
) -> None:
    policy = a_policy(approvers=(f"slack-group:{OPS}",), quorum=2)
    grouped.slack.workspace.usergroup(OPS).members.append(BOB)
    message = await grouped.asked(asks(policy=policy))
    await grouped.slack.click(CAT, message, "approve")
    grouped.slack.faults.status(method="usergroups.users.list", count=9)
    grouped.scene.clock.advance(minutes * MINUTE)
    await grouped.slack.click(BOB, message, "approve")
    assert (await grouped.get()).state is (S.SCHEDULED if counts else S.AWAITING_APPROVAL)


# --- other workspaces and apps -----------------------------------------------------------------

FOREIGN = pytest.mark.parametrize(
    "claims", [{"team": "T0OTHER"}, {"app": "A0OTHER"}, {"home": "T0OTHER"}], ids=str
)


def foreign(interaction: Interaction, home: str = "") -> Interaction:
    """`home`: of a person of another workspace, in a channel that both share."""
    if home:
        interaction.payload["user"]["team_id"] = home
    return interaction


async def turned_away(chat: Chat, interaction: Interaction, surface: str) -> None:
    """Deliver it: acknowledged, audited, unanswered, and nothing has changed."""
    before = await chat.version()
    ack = await chat.slack.deliver(interaction)
    assert ack is not None
    assert ack.payload is None
    assert await chat.version() == before
    (refused,) = await chat.refusals()
    assert (refused.by, refused.surface) == (f"slack:{ANN}", surface)
    assert "T0OTHER" in refused.detail or "A0OTHER" in refused.detail
    assert not chat.slack.ephemerals(ANN)


@FOREIGN
@ACTIONS
async def test_a_click_from_elsewhere_is_turned_away(
    chat: Chat, claims: dict[str, str], action: str
) -> None:
    message, home = await chat.asked(), claims.get("home", "")
    said = {name: value for name, value in claims.items() if name != "home"}
    click = foreign(press(chat, ANN, message, action, **said), home)
    await turned_away(chat, click, "slack button")
    (refused,) = await chat.refusals()
    assert refused.job == "u-1"
    assert str(asks().binding.digest()) in refused.detail


@FOREIGN
async def test_a_form_from_elsewhere_is_turned_away(chat: Chat, claims: dict[str, str]) -> None:
    await chat.slack.click(ANN, await chat.asked(), "reject")
    view, home = await chat.slack.view(ANN), claims.get("home", "")
    said: dict[str, Any] = {name: value for name, value in claims.items() if name != "home"}
    form = foreign(chat.slack.submitting(view, {"reason": "no"}, **said), home)
    await turned_away(chat, form, "slack form")


@pytest.mark.parametrize("claims", [{"team": "T0OTHER"}, {"app": "A0OTHER"}], ids=str)
async def test_a_command_from_elsewhere_is_turned_away(chat: Chat, claims: Any) -> None:
    await chat.asked()
    text = "approve u-1"
    command = chat.slack.commanding(ANN, "/relayer", text, "ops", **claims)
    await turned_away(chat, command, "slack command")


@pytest.mark.parametrize("name", ["team", "api_app_id"])
@pytest.mark.parametrize("value", [None, "", {}, []], ids=repr)
async def test_what_does_not_say_where_it_comes_from_is_turned_away(
    chat: Chat, name: str, value: Any
) -> None:
    message = await chat.asked()
    click = press(chat, ANN, message, "approve")
    click.payload[name] = value
    before = await chat.version()
    assert await chat.slack.deliver(click)
    assert await chat.version() == before
    assert [refusal.by for refusal in await chat.refusals()] == [f"slack:{ANN}"]


async def test_a_click_of_nobody_decides_nothing(chat: Chat) -> None:
    assert f"slack:{ANN}" in APPROVERS
    click = press(chat, ANN, await chat.asked(), "approve")
    click.payload["user"] = {"team_id": "T0RELAYER"}
    before = await chat.version()
    assert await chat.slack.deliver(click)
    assert await chat.version() == before
    assert len(await chat.refusals()) == 1

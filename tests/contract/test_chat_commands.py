"""`/relayer …` typed in Slack: private answers, the rules of the buttons, and what takes longer."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from simulator.slack.double import searched
from tests.chat import ANN, EVE, Chat, a_chat, a_policy, asks, is_approved
from tests.facts import T0, seconds
from watcher.core.jobs import JobKind
from watcher.core.order import After
from watcher.core.update_events import UpdateState
from watcher.core.windows import Window

S = UpdateState
PING = "<!channel> <@U0CAT> <https://evil.example|x>"


@pytest.fixture
async def chat() -> AsyncIterator[Chat]:
    async with a_chat() as made, made.listening():
        yield made


# --- questions -----------------------------------------------------------------------------------


async def test_help_names_every_command_that_there_is(chat: Chat) -> None:
    for text in ("help", "", "  ", "HELP"):
        told = await chat.told(text)
        unknown = await chat.told("nonsense")
        for verb in unknown.partition("There are: ")[2].replace("`", "").split(", "):
            assert verb in told


async def test_an_unknown_command_is_told_what_there_is_and_wakes_nobody(chat: Chat) -> None:
    told = await chat.told("<!channel>")
    assert "is no command of Relayer's" in told
    assert "<!channel" not in told


async def test_status_shows_what_moves_and_what_ended(chat: Chat) -> None:
    await chat.put(asks())
    await chat.put(asks(id="u-0", pool="other", state=S.REJECTED, ended_because="rejected: no"))
    told = await chat.told("status", by=EVE)
    assert "1 active, 1 ended last" in told
    assert "u-1" in told
    assert "rejected: no" in told


async def test_status_says_for_when_an_approved_update_is_scheduled(chat: Chat) -> None:
    await chat.put(is_approved())
    opens = datetime(2026, 11, 21, 2, 0, tzinfo=UTC).isoformat()
    await chat.store.set_progress("u-1", {"waiting": "no window", "scheduled_for": opens})
    assert "scheduled for 2026-11-21 02:00 UTC" in await chat.told("status")


async def test_pools_shows_what_the_last_look_said(chat: Chat) -> None:
    await chat.store.put_view("pool:prod/infra", {"decision": "Hold", "because": "it is paused"})
    told = await chat.told("pools")
    assert "infra" in told
    assert "it is paused" in told


async def test_update_shows_the_card_with_buttons_that_count(chat: Chat) -> None:
    await chat.put(asks())
    await chat.says("update `u-1`")
    card = await chat.slack.ephemeral(ANN)
    await chat.slack.click(ANN, card, "approve")
    assert (await chat.get()).state is S.SCHEDULED


async def test_update_of_nothing_says_so_and_is_no_refused_attempt(chat: Chat) -> None:
    assert "there is no update u-9" in await chat.told("update u-9")
    assert "(none named)" in await chat.told("update")
    assert not await chat.refusals()


async def test_history_shows_a_pool_s_updates(chat: Chat) -> None:
    await chat.put(asks(id="u-0", state=S.REJECTED, ended_because="rejected by bob"))
    await chat.put(asks())
    told = await chat.told("history infra")
    assert told.index("u-1") < told.index("rejected by bob")


async def test_windows_shows_the_next_openings_in_the_pool_s_time() -> None:
    policy = a_policy(windows=(Window(days=("wed",), start="22:00", hours=4),))
    async with a_chat(policy=policy, time_zone="Europe/Berlin") as chat, chat.listening():
        told = await chat.told("windows infra")
        assert "now: no, the next window opens 2026-11-18 22:00 UTC" in told
        assert "Wed 2026-11-18 23:00 CET" in told


async def test_windows_knows_what_the_command_line_knows() -> None:
    """Order rules, and that an update is snoozed."""
    rule = After(place="lab/infra", soak_seconds=0)
    policy = replace(a_policy(), after=(rule,))
    async with a_chat(policy=policy) as chat, chat.listening():
        await chat.put(asks(policy=policy))
        await chat.told("snooze u-1 4h")
        told = await chat.told("windows infra")
        assert f"now: no, snoozed by <@{ANN}> until" in told
        assert "after lab/infra, which goes first" in told
        assert "no windows are configured" in told


async def test_plan_says_what_would_be_done_and_why(chat: Chat) -> None:
    told = await chat.told("plan infra")
    assert "Rebuild" in told
    assert "4.16.3" in told
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)


# --- decisions -----------------------------------------------------------------------------------


async def test_approve_counts_for_what_it_is_now_and_names_the_image(chat: Chat) -> None:
    update = await chat.put(asks())
    assert str(update.image) in await chat.told("approve u-1 looks good")
    (vote,) = (await chat.get()).votes
    assert (vote.by, vote.surface, vote.reason) == (f"slack:{ANN}", "slack command", "looks good")
    assert (await chat.get()).state is S.SCHEDULED


async def test_reject_takes_the_reason_from_the_line(chat: Chat) -> None:
    await chat.put(asks(policy=a_policy(reason_required=True)))
    assert "asks for a reason" in await chat.told("reject u-1")
    assert (await chat.get()).state is S.AWAITING_APPROVAL
    assert "is rejected" in await chat.told("reject u-1 not today")
    assert (await chat.get()).ended_because.endswith("not today")


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ("", T0 + seconds(3600)),
        ("4h", T0 + seconds(4 * 3600)),
        ("tomorrow", datetime(2026, 11, 19, 0, 0, tzinfo=UTC)),
        ("next-window", datetime(2026, 11, 25, 7, 0, tzinfo=UTC)),
    ],
)
async def test_snooze_reads_times_as_people_of_the_pool_say_them(
    said: str, until: datetime
) -> None:
    policy = a_policy(windows=(Window(days=("wed",), start="07:00", hours=4),))
    async with a_chat(policy=policy, time_zone="Asia/Tokyo") as chat, chat.listening():
        await chat.put(asks(policy=policy))
        assert "is put off until" in await chat.told(f"snooze u-1 {said}")
        assert (await chat.get()).snoozed_until == until


@pytest.mark.parametrize("said", ["soon", "0h", "2001-01-01", "next-window", "-1h"])
async def test_a_time_that_is_none_is_told_and_changes_nothing(chat: Chat, said: str) -> None:
    await chat.put(asks())
    before = await chat.version()
    await chat.told(f"snooze u-1 {said}")
    assert await chat.version() == before
    assert "is held" not in await chat.told(f"hold infra x until {said}")
    assert not await chat.store.freezes()


@pytest.mark.parametrize("command", ["approve u-1", "reject u-1 no", "snooze u-1 1h"])
async def test_who_may_not_press_the_button_may_not_type_it(chat: Chat, command: str) -> None:
    await chat.put(asks())
    before = await chat.version()
    assert "is not an approver" in await chat.told(command, by=EVE)
    assert await chat.version() == before
    (refused,) = await chat.refusals()
    verb = command.partition(" ")[0].capitalize()
    assert (refused.event, refused.by) == (f"{verb}Declined", f"slack:{EVE}")
    assert (refused.surface, refused.job) == ("slack command", "u-1")


@pytest.mark.parametrize("command", ["approve u-9", "reject u-9 no", "snooze u-9"])
async def test_deciding_about_nothing_is_told_and_audited(chat: Chat, command: str) -> None:
    assert "there is no update u-9" in await chat.told(command)
    assert [entry.surface for entry in await chat.refusals()] == ["slack command"]


# --- stopping ------------------------------------------------------------------------------------


async def test_hold_keeps_reason_and_end_and_unhold_ends_it(chat: Chat) -> None:
    told = await chat.told("hold infra disk is full until 2h")
    assert "prod/infra is held by" in told
    (held,) = await chat.store.freezes()
    assert (held.scope, held.because, held.by) == ("prod/infra", "disk is full", f"slack:{ANN}")
    assert held.until == T0 + seconds(7200)
    assert "disk is full" in await chat.told("freezes")
    assert "may go on" in await chat.told("unhold infra")
    assert "nothing is frozen" in await chat.told("freezes")
    assert [e for e in await chat.audited() if "eld" in e] == ["Held", "Unheld"]


async def test_who_lifts_a_hold_is_told_what_is_frozen_still(chat: Chat) -> None:
    await chat.told("freeze prod the fair")
    await chat.told("hold infra")
    told = await chat.told("unhold infra")
    assert "prod/infra is no longer held; prod is frozen by" in told
    assert "may go on" not in told


@pytest.mark.parametrize("command", ["unhold infra", "unfreeze", "unfreeze prod"])
async def test_lifting_what_is_not_there_is_told_and_audited(chat: Chat, command: str) -> None:
    told = await chat.told(command)
    assert "is not held" in told or "is not frozen" in told
    (refused,) = await chat.refusals()
    assert (refused.event, refused.by) == ("UnfreezeDeclined", f"slack:{ANN}")
    assert refused.surface == "slack command"


async def test_a_freeze_ends_in_the_time_zone_that_its_pools_share() -> None:
    async with a_chat(time_zone="Asia/Tokyo") as chat, chat.listening():
        await chat.told("freeze prod until tomorrow")
        (frozen,) = await chat.store.freezes()
        assert frozen.until == datetime(2026, 11, 19, 0, 0, tzinfo=UTC)


async def test_private_answers_name_people_as_slack_does(chat: Chat) -> None:
    await chat.put(asks())
    assert f"<@{EVE}> is not an approver" in await chat.told("approve u-1", by=EVE)
    assert f"u-1 is approved by <@{ANN}>" in await chat.told("approve u-1")
    assert f"is held by <@{ANN}>" in await chat.told("hold infra")
    assert f"held by <@{ANN}>" in await chat.told("freezes")


async def test_a_hold_that_is_over_is_not_in_force(chat: Chat) -> None:
    await chat.told("hold infra until 2h")
    chat.scene.clock.advance(7200)
    assert "nothing is frozen" in await chat.told("freezes")


@pytest.mark.parametrize(
    ("said", "scope", "because"),
    [
        ("freeze", "", ""),
        ("freeze prod", "prod", ""),
        ("freeze the vendor is here", "", "the vendor is here"),
        ("freeze prod new network until tomorrow 14:00", "prod", "new network"),
    ],
)
async def test_freeze_is_of_a_cluster_or_of_everything(
    chat: Chat, said: str, scope: str, because: str
) -> None:
    await chat.told(said)
    (frozen,) = await chat.store.freezes()
    assert (frozen.scope, frozen.because) == (scope, because)
    await chat.told(f"unfreeze {scope}")
    assert not await chat.store.freezes()


@pytest.mark.parametrize("said", ["freeze infra", "freeze prod/infra broken"])
async def test_freeze_of_a_pool_does_not_freeze_everything(chat: Chat, said: str) -> None:
    assert "`hold`" in await chat.told(said)
    assert not await chat.store.freezes()


@pytest.mark.parametrize("named", ["prdo", "infra", "prod/infra", "all of it"])
async def test_a_slip_of_the_hand_does_not_unfreeze_everything(chat: Chat, named: str) -> None:
    await chat.told("freeze")
    await chat.told(f"unfreeze {named}")
    assert [freeze.scope for freeze in await chat.store.freezes()] == [""]


@pytest.mark.parametrize(
    "command", ["hold infra", "unhold infra", "freeze", "unfreeze", "rebuild infra", "stock infra"]
)
async def test_who_may_decide_about_nothing_may_stop_and_start_nothing(
    chat: Chat, command: str
) -> None:
    await chat.told("hold infra")
    await chat.told("freeze")
    assert "is not an approver" in await chat.told(command, by=EVE)
    assert len(await chat.store.freezes()) == 2
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert not chat.slack.views(EVE)
    (refused,) = await chat.refusals()
    assert (refused.by, refused.surface) == (f"slack:{EVE}", "slack command")


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["plan", "hold", "unhold", "rebuild", "stock", "history", "windows"]
)
async def test_a_name_of_several_pools_asks_back_and_an_unknown_one_tells_what_there_is(
    verb: str,
) -> None:
    async with a_chat(places=(("east", "infra"), ("east", "gpu"))) as chat, chat.listening():
        told = await chat.told(f"{verb} infra")
        assert "say which: prod/infra, east/infra" in told
        told = await chat.told(f"{verb} <!here>")
        assert "there are: prod/infra, east/infra, east/gpu" in told
        assert "<!here" not in told
        assert "(none given)" in await chat.told(verb)
        assert not await chat.store.freezes()


async def test_a_full_name_is_always_enough() -> None:
    async with a_chat(places=(("east", "infra"),)) as chat, chat.listening():
        assert "east/infra is held" in await chat.told("hold east/infra")


async def test_what_is_typed_is_shown_and_wakes_nobody(chat: Chat) -> None:
    await chat.told(f"hold infra {PING}")
    await chat.put(asks())
    await chat.told(f"reject u-1 {PING}")
    for text in ("freezes", "status", "history infra", "update u-1", f"hold {PING}", PING):
        await chat.told(text)
    for message in chat.slack.ephemerals(ANN):
        for live in ("<!channel", "<@U0CAT", "<http"):
            assert live not in searched(message)
    assert "evil.example" in chat.reads()

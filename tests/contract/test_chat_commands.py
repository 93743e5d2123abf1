"""`/relayer …` typed in Slack: private answers, the rules of the buttons, and what takes longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from simulator.slack.double import searched
from tests.chat import ANN, BOB, EVE, Chat, a_chat, a_policy, asks, is_approved
from tests.facts import T0, seconds
from watcher.chat import waiting
from watcher.core.drift import Observation
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import JobKind
from watcher.core.update_events import Kind, UpdateState
from watcher.core.windows import Window
from watcher.ports import Observer, Transient, Unseen

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


# --- what takes longer ---------------------------------------------------------------------------


async def test_rebuild_asks_for_an_update_in_the_name_of_who_typed_it(chat: Chat) -> None:
    told = await chat.told("rebuild infra")
    (stored,) = await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert stored.job.id in told
    assert (await chat.get(stored.job.id)).requested_by == f"slack:{ANN}"


async def test_rebuild_that_is_declined_says_why(chat: Chat) -> None:
    await chat.put(is_approved(state=S.APPLYING, expires_at=None))
    assert "Declined: u-1 is applying; wait for its end" in await chat.told("rebuild infra")


@dataclass
class Slow(Observer):
    """Looks at a pool when a test says so; or fails then."""

    inner: Observer
    goes_on: asyncio.Event
    error: Exception | None = None

    async def observe(
        self, cluster: ClusterName, pool: PoolName, *, fresh: bool = False
    ) -> Observation | Unseen:
        await self.goes_on.wait()
        if self.error:
            raise self.error
        return await self.inner.observe(cluster, pool, fresh=fresh)


@asynccontextmanager
async def slow(error: Exception | None = None) -> AsyncIterator[tuple[Chat, asyncio.Event]]:
    goes_on = asyncio.Event()
    async with a_chat(looks=lambda inner: Slow(inner, goes_on, error)) as chat, chat.listening():
        yield chat, goes_on


@pytest.mark.parametrize("command", ["plan infra", "rebuild infra"])
async def test_work_that_takes_longer_says_that_it_follows_and_then_answers_privately(
    command: str,
) -> None:
    async with slow() as (chat, goes_on):
        ack = await chat.says(command)
        assert ack.seconds < 3
        assert "the answer follows here" in chat.reads()
        assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
        goes_on.set()
        await chat.slack.until(lambda: len(chat.slack.ephemerals(ANN)) == 2, "the answer")
        assert "4.16.3" in chat.reads()
        assert not chat.slack.messages("ops")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Transient("the registry is away"), "the registry is away"),
        (RuntimeError("a bug"), "an error inside Relayer"),
    ],
    ids=["outside", "inside"],
)
async def test_longer_work_that_fails_leaves_nobody_without_an_answer(
    error: Exception, said: str
) -> None:
    async with slow(error) as (chat, goes_on):
        await chat.says("rebuild infra")
        goes_on.set()
        await chat.slack.ephemeral(ANN, contains=said)


async def test_stock_asks_first_and_what_is_confirmed_is_asked_for(chat: Chat) -> None:
    await chat.says("stock infra", by=BOB)
    view = await chat.slack.view(BOB)
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert "back to the stock image" in str(view.view)
    assert await chat.slack.submit(view)
    await chat.slack.ephemeral(BOB, contains="asks for the stock image")
    (stored,) = await chat.store.jobs(JobKind.UPDATE, ended=False)
    update = await chat.get(stored.job.id)
    assert (update.kind, update.requested_by) == (Kind.STOCK, f"slack:{BOB}")
    assert [vote.surface for vote in update.votes] == ["slack form"]


async def test_a_stock_form_sent_by_one_who_may_not_asks_for_nothing(chat: Chat) -> None:
    await chat.says("stock infra")
    form = chat.slack.submitting(await chat.slack.view(ANN))
    form.payload["user"]["id"] = EVE
    assert await chat.slack.deliver(form)
    assert "is not an approver" in str((await chat.slack.view(ANN)).view["blocks"])
    assert not await chat.store.jobs(JobKind.UPDATE, ended=False)
    assert [entry.event for entry in await chat.refusals()] == ["StockDeclined"]
    assert waiting.SOON_SECONDS < 2.3

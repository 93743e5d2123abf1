"""Which letters an update wants: its card, its thread, and what wakes somebody, each once."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from handlers.clear import ClearHandler
from tests.facts import (
    INFRA,
    PROD,
    T0,
    a_build,
    a_vote,
    an_update,
    conditions,
    seconds,
)
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.scene import Scene, ours
from watcher import moving
from watcher.core.approval import ApprovalRules
from watcher.core.letters import (
    FLEET,
    About,
    Asking,
    Card,
    Details,
    Escalation,
    Letters,
    Nudge,
    Route,
    Severity,
    Wanted,
)
from watcher.core.timing import Freeze
from watcher.core.update import Policy, Update
from watcher.core.update_events import ClearForApply, UpdateState
from watcher.core.windows import DAYS, Blackout, Window
from watcher.ports import AuditEntry, Change, Later
from watcher.settings import (
    ClusterSettings,
    PersonSettings,
    PoolSettings,
    Settings,
    SlackSettings,
)
from watcher.telling.cards import Cards
from watcher.telling.subjects import Subjects
from watcher.telling.updates import UpdateLetters

S = UpdateState
HOUR, DAY = 3600, 86400
USUAL, HOOK, OTHER = "slack:C0OPS", "webhook:itsm", "slack:C0BOSS"
ANN = PersonSettings(name="ann", identities=("token:ann", "slack:UANN"))
REMIND = Asking(remind_seconds=(4 * HOUR, 12 * HOUR))


def to(place: str, *severities: str, **said: Any) -> Route:
    return Route(to=(place,), severities=severities, **said)


class Post:
    """What the courier would be told about one update."""

    def __init__(
        self, *routes: Route, asking: Asking = REMIND, slack: bool = True, **place: Any
    ) -> None:
        self.clock = FixedClock()
        self.store = FakeStore(self.clock)
        pool = PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu", asking=asking, **place)
        self.settings = Settings(
            clusters=(ClusterSettings(name=PROD),),
            pools=(pool,),
            people=(ANN,),
            routes=routes,
            slack=SlackSettings(bot_token_env="TOKEN" if slack else "", channel="C0OPS"),
        )
        cards = Cards(self.settings, self.store, self.clock)
        self.updates = UpdateLetters(self.settings, cards)

    async def letters(self, update: Update) -> Letters:
        return await self.updates.letters(update)

    async def wanted(self, update: Update) -> dict[str, Wanted]:
        return {one.key: one for one in (await self.letters(update)).wanted}

    async def keys(self, update: Update) -> set[str]:
        return set(await self.wanted(update))

    async def nudges(self, update: Update) -> dict[str, Nudge]:
        wanted = await self.wanted(update)
        return {key: one.body for key, one in wanted.items() if isinstance(one.body, Nudge)}

    def at(self, after_seconds: float) -> "Post":
        self.clock.advance(after_seconds - (self.clock.now() - T0).total_seconds())
        return self


def question(*approvers: str, **said: Any) -> Update:
    """People are asked since T0."""
    rules = {"approvers": approvers or ("person:ann",), **said.pop("rules", {})}
    times = ((str(S.WAITING_FOR_BUILD), T0 - seconds(900)), (str(S.AWAITING_APPROVAL), T0))
    default: dict[str, Any] = {
        "state": S.AWAITING_APPROVAL,
        "policy": Policy(approval=ApprovalRules(**rules)),
        "times": times,
    }
    return an_update(**{**default, **said})


def lived(*states: UpdateState, **said: Any) -> Update:
    times = tuple((str(state), T0) for state in states)
    return an_update(state=states[-1], times=times, **said)


# --- the card and its thread ----------------------------------------------------------------------


@pytest.mark.parametrize("state", list(S))
async def test_in_every_state_there_is_one_card_and_one_thread(state: UpdateState) -> None:
    wanted = await Post().wanted(lived(state))
    card, details = wanted[f"card@{USUAL}"], wanted[f"details@{USUAL}"]
    assert isinstance(card.body, Card)
    assert isinstance(details.body, Details)
    assert (card.place, card.about, card.thread_of, card.once) == (USUAL, About.UPDATE, "", False)
    assert (details.place, details.thread_of) == (USUAL, card.key)
    assert card.severity == card.body.severity


async def test_a_webhook_gets_the_card_and_no_thread_of_details() -> None:
    keys = await Post(to(HOOK)).keys(an_update())
    assert keys == {f"card@{HOOK}"}


async def test_each_place_of_a_route_gets_its_own() -> None:
    keys = await Post(Route(to=(USUAL, HOOK))).keys(an_update())
    assert keys == {f"card@{USUAL}", f"details@{USUAL}", f"card@{HOOK}"}


async def test_where_no_route_fits_it_goes_to_the_usual_place() -> None:
    keys = await Post(to(HOOK, clusters=("stage",))).keys(an_update())
    assert f"card@{USUAL}" in keys


async def test_routes_of_other_subjects_do_not_get_it() -> None:
    keys = await Post(to(HOOK, about=("digest",))).keys(an_update())
    assert f"card@{HOOK}" not in keys


async def test_without_chat_and_routes_nobody_is_told() -> None:
    assert (await Post(slack=False).letters(question())).wanted == ()


# --- whom severity concerns -----------------------------------------------------------------------

BY_SEVERITY = (to(USUAL, "info"), to(HOOK, "warning"), to(OTHER, "critical"))
WENT_BACK = (S.WAITING_FOR_BUILD, S.ROLLING_OUT, S.ROLLING_BACK, S.ROLLED_BACK)


async def test_what_goes_well_is_told_only_where_all_is_told() -> None:
    keys = await Post(*BY_SEVERITY).keys(lived(S.WAITING_FOR_BUILD, S.ROLLING_OUT))
    assert {key for key in keys if key.startswith("card@")} == {f"card@{USUAL}"}


async def test_what_goes_wrong_is_told_where_severe_things_are_told_too() -> None:
    keys = await Post(*BY_SEVERITY).keys(lived(*WENT_BACK[:-1]))
    assert {key for key in keys if key.startswith("card@")} == {f"card@{USUAL}", f"card@{OTHER}"}


async def test_whoever_was_told_that_it_went_wrong_hears_how_it_ended() -> None:
    wanted = await Post(*BY_SEVERITY).wanted(lived(*WENT_BACK))
    card = wanted[f"card@{OTHER}"]
    assert isinstance(card.body, Card)
    assert (card.body.state, card.severity) == ("rolled-back", Severity.WARNING)


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "name", "broadcast"),
    [
        (S.ROLLING_BACK, "end-rolling-back", True),
        (S.ROLLED_BACK, "end-rolling-back", True),
        (S.STUCK, "end-stuck", True),
        (S.FAILED, "end-failed", False),
        (S.EXPIRED, "end-expired", False),
    ],
)
async def test_what_ended_badly_is_said_in_the_thread_because_an_edit_wakes_nobody(
    state: UpdateState, name: str, broadcast: bool
) -> None:
    wanted = (await Post().wanted(lived(state, ended_because="a node broke")))[f"{name}@{USUAL}"]
    assert isinstance(wanted.body, Nudge)
    word = str(state).replace("-", " ")
    assert wanted.body.sentence == f"the update to 4.16.3 is {word}: a node broke"
    assert (wanted.once, wanted.broadcast) == (True, broadcast)
    assert wanted.thread_of == f"card@{USUAL}"
    assert wanted.body.mentions == ()


async def test_a_rollout_that_is_late_is_said_once_in_the_thread() -> None:
    post, update = Post(), lived(S.ROLLING_OUT)
    assert await post.nudges(update) == {}
    await post.store.set_progress("u-1", {"phase": "stalled", "waiting": "node-2 is not ready"})
    (nudge,) = (await post.nudges(update)).values()
    assert nudge.sentence == "the update to 4.16.3 is late: node-2 is not ready"


async def test_an_end_without_a_reason_is_said_without_one() -> None:
    (nudge,) = (await Post().nudges(lived(S.STUCK))).values()
    assert nudge.sentence == "the update to 4.16.3 is stuck"


@pytest.mark.parametrize(
    "state",
    [s for s in S if s not in (S.ROLLING_BACK, S.ROLLED_BACK, S.STUCK, S.FAILED, S.EXPIRED)],
)
async def test_what_is_well_wakes_nobody_unless_people_are_asked(state: UpdateState) -> None:
    nudges = await Post().nudges(lived(state))
    assert bool(nudges) == (state is S.AWAITING_APPROVAL)


# --- asking ---------------------------------------------------------------------------------------


async def test_people_are_asked_once_in_the_thread() -> None:
    wanted = (await Post().wanted(question()))[f"ask@{USUAL}"]
    assert isinstance(wanted.body, Nudge)
    assert (wanted.thread_of, wanted.once, wanted.broadcast) == (f"card@{USUAL}", True, False)
    assert wanted.body.sentence == (
        "the update to 4.16.3: 1 more approval(s) needed by 2026-11-19 08:00 UTC"
    )


async def test_those_are_woken_whom_chat_knows() -> None:
    update = question("token:bob", "person:ann", "slack:UEVE", "slack-group:SOPS", "cli:root")
    nudges = await Post().nudges(update)
    assert nudges[f"ask@{USUAL}"].mentions == ("slack:UANN", "slack:UEVE", "slack-group:SOPS")


async def test_a_person_who_is_named_twice_is_woken_once() -> None:
    nudges = await Post().nudges(question("person:ann", "slack:UANN"))
    assert nudges[f"ask@{USUAL}"].mentions == ("slack:UANN",)


@pytest.mark.parametrize("approvers", [("token:ann",), ("person:nobody",)])
async def test_whom_chat_does_not_know_is_not_woken(approvers: tuple[str, ...]) -> None:
    assert (await Post().nudges(question(*approvers)))[f"ask@{USUAL}"].mentions == ()


async def test_reminders_come_at_their_times() -> None:
    post, update = Post(), question()
    assert f"remind-1@{USUAL}" not in await post.at(4 * HOUR - 1).keys(update)
    assert f"remind-1@{USUAL}" in await post.at(4 * HOUR).keys(update)
    assert f"remind-2@{USUAL}" not in await post.keys(update)
    nudge = (await post.at(12 * HOUR).nudges(update))[f"remind-2@{USUAL}"]
    assert nudge.sentence.startswith("Reminder 2: the update to 4.16.3: 1 more approval(s)")
    assert nudge.mentions == ("slack:UANN",)


async def test_reminders_count_from_when_people_were_asked_not_from_the_last_vote() -> None:
    update = question("ann", "bob", rules={"quorum": 2})
    update = replace(update, votes=(a_vote(update),), changed_at=T0 + seconds(3 * HOUR))
    assert f"remind-1@{USUAL}" in await Post().at(4 * HOUR).keys(update)


async def test_a_reminder_says_how_many_are_still_missing() -> None:
    update = question("ann", "bob", rules={"quorum": 2})
    update = replace(update, votes=(a_vote(update),))
    nudge = (await Post().at(4 * HOUR).nudges(update))[f"remind-1@{USUAL}"]
    assert "1 more approval(s) needed" in nudge.sentence


async def test_a_pool_without_reminders_gets_none() -> None:
    post = Post(asking=Asking(remind_seconds=()))
    assert set(await post.at(99 * DAY).nudges(question())) == {f"ask@{USUAL}"}


@pytest.mark.parametrize("state", [S.SCHEDULED, S.REJECTED, S.SUPERSEDED])
async def test_once_it_is_decided_nobody_is_reminded(state: UpdateState) -> None:
    post = Post(asking=Asking(escalate=(Escalation(after_seconds=HOUR, to=OTHER),)))
    assert await post.at(DAY).nudges(question(state=state)) == {}


async def test_what_goes_by_itself_asks_nobody() -> None:
    update = question(rules={"auto": True})
    post = Post(asking=Asking(escalate=(Escalation(after_seconds=HOUR, to=OTHER),)))
    assert await post.at(DAY).nudges(update) == {}


async def test_in_a_place_where_no_chat_is_the_same_is_said() -> None:
    keys = await Post(to(HOOK)).at(4 * HOUR).keys(question())
    assert keys == {f"card@{HOOK}", f"ask@{HOOK}", f"remind-1@{HOOK}"}


# --- escalating -----------------------------------------------------------------------------------


def escalating(to: str) -> Post:
    rule = Escalation(after_seconds=6 * HOUR, to=to)
    return Post(asking=Asking(remind_seconds=(), escalate=(rule,)))


@pytest.mark.parametrize("whom", ["slack-group:SBOSS", "slack:UBOSS"], ids=["a group", "one"])
async def test_an_escalation_names_whom_it_wakes_in_the_thread(whom: str) -> None:
    post, update = escalating(whom), question()
    assert f"escalate-1@{USUAL}" not in await post.at(6 * HOUR - 1).keys(update)
    wanted = (await post.at(6 * HOUR).wanted(update))[f"escalate-1@{USUAL}"]
    assert isinstance(wanted.body, Nudge)
    assert (wanted.body.mentions, wanted.thread_of) == ((whom,), f"card@{USUAL}")
    assert wanted.body.sentence.startswith("Nobody has decided yet: the update to 4.16.3")


@pytest.mark.parametrize("to", [OTHER, "slack:G0OLD", "slack:D0TWO"])
async def test_an_escalation_to_a_channel_is_a_message_of_its_own_there(to: str) -> None:
    post, update = escalating(to), question()
    assert f"escalate-1@{to}" not in await post.at(6 * HOUR - 1).keys(update)
    wanted = await post.at(6 * HOUR).wanted(update)
    there = wanted[f"escalate-1@{to}"]
    assert isinstance(there.body, Nudge)
    assert (there.place, there.thread_of, there.once) == (to, "", True)
    assert there.body.mentions == ()
    assert f"escalate-1@{USUAL}" not in wanted


async def test_escalations_are_told_apart() -> None:
    rules = (Escalation(after_seconds=0, to=OTHER), Escalation(after_seconds=0, to="slack:UBOSS"))
    keys = await Post(asking=Asking(remind_seconds=(), escalate=rules)).keys(question())
    assert {f"escalate-1@{OTHER}", f"escalate-2@{USUAL}"} <= keys


# --- snoozed --------------------------------------------------------------------------------------


async def test_while_it_is_put_off_nobody_is_woken() -> None:
    update = question(snoozed_until=T0 + seconds(2 * DAY))
    for post in (escalating(OTHER), escalating("slack:UBOSS"), Post()):
        assert await post.at(DAY).nudges(update) == {}


async def test_when_it_was_put_off_long_enough_people_are_asked_anew() -> None:
    post, update = Post(), question()
    before = set(await post.nudges(update))
    asleep = replace(update, snoozed_until=T0 + seconds(DAY))
    after = set(await post.at(DAY).nudges(asleep))
    assert len(after) == 1
    assert not after & before, "a letter that is said once has a name of its own each time"


async def test_after_a_snooze_reminders_and_escalations_count_anew() -> None:
    rules = (Escalation(after_seconds=6 * HOUR, to=OTHER),)
    post = Post(asking=Asking(remind_seconds=(4 * HOUR,), escalate=rules))
    update = question(snoozed_until=T0 + seconds(DAY))
    assert len(await post.at(DAY + 4 * HOUR - 1).nudges(update)) == 1
    assert len(await post.at(DAY + 4 * HOUR).nudges(update)) == 2
    assert len(await post.at(DAY + 6 * HOUR).nudges(update)) == 3


async def test_what_was_said_before_a_snooze_does_not_count_as_said_after_it() -> None:
    rules = (Escalation(after_seconds=0, to=OTHER), Escalation(after_seconds=0, to="slack:UBOSS"))
    post = Post(asking=Asking(remind_seconds=(0,), escalate=rules))
    before = set(await post.nudges(question()))
    after = set(await post.at(DAY).nudges(question(snoozed_until=T0 + seconds(DAY))))
    assert (len(before), len(after), before & after) == (4, 4, set())


async def test_one_that_was_put_off_before_it_was_asked_about_is_asked_from_then_on() -> None:
    update = question(snoozed_until=T0 - seconds(HOUR))
    assert len(await Post().at(4 * HOUR - 1).nudges(update)) == 1


# --- again ----------------------------------------------------------------------------------------

NIGHTLY = Window(days=DAYS, start="22:00", hours=4.0)
MORNINGS = Window(days=DAYS, start="06:00", hours=3.0)
SATURDAY = Window(days=("sat",), start="02:00", hours=4.0, timezone="Europe/Berlin")


async def again(post: Post, update: Update) -> timedelta | None:
    at = (await post.letters(update)).again_at
    return None if at is None else at - T0


async def test_it_is_looked_at_again_when_the_next_reminder_is_due() -> None:
    assert await again(Post(), question()) == seconds(4 * HOUR)
    assert await again(Post().at(4 * HOUR), question()) == seconds(12 * HOUR)
    assert await again(Post().at(12 * HOUR), question()) is None


async def test_it_is_looked_at_again_when_an_escalation_is_due() -> None:
    for whom in (OTHER, "slack:UBOSS"):
        assert await again(escalating(whom), question()) == seconds(6 * HOUR)


async def test_it_is_looked_at_again_when_a_snooze_is_over() -> None:
    for state in (S.AWAITING_APPROVAL, S.SCHEDULED):
        update = question(state=state, snoozed_until=T0 + seconds(HOUR))
        assert await again(Post(), update) == seconds(HOUR)


async def test_it_is_looked_at_again_when_its_window_opens_and_when_it_closes() -> None:
    update = question(state=S.SCHEDULED, policy=Policy(windows=(NIGHTLY,)))
    assert await again(Post(), update) == seconds(14 * HOUR)
    assert await again(Post().at(14 * HOUR), update) == seconds(18 * HOUR)


async def test_what_has_ended_is_not_looked_at_again() -> None:
    for state in (S.DONE, S.STUCK, S.REJECTED):
        assert await again(Post(), lived(state, snoozed_until=T0 + seconds(DAY))) is None


async def test_what_rolls_out_is_not_looked_at_again_by_time_alone() -> None:
    update = lived(S.ROLLING_OUT, policy=Policy(windows=(NIGHTLY,)))
    assert await again(Post(), update) is None


ahead = st.one_of(
    st.integers(0, 3 * DAY), st.sampled_from([0, 60, 300, HOUR, 4 * HOUR, 12 * HOUR, DAY])
)
some_moment = st.one_of(st.none(), ahead.map(lambda by: T0 + seconds(by)))
escalations = st.builds(
    Escalation, after_seconds=ahead, to=st.sampled_from([OTHER, "slack:UBOSS", "slack-group:SB"])
)
policies = st.builds(
    Policy,
    approval=st.builds(ApprovalRules, auto=st.sampled_from([False, False, True])),
    windows=st.lists(st.sampled_from([NIGHTLY, MORNINGS, SATURDAY]), max_size=2).map(tuple),
    blackouts=st.lists(st.just(Blackout(first="2026-11-19", last="2026-11-20")), max_size=1).map(
        tuple
    ),
    min_age_seconds=st.sampled_from([0, 0, DAY]),
)


@st.composite
def moving_updates(draw: st.DrawFn) -> Update:
    open_states = [S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.AWAITING_APPROVAL, S.SCHEDULED]
    state = draw(st.sampled_from([*open_states * 2, S.ROLLING_OUT, S.SOAKING, S.DONE]))
    entered = T0 - seconds(draw(ahead))
    return an_update(
        state=state,
        policy=draw(policies),
        created_at=entered,
        changed_at=entered,
        times=((str(state), entered),) if draw(st.booleans()) else (),
        snoozed_until=draw(some_moment),
    )


@given(
    moving_updates(),
    st.builds(
        Asking,
        remind_seconds=st.lists(ahead, max_size=2).map(tuple),
        escalate=st.lists(escalations, max_size=2).map(tuple),
    ),
    st.lists(st.tuples(st.sampled_from(["", PROD, "stage"]), some_moment), max_size=2),
    some_moment,
    ahead,
    st.floats(0, 1),
)
def test_letters_stay_until_they_are_looked_at_again_and_are_others_then(
    update: Update,
    asking: Asking,
    freezes: list[tuple[str, datetime | None]],
    opens: datetime | None,
    looked: int,
    part: float,
) -> None:
    post = Post(asking=asking)

    async def found() -> None:
        await post.letters(update)  # the release was first seen at T0
        entry = AuditEntry(at=T0, job="", event="Frozen", by="ann", state="")
        for scope, until in freezes:
            made = Freeze(scope=scope, by="ann", because="", at=T0, until=until)
            await post.store.freeze(made, entry)
        said = opens.isoformat() if opens else ""
        await post.store.set_progress(update.id, {"scheduled_for": said})
        now = await post.at(looked).letters(update)
        event(f"{update.state}: {'changes' if now.again_at else 'stays'}")
        begins = T0 + seconds(looked)
        ends = now.again_at or begins + timedelta(days=90)
        assert ends > begins
        between = min(begins + (ends - begins) * part, ends - timedelta.resolution)
        assert await post.at((between - T0).total_seconds()).letters(update) == now
        if now.again_at is not None:
            then = await post.at((ends - T0).total_seconds()).letters(update)
            assert then.wanted != now.wanted

    asyncio.run(found())


# --- when somebody is told that something moved ---------------------------------------------------


async def test_what_moves_is_told_on_and_time_alone_is_not() -> None:
    store = FakeStore(FixedClock())
    await moving.show(store, "u-1", {"updated": 1, "at": "08:00"})
    (mark,) = await store.outbox.marked(9)
    assert mark.subject == "u-1"
    await store.outbox.clear(mark)
    await moving.show(store, "u-1", {"updated": 1, "at": "08:05"})
    assert await store.outbox.marked(9) == []
    assert (await store.progress("u-1"))["at"] == "08:05"
    await moving.show(store, "u-1", {"updated": 2, "at": "08:05"})
    assert len(await store.outbox.marked(9)) == 1


async def test_waiting_for_the_cluster_is_told_once_and_not_at_every_look() -> None:
    scene = Scene()
    update = await scene.put(scene.update)
    scene.cluster.edit_pool(conditions=conditions(Updated="False", Updating="True"))

    async def look(clear: ClearHandler) -> None:
        assert isinstance(await clear(update, ClearForApply(update.binding), ours), Later)

    await look(scene.clear)
    for mark in await scene.store.outbox.marked(9):
        await scene.store.outbox.clear(mark)
    scene.clock.advance(5)
    await look(scene.clear)
    assert await scene.store.outbox.marked(9) == []


# --- which subject --------------------------------------------------------------------------------


async def subjects(post: Post, subject: str) -> Letters:
    async def of_fleet() -> Letters:
        return Letters(again_at=T0 - seconds(1))

    async def of_digest(name: str) -> Letters:
        assert name == "digest:daily:2026-11-18"
        return Letters(again_at=T0)

    made = Subjects(store=post.store, updates=post.updates, fleet=of_fleet, digest=of_digest)
    return await made.letters_of(subject)


async def test_a_subject_that_is_an_update_wants_its_letters() -> None:
    post, update = Post(), question()
    await post.store.commit([Change(job=update, expected=0)], [])
    assert await subjects(post, "u-1") == await post.letters(update)


async def test_what_is_no_update_wants_nothing_any_more() -> None:
    post = Post()
    await post.store.commit([Change(job=a_build(), expected=0)], [])
    assert await subjects(post, "b-1") == Letters()
    assert await subjects(post, "u-404") == Letters()


async def test_the_fleet_and_digests_are_asked_for_theirs() -> None:
    assert (await subjects(Post(), FLEET)).again_at == T0 - seconds(1)
    assert (await subjects(Post(), "digest:daily:2026-11-18")).again_at == T0

"""The one line about an update: every state, durations in steps, and when it changes by itself."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.facts import T0, a_policy, a_vote, an_update, digest, seconds
from watcher.core.approval import ApprovalRules
from watcher.core.build import BuildState
from watcher.core.letters import Severity
from watcher.core.update import UPDATE_ENDS, Policy, Update
from watcher.core.update_events import UpdateState
from watcher.telling import state_line
from watcher.telling.state_line import lasted, next_step, severities, severity, since

S = UpdateState
BERLIN = ZoneInfo("Europe/Berlin")
"""One hour ahead: at T0 it is Wednesday 09:00 there."""
HOUR, DAY = 3600.0, 86400.0


def line(
    update: Update,
    *,
    after: float = 0.0,
    zone: ZoneInfo = BERLIN,
    build: str = "",
    **progress: object,
) -> str:
    now = T0 + seconds(after)
    return state_line.line(update, progress, build_state=build, zone=zone, now=now)


def at(state: UpdateState, entered: float = 0.0, **said: Any) -> Update:
    """An update that came into its state so many seconds after it was proposed."""
    moment = T0 + seconds(entered)
    times = ((str(S.WAITING_FOR_BUILD), T0), (str(state), moment))
    return an_update(**{"state": state, "times": times, "changed_at": moment, **said})


# --- each state -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("", "waiting for its build <1m"),
        (BuildState.QUEUED, "waiting for its build <1m"),
        (BuildState.BUILDING, "building <1m"),
        (BuildState.VERIFYING, "verifying <1m"),
        (BuildState.READY, "waiting for its build <1m"),
        (BuildState.FAILED, "waiting for its build <1m"),
    ],
)
def test_before_there_is_an_image_it_says_what_the_build_does(build: str, said: str) -> None:
    assert line(an_update(), build=build) == said


def test_while_people_are_asked_it_counts_those_who_count() -> None:
    update = at(S.AWAITING_APPROVAL, policy=a_policy(quorum=2, approvers=("ann", "bob")))
    assert line(update) == "awaiting 0 of 2"
    votes = (a_vote(update, "ann"), a_vote(update, "eve"))
    assert line(replace(update, votes=votes)) == "awaiting 1 of 2"


def test_two_identities_of_a_person_are_counted_once() -> None:
    update = at(S.AWAITING_APPROVAL, policy=a_policy(quorum=2))
    votes = tuple(replace(a_vote(update, by), person="ann") for by in ("token:a", "cli:a"))
    assert line(replace(update, votes=votes)) == "awaiting 1 of 2"


def test_votes_for_what_it_was_before_are_not_counted() -> None:
    update = at(S.AWAITING_APPROVAL)
    stale = replace(a_vote(update), binding=replace(update.binding, image=digest("before")))
    assert line(replace(update, votes=(stale,))) == "awaiting 0 of 1"


def test_a_quorum_of_nobody_is_one() -> None:
    assert line(at(S.AWAITING_APPROVAL, policy=a_policy(quorum=0))) == "awaiting 0 of 1"


def test_a_snoozed_one_says_until_when() -> None:
    update = at(S.AWAITING_APPROVAL, snoozed_until=T0 + seconds(4 * HOUR))
    assert line(update) == "snoozed until 13:00"
    assert line(update, after=4 * HOUR - 1) == "snoozed until 13:00"
    assert line(update, after=4 * HOUR) == "awaiting 0 of 1"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "scheduled"),
        ({"scheduled_for": ""}, "scheduled"),
        ({"scheduled_for": "soon"}, "scheduled"),
        ({"scheduled_for": 7}, "scheduled"),
        ({"scheduled_for": "2026-11-18T08:00:00+00:00"}, "scheduled"),
        ({"scheduled_for": "2026-11-18T20:00:00+00:00"}, "scheduled for 21:00"),
        ({"scheduled_for": "2026-11-21T01:00:00+00:00"}, "scheduled for Sat 02:00 CET"),
        ({"scheduled_for": "2026-11-28T01:00:00+00:00"}, "scheduled for Sat 2026-11-28 02:00 CET"),
    ],
    ids=["not known", "empty", "no time", "no text", "now", "today", "this week", "later"],
)
def test_a_scheduled_one_says_for_when(said: dict[str, Any], expected: str) -> None:
    assert line(at(S.SCHEDULED), **said) == expected


@pytest.mark.parametrize(
    ("state", "word"), [(S.ROLLING_OUT, "rolling out"), (S.ROLLING_BACK, "going back")]
)
def test_what_rolls_counts_nodes(state: UpdateState, word: str) -> None:
    assert line(at(state)) == word
    assert line(at(state), updated=2, total=6) == f"{word} 2/6 nodes"
    assert line(at(state), updated=0, total=0) == word


def test_what_soaks_says_until_when() -> None:
    assert line(at(S.SOAKING, policy=Policy(soak_seconds=1800))) == "soaking until 09:30"


def test_what_is_being_applied_says_so() -> None:
    assert line(at(S.APPLYING)) == "applying"


@pytest.mark.parametrize("state", sorted(UPDATE_ENDS))
def test_what_has_ended_says_how_and_when(state: UpdateState) -> None:
    word = {S.ROLLED_BACK: "rolled back", S.STUCK: "STUCK, a person is needed"}
    assert line(at(state, HOUR)) == f"{word.get(state, str(state))} 10:00"


@pytest.mark.parametrize(
    ("ended", "said"),
    [(14 * HOUR, "23:00"), (24 * HOUR, "Thu 09:00 CET"), (9 * DAY, "Fri 2026-11-27 09:00 CET")],
    ids=["on the day it was proposed", "on another", "long after"],
)
def test_an_end_has_its_day_unless_it_is_that_of_the_proposal(ended: float, said: str) -> None:
    assert line(at(S.DONE, ended)) == f"done {said}"


def test_days_are_those_of_the_pool_s_zone() -> None:
    update = at(S.DONE, 15.5 * HOUR)  # 23:30 in UTC
    assert line(update, zone=ZoneInfo("UTC")) == "done 23:30"
    assert line(update) == "done Thu 00:30 CET"


@pytest.mark.parametrize("state", list(S))
def test_every_state_has_a_line_of_its_own(state: UpdateState) -> None:
    said = line(at(state))
    assert said
    assert sum(line(at(other)) == said for other in S) == 1


@pytest.mark.parametrize("state", [S.AWAITING_APPROVAL, S.SCHEDULED, S.SOAKING])
def test_at_midnight_a_line_about_tomorrow_stays_as_it_is(state: UpdateState) -> None:
    tomorrow = T0 + seconds(DAY)
    update = at(state, snoozed_until=tomorrow, policy=Policy(soak_seconds=86400))
    progress = {"scheduled_for": tomorrow.isoformat()}
    said = {line(update, after=after, **progress) for after in (0, DAY - HOUR)}  # type: ignore[arg-type]
    assert len(said) == 1
    assert said.pop().endswith("Thu 09:00 CET")


# --- severity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", list(S))
def test_what_went_wrong_is_severe(state: UpdateState) -> None:
    expected = {
        S.STUCK: Severity.CRITICAL,
        S.ROLLING_BACK: Severity.CRITICAL,
        S.ROLLED_BACK: Severity.WARNING,
        S.FAILED: Severity.WARNING,
        S.EXPIRED: Severity.WARNING,
    }
    assert severity(an_update(state=state)) is expected.get(state, Severity.INFO)


def test_the_severities_of_a_life_are_those_of_all_its_states() -> None:
    states = (S.WAITING_FOR_BUILD, S.ROLLING_OUT, S.ROLLING_BACK, S.ROLLED_BACK)
    times = tuple((str(state), T0) for state in states)
    life = an_update(state=S.ROLLED_BACK, times=times)
    assert severities(life) == (Severity.INFO, Severity.CRITICAL, Severity.WARNING)


def test_an_update_from_before_times_were_kept_has_that_of_its_state() -> None:
    assert severities(an_update(state=S.STUCK)) == (Severity.CRITICAL,)


# --- since ----------------------------------------------------------------------------------------


def test_since_is_when_it_came_into_its_state_not_when_it_last_changed() -> None:
    update = at(S.AWAITING_APPROVAL, HOUR, changed_at=T0 + seconds(DAY))
    assert since(update) == T0 + seconds(HOUR)


def test_since_is_its_last_change_where_times_were_not_kept() -> None:
    assert since(an_update(changed_at=T0 + seconds(9))) == T0 + seconds(9)


def test_since_is_its_last_change_where_its_state_was_not_noted() -> None:
    update = an_update(state=S.STUCK, times=((str(S.SOAKING), T0),), changed_at=T0 + seconds(9))
    assert since(update) == T0 + seconds(9)


# --- durations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=-90), "<1m"),
        (timedelta(), "<1m"),
        (timedelta(seconds=59), "<1m"),
        (timedelta(seconds=60), "1m"),
        (timedelta(minutes=4, seconds=59), "4m"),
        (timedelta(minutes=5), "5m"),
        (timedelta(minutes=9, seconds=59), "5m"),
        (timedelta(minutes=59, seconds=59), "55m"),
        (timedelta(hours=1), "1h00m"),
        (timedelta(hours=1, minutes=29), "1h00m"),
        (timedelta(hours=2, minutes=31), "2h30m"),
        (timedelta(days=2), "48h00m"),
        (timedelta(days=1000), "24000h00m"),
    ],
)
def test_a_duration_is_told_in_steps(length: timedelta, said: str) -> None:
    assert lasted(length) == said


# --- when it changes though nothing happens -------------------------------------------------------

ahead = st.one_of(
    st.integers(0, 7200).map(seconds),
    st.integers(0, 72).map(lambda hours: seconds(hours * HOUR)),
    st.floats(0, 40 * DAY, allow_nan=False).map(seconds),
)
moments = ahead.map(lambda by: T0 + by)


@st.composite
def updates(draw: st.DrawFn) -> Update:
    state = draw(st.sampled_from([*S, S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.SCHEDULED]))
    entered = T0 + seconds(draw(st.integers(0, 3 * 86400)))
    times = ((str(state), entered),) if draw(st.booleans()) else ()
    return an_update(
        state=state,
        times=times,
        changed_at=entered,
        snoozed_until=draw(st.one_of(st.none(), moments)),
        policy=Policy(soak_seconds=draw(st.integers(0, 100_000))),
    )


@given(updates(), st.one_of(st.none(), moments), moments, st.floats(0, 1))
def test_the_line_stays_until_its_next_step_and_is_another_then(
    update: Update, opens: datetime | None, now: datetime, part: float
) -> None:
    progress = {"scheduled_for": opens.isoformat() if opens else ""}

    def at_that(moment: datetime) -> str:
        return state_line.line(
            update, progress, build_state=BuildState.BUILDING, zone=BERLIN, now=moment
        )

    step = next_step(update, progress, now=now)
    event(f"{update.state}: {'changes' if step else 'stays'}")
    ends = step or now + timedelta(days=400)
    assert now < ends
    between = min(now + (ends - now) * part, ends - timedelta.resolution)
    assert at_that(between) == at_that(now)
    if step is not None:
        assert at_that(step) != at_that(now)


def test_the_author_alone_is_one_of_two_under_the_two_person_rule() -> None:
    rules = ApprovalRules(approvers=("ann", "bob"), two_person=True)
    update = an_update(state=S.AWAITING_APPROVAL, policy=Policy(approval=rules))
    assert line(replace(update, authors=("ann",))) == "awaiting 0 of 1"
    voted = replace(update, authors=("ann",), votes=(a_vote(update, "ann"),))
    assert line(voted) == "awaiting 1 of 2"

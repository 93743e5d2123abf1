"""Who is called anew about a notice that stands: rises, silences, escalations, blindness."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.alerting import (
    DAY,
    HOUR,
    MINUTE,
    ONE,
    STALE,
    UPGRADING,
    Days,
    a_finding,
    a_silence,
    a_surveyed,
    a_view,
    behind,
    flagged,
    held,
)
from tests.facts import PROD, T0, an_update, seconds
from watcher.core import notices
from watcher.core.letters import Notice, Nudge, Severity, Wanted
from watcher.core.state import Flag, Surveyed
from watcher.core.update_events import UpdateState
from watcher.settings_alerts import AlertEscalation

INFO, WARNING, CRITICAL = Severity
LAG_WAIT = HOUR
BLIND_WAIT = 2 * MINUTE


def lagging(releases: int = 1, *pools: str) -> Surveyed:
    places = pools or ("prod/infra",)
    return a_surveyed(*(behind(place, releases=releases) for place in places))


WELL = a_surveyed(a_finding())


def told(releases: int = 1, **said: Any) -> Days:
    """A notice of lag stands since an hour after T0."""
    return Days(**said).see(lagging(releases)).see(lagging(releases), after=LAG_WAIT)


def wanted(days: Days) -> tuple[Wanted, ...]:
    return notices.letters(days.memory)


# --- it must have lasted -------------------------------------------------------------------------


def test_what_holds_is_told_after_the_time_of_its_rule() -> None:
    days = Days().see(lagging())
    assert (days.told, days.again) == (set(), T0 + seconds(LAG_WAIT))
    days.see(lagging(), after=LAG_WAIT - 1)
    assert days.told == set()
    days.see(lagging(), after=1)
    assert days.told == {("lag", "warning")}
    assert days.one.title == "prod/infra is behind 4.16.9"
    (letter,) = wanted(days)
    assert isinstance(letter.body, Notice)
    assert (letter.body.rule, letter.body.silenced, letter.body.escalated) == ("lag", "", False)


def test_many_pools_behind_one_release_are_one_notice_as_bad_as_its_worst() -> None:
    seen = a_surveyed(behind("prod/a"), behind("prod/b", releases=7), behind("prod/c"))
    days = Days().see(seen).see(seen, after=LAG_WAIT)
    assert (days.one.title, days.one.severity) == ("3 pools of prod are behind 4.16.9", CRITICAL)
    assert days.one.sentence.startswith("for one, prod/b: its OS image is 7 releases")


def test_what_has_not_lasted_yet_is_named_and_makes_it_no_worse() -> None:
    days = told()
    both = a_surveyed(behind(), behind("prod/new", releases=9))
    days.see(both, after=MINUTE)
    assert (days.one.severity, days.calls) == (WARNING, [])
    assert days.one.places == ("prod/infra", "prod/new")
    assert days.one.sentence.startswith("for one, prod/infra:")
    days.see(both, after=LAG_WAIT)
    assert (days.one.severity, len(days.calls)) == (CRITICAL, 1)


# --- rises ---------------------------------------------------------------------------------------


def test_a_rise_is_said_once_in_the_thread_and_in_the_channel() -> None:
    days = told()
    days.see(lagging(5), after=MINUTE)
    head, call = wanted(days)
    assert (head.severity, days.one.severity) == (CRITICAL, CRITICAL)
    assert (call.thread_of, call.broadcast, call.once) == (head.key, True, True)
    assert (call.place, call.severity) == (ONE, CRITICAL)
    assert isinstance(call.body, Nudge)
    assert (call.body.cluster, call.body.pool) == ("prod", "infra")
    assert (call.body.update, call.body.cause) == ("", days.one.cause)
    assert call.body.sentence.startswith("critical now: prod/infra is behind 4.16.9: its OS image")
    key = call.key
    for releases in (6, 5, 9):
        days.see(lagging(releases), after=HOUR)
        assert days.calls == [key]


def test_a_fall_and_a_rise_within_half_an_hour_are_one_rise() -> None:
    days = told().see(lagging(5), after=MINUTE)
    first = days.calls
    days.see(lagging(4), after=MINUTE).see(lagging(5), after=29 * MINUTE)
    assert (days.one.severity, days.calls) == (CRITICAL, first)
    days.see(lagging(4), after=MINUTE)
    assert days.one.severity is WARNING
    days.see(lagging(4), after=30 * MINUTE).see(lagging(5), after=MINUTE)
    assert len(days.calls) == 1
    assert days.calls != first


def test_what_was_told_as_critical_calls_nobody_again() -> None:
    assert told(5).calls == []


def test_what_is_over_calls_nobody() -> None:
    days = told().see(lagging(5), after=MINUTE).see(WELL, after=MINUTE)
    assert (days.calls, days.stand) == ([], [])


def by_severity(place: str, severity: Severity) -> Sequence[str]:
    return ("webhook:pager",) if severity is CRITICAL else (ONE,)


def test_a_place_for_another_severity_is_told_when_it_rises_and_of_the_end() -> None:
    days = told(to=by_severity)
    assert [one.to for one in days.stand] == [ONE]
    days.see(lagging(5), after=MINUTE)
    # Whoever was told of it as a warning is told that it is worse, and how it ends.
    assert {one.to: one.severity for one in days.stand} == {
        ONE: CRITICAL,
        "webhook:pager": CRITICAL,
    }
    days.see(lagging(1), after=MINUTE)
    assert {one.to: one.severity for one in days.stand} == {ONE: WARNING, "webhook:pager": WARNING}
    days.see(WELL, after=MINUTE)
    assert {one.to for one in days.memory.notices if one.over_at == days.now} == {
        ONE,
        "webhook:pager",
    }


# --- silences ------------------------------------------------------------------------------------


def test_what_is_silenced_is_not_told_and_is_told_when_the_silence_ends() -> None:
    days = Days(silences=[a_silence("prod/infra", "lag")]).see(lagging())
    for _ in range(3):
        days.see(lagging(9), after=HOUR)
        assert days.memory.notices == ()
    assert days.again == T0 + seconds(4 * HOUR)
    days.see(lagging(9), after=HOUR)
    assert days.told == {("lag", "critical")}
    assert days.one.since == T0


def test_a_notice_that_is_silenced_says_so_and_is_neither_over_nor_worse() -> None:
    days = told()
    days.silences = [a_silence("prod")]
    days.see(lagging(9), after=MINUTE)
    assert (days.one.over_at, days.one.severity, days.calls) == (None, WARNING, [])
    assert days.one.silenced == ("every alert is silenced by ann until 2026-11-18 12:00 UTC: known")
    days.see(lagging(9), after=4 * HOUR)
    assert (days.one.silenced, days.one.severity) == ("", CRITICAL)
    (call,) = [one for one in wanted(days) if one.once]
    assert isinstance(call.body, Nudge)
    assert call.body.sentence.startswith("critical now: ")


def test_a_call_that_is_not_delivered_yet_is_not_made_once_it_is_silenced() -> None:
    days = told().see(lagging(5), after=MINUTE)
    assert len(days.calls) == 1
    days.silences = [a_silence()]
    assert days.see(lagging(5), after=MINUTE).calls == []


def test_what_still_holds_when_a_silence_ends_is_said_anew() -> None:
    days = told()
    days.silences = [a_silence("prod", until=T0 + seconds(2 * HOUR))]
    days.see(lagging(), after=MINUTE)
    assert (days.again, days.calls) == (T0 + seconds(2 * HOUR), [])
    days.see(lagging(), after=HOUR)
    (call,) = [one for one in wanted(days) if one.once]
    assert isinstance(call.body, Nudge)
    assert call.body.sentence.startswith("no longer silenced, and still so: ")
    assert days.see(lagging(), after=HOUR).calls == [call.key]


def test_what_gets_better_while_it_is_silenced_calls_nobody_when_it_is_as_bad_again() -> None:
    days = told(5)
    days.silences = [a_silence(until=T0 + seconds(2 * HOUR))]
    days.see(lagging(1), after=MINUTE)
    assert days.one.severity is CRITICAL
    days.see(lagging(5), after=HOUR)
    (call,) = [one for one in wanted(days) if one.once]
    assert isinstance(call.body, Nudge)
    assert call.body.sentence.startswith("no longer silenced")


def test_a_pool_that_is_silenced_does_not_join_what_stands() -> None:
    days = told()
    days.silences = [a_silence("prod/gpu")]
    days.see(lagging(1, "prod/gpu", "prod/infra"), after=DAY / 24)
    assert (days.one.places, days.one.silenced) == (("prod/infra",), "")
    days.see(lagging(1, "prod/gpu"), after=MINUTE)
    assert days.one.over_at == days.now, "what was told is over, and the other one is not told"


def test_what_ended_while_it_was_silenced_is_over() -> None:
    days = told()
    days.silences = [a_silence()]
    days.see(lagging(), after=MINUTE).see(WELL, after=MINUTE)
    assert days.one.over_at == days.now


def test_a_silence_of_some_pools_leaves_the_others_told() -> None:
    seen = lagging(1, "prod/a", "prod/b")
    days = Days(silences=[a_silence("prod/a")]).see(seen).see(seen, after=LAG_WAIT)
    assert (days.one.places, days.one.silenced) == (("prod/b",), "")
    days.silences = [a_silence("prod/b")]
    days.see(seen, after=MINUTE)
    assert days.one.places == ("prod/a", "prod/b")
    assert days.one.silenced.startswith("prod/b: every alert is silenced by ann")
    worse = a_surveyed(behind("prod/a"), behind("prod/b", releases=9))
    assert days.see(worse, after=MINUTE).one.severity is WARNING


@pytest.mark.parametrize(
    ("scope", "rule", "hides"),
    [
        ("", "", True),
        ("prod", "", True),
        ("prod/infra", "lag", True),
        ("prod/infra", "paused", False),
        ("test", "", False),
        ("prod/gpu", "", False),
    ],
)
def test_a_silence_hides_what_it_names(scope: str, rule: str, hides: bool) -> None:
    assert (told(silences=[a_silence(scope, rule)]).stand == []) is hides


def test_what_was_over_does_not_come_back_while_it_is_silenced() -> None:
    days = told().see(WELL, after=MINUTE)
    days.silences = [a_silence()]
    assert days.see(lagging(), after=MINUTE).stand == []


# --- held back -----------------------------------------------------------------------------------


def test_what_is_held_back_keeps_its_notice_and_does_not_begin_to_count() -> None:
    upgrading = replace(lagging(9), stage=UPGRADING)
    days = Days().see(upgrading).see(upgrading, after=DAY)
    assert days.memory == notices.Memory()
    days.see(lagging(9)).see(lagging(9), after=LAG_WAIT - 1)
    assert days.stand == []
    days.see(lagging(9), after=1)
    assert days.told == {("lag", "critical")}


def test_an_update_that_rolls_out_neither_ends_a_notice_nor_makes_it_worse() -> None:
    rolling = {"prod/infra": an_update(state=UpdateState.ROLLING_OUT)}
    days = told()
    key = days.one.key
    days.see(lagging(9), after=MINUTE, active=rolling)
    assert (days.one.key, days.one.over_at, days.one.severity) == (key, None, WARNING)
    days.see(lagging(9), after=DAY, active=rolling)
    assert (days.one.over_at, days.calls) == (None, [])
    days.see(WELL, after=MINUTE)
    assert days.one.over_at == days.now


def test_a_pool_that_its_update_has_paused_for_days_is_not_told_as_paused() -> None:
    rolling = {"prod/infra": an_update(state=UpdateState.ROLLING_OUT)}
    paused = a_surveyed(flagged(Flag.PAUSED, since=T0 - seconds(9 * DAY)))
    assert Days().see(paused, active=rolling).see(paused, after=DAY, active=rolling).stand == []
    assert Days().see(paused).told == {("paused", "critical")}


def test_a_rollout_that_failed_tells_again_what_it_did_not_mend() -> None:
    rolling = {"prod/infra": an_update(state=UpdateState.ROLLING_BACK)}
    days = told().see(lagging(9), after=MINUTE, active=rolling)
    days.see(lagging(9), after=HOUR)
    assert (days.one.severity, days.calls) == (WARNING, []), "it has to last again"
    days.see(lagging(9), after=LAG_WAIT)
    assert (days.one.severity, len(days.calls)) == (CRITICAL, 1)


# --- escalations ---------------------------------------------------------------------------------

PAGER = "webhook:pager"
STEP = AlertEscalation(after_seconds=2 * HOUR, to=(PAGER,))


def places(days: Days) -> dict[str, bool]:
    return {one.to: one.escalated for one in days.stand}


def test_what_lasts_is_told_at_further_places_with_its_end() -> None:
    days = told(5, escalations=(STEP,))
    assert days.again == days.now + seconds(2 * HOUR)
    assert places(days.see(lagging(5), after=2 * HOUR - 1)) == {ONE: False}
    assert places(days.see(lagging(5), after=1)) == {ONE: False, PAGER: True}
    bodies = {one.place: one.body for one in wanted(days)}
    there, here = bodies[PAGER], bodies[ONE]
    assert isinstance(there, Notice)
    assert isinstance(here, Notice)
    assert (there.escalated, there.title, there.since) == (True, here.title, here.since)
    days.see(lagging(1), after=MINUTE)
    assert places(days) == {ONE: False, PAGER: True}, "not as bad, and not over"
    days.see(WELL, after=MINUTE)
    assert {one.to for one in days.memory.notices if one.over_at == days.now} == {ONE, PAGER}


def test_a_warning_escalates_only_where_that_is_said() -> None:
    days = told(escalations=(STEP,)).see(lagging(), after=DAY)
    assert places(days) == {ONE: False}
    both = replace(STEP, severities=("warning", "critical"))
    assert places(told(escalations=(both,)).see(lagging(), after=DAY)) == {ONE: False, PAGER: True}


def test_the_time_of_an_escalation_begins_with_the_severity() -> None:
    days = told(escalations=(STEP,)).see(lagging(), after=DAY).see(lagging(5), after=MINUTE)
    assert places(days.see(lagging(5), after=2 * HOUR - 1)) == {ONE: False}
    assert places(days.see(lagging(5), after=1)) == {ONE: False, PAGER: True}


def test_what_is_silenced_escalates_only_after_the_silence() -> None:
    days = told(5, escalations=(STEP,)).see(lagging(5), after=HOUR)
    days.silences = [a_silence(until=days.now + seconds(DAY))]
    assert places(days.see(lagging(5), after=DAY - 1)) == {ONE: False}
    days.see(lagging(5), after=1)
    assert places(days.see(lagging(5), after=2 * HOUR - 1)) == {ONE: False}
    assert places(days.see(lagging(5), after=1)) == {ONE: False, PAGER: True}


def test_a_place_that_is_told_anyway_is_not_told_twice() -> None:
    here = replace(STEP, to=(ONE, ONE))
    days = told(5, escalations=(here,)).see(lagging(5), after=DAY)
    assert places(days) == {ONE: False}


def test_a_place_of_another_severity_stays_one_that_is_told_too() -> None:
    both = replace(STEP, severities=("warning", "critical"))
    days = told(to=by_severity, escalations=(both,)).see(lagging(), after=2 * HOUR)
    assert places(days) == {ONE: False, PAGER: True}
    assert places(days.see(lagging(), after=MINUTE)) == {ONE: False, PAGER: True}


def test_steps_come_one_after_another() -> None:
    later = AlertEscalation(after_seconds=8 * HOUR, to=("slack:C-boss",))
    days = told(5, escalations=(STEP, later)).see(lagging(5), after=7 * HOUR)
    assert set(places(days)) == {ONE, PAGER}
    assert set(places(days.see(lagging(5), after=HOUR))) == {ONE, PAGER, "slack:C-boss"}


def test_a_silence_of_what_has_escalated_is_said_there_too() -> None:
    days = told(5, escalations=(STEP,)).see(lagging(5), after=2 * HOUR)
    days.silences = [a_silence(until=days.now + seconds(HOUR))]
    days.see(lagging(5), after=MINUTE)
    assert {one.to: bool(one.silenced) for one in days.stand} == {ONE: True, PAGER: True}


# --- blind ---------------------------------------------------------------------------------------


def dark(days: Days, *seen: Any, ago: float = 0) -> list[Any]:
    """The same with a cluster that was last seen so long ago."""
    days.blind = {PROD}
    at = days.now - seconds(ago)
    return [replace(one, observed_at=at) if isinstance(one, Surveyed) else one for one in seen]


def test_a_cluster_that_is_not_seen_is_told_once_and_not_by_its_pools() -> None:
    views = [a_view("prod/a"), a_view("prod/b")]
    seen = a_surveyed(a_finding("prod/a"), a_finding("prod/b"))
    days = Days().see(*views, seen)
    last = dark(days, seen)
    days.looked = False
    days.see(*views, *last, after=300)
    assert days.cases == []
    days.see(*views, *last, after=1)
    assert (days.told, days.again) == (set(), days.now + timedelta(seconds=BLIND_WAIT))
    days.see(*views, *last, after=BLIND_WAIT)
    assert days.told == {("blind", "warning")}
    assert (days.one.title, days.one.places) == ("prod is not seen", ("prod/a", "prod/b"))
    days.see(*views, *last, after=599 - BLIND_WAIT)
    assert days.told == {("blind", "critical")}
    assert len(days.calls) == 1
    days.see(*views, *last, after=DAY)
    assert days.told == {("blind", "critical")}, "that no look ends is the same"
    days.blind, days.looked = set(), True
    days.see(*views, seen, after=MINUTE)
    assert days.one.over_at == days.now


def test_what_was_found_of_a_cluster_stays_as_it_was_while_it_is_not_seen() -> None:
    days = told()
    before = days.one
    # What is known of it may be anything by now, and nothing of it counts.
    for finding in (behind(releases=9), a_finding(), flagged(Flag.UNPULLABLE, said="x")):
        days.see(*dark(days, a_surveyed(finding), ago=301), after=DAY)
        assert before in days.stand
        assert {one.cause.partition(":")[0] for one in days.stand} <= {"lag", "blind"}
    days.blind = set()
    days.see(WELL, after=MINUTE)
    assert days.stand == []


def test_what_counted_before_a_cluster_was_not_seen_goes_on_counting() -> None:
    days = Days().see(lagging()).see(lagging(), after=LAG_WAIT / 2)
    days.see(*dark(days, lagging(), ago=301), after=LAG_WAIT / 2)
    assert ("lag", "warning") not in days.told
    days.blind = set()
    days.see(lagging(), after=MINUTE)
    assert ("lag", "warning") in days.told


def test_a_pool_held_because_its_cluster_is_not_seen_is_not_told_when_it_is_back() -> None:
    seen = a_surveyed(a_finding())
    days = Days().see(a_view(), seen)
    last = dark(days, seen)
    late = held(because="last seen 2026-11-18 08:00 UTC, too long ago to act on")
    days.see(late, *last, after=MINUTE).see(late, *last, after=DAY)
    days.blind = set()
    days.see(late, seen, after=10)  # the pool was not looked at yet
    assert days.stand == []
    assert days.see(a_view(), seen, after=10).stand == []


def test_what_was_held_before_goes_on_waiting_through_a_short_blindness() -> None:
    seen = a_surveyed(a_finding())
    days = Days().see(held(), seen).see(held(), seen, after=15 * MINUTE)
    days.see(held(), *dark(days, seen), after=10 * MINUTE)
    days.blind = set()
    days.see(held(), seen, after=5 * MINUTE)
    assert ("held", "warning") in days.told


def test_one_outage_over_two_clusters_stays_whole_while_one_is_not_seen() -> None:
    views = [held("prod/a"), held("test/a")]
    prod = a_surveyed(a_finding("prod/a"))
    test = a_surveyed(a_finding("test/a"))
    days = Days().see(*views, prod, test).see(*views, prod, test, after=HOUR)
    assert days.one.places == ("prod/a", "test/a")
    days.see(*views, *dark(days, prod, ago=400), test, after=MINUTE)
    (held_one,) = [one for one in days.stand if one.cause.startswith("held:")]
    assert held_one.places == ("prod/a", "test/a")


def test_a_replica_that_has_found_nothing_yet_ends_nothing() -> None:
    days = told()
    unknown = a_surveyed(cluster=PROD, asked_at=None)
    days.see(unknown, after=MINUTE)
    assert days.told == {("lag", "warning")}
    never = replace(unknown, observed_at=datetime.min.replace(tzinfo=T0.tzinfo))
    days.blind = {PROD}
    days.see(never, after=MINUTE)
    assert days.told == {("lag", "warning")}
    days.blind = set()
    assert days.see(WELL, after=MINUTE).stand == []


def test_a_cluster_that_left_the_configuration_ends_what_was_told_of_it() -> None:
    assert told().see(after=MINUTE).stand == []


def test_a_cluster_never_seen_since_the_start_is_told_once_it_was_missed_for_long() -> None:
    never = a_surveyed(observed_at=datetime.min.replace(tzinfo=T0.tzinfo), asked_at=None)
    days = Days(blind={PROD}).see(never).see(never, after=299)
    assert days.told == set()
    assert days.see(never, after=1).told == {("blind", "warning")}
    assert days.see(never, after=599).told == {("blind", "warning")}
    days.see(never, after=1)
    assert (days.told, len(days.calls)) == ({("blind", "critical")}, 1)


def test_a_clock_that_jumps_ahead_tells_nothing_while_watches_go_on() -> None:
    days = told()
    days.see(*dark(days, lagging()), after=HOUR)  # no bookmark came since
    assert days.told == {("lag", "warning")}
    days.blind = set()
    days.see(lagging(), after=MINUTE)
    assert days.told == {("lag", "warning")}
    days.see(*dark(days, lagging()), after=301)
    assert days.told == {("lag", "warning")}, "what was missed before has ended"


def test_a_cluster_that_stays_away_is_critical_at_once_after_the_wait_if_it_is_old() -> None:
    days = Days().see(WELL)
    last = dark(days, WELL)
    days.see(*last, after=HOUR)
    assert days.told == set()
    assert days.see(*last, after=BLIND_WAIT).told == {("blind", "critical")}


def test_a_clock_that_is_put_back_hides_no_cluster_that_is_away() -> None:
    days = told()
    last = dark(days, lagging())
    days.see(a_surveyed(a_finding(), observed_at=last[0].observed_at), after=-HOUR)
    assert days.told == {("lag", "warning")}, "nobody knows whether it is over"
    assert days.see(*last, after=299).told == {("lag", "warning")}
    assert days.see(*last, after=1).told == {("lag", "warning"), ("blind", "warning")}
    assert days.see(*last, after=600).told == {("lag", "warning"), ("blind", "critical")}
    days.blind = set()
    assert days.see(WELL, after=MINUTE).stand == []


def test_a_clock_that_is_put_back_makes_nothing_wait_for_that_time_too() -> None:
    days = Days().see(lagging()).see(lagging(), after=-DAY)
    assert days.see(lagging(), after=LAG_WAIT - 1).told == set()
    assert days.see(lagging(), after=1).told == {("lag", "warning")}


# --- time alone ----------------------------------------------------------------------------------


def test_what_changes_by_time_alone_is_looked_at_then() -> None:
    paused = a_surveyed(flagged(Flag.PAUSED, since=T0 - seconds(DAY)))
    days = Days().see(paused)
    assert days.told == {("paused", "warning")}
    assert days.again == T0 + seconds(6 * DAY)
    days.see(paused, after=6 * DAY)
    assert days.told == {("paused", "critical")}


def test_looks_that_are_old_are_looked_at_when_they_have_lasted() -> None:
    days = Days(looked=False).see(a_view(), after=STALE + 1)
    assert days.again == days.now + timedelta(seconds=STALE / 3)

"""Moments as people write them: what is understood, in which zone, and what is refused how."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.moments import MOST_AHEAD, next_window, parse_until
from watcher.core.windows import Blackout, Window, zone_of

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOW = at("2026-11-24T10:00")  # a Tuesday, 11:00 in Berlin
OPENS = at("2026-11-28T01:00")


def parsed(
    text: str, zone: str = BERLIN, now: datetime = NOW, opens: datetime | None = OPENS
) -> datetime:
    return parse_until(text, now=now, zone=zone_of(zone), next_window=opens)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", "2026-11-24T12:00"),
        ("90m", "2026-11-24T11:30"),
        ("1h30m", "2026-11-24T11:30"),
        ("3d", "2026-11-27T10:00"),
        ("1w2d", "2026-12-03T10:00"),
        ("  2H ", "2026-11-24T12:00"),
        ("tomorrow", "2026-11-25T08:00"),
        ("Tomorrow 14:00", "2026-11-25T13:00"),
        ("tomorrow  9:05", "2026-11-25T08:05"),
        ("today 18:00", "2026-11-24T17:00"),
        ("monday", "2026-11-30T08:00"),
        ("mon", "2026-11-30T08:00"),
        ("sunday 23:59", "2026-11-29T22:59"),
        ("tuesday", "2026-12-01T08:00"),
        ("tuesday 12:00", "2026-12-01T11:00"),
        ("wednesday", "2026-11-25T08:00"),
        ("2026-12-01", "2026-12-01T08:00"),
        ("2026-12-01 08:00", "2026-12-01T07:00"),
        ("2026-12-01T08:00", "2026-12-01T07:00"),
        ("2026-12-01T08:00:30.123", "2026-12-01T07:00:30"),
        ("2026-12-01T08:00Z", "2026-12-01T08:00"),
        ("2026-12-01 08:00 UTC", "2026-12-01T08:00"),
        ("2026-12-01T08:00:00+05:45", "2026-12-01T02:15"),
        ("2026-12-01 08:00-0330", "2026-12-01T11:30"),
        ("2026-12-01 08:00 +01", "2026-12-01T07:00"),
        ("2026-11-24 11:01", "2026-11-24T10:01"),
        ("next-window", "2026-11-28T01:00"),
    ],
)
def test_what_people_write_is_the_moment_they_mean(text: str, expected: str) -> None:
    assert parsed(text) == at(expected)
    assert parsed(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "zone", "now", "expected"),
    [
        # 02:30 is skipped in Berlin on 2027-03-28, and comes twice on 2027-10-31.
        ("2027-03-28 02:30", BERLIN, "2027-03-01T10:00", "2027-03-28T01:00"),
        ("2027-10-31 02:30", BERLIN, "2027-10-01T10:00", "2027-10-31T00:30"),
        ("2027-10-31 02:30 +01:00", BERLIN, "2027-10-01T10:00", "2027-10-31T01:30"),
        # Lord Howe's clocks go forward by half an hour.
        ("2026-10-04 02:15", LORD_HOWE, "2026-10-01T10:00", "2026-10-03T15:30"),
        # A day is 24 hours where it is said as a duration, and a day of the calendar else.
        ("1d", BERLIN, "2027-03-27T11:00", "2027-03-28T11:00"),
        ("tomorrow 12:00", BERLIN, "2027-03-27T11:00", "2027-03-28T10:00"),
        # Which day it is, is a matter of the zone, or of the offset.
        ("tomorrow", NEW_YORK, "2026-11-25T02:00", "2026-11-25T14:00"),
        ("tomorrow", BERLIN, "2026-11-25T02:00", "2026-11-26T08:00"),
        ("tomorrow 08:00 UTC", NEW_YORK, "2026-11-25T02:00", "2026-11-26T08:00"),
        ("wed", NEW_YORK, "2026-11-25T02:00", "2026-11-25T14:00"),
    ],
)
def test_wall_times_are_those_of_the_zone(text: str, zone: str, now: str, expected: str) -> None:
    assert parsed(text, zone, at(now)) == at(expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is no moment; write 2h,"),
        ("soon", "'soon' is no moment"),
        ("next week", "'next week' is no moment"),
        ("2", "'2' is no moment"),
        ("h", "'h' is no moment"),
        ("-2h", "'-2h' is no moment"),
        ("30m1h", "'30m1h' is no moment"),
        ("2h tomorrow", "is no moment"),
        ("14:00", "is no moment"),
        ("٢h", "is no moment"),
        ("2026-12-01T", "is no moment"),
        ("20261201", "is no moment"),
        ("2026-12-01 08:00 CET", "is no moment"),
        ("tomorrowt14:00", "is no moment"),
        ("x" * 5000, "is no moment"),
        ("2026-02-30", "2026-02-30 is a day that no calendar has"),
        ("1026-02-03", "the year must be from 2000 to 2999"),
        ("tomorrow 24:00", "24:00 is no time of day"),
        ("tomorrow 12:60", "12:60 is no time of day"),
        ("2026-12-01 08:00+25:00", "+25:00 is no offset from UTC"),
        ("0h", "2026-11-24 10:00 UTC is over already; it is 2026-11-24 10:00 UTC"),
        ("today", "2026-11-24 08:00 UTC is over already"),
        ("2026-11-24 11:00", "2026-11-24 10:00 UTC is over already"),
        ("2026-11-23", "2026-11-23 08:00 UTC is over already"),
        ("2999-12-31 23:59 -14:00", "more than 10 years away"),
        ("999999w", "more than 10 years away"),
    ],
)
def test_what_is_no_moment_ahead_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is compared
        parsed(text)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 200


def test_without_a_next_window_there_is_no_next_window() -> None:
    with pytest.raises(ValueError, match="no next window is known here; say a time"):
        parsed("next-window", opens=None)


@given(text=st.text(max_size=30) | st.from_regex(r"[a-z0-9:+ -]{1,25}", fullmatch=True))
def test_whatever_is_written_gives_a_moment_ahead_or_a_sentence(text: str) -> None:
    try:
        found = parsed(text)
    except ValueError:  # and nothing else
        return
    assert NOW < found <= NOW + MOST_AHEAD


@given(minutes=st.integers(1, 60 * 24 * 3000), zone=st.sampled_from([BERLIN, NEW_YORK, LORD_HOWE]))
def test_a_moment_written_with_its_offset_is_that_moment_in_every_zone(
    minutes: int, zone: str
) -> None:
    wanted = NOW + timedelta(minutes=minutes)
    assert parsed(wanted.isoformat(), zone) == wanted
    assert parsed(wanted.astimezone(zone_of(LORD_HOWE)).isoformat(), zone) == wanted


SATURDAY = Window(days=("sat",), start="02:00", hours=4, timezone=BERLIN)
TUESDAY = Window(days=("tue",), start="11:00", hours=4, timezone=BERLIN)


@pytest.mark.parametrize(
    ("windows", "blackouts", "expected"),
    [
        ((SATURDAY,), (), "2026-11-28T01:00"),
        ((TUESDAY,), (), "2026-12-01T10:00"),
        ((TUESDAY, SATURDAY), (), "2026-11-28T01:00"),
        ((SATURDAY,), (Blackout(first="2026-11-28", last="2026-11-28"),), "2026-12-05T01:00"),
        ((), (), None),
        ((), (Blackout(first="2026-11-28", last="2026-11-28"),), None),
        ((Window(hours=1, days=(), start="02:00"),), (), None),
    ],
    ids=["closed", "opens now", "one open", "blackout", "none", "only a blackout", "never"],
)
def test_the_next_window_is_not_the_one_that_is_open(
    windows: tuple[Window, ...], blackouts: tuple[Blackout, ...], expected: str | None
) -> None:
    found = next_window(windows, blackouts, now=NOW)
    assert found == (at(expected) if expected else None)

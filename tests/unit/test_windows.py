"""When a pool may be changed: windows and blackouts, in the pool's own time zone."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from watcher.core.windows import (
    DAYS,
    Blackout,
    Period,
    Window,
    blacked_out,
    check_blackout,
    check_cron,
    moment_of,
    openings,
    opens_at,
)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"  # changes its clocks by half an hour
HAVANA = "America/Havana"  # changes its clocks at midnight
NUUK = "America/Nuuk"  # skips the last hour of a Saturday
ZONES = ("UTC", BERLIN, NEW_YORK, LORD_HOWE, "Asia/Kathmandu", HAVANA, NUUK)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(days: str, start: str, hours: float, timezone: str = "UTC") -> Window:
    return Window(days=tuple(days.split()), start=start, hours=hours, timezone=timezone)


NIGHT = window("wed", "22:00", 4.0)  # past midnight, into Thursday


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-18T21:59", "2026-11-18T22:00"),
        ("2026-11-18T22:00", "2026-11-18T22:00"),
        ("2026-11-19T01:59", "2026-11-19T01:59"),
        ("2026-11-19T02:00", "2026-11-25T22:00"),
    ],
    ids=["a minute before", "as it opens", "after midnight", "as it closes"],
)
def test_a_window_runs_past_midnight(now: str, opens: str) -> None:
    assert opens_at([NIGHT], now=at(now)) == at(opens)


def test_without_windows_it_is_always_open() -> None:
    assert opens_at([], now=at("2026-11-18T12:00")) == at("2026-11-18T12:00")


def test_the_next_of_several_windows_counts() -> None:
    windows = [NIGHT, window("thu", "10:00", 1.0), window("mon", "10:00", 1.0)]
    assert opens_at(windows, now=at("2026-11-19T03:00")) == at("2026-11-19T10:00")


def test_a_window_without_days_never_opens() -> None:
    assert opens_at([window("", "10:00", 1.0)], now=at("2026-11-19T03:00")) is None


def test_a_window_may_be_open_for_a_week() -> None:
    always = window("mon", "00:00", 7 * 24.0)
    for day in range(15, 25):
        now = at(f"2026-11-{day}T12:34")
        assert opens_at([always], now=now) == now


def test_every_day_opens_on_every_day() -> None:
    daily = window(" ".join(DAYS), "12:00", 1.0)
    for day in range(15, 22):
        assert opens_at([daily], now=at(f"2026-11-{day}T11:00")) == at(f"2026-11-{day}T12:00")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        # Berlin: UTC+1 in winter, UTC+2 in summer; 2026-03-29 and 2026-10-25 are the changes.
        ("2026-03-27T12:00", "2026-03-28T03:00"),
        ("2026-03-29T00:00", "2026-03-29T02:00"),
        ("2026-10-24T12:00", "2026-10-25T03:00"),
        ("2026-07-04T00:00", "2026-07-04T02:00"),
    ],
    ids=["winter", "the day clocks go forward", "the day clocks go back", "summer"],
)
def test_four_in_the_morning_stays_four_in_the_morning(now: str, opens: str) -> None:
    four = window("sat sun", "04:00", 2.0, BERLIN)
    assert opens_at([four], now=at(now)) == at(opens)


def test_a_start_that_clocks_skip_opens_right_after_the_gap() -> None:
    """02:30 is skipped on 2026-03-29 in Berlin: clocks go from 02:00 to 03:00."""
    missing = window("sun", "02:30", 1.0, BERLIN)
    opened = opens_at([missing], now=at("2026-03-28T23:00"))
    assert opened == at("2026-03-29T01:00")
    assert opened.astimezone(ZoneInfo(BERLIN)).strftime("%H:%M") == "03:00"
    assert opens_at([missing], now=at("2026-03-29T02:00")) == at("2026-04-05T00:30")


def test_a_wall_time_that_comes_twice_opens_at_the_first() -> None:
    """02:30 comes twice on 2026-10-25: the window is as long as it says, from the first on."""
    twice = window("sun", "02:30", 1.0, BERLIN)
    assert opens_at([twice], now=at("2026-10-24T12:00")) == at("2026-10-25T00:30")
    assert opens_at([twice], now=at("2026-10-25T01:30")) == at("2026-11-01T01:30")


def test_the_hours_of_a_window_are_real_hours_when_clocks_change() -> None:
    across = window("sun", "01:00", 3.0, BERLIN)  # 01:00 to 05:00 on the clock in March
    assert opens_at([across], now=at("2026-03-29T02:59")) == at("2026-03-29T02:59")
    assert opens_at([across], now=at("2026-03-29T03:00")) == at("2026-04-04T23:00")


def test_the_local_day_counts_not_that_of_utc() -> None:
    monday_in_tokyo = window("mon", "00:30", 1.0, "Asia/Tokyo")
    assert opens_at([monday_in_tokyo], now=at("2026-11-15T12:00")) == at("2026-11-15T15:30")


def cron(text: str, hours: float, timezone: str = "UTC") -> Window:
    return Window(cron=text, hours=hours, timezone=timezone)


@pytest.mark.parametrize(
    ("text", "timezone", "now", "opens"),
    [
        ("0 2 * * sat", BERLIN, "2026-11-24T10:00", "2026-11-28T01:00"),
        ("0 2 8-14 * sat", "UTC", "2026-11-24T10:00", "2026-11-28T02:00"),
        ("0 2 * * sat#2", "UTC", "2026-11-24T10:00", "2026-12-12T02:00"),
        ("0 2 L * *", "UTC", "2026-02-03T10:00", "2026-02-28T02:00"),
        ("0 2 24 11 *", "UTC", "2026-11-24T10:00", "2027-11-24T02:00"),
        ("0 2 29 2 *", "UTC", "2027-03-01T10:00", "2028-02-29T02:00"),
        ("30 2 * * *", BERLIN, "2026-03-28T23:00", "2026-03-29T01:00"),
        ("30 2 * * *", BERLIN, "2026-10-24T23:00", "2026-10-25T00:30"),
        ("30 2 * * *", BERLIN, "2026-10-25T01:30", "2026-10-26T01:30"),
        ("*/20 2 * * *", BERLIN, "2026-03-28T23:00", "2026-03-29T01:00"),
    ],
    ids=[
        "every Saturday",
        "a day of the month or of the week",
        "the second Saturday",
        "the last of the month",
        "once a year",
        "a leap day",
        "a start that clocks skip",
        "a start that comes twice",
        "not at the second of them",
        "several starts within a gap",
    ],
)
def test_a_cron_window_opens_by_wall_time(text: str, timezone: str, now: str, opens: str) -> None:
    assert opens_at([cron(text, 1.0, timezone)], now=at(now)) == at(opens)


def test_a_cron_window_is_open_for_its_hours() -> None:
    evening = cron("0 22 * * wed", 4.0)
    for now in ("2026-11-18T22:00", "2026-11-19T01:59"):
        assert opens_at([evening], now=at(now)) == at(now)
    assert opens_at([evening], now=at("2026-11-19T02:00")) == at("2026-11-25T22:00")


def test_what_opens_in_more_than_400_days_never_opens() -> None:
    leap_day = cron("0 2 29 2 *", 1.0)
    assert opens_at([leap_day], now=at("2027-01-25T02:00")) == at("2028-02-29T02:00")
    assert opens_at([leap_day], now=at("2027-01-25T01:59")) is None


@pytest.mark.parametrize(
    "text", ["0 2 * * *", "*/15 22-23 * * mon-fri", "0 2 L * *", "0 2 * * 5L", "0 2 * jan,JUL 1#1"]
)
def test_a_cron_expression_is_accepted(text: str) -> None:
    check_cron(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has five fields: minute hour"),
        ("0 2 * *", "it has five fields: minute hour"),
        ("0 0 2 * * *", "it has five fields: minute hour"),
        ("@daily", "it has five fields: minute hour"),
        ("60 2 * * *", "'60 2 * * *' is no cron expression: its minute is wrong"),
        ("0 24 * * *", "its hour is wrong"),
        ("0 2 30 feb *", "its day-of-month is wrong"),
        ("0 2 * 13 *", "its month is wrong"),
        ("0 2 * * sun-mon#9", "its day-of-week is wrong"),
        ("0 2 * * " + "1," * 200 + "1", "longer than 200 characters"),
    ],
)
def test_what_is_no_cron_expression_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"is no cron expression") as refused:
        check_cron(text)
    assert why in str(refused.value)


@given(
    st.one_of(
        st.text(max_size=60),
        st.lists(st.text("0123456789*/,-#LW²", max_size=6), min_size=5, max_size=5).map(" ".join),
    )
)
def test_no_text_makes_the_check_of_a_cron_expression_fail_otherwise(text: str) -> None:
    try:
        check_cron(text)
    except ValueError as refused:
        assert "no cron expression" in str(refused)  # noqa: PT017 - either answer is right


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-12-20", "2027-01-06"),
        ("2026-12-24", "2026-12-24"),
        ("12-20", "01-06"),
        ("02-29", "02-29"),
        ("2028-02-29", "2028-03-01"),
    ],
)
def test_the_days_of_a_blackout_are_accepted(first: str, last: str) -> None:
    check_blackout(first, last)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        ("2026-12-20", "01-06", "write both 2026-12-20 and 01-06 with a year"),
        ("12-20", "2027-01-06", "or both without"),
        ("2026-12-20", "2026-12-19", "it ends on 2026-12-19, before it begins"),
        ("2027-12-20", "2026-12-30", "before it begins"),
        ("2027-02-29", "2027-03-01", "2027-02-29 is a day that no calendar has"),
        ("02-30", "03-01", "02-30 is a day that no calendar has"),
        ("12-20", "12-32", "12-32 is a day that no calendar has"),
        ("0226-12-20", "0227-01-06", "the year must be from 2000 to 2999"),
        ("tomorrow", "12-24", "'tomorrow' is no day; write YYYY-MM-DD, or MM-DD"),
        ("12-24", "", "'' is no day"),
        ("12-24\n", "12-24", "is no day"),
        ("1-6", "1-7", "'1-6' is no day"),
    ],
)
def test_what_are_no_days_of_a_blackout_is_refused_with_a_sentence(
    first: str, last: str, why: str
) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        check_blackout(first, last)
    assert why in str(refused.value)


def black(first: str, last: str, timezone: str = "UTC") -> Blackout:
    return Blackout(first=first, last=last, timezone=timezone)


@pytest.mark.parametrize(
    ("blackout", "now", "opens"),
    [
        (black("2026-12-20", "2027-01-06"), "2026-12-19T23:59", "2026-12-19T23:59"),
        (black("2026-12-20", "2027-01-06"), "2026-12-20T00:00", "2027-01-07T00:00"),
        (black("2026-12-20", "2027-01-06"), "2027-01-06T23:59", "2027-01-07T00:00"),
        (black("2026-12-20", "2027-01-06"), "2027-12-24T00:00", "2027-12-24T00:00"),
        (black("12-20", "01-06", BERLIN), "2031-12-19T23:00", "2032-01-06T23:00"),
        (black("12-20", "01-06"), "2027-01-06T12:00", "2027-01-07T00:00"),
        (black("12-20", "01-06"), "2027-01-07T00:00", "2027-01-07T00:00"),
        (black("03-29", "03-29", BERLIN), "2026-03-28T23:00", "2026-03-29T22:00"),
        (black("10-25", "10-25", BERLIN), "2026-10-24T22:00", "2026-10-25T23:00"),
        (black("03-08", "03-08", HAVANA), "2026-03-08T05:00", "2026-03-09T04:00"),
        (black("02-29", "02-29"), "2027-02-28T12:00", "2027-03-01T00:00"),
        (black("02-29", "02-29"), "2028-02-28T12:00", "2028-02-28T12:00"),
        (black("02-29", "02-29"), "2028-02-29T12:00", "2028-03-01T00:00"),
        (black("02-20", "02-29"), "2027-02-28T12:00", "2027-03-01T00:00"),
        (black("02-20", "02-28"), "2028-02-29T00:00", "2028-02-29T00:00"),
        (black("2026-11-01", "2030-11-01"), "2026-11-24T00:00", None),
        (black("01-01", "12-31"), "2026-11-24T00:00", None),
    ],
    ids=[
        "a minute before",
        "as it begins",
        "its last minute",
        "a year later a dated one is over",
        "over New Year, in any year",
        "begun last year",
        "as it ends",
        "a day of 23 hours",
        "a day of 25 hours",
        "a day without its midnight",
        "02-29 is 02-28 in a common year",
        "but not in a leap year",
        "02-29 in a leap year",
        "up to 02-29 in a common year",
        "up to 02-28 leaves 02-29 out",
        "for years",
        "always",
    ],
)
def test_a_blackout_closes_whole_local_days(
    blackout: Blackout, now: str, opens: str | None
) -> None:
    found = opens_at([], now=at(now), blackouts=[blackout])
    assert found == (None if opens is None else at(opens))
    inside = opens != now
    assert bool(blacked_out([blackout], now=at(now))) == inside


def test_a_window_opens_when_a_blackout_ends_within_it() -> None:
    weekend = window("sat", "12:00", 24.0)
    opened = opens_at([weekend], now=at("2026-11-26T00:00"), blackouts=[black("11-28", "11-28")])
    assert opened == at("2026-11-29T00:00")


def test_an_opening_within_a_blackout_is_no_opening() -> None:
    blackouts = [black("11-28", "11-28"), black("2026-12-05", "2026-12-10")]
    opened = opens_at(
        [window("sat", "02:00", 4.0)], now=at("2026-11-26T00:00"), blackouts=blackouts
    )
    assert opened == at("2026-12-12T02:00")


def test_blackouts_in_force_are_told_with_their_ends() -> None:
    year_end, event = black("12-20", "01-06", BERLIN), black("2026-12-22", "2026-12-23")
    over = black("2026-12-01", "2026-12-21")
    told = blacked_out([over, year_end, event], now=at("2026-12-22T12:00"))
    assert told == ((year_end, at("2027-01-06T23:00")), (event, at("2026-12-24T00:00")))


def period(start: str, end: str | None) -> Period:
    return Period(start=at(start), end=None if end is None else at(end))


@pytest.mark.parametrize(
    ("windows", "blackouts", "now", "expected"),
    [
        ([], [], "2026-11-24T10:00", [("2026-11-24T10:00", None)]),
        (
            [],
            [black("2026-11-26", "2026-11-26"), black("2026-11-27", "2026-11-27")],
            "2026-11-24T10:00",
            [("2026-11-24T10:00", "2026-11-26T00:00"), ("2026-11-28T00:00", None)],
        ),
        (
            [],
            [black("01-01", "01-01")],
            "2026-11-28T10:00",
            [
                ("2026-11-28T10:00", "2027-01-01T00:00"),
                ("2027-01-02T00:00", "2028-01-01T00:00"),
                ("2028-01-02T00:00", "2029-01-01T00:00"),
            ],
        ),
        (
            [],
            [black("2030-01-01", "2030-01-01")],
            "2026-11-24T10:00",
            [("2026-11-24T10:00", "2030-01-01T00:00")],
        ),
        (
            [NIGHT],
            [],
            "2026-11-18T23:00",
            [
                ("2026-11-18T23:00", "2026-11-19T02:00"),
                ("2026-11-25T22:00", "2026-11-26T02:00"),
                ("2026-12-02T22:00", "2026-12-03T02:00"),
            ],
        ),
        (
            [NIGHT, window("thu", "01:00", 2.0), window("thu", "03:00", 1.0)],
            [],
            "2026-11-18T12:00",
            [
                ("2026-11-18T22:00", "2026-11-19T04:00"),
                ("2026-11-25T22:00", "2026-11-26T04:00"),
                ("2026-12-02T22:00", "2026-12-03T04:00"),
            ],
        ),
        (
            [NIGHT],
            [black("11-26", "11-26"), black("12-02", "12-02")],
            "2026-11-20T12:00",
            [
                ("2026-11-25T22:00", "2026-11-26T00:00"),
                ("2026-12-03T00:00", "2026-12-03T02:00"),
                ("2026-12-09T22:00", "2026-12-10T02:00"),
            ],
        ),
        (
            [window("wed", "12:00", 48.0)],
            [black("2026-11-26", "2026-11-26")],
            "2026-11-25T12:00",
            [
                ("2026-11-25T12:00", "2026-11-26T00:00"),
                ("2026-11-27T00:00", "2026-11-27T12:00"),
                ("2026-12-02T12:00", "2026-12-04T12:00"),
            ],
        ),
        ([window("mon", "00:00", 168.0)], [], "2026-11-24T10:00", [("2026-11-24T10:00", None)]),
        ([cron("* * * * *", 1.0)], [], "2026-11-24T10:00", [("2026-11-24T10:00", None)]),
        (
            [cron("0 2 24 11 *", 2.0)],
            [],
            "2026-11-24T03:00",
            [("2026-11-24T03:00", "2026-11-24T04:00"), ("2027-11-24T02:00", "2027-11-24T04:00")],
        ),
        ([window("", "10:00", 1.0)], [], "2026-11-24T10:00", []),
    ],
    ids=[
        "without windows it never ends",
        "blackouts cut what is always open",
        "every year, as far as we look and the end of that",
        "also in some years",
        "a running one first",
        "overlapping and touching windows are one",
        "a blackout cuts an end or a beginning",
        "or the middle",
        "a window that is always open",
        "a window that opens every minute",
        "only as far as we look",
        "a window that never opens",
    ],
)
def test_the_next_openings(
    windows: list[Window],
    blackouts: list[Blackout],
    now: str,
    expected: list[tuple[str, str | None]],
) -> None:
    found = openings(windows, blackouts, now=at(now), count=3)
    assert found == [period(*pair) for pair in expected]


def test_as_many_openings_are_told_as_were_asked_for() -> None:
    for count in range(4):
        assert len(openings([NIGHT], [], now=at("2026-11-18T23:00"), count=count)) == count


def test_a_time_in_another_zone_is_understood_and_the_answer_is_utc() -> None:
    now = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo(BERLIN))  # 01:30 UTC
    twice = window("sun", "02:15", 1.25, BERLIN)
    opened = opens_at([twice], now=now)
    assert opened == at("2026-11-01T01:15")
    assert opened.tzinfo is UTC
    always = opens_at([], now=now)
    assert always == at("2026-10-25T01:30")
    assert always.tzinfo is UTC


def test_a_long_window_that_clocks_carry_past_another_midnight_is_still_open() -> None:
    """47.5 h from Saturday 23:45 end on Tuesday 00:15, as clocks go forward on Sunday."""
    long = window("sat", "23:45", 47.5, BERLIN)
    for now in ("2026-03-30T22:10", "2026-03-30T22:14:59"):
        assert opens_at([long], now=at(now)) == at(now)
    assert opens_at([long], now=at("2026-03-30T22:15")) == at("2026-04-04T21:45")


# What follows is a second, slow way to the same answers.

INTERESTING = [
    at(text)
    for text in (
        "2026-03-29T00:00",
        "2026-10-25T00:00",
        "2026-10-25T00:59",
        "2026-03-08T06:00",
        "2026-11-01T05:00",
        "2026-04-04T14:30",
        "2026-10-03T15:00",
        "2026-12-31T23:00",
        "2028-02-28T12:00",
        "2027-02-28T12:00",
        "2026-07-15T12:00",
    )
]
nows = st.builds(
    lambda near, minutes, micro: near + timedelta(minutes=minutes, microseconds=micro),
    st.sampled_from(INTERESTING),
    st.integers(-3 * 1440, 2 * 1440),
    st.sampled_from([0, 1, 30_000_000, 59_999_999]),
)
zones = st.sampled_from(ZONES)
lengths = st.sampled_from([0.25, 0.5, 1.0, 4.5, 24.0, 25.0, 36.0, 168.0])
weekly = st.builds(
    Window,
    days=st.sets(st.sampled_from(DAYS), max_size=3).map(tuple),
    start=st.sampled_from(["00:00", "00:30", "01:59", "02:00", "02:30", "03:00", "12:00", "23:30"]),
    hours=lengths,
    timezone=zones,
)
crons = st.builds(
    Window,
    cron=st.sampled_from(
        [
            "30 2 * * *",
            "*/20 * * * *",
            "0,30 0-3 * * sun",
            "15 2 L * *",
            "0 3 1,29 * *",
            "45 23 * * 5",
            "0 0 29 2 *",
            "0 0-23/2 * * 6,7",
            "0 1 * * sat#2",
        ]
    ),
    hours=lengths,
    timezone=zones,
)
some_windows = st.lists(st.one_of(weekly, crons), max_size=3)
dated = st.builds(
    lambda near, offset, days, zone: black(
        str(near.date() + timedelta(days=offset)),
        str(near.date() + timedelta(days=offset + days)),
        zone,
    ),
    st.sampled_from(INTERESTING),
    st.integers(-4, 9),
    st.integers(0, 5),
    zones,
)
yearly = st.builds(
    black,
    st.sampled_from(["12-20", "02-29", "02-20", "03-08", "10-25", "07-14", "03-30"]),
    st.sampled_from(["01-06", "02-29", "03-01", "10-25", "07-20", "03-29", "12-31"]),
    zones,
)
some_blackouts = st.lists(st.one_of(dated, yearly), max_size=3)
SEEN = timedelta(days=20)


def slow_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    while wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        wall = (wall + timedelta(minutes=1)).replace(fold=0)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def slow_starts(window: Window, now: datetime) -> Iterator[datetime]:
    """Walls at which it opens: cronsim's own iteration, with the weekly windows as cron too."""
    hour, minute = window.start.split(":") if window.start else ("", "")
    text = window.cron or f"{int(minute)} {int(hour)} * * {','.join(window.days)}"
    if not window.cron and not window.days:
        return
    for wall in CronSim(text, now.replace(tzinfo=None) - timedelta(days=9)):
        if wall.replace(tzinfo=UTC) > now + SEEN + timedelta(days=2):
            return
        yield wall


def slow_spans(windows: Sequence[Window], now: datetime) -> list[tuple[datetime, datetime]]:
    found = []
    for window in windows:
        for wall in slow_starts(window, now):
            start = slow_moment(wall, ZoneInfo(window.timezone))
            found.append((start, start + timedelta(hours=window.hours)))
    return found


def is_black(blackout: Blackout, moment: datetime) -> bool:
    day = moment.astimezone(ZoneInfo(blackout.timezone)).date()
    if len(blackout.first) > 5:
        return blackout.first <= str(day) <= blackout.last
    try:
        date(day.year, 2, 29)
        ends = (blackout.first, blackout.last)
    except ValueError:
        ends = (blackout.first.replace("02-29", "02-28"), blackout.last.replace("02-29", "02-28"))
    here = str(day)[5:]
    if blackout.last < blackout.first:
        return here >= ends[0] or here <= ends[1]
    return ends[0] <= here <= ends[1]


def midnights(blackout: Blackout, now: datetime) -> list[datetime]:
    zone = ZoneInfo(blackout.timezone)
    days = (now.date() + timedelta(days=offset) for offset in range(-2, SEEN.days + 3))
    return [slow_moment(datetime.combine(day, time()), zone) for day in days]


@given(some_windows, some_blackouts, nows)
@example([cron("*/20 * * * *", 0.25, BERLIN)], [], at("2026-10-25T01:10"))
@example([window("sun", "03:00", 1.0, BERLIN)], [], at("2026-10-25T01:10:00.5"))
@example([cron("*/20 * * * *", 0.5, LORD_HOWE)], [], at("2026-04-04T15:01"))
def test_the_openings_are_those_that_trying_every_moment_finds(
    windows: list[Window], blackouts: list[Blackout], now: datetime
) -> None:
    spans = slow_spans(windows, now)
    until = now + SEEN

    def is_open(moment: datetime) -> bool:
        opened = not windows or any(start <= moment < end for start, end in spans)
        return opened and not any(is_black(blackout, moment) for blackout in blackouts)

    # Nothing changes between these.
    edges = {now, *(edge for span in spans for edge in span)}
    edges |= {edge for blackout in blackouts for edge in midnights(blackout, now)}
    seen = sorted(edge for edge in edges if now <= edge <= until)

    opened = opens_at(windows, now=now, blackouts=blackouts)
    expected = next((edge for edge in seen if is_open(edge)), None)
    assert opened == expected or (expected is None and (opened is None or opened > until))

    found = openings(windows, blackouts, now=now, count=6)
    assert (found[0].start if found else None) == opened
    for one, following in pairwise(found):
        assert one.end is not None
        assert one.end < following.start
    known = found[-1].end if len(found) == 6 else None
    for edge in seen:
        if known is None or edge <= known:
            inside = any(p.start <= edge and (p.end is None or edge < p.end) for p in found)
            assert inside == is_open(edge), edge


@given(zones, nows)
def test_a_wall_time_has_its_moment_when_clocks_first_reach_it(zone: str, now: datetime) -> None:
    wall = now.replace(tzinfo=None, second=0, microsecond=0)
    assert moment_of(wall, ZoneInfo(zone)) == slow_moment(wall, ZoneInfo(zone))


def took(task: str, windows: Sequence[Window], blackouts: Sequence[Blackout]) -> float:
    """Milliseconds of processor time, the best of three: other tests run at the same time."""
    best = 1e9
    for start in ("2026-11-24T10:00", "2026-11-25T10:00", "2026-11-26T10:00"):
        begun = process_time()
        for second in range(10):
            now = at(start) + timedelta(seconds=second)
            if task == "opens_at":
                opens_at(windows, now=now, blackouts=blackouts)
            else:
                openings(windows, blackouts, now=now, count=3)
        best = min(best, (process_time() - begun) * 100)
    return best


HOLIDAYS = tuple(
    black(f"{month:02}-{day:02}", f"{month:02}-{day + 1:02}", BERLIN)
    for month in range(1, 13)
    for day in (2, 12, 22)
)


@pytest.mark.parametrize(
    ("windows", "blackouts"),
    [
        ([window("sat sun", "02:00", 4.0, BERLIN)], [black("12-20", "01-06", BERLIN)]),
        ([cron("0 2 23 11 *", 4.0, BERLIN)], [black("11-20", "12-10")]),
        ([cron(f"{minute} 2 * 2 mon#5", 168.0, BERLIN) for minute in range(5)], HOLIDAYS),
        ([cron("0 2 3,13,23 * *", 1.0, BERLIN)], HOLIDAYS),
    ],
    ids=["weekly", "yearly", "never", "always within a blackout"],
)
def test_looking_for_an_opening_is_quick(windows: list[Window], blackouts: list[Blackout]) -> None:
    assert took("opens_at", windows, blackouts) < 5  # 0.03 to 0.6 on an idle machine


def test_a_window_of_every_minute_is_told_without_trying_each() -> None:
    assert took("openings", [cron("* * * * *", 1.0, BERLIN)], []) < 100  # 8 on an idle one

"""When a summary is due: once on each of its local days."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.digests import DigestTimes, label, last_due, next_due
from watcher.core.windows import DAYS

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(at: str, days: str = "", timezone: str = "UTC") -> DigestTimes:
    return DigestTimes(at=at, days=tuple(days.split()), timezone=timezone)


@pytest.mark.parametrize(
    ("when", "now", "last", "following", "name"),
    [
        (
            times("08:00"),
            "2026-11-25T07:59",
            "2026-11-24T08:00",
            "2026-11-25T08:00",
            "2026-11-24",
        ),
        (
            times("08:00"),
            "2026-11-25T08:00",
            "2026-11-25T08:00",
            "2026-11-26T08:00",
            "2026-11-25",
        ),
        (
            times("08:00", "mon thu", BERLIN),
            "2026-11-25T12:00",
            "2026-11-23T07:00",
            "2026-11-26T07:00",
            "2026-11-23",
        ),
        (
            times("00:30", "mon", "Asia/Tokyo"),
            "2026-11-25T12:00",
            "2026-11-22T15:30",
            "2026-11-29T15:30",
            "2026-11-23",
        ),
        (
            times("02:30", "", BERLIN),
            "2026-03-29T12:00",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
            "2026-03-29",
        ),
        (
            times("02:30", "", BERLIN),
            "2026-10-25T01:30",
            "2026-10-25T00:30",
            "2026-10-26T01:30",
            "2026-10-25",
        ),
        (
            times("23:30", "", "America/Nuuk"),
            "2026-03-29T12:00",
            "2026-03-29T01:00",
            "2026-03-30T00:30",
            "2026-03-28",
        ),
        (
            times("09:00", "", "Pacific/Apia"),
            "2011-12-30T12:00",
            "2011-12-30T10:00",
            "2011-12-30T19:00",
            "2011-12-30",
        ),
        (
            times("00:00", "", "Pacific/Apia"),
            "2011-12-30T12:00",
            "2011-12-30T10:00",
            "2011-12-31T10:00",
            "2011-12-31",
        ),
    ],
    ids=[
        "a minute before",
        "as it is due",
        "on two days of the week",
        "the local day names it",
        "a time that clocks skip",
        "a time that comes twice",
        "a time that clocks skip up to midnight",
        "a day that a zone skipped",
        "the end of a day that a zone skipped",
    ],
)
def test_a_summary_is_due_by_wall_time(
    when: DigestTimes, now: str, last: str, following: str, name: str
) -> None:
    assert last_due(when, now=at(now)) == at(last)
    assert next_due(when, now=at(now)) == at(following)
    assert label(when, at(last)) == name


ZONES = (
    BERLIN,
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
    "America/Nuuk",
    "Pacific/Chatham",
)
CHANGES = [date(2026, 3, 29), date(2026, 10, 25), date(2026, 3, 8), date(2026, 11, 1)]
CHANGES += [date(2026, 4, 5), date(2026, 10, 4), date(2028, 2, 29), date(2026, 3, 28)]
some_times = st.builds(
    DigestTimes,
    at=st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 15, 30, 59])),
    days=st.one_of(st.just(()), st.sets(st.sampled_from(DAYS), min_size=1).map(tuple)),
    timezone=st.sampled_from(ZONES),
)


@given(some_times, st.sampled_from(CHANGES))
def test_each_local_day_has_exactly_one_summary(when: DigestTimes, change: date) -> None:
    zone = ZoneInfo(when.timezone)
    begin = datetime(change.year, change.month, change.day, tzinfo=UTC) - timedelta(days=10)
    due, named = next_due(when, now=begin), []
    while due < begin + timedelta(days=20):
        assert last_due(when, now=due) == due
        named.append(label(when, due))
        following = next_due(when, now=due)
        assert following > due
        assert last_due(when, now=following - timedelta.resolution) == due
        due = following
    days = [date.fromisoformat(named[0]) + timedelta(days=day) for day in range(30)]
    wanted = [str(day) for day in days if DAYS[day.weekday()] in (when.days or DAYS)]
    assert named == wanted[: len(named)]
    last = (begin + timedelta(days=20)).astimezone(zone).date() - timedelta(days=8)
    assert date.fromisoformat(named[-1]) >= last


@given(some_times, st.sampled_from(CHANGES), st.integers(-2 * 86400, 2 * 86400))
def test_a_summary_is_due_when_clocks_show_its_time(
    when: DigestTimes, change: date, seconds: int
) -> None:
    zone = ZoneInfo(when.timezone)
    now = datetime(change.year, change.month, change.day, tzinfo=UTC) + timedelta(seconds=seconds)
    due = last_due(when, now=now)
    local = due.astimezone(zone)
    shown = local.strftime("%Y-%m-%d %H:%M")
    meant = f"{label(when, due)} {when.at}"
    # Either clocks show it, or they were just put forward over it.
    just_before = (due - timedelta(seconds=1)).astimezone(zone).strftime("%Y-%m-%d %H:%M")
    assert shown == meant or just_before < meant < shown
    assert not local.fold

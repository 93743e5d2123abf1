"""When a pool may be changed: weekly windows, in the pool's own time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from watcher.core.windows import DAYS, Window, opens_at

BERLIN = "Europe/Berlin"


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


def test_a_wall_time_that_does_not_exist_opens_all_the_same() -> None:
    """02:30 is skipped on 2026-03-29 in Berlin: the window opens at what clocks then show."""
    missing = window("sun", "02:30", 1.0, BERLIN)
    opened = opens_at([missing], now=at("2026-03-28T23:00"))
    assert opened == at("2026-03-29T01:30")
    assert opened.astimezone(ZoneInfo(BERLIN)).strftime("%H:%M") == "03:30"


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

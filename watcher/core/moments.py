"""Moments as people write them: `2h`, `tomorrow 14:00`, `2026-12-01 08:00`, `next-window`.

Wall times are those of a zone unless an offset stands behind them. A day alone is its 09:00: people
are there. What clocks skip or show twice is settled as for windows (`windows.moment_of`).
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from watcher.core import windows
from watcher.core.timing import shown
from watcher.core.windows import DAYS, Blackout, Window

WRITTEN = "2h, 1h30m, 3d, tomorrow, tomorrow 14:00, monday, 2026-12-01 08:00 or next-window"
"""What a sentence about a mistake offers."""
NEXT_WINDOW = "next-window"
MORNING = time(9)
MOST_AHEAD = timedelta(days=3653)
"""Ten years: what is further away is a slip of the hand."""
_UNITS = ("weeks", "days", "hours", "minutes")
_DURATION = re.compile("".join(f"(?:([0-9]{{1,6}}){unit[0]})?" for unit in _UNITS))
_WALL = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}|[a-z]+)"
    r"(?:(?: |(?<=[0-9])t)(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?"
    r"(?: ?(?P<offset>z|utc|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)
_WEEKDAYS = {
    name: number
    for number, day in enumerate(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    )
    for name in (day, DAYS[number])
}
_MOST_OFFSET = timedelta(hours=14)
"""Kiritimati; further east is no place."""


def parse_until(
    text: str, *, now: datetime, zone: ZoneInfo, next_window: datetime | None
) -> datetime:
    """Return the moment (UTC, after `now`) that a text means to somebody in `zone`.

    `next_window` is what `next_window()` found. Raise ValueError, with a sentence.
    """
    now, said = now.astimezone(UTC), " ".join(text.lower().split())
    if said == NEXT_WINDOW:
        if next_window is None:
            raise ValueError("no next window is known here; say a time")
        return _ahead(next_window, now)
    if said and (found := _DURATION.fullmatch(said)):
        amounts = (int(amount or 0) for amount in found.groups())
        return _ahead(now, now, timedelta(**dict(zip(_UNITS, amounts, strict=True))))
    if found := _WALL.fullmatch(said):
        return _ahead(_moment(found, now, zone), now)
    raise _no_moment(text)


def next_window(
    own: Sequence[Window], blackouts: Sequence[Blackout], *, now: datetime
) -> datetime | None:
    """Return when a window opens next, one that is open now left aside; None: none does."""
    if not own:
        return None
    openings = windows.openings(own, blackouts, now=now, count=2)
    return next((period.start for period in openings if period.start > now), None)


def _no_moment(text: str) -> ValueError:
    return ValueError(f"{text[:40]!r} is no moment; write {WRITTEN}")


def _ahead(start: datetime, now: datetime, by: timedelta = timedelta()) -> datetime:
    """Return the moment if it lies ahead, and not absurdly far."""
    if by > MOST_AHEAD or start - now > MOST_AHEAD:
        raise ValueError(f"that is more than {MOST_AHEAD.days // 365} years away")
    at = (start + by).astimezone(UTC)
    if at <= now:
        raise ValueError(f"{shown(at)} is over already; it is {shown(now)}")
    return at


def _moment(found: re.Match[str], now: datetime, zone: ZoneInfo) -> datetime:
    offset = _offset(found["offset"]) if found["offset"] else None
    day = _day(found["day"], now.astimezone(offset or zone).date())
    clock = _time(found["time"]) if found["time"] else MORNING
    wall = datetime.combine(day, clock)
    return windows.moment_of(wall, zone) if offset is None else wall.replace(tzinfo=offset)


def _day(said: str, today: date) -> date:
    if said in ("today", "tomorrow"):
        return today + timedelta(days=int(said == "tomorrow"))
    if said in _WEEKDAYS:  # the next one: this day is called today
        return today + timedelta(days=(_WEEKDAYS[said] - today.weekday() - 1) % 7 + 1)
    if said[0].isalpha():
        raise _no_moment(said)
    try:
        day = date.fromisoformat(said)
    except ValueError as error:
        raise ValueError(f"{said} is a day that no calendar has") from error
    if not 2000 <= day.year < 3000:
        raise ValueError(f"{said}: the year must be from 2000 to 2999")
    return day


def _time(said: str) -> time:
    hour, minute, second = (int(part) for part in f"{said}:0".split(":")[:3])
    try:
        return time(hour, minute, second)
    except ValueError as error:
        raise ValueError(f"{said} is no time of day") from error


def _offset(said: str) -> tzinfo:
    if said in ("z", "utc"):
        return UTC
    minutes = int(said[1:3]) * 60 + int(said[-2:] if len(said) > 3 else 0)
    offset = timedelta(minutes=minutes)
    if offset > _MOST_OFFSET:
        raise ValueError(f"{said} is no offset from UTC")
    return timezone(-offset if said[0] == "-" else offset)

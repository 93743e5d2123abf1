"""When a summary is due: once on each of its local days, also when clocks change that day."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from watcher.core.windows import DAYS, moment_of, zone_of

_AROUND = range(-7, 8)
"""Days around today: of a single day of the week, the one before and the one after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestTimes:
    at: str
    """HH:MM, local time of `timezone`."""
    days: tuple[str, ...] = ()
    """Names from windows.DAYS; empty: every day."""
    timezone: str = "UTC"


def last_due(times: DigestTimes, *, now: datetime) -> datetime:
    """Return the newest moment not after `now` at which a summary was due."""
    return max(due for due in _dues(times, now) if due <= now)


def next_due(times: DigestTimes, *, now: datetime) -> datetime:
    """Return the first moment after `now` at which a summary is due."""
    return min(due for due in _dues(times, now) if due > now)


def label(times: DigestTimes, due: datetime) -> str:
    """Return the local day of a summary, which names it once: 2026-11-25."""
    today = due.astimezone(zone_of(times.timezone)).date()
    # A time that clocks skip up to midnight is due as the next day begins, and is still the
    # summary of the day before: the next day has one of its own.
    yesterday = today - timedelta(days=1)
    is_yesterday_s = _due(times, today) != due and _due(times, yesterday) == due
    return str(yesterday if is_yesterday_s else today)


def _dues(times: DigestTimes, now: datetime) -> list[datetime]:
    today = now.astimezone(zone_of(times.timezone)).date()
    days = (today + timedelta(days=offset) for offset in _AROUND)
    return [_due(times, day) for day in days if DAYS[day.weekday()] in (times.days or DAYS)]


def _due(times: DigestTimes, day: date) -> datetime:
    hour, minute = (int(part) for part in times.at.split(":"))
    wall = datetime.combine(day, time(hour, minute))
    return moment_of(wall, zone_of(times.timezone))

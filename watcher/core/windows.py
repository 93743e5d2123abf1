"""When a pool may be changed: weekly windows in the pool's own time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    days: tuple[str, ...]
    """Names from DAYS: the days on which it opens."""
    start: str
    """HH:MM, local time of `timezone`."""
    hours: float
    """How long it stays open."""
    timezone: str = "UTC"


def opens_at(windows: Sequence[Window], *, now: datetime) -> datetime | None:
    """Return `now` if a window is open (or there are none), else when the next one opens.

    None: there are windows, and none opens within the next eight days.
    """
    if not windows:
        return now
    openings = [at for window in windows for at in _openings(window, now)]
    return min((max(at, now) for at in openings), default=None)


def _openings(window: Window, now: datetime) -> list[datetime]:
    """Openings of one window that are not over yet, from yesterday's (it may run past midnight)."""
    zone = ZoneInfo(window.timezone)
    local = now.astimezone(zone)
    hour, minute = (int(part) for part in window.start.split(":"))
    found = []
    for offset in range(-7, 9):  # a window may be open for up to a week
        day = local.date() + timedelta(days=offset)
        if DAYS[day.weekday()] not in window.days:
            continue
        # Local wall time is what people mean: 02:00 stays 02:00 when clocks change.
        start = datetime.combine(day, time(hour, minute), tzinfo=zone).astimezone(now.tzinfo)
        if start + timedelta(hours=window.hours) > now:
            found.append(start)
    return found

"""When a pool may be changed: windows that open it, blackouts that close it, in named time zones.

Wall time is what people mean: 02:00 stays 02:00 when clocks change. A wall time that clocks skip is
right after the gap, one that comes twice is its first; `hours` are real hours. All results are UTC.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import isleap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD = timedelta(days=400)
"""How far ahead an opening is looked for: a yearly one, with a long blackout on its day."""
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")
_LEAP = 2000
"""A year that has every day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Opens on `days` at `start`, or when `cron` says."""

    days: tuple[str, ...] = ()
    """Names from DAYS: the days on which it opens."""
    start: str = ""
    """HH:MM, local time of `timezone`."""
    cron: str = ""
    """Five fields, local time of `timezone`; then `days` and `start` are empty."""
    hours: float
    """How long it stays open."""
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackout:
    """Whole local days on which nothing is begun, the last one included."""

    first: str
    """YYYY-MM-DD, or MM-DD for every year. 02-29 is the last of February where there is none."""
    last: str
    """Written like `first`. A yearly one that ends before it begins runs over New Year."""
    timezone: str = "UTC"
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    start: datetime
    end: datetime | None
    """The first moment after it; None: it does not end, as far ahead as we look."""


@dataclass(frozen=True, slots=True, eq=False)
class _Starts:
    """When a window opens: on days that `on` knows, at each of `minutes` after midnight."""

    minutes: tuple[int, ...]
    on: Callable[[date], bool]


class _Span(NamedTuple):
    """What is blacked out, from a moment to another."""

    start: datetime
    end: datetime


def check_cron(text: str) -> None:
    """Raise ValueError, with a sentence, for what is no cron expression of five fields."""
    _cron(text)


def check_blackout(first: str, last: str) -> None:
    """Raise ValueError, with a sentence, for what are no two days of a blackout."""
    (from_year, *begins), (to_year, *ends) = _read_day(first), _read_day(last)
    if (from_year is None) != (to_year is None):
        raise ValueError(f"write both {first} and {last} with a year, or both without (every year)")
    if from_year is not None and to_year is not None and (to_year, ends) < (from_year, begins):
        raise ValueError(f"it ends on {last}, before it begins on {first}")


def opens_at(
    windows: Sequence[Window], *, now: datetime, blackouts: Sequence[Blackout] = ()
) -> datetime | None:
    """Return `now` if it is open, else when it opens next; without windows it is open.

    None: nothing opens within LOOK_AHEAD.
    """
    now = now.astimezone(UTC)
    return _opens(windows, _spans(tuple(blackouts), now.year), now, now + LOOK_AHEAD)


def openings(
    windows: Sequence[Window], blackouts: Sequence[Blackout], *, now: datetime, count: int
) -> list[Period]:
    """Return the next `count` periods in which it is open; one that runs begins `now`."""
    at = now.astimezone(UTC)
    limit, black = at + LOOK_AHEAD, _spans(tuple(blackouts), at.year)
    found: list[Period] = []
    while len(found) < count and (start := _opens(windows, black, at, limit)) is not None:
        end = _closes(windows, start, limit)
        cut = bisect_right(black, start, key=_start_of)
        if cut < len(black) and (end is None or black[cut].start < end):
            end = black[cut].start
        found.append(Period(start=start, end=end))
        if end is None:
            break
        at = end
    return found


def blacked_out(
    blackouts: Iterable[Blackout], *, now: datetime
) -> tuple[tuple[Blackout, datetime], ...]:
    """Return the blackouts in force, each with the moment at which it ends."""
    now = now.astimezone(UTC)
    found = []
    for blackout in blackouts:
        every = _spans_of(blackout, now.year)
        ends = [span.end for span in every if span.start <= now < span.end]
        if ends:
            found.append((blackout, max(ends)))
    return tuple(found)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; kept, because ZoneInfo itself keeps only the last few."""
    return ZoneInfo(name)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) at which clocks of a zone first show, or have passed, a wall time."""
    before = _offset(wall.replace(tzinfo=zone, fold=0))
    after = _offset(wall.replace(tzinfo=zone, fold=1))
    utc = wall.replace(tzinfo=UTC)
    if after <= before:
        return utc - before
    # Skipped: PEP 495 gives the offsets before and after the gap for fold 0 and 1.
    return _change(zone, utc - after, utc - before)


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None, "it has a time zone"
    return offset


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the moment between two at which the clocks of a zone change."""
    before = before.replace(microsecond=0)
    seconds = range(int((after - before).total_seconds()) + 1)
    old = _offset(before.astimezone(zone))

    def changed(second: int) -> bool:
        return _offset((before + timedelta(seconds=second)).astimezone(zone)) != old

    return before + timedelta(seconds=bisect_left(seconds, True, key=changed))


def _reached(at: datetime, zone: ZoneInfo) -> datetime:
    """Return the latest wall time whose moment is not after `at`."""
    local = at.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    if not local.fold:
        return wall
    # Clocks went back: what they show now had its moment the first time they showed it, and so
    # had everything up to where they were turned.
    first = moment_of(wall, zone)
    turned = _change(zone, first, at)
    return (turned + _offset(local.replace(fold=0))).replace(tzinfo=None) - timedelta.resolution


@lru_cache(maxsize=1024)
def _cron(text: str) -> _Starts:
    """The only function that knows cronsim, and only its reading: clocks are our own business."""
    said = f"{text[:60]!r} is no cron expression"
    if len(text) > 200:
        raise ValueError(f"{said}: it is longer than 200 characters")
    if len(text.split()) != 5:
        raise ValueError(f"{said}; it has five fields: minute hour day-of-month month day-of-week")
    try:
        cron = CronSim(text, datetime.combine(date(_LEAP, 1, 1), time()))
    except CronSimError as error:
        raise ValueError(f"{said}: its {str(error).removeprefix('Bad ')} is wrong") from error
    minutes = sorted(hour * 60 + minute for hour in cron.hours for minute in cron.minutes)
    return _Starts(tuple(minutes), lambda day: day.month in cron.months and cron.match_day(day))


@lru_cache(maxsize=1024)
def _weekly(days: tuple[str, ...], start: str) -> _Starts:
    hour, minute = (int(part) for part in start.split(":"))
    weekdays = {DAYS.index(day) for day in days}
    return _Starts((hour * 60 + minute,), lambda day: day.weekday() in weekdays)


def _starts(window: Window) -> _Starts:
    return _cron(window.cron) if window.cron else _weekly(window.days, window.start)


@lru_cache(maxsize=1024)
def _run_ends(minutes: tuple[int, ...], hours: float) -> tuple[int, ...]:
    """For each start of a day the last one of that day before which it never closes."""
    ends = list(minutes)
    for index, (start, after) in reversed(list(enumerate(pairwise(minutes)))):
        if timedelta(minutes=after - start) <= timedelta(hours=hours):
            ends[index] = ends[index + 1]
    return tuple(ends)


def _wall(day: date, minute: int) -> datetime:
    return datetime.combine(day, time(minute // 60, minute % 60))


def _open_until(window: Window, at: datetime) -> datetime | None:
    """Return until when, at least, a window stays open; None: it is closed."""
    zone, starts = zone_of(window.timezone), _starts(window)
    wall = _reached(at, zone)
    today = bisect_right(starts.minutes, wall.hour * 60 + wall.minute)
    length = timedelta(hours=window.hours)
    for back in range(length.days + 3):  # the newest start counts: all are open equally long
        index = (today if back == 0 else len(starts.minutes)) - 1
        day = wall.date() - timedelta(days=back)
        if index < 0 or not starts.on(day):
            continue
        begun = _wall(day, starts.minutes[index])
        end = moment_of(begun, zone) + length
        if end <= at:
            return None
        # One step for all starts of the day, where none of its clocks change: every minute may
        # be a start, and we look ahead for a year.
        last = _wall(day, _run_ends(starts.minutes, window.hours)[index])
        if last != begun and _offset(last.replace(tzinfo=zone)) == _offset(
            begun.replace(tzinfo=zone)
        ):
            return moment_of(last, zone) + length
        return end
    return None


def _next_start(window: Window, at: datetime, limit: datetime) -> datetime | None:
    """Return the first start after `at` up to `limit`."""
    zone, starts = zone_of(window.timezone), _starts(window)
    wall = _reached(at, zone)
    index = bisect_right(starts.minutes, wall.hour * 60 + wall.minute)
    day: date | None = wall.date()
    if index == len(starts.minutes) or not starts.on(wall.date()):
        index, day = 0, _day_after(starts, wall.date())
    if day is None:
        return None
    start = moment_of(_wall(day, starts.minutes[index]), zone)
    return start if start <= limit else None


@lru_cache(maxsize=4096)
def _day_after(starts: _Starts, day: date) -> date | None:
    """Return the next day with a start; kept, as a yearly one is hundreds of days away."""
    days = (day + timedelta(days=ahead) for ahead in range(1, LOOK_AHEAD.days + 2))
    return next((one for one in days if starts.on(one)), None)


def _opens(
    windows: Sequence[Window], black: Sequence[_Span], at: datetime, limit: datetime
) -> datetime | None:
    """Return the first moment from `at` to `limit` with an open window and no blackout."""
    while at <= limit:
        if windows and not any(_open_until(window, at) for window in windows):
            starts = [_next_start(window, at, limit) for window in windows]
            known = [start for start in starts if start is not None]
            if not known:
                return None
            at = min(known)
        index = bisect_right(black, at, key=_start_of) - 1
        if index < 0 or at >= black[index].end:
            return at
        at = black[index].end
    return None


def _closes(windows: Sequence[Window], at: datetime, limit: datetime) -> datetime | None:
    """Return when the last of the windows that are open, one into another, closes."""
    if not windows:
        return None
    while at <= limit:
        ends = [end for window in windows if (end := _open_until(window, at)) is not None]
        if not ends:
            return at
        at = max(ends)
    return None


def _start_of(span: _Span) -> datetime:
    return span.start


@lru_cache(maxsize=1024)
def _spans(blackouts: tuple[Blackout, ...], year: int) -> tuple[_Span, ...]:
    """Return what is blacked out, in order and without overlaps, as it is seen from a year."""
    merged: list[_Span] = []
    for span in sorted(span for one in blackouts for span in _spans_of(one, year)):
        if merged and span.start <= merged[-1].end:
            merged[-1] = _Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def _spans_of(blackout: Blackout, year: int) -> list[_Span]:
    if _read_day(blackout.first)[0] is not None:
        return [_span(blackout, 0)]
    # One may have begun last year. LOOK_AHEAD ends in the year after next at the latest, and the
    # blackout that ends what is open then is in the third.
    return [_span(blackout, year + offset) for offset in range(-1, 4)]


@lru_cache(maxsize=4096)
def _span(blackout: Blackout, year: int) -> _Span:
    """Return a blackout as it is in one year, counted by its first day; a dated one in any."""
    from_year, *begins = _read_day(blackout.first)
    to_year, *ends = _read_day(blackout.last)
    zone = zone_of(blackout.timezone)
    first = _day(year if from_year is None else from_year, *begins)
    last = _day(year + (ends < begins) if to_year is None else to_year, *ends)
    midnights = (first, last + timedelta(days=1))
    return _Span(*(moment_of(datetime.combine(day, time()), zone) for day in midnights))


def _day(year: int, month: int, day: int) -> date:
    return date(year, month, 28 if (month, day) == (2, 29) and not isleap(year) else day)


@lru_cache(maxsize=4096)
def _read_day(text: str) -> tuple[int | None, int, int]:
    """Read YYYY-MM-DD or MM-DD; raise ValueError."""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is no day; write YYYY-MM-DD, or MM-DD for every year")
    year, month, day = (None if part is None else int(part) for part in found.groups())
    assert month is not None and day is not None, "the pattern requires them"  # noqa: PT018
    if year is not None and not 2000 <= year < 3000:
        raise ValueError(f"{text}: the year must be from 2000 to 2999")
    try:
        date(_LEAP if year is None else year, month, day)
    except ValueError as error:
        raise ValueError(f"{text} is a day that no calendar has") from error
    return year, month, day

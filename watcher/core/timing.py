"""Whether an update may be begun now: windows, blackouts, freezes, minimum age and snoozes.

All that is in the way is told at once, together with the first moment at which nothing that is
known today will be: at that moment the same facts give a yes, and not a moment earlier.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watcher.core import windows
from watcher.core.windows import Blackout, Window

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A person's order not to begin anything. Of a single pool it is called a hold."""

    scope: str
    """Where: "" everywhere, `prod` in one cluster, `prod/infra` in one pool."""
    by: str
    because: str
    at: datetime
    """When it was ordered. It is in force at once, by every clock, also by one that is behind."""
    until: datetime | None
    """The first moment after it; None: until a person ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Everything about one pool that says when an update may be begun."""

    windows: tuple[Window, ...] = ()
    blackouts: tuple[Blackout, ...] = ()
    min_age_seconds: int = 0
    """How long a release must have been known before it is taken."""
    freezes: tuple[Freeze, ...] = ()
    """Those of this pool; see `in_force`."""
    release_seen_at: datetime | None = None
    """When the release was first seen; None: nobody knows."""
    snoozed_until: datetime | None = None
    snoozed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    allowed: bool
    reasons: tuple[str, ...]
    """Everything that is in the way; empty if it is allowed."""
    opens_at: datetime | None
    """The first moment at which all that is known today allows it; None: there is none."""


def in_force(
    freezes: Iterable[Freeze], cluster: str, pool: str, *, now: datetime
) -> tuple[Freeze, ...]:
    """Return the freezes that keep updates of one pool from being begun now."""
    scopes = ("", cluster, f"{cluster}/{pool}")
    return tuple(one for one in freezes if one.scope in scopes and _is_on(one.until, now))


def verdict(timing: Timing, *, now: datetime) -> Verdict:
    """Return whether an update may be begun now, why not, and when it first may."""
    now = now.astimezone(UTC)
    waits = _waits(timing, now)
    reasons = (*_closed(timing, now), *(sentence for sentence, _ in waits))
    if not reasons:
        return Verdict(allowed=True, reasons=(), opens_at=now)
    at: datetime | None = now
    for _, until in waits:
        at = None if at is None or until is None else max(at, until.astimezone(UTC))
    if at is not None:
        at = windows.opens_at(timing.windows, now=at, blackouts=timing.blackouts)
    return Verdict(allowed=False, reasons=reasons, opens_at=at)


def short_duration(seconds: int) -> str:
    """Return a duration in the largest unit that gives a whole number: 3d, 12h, 90m, 45s."""
    for length, unit in _UNITS:
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def shown(at: datetime) -> str:
    """Return a moment as it stands in sentences: 2026-11-24 10:00 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def freeze_sentence(freeze: Freeze) -> str:
    """Return who froze or held it, until when, and why."""
    word = "held" if "/" in freeze.scope else "frozen"
    end = "somebody ends it" if freeze.until is None else shown(freeze.until)
    why = f": {freeze.because}" if freeze.because else ""
    return f"{word} by {freeze.by} until {end}{why}"


def _is_on(until: datetime | None, now: datetime) -> bool:
    # In UTC: two times of the same zone are compared by what its clocks show.
    return until is None or now.astimezone(UTC) < until.astimezone(UTC)


def _closed(timing: Timing, now: datetime) -> list[str]:
    """Windows and blackouts that are in the way."""
    found = []
    if windows.opens_at(timing.windows, now=now) != now:
        opens = windows.opens_at(timing.windows, now=now, blackouts=timing.blackouts)
        found.append(
            f"no window opens within {windows.LOOK_AHEAD.days} days"
            if opens is None
            else f"the next window opens {shown(opens)}"
        )
    for blackout, end in windows.blacked_out(timing.blackouts, now=now):
        why = f": {blackout.reason}" if blackout.reason else ""
        found.append(f"blackout until {shown(end)}{why}")
    return found


def _waits(timing: Timing, now: datetime) -> list[tuple[str, datetime | None]]:
    """What else is in the way, each with its end; None: it has none that is known."""
    found: list[tuple[str, datetime | None]] = [
        (freeze_sentence(freeze), freeze.until)
        for freeze in timing.freezes
        if _is_on(freeze.until, now)
    ]
    if timing.min_age_seconds > 0:
        min_age = timedelta(seconds=timing.min_age_seconds)
        waits = f"this policy waits {short_duration(timing.min_age_seconds)}"
        seen = timing.release_seen_at
        if seen is None:
            found.append((f"it is not known when the release was first seen; {waits}", None))
        elif _is_on(old := seen.astimezone(UTC) + min_age, now):
            found.append((f"release first seen {shown(seen)}; {waits}", old))
    until, who = timing.snoozed_until, timing.snoozed_by or "somebody"
    if until is not None and _is_on(until, now):
        found.append((f"snoozed by {who} until {shown(until)}", until))
    return found

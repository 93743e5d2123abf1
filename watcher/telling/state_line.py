"""The state of an update as one line that people can scan, and when it changes by itself.

Durations move in steps: a message that was edited every second would say nothing more.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from watcher.core import approval
from watcher.core.build import BuildState
from watcher.core.letters import Severity
from watcher.core.update import Update, missing
from watcher.core.update_events import UpdateState as S

STEPS = ((timedelta(minutes=5), 1), (timedelta(hours=1), 5), (timedelta.max, 30))
"""Up to this long a duration is told in steps of so many minutes."""
SEVERITIES: Mapping[S, Severity] = {
    S.STUCK: Severity.CRITICAL,
    S.ROLLING_BACK: Severity.CRITICAL,
    S.ROLLED_BACK: Severity.WARNING,
    S.FAILED: Severity.WARNING,
    S.EXPIRED: Severity.WARNING,
}
ENDS: Mapping[S, str] = {
    S.DONE: "done",
    S.REJECTED: "rejected",
    S.EXPIRED: "expired",
    S.SUPERSEDED: "superseded",
    S.FAILED: "failed",
    S.ROLLED_BACK: "rolled back",
    S.STUCK: "STUCK, a person is needed",
}


def severity(update: Update) -> Severity:
    """Return how soon somebody should look."""
    return SEVERITIES.get(update.state, Severity.INFO)


def severities(update: Update) -> tuple[Severity, ...]:
    """Return the severities of all states that it has been in, and is in."""
    been = (SEVERITIES.get(S(state), Severity.INFO) for state, _ in update.times)
    return tuple(dict.fromkeys((*been, severity(update))))


def line(
    update: Update,
    progress: Mapping[str, object],
    *,
    build_state: str,
    zone: ZoneInfo,
    now: datetime,
) -> str:
    """Return the line. Its days are told as on the day when the update came into its state, or
    was proposed: at midnight it stays as it is."""
    if update.state in ENDS:
        return f"{ENDS[update.state]} {clock(update.changed_at, zone, told=update.created_at)}"
    match update.state:
        case S.WAITING_FOR_BUILD:
            word = {BuildState.BUILDING: "building", BuildState.VERIFYING: "verifying"}
            doing = word.get(BuildState(build_state)) if build_state else None
            return f"{doing or 'waiting for its build'} {lasted(now - since(update))}"
        case S.AWAITING_APPROVAL:
            if update.snoozed_until is not None and now < update.snoozed_until:
                return f"snoozed until {clock(update.snoozed_until, zone, told=since(update))}"
            rules = update.policy.approval
            given = len(approval.voters(rules, update.binding, update.votes))
            # Of what it takes: with the two-person rule that can be one more than the quorum.
            takes = max(1, rules.quorum, given + (0 if rules.auto else missing(update)))
            return f"awaiting {given} of {takes}"
        case S.SCHEDULED:
            at = scheduled_for(progress)
            if at is not None and at > now:
                return f"scheduled for {clock(at, zone, told=since(update))}"
            return "scheduled"
        case S.ROLLING_OUT | S.ROLLING_BACK:
            word_of = "rolling out" if update.state is S.ROLLING_OUT else "going back"
            total = progress.get("total")
            return f"{word_of} {progress.get('updated', 0)}/{total} nodes" if total else word_of
        case S.SOAKING:
            until = since(update) + timedelta(seconds=update.policy.soak_seconds)
            return f"soaking until {clock(until, zone, told=since(update))}"
        case _:
            return str(update.state).replace("-", " ")


def next_step(update: Update, progress: Mapping[str, object], *, now: datetime) -> datetime | None:
    """Return when the line changes though nothing happens, if it does."""
    if update.state is S.WAITING_FOR_BUILD:
        began = since(update)
        minutes = _minutes(now - began)
        return began + timedelta(minutes=minutes + _step(now - began))
    ends = {S.AWAITING_APPROVAL: update.snoozed_until, S.SCHEDULED: scheduled_for(progress)}
    at = ends.get(update.state)
    return at if at is not None and now < at else None


def since(update: Update) -> datetime:
    """Return when it came into its present state."""
    return next((at for state, at in reversed(update.times) if state == update.state), None) or (
        update.changed_at
    )


def scheduled_for(progress: Mapping[str, object]) -> datetime | None:
    """Return when windows and the like allow it, as the handler last said."""
    said = progress.get("scheduled_for")
    try:
        return datetime.fromisoformat(said) if isinstance(said, str) and said else None
    except ValueError:
        return None


def clock(at: datetime, zone: ZoneInfo, *, told: datetime) -> str:
    """Return the local time, with its day where that is not the day on which it is told."""
    local, today = at.astimezone(zone), told.astimezone(zone).date()
    if local.date() == today:
        return f"{local:%H:%M}"
    if abs((local.date() - today).days) < 7:
        return f"{local:%a %H:%M %Z}"
    return f"{local:%a %Y-%m-%d %H:%M %Z}"


def lasted(duration: timedelta) -> str:
    """Return a duration in steps: `<1m`, `3m`, `25m`, `2h30m`."""
    minutes = _minutes(duration)
    if minutes < 1:
        return "<1m"
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest:02}m" if hours else f"{minutes}m"


def _step(duration: timedelta) -> int:
    return next(step for below, step in STEPS if duration < below)


def _minutes(duration: timedelta) -> int:
    whole = max(0, int(duration.total_seconds() // 60))
    step = _step(duration)
    return whole // step * step

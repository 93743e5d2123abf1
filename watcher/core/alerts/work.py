"""Rules about updates, builds and the queue."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from watcher.core.alerts.model import (
    Case,
    Facts,
    Limits,
    Rule,
    cause_of,
    cluster_of,
    level,
    next_level,
    utc,
)
from watcher.core.causes import same
from watcher.core.timing import shown

_LATE = re.compile(r"should have ended by (\d{4}-\d{2}-\d{2} \d{2}:\d{2}) UTC")
"""By when a rollout should have ended, as `rollout` says it."""


def cases(facts: Facts, limits: Limits) -> Iterator[Case]:
    """Return what holds of the work that is under way, or is not."""
    yield from _approvals(facts, limits)
    yield from _late(facts, limits)
    yield from _failing(facts, limits)
    yield from _queue(facts, limits)


def _approvals(facts: Facts, limits: Limits) -> Iterator[Case]:
    limit = limits.alerts.approval_seconds
    for place, asked in facts.asked.items():
        since, update = utc(asked), facts.active.get(place)
        severity = level(limit, (facts.now - since).total_seconds())
        if severity is None or update is None:
            continue
        release = update.target.release_version
        yield Case(
            rule=Rule.APPROVAL_WAITING,
            place=place,
            cause=cause_of(Rule.APPROVAL_WAITING, f"{cluster_of(place)} {release}"),
            severity=severity,
            what=release,
            sentence=f"{update.id} waits for people since {shown(since)}; approve, reject or snooze"
            " it",
            at=since,
            wait=limits.wait(Rule.APPROVAL_WAITING),
            changes_at=next_level(limit, since, facts.now),
        )


def _late(facts: Facts, limits: Limits) -> Iterator[Case]:
    """Rollouts that should have ended; each is a cause of its own."""
    limit = limits.alerts.stalled_seconds
    for place, said in facts.late.items():
        by = min(_should_end(said) or facts.now, facts.now)
        severity = level(limit, (facts.now - by).total_seconds())
        if severity is None:
            continue
        yield Case(
            rule=Rule.ROLLOUT_STALLED,
            place=place,
            cause=cause_of(Rule.ROLLOUT_STALLED, place),
            severity=severity,
            sentence=said or "it should have ended by now",
            at=by,
            wait=limits.wait(Rule.ROLLOUT_STALLED),
            changes_at=next_level(limit, by, facts.now),
        )


def _should_end(said: str) -> datetime | None:
    found = _LATE.search(said)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _failing(facts: Facts, limits: Limits) -> Iterator[Case]:
    for place, failing in facts.failing.items():
        severity = level(limits.alerts.builds_failed, failing.number)
        if severity is None:
            continue
        many = "its newest build" if failing.number == 1 else f"the last {failing.number} builds"
        yield Case(
            rule=Rule.BUILD_FAILING,
            place=place,
            cause=cause_of(Rule.BUILD_FAILING, f"{failing.recipe} {same(failing.because, '', '')}"),
            severity=severity,
            what=failing.recipe,
            sentence=f"{many} failed: {failing.because}; `relayer history` shows the log of"
            f" {failing.build}",
            at=min(utc(failing.since), facts.now),
            wait=limits.wait(Rule.BUILD_FAILING),
        )


def _queue(facts: Facts, limits: Limits) -> Iterator[Case]:
    limit = limits.alerts.queue_seconds
    for kind, seconds in facts.queue.items():
        severity = level(limit, seconds)
        if severity is None:
            continue
        since = facts.now - timedelta(seconds=seconds)
        yield Case(
            rule=Rule.QUEUE_NOT_MOVING,
            place="",
            cause=cause_of(Rule.QUEUE_NOT_MOVING, kind),
            severity=severity,
            what=kind,
            sentence=f"one is due since {shown(since)}: all workers are busy, or none runs",
            at=since,
            wait=limits.wait(Rule.QUEUE_NOT_MOVING),
            changes_at=next_level(limit, since, facts.now),
        )

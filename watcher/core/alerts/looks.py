"""Rules about configured pools, from the looks at them, and about what is not seen at all."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from watcher.core.alerts.model import (
    NEVER,
    Case,
    Facts,
    Limits,
    Rule,
    View,
    cause_of,
    cluster_of,
    counted,
    level,
    next_level,
    text_of,
)
from watcher.core.causes import same
from watcher.core.letters import Severity
from watcher.core.sight import is_ahead
from watcher.core.state import Flag, Surveyed
from watcher.core.timing import freeze_sentence, in_force, shown
from watcher.core.update_events import UpdateState

STALE_LOOKS = 3
"""Part of the time without a look for which this must have been seen: after the service was down
every look is old, and a moment later none is."""
Flags = Mapping[str, frozenset[Flag]]
"""By place."""


def cases(facts: Facts, limits: Limits) -> Iterator[Case]:
    """Return what holds of each configured pool, and of each cluster as a whole."""
    flags: Flags = {
        f"{f.cluster}/{f.pool}": frozenset(one.flag for one in f.flags)
        for s in facts.surveyed
        for f in s.findings
        if f.flags
    }
    blind = {one.cluster for one in facts.surveyed if limits.is_unseen(one, facts.now)}
    for view in facts.views:
        cluster = text_of(view, "cluster")
        place = f"{cluster}/{text_of(view, 'pool')}"
        yield from _of_decision(view, place, flags, facts, limits)
        if cluster not in blind:
            yield from _unseen(view, place, facts, limits)
        yield from _frozen(view, place, facts, limits)
    for surveyed in facts.surveyed:
        if surveyed.cluster in blind:
            yield from _blind(surveyed, facts, limits)


# --- what was decided ----------------------------------------------------------------------------


def _of_decision(
    view: View, place: str, flags: Flags, facts: Facts, limits: Limits
) -> Iterator[Case]:
    cluster, because = text_of(view, "cluster"), text_of(view, "because")
    at = min(_at(view) or facts.now, facts.now)
    if _is_trouble(view):
        yield from _held(view, place, flags.get(place, frozenset()), facts, limits)
    elif view.get("only_told") is True:
        release = text_of(view, "expected_release")
        yield Case(
            rule=Rule.AVAILABLE,
            place=place,
            cause=cause_of(Rule.AVAILABLE, f"{cluster} {release}"),
            severity=Severity.INFO,
            what=release,
            sentence=f"{because}; its policy only tells of it: `relayer rebuild {place}` asks"
            " for it",
            at=at,
            wait=limits.wait(Rule.AVAILABLE),
        )
    if unproven := text_of(view, "unverified"):
        yield Case(
            rule=Rule.UNVERIFIED,
            place=place,
            cause=cause_of(Rule.UNVERIFIED, same(unproven, cluster, text_of(view, "pool"))),
            severity=Severity.WARNING,
            sentence=unproven,
            at=at,
            wait=limits.wait(Rule.UNVERIFIED),
        )


def _is_trouble(view: View) -> bool:
    """Whether a pool is held for something that a person shall do something about."""
    if view.get("decision") != "Hold" or text_of(view, "stock_by"):
        return False  # stock: it runs what somebody wants it to run
    update = text_of(view, "update")
    # Held for its own update (paused until the next window): the update's message tells of it.
    return not (update and update in text_of(view, "because"))


def _held(
    view: View, place: str, flags: frozenset[Flag], facts: Facts, limits: Limits
) -> Iterator[Case]:
    """A pool that is held, under the rule that says most about why."""
    cluster, pool, because = (text_of(view, name) for name in ("cluster", "pool", "because"))
    rule = _rule_of_hold(place, because, flags, facts, limits)
    if rule in (Rule.BUILD_FAILING, Rule.DEGRADED):
        return  # told there, once for all pools with that cause
    of = {Rule.UPDATE_STUCK: place, Rule.PAUSED: cluster}.get(rule, same(because, cluster, pool))
    yield Case(
        rule=rule,
        place=place,
        cause=cause_of(rule, of),
        severity=Severity.CRITICAL if rule is Rule.UPDATE_STUCK else Severity.WARNING,
        sentence=because,
        at=min(_at(view) or facts.now, facts.now),
        # One that is left paused by an update gets no image, so it is told sooner than others.
        wait=limits.wait(Rule.HELD if rule is Rule.PAUSED else rule),
    )


def _rule_of_hold(
    place: str, because: str, flags: frozenset[Flag], facts: Facts, limits: Limits
) -> Rule:
    ended, failing = facts.ended.get(place), facts.failing.get(place)
    found = Rule.HELD
    if ended and ended.state is UpdateState.STUCK and place not in facts.active:
        found = Rule.UPDATE_STUCK
    elif failing and failing.build in because:
        found = Rule.BUILD_FAILING
    elif Flag.DEGRADED in flags and "the pool is degraded" in because:
        found = Rule.DEGRADED
    elif Flag.PAUSED in flags and "paused by Relayer" in because:
        found = Rule.PAUSED
    return found if limits.is_on(found) else Rule.HELD


def _at(view: View) -> datetime | None:
    try:
        at = datetime.fromisoformat(text_of(view, "at"))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


# --- frozen --------------------------------------------------------------------------------------


def _frozen(view: View, place: str, facts: Facts, limits: Limits) -> Iterator[Case]:
    if not facts.freezes:
        return
    cluster, pool, now = text_of(view, "cluster"), text_of(view, "pool"), facts.now
    for freeze in in_force(facts.freezes, cluster, pool, now=now):
        yield Case(
            rule=Rule.FROZEN,
            place=place,
            cause=cause_of(Rule.FROZEN, freeze.scope),
            severity=Severity.INFO,
            what=freeze.scope,
            sentence=freeze_sentence(freeze),
            at=min(freeze.at.astimezone(UTC), now),
            wait=limits.wait(Rule.FROZEN),
            changes_at=freeze.until.astimezone(UTC) if freeze.until else None,
        )


# --- not seen ------------------------------------------------------------------------------------


def _unseen(view: View, place: str, facts: Facts, limits: Limits) -> Iterator[Case]:
    """Looks at a pool do not end, though its cluster is seen: the same cause, and only a warning,
    as what was found of the pool is told all the same."""
    at, now, stale = _at(view), facts.now, limits.stale_seconds
    if at is not None and now - at <= timedelta(seconds=stale):
        return
    last = "it was never looked at" if at is None else f"no look has ended since {shown(at)}"
    yield Case(
        rule=Rule.BLIND,
        place=place,
        cause=cause_of(Rule.BLIND, cluster_of(place)),
        severity=Severity.WARNING,
        sentence=f"{last}; the log of the leading replica says why",
        at=now,
        wait=max(timedelta(seconds=stale / STALE_LOOKS), limits.wait(Rule.BLIND)),
    )


def _blind(surveyed: Surveyed, facts: Facts, limits: Limits) -> Iterator[Case]:
    """A cluster that is not seen, once for all of its pools; it goes where news of them go. It must
    be missed for its time whatever its age: a clock that jumps makes everything old at once."""
    limit, now, cluster = limits.alerts.blind_seconds, facts.now, surveyed.cluster
    wait, seen = limits.wait(Rule.BLIND), surveyed.observed_at.astimezone(UTC)
    if seen.year < NEVER:
        said, changes_at = "it has not been read since this replica started", None
        steps = list(counted(limit, wait))
    elif is_ahead(seen, now=now):
        said, changes_at = f"it was last seen {shown(seen)}, by a clock that was put back", None
        steps = list(counted(limit, wait))
    else:
        said, changes_at = f"it was last seen {shown(seen)}", next_level(limit, seen, now)
        reached = level(limit, (now - seen).total_seconds())
        steps = [(reached, wait)] if reached else []
    why = "; ".join(surveyed.problems[:2]) or "no answer"
    mine = [f"{cluster}/{text_of(v, 'pool')}" for v in facts.views if v.get("cluster") == cluster]
    for place in mine or [cluster]:
        for severity, after in steps:
            yield Case(
                rule=Rule.BLIND,
                place=place,
                cause=cause_of(Rule.BLIND, cluster),
                severity=severity,
                what=cluster,
                sentence=f"{said} ({why}); what is told of it stays as it was",
                at=now,
                wait=after,
                changes_at=changes_at,
            )

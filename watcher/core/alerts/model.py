"""The rules of alerts, what they are judged by, and what one of them says of one pool."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from watcher.core.alert_rule import Rule as Rule
from watcher.core.letters import Severity
from watcher.core.sight import is_old
from watcher.core.state import Surveyed
from watcher.core.timing import Freeze
from watcher.core.update import Update

if TYPE_CHECKING:
    from watcher.settings_alerts import AlertSettings, Threshold

View = Mapping[str, object]
"""What the last look at a configured pool said; `cluster` and `pool` at least."""


FROM_FINDINGS = frozenset(
    {
        Rule.LAG,
        Rule.BLOCKS_MINOR,
        Rule.BLOCKS_PATCH,
        Rule.CERTIFICATE,
        Rule.PAUSED,
        Rule.DEGRADED,
        Rule.UNPULLABLE,
    }
)
FROM_LOOKS = frozenset({Rule.HELD, Rule.AVAILABLE, Rule.UNVERIFIED})
"""Rules that know nothing of a cluster that is not seen, like those of findings."""

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
AT_ONCE = timedelta()
WAITS: Mapping[Rule, timedelta] = {
    # Longer than a build and a rollout of a few nodes take where nobody has to be asked.
    Rule.LAG: _HOUR,
    Rule.BLOCKS_MINOR: _HOUR,
    Rule.BLOCKS_PATCH: _HOUR,
    # Thresholds that are durations have waited already.
    Rule.CERTIFICATE: AT_ONCE,
    Rule.PAUSED: AT_ONCE,
    # MCO calls a pool degraded while a node is only slow to drain.
    Rule.DEGRADED: 15 * _MINUTE,
    # A registry that is restarted, or a garbage collection in which a push is under way.
    Rule.UNPULLABLE: 15 * _MINUTE,
    Rule.UNVERIFIED: 5 * _MINUTE,
    Rule.HELD: 30 * _MINUTE,  # of `notices.hold`, which counts where it is set
    Rule.UPDATE_STUCK: AT_ONCE,
    Rule.APPROVAL_WAITING: AT_ONCE,
    Rule.ROLLOUT_STALLED: 5 * _MINUTE,
    Rule.BUILD_FAILING: AT_ONCE,
    # After a start nothing was seen for a moment, and by a clock that jumped all is old until the
    # next bookmark of each watch, of which API servers send about one a minute.
    Rule.BLIND: 2 * _MINUTE,
    Rule.QUEUE_NOT_MOVING: _MINUTE,
    Rule.AVAILABLE: AT_ONCE,
    Rule.FROZEN: AT_ONCE,
}
"""How long a rule must hold before it is told, if the settings do not say otherwise."""
UNSEEN_SECONDS = 300.0
"""A cluster not seen for longer than this is blind where the settings have no threshold for it:
what is derived from it must not go on as if it was seen."""
NEVER = 1971
"""What was seen in an earlier year was never seen."""
RANKS: Mapping[Severity, int] = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Builds of one recipe on one base that failed one after another."""

    recipe: str
    number: int
    build: str
    """Id of the newest."""
    because: str
    since: datetime
    """When the first of them failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that alerts are made from. Places are `cluster/pool`."""

    now: datetime
    views: Sequence[View] = ()
    """One of each configured pool."""
    surveyed: Sequence[Surveyed] = ()
    freezes: Sequence[Freeze] = ()
    blacked_out: frozenset[str] = frozenset()
    """Places where a blackout lets nothing begin now."""
    active: Mapping[str, Update] = field(default_factory=dict)
    """The update of a place that has not ended."""
    ended: Mapping[str, Update] = field(default_factory=dict)
    """The newest of a place that has."""
    asked: Mapping[str, datetime] = field(default_factory=dict)
    """Since when people have been asked about a place, over all updates that nobody decided."""
    late: Mapping[str, str] = field(default_factory=dict)
    """Places whose rollout should have ended, with the sentence that says by when."""
    failing: Mapping[str, Failing] = field(default_factory=dict)
    queue: Mapping[str, float] = field(default_factory=dict)
    """Kind of job → for how many seconds one has been due that nobody works on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on what is told."""

    alerts: "AlertSettings"
    hold_seconds: float = 1800.0
    """How long a pool must be held."""
    stale_seconds: float = 900.0
    """How old a look may be."""

    def is_on(self, rule: Rule) -> bool:
        return rule not in self.alerts.off

    def wait(self, rule: Rule) -> timedelta:
        """How long it must hold before it is told."""
        said = self.alerts.wait_seconds.get(rule)
        if said is not None:
            return timedelta(seconds=said)
        return timedelta(seconds=self.hold_seconds) if rule is Rule.HELD else WAITS[rule]

    def is_unseen(self, surveyed: Surveyed, now: datetime) -> bool:
        """Whether a cluster was last seen so long ago that nothing of it may be relied upon; or, by
        a clock that was put back, nobody knows when."""
        blind = self.alerts.blind_seconds
        least = next((n for n in (blind.warning, blind.critical) if n is not None), UNSEEN_SECONDS)
        return is_old(surveyed.observed_at, now=now, most=timedelta(seconds=least))


@dataclass(slots=True, kw_only=True)
class Case:
    """What one rule says of one place, as of now. Not frozen: there are thousands at a time."""

    rule: Rule
    place: str
    """cluster/pool; `cluster` for what concerns none of its pools; empty: no cluster either."""
    cause: str
    """See `cause_of`: those with the same one are one notice."""
    severity: Severity
    sentence: str
    at: datetime
    """Since when it is so, if it was not known before."""
    wait: timedelta
    what: str = ""
    """What the title needs beside the places."""
    is_quiet: bool = False
    """Somebody is at it, or something else tells of it: it keeps what was told, and tells nothing
    anew. It does not begin to count either."""
    changes_at: datetime | None = None
    """When this changes by time alone."""


@lru_cache(maxsize=4096)
def cause_of(rule: Rule, text: str) -> str:
    """Return what makes notices the same: never holds a number or a duration."""
    return f"{rule}:{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}"


@lru_cache(maxsize=4096)
def rule_of(cause: str) -> Rule | None:
    """Return the rule of a cause; None for that of a release that had other rules."""
    try:
        return Rule(cause.partition(":")[0])
    except ValueError:
        return None


def cluster_of(place: str) -> str:
    return place.partition("/")[0]


def level(threshold: "Threshold", value: float | None) -> Severity | None:
    """Return how bad a figure is; None: nobody has to be told, or nobody knows it."""
    if value is None:
        return None
    if threshold.critical is not None and value >= threshold.critical:
        return Severity.CRITICAL
    if threshold.warning is not None and value >= threshold.warning:
        return Severity.WARNING
    return None


def counted(threshold: "Threshold", least: timedelta) -> Iterator[tuple[Severity, timedelta]]:
    """Return for how long something must have been seen for each level, where nobody else says
    since when it is so: cases of one cause, each with its own time."""
    for step, severity in (
        (threshold.warning, Severity.WARNING),
        (threshold.critical, Severity.CRITICAL),
    ):
        if step is not None:
            yield severity, max(timedelta(seconds=step), least)


def next_level(threshold: "Threshold", since: datetime, now: datetime) -> datetime | None:
    """Return when a duration that runs since then comes to its next level."""
    steps = (threshold.warning, threshold.critical)
    due = [since + timedelta(seconds=step) for step in steps if step is not None]
    return min((at for at in due if at > now), default=None)


def worst(severities: Sequence[Severity]) -> Severity:
    """Return the worst of some; there must be one."""
    return max(severities, key=RANKS.__getitem__)


def utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def text_of(view: View, name: str) -> str:
    value = view.get(name)
    return value if isinstance(value, str) else ""

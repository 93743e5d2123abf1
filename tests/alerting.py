"""Days that pass over pools, looks and findings, for the tests of alerts and notices."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tests.facts import T0, seconds
from watcher.core import alerts, notices
from watcher.core.alerts import Case, Facts, Limits, View
from watcher.core.facts import ClusterName, PoolName
from watcher.core.lag import Lag
from watcher.core.letters import Severity
from watcher.core.notices import Memory, Standing, Terms
from watcher.core.silences import Silence
from watcher.core.stages import StageKind, StageSeen
from watcher.core.state import Finding, Flag, Nodes, Raised, State, Surveyed
from watcher.core.timing import Freeze
from watcher.settings_alerts import AlertEscalation, AlertSettings

HOLD, STALE = 1800.0, 900.0
MINUTE, HOUR, DAY = 60, 3600, 86400
ONE = "slack:C1"
VERSION = "4.16.9"


def a_view(place: str = "prod/infra", **said: object) -> View:
    cluster, _, pool = place.partition("/")
    known = {"cluster": cluster, "pool": pool, "decision": "InStep", "because": "runs gpu"}
    return {**known, "at": T0.isoformat(), "expected_release": "4.16.3", **said}


def held(place: str = "prod/infra", because: str = "recipe gpu cannot be used: no FROM") -> View:
    return a_view(place, decision="Hold", because=because)


def only_told(place: str = "prod/infra", release: str = "4.16.3") -> View:
    because = "its base is that of 4.16.1, the cluster's is that of 4.16.3"
    view = a_view(place, decision="Rebuild", because=because, only_told=True)
    return {**view, "expected_release": release}


def a_freeze(scope: str = "", **said: object) -> Freeze:
    known = {"by": "ann", "because": "a fair", "at": T0, "until": T0 + seconds(4 * HOUR)}
    return Freeze(scope=scope, **{**known, **said})  # type: ignore[arg-type]


def a_silence(scope: str = "", rule: str = "", **said: Any) -> Silence:
    known: dict[str, Any] = {
        "id": f"s-{scope}-{rule}",
        "by": "ann",
        "because": "known",
        "at": T0,
        "until": T0 + seconds(4 * HOUR),
    }
    return Silence(scope=scope, rule=rule, **(known | said))


def a_finding(place: str = "prod/infra", *flags: Raised, **said: Any) -> Finding:
    """In step with its cluster, unless something else is said."""
    cluster, _, pool = place.partition("/")
    usual: dict[str, Any] = {
        "cluster": ClusterName(cluster),
        "pool": PoolName(pool),
        "state": State.CURRENT,
        "sentence": "runs a layered image",
        "flags": flags,
        "nodes": Nodes(total=3, updated=3),
        "observed_at": T0,
    }
    return Finding(**(usual | said))


def behind(place: str = "prod/infra", **lag: Any) -> Finding:
    return a_finding(place, state=State.BEHIND, lag=Lag(**(lag or {"releases": 1})))


def flagged(flag: Flag, place: str = "prod/infra", **said: Any) -> Finding:
    return a_finding(place, Raised(flag=flag, **said), state=State.BLOCKED)


def a_surveyed(*findings: Finding, **said: Any) -> Surveyed:
    """As it is now: `at` is put in by `Days`."""
    usual: dict[str, Any] = {
        "cluster": findings[0].cluster if findings else ClusterName("prod"),
        "stage": StageSeen(kind=StageKind.COMPLETED, sentence="", version=VERSION, completed=True),
        "version": VERSION,
        "findings": findings,
        "observed_at": T0,
        "asked_at": T0,
    }
    return Surveyed(**(usual | said))


UPGRADING = StageSeen(
    kind=StageKind.IN_PROGRESS, sentence="", version="4.16.3", target_version=VERSION
)


def to_one(place: str, severity: Severity) -> Sequence[str]:
    return (ONE,)


def to_cluster_s_own(place: str, severity: Severity) -> Sequence[str]:
    return (f"slack:C-{place.partition('/')[0]}",)


@dataclass
class Days:
    """Time passes, and what stands is remembered."""

    to: notices.To = to_one
    freezes: list[Freeze] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    escalations: tuple[AlertEscalation, ...] = ()
    alerts: AlertSettings = field(default_factory=AlertSettings)
    now: datetime = T0
    memory: Memory = field(default_factory=Memory)
    cases: list[Case] = field(default_factory=list)
    terms: Terms = field(default_factory=lambda: Terms(to=to_one))
    looked: bool = True
    """False: views keep the time they have."""
    blind: set[str] = field(default_factory=set)
    """Clusters whose `observed_at` stays as it is."""

    @property
    def limits(self) -> Limits:
        return Limits(alerts=self.alerts, hold_seconds=HOLD, stale_seconds=STALE)

    def see(self, *seen: View | Surveyed, after: float = 0, **facts: Any) -> "Days":
        """Views and surveyed clusters, as of now."""
        self.now += seconds(after)
        at = {"at": self.now.isoformat()} if self.looked else {}
        views = [{**one, **at} for one in seen if isinstance(one, Mapping)]
        found = [one for one in seen if isinstance(one, Surveyed)]
        known = [
            one if one.cluster in self.blind else replace(one, observed_at=self.now)
            for one in found
        ]
        return self.judge(
            Facts(now=self.now, views=views, surveyed=known, freezes=self.freezes, **facts)
        )

    def judge(self, facts: Facts) -> "Days":
        """What the courier's subject `fleet` does with facts."""
        self.now = facts.now
        self.cases = alerts.cases(facts, self.limits)
        self.terms = Terms(
            to=self.to,
            silences=self.silences,
            escalations=self.escalations,
            unseen={
                one.cluster: one.observed_at
                for one in facts.surveyed
                if self.limits.is_unseen(one, facts.now)
            },
            unsurveyed=frozenset(s.cluster for s in facts.surveyed if s.asked_at is None),
            unreadable=frozenset(f"{s.cluster}/{p}" for s in facts.surveyed for p in s.unreadable),
        )
        self.memory = notices.standing(self.cases, self.memory, self.terms, now=self.now)
        return self

    @property
    def stand(self) -> list[Standing]:
        return [one for one in self.memory.notices if one.over_at is None]

    @property
    def one(self) -> Standing:
        (only,) = self.memory.notices
        return only

    @property
    def calls(self) -> list[str]:
        """What is said once in threads, as it is wanted now."""
        return [wanted.key for wanted in notices.letters(self.memory) if wanted.once]

    @property
    def told(self) -> set[tuple[str, str]]:
        """Rule and severity of what stands."""
        return {(one.cause.partition(":")[0], str(one.severity)) for one in self.stand}

    @property
    def again(self) -> datetime | None:
        return notices.again_at(self.cases, self.memory, self.terms, now=self.now)


def views_of(places: Iterable[str], reasons: Iterable[str | None]) -> list[View]:
    """Of each place, held for its reason, or well."""
    return [
        held(place, reason) if reason else a_view(place)
        for place, reason in zip(places, reasons, strict=True)
    ]

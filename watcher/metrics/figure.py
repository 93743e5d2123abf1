"""What a figure is, and what its labels can be."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from watcher.clients.counting import Outcome
from watcher.core.build import BuildState
from watcher.core.jobs import JobKind
from watcher.core.update_events import UpdateState


class Kind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    """Its name ends in `_total`; it begins at 0 when a replica starts."""
    HISTOGRAM = "histogram"
    """In seconds."""


class Who(StrEnum):
    """Who tells it, and so how figures of several replicas are taken together."""

    ALL = "all"
    """Every replica tells the same: take `max`."""
    EACH = "each"
    """Every replica tells of itself: the `sum` of counters, of gauges the worst."""
    LEADER = "leader"
    """Only the leader tells it; what others have is 0 or older: take `max`."""


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    values: tuple[str, ...] = ()
    """All there are; empty: `told` says where they come from."""
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    name: str
    """As it is in a scrape; of a histogram without `_bucket`, `_sum` and `_count`."""
    kind: Kind = Kind.GAUGE
    said: str
    """What it means: one sentence."""
    unit: str = ""
    """seconds, or `Unix time` for a moment; empty: a number of things, or 1 and 0."""
    labels: tuple[Label, ...] = ()
    who: Who = Who.ALL
    buckets: tuple[float, ...] = ()


SECONDS, MOMENT = "seconds", "Unix time"
MOST_HOSTS = 30
"""Registries that are told apart; pulls are redirected to ever other hosts of ever other CDNs."""
MOST_METHODS = 40
MOST_RULES = 60
OTHER = "other"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", OTHER)
CONDITIONS = ("updated", "degraded")
DECISIONS = ("Rebuild", "Hold", "InStep")
SINKS = ("slack", "webhook")
SURFACES = ("http", "slack")
JOB_STATES: dict[JobKind, tuple[str, ...]] = {
    JobKind.BUILD: tuple(BuildState),
    JobKind.UPDATE: tuple(UpdateState),
}
STEP_BUCKETS = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""From a look at the store to a build of an hour."""
BUILD_BUCKETS = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""From an appended layer to a build that its time limit ends."""
UPDATE_BUCKETS = (
    *(60.0, 600.0, 1800.0, 3600.0, 10800.0),
    *(21600.0, 43200.0, 86400.0, 259200.0, 604800.0),
)
"""From a minute to a week, as people and windows are waited for."""


def every(*enums: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for values in enums for value in values))


CLUSTER = Label("cluster", told="a configured cluster")
POOL = Label("pool", told="a MachineConfigPool of the cluster")
RECIPE = Label("recipe", told="a configured recipe")
VERSION = Label("version", told="a version")
JOB = Label("kind", every(JobKind))
JOB_STATE = Label("state", every(*JOB_STATES.values()))
SINK = Label("sink", SINKS)
OUTCOME = Label("outcome", every(Outcome))
PLACE = (CLUSTER, POOL)

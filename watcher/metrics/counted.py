"""What this replica did, counted when it happens: of workers, the courier and the clients.

Nothing here raises or waits: figures are a side channel.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from watcher.core.jobs import Job, kind_of
from watcher.metrics.figure import MOST_HOSTS, MOST_METHODS, OTHER, VERBS, Figure, Kind
from watcher.metrics.figures import CALLS, REPLICA, TELLING, WORK

_MADE: dict[Kind, Any] = {Kind.GAUGE: Gauge, Kind.COUNTER: Counter, Kind.HISTOGRAM: Histogram}
_OF_THE_REPLICA = frozenset(
    {
        "relayer_leader",
        "relayer_heartbeat_timestamp_seconds",
        "relayer_messages_waiting",
        "relayer_messages_waiting_seconds",
    }
)
"""Gauges that are set when something happens, and not read at a scrape."""


@dataclass(slots=True)
class Bounded:
    """Names from outside as values of a label: so many, and all further ones together."""

    most: int
    _known: set[str] = field(default_factory=set)

    def of(self, name: str) -> str:
        """Return the name, or `other`."""
        if name not in self._known:
            if len(self._known) >= self.most:
                return OTHER
            self._known.add(name)
        return name


@dataclass(slots=True)
class Counted:
    """Figures that are counted: `ports.Meter`, `telling.delivery.TellingMeter` and
    `clients.counting.CallMeter` in one."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _m: dict[str, Any] = field(default_factory=dict)
    _hosts: Bounded = field(default_factory=lambda: Bounded(MOST_HOSTS))
    _methods: Bounded = field(default_factory=lambda: Bounded(MOST_METHODS))

    def __post_init__(self) -> None:
        # When a series was made says nothing here, and doubles what is scraped.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # of the library
        for figure in (*WORK, *TELLING, *CALLS, *REPLICA):
            if figure.kind is not Kind.GAUGE or figure.name in _OF_THE_REPLICA:
                self._m[figure.name] = _made(figure, self.registry)

    # `ports.Meter`

    def stepped(self, job: Job) -> None:
        """Count one saved change of state."""
        self._m["relayer_transitions_total"].labels(kind_of(job), job.state).inc()

    def observe_step(self, job: Job, seconds: float) -> None:
        """Record how long one step of a job took, by the state it was in when it began."""
        self._m["relayer_step_duration_seconds"].labels(kind_of(job), job.state).observe(seconds)

    def retried(self, job: Job) -> None:
        """Count a step that failed outside and will be tried again."""
        self._m["relayer_retries_total"].labels(kind_of(job), job.state).inc()

    def leading(self, ours: bool) -> None:
        """Whether this replica plans."""
        self._m["relayer_leader"].set(int(ours))

    def declined(self, surface: str) -> None:
        """Count a decision that was refused."""
        self._m["relayer_decisions_declined_total"].labels(surface).inc()

    def beat(self, at: datetime) -> None:
        """Say that everything was seen at this moment (`heartbeat.BeatMeter`)."""
        self._m["relayer_heartbeat_timestamp_seconds"].set(at.timestamp())

    # `TellingMeter`

    def delivered(self, sink: str) -> None:
        """Count a message that was said anew."""
        self._m["relayer_messages_posted_total"].labels(sink).inc()

    def edited(self, sink: str) -> None:
        """Count an edit of a message."""
        self._m["relayer_messages_edited_total"].labels(sink).inc()

    def failed(self, sink: str) -> None:
        """Count an attempt that failed, whether it is tried again or not."""
        self._m["relayer_messages_failed_total"].labels(sink).inc()

    def paused(self, sink: str, seconds: float) -> None:
        """Count the seconds for which a place asked us to wait."""
        self._m["relayer_messages_paused_seconds_total"].labels(sink).inc(seconds)

    def waiting(self, letters: int, oldest_seconds: float) -> None:
        """How many messages are not yet what they should be, and since when."""
        self._m["relayer_messages_waiting"].set(letters)
        self._m["relayer_messages_waiting_seconds"].set(oldest_seconds)

    # `CallMeter`

    def api_called(self, cluster: str, verb: str, outcome: str) -> None:
        """Count a request to an API server."""
        said = verb if verb in VERBS else OTHER
        self._m["relayer_api_calls_total"].labels(cluster, said, outcome).inc()

    def registry_called(self, registry: str, outcome: str) -> None:
        """Count a request to a registry."""
        host = self._hosts.of(registry)
        self._m["relayer_registry_calls_total"].labels(host, outcome).inc()

    def slack_called(self, method: str, outcome: str) -> None:
        """Count a request to Slack."""
        self._m["relayer_slack_calls_total"].labels(self._methods.of(method), outcome).inc()


def _made(figure: Figure, registry: CollectorRegistry) -> Any:
    more = {"buckets": figure.buckets} if figure.kind is Kind.HISTOGRAM else {}
    labels = tuple(label.name for label in figure.labels)
    return _MADE[figure.kind](figure.name, figure.said, labels, registry=registry, **more)

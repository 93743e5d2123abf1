"""What Prometheus reads: our own registry, so that nothing of other libraries slips in.

Two kinds of figures. What this replica did is counted when it happens (`stepped`, `retried`);
how things stand is read from the store and the watches at each scrape, so that it is right after
a restart too. Both replicas tell the same of the second kind: take `max` over instances.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from watcher.core.build import BuildState
from watcher.core.facts import ClusterName
from watcher.core.jobs import Job, JobKind, kind_of
from watcher.core.rollout import Phase
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DECISIONS = ("Rebuild", "Hold", "InStep")
STATES: dict[JobKind, Iterable[str]] = {JobKind.BUILD: BuildState, JobKind.UPDATE: UpdateState}
STEP_BUCKETS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600)
"""Seconds: from a look at the store to a build of an hour."""


class Watch(Protocol):
    """How long ago one kind of one cluster was in step."""

    @property
    def synced_at(self) -> datetime | None: ...


class Watched(Protocol):
    @property
    def reflectors(self) -> Mapping[str, Watch]: ...


@dataclass(frozen=True, slots=True)
class _Standing:
    """How things stand, read in one go before any figure is set."""

    active: list[Job]
    newest: Mapping[tuple[str, str], Update]
    dead: int
    views: Iterable[Mapping[str, object]]
    late: Mapping[tuple[str, str], bool]
    """Of each pool that takes an image: whether it should have ended."""


@dataclass(slots=True)
class Metrics:
    """All figures of one process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _m: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, name, text, labels in _FIGURES:
            more = {"buckets": STEP_BUCKETS} if kind is Histogram else {}
            self._m[name] = kind(name, text, labels, registry=self.registry, **more)
        self._m["relayer_leader"].set(0)

    # What this replica did.

    def stepped(self, job: Job) -> None:
        """Count one saved change of state."""
        self._m["relayer_transitions"].labels(kind_of(job), job.state).inc()

    def observe_step(self, job: Job, seconds: float) -> None:
        """Record how long one step of a job took, by the state it was in when it began."""
        self._m["relayer_step_duration_seconds"].labels(kind_of(job), job.state).observe(seconds)

    def retried(self, job: Job) -> None:
        """Count a step that failed outside and will be tried again."""
        self._m["relayer_retries"].labels(kind_of(job), job.state).inc()

    def leading(self, ours: bool) -> None:
        """Whether this replica plans."""
        self._m["relayer_leader"].set(int(ours))

    def declined(self, surface: str) -> None:
        """Count a decision that was refused."""
        self._m["relayer_decisions_declined"].labels(surface).inc()

    # What the courier of this replica did (`telling.courier.TellingMeter`).

    def delivered(self, sink: str) -> None:
        """Count a message that was said anew."""
        self._m["relayer_messages_posted"].labels(sink).inc()

    def edited(self, sink: str) -> None:
        """Count an edit of a message."""
        self._m["relayer_messages_edited"].labels(sink).inc()

    def failed(self, sink: str) -> None:
        """Count an attempt that failed, whether it is tried again or not."""
        self._m["relayer_messages_failed"].labels(sink).inc()

    def paused(self, sink: str, seconds: float) -> None:
        """Count the seconds for which a place asked us to wait."""
        self._m["relayer_messages_paused_seconds"].labels(sink).inc(seconds)

    def waiting(self, letters: int, oldest_seconds: float) -> None:
        """How many messages are not yet what they should be, and since when."""
        self._m["relayer_messages_waiting"].set(letters)
        self._m["relayer_messages_waiting_seconds"].set(oldest_seconds)

    # How things stand.

    async def text(
        self, store: Store, clusters: Mapping[ClusterName, Watched], *, now: datetime
    ) -> bytes:
        """Return everything for a scrape. Raise what the store raises."""
        standing = await _standing(store)
        # No await from here on: two scrapes at once must not mix.
        self._jobs(standing)
        self._pools(standing.views)
        ages = self._m["relayer_watch_age_seconds"]
        ages.clear()
        for name, cluster in clusters.items():
            for title, watch in cluster.reflectors.items():
                if watch.synced_at is not None:
                    age = (now - watch.synced_at).total_seconds()
                    ages.labels(name, title).set(max(0.0, age))
        return generate_latest(self.registry)

    def _jobs(self, standing: _Standing) -> None:
        jobs, since = self._m["relayer_jobs"], self._m["relayer_update_state_timestamp_seconds"]
        for kind, states in STATES.items():
            for state in states:
                jobs.labels(kind, state).set(0)
        for job in standing.active:
            jobs.labels(kind_of(job), job.state).inc()
        since.clear()
        for (cluster, pool), update in standing.newest.items():
            since.labels(cluster, pool, update.state).set(update.changed_at.timestamp())
        self._m["relayer_dead_letters"].set(standing.dead)
        stalled = self._m["relayer_update_stalled"]
        stalled.clear()
        for (cluster, pool), late in standing.late.items():
            stalled.labels(cluster, pool).set(int(late))

    def _pools(self, views: Iterable[Mapping[str, object]]) -> None:
        decisions = self._m["relayer_pool_decision"]
        looked = self._m["relayer_pool_look_timestamp_seconds"]
        decisions.clear()
        looked.clear()
        for view in views:
            cluster, pool, said = (str(view.get(k, "")) for k in ("cluster", "pool", "decision"))
            for decision in DECISIONS:
                decisions.labels(cluster, pool, decision).set(int(decision == said))
            try:
                at = datetime.fromisoformat(str(view.get("at", "")))
            except ValueError:
                continue
            looked.labels(cluster, pool).set(at.timestamp())


async def _standing(store: Store) -> _Standing:
    active = [s.job for kind in JobKind for s in await store.jobs(kind, ended=False)]
    ended = [s.job for s in await store.jobs(JobKind.UPDATE, ended=True)]
    newest: dict[tuple[str, str], Update] = {}
    for job in (*active, *ended):  # active ones first, then the newest first
        if isinstance(job, Update):
            newest.setdefault((job.cluster, job.pool), job)
    dead = len(await store.dead())
    views = [view for key, view in (await store.views()).items() if key.startswith("pool:")]
    late: dict[tuple[str, str], bool] = {
        (job.cluster, job.pool): (await store.progress(job.id)).get("phase") == Phase.STALLED
        for job in active
        if isinstance(job, Update) and job.state is UpdateState.ROLLING_OUT
    }
    return _Standing(active, newest, dead, views, late)


_FIGURES: tuple[tuple[Any, str, str, tuple[str, ...]], ...] = (
    (Gauge, "relayer_jobs", "Jobs that have not ended, by kind and state.", ("kind", "state")),
    (Gauge, "relayer_dead_letters", "Jobs set aside until a person revives them.", ()),
    (
        Gauge,
        "relayer_update_state_timestamp_seconds",
        "When the newest update of a pool came into its present state (Unix time).",
        ("cluster", "pool", "state"),
    ),
    (
        Gauge,
        "relayer_update_stalled",
        "1 while the rollout of a pool is later than its nodes and maxUnavailable allow.",
        ("cluster", "pool"),
    ),
    (
        Gauge,
        "relayer_pool_decision",
        "1 for the decision of the last look at a pool, 0 for the others.",
        ("cluster", "pool", "decision"),
    ),
    (
        Gauge,
        "relayer_pool_look_timestamp_seconds",
        "When a pool was last looked at (Unix time).",
        ("cluster", "pool"),
    ),
    (
        Gauge,
        "relayer_watch_age_seconds",
        "How long ago a kind of a cluster was last in step with its API server.",
        ("cluster", "kind"),
    ),
    (Gauge, "relayer_leader", "1 while this replica plans.", ()),
    (
        Counter,
        "relayer_messages_posted",
        "Messages said anew by this replica, by kind of place.",
        ("sink",),
    ),
    (
        Counter,
        "relayer_messages_edited",
        "Edits of messages by this replica, by kind of place.",
        ("sink",),
    ),
    (
        Counter,
        "relayer_messages_failed",
        "Attempts to say or edit something that failed, by kind of place.",
        ("sink",),
    ),
    (
        Counter,
        "relayer_messages_paused_seconds",
        "Seconds for which a place asked us to wait, by kind of place.",
        ("sink",),
    ),
    (
        Gauge,
        "relayer_messages_waiting",
        "Messages that are not yet what they should be; of the leader.",
        (),
    ),
    (
        Gauge,
        "relayer_messages_waiting_seconds",
        "For how long the oldest of them has waited; of the leader.",
        (),
    ),
    (
        Counter,
        "relayer_transitions",
        "Saved changes of state by this replica, by kind and the state that was reached.",
        ("kind", "state"),
    ),
    (
        Counter,
        "relayer_retries",
        "Steps that failed outside and are tried again, by kind and state.",
        ("kind", "state"),
    ),
    (
        Counter,
        "relayer_decisions_declined",
        "Decisions of people that were refused, by surface.",
        ("surface",),
    ),
    (
        Histogram,
        "relayer_step_duration_seconds",
        "How long one step of a job took, by kind and the state it began in.",
        ("kind", "state"),
    ),
)

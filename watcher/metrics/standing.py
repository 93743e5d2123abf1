"""How things stand, read from the store at each scrape: right after a restart too."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.alerts import RANKS
from watcher.core.build import Build, BuildState
from watcher.core.jobs import Job, JobKind, kind_of
from watcher.core.rollout import Phase
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.metrics.counted import Bounded
from watcher.metrics.figure import DECISIONS, JOB_STATES, MOST_RULES
from watcher.metrics.sheet import Sheet, labelled, one_hot
from watcher.ports import Backlog, Store

NOTICES = "notices"
"""Where the notices that stand are kept (`telling.fleet`)."""
FAILED_WITHIN = timedelta(days=7)
"""A recipe that nobody builds any more is no trouble for ever."""
_DECISIONS = one_hot("decision", DECISIONS)
_RANKS = {str(severity): rank for severity, rank in RANKS.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it, read in one go before any figure is set."""

    active: Sequence[Job]
    ended: Sequence[Job]
    """The newest 500 of each kind, newest first."""
    dead: int
    views: Sequence[Mapping[str, object]]
    late: Mapping[tuple[str, str], bool]
    """Of each pool that takes an image: whether it should have ended."""
    backlog: Mapping[JobKind, Backlog]
    notices: Sequence[Mapping[str, object]]


async def read(store: Store, now: datetime) -> Standing:
    """Raise what the store raises."""
    active = [s.job for kind in JobKind for s in await store.jobs(kind, ended=False)]
    ended = [s.job for kind in JobKind for s in await store.jobs(kind, ended=True)]
    late: dict[tuple[str, str], bool] = {
        (job.cluster, job.pool): (await store.progress(job.id)).get("phase") == Phase.STALLED
        for job in active
        if isinstance(job, Update) and job.state is UpdateState.ROLLING_OUT
    }
    kept = (await store.kept(NOTICES)).get("notices")
    return Standing(
        active=active,
        ended=ended,
        dead=len(await store.dead()),
        views=[view for key, view in (await store.views()).items() if key.startswith("pool:")],
        late=late,
        backlog=await store.backlog(now),
        notices=[row for row in kept if isinstance(row, dict)] if isinstance(kept, list) else [],
    )


def tell(sheet: Sheet, standing: Standing, clusters: Iterable[str], now: datetime) -> None:
    """Put everything that the store knows onto the sheet."""
    _jobs(sheet, standing)
    _updates(sheet, standing)
    _approvals(sheet, standing.active, clusters, now)
    _builds(sheet, standing.ended, now)
    _queue(sheet, standing.backlog)
    _alerts(sheet, standing.notices)
    _looks(sheet, standing.views)


def _jobs(sheet: Sheet, standing: Standing) -> None:
    numbers = {(kind, state): 0 for kind, states in JOB_STATES.items() for state in states}
    for job in standing.active:
        numbers[kind_of(job), job.state] += 1
    for (kind, state), number in numbers.items():
        sheet.set("relayer_jobs", number, labelled(kind=kind, state=state))
    sheet.set("relayer_dead_letters", standing.dead)


def _updates(sheet: Sheet, standing: Standing) -> None:
    newest: dict[tuple[str, str], Update] = {}
    for job in (*standing.active, *standing.ended):  # active ones first, then the newest first
        if isinstance(job, Update):
            newest.setdefault((job.cluster, job.pool), job)
    for (cluster, pool), update in newest.items():
        labels = labelled(cluster=cluster, pool=pool, state=update.state)
        at = _since(update).timestamp()
        sheet.set("relayer_update_state_timestamp_seconds", at, labels)
    for (cluster, pool), late in standing.late.items():
        sheet.set("relayer_update_stalled", late, labelled(cluster=cluster, pool=pool))


def _since(update: Update) -> datetime:
    """When it came into its state: votes and snoozes change an update, and leave it there."""
    state, at = update.times[-1] if update.times else ("", update.changed_at)
    return at if state == update.state else update.changed_at


def _approvals(sheet: Sheet, active: Iterable[Job], clusters: Iterable[str], now: datetime) -> None:
    waiting = dict.fromkeys(clusters, 0)
    for job in active:
        if not isinstance(job, Update) or job.state is not UpdateState.AWAITING_APPROVAL:
            continue
        if job.snoozed_until and now < job.snoozed_until:
            continue
        waiting[job.cluster] = waiting.get(job.cluster, 0) + 1
        labels = labelled(cluster=job.cluster, pool=job.pool)
        at = _since(job).timestamp()
        sheet.set("relayer_approval_requested_timestamp_seconds", at, labels)
    for cluster, number in waiting.items():
        sheet.set("relayer_approvals_waiting", number, labelled(cluster=cluster))


def _builds(sheet: Sheet, ended: Iterable[Job], now: datetime) -> None:
    failed: dict[str, int] = {}
    well: set[str] = set()
    for job in ended:
        if not isinstance(job, Build) or now - job.changed_at > FAILED_WITHIN:
            continue
        if job.state is BuildState.READY:
            well.add(job.recipe)
        failed[job.recipe] = failed.get(job.recipe, 0) + (job.recipe not in well)
    for recipe, number in failed.items():
        sheet.set("relayer_builds_failed_in_a_row", number, labelled(recipe=recipe))


def _queue(sheet: Sheet, backlog: Mapping[JobKind, Backlog]) -> None:
    for kind, seen in backlog.items():
        labels = labelled(kind=kind)
        sheet.set("relayer_queue_waiting", seen.waiting, labels)
        sheet.set("relayer_queue_due", seen.due, labels)
        sheet.set("relayer_queue_leased", seen.leased, labels)
        sheet.set("relayer_queue_oldest_due_seconds", seen.oldest_due_seconds, labels)


def _alerts(sheet: Sheet, notices: Iterable[Mapping[str, object]]) -> None:
    """One cause may be told at several places: it counts once, as bad as it is told anywhere. What
    is silenced as a whole is told nowhere."""
    rules = Bounded(MOST_RULES)
    worst: dict[str, tuple[int, str, str]] = {}
    for row in notices:
        if row.get("over_at") is not None or _is_silenced(row):
            continue
        cause, severity = str(row.get("cause", "")), str(row.get("severity", ""))
        # What has no rule is named by its kind, which its cause begins with.
        rule = str(row.get("rule") or cause.partition(":")[0])
        found = (_RANKS.get(severity, -1), severity, rule)
        worst[cause] = max(found, worst.get(cause, found))
    numbers: dict[tuple[str, str], int] = {}
    for _, severity, rule in worst.values():
        key = (rules.of(rule), severity)
        numbers[key] = numbers.get(key, 0) + 1
    for (rule, severity), number in numbers.items():
        sheet.set("relayer_alerts_firing", number, labelled(rule=rule, severity=severity))


def _is_silenced(row: Mapping[str, object]) -> bool:
    """Whether all of it is: of what is silenced in part, the rest is told as before."""
    return bool(row.get("silenced")) and row.get("loud_since") is None


def _looks(sheet: Sheet, views: Iterable[Mapping[str, object]]) -> None:
    for view in views:
        cluster, pool, said = (str(view.get(k, "")) for k in ("cluster", "pool", "decision"))
        where = labelled(cluster=cluster, pool=pool)
        sheet.one_of("relayer_pool_decision", where, _DECISIONS, said)
        sheet.set("relayer_pool_unverified", bool(view.get("unverified")), where)
        try:
            at = datetime.fromisoformat(str(view.get("at", "")))
        except ValueError:
            continue
        sheet.set("relayer_pool_look_timestamp_seconds", at.timestamp(), where)

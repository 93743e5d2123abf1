"""What is found of clusters and their pools, as figures: from this replica's own watches."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from watcher.core.blocks import Target, target_of
from watcher.core.facts import ClusterName
from watcher.core.stages import StageKind
from watcher.core.state import Finding, Flag, State, Surveyed
from watcher.metrics.sheet import Sheet, labelled, one_hot

DAY_SECONDS = 86400
_STATES, _FLAGS = one_hot("state", State), one_hot("flag", Flag)
_STAGES, _TARGETS = one_hot("stage", StageKind), one_hot("target", Target)
_UPDATED, _DEGRADED = labelled(condition="updated"), labelled(condition="degraded")


class Watch(Protocol):
    """How long ago one kind of one cluster was in step."""

    @property
    def synced_at(self) -> datetime | None: ...


class Watched(Protocol):
    @property
    def reflectors(self) -> Mapping[str, Watch]: ...


def watches(sheet: Sheet, clusters: Mapping[ClusterName, Watched], now: datetime) -> None:
    """Put the ages of watches onto the sheet."""
    for name, cluster in clusters.items():
        for title, watch in cluster.reflectors.items():
            if watch.synced_at is not None:
                age = max(0.0, (now - watch.synced_at).total_seconds())
                sheet.set("relayer_watch_age_seconds", age, labelled(cluster=name, kind=title))


def tell(sheet: Sheet, surveyed: Iterable[Surveyed]) -> None:
    """Put everything that was found onto the sheet."""
    for seen in surveyed:
        where = labelled(cluster=seen.cluster)
        if seen.version:
            sheet.set("relayer_cluster_info", 1, where, labelled(version=seen.version))
        sheet.one_of("relayer_cluster_stage", where, _STAGES, seen.stage.kind)
        at = moment(seen.observed_at)
        sheet.set("relayer_cluster_observed_timestamp_seconds", at, where)
        sheet.set("relayer_cluster_problems", len(seen.problems), where)
        for finding in seen.findings:
            _pool(sheet, finding, seen.stage.version or seen.version)


def _pool(sheet: Sheet, found: Finding, version: str) -> None:
    where = labelled(cluster=found.cluster, pool=found.pool)
    sheet.one_of("relayer_pool_state", where, _STATES, found.state)
    _flags(sheet, found, where)
    lag = found.lag
    if lag.releases is not None:
        sheet.set("relayer_pool_lag_releases", lag.releases, where)
    if lag.minors is not None:
        sheet.set("relayer_pool_lag_minors", lag.minors, where)
    if lag.days is not None:
        sheet.set("relayer_pool_lag_seconds", lag.days * DAY_SECONDS, where)
    numbers = dict.fromkeys(Target, 0)
    for block in found.blocks:
        numbers[target_of(block, version)] += 1
    for target, number in numbers.items():
        sheet.set("relayer_pool_blocks", number, where, _TARGETS[target])
    ends = [block.until for block in found.blocks if block.until is not None]
    if ends:
        sheet.set("relayer_pool_certificate_timestamp_seconds", moment(min(ends)), where)
    sheet.set("relayer_pool_nodes", found.nodes.total, where)
    sheet.set("relayer_pool_nodes_in_condition", found.nodes.updated, where, _UPDATED)
    sheet.set("relayer_pool_nodes_in_condition", found.nodes.degraded, where, _DEGRADED)
    at = moment(found.observed_at)
    sheet.set("relayer_pool_observed_timestamp_seconds", at, where)


def _flags(sheet: Sheet, found: Finding, where: str) -> None:
    raised = {one.flag: one for one in found.flags}
    for flag, label in _FLAGS.items():
        one = raised.get(Flag(flag))
        sheet.set("relayer_pool_flag", one is not None, where, label)
        if one is not None and one.since is not None:
            at = moment(one.since)
            sheet.set("relayer_pool_flag_timestamp_seconds", at, where, label)


def moment(at: datetime | None) -> float:
    """Return Unix time; 0 for what was never seen."""
    return 0.0 if at is None else max(0.0, at.timestamp())

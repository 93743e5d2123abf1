"""Builds and updates that ended, whoever ended them: a worker, a person at a shell, the planner.

Only the store knows of all of them, so they are counted as a scrape finds them there. Every replica
counts all; what had ended before the first scrape is where counting begins.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from watcher.core.build import BUILD_ENDS, Build
from watcher.core.jobs import Job
from watcher.core.update import UPDATE_ENDS, Update


@dataclass(slots=True)
class Ends:
    """Remembers which were counted: as many as the store lists."""

    _counted: frozenset[str] | None = None

    def news(self, ended: Iterable[Job]) -> list[Job]:
        """Return those that were not there the last time; none the first time."""
        listed = {job.id: job for job in ended}
        before, self._counted = self._counted, frozenset(listed)
        return [] if before is None else [job for id_, job in listed.items() if id_ not in before]


def begin(figures: Mapping[str, Any], clusters: Iterable[str]) -> None:
    """Make the series that there will be: an increase is only seen from one number to another."""
    for cluster in clusters:
        for result in UPDATE_ENDS:
            figures["relayer_updates_ended_total"].labels(cluster, result)
    for end in BUILD_ENDS:
        figures["relayer_builds_ended_total"].labels(end)


def count(figures: Mapping[str, Any], job: Job) -> None:
    """Count one that ended."""
    seconds = max(0.0, (job.changed_at - job.created_at).total_seconds())
    if isinstance(job, Build):
        figures["relayer_builds_ended_total"].labels(job.state).inc()
        figures["relayer_build_duration_seconds"].labels(job.state).observe(seconds)
        return
    figures["relayer_updates_ended_total"].labels(job.cluster, job.state).inc()
    figures["relayer_update_duration_seconds"].labels(job.state).observe(seconds)
    for state, lasted in _lasted(job):
        figures["relayer_update_state_duration_seconds"].labels(state).observe(lasted)


def _lasted(update: Update) -> Iterator[tuple[str, float]]:
    for (state, since), (_, until) in pairwise(update.times):
        yield state, max(0.0, (until - since).total_seconds())

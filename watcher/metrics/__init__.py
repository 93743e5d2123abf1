"""What Prometheus reads: our own registry, so that nothing of other libraries slips in.

Two kinds of figures. What this replica did is counted when it happens (`counted`); how things stand
is read from the store, the watches and the findings at each scrape (`standing`, `findings`), so
that it is right after a restart too. `figures` has all of them by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import metadata

from prometheus_client import generate_latest

from watcher.core.facts import ClusterName
from watcher.core.jobs import Job
from watcher.core.state import Surveyed
from watcher.metrics import ends, findings, standing
from watcher.metrics.counted import Counted
from watcher.metrics.ends import Ends
from watcher.metrics.findings import Watch, Watched
from watcher.metrics.sheet import Sheet, labelled
from watcher.ports import Store

__all__ = ["CONTENT_TYPE", "Metrics", "Watch", "Watched"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Metrics(Counted):
    """All figures of one process."""

    _ends: Ends = field(default_factory=Ends)

    async def text(
        self,
        store: Store,
        clusters: Mapping[ClusterName, Watched],
        *,
        surveyed: Sequence[Surveyed] = (),
        now: datetime,
    ) -> bytes:
        """Return everything for a scrape. Raise what the store raises."""
        seen = await standing.read(store, now)
        # No await from here on: two scrapes at once must not mix.
        self._count(seen.ended, clusters)
        sheet = Sheet()
        sheet.set("relayer_build_info", 1, labelled(version=_version()))
        findings.tell(sheet, surveyed)
        findings.watches(sheet, clusters, now)
        standing.tell(sheet, seen, clusters, now)
        return sheet.text() + generate_latest(self.registry)

    def _count(self, ended: Sequence[Job], clusters: Mapping[ClusterName, Watched]) -> None:
        ends.begin(self._m, clusters)
        for job in self._ends.news(ended):
            ends.count(self._m, job)


@cache
def _version() -> str:
    try:
        return metadata.version("relayer")
    except metadata.PackageNotFoundError:  # run from its source, not installed
        return "unknown"

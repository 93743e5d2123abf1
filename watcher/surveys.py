"""Every cluster surveyed as it moves: what alerts, figures and pages are made from.

Each replica has its own, from its own watches, and decides nothing by it. A node event costs one
finding; whatever else moves costs a full pass, with registries asked again where it matters.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import structlog

from watcher.core.blocks import unmapped
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName
from watcher.core.state import Finding, Surveyed
from watcher.core.survey import Known, Survey
from watcher.ports import Clock, OutsideError
from watcher.surveying import Surveyor

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
"""Between two passes over one cluster: a burst of events is one pass."""
AGAIN_SECONDS = 30.0
"""After a fault of ours, or what shall hear of it being away."""
NODE = "Node"
LONG_AGO = datetime.min.replace(tzinfo=UTC)

OnFound = Callable[[ClusterName], Awaitable[None]]


@dataclass(slots=True)
class _Desk:
    """What is known of one cluster, and what moved since."""

    survey: Survey
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    all_moved: bool = True
    nodes: set[str] = field(default_factory=set)
    known: Known | None = None
    found: Surveyed | None = None

    @property
    def is_clean(self) -> bool:
        return not (self.all_moved or self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveys:
    views: Mapping[ClusterName, Callable[[], ClusterView]]
    """Of each configured cluster, what its watches know now; cheap."""
    surveyor: Surveyor
    clock: Clock
    resync_seconds: float
    """All is surveyed again this often though nothing moved: registries and time do."""
    _desks: dict[ClusterName, _Desk] = field(default_factory=dict)
    _listeners: list[OnFound] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._desks.update({name: _Desk(Survey(name)) for name in self.views})

    def listen(self, on_found: OnFound) -> None:
        """Call this after each pass that found something else than the one before."""
        self._listeners.append(on_found)

    def changed(self, cluster: ClusterName, kind: str, name: str) -> None:
        """Note that something of a cluster moved."""
        desk = self._desks[cluster]
        if kind == NODE:
            desk.nodes.add(name)
        else:
            desk.all_moved = True
        desk.moved.set()

    def changed_cluster(self, cluster: ClusterName) -> None:
        """Everything about a cluster may look different now."""
        self._desks[cluster].all_moved = True
        self._desks[cluster].moved.set()

    def surveyed(self) -> Sequence[Surveyed]:
        """What is known now, of each cluster: also of one that was never read, or is away."""
        return [self._now(name) for name in self.views]

    def _now(self, name: ClusterName) -> Surveyed:
        desk, view = self._desks[name], self.views[name]()
        found = desk.found or Surveyed.of(view)
        if not desk.is_clean or view.observed_at == found.observed_at:
            return replace(found, problems=view.problems)
        # Nothing has moved: what was found is so as of the last time it was in step. By a clock
        # that was put back that is earlier than before.
        at = view.observed_at
        findings = tuple(replace(one, observed_at=at) for one in found.findings)
        desk.found = replace(found, observed_at=at, findings=findings, problems=view.problems)
        return desk.found

    async def run(self, cluster: ClusterName) -> None:
        """Survey one cluster, for ever."""
        desk = self._desks[cluster]
        while True:
            try:
                async with asyncio.timeout(self.resync_seconds):
                    await desk.moved.wait()
            except TimeoutError:
                desk.all_moved = True
            desk.moved.clear()
            try:
                await self._pass(cluster, desk)
            except Exception as error:  # a bug of ours: one cluster must not end the service
                log.error("survey_crashed", cluster=cluster, exc_info=error)
                desk.all_moved = True
                await asyncio.sleep(AGAIN_SECONDS)
                desk.moved.set()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _pass(self, cluster: ClusterName, desk: _Desk) -> None:
        full = desk.all_moved or desk.known is None
        known, asked_at = desk.known, desk.found.asked_at if desk.found else None
        if full or known is None:
            desk.all_moved, asked_at = False, self.clock.now()
            known = await self.surveyor.known(self.views[cluster]())
        # What moves from here on is not in this view, and stays noted.
        nodes, view = tuple(desk.nodes), self.views[cluster]()
        desk.nodes.clear()
        now = self.clock.now()
        findings = desk.survey.of(view, known, now=now, nodes=None if full else nodes)
        before = desk.found
        if full or before is None:
            said = unmapped(view, desk.survey.members()) if view.cluster_version else ()
        else:
            said = before.said
        desk.known, desk.found = known, Surveyed.of(view, findings, said, asked_at=asked_at)
        if before is None or _is_news(before, desk.found):
            await self._tell(cluster)

    async def _tell(self, cluster: ClusterName) -> None:
        for listener in self._listeners:
            try:
                await listener(cluster)
            except OutsideError as error:  # whoever listens looks by itself now and then, too
                log.warning("findings_not_told", cluster=cluster, cause=str(error))


def _is_news(before: Surveyed, now: Surveyed) -> bool:
    """Whether something else was found; when it was seen is no news. Most findings are the same
    objects as before, and need not be compared."""
    if _without_findings(before) != _without_findings(now):
        return True
    pairs = itertools.zip_longest(before.findings, now.findings)
    return any(a is not b and _differ(a, b) for a, b in pairs)


def _without_findings(found: Surveyed) -> Surveyed:
    return replace(found, findings=(), observed_at=LONG_AGO, asked_at=None)


def _differ(a: Finding | None, b: Finding | None) -> bool:
    if a is None or b is None:
        return True
    return replace(a, observed_at=None) != replace(b, observed_at=None)

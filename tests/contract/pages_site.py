"""A site with a fleet in it: several clusters, a pool in every state, updates in every stage.

The parts are those of `site`; what clusters are found to be is played: `PlayedSurveys.put`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.contract.pages_fleet import EDGE, LAB, NEW, PROD, STAGING, fleet_of
from tests.contract.pages_story import RULES, tell
from tests.contract.site import ANN, BOB, Service, Site
from tests.facts import T0, TARGET, a_machine_config, a_node, a_pool, a_version, image
from tests.scene import Scene
from watcher.core import mco
from watcher.core.cluster import ClusterView, Node
from watcher.core.facts import ClusterName, PoolName
from watcher.core.state import Finding, Surveyed
from watcher.core.update import Policy
from watcher.core.windows import Window
from watcher.metrics import Metrics, Watch
from watcher.settings import (
    ClusterSettings,
    PersonSettings,
    PoolSettings,
    RecipeSettings,
    Settings,
    TokenSettings,
    WebSettings,
)
from watcher.surveying import Offline, Surveyor
from watcher.surveys import Surveys
from watcher.web import make_app

WEEKLY = Window(days=("tue", "thu"), start="22:00", hours=4, timezone="Europe/Oslo")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedSurveys(Surveys):
    """Findings as a test says them."""

    played: dict[ClusterName, Surveyed] = field(default_factory=dict)

    def surveyed(self) -> Sequence[Surveyed]:
        return list(self.played.values())

    async def put(self, seen: Surveyed) -> None:
        """What a pass over a cluster found, told to whoever listens."""
        self.played[seen.cluster] = seen
        await self._tell(seen.cluster)

    async def put_pool(self, cluster: ClusterName, pool: str, **said: Any) -> None:
        """The same, of one pool."""
        seen = self.played[cluster]
        findings = [replace(f, **said) if f.pool == pool else f for f in seen.findings]
        await self.put(replace(seen, findings=tuple(findings)))


@dataclass(slots=True)
class PlayedCluster:
    """A cluster with the nodes of its findings."""

    name: ClusterName
    surveys: PlayedSurveys
    problems: tuple[str, ...] = ()

    @property
    def reflectors(self) -> Mapping[str, Watch]:
        return {}

    def view(self) -> ClusterView:
        seen = self.surveys.played[self.name]
        nodes: dict[str, Node] = {}
        for one in seen.findings:
            nodes |= {node.meta.name: node for node in _nodes(one)}
        configs = {
            f"rendered-{one.pool}-{n}": a_machine_config(
                f"rendered-{one.pool}-{n}", "", str(image(f"{one.pool} {n}"))
            )
            for one in seen.findings
            for n in (1, 2)
        }
        return ClusterView(
            cluster=self.name,
            observed_at=seen.observed_at,
            cluster_version=a_version(seen.version or "4.18.21"),
            pools={one.pool: a_pool(one.pool, nodes=one.nodes.total) for one in seen.findings},
            machine_configs=configs,
            nodes=nodes,
            problems=seen.problems,
        )


def _nodes(found: Finding) -> list[Node]:
    """As many as the finding counts: updated ones, one that drains, the others waiting."""
    made = []
    for n in range(found.nodes.total):
        done = n < found.nodes.updated
        has, wants = f"rendered-{found.pool}-{2 if done else 1}", f"rendered-{found.pool}-2"
        state = "Done"
        if n == found.nodes.updated:
            state = "Degraded" if found.nodes.degraded else "Working"
        name = f"{found.cluster}-{found.pool}-{n}.example.com"
        node = a_node(name, "worker", found.pool, has=has, wants=wants, state=state)
        if state == "Degraded":
            said = {**node.meta.annotations, mco.NODE_REASON: "failed to drain: a pod does not end"}
            node = replace(node, meta=replace(node.meta, annotations=said))
        os = f"Red Hat Enterprise Linux CoreOS 418.94.2026{'11' if done else '09'}041200-0"
        made.append(replace(node, os_image=os, kubelet_version="v1.31.9"))
    return made


@dataclass
class FleetService(Service):
    """As `bootstrap.App`, with findings that a test plays."""

    played: PlayedSurveys = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        nobody = Offline()
        self.played = self.surveys = PlayedSurveys(
            views={},
            surveyor=Surveyor(settings=self.settings, images=nobody, graphs=nobody),
            clock=self.clock,
            resync_seconds=300.0,
        )
        names = [one.name for one in self.settings.clusters]
        played: dict[ClusterName, Any] = {n: PlayedCluster(n, self.played) for n in names}
        self.clusters = played


@dataclass
class PagesSite(Site):
    """What tests have in hand."""

    service: FleetService


def settings_of(directory: Path, host: str, *, tokens: bool = True) -> Settings:
    for name, token in (("ann", ANN), ("bob", BOB)):
        (directory / name).write_text(token + "\n")
    policy = Policy(approval=RULES, windows=(WEEKLY,))
    mine = [("prod", "infra"), ("prod", "gpu-a100"), ("prod", "worker"), ("prod", "storage")]
    mine += [("edge-oslo", "worker"), ("edge-oslo", "realtime"), ("staging", "first")]
    mine += [("staging", "worker"), ("staging", "infra"), ("new-dc", "infra")]
    given = tuple(TokenSettings(name=n, token_file=directory / n) for n in ("ann", "bob"))
    return Settings(
        web=WebSettings(host=host, tokens=given if tokens else ()),
        clusters=tuple(ClusterSettings(name=n) for n in (PROD, EDGE, STAGING, LAB, NEW)),
        recipes=(RecipeSettings(name="gpu", path=Path("gpu"), target=TARGET),),
        pools=tuple(
            PoolSettings(cluster=ClusterName(c), pool=PoolName(p), recipe="gpu", policy=policy)
            for c, p in mine
        ),
        people=(PersonSettings(name="Kari Nordmann", identities=("slack:U0KARI",)),),
    )


@asynccontextmanager
async def pages_site(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    now: datetime = T0,
    found: Sequence[Surveyed] | None = None,
    settings: Settings | None = None,
    story: bool = True,
) -> AsyncIterator[PagesSite]:
    """`now`: for a browser, whose clock goes on, the real time. `found` replaces the fleet."""
    scene = Scene()
    scene.clock.advance((now - T0).total_seconds())
    service = FleetService(scene, settings or settings_of(directory, host))
    for seen in fleet_of(now) if found is None else found:
        service.played.played[seen.cluster] = seen
    if story:
        await tell(service.store, now)
    metrics = Metrics()
    app = make_app(service, service.settings, metrics=metrics)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8080") as http:
        yield PagesSite(service, http, metrics, app)

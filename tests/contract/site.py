"""The web face over a real store, planner and people; the cluster and the registry are fakes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tests.contract.api_schema import Held
from tests.facts import INFRA, PROD, TARGET, an_update
from tests.fakes import FixedClock, NoGraphs
from tests.scene import Scene
from watcher.ancestry import Ancestry
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.directory import SettingsDirectory
from watcher.metrics import Metrics, Watch
from watcher.observe import PoolObserver
from watcher.people import People
from watcher.planner import Planner
from watcher.ports import AuditEntry, Change
from watcher.rights import Rights
from watcher.settings import (
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

ANN, BOB = "ann-has-a-long-token", "bob-has-a-long-token"


@dataclass
class SyncedAt:
    synced_at: datetime | None


@dataclass
class WatchedCluster:
    """What the pages see of a cluster."""

    scene: Scene
    problems: tuple[str, ...] = ()
    observed_at: datetime | None = None
    """None: just now."""

    @property
    def reflectors(self) -> Mapping[str, Watch]:
        return {"MachineConfigPool": SyncedAt(self.observed_at or self.scene.clock.now())}

    def view(self) -> ClusterView:
        seen = self.scene.cluster.view()
        return replace(seen, observed_at=self.observed_at or self.scene.clock.now())


@dataclass
class Service:
    """As `bootstrap.App`, as far as the pages look."""

    scene: Scene
    settings: Settings
    replica: str = "replica-1"
    clusters: dict[ClusterName, WatchedCluster] = field(default_factory=dict)
    store_type: type[MemoryStore] = MemoryStore

    def __post_init__(self) -> None:
        self.clock: FixedClock = self.scene.clock
        self.store = self.store_type(self.clock)
        self.directory = SettingsDirectory(
            settings=self.settings, store=self.store, clock=self.clock
        )
        self.people = People(store=self.store, clock=self.clock, directory=self.directory)
        self.rights = Rights(
            settings=self.settings, store=self.store, directory=self.directory, clock=self.clock
        )
        self.clusters = {PROD: WatchedCluster(self.scene)}
        nobody = Offline()
        self.surveys = Surveys(
            views={name: cluster.view for name, cluster in self.clusters.items()},
            surveyor=Surveyor(settings=self.settings, images=nobody, graphs=nobody),
            clock=self.clock,
            resync_seconds=300.0,
        )
        observer = PoolObserver(
            settings=self.settings,
            clusters={PROD: self.scene.cluster},
            images=self.scene.images,
            signatures=self.scene.signatures,
            ancestry=Ancestry(self.scene.images, NoGraphs()),
            load_recipe=lambda name: self.scene.recipe,
            store=self.store,
        )
        self.planner = Planner(
            settings=self.settings,
            store=self.store,
            observer=observer,
            images=self.scene.images,
            people=self.people,
            clock=self.clock,
        )


@dataclass
class Site:
    service: Service
    http: httpx.AsyncClient
    metrics: Metrics
    app: Any

    async def put(self, update: Update | None = None) -> Update:
        """An update that awaits approval, in the store."""
        made = update or an_update(state=UpdateState.AWAITING_APPROVAL)
        await self.service.store.commit([Change(job=made, expected=0)], [])
        return made

    async def now(self, update: Update) -> Update:
        job = (await self.service.store.get(update.id)).job
        assert isinstance(job, Update)
        return job

    async def audit(self) -> list[AuditEntry]:
        return await self.service.store.audit()

    async def approve(
        self, update: Update, token: str | None = ANN, /, **body: object
    ) -> httpx.Response:
        return await self.decide("approve", update, token, **body)

    async def decide(
        self, what: str, update: Update, token: str | None = ANN, /, **body: object
    ) -> httpx.Response:
        said = {"binding": str(update.binding.digest()), **body}
        return await self.post(f"updates/{update.id}/{what}", token, **said)

    async def post(self, path: str, token: str | None = ANN, /, **body: object) -> httpx.Response:
        return await self.http.post(f"/api/v1/{path}", json=body, headers=bearer(token))


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@asynccontextmanager
async def site(
    directory: Path,
    *,
    host: str = "127.0.0.1",
    tokens: bool = True,
    policy: Policy | None = None,
    people: tuple[PersonSettings, ...] = (),
    store_type: type[MemoryStore] = MemoryStore,
    **pool: Any,
) -> AsyncIterator[Site]:
    """Ann's and Bob's tokens are files in `directory`."""
    scene = Scene()
    for name, token in (("ann", ANN), ("bob", BOB)):
        (directory / name).write_text(token + "\n")
    given = tuple(TokenSettings(name=n, token_file=directory / n) for n in ("ann", "bob"))
    settings = Settings(
        web=WebSettings(host=host, tokens=given if tokens else ()),
        recipes=(RecipeSettings(name="gpu", path=Path("gpu"), target=TARGET),),
        pools=(
            PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu", policy=policy or Policy(), **pool),
        ),
        people=people,
    )
    service, metrics = Service(scene, settings, store_type=store_type), Metrics()
    app = make_app(service, settings, metrics=metrics)
    # Errors of ours must come out as answers, as they would from a server.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    held = {"response": [Held(app.state.api).check]}
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://{host}:8080", event_hooks=held
    ) as http:
        yield Site(service, http, metrics, app)

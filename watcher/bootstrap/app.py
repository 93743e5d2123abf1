"""Everything joined, for the service and for commands that work beside it."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.ancestry import Ancestry, Graphs
from watcher.bootstrap import clients
from watcher.bootstrap.clients import UNCOUNTED, USUAL, OnChange, Patience, read_heads, read_recipe
from watcher.clients.counting import CallMeter
from watcher.clients.kube.cluster import KubeCluster
from watcher.clock import SystemClock
from watcher.core.facts import ClusterName
from watcher.directory import SettingsDirectory
from watcher.linting import Linter
from watcher.observe import PoolObserver
from watcher.people import People
from watcher.planner import Planner
from watcher.ports import Builder, Clock, Images, Store, Transient
from watcher.rights import Rights
from watcher.service import Part
from watcher.settings import Settings
from watcher.surveying import Surveyor
from watcher.surveys import Surveys

if TYPE_CHECKING:
    from watcher.clients.slack.api import SlackApi

SYNC_SECONDS = 30.0
"""How long a one-shot command waits for a cluster before it says that it is not reachable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything joined; the surfaces (command line, HTTP) work on this."""

    settings: Settings
    store: Store
    clock: Clock
    images: Images
    people: People
    rights: Rights
    directory: SettingsDirectory
    slack: "SlackApi | None"
    """None: no token is configured."""
    planner: Planner
    observer: PoolObserver
    clusters: Mapping[ClusterName, KubeCluster]
    surveys: Surveys
    builders: Sequence[Builder]
    server_ended: Part | None
    """Returns when the embedded server ended by itself; None where Redis is somebody else's."""
    replica: str


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of a running service, or its files' own server for a moment; checked."""
    from watcher.clients.store.opening import opened

    async with opened(settings.redis, state_dir=settings.state_dir) as store:
        yield store


@asynccontextmanager
async def open_app(
    settings: Settings,
    *,
    on_change: OnChange | None = None,
    patience: Patience = USUAL,
    alone: bool = False,
    meter: CallMeter = UNCOUNTED,
) -> AsyncIterator[App]:
    """Connect to everything but start nothing: the clusters' watches are for the caller to run.

    `alone`: own the embedded server and speak to Slack, as the service must; commands do neither.
    Raise Refused for what a person must mend first (credentials, files), Transient for the store.
    """
    from watcher.clients.images import RegistryImages
    from watcher.clients.store.opening import opened_with_server

    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store, server = await stack.enter_async_context(
            opened_with_server(settings.redis, state_dir=settings.state_dir, alone=alone)
        )
        clusters = await clients.open_clusters(settings, stack, clock, on_change, patience, meter)
        registries = await clients.open_registries(settings, stack, patience, clusters, meter)
        # Commands need no token: they believe what the service has looked up.
        slack = await clients.open_slack(settings, stack, meter) if alone else None
        images = RegistryImages(registries.access, store)
        graphs = await clients.open_graphs(stack)
        observer = PoolObserver(
            settings=settings,
            clusters=clusters,
            images=images,
            signatures=await clients.open_signatures(settings, stack, clusters, clock),
            ancestry=Ancestry(images, graphs, graph_url=settings.release.graph_url),
            load_recipe=lambda name: read_recipe(settings, name)[0],
            store=store,
            linter=Linter(heads=lambda name: read_heads(settings, name)),
        )
        yield _joined(
            observer,
            slack=slack,
            clock=clock,
            clusters=clusters,
            surveys=_surveys(observer, clusters, graphs, clock),
            builders=await clients.find_builders(settings, registries),
            server_ended=server.ended if server else None,
        )


def _surveys(
    observer: PoolObserver,
    clusters: Mapping[ClusterName, KubeCluster],
    graphs: Graphs,
    clock: Clock,
) -> Surveys:
    """What finds where every pool stands, from the same registries and recipes."""
    settings = observer.settings
    return Surveys(
        views={name: cluster.view for name, cluster in clusters.items()},
        surveyor=Surveyor(
            settings=settings,
            images=observer.images,
            graphs=graphs,
            load_recipe=observer.load_recipe,
            memory=observer.store,
        ),
        clock=clock,
        resync_seconds=settings.work.resync_seconds,
    )


def _joined(
    observer: PoolObserver, *, slack: "SlackApi | None", clock: Clock, **outside: Any
) -> App:
    """What decides and plans, on what is open."""
    settings, store, images = observer.settings, observer.store, observer.images
    directory = SettingsDirectory(settings=settings, store=store, clock=clock, groups=slack)
    people = People(store=store, clock=clock, directory=directory)
    return App(
        settings=settings,
        store=store,
        clock=clock,
        images=images,
        people=people,
        rights=Rights(settings=settings, store=store, directory=directory, clock=clock),
        directory=directory,
        slack=slack,
        planner=Planner(
            settings=settings,
            store=store,
            observer=observer,
            images=images,
            people=people,
            clock=clock,
        ),
        observer=observer,
        replica=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        **outside,
    )


@asynccontextmanager
async def watching(
    app: App, *clusters: ClusterName, seconds: float = SYNC_SECONDS
) -> AsyncIterator[None]:
    """Run the watches of some clusters until they know everything, for one-shot commands.

    Raise Transient if a cluster does not answer in time.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(app.clusters[name].run()) for name in clusters]
        try:
            for name in clusters:
                await synced(app.clusters[name], seconds)
            yield
        finally:
            for task in tasks:
                task.cancel()


async def synced(cluster: KubeCluster, seconds: float = SYNC_SECONDS) -> None:
    """Wait until a cluster knows everything; raise Transient if it does not in time."""
    try:
        async with asyncio.timeout(seconds):
            await cluster.synced()
    except TimeoutError as error:
        why = "; ".join(cluster.problems) or f"no answer within {seconds:.0f} s"
        raise Transient(f"cluster {cluster.name}: {why}") from error

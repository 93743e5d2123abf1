"""The one file that knows every concrete class: it opens, joins and closes them.

No container library, no globals, nothing done at import time; what is opened goes into one stack.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from watcher.clients.kube.cluster import KubeCluster
from watcher.clock import SystemClock
from watcher.core.facts import ClusterName
from watcher.core.jobs import JobKind
from watcher.core.recipe import Recipe
from watcher.engine import Handler, Worker
from watcher.observe import PoolObserver
from watcher.people import People
from watcher.planner import Planner
from watcher.planning import Leadership, Planning
from watcher.ports import Builder, Clock, Images, Meter, Refused, Store, Transient
from watcher.schedule import Schedule
from watcher.service import Part, PartEnded, run
from watcher.settings import ClusterSettings, Settings

if TYPE_CHECKING:
    from watcher.clients.kube.credentials import Credentials as ClusterCredentials
    from watcher.clients.kube.reflector import Pacing
    from watcher.clients.registry import Credentials as RegistryLogins
    from watcher.clients.registry import RegistryClient
    from watcher.clients.registry import RegistrySettings as RegistryClientSettings

log = structlog.get_logger()

SYNC_SECONDS = 30.0
"""How long a one-shot command waits for a cluster before it says that it is not reachable."""


class StoreEnded(PartEnded, Transient):
    """The embedded server died. Nothing that was saved is lost: start again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the clients wait and how often they ask again. Empty: as fits the field."""

    cluster: "Pacing | None" = None
    registry: "RegistryClientSettings | None" = None
    """Times and limits; trust comes from the configuration."""


USUAL = Patience()


class Clusters(dict[ClusterName, KubeCluster]):
    """Clusters by name. An update may outlive its cluster's place in the configuration, and
    another replica may still have it: that is waited for and told, not a bug."""

    def __missing__(self, name: ClusterName) -> KubeCluster:
        raise Transient(f"cluster {name} is not in the configuration of this replica")


OnChange = Callable[[ClusterName, str, str], None]
"""Takes cluster, kind and object name."""


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    settings: "RegistryClientSettings"
    logins: "RegistryLogins"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything joined; the surfaces (command line, HTTP) work on this."""

    settings: Settings
    store: Store
    clock: Clock
    images: Images
    people: People
    planner: Planner
    observer: PoolObserver
    clusters: Mapping[ClusterName, KubeCluster]
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
) -> AsyncIterator[App]:
    """Connect to everything but start nothing: the clusters' watches are for the caller to run.

    `alone`: own the embedded server, as the service must; a command joins a running one.
    Raise Refused for what a person must mend first (credentials, files), Transient for the store.
    """
    from watcher.clients.images import RegistryImages
    from watcher.clients.store.opening import opened_with_server

    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store, server = await stack.enter_async_context(
            opened_with_server(settings.redis, state_dir=settings.state_dir, alone=alone)
        )
        clusters = await _clusters(settings, stack, clock, on_change, patience)
        registry, client = await _registry(settings, stack, patience)
        people, images = People(store=store, clock=clock), RegistryImages(client)
        observer = PoolObserver(
            settings=settings,
            clusters=clusters,
            images=images,
            load_recipe=lambda name: _recipe(settings, name)[0],
            store=store,
        )
        planner = Planner(
            settings=settings,
            store=store,
            observer=observer,
            images=images,
            people=people,
            clock=clock,
        )
        yield App(
            settings=settings,
            store=store,
            clock=clock,
            images=images,
            people=people,
            planner=planner,
            observer=observer,
            clusters=clusters,
            builders=await _builders(settings, client, registry),
            server_ended=server.ended if server else None,
            replica=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}",
        )


async def _clusters(
    settings: Settings,
    stack: AsyncExitStack,
    clock: Clock,
    on_change: OnChange | None,
    patience: Patience,
) -> Clusters:
    """Check every cluster's credentials; nothing is watched yet."""
    clusters = Clusters()
    for one in settings.clusters:
        cluster = KubeCluster(
            one.name,
            credentials=_credentials(one, clock),
            clock=clock,
            on_change=_told(one.name, on_change),
            pacing=patience.cluster,
        )
        clusters[one.name] = await stack.enter_async_context(cluster)
    return clusters


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
                await _synced(app.clusters[name], seconds)
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _synced(cluster: KubeCluster, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await cluster.synced()
    except TimeoutError as error:
        why = "; ".join(cluster.problems) or f"no answer within {seconds:.0f} s"
        raise Transient(f"cluster {cluster.name}: {why}") from error


def _told(cluster: ClusterName, on_change: OnChange | None) -> Callable[[str, str], None]:
    def tell(kind: str, name: str) -> None:
        if on_change:
            on_change(cluster, kind, name)

    return tell


def _credentials(one: ClusterSettings, clock: Clock) -> "ClusterCredentials":
    from watcher.clients.kube import credentials

    if one.in_cluster:
        return credentials.in_cluster(clock=clock)
    if one.url:
        return credentials.TokenFile(one.url, token_file=one.token_file, ca_file=one.ca_file)
    return credentials.from_kubeconfig(one.kubeconfig, context=one.context or None, clock=clock)


async def _registry(
    settings: Settings, stack: AsyncExitStack, patience: Patience
) -> tuple[RegistryAccess, "RegistryClient"]:
    from watcher.clients import registry

    said = settings.registry
    access = replace(
        patience.registry or registry.RegistrySettings(),
        ca_files=said.ca_files,
        insecure_hosts=frozenset(said.plain_http),
    )
    logins = registry.Credentials()
    if said.auth_file:
        logins = await asyncio.to_thread(registry.Credentials.read, said.auth_file)
    client = await stack.enter_async_context(registry.RegistryClient.opened(access, logins))
    return RegistryAccess(access, logins), client


async def _builders(
    settings: Settings, client: "RegistryClient", registry: RegistryAccess
) -> list[Builder]:
    """Return the builders that work here, in the order in which `auto` prefers them."""
    from watcher.clients.builders import Append, Buildah, BuildahSettings

    said = settings.buildah
    buildah = BuildahSettings(
        work=settings.state_dir / "builds",
        isolation=said.isolation,
        storage_driver=said.storage_driver,
        build_seconds=said.timeout_seconds,
    )
    builders: list[Builder] = [Append(client)]
    try:
        builders.append(await Buildah.found(buildah, registry.settings, registry.logins))
    except Refused as error:
        log.info("no_buildah", cause=str(error))
    return builders


def _recipe(settings: Settings, name: str) -> tuple[Recipe, Path, str]:
    """Read a recipe from its directory. Blocking."""
    from watcher.clients.recipes import load_recipe

    try:
        said = settings.recipe(name)
    except KeyError as error:  # a job may outlive its recipe's place in the configuration
        raise Refused(f"recipe {name} is not in the configuration") from error
    recipe = load_recipe(
        said.path,
        name=said.name,
        target=said.target,
        containerfile=said.containerfile or None,
        build_args=said.build_args,
    )
    return recipe, said.path, said.builder


def handlers_of(app: App) -> dict[type, Handler]:
    """Return what carries out each action."""
    from handlers import build as building
    from handlers.apply import ApplyHandler
    from handlers.ask_approval import AskApprovalHandler
    from handlers.await_build import AwaitBuildHandler
    from handlers.clear import ClearHandler
    from handlers.follow import FollowHandler
    from handlers.roll_back import RollBackHandler
    from handlers.verify import VerifyHandler
    from watcher.core import build, update_events
    from watcher.scout import Scout

    poll = app.settings.work.rollout_poll_seconds
    scout = Scout(app.settings, app.observer, app.images, app.clock)
    follow = FollowHandler(app.clusters, app.store, app.clock, poll)
    return {
        build.StartBuild: building.start,
        build.RunBuild: building.RunBuildHandler(
            app.builders, lambda name: _recipe(app.settings, name), app.store
        ),
        build.VerifyImage: VerifyHandler(app.images),
        update_events.AwaitBuild: AwaitBuildHandler(app.store),
        update_events.AskApproval: AskApprovalHandler(app.store, app.clock),
        update_events.ClearForApply: ClearHandler(scout, app.clusters, app.store, app.clock, poll),
        update_events.Apply: ApplyHandler(scout, app.clusters),
        update_events.FollowRollout: follow.follow,
        update_events.Soak: follow.soak,
        update_events.RollBack: RollBackHandler(app.clusters, app.store, app.clock, poll),
    }


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[App, int], None] | None = None,
    patience: Patience = USUAL,
) -> None:
    """Run the service until told to stop; `ready` is told the app and the port of its pages."""
    from watcher.metrics import Metrics
    from watcher.web import make_app, serve_web

    metrics = Metrics()
    planning: Planning | None = None

    def moved(cluster: ClusterName, kind: str, name: str) -> None:
        if planning is not None:
            planning.changed(cluster, kind, name)

    async with open_app(settings, on_change=moved, patience=patience, alone=True) as app:
        leadership = Leadership(app.store, app.replica, metrics)
        places = [(pool.cluster, pool.pool) for pool in settings.pools]
        planning = Planning(app.planner, leadership, places)
        schedule = Schedule(planning, app.store, app.clock, settings.work.resync_seconds)

        async def web() -> None:
            def told(port: int) -> None:
                log.info("ready", port=port, replica=app.replica)
                if ready:
                    ready(app, port)

            pages = make_app(app, settings, metrics=metrics)
            await serve_web(pages, settings.web.host, settings.web.port, told)

        parts: dict[str, Part] = {
            "leadership": leadership.run,
            "planning": planning.run,
            "schedule": schedule.run,
            "web": web,
            **{f"watch {name}": _watched(c, planning) for name, c in app.clusters.items()},
            **_workers(app, metrics),
            **({"store server": _store_server(app, app.server_ended)} if app.server_ended else {}),
        }
        await run(parts, drain_seconds=settings.work.drain_seconds, stop=stop)


def _store_server(app: App, ended: Part) -> Part:
    async def watch() -> None:
        from watcher.clients.store.embedded_files import tail

        await ended()
        last_words = tail(app.settings.state_dir / "store")
        raise StoreEnded(f"store server ended by itself; its last words: {last_words}")

    return watch


def _watched(cluster: KubeCluster, planning: Planning) -> Part:
    async def watch() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(cluster.run())
            await cluster.synced()
            # What was looked at before everything was known was held; now it can be decided.
            planning.changed_cluster(cluster.name)

    return watch


def _workers(app: App, meter: Meter) -> dict[str, Part]:
    handlers, work = handlers_of(app), app.settings.work
    amounts = {JobKind.UPDATE: work.workers, JobKind.BUILD: work.builds}
    parts: dict[str, Part] = {}
    for kind, amount in amounts.items():
        for number in range(amount):
            worker = Worker(
                name=f"{app.replica}/{kind}-{number}",
                kinds=(kind,),
                store=app.store,
                handlers=handlers,
                clock=app.clock,
                lease_seconds=work.lease_seconds,
                meter=meter,
            )
            parts[f"{kind} worker {number}"] = worker.run
    return parts

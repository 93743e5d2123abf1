"""The running service: its parts, and how they end."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from watcher.bootstrap.app import App, open_app
from watcher.bootstrap.clients import USUAL, Patience
from watcher.bootstrap.handlers import handlers_of
from watcher.bootstrap.heartbeat import open_heartbeat
from watcher.bootstrap.telling import Telling, open_telling
from watcher.clients.kube.cluster import KubeCluster
from watcher.core.facts import ClusterName
from watcher.core.jobs import JobKind
from watcher.core.letters import FLEET
from watcher.engine import Worker
from watcher.planning import Leadership, Planning
from watcher.ports import Meter, Transient
from watcher.schedule import Schedule
from watcher.service import Part, PartEnded, run
from watcher.settings import Settings
from watcher.surveys import OnFound, Surveys

if TYPE_CHECKING:
    from starlette.routing import Route

    from watcher.metrics import Metrics

log = structlog.get_logger()


class StoreEnded(PartEnded, Transient):
    """The embedded server died. Nothing that was saved is lost: start again."""


async def serve(
    settings: Settings,
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[App, int], None] | None = None,
    patience: Patience = USUAL,
) -> None:
    """Run the service until told to stop; `ready` is told the app and the port of its pages."""
    from watcher.metrics import Metrics

    metrics = Metrics()
    planning: Planning | None = None
    surveys: Surveys | None = None

    def moved(cluster: ClusterName, kind: str, name: str) -> None:
        if planning is not None:
            planning.changed(cluster, kind, name)
        if surveys is not None:
            surveys.changed(cluster, kind, name)

    async with (
        open_app(settings, on_change=moved, patience=patience, alone=True, meter=metrics) as app,
        AsyncExitStack() as stack,
    ):
        leadership = Leadership(app.store, app.replica, metrics)
        places = [(pool.cluster, pool.pool) for pool in settings.pools]
        surveys = app.surveys
        surveys.listen(_marking(app, leadership))
        planning = Planning(app.planner, leadership, places)
        telling = await open_telling(app, leadership, metrics, stack)
        parts: dict[str, Part] = {
            "leadership": leadership.run,
            "planning": planning.run,
            "schedule": _schedule(app, planning, telling).run,
            "web": _web(app, metrics, telling.routes, ready),
            "heartbeat": (await open_heartbeat(app, leadership, metrics, stack)).run,
            **telling.parts,
            **{f"watch {name}": _watched(c, planning) for name, c in app.clusters.items()},
            **{f"survey {name}": _surveyed(c, surveys) for name, c in app.clusters.items()},
            **_workers(app, metrics),
            **({"store server": _store_server(app, app.server_ended)} if app.server_ended else {}),
        }
        await run(parts, drain_seconds=settings.work.drain_seconds, stop=stop)


def _schedule(app: App, planning: Planning, telling: Telling) -> Schedule:
    return Schedule(
        planning,
        app.store,
        app.clock,
        app.settings.work.resync_seconds,
        due_digests=telling.due_digests,
        refresh_groups=app.directory.refresh if app.slack else None,
    )


def _web(
    app: App, metrics: "Metrics", doors: Sequence["Route"], ready: Callable[[App, int], None] | None
) -> Part:
    async def web() -> None:
        from watcher.web import make_app, serve_web

        def told(port: int) -> None:
            log.info("ready", port=port, replica=app.replica)
            if ready:
                ready(app, port)

        said = app.settings.web
        pages = make_app(app, app.settings, metrics=metrics, doors=doors)
        await serve_web(pages, said.host, said.port, told)

    return web


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


def _marking(app: App, leadership: Leadership) -> OnFound:
    """What is told beside updates is looked at when findings changed."""

    async def mark(cluster: ClusterName) -> None:
        if leadership.is_ours:
            await app.store.outbox.mark(FLEET)

    return mark


def _surveyed(cluster: KubeCluster, surveys: Surveys) -> Part:
    async def survey() -> None:
        await cluster.synced()
        await surveys.run(cluster.name)

    return survey


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

"""The whole service inside the test's own process, told to stop at the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.scenario.world import CLUSTER, INFRA
from watcher.bootstrap import USUAL, App, Patience, serve
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.settings import Settings


@asynccontextmanager
async def running(settings: Settings, *, patience: Patience = USUAL) -> AsyncIterator[App]:
    """Serve until left; whatever the service dies of is raised here."""
    stop = asyncio.Event()
    started: asyncio.Future[App] = asyncio.get_running_loop().create_future()

    def ready(app: App, port: int) -> None:
        started.set_result(app)

    async with asyncio.TaskGroup() as group:
        service = group.create_task(serve(settings, stop=stop, ready=ready, patience=patience))
        await asyncio.wait((service, started), return_when=asyncio.FIRST_COMPLETED)
        if service.done():
            service.result()
        try:
            yield started.result()
        finally:
            stop.set()


async def newest_update(app: App) -> Update | None:
    """The pool's newest update, ended or not."""
    found = await app.store.history(CLUSTER, INFRA, 1)
    return found[0].job if found and isinstance(found[0].job, Update) else None


async def update_in(app: App, *states: str, after: str = "", seconds: float = 30.0) -> Update:
    """Wait until the newest update (other than `after`) is in one of the states."""
    seen: Update | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen = await newest_update(app)
                if seen and seen.id != after and seen.state in states:
                    return seen
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(await _told(app, seen, states)) from None


async def _told(app: App, seen: Update | None, states: tuple[str, ...]) -> str:
    lines = [f"waited for {states}, last seen: {seen}"]
    lines += [f"  look: {view}" for view in (await app.store.views()).values()]
    for kind in JobKind:
        for stored in await app.store.jobs(kind, ended=False):
            progress = await app.store.progress(stored.job.id)
            lines.append(f"  {stored.job.id} {stored.job.state} {progress}")
    lines += [f"  {entry}" for entry in await app.store.audit()]
    return "\n".join(lines)


async def decided(app: App, decision: str, *, seconds: float = 20.0) -> None:
    """Wait until a look at the pool comes to this decision."""
    async with asyncio.timeout(seconds):
        while type((await app.planner.plan(CLUSTER, INFRA)).decision).__name__ != decision:
            await asyncio.sleep(0.03)

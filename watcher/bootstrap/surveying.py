"""A surveyor, opened as the settings say: over live clusters, or over files alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from watcher.bootstrap import clients
from watcher.bootstrap.app import synced
from watcher.bootstrap.clients import USUAL, read_recipe
from watcher.clients import registries
from watcher.clients.access import Fixed
from watcher.clients.graph import GraphClient
from watcher.clients.images import RegistryImages
from watcher.clock import SystemClock
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName
from watcher.settings import Settings
from watcher.surveying import Surveyor


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[Surveyor]:
    """For files of clusters whose registries and update service can be asked from here."""
    async with (
        registries.opened(settings.registry) as (client, _),
        GraphClient.opened() as graphs,
    ):
        images = RegistryImages(Fixed(client))
        yield Surveyor(settings=settings, images=images, graphs=graphs)


@asynccontextmanager
async def live(
    settings: Settings, clusters: Sequence[ClusterName]
) -> AsyncIterator[tuple[Surveyor, Callable[[], Sequence[ClusterView]]]]:
    """The configured clusters, as they are when asked; one that does not answer is a view with a
    problem."""
    chosen = tuple(one for one in settings.clusters if one.name in clusters)
    async with AsyncExitStack() as stack:
        opened = await clients.open_clusters(
            replace(settings, clusters=chosen), stack, SystemClock(), None, USUAL
        )
        reached = await clients.open_registries(settings, stack, USUAL, opened)
        graphs = await stack.enter_async_context(GraphClient.opened())
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(cluster.run()) for cluster in opened.values()]
        try:
            # One that does not answer says so by the problems of its view.
            waits = (synced(cluster) for cluster in opened.values())
            await asyncio.gather(*waits, return_exceptions=True)
            surveyor = Surveyor(
                settings=settings,
                images=RegistryImages(reached.access),
                graphs=graphs,
                load_recipe=lambda name: read_recipe(settings, name)[0],
            )
            yield surveyor, lambda: [cluster.view() for cluster in opened.values()]
        finally:
            for task in tasks:
                task.cancel()

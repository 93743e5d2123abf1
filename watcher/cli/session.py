"""What the local door shares: names of the settings, who asks, what decisions are made with."""

import os
import pwd
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from watcher import config, scopes
from watcher.cli.door import nearest_place
from watcher.cli.exits import NotFound, Usage
from watcher.core.update import Update
from watcher.directory import SettingsDirectory
from watcher.people import People
from watcher.ports import Clock, Store
from watcher.rights import Rights
from watcher.settings import PoolSettings, Settings

SURFACE = "cli"
"""What the audit trail says of how it was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where somebody decides beside the service."""

    store: Store
    clock: Clock
    people: People
    rights: Rights


def identity() -> str:
    """`cli:<os user>`, from the process itself: $USER can say anything."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # OpenShift gives a number without a name
        return f"cli:{os.getuid()}"


def desk_of(settings: Settings, store: Store, clock: Clock) -> Desk:
    """Return what decisions are made with; groups of chat are believed as the service saw them."""
    directory = SettingsDirectory(settings=settings, store=store, clock=clock)
    return Desk(
        store=store,
        clock=clock,
        people=People(store=store, clock=clock, directory=directory),
        rights=Rights(settings=settings, store=store, directory=directory, clock=clock),
    )


def cluster_named(settings: Settings, name: str) -> str:
    """Return the name of a cluster with pools; raise NotFound, naming what comes near."""
    names = sorted({pool.cluster for pool in settings.pools})
    if name in names:
        return name
    if "/" in name:
        raise Usage(f"{name} is a pool: that is held, by `relayer hold {name}`")
    raise NotFound(f"no pool of a cluster {name} is configured{config.nearest(name, names)}")


def pool_named(settings: Settings, name: str) -> PoolSettings:
    """Return the configured pool; raise Usage if the name fits several, NotFound if none."""
    places = [f"{one.cluster}/{one.pool}" for one in settings.pools]
    place = nearest_place(name, places, config.nearest)
    return settings.pools[places.index(place)]


def alerting_place(settings: Settings, scope: str) -> str:
    """Return the scope; a pool alone is enough where one cluster has it. Raise NotFound, Usage."""
    clusters = scopes.clusters_of(settings)
    if scope in clusters or not scope:
        return scope
    if "/" not in scope and any(pool.pool == scope for pool in settings.pools):
        place = pool_named(settings, scope)
        return f"{place.cluster}/{place.pool}"
    if because := scopes.why_no_place(settings, scope):
        raise NotFound(because + config.nearest(scope.partition("/")[0], clusters))
    return scope


def only(settings: Settings, clusters: Collection[str]) -> Settings:
    """Return the settings with these clusters alone: nobody needs credentials for the others."""
    return replace(settings, clusters=tuple(c for c in settings.clusters if c.name in clusters))


def moment(settings: Settings, scope: str, text: str, *, now: datetime) -> datetime:
    """Return what --until means there; raise Usage."""
    try:
        return scopes.until(settings, scope, text, now=now)
    except ValueError as error:
        raise Usage(f"--until: {error}") from error


async def update_named(store: Store, update_id: str) -> tuple[Update, int]:
    """Return the update and its version; raise NotFound, naming what comes near."""
    from watcher.core.jobs import JobKind

    try:
        stored = await store.get(update_id)
        if isinstance(stored.job, Update):
            return stored.job, stored.version
    except KeyError:
        pass
    active = [s.job.id for s in await store.jobs(JobKind.UPDATE, ended=False)]
    near = config.nearest(update_id, active) or "; no update is active"
    raise NotFound(f"no update {update_id}{near}")

"""What commands share: settings, the store, who is asking, and errors as exit codes."""

import os
import pwd
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import typer

from watcher import config, scopes
from watcher.cli.exits import NoService, NotFound, Usage
from watcher.clock import SystemClock
from watcher.core.update import Update
from watcher.directory import SettingsDirectory
from watcher.people import People
from watcher.ports import Clock, Store
from watcher.rights import Rights
from watcher.settings import PoolSettings, Settings

SURFACE = "cli"
"""What the audit trail says of how it was said."""
LEFT_ALONE = "nothing was changed"


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


@asynccontextmanager
async def the_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store of the service; raise NoService where there has never been one."""
    from watcher.bootstrap import open_store

    if not settings.redis.url and not (settings.state_dir / "store").is_dir():
        raise NoService(
            f"no store in {settings.state_dir}: no service has run there. Start `relayer run`, "
            "or name its configuration with -c"
        )
    async with open_store(settings) as store:
        yield store


@asynccontextmanager
async def the_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open the store for decisions; groups of chat are believed as the service looked them up."""
    clock = SystemClock()
    async with the_store(settings) as store:
        directory = SettingsDirectory(settings=settings, store=store, clock=clock)
        yield Desk(
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
    cluster, slash, pool = name.rpartition("/")
    if slash:
        found = [p for p in settings.pools if (p.cluster, p.pool) == (cluster, pool)]
    else:
        found = [p for p in settings.pools if p.pool == name]
    names = [f"{p.cluster}/{p.pool}" for p in found or settings.pools]
    if not found:
        raise NotFound(f"no pool {name} is configured{config.nearest(name, names)}")
    if len(found) > 1:
        raise Usage(f"{name} is a pool of several clusters; say which: {', '.join(names)}")
    return found[0]


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


def agreed(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; scripts and --yes mean it."""
    if yes or not sys.stdin.isatty():
        return True
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C or the end of input
        return False

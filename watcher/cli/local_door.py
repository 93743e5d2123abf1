"""The service beside us: its store is ours too, and clusters are looked at from here.

What counts is said by `people`, `rights` and `planner`, not here. Each method loads what it needs.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from watcher.cli.door import Decision, Row
from watcher.cli.exits import NotFound, Usage
from watcher.cli.output import ago
from watcher.clock import SystemClock

if TYPE_CHECKING:
    from watcher.bootstrap import App
    from watcher.cli.drift import Views
    from watcher.cli.session import Desk
    from watcher.core.facts import Digest
    from watcher.core.update import Update
    from watcher.ports import Store
    from watcher.settings import Settings
    from watcher.surveying import Surveyor


class LocalDoor:
    """See `Door`. What is opened stays open until the door is closed."""

    def __init__(self, settings: "Settings", stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._clock = SystemClock()
        self._opened_store: Store | None = None
        self._opened_desk: Desk | None = None
        self._opened_app: tuple[frozenset[str], App] | None = None
        self._surveying: tuple[Surveyor, Views] | None = None

    # --- what is opened --------------------------------------------------------------------------

    async def store(self) -> "Store":
        """Open the store of the service; raise NoService where there has never been one."""
        if self._opened_store is None:
            from watcher.cli.stores import the_store

            self._opened_store = await self._stack.enter_async_context(the_store(self._settings))
        return self._opened_store

    async def _desk(self) -> "Desk":
        if self._opened_desk is None:
            from watcher.cli.session import desk_of

            self._opened_desk = desk_of(self._settings, await self.store(), self._clock)
        return self._opened_desk

    async def app(self, clusters: Collection[str]) -> "App":
        """Open everything, and wait until the clusters are known. Raise Transient, Refused."""
        names = frozenset(clusters)
        if self._opened_app is None or self._opened_app[0] != names:
            from watcher.bootstrap import open_app, watching
            from watcher.cli.session import only
            from watcher.cli.stores import quiet_logs
            from watcher.core.facts import ClusterName

            quiet_logs()
            app = await self._stack.enter_async_context(open_app(only(self._settings, names)))
            there = [ClusterName(name) for name in sorted(names)]
            await self._stack.enter_async_context(watching(app, *there))
            self._opened_app = names, app
        return self._opened_app[1]

    # --- looking ---------------------------------------------------------------------------------

    async def place(self, pool: str) -> str:
        from watcher.cli.session import pool_named

        found = pool_named(self._settings, pool)
        return f"{found.cluster}/{found.pool}"

    async def status(self) -> Row:
        from watcher import shown

        store, now = await self.store(), self._clock.now()
        places = [(p.cluster, p.pool) for p in self._settings.pools]
        return await shown.status(store, places, now=now, settings=self._settings)

    def doubt(self, seen: Row) -> str:
        from datetime import datetime

        now, lately = self._clock.now(), 2 * self._settings.work.resync_seconds + 30
        looks = [datetime.fromisoformat(row["at"]) for row in seen["pools"] if row["at"]]
        if not seen["pools"] or any((now - at).total_seconds() < lately for at in looks):
            return ""
        last = max(looks).isoformat() if looks else ""
        return f"no service seems to run: last look {ago(last, now)}; start `relayer run`"

    async def drift(self, cluster: str) -> Row:
        from watcher.cli.drift import of_clusters
        from watcher.shown_drift import cluster_row

        if self._surveying is None:
            opened = of_clusters(self._settings, cluster=cluster)
            self._surveying = await self._stack.enter_async_context(opened)
        surveyor, views = self._surveying
        now = self._clock.now()
        return {"clusters": [cluster_row(await surveyor.survey(v, now=now)) for v in views()]}

    async def plans(self, pool: str | None) -> Row:
        from watcher import shown
        from watcher.cli.session import pool_named

        settings = self._settings
        chosen = [pool_named(settings, pool)] if pool else list(settings.pools)
        app = await self.app({one.cluster for one in chosen})
        plans = await asyncio.gather(*(app.planner.plan(p.cluster, p.pool) for p in chosen))
        return {"plans": [shown.plan_row(one) for one in plans]}

    async def updates(self, pool: str | None, limit: int) -> Row:
        from watcher import shown
        from watcher.cli.session import pool_named
        from watcher.core.jobs import JobKind

        store = await self.store()
        if pool:
            place = pool_named(self._settings, pool)
            found = await store.history(place.cluster, place.pool, limit)
        else:
            found = await store.jobs(JobKind.UPDATE, ended=False)
            found += await store.jobs(JobKind.UPDATE, ended=True)
        rows = await shown.moving_rows(store, shown.updates_of(found)[:limit])
        return {"updates": rows}

    async def job(self, job_id: str, *, log: bool) -> Row:
        from watcher import shown
        from watcher.core.build import Build

        store = await self.store()
        try:
            job = (await store.get(job_id)).job
        except KeyError:
            raise NotFound(f"no job {job_id}; `relayer history` lists updates") from None
        audit = [shown.audit_row(entry) for entry in await store.audit(job_id)]
        build = job.id if isinstance(job, Build) else job.build
        lines = await store.log(build) if log and build else []
        if isinstance(job, Build):
            row = shown.job_row(job)
        else:
            row = {"job": "update", **(await shown.moving_rows(store, [job]))[0]}
        return {**row, "audit": audit, "log": lines}

    async def windows(self, pool: str | None) -> Row:
        from watcher import timetable
        from watcher.cli.session import pool_named

        settings = self._settings
        chosen = [pool_named(settings, pool)] if pool else list(settings.pools)
        rows = await timetable.timetables(await self.store(), chosen, now=self._clock.now())
        return {"pools": rows}

    # --- deciding --------------------------------------------------------------------------------

    async def update(self, update_id: str) -> Row:
        from watcher import shown

        return shown.update_row(await self._update(update_id))

    async def _update(self, update_id: str) -> "Update":
        from watcher.cli.session import update_named

        return (await update_named(await self.store(), update_id))[0]

    async def decide(self, what: Decision, update_id: str, *, binding: str, reason: str) -> Row:
        from watcher.cli.session import SURFACE, identity

        people, named = (await self._desk()).people, _digest(binding)
        decision = people.approve if what == "approve" else people.reject
        outcome = await decision(
            update_id, by=identity(), binding=named, reason=reason, surface=SURFACE
        )
        return _outcome(outcome)

    async def snooze(self, update_id: str, *, binding: str, until: str) -> Row:
        from watcher.cli.session import SURFACE, identity, moment

        update, desk = await self._update(update_id), await self._desk()
        scope = f"{update.cluster}/{update.pool}"
        at = moment(self._settings, scope, until, now=self._clock.now())
        named = _digest(binding)
        outcome = await desk.people.snooze(
            update_id, by=identity(), until=at, binding=named, surface=SURFACE
        )
        return _outcome(outcome)

    async def rebuild(self, place: str, *, allow_downgrade: bool) -> Row:
        from watcher.cli.session import SURFACE, identity

        app, cluster, pool = await self._app_of(place)
        by = identity()
        async with _audited(app.store, "Rebuild", place, by):
            made = await app.planner.rebuild(
                cluster, pool, by=by, allow_downgrade=allow_downgrade, surface=SURFACE
            )
        return _updated(made)

    async def stock(self, place: str) -> Row:
        from watcher.cli.session import SURFACE, identity

        app, cluster, pool = await self._app_of(place)
        by = identity()
        async with _audited(app.store, "Stock", place, by):
            made = await app.planner.stock(cluster, pool, by=by, surface=SURFACE)
        return _updated(made)

    async def _app_of(self, place: str) -> tuple["App", Any, Any]:
        cluster, _, pool = place.partition("/")
        return await self.app({cluster}), cluster, pool

    # --- freezes ---------------------------------------------------------------------------------

    async def scope(self, cluster: str) -> str:
        from watcher.cli.session import cluster_named

        return cluster_named(self._settings, cluster)

    async def freezes(self) -> Row:
        from watcher import shown

        return {"freezes": await shown.freezes(await self.store(), now=self._clock.now())}

    async def freeze(self, scope: str, *, until: str, reason: str) -> Row:
        from watcher import scopes, shown
        from watcher.cli.session import SURFACE, identity, moment

        desk, by = await self._desk(), identity()
        end = moment(self._settings, scope, until, now=self._clock.now()) if until else None
        await desk.rights.check_freeze(scope, by=by, surface=SURFACE)
        async with _audited(desk.store, "Freeze", scope, by):
            made = await desk.people.freeze(
                scope, by=by, because=reason, until=end, surface=SURFACE
            )
        return {"sentence": scopes.frozen_sentence(made), "freeze": shown.freeze_row(made)}

    async def unfreeze(self, scope: str) -> Row:
        from watcher import scopes
        from watcher.cli.session import SURFACE, identity

        desk, by = await self._desk(), identity()
        await desk.rights.check("Unfreeze", scope, by=by, surface=SURFACE)
        async with _audited(desk.store, "Unfreeze", scope, by):
            await desk.people.unfreeze(scope, by=by, surface=SURFACE)
        sentence = await scopes.lifted_sentence(desk.store, scope, now=self._clock.now())
        return {"sentence": sentence, "scope": scope}

    # --- silences --------------------------------------------------------------------------------

    async def silences(self) -> Row:
        from watcher import shown

        return {"silences": await shown.silences(await self.store(), now=self._clock.now())}

    async def silence(self, scope: str, *, rule: str, until: str, reason: str) -> Row:
        from watcher import config, scopes, shown
        from watcher.alert_rules import RULES
        from watcher.cli.session import SURFACE, alerting_place, identity, moment

        if rule and rule not in RULES:
            raise Usage(f"--rule: no alert rule is called {rule}{config.nearest(rule, RULES)}")
        place, desk, by = alerting_place(self._settings, scope), await self._desk(), identity()
        end = moment(self._settings, place, until, now=self._clock.now())
        await desk.rights.check_silence(place, by=by, surface=SURFACE)
        async with _audited(desk.store, "Silence", place, by):
            made = await desk.people.silence(
                place, rule=rule, by=by, because=reason, until=end, surface=SURFACE
            )
        sentence = scopes.silenced_sentence(self._settings, made)
        return {"sentence": sentence, "silence": shown.silence_row(made)}

    async def unsilence(self, silence_id: str) -> Row:
        from watcher import scopes, shown
        from watcher.cli.session import SURFACE, identity

        desk, by = await self._desk(), identity()
        lifted = await desk.rights.check_unsilence(silence_id, by=by, surface=SURFACE)
        async with _audited(desk.store, "Unsilence", lifted.scope, by):
            await desk.people.unsilence(lifted, by=by, surface=SURFACE)
        sentence = await scopes.unsilenced_sentence(desk.store, lifted, now=self._clock.now())
        return {"sentence": sentence, "silence": shown.silence_row(lifted)}


@asynccontextmanager
async def local_door(settings: "Settings") -> AsyncIterator[LocalDoor]:
    """Open nothing yet; close at the end what was opened meanwhile."""
    async with AsyncExitStack() as stack:
        yield LocalDoor(settings, stack)


@asynccontextmanager
async def _audited(store: "Store", what: str, scope: str, by: str) -> AsyncIterator[None]:
    """Audit it, if it is declined."""
    from watcher import scopes
    from watcher.cli.session import SURFACE

    async with scopes.declined_is_audited(
        store, SystemClock(), what, scope, by=by, surface=SURFACE
    ):
        yield


def _digest(binding: str) -> "Digest | None":
    from watcher.core.facts import Digest, Malformed

    try:
        return Digest(binding) if binding else None
    except Malformed as error:
        raise Usage(f"--binding: {error}") from error


def _updated(update: "Update") -> Row:
    from watcher import shown

    return {"update": shown.update_row(update)}


def _outcome(outcome: Any) -> Row:
    return {"sentence": outcome.sentence, **_updated(outcome.update)}

"""One pool: all about it in one answer, a look at it now, and asking for an update of it."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from watcher import shown, timetable
from watcher.core.facts import ClusterName, PoolName
from watcher.core.update import Update
from watcher.settings import PoolSettings
from watcher.shown_drift import cluster_row
from watcher.web.api import lists, paging, rows
from watcher.web.api.operation import Asked, Nothing, Operation
from watcher.web.api.pace import Pace
from watcher.web.api.paging import Page
from watcher.web.api.updates import MOST_OF_POOL, age
from watcher.web.callers import Role
from watcher.web.face import SURFACE, Face, as_json
from watcher.web.problems import Problem

SHOWN = 20
"""Updates in the answer about a pool; its history has them all."""
PLAN_SECONDS = 20.0
"""A look takes a second or two; a registry that hangs must not keep the caller for longer."""
MOST_PLANS = 4
"""Looks at once: each holds a recipe and answers of registries in memory."""
PLAN_EVERY, PLAN_BURST = 6.0, 10
ASK_EVERY, ASK_BURST = 10.0, 10
ONE = "/pools/{cluster}/{pool}"


class RebuildBody(msgspec.Struct, forbid_unknown_fields=True):
    allow_downgrade: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        return [*self._reads(), *self._orders()]

    def _reads(self) -> list[Operation]:
        clock = self.service.clock
        return [
            Operation(
                method="GET",
                path=ONE,
                name="getPool",
                says="One pool: finding, last look, windows, freezes and its newest updates.",
                act=self.pool,
                answer=lists.PoolPage,
                refusals=(404,),
            ),
            Operation(
                method="GET",
                path=f"{ONE}/plan",
                name="planPool",
                says="Look at it now and say what would be done; changes nothing.",
                act=Looks(self).plan,
                answer=rows.PlanRow,
                refusals=(404, 429),
                pace=Pace(clock=clock, seconds=PLAN_EVERY, burst=PLAN_BURST),
            ),
            Operation(
                method="GET",
                path=f"{ONE}/history",
                name="listPoolUpdates",
                says="Its updates, newest first: the newest 1,000.",
                act=self.history,
                query=Page,
                answer=lists.Updates,
                refusals=(404,),
            ),
            Operation(
                method="GET",
                path=f"{ONE}/windows",
                name="getPoolWindows",
                says="When it may be changed, why not now, and what is ahead.",
                act=self.windows,
                answer=rows.TimetableRow,
                refusals=(404,),
            ),
        ]

    def _orders(self) -> list[Operation]:
        pace = Pace(clock=self.service.clock, seconds=ASK_EVERY, burst=ASK_BURST)
        return [
            Operation(
                method="POST",
                path=f"{ONE}/rebuild",
                name="rebuildPool",
                says="Ask for an update though nothing asks for it by itself.",
                act=self.rebuild,
                role=Role.OPERATOR,
                body=RebuildBody,
                answer=lists.Proposed,
                status=202,
                refusals=(404, 409, 429),
                pace=pace,
            ),
            Operation(
                method="POST",
                path=f"{ONE}/stock",
                name="stockPool",
                says="Ask for the stock image.",
                act=self.stock,
                role=Role.OPERATOR,
                body=Nothing,
                answer=lists.Proposed,
                status=202,
                refusals=(404, 409, 429),
                pace=pace,
            ),
        ]

    async def pool(self, asked: Asked) -> Response:
        cluster, pool = asked.path["cluster"], asked.path["pool"]
        found, configured = self._finding(cluster, pool), self.settings.pool(cluster, pool)
        if configured is None and found is None:
            raise Problem(404, "no such pool is configured or found; /api/v1/drift lists them")
        store, now = self.service.store, self.service.clock.now()
        past, view, frozen = await asyncio.gather(
            store.history(cluster, pool, SHOWN),
            store.view(f"pool:{cluster}/{pool}"),
            shown.freezes(store, now=now),
        )
        windows: shown.Row | None = None
        if configured is not None:
            (windows,) = await timetable.timetables(store, [configured], now=now)
        on = [f for f in frozen if f["cluster"] in ("", cluster) and f["pool"] in ("", pool)]
        return as_json(
            {
                "cluster": cluster,
                "pool": pool,
                "found": found,
                "look": shown.pool_row(view or None, cluster, pool),
                "windows": windows,
                "updates": await shown.moving_rows(store, shown.updates_of(past)),
                "freezes": on,
            }
        )

    def _finding(self, cluster: str, pool: str) -> shown.Row | None:
        seen = (one for one in self.service.surveys.surveyed() if one.cluster == cluster)
        found: list[shown.Row] = [row for one in seen for row in cluster_row(one)["pools"]]
        return next((row for row in found if row["pool"] == pool), None)

    async def history(self, asked: Asked) -> Response:
        """Of a pool that is no longer configured too, as long as it has one."""
        cluster, pool, store = asked.path["cluster"], asked.path["pool"], self.service.store
        past = shown.updates_of(await store.history(cluster, pool, MOST_OF_POOL))
        if not past and self._finding(cluster, pool) is None:
            self.place(asked.request)
        found, following = paging.cut("history", past, asked.query, age)
        made = await shown.moving_rows(store, found)
        return paging.answer(asked.request, "updates", made, following)

    async def windows(self, asked: Asked) -> Response:
        now, place = self.service.clock.now(), self.place(asked.request)
        (row,) = await timetable.timetables(self.service.store, [place], now=now)
        return as_json(row)

    async def rebuild(self, asked: Asked) -> Response:
        place, down = self.place(asked.request), asked.body.allow_downgrade
        asking = self.service.planner.rebuild(
            place.cluster, place.pool, by=asked.by, allow_downgrade=down, surface=SURFACE
        )
        return await self._asked("Rebuild", place, asking, by=asked.by)

    async def stock(self, asked: Asked) -> Response:
        place = self.place(asked.request)
        asking = self.service.planner.stock(place.cluster, place.pool, by=asked.by, surface=SURFACE)
        return await self._asked("Stock", place, asking, by=asked.by)

    async def _asked(
        self, what: str, place: PoolSettings, asking: Awaitable[Update], *, by: str
    ) -> Response:
        async with self.auditing(what, f"{place.cluster}/{place.pool}", by=by):
            update = await asking
        return as_json({"update": shown.update_row(update)}, status=202)


@dataclass(slots=True)
class Looks:
    """Looks at pools that somebody asked for: bounded in number and time."""

    face: Face
    under_way: int = 0

    async def plan(self, asked: Asked) -> Response:
        """What would be done about a pool."""
        place = self.face.place(asked.request)
        if self.under_way >= MOST_PLANS:
            raise Problem(
                503,
                f"{MOST_PLANS} pools are being looked at; ask again in a few seconds",
                {"Retry-After": "3"},
            )
        self.under_way += 1
        try:
            return as_json(await self._looked(place.cluster, place.pool))
        finally:
            self.under_way -= 1

    async def _looked(self, cluster: ClusterName, pool: PoolName) -> shown.Row:
        try:
            async with asyncio.timeout(PLAN_SECONDS):
                return shown.plan_row(await self.face.service.planner.plan(cluster, pool))
        except TimeoutError as error:
            why = f"the look did not end within {PLAN_SECONDS:.0f} s: its registries are slow"
            raise Problem(503, f"{why}; ask again later", {"Retry-After": "30"}) from error

"""The API about one pool: when it may be changed, and asking for an update of it."""

from collections.abc import Awaitable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown, timetable
from watcher.core.update import Update
from watcher.settings import PoolSettings
from watcher.web.face import SURFACE, Face, as_json, read_body


class RebuildBody(msgspec.Struct, forbid_unknown_fields=True):
    allow_downgrade: bool = False


class StockBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing to say yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools(Face):
    def routes(self) -> list[Route]:
        """Return the routes below /api/v1."""
        one = "/pools/{cluster}/{pool}"
        return [
            Route(f"{one}/windows", self.windows),
            Route(f"{one}/rebuild", self.rebuild, methods=["POST"]),
            Route(f"{one}/stock", self.stock, methods=["POST"]),
        ]

    async def windows(self, request: Request) -> Response:
        self.access.reader(request)
        now = self.service.clock.now()
        (row,) = await timetable.timetables(self.service.store, [self.place(request)], now=now)
        return as_json(row)

    async def rebuild(self, request: Request) -> Response:
        by = self.access.writer(request)
        body = await read_body(request, RebuildBody)
        place = self.place(request)
        asking = self.service.planner.rebuild(
            place.cluster, place.pool, by=by, allow_downgrade=body.allow_downgrade, surface=SURFACE
        )
        return await self._asked("Rebuild", place, asking, by=by)

    async def stock(self, request: Request) -> Response:
        by = self.access.writer(request)
        await read_body(request, StockBody)
        place = self.place(request)
        asking = self.service.planner.stock(place.cluster, place.pool, by=by, surface=SURFACE)
        return await self._asked("Stock", place, asking, by=by)

    async def _asked(
        self, what: str, place: PoolSettings, asking: Awaitable[Update], *, by: str
    ) -> Response:
        async with self.auditing(what, f"{place.cluster}/{place.pool}", by=by):
            update = await asking
        return as_json({"update": shown.update_row(update)}, status=202)

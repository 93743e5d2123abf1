"""The API about freezes: of everything, of one cluster, and of one pool, which is called a hold."""

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import scopes, shown
from watcher.web.face import SURFACE, Face, as_json, read_body
from watcher.web.problems import Problem

UNTIL_ENDED = ""
"""`until` left out: it lasts until somebody ends it."""


class FreezeBody(msgspec.Struct, forbid_unknown_fields=True):
    scope: str
    """A cluster, or "" for everything; never left out, so that nobody stops all by a slip."""
    reason: str
    until: str = UNTIL_ENDED


class HoldBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: str = ""
    until: str = UNTIL_ENDED


class UnholdBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing to say yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezes(Face):
    def routes(self) -> list[Route]:
        """Return the routes below /api/v1."""
        one = "/pools/{cluster}/{pool}"
        return [
            Route("/freezes", self.freezes),
            Route("/freezes", self.freeze, methods=["POST"]),
            Route("/freezes", self.unfreeze, methods=["DELETE"]),
            Route(f"{one}/hold", self.hold, methods=["POST"]),
            Route(f"{one}/unhold", self.unhold, methods=["POST"]),
        ]

    async def freezes(self, request: Request) -> Response:
        self.access.reader(request)
        now = self.service.clock.now()
        return as_json({"freezes": await shown.freezes(self.service.store, now=now)})

    async def freeze(self, request: Request) -> Response:
        by = self.access.writer(request)
        body = await read_body(request, FreezeBody)
        if not body.reason.strip():
            raise Problem(422, "reason: say why; whoever finds it frozen wants to know")
        scope = self._wide(body.scope)
        return await self._frozen(scope, body.reason, body.until, by=by)

    async def unfreeze(self, request: Request) -> Response:
        """Lift the freeze of `?scope=`, which must be there: a body may get lost on the way."""
        by = self.access.writer(request)
        scope = request.query_params.get("scope")
        if scope is None:
            raise Problem(422, "say which: ?scope=prod, or ?scope= for the freeze of everything")
        return await self._lifted(self._wide(scope), by=by)

    async def hold(self, request: Request) -> Response:
        by = self.access.writer(request)
        body = await read_body(request, HoldBody)
        place = self.place(request)
        return await self._frozen(f"{place.cluster}/{place.pool}", body.reason, body.until, by=by)

    async def unhold(self, request: Request) -> Response:
        by = self.access.writer(request)
        await read_body(request, UnholdBody)
        place = self.place(request)
        return await self._lifted(f"{place.cluster}/{place.pool}", by=by)

    def _wide(self, scope: str) -> str:
        """Return the scope of a freeze; raise Problem for a pool, or what is not configured."""
        if "/" in scope:
            raise Problem(
                422, "scope: a single pool is held: POST /api/v1/pools/{cluster}/{pool}/hold"
            )
        if not scopes.pools_in(self.settings, scope):
            raise Problem(404, "no pool of such a cluster is configured; /api/v1/status lists them")
        return scope

    async def _frozen(self, scope: str, reason: str, until: str, *, by: str) -> Response:
        service = self.service
        end = self.until(scope, until) if until else None
        with self.counting():
            await service.rights.check_freeze(scope, by=by, surface=SURFACE)
        async with self.auditing("Freeze", scope, by=by):
            made = await service.people.freeze(
                scope, by=by, because=reason, until=end, surface=SURFACE
            )
        sentence = scopes.frozen_sentence(made)
        return as_json({"sentence": sentence, "freeze": shown.freeze_row(made)})

    async def _lifted(self, scope: str, *, by: str) -> Response:
        service = self.service
        with self.counting():
            await service.rights.check("Unfreeze", scope, by=by, surface=SURFACE)
        async with self.auditing("Unfreeze", scope, by=by):
            await service.people.unfreeze(scope, by=by, surface=SURFACE)
        now = service.clock.now()
        return as_json({"sentence": await scopes.lifted_sentence(service.store, scope, now=now)})

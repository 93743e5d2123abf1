"""Freezes: of everything, of one cluster, and of one pool, which is called a hold."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from watcher import scopes, shown
from watcher.web.api import lists
from watcher.web.api.operation import Asked, Nothing, Operation
from watcher.web.api.updates import Reason, Until
from watcher.web.callers import Role
from watcher.web.face import SURFACE, Face, as_json
from watcher.web.problems import Problem

UNTIL_ENDED = ""
"""`until` left out: it lasts until somebody ends it."""
Wide = Annotated[str, Meta(max_length=300, description='A cluster, or "" for everything.')]


class FreezeBody(msgspec.Struct, forbid_unknown_fields=True):
    """`scope` is never left out, so that nobody stops all by a slip."""

    scope: Wide
    reason: Reason
    until: Until = UNTIL_ENDED


class LiftQuery(msgspec.Struct, forbid_unknown_fields=True):
    """In the query: a body may get lost on the way."""

    scope: Wide


class HoldBody(msgspec.Struct, forbid_unknown_fields=True):
    reason: Reason = ""
    until: Until = UNTIL_ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezes(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        return [*self._wide_ones(), *self._holds()]

    def _wide_ones(self) -> list[Operation]:
        return [
            Operation(
                method="GET",
                path="/freezes",
                name="listFreezes",
                says="Freezes and holds in force.",
                act=self.freezes,
                answer=lists.Freezes,
            ),
            Operation(
                method="POST",
                path="/freezes",
                name="freeze",
                says="Let nothing begin in a cluster, or anywhere.",
                act=self.freeze,
                role=Role.OPERATOR,
                body=FreezeBody,
                answer=lists.Frozen,
                refusals=(404, 409),
            ),
            Operation(
                method="DELETE",
                path="/freezes",
                name="unfreeze",
                says="Lift the freeze of exactly this scope.",
                act=self.unfreeze,
                role=Role.OPERATOR,
                query=LiftQuery,
                answer=lists.Lifted,
                refusals=(404, 409),
            ),
        ]

    def _holds(self) -> list[Operation]:
        one = "/pools/{cluster}/{pool}"
        return [
            Operation(
                method="POST",
                path=f"{one}/hold",
                name="holdPool",
                says="Let nothing begin on this pool.",
                act=self.hold,
                role=Role.OPERATOR,
                body=HoldBody,
                answer=lists.Frozen,
                refusals=(404, 409),
            ),
            Operation(
                method="POST",
                path=f"{one}/unhold",
                name="unholdPool",
                says="Lift its hold.",
                act=self.unhold,
                role=Role.OPERATOR,
                body=Nothing,
                answer=lists.Lifted,
                refusals=(404, 409),
            ),
        ]

    async def freezes(self, asked: Asked) -> Response:
        now = self.service.clock.now()
        return as_json({"freezes": await shown.freezes(self.service.store, now=now)})

    async def freeze(self, asked: Asked) -> Response:
        body = asked.body
        if not body.reason.strip():
            raise Problem(422, "reason: say why; whoever finds it frozen wants to know")
        scope = self._wide(body.scope)
        return await self._frozen(scope, body.reason, body.until, by=asked.by)

    async def unfreeze(self, asked: Asked) -> Response:
        return await self._lifted(self._wide(asked.query.scope), by=asked.by)

    async def hold(self, asked: Asked) -> Response:
        place, body = self.place(asked.request), asked.body
        scope = f"{place.cluster}/{place.pool}"
        return await self._frozen(scope, body.reason, body.until, by=asked.by)

    async def unhold(self, asked: Asked) -> Response:
        place = self.place(asked.request)
        return await self._lifted(f"{place.cluster}/{place.pool}", by=asked.by)

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
        sentence = await scopes.lifted_sentence(service.store, scope, now=now)
        return as_json({"sentence": sentence, "scope": scope})

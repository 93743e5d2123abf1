"""The API: what is shown, and what people may decide. The same code as on the command line."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.people import Outcome
from watcher.shown_drift import cluster_row
from watcher.web.face import (
    SURFACE,
    Face,
    KnownCluster,
    Service,
    as_json,
    read_binding,
    read_body,
)
from watcher.web.freezes import Freezes
from watcher.web.pools import Pools
from watcher.web.problems import Problem

__all__ = ["Api", "KnownCluster", "Service", "as_json"]

MOST_UPDATES = 100
_ID = re.compile(r"[a-z]-[0-9a-zA-Z-]{1,64}")


class DecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of approve and reject."""

    binding: str
    """What was shown (`binding` of the update): a decision about something else is refused."""
    reason: str = ""


class SnoozeBody(msgspec.Struct, forbid_unknown_fields=True):
    binding: str
    until: str
    """See `core/moments.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api(Face):
    """The status and the updates; `routes` has the other parts too."""

    def routes(self) -> list[Route]:
        """Return the routes below /api/v1."""
        one = "/updates/{id}"
        parts: list[Pools | Freezes] = [
            part(
                service=self.service,
                settings=self.settings,
                access=self.access,
                metrics=self.metrics,
            )
            for part in (Pools, Freezes)
        ]
        return [
            Route("/status", self.status),
            Route("/drift", self.drift),
            Route("/updates", self.updates),
            Route(one, self.update),
            Route(f"{one}/approve", self.approve, methods=["POST"]),
            Route(f"{one}/reject", self.reject, methods=["POST"]),
            Route(f"{one}/snooze", self.snooze, methods=["POST"]),
            *(route for part in parts for route in part.routes()),
        ]

    async def status(self, request: Request) -> Response:
        self.access.reader(request)
        places = [(p.cluster, p.pool) for p in self.settings.pools]
        now, store = self.service.clock.now(), self.service.store
        return as_json(await shown.status(store, places, now=now, settings=self.settings))

    async def drift(self, request: Request) -> Response:
        """Every pool of every cluster, ours or not; `?cluster=` names one."""
        self.access.reader(request)
        named = request.query_params.get("cluster")
        seen = self.service.surveys.surveyed()
        found = [one for one in seen if named is None or one.cluster == named]
        if named is not None and not found:
            raise Problem(404, "no such cluster is configured; /api/v1/drift lists them all")
        return as_json({"clusters": [cluster_row(one) for one in found]})

    async def updates(self, request: Request) -> Response:
        """Active ones first, then the newest that ended."""
        self.access.reader(request)
        store = self.service.store
        active = await store.jobs(JobKind.UPDATE, ended=False)
        ended = await store.jobs(JobKind.UPDATE, ended=True)
        rows = await shown.moving_rows(store, shown.updates_of(active)[:MOST_UPDATES])
        rows += [shown.update_row(update) for update in shown.updates_of(ended)]
        return as_json({"updates": rows[:MOST_UPDATES]})

    async def update(self, request: Request) -> Response:
        self.access.reader(request)
        update = await self._found(request)
        return as_json(await shown.update_page(self.service.store, update))

    async def approve(self, request: Request) -> Response:
        return await self._decided(request, self.service.people.approve)

    async def reject(self, request: Request) -> Response:
        return await self._decided(request, self.service.people.reject)

    async def snooze(self, request: Request) -> Response:
        by = self.access.writer(request)
        body = await read_body(request, SnoozeBody)
        binding = read_binding(body.binding)
        update = await self._found(request)
        until = self.until(f"{update.cluster}/{update.pool}", body.until)
        with self.counting():
            outcome = await self.service.people.snooze(
                update.id, by=by, until=until, binding=binding, surface=SURFACE
            )
        return _decision(outcome)

    async def _decided(
        self, request: Request, decide: Callable[..., Awaitable[Outcome]]
    ) -> Response:
        by = self.access.writer(request)
        body = await read_body(request, DecisionBody)
        binding = read_binding(body.binding)
        update = await self._found(request)
        with self.counting():
            outcome = await decide(
                update.id, by=by, binding=binding, reason=body.reason, surface=SURFACE
            )
        return _decision(outcome)

    async def _found(self, request: Request) -> Update:
        update_id = request.path_params["id"]
        if _ID.fullmatch(update_id):
            try:
                job = (await self.service.store.get(update_id)).job
            except KeyError:
                job = None
            if isinstance(job, Update):
                return job
        raise Problem(404, "no such update; /api/v1/updates lists them")


def _decision(outcome: Outcome) -> Response:
    row = shown.update_row(outcome.update)
    return as_json({"sentence": outcome.sentence, "update": row})

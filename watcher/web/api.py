"""The API: what is shown, and what people may decide. The same code as on the command line."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName, Digest, Malformed
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.metrics import Metrics, Watched
from watcher.people import Declined, Outcome, People
from watcher.planner import Planner
from watcher.ports import Clock, Store
from watcher.settings import Settings
from watcher.web.access import Access
from watcher.web.guards import body_of
from watcher.web.problems import Problem

MOST_UPDATES = 100
_ID = re.compile(r"[a-z]-[0-9a-zA-Z-]{1,64}")
_encode = msgspec.json.Encoder().encode


class KnownCluster(Watched, Protocol):
    """A cluster as far as the pages look at it."""

    @property
    def problems(self) -> tuple[str, ...]: ...

    def view(self) -> ClusterView: ...


class Service(Protocol):
    """What the pages need of the running service (`bootstrap.App`)."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def people(self) -> People: ...
    @property
    def planner(self) -> Planner: ...
    @property
    def clusters(self) -> Mapping[ClusterName, KnownCluster]: ...
    @property
    def replica(self) -> str: ...


class DecisionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of approve and reject."""

    binding: str
    """What was shown (`binding` of the update): a decision about something else is refused."""
    reason: str = ""


class RebuildBody(msgspec.Struct, forbid_unknown_fields=True):
    allow_downgrade: bool = False


class StockBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing to say yet."""


Body = TypeVar("Body")


def as_json(value: object, *, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(_encode(value) + b"\n", status_code=status, media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    service: Service
    settings: Settings
    access: Access
    metrics: Metrics

    def routes(self) -> list[Route]:
        """Return the routes below /api/v1."""
        decide, ask = "/updates/{id}", "/pools/{cluster}/{pool}"
        return [
            Route("/status", self.status),
            Route("/updates", self.updates),
            Route("/updates/{id}", self.update),
            Route(f"{decide}/approve", self.approve, methods=["POST"]),
            Route(f"{decide}/reject", self.reject, methods=["POST"]),
            Route(f"{ask}/rebuild", self.rebuild, methods=["POST"]),
            Route(f"{ask}/stock", self.stock, methods=["POST"]),
        ]

    async def status(self, request: Request) -> Response:
        self.access.reader(request)
        places = [(p.cluster, p.pool) for p in self.settings.pools]
        now = self.service.clock.now()
        return as_json(await shown.status(self.service.store, places, now=now))

    async def updates(self, request: Request) -> Response:
        """Active ones first, then the newest that ended."""
        self.access.reader(request)
        rows: list[shown.Row] = []
        for ended in (False, True):
            found = await self.service.store.jobs(JobKind.UPDATE, ended=ended)
            rows += [shown.update_row(s.job) for s in found if isinstance(s.job, Update)]
        return as_json({"updates": rows[:MOST_UPDATES]})

    async def update(self, request: Request) -> Response:
        self.access.reader(request)
        update = await self._found(request)
        return as_json(await shown.update_page(self.service.store, update))

    async def approve(self, request: Request) -> Response:
        return await self._decided(request, self.service.people.approve)

    async def reject(self, request: Request) -> Response:
        return await self._decided(request, self.service.people.reject)

    async def rebuild(self, request: Request) -> Response:
        by = self.access.writer(request)
        body = await _body(request, RebuildBody)
        cluster, pool = self._place(request)
        return await self._asked(
            self.service.planner.rebuild(cluster, pool, by=by, allow_downgrade=body.allow_downgrade)
        )

    async def stock(self, request: Request) -> Response:
        by = self.access.writer(request)
        await _body(request, StockBody)
        cluster, pool = self._place(request)
        return await self._asked(self.service.planner.stock(cluster, pool, by=by))

    async def _decided(
        self, request: Request, decide: Callable[..., Awaitable[Outcome]]
    ) -> Response:
        by = self.access.writer(request)
        body = await _body(request, DecisionBody)
        try:
            binding = Digest(body.binding)
        except Malformed as error:
            raise Problem(422, f"binding: {error}") from error
        update = await self._found(request)
        try:
            outcome = await decide(update.id, by=by, binding=binding, reason=body.reason)
        except Declined:
            self.metrics.declined("http")
            raise
        row = shown.update_row(outcome.update)
        return as_json({"sentence": outcome.sentence, "update": row})

    async def _asked(self, asking: Awaitable[Update]) -> Response:
        try:
            update = await asking
        except Declined:
            self.metrics.declined("http")
            raise
        return as_json({"update": shown.update_row(update)}, status=202)

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

    def _place(self, request: Request) -> shown.Place:
        found = self.settings.pool(request.path_params["cluster"], request.path_params["pool"])
        if found is None:
            raise Problem(404, "no such pool is configured; /api/v1/status lists them")
        return found.cluster, found.pool


async def _body(request: Request, wanted: type[Body]) -> Body:
    data = await body_of(request)
    try:
        return msgspec.json.decode(data or b"{}", type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(422, f"the body is not as expected: {str(error)[:200]}") from error

"""What the parts of the API share: who asks, what is named, and how an answer is written."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watcher import scopes
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName
from watcher.errors import Declined
from watcher.metrics import Metrics, Watched
from watcher.people import People
from watcher.planner import Planner
from watcher.ports import Clock, Conflict, Store
from watcher.rights import Rights
from watcher.settings import PoolSettings, Settings
from watcher.surveys import Surveys
from watcher.web.access import Access
from watcher.web.problems import Problem

SURFACE = "http"
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
    def rights(self) -> Rights: ...
    @property
    def planner(self) -> Planner: ...
    @property
    def clusters(self) -> Mapping[ClusterName, KnownCluster]: ...
    @property
    def surveys(self) -> Surveys: ...
    @property
    def replica(self) -> str: ...


def as_json(value: object, *, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(_encode(value) + b"\n", status_code=status, media_type="application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A part of the API."""

    service: Service
    settings: Settings
    access: Access
    metrics: Metrics

    def place(self, request: Request) -> PoolSettings:
        """Return the configured pool that the path names; raise Problem 404."""
        found = self.settings.pool(request.path_params["cluster"], request.path_params["pool"])
        if found is None:
            raise Problem(404, "no such pool is configured; /api/v1/status lists them")
        return found

    def until(self, scope: str, text: str) -> datetime:
        """Return the moment that a body names; raise Problem 422."""
        try:
            return scopes.until(self.settings, scope, text, now=self.service.clock.now())
        except ValueError as error:
            raise Problem(422, f"until: {error}") from error

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what was declined, or came too late, on its way out."""
        try:
            yield
        except (Declined, Conflict):
            self.metrics.declined(SURFACE)
            raise

    @asynccontextmanager
    async def auditing(
        self, what: str, scope: str, *, by: str, job: str = ""
    ) -> AsyncIterator[None]:
        """Count it and audit it, for decisions that do not do so themselves."""
        store, clock = self.service.store, self.service.clock
        audited = scopes.declined_is_audited(
            store, clock, what, scope, by=by, surface=SURFACE, job=job
        )
        with self.counting():
            async with audited:
                yield

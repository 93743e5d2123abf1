"""The API below /api/v1: what is shown, and what people may decide.

Every operation stands in one table (`Api.operations`): routes, roles, checks of what comes in and
the OpenAPI document are made from it. What is done is the same code as on the command line.
"""

from dataclasses import dataclass, field
from itertools import groupby

from starlette.responses import Response
from starlette.routing import Route

from watcher.web.api import lists, openapi
from watcher.web.api.audit import Audit
from watcher.web.api.builds import Builds
from watcher.web.api.changes import Changes
from watcher.web.api.events import Events, new_epoch
from watcher.web.api.fleet import Fleet
from watcher.web.api.freezes import Freezes
from watcher.web.api.once import Once
from watcher.web.api.operation import Asked, Endpoint, Operation
from watcher.web.api.pools import Pools
from watcher.web.api.silences import Silences
from watcher.web.api.updates import Updates
from watcher.web.face import Face, KnownCluster, Service, as_json
from watcher.web.live import Live

__all__ = ["Api", "KnownCluster", "Service", "as_json"]

PARTS = (Fleet, Updates, Builds, Pools, Freezes, Silences, Audit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api(Face):
    live: Live
    operations: tuple[Operation, ...] = field(init=False)
    """All of them, in the order of the document."""

    def __post_init__(self) -> None:
        service, settings = self.service, self.settings
        access, metrics = self.access, self.metrics
        found = [
            one
            for part in PARTS
            for one in part(
                service=service, settings=settings, access=access, metrics=metrics
            ).operations()
        ]
        events = Events(
            service=service,
            settings=settings,
            access=access,
            metrics=metrics,
            live=self.live,
            changes=Changes(service=service, epoch=new_epoch()),
        )
        described = Operation(
            method="GET",
            path="/openapi.json",
            name="getDocument",
            says="This document.",
            act=self._document,
            answer=lists.Document,
        )
        object.__setattr__(self, "operations", (*found, *events.operations(), described))

    def routes(self) -> list[Route]:
        """Return the routes below /api/v1: one for each path, with all its methods."""
        once = Once(self.service.store)
        by_path = groupby(sorted(self.operations, key=_path), key=_path)
        made = {
            path: Endpoint(
                access=self.access, once=once, operations={one.method: one for one in those}
            )
            for path, those in by_path
        }
        paths = dict.fromkeys(one.path for one in self.operations)
        return [made[path].route() for path in paths]

    async def _document(self, asked: Asked) -> Response:
        open_reads = self.access.reads_are_open
        return as_json(openapi.document(self.operations, reads_are_open=open_reads))


def _path(one: Operation) -> str:
    return one.path

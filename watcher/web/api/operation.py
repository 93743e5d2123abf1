"""One operation of the API: what is said of it in the document is what is held to at run time.

Each is checked in this order: who asks, how often, what is asked for, whether it was asked before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.web.access import Access
from watcher.web.api.once import KEY, Once
from watcher.web.api.pace import Pace
from watcher.web.callers import Caller, Role
from watcher.web.guards import body_of
from watcher.web.problems import Problem

ACT_SECONDS = 60.0
"""Nothing that is asked for takes so long while store, cluster and registry answer."""
JSON, EVENTS, CSV = "application/json", "text/event-stream", "text/csv"


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing to say yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that may be answered."""

    request: Request
    caller: Caller
    query: Any
    """As `Operation.query`."""
    body: Any
    """As `Operation.body`; None where it has none."""

    @property
    def by(self) -> str:
        return self.caller.identity

    @property
    def path(self) -> Mapping[str, str]:
        return self.request.path_params


Act = Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`name` is its operationId and kept for ever, as the path is."""

    method: str
    path: str
    """Below /api/v1."""
    name: str
    says: str
    """One sentence for the document."""
    act: Act
    answer: Any
    """Type of the answer: schema of the document, and what tests hold answers to."""
    status: int = 200
    role: Role = Role.VIEWER
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = ()
    """Statuses beside those that every operation has."""
    pace: Pace | None = None
    kinds: tuple[str, ...] = (JSON,)
    """Media types that it may answer with; the first is what `answer` describes."""

    @property
    def streams(self) -> bool:
        return self.kinds != (JSON,)

    @property
    def changes(self) -> bool:
        """Whether something is another afterwards: such a request may carry a key."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The operations of one path, behind one route, so that 405 names all of them."""

    access: Access
    once: Once
    operations: Mapping[str, Operation]

    def route(self) -> Route:
        """Return the route."""
        path = next(iter(self.operations.values())).path
        return Route(path, self.answer, methods=[*self.operations])

    async def answer(self, request: Request) -> Response:
        """Answer one request; raise Problem, or what the operation raises."""
        method = "GET" if request.method == "HEAD" else request.method
        operation = self.operations[method]
        # Whoever is turned away is audited by the name of what was wanted.
        request.scope["endpoint"] = operation.act
        caller = await self.access.caller(request, operation.role)
        if operation.pace is not None:
            operation.pace.check(caller.identity)
        query = _query(request, operation.query)
        body = await _body(request, operation.body) if operation.body else None
        if operation.streams and request.method == "HEAD":
            return Response(media_type=operation.kinds[0])
        asked = Asked(request=request, caller=caller, query=query, body=body)

        async def act() -> Response:
            return await _in_time(operation.act(asked))

        if not operation.changes or KEY not in request.headers:
            return await act()
        said = (method, request.url.path, query, body)
        return await self.once.answer(request.headers[KEY], caller.identity, said, act)


async def _in_time(acting: Awaitable[Response]) -> Response:
    try:
        async with asyncio.timeout(ACT_SECONDS):
            return await acting
    except TimeoutError as error:
        why = f"nothing came of it within {ACT_SECONDS:.0f} s: store, cluster or registry are slow"
        raise Problem(503, f"{why}; ask again later", {"Retry-After": "30"}) from error


def _query(request: Request, wanted: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the parameters; raise Problem 422, for unknown ones too: a filter with a slip in its
    name would let everything through."""
    given = request.query_params
    names = [name for name, _ in given.multi_items()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Problem(422, f"{twice[:60]!r} is given twice; say it once")
    try:
        return msgspec.convert(dict(given), wanted, strict=False)
    except msgspec.ValidationError as error:
        there = ", ".join(wanted.__struct_fields__) or "none"
        said = f"the parameters are not as expected: {str(error)[:200]}; there is: {there}"
        raise Problem(422, said) from error


async def _body(request: Request, wanted: type[msgspec.Struct]) -> msgspec.Struct:
    """Return the body as `wanted`; raise Problem 422, or those of `body_of`."""
    data = await body_of(request)
    try:
        return msgspec.json.decode(data or b"{}", type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        there = ", ".join(wanted.__struct_fields__) or "none"
        said = f"the body is not as expected: {str(error)[:200]}; its fields: {there}"
        raise Problem(422, said) from error

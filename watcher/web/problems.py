"""Errors over HTTP as problem+json (RFC 9457): one sentence for people, a status for programs."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from watcher.errors import Declined
from watcher.ports import Conflict, Refused, Transient

RETRY_SECONDS = 5


class Problem(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def answer(problem: Problem) -> Response:
    """Return the problem as a response."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail[:1000],
    }
    return Response(
        json.dumps(body) + "\n",
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers,
    )


def of(error: Exception) -> Problem:
    """Return what an error of ours means over HTTP; anything else is a bug and says nothing."""
    match error:
        case Problem():
            return error
        case Declined() | Conflict():
            return Problem(409, str(error))
        case Transient():
            seconds = round(error.retry_after_seconds or RETRY_SECONDS)
            return Problem(503, str(error), {"Retry-After": str(seconds)})
        case Refused():
            return Problem(502, str(error))
        case HTTPException():
            return Problem(error.status_code, _said(error), error.headers)
        case _:
            return Problem(500, "an error inside Relayer; its log says more")


def _said(error: HTTPException) -> str:
    """What the framework has one word for."""
    if error.status_code == 404:
        return "there is nothing at this address; GET /api/v1/openapi.json lists what there is"
    if error.status_code == 405:
        taken = sorted((error.headers or {}).get("Allow", "GET").split(", "))
        return f"this address does not take such a request; it takes {', '.join(taken)}"
    return str(error.detail)


async def handle(request: Request, error: Exception) -> Response:
    """Starlette's exception handler for all of the above."""
    return answer(of(error))

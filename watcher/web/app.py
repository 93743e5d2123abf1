"""The web face put together: probes, figures, the API and the pages."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from watcher.errors import Declined
from watcher.metrics import Metrics
from watcher.ports import OutsideError
from watcher.settings import Settings
from watcher.web import problems
from watcher.web.access import Access
from watcher.web.api import Api, Service
from watcher.web.doors.login_page import LoginPage
from watcher.web.doors.openshift import reviews_of
from watcher.web.guards import Guards
from watcher.web.health import Health
from watcher.web.live import Live
from watcher.web.pages import desk
from watcher.web.pages.about import About
from watcher.web.pages.approvals import Approvals
from watcher.web.pages.audit import Audit
from watcher.web.pages.calm import Calm
from watcher.web.pages.desk import Fragments
from watcher.web.pages.fleet import Fleet
from watcher.web.pages.pool import PoolPage
from watcher.web.pages.rendering import files
from watcher.web.pages.streams import Streams
from watcher.web.pages.update import UpdatePage

PAGES = (Fleet, PoolPage, UpdatePage, Approvals, Audit, Calm, About)


def make_app(
    app: Service,
    settings: Settings,
    *,
    metrics: Metrics | None = None,
    doors: Sequence[Route] = (),
    live: Live | None = None,
) -> Starlette:
    """Return the ASGI application. Raise Refused if a configured token cannot be used.

    `live`: the hub of open pages, where somebody else needs it too; `serve_web` closes it.
    """
    figures = metrics or Metrics()
    access = Access(
        settings.web,
        service=app,
        reviews=reviews_of(app.clusters, settings.web),
        metrics=figures,
    )
    hub = live or Live(store=app.store, surveys=app.surveys, clock=app.clock)
    api = Api(service=app, settings=settings, access=access, metrics=figures, live=hub)
    shared: dict[str, Any] = {
        "service": app,
        "settings": settings,
        "access": access,
        "metrics": figures,
        "live": hub,
        "fragments": Fragments(),
    }
    streams = Streams(**shared)
    # Starlette types each handler by its own exception; ours takes them all.
    handlers: dict[Any, Any] = dict.fromkeys(
        (problems.Problem, Declined, OutsideError, HTTPException, Exception),
        partial(desk.handle, desk=streams),
    )
    made = Starlette(
        routes=[
            *Health(app, figures).routes(),
            Mount("/api/v1", routes=api.routes()),
            *(route for page in PAGES for route in page(**shared).routes()),
            *LoginPage(**shared).routes(),
            Route("/events", streams.events),
            Route("/static/{name}", static),
            *doors,
        ],
        exception_handlers=handlers,
        middleware=[Middleware(Guards, web=settings.web)],
    )
    made.state.live, made.state.api = hub, api
    return made


async def static(request: Request) -> Response:
    """A file that comes with the pages."""
    found = files().get(request.path_params["name"])
    if found is None:
        raise problems.Problem(404, "no such file")
    content, kind = found
    return Response(content, media_type=kind)

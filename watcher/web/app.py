"""The web face put together: probes, figures, API and the one local page."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
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
from watcher.web.guards import Guards
from watcher.web.health import Health

HERE = Path(__file__).parent
FILES: Mapping[str, str] = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def make_app(
    app: Service,
    settings: Settings,
    *,
    metrics: Metrics | None = None,
    doors: Sequence[Route] = (),
) -> Starlette:
    """Return the ASGI application. Raise Refused if a configured token cannot be used."""
    figures = metrics or Metrics()
    access = Access(settings.web)
    api = Api(service=app, settings=settings, access=access, metrics=figures)
    # Starlette types each handler by its own exception; ours takes them all.
    handlers: dict[Any, Any] = dict.fromkeys(
        (problems.Problem, Declined, OutsideError, HTTPException, Exception),
        problems.handle,
    )
    return Starlette(
        routes=[
            *Health(app, figures).routes(),
            Mount("/api/v1", routes=api.routes()),
            *_page_routes(),
            *doors,
        ],
        exception_handlers=handlers,
        middleware=[Middleware(Guards, host=settings.web.host)],
    )


def _page_routes() -> list[Route]:
    """The page and its files, read once: no path of a request ever reaches the disk."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True
    )
    version = metadata.version("relayer")
    html = environment.get_template("page.html").render(version=version)
    files = {name: (HERE / "static" / name).read_text() for name in FILES}

    async def page(request: Request) -> Response:
        return Response(html, media_type="text/html")

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            raise problems.Problem(404, "no such file")
        return Response(files[name], media_type=FILES[name])

    return [Route("/", page), Route("/static/{name}", static)]

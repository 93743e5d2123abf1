"""The web face with any kind of door, asked from any address; and a table of all its routes."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.routing import Mount, Route

from tests.contract.site import Service, Site, WatchedCluster
from tests.facts import INFRA, PROD, TARGET
from tests.scene import Scene
from watcher.core.facts import ClusterName
from watcher.core.update import Policy
from watcher.metrics import Metrics
from watcher.ports_reviews import Reviews
from watcher.settings import PoolSettings, RecipeSettings, Settings
from watcher.settings_web import AuthSettings, TokenSettings, WebSettings
from watcher.web import make_app

ROOT = Path(__file__).parents[2]
TOKENS: Mapping[str, str] = {
    "vera": "vera-only-looks-at-things",
    "otto": "otto-operates-many-things",
    "ann": "ann-approves-some-things-",
}
ROLES = {"vera": "viewer", "otto": "operator", "ann": "approver"}
ELSEWHERE = "relayer.example.com"
PEER = "192.0.2.7"
NAME = "__Host-relayer-session"


@dataclass
class ReviewedCluster(WatchedCluster):
    """A cluster that also says who people are."""

    asked: Reviews | None = None

    @property
    def reviews(self) -> Reviews:
        assert self.asked is not None
        return self.asked


@dataclass
class Doors(Site):
    origin: str = ""

    async def log_in(self, who: str = "ann", **headers: str) -> httpx.Response:
        """As the script of the pages does it; the client keeps the cookie."""
        said = {"token": TOKENS.get(who, who)}
        return await self.http.post("/login", json=said, headers={**self.own, **headers})

    @property
    def own(self) -> dict[str, str]:
        """What a browser adds to a request of one of our pages."""
        return {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}

    async def csrf(self) -> str:
        answer = await self.http.get("/session")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["csrf"])

    async def change(
        self, path: str, body: object = None, *, csrf: str | None = None, **headers: str
    ) -> httpx.Response:
        """A change as a page of ours sends it."""
        given = await self.csrf() if csrf is None else csrf
        said = {**self.own, "X-Relayer-CSRF": given, **headers}
        kept = {name: value for name, value in said.items() if value}
        return await self.http.post(f"/api/v1/{path}", json=body or {}, headers=kept)

    @asynccontextmanager
    async def another(self, peer: str = PEER) -> AsyncIterator["Doors"]:
        """The same service asked by another browser from another place."""
        async with _client(self.app, self.origin, peer) as http:
            yield replace(self, http=http)


@asynccontextmanager
async def doors(
    directory: Path,
    *,
    auth: AuthSettings | None = None,
    host: str = "0.0.0.0",
    origin: str = f"https://{ELSEWHERE}",
    peer: str = PEER,
    reviews: Reviews | None = None,
    policy: Policy | None = None,
    tokens: bool = True,
    names: tuple[str, ...] = (),
) -> AsyncIterator[Doors]:
    """Vera's, Otto's and Ann's tokens are files in `directory`."""
    for name, token in TOKENS.items():
        (directory / name).write_text(token + "\n")
    given = tuple(
        TokenSettings(name=name, token_file=directory / name, role=ROLES[name]) for name in TOKENS
    )
    settings = Settings(
        web=WebSettings(
            host=host, names=names, tokens=given if tokens else (), auth=auth or AuthSettings()
        ),
        recipes=(RecipeSettings(name="gpu", path=Path("gpu"), target=TARGET),),
        pools=(PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu", policy=policy or Policy()),),
    )
    scene = Scene()
    service, metrics = Service(scene, settings), Metrics()
    clusters: dict[ClusterName, WatchedCluster] = {PROD: ReviewedCluster(scene, asked=reviews)}
    service.clusters = clusters
    app = make_app(service, settings, metrics=metrics)
    async with _client(app, origin, peer) as http:
        yield Doors(service, http, metrics, app, origin)


def _client(app: Any, origin: str, peer: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=origin)


def routes(app: Any) -> Iterator[tuple[str, str]]:
    """Every method and path that the application answers, as it stands in the code."""
    yield from _walked(app.routes, "")


def _walked(found: list[Any], before: str) -> Iterator[tuple[str, str]]:
    for one in found:
        if isinstance(one, Mount):
            yield from _walked(list(one.routes), before + one.path)
        else:
            assert isinstance(one, Route), one
            for method in sorted((one.methods or set()) - {"HEAD"}):
                yield method, before + one.path


def filled(path: str) -> str:
    """The path with something in each of its places."""
    values = {"cluster": "prod", "pool": "infra", "id": "u-1", "name": "page.js"}
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: values[found.group(1)], path)


def documented() -> dict[tuple[str, str], str]:
    """Route → least role, as docs/doors.md says."""
    rows = re.findall(
        r"^\| `(GET|POST|DELETE|PUT|PATCH) (\S+)` \| (open|viewer|operator|approver) \|$",
        (ROOT / "docs/doors.md").read_text(),
        re.MULTILINE,
    )
    return {(method, path): least for method, path, least in rows}


def closed_routes(app: Any) -> list[tuple[str, str]]:
    """Those that need somebody; one that the page does not know is one of them."""
    table = documented()
    return [one for one in routes(app) if table.get(one) != "open"]


def cookie_of(here: Doors, name: str = NAME) -> str:
    """The cookie that the client has now."""
    return here.http.cookies.get(name) or ""

"""The web face with a simulated API server that says who people are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from simulator.apiserver import ApiServer
from simulator.apiserver.reviews import Person
from tests.contract.doors_site import Doors, doors
from tests.contract.scripted_api import BRIEF
from tests.contract.site import bearer
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.reviews import KubeReviews
from watcher.clients.kube.session import Session
from watcher.core.update import Policy
from watcher.settings_web import AuthSettings, ReviewSettings

OURS = "the-token-of-relayers-own-account"
ANN, OLA, VAL, EVE = (f"sha256~token-of-{name}-there" for name in ("ann", "ola", "val", "eve"))
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
RIGHTS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass
class Place:
    api: ApiServer
    site: Doors

    @property
    def http(self) -> httpx.AsyncClient:
        return self.site.http

    async def status(self, token: str) -> int:
        return (await self.http.get("/api/v1/status", headers=bearer(token))).status_code

    def asked(self, path: str = PATH) -> int:
        return len(self.api.requests.find(method="POST", path=path))


def people(api: ApiServer) -> None:
    api.reviews.people = {
        ANN: Person(name="ann", uid="u-1", groups=("platform", "system:authenticated")),
        OLA: Person(name="ola"),
        VAL: Person(name="val"),
        EVE: Person(name="eve"),
    }
    api.reviews.grant("platform", "approve", "update", "get")
    api.reviews.grant("ola", "update", "get")
    api.reviews.grant("val", "get")


@asynccontextmanager
async def place(
    directory: Path, *, policy: Policy | None = None, **said: Any
) -> AsyncIterator[Place]:
    async with ApiServer.start(tokens={OURS: "system:serviceaccount:relayer:relayer"}) as api:
        people(api)
        (directory / "own").write_text(OURS)
        credentials = TokenFile(api.url, token_file=directory / "own")
        async with Session("prod", credentials=credentials, limits=BRIEF) as session:
            auth = AuthSettings(mode="openshift", openshift=ReviewSettings(**said))
            async with doors(
                directory, auth=auth, reviews=KubeReviews(session), policy=policy
            ) as site:
                yield Place(api, site)

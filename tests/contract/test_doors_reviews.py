"""Reviews as a client reads them, and logging in in a browser with a token of the cluster."""

import gc
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.contract.doors_cluster import ANN, OLA, Place, place
from tests.facts import a_policy
from watcher.clients.kube.reviews import KubeReviews, User, _person
from watcher.ports import Refused
from watcher.ports_reviews import Reviewed
from watcher.web.access import Access
from watcher.web.doors.openshift import BELIEVED_SECONDS


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as made:
        yield made


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"status": {"authenticated": "yes"}}', b"\xff"])
async def test_an_answer_that_is_none_is_no_yes(body: bytes) -> None:
    reviews = KubeReviews(Scripted(body))  # type: ignore[arg-type]
    try:
        assert await reviews.whose("t" * 20, audiences=()) is None
        assert await reviews.allows(Reviewed(name="a"), verb="get", namespace="") is False
    except Refused as error:
        assert "cannot be read" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "said",
    [
        {"authenticated": False, "user": {"username": "ann"}, "audiences": ["relayer"]},
        {"authenticated": True, "audiences": ["relayer"]},
        {"authenticated": True, "user": {"username": ""}, "audiences": ["relayer"]},
        {"authenticated": True, "user": {"username": "ann"}, "audiences": ["other"]},
        {"authenticated": True, "user": {"username": "ann"}},
    ],
)
async def test_half_a_yes_is_none(said: dict[str, Any]) -> None:
    reviews = KubeReviews(Scripted(json.dumps({"status": said}).encode()))  # type: ignore[arg-type]
    assert await reviews.whose("t" * 20, audiences=("relayer",)) is None


async def test_denied_is_denied_whatever_is_allowed() -> None:
    reviews = KubeReviews(Scripted(b'{"status": {"allowed": true, "denied": true}}'))  # type: ignore[arg-type]
    assert not await reviews.allows(Reviewed(name="a"), verb="get", namespace="")


@dataclass
class Scripted:
    """A session that gets one answer."""

    body: bytes
    cluster: str = "prod"

    async def change(self, request: object, **said: object) -> bytes:
        return self.body


@pytest.mark.parametrize(
    "user",
    [
        User(username="a" * 301),
        User(username="a\nb"),
        User(username="a", groups=["g"] * 201),
        User(username="a", groups=["g\0"]),
        User(username="a", extra={"k": ["v"] * 21}),
    ],
)
def test_a_user_of_impossible_size_is_nobody(user: User) -> None:
    assert _person(user) is None


# --- in a browser --------------------------------------------------------------------------------


async def test_a_token_of_the_cluster_logs_in_and_is_not_kept(here: Place) -> None:
    with capture_logs() as lines:
        assert (await here.site.log_in(OLA)).status_code == 204
        said = (await here.http.get("/session")).json()
    assert (said["identity"], said["role"]) == ("openshift:ola", "operator")
    cookie = next(iter(here.http.cookies.jar)).value or ""
    assert OLA not in cookie + repr(lines) + repr(await here.site.audit())
    assert not any(OLA in text for text in held_by(access_of(here)))
    answer = await here.site.change("pools/prod/infra/hold")
    assert answer.json()["freeze"]["by"] == "openshift:ola"


def access_of(here: Place) -> Access:
    (route,) = (one for one in here.site.app.routes if getattr(one, "path", "") == "/session")
    found = route.endpoint.__self__.access
    assert isinstance(found, Access)
    return found


def held_by(root: object) -> set[str]:
    """Every text that can be reached from an object, code and modules left out."""
    seen: dict[int, object] = {}
    left = [root]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen[id(one)] = one
        left += gc.get_referents(one)
    texts = {one for one in seen.values() if isinstance(one, str)}
    texts |= {one.decode("latin-1") for one in seen.values() if isinstance(one, bytes)}
    assert len(texts) > 50, "it was looked at"
    return texts


async def test_rights_that_are_taken_away_end_in_the_browser_too(here: Place) -> None:
    await here.site.log_in(OLA)
    here.api.reviews.grants.clear()
    here.site.service.clock.advance(BELIEVED_SECONDS)
    assert (await here.http.get("/session")).status_code == 403


async def test_a_login_with_a_token_of_the_cluster_lasts_an_hour(here: Place) -> None:
    await here.site.log_in(OLA)
    for _ in range(3):
        here.site.service.clock.advance(1190)
        assert (await here.http.get("/session")).status_code == 200
    here.site.service.clock.advance(30)
    assert (await here.http.get("/session")).status_code == 401


async def test_a_cluster_that_does_not_answer_ends_no_login_and_opens_none(here: Place) -> None:
    await here.site.log_in(OLA)
    await here.api.stop_listening()
    here.site.service.clock.advance(BELIEVED_SECONDS)
    assert (await here.http.get("/session")).status_code == 503
    assert (await here.site.log_in(ANN)).status_code == 503
    await here.api.start_listening()
    assert (await here.http.get("/session")).status_code == 200


async def test_the_rules_of_a_pool_hold_for_names_of_the_cluster(tmp_path: Path) -> None:
    async with place(tmp_path, policy=a_policy(approvers=("openshift:ola",))) as here:
        answer = await here.site.post("pools/prod/infra/hold", ANN)
        assert answer.status_code == 409
        assert "openshift:ann is not an approver" in answer.json()["detail"]
        assert (await here.site.post("pools/prod/infra/hold", OLA)).status_code == 200

"""Tokens of a cluster: the simulated API server says whose they are, and what their owners may."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from simulator.apiserver import Fault
from simulator.apiserver.reviews import Person
from tests.contract.doors_cluster import ANN, EVE, OLA, PATH, RIGHTS, VAL, Place, place
from tests.contract.doors_site import TOKENS, closed_routes, filled
from tests.contract.site import bearer
from tests.facts import PROD
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.reviews import KubeReviews
from watcher.clock import SystemClock
from watcher.ports import Refused, Transient
from watcher.ports_reviews import Reviewed
from watcher.settings_web import AuthSettings, ReviewSettings, WebSettings
from watcher.web.doors import openshift
from watcher.web.doors.limits import DECLINED
from watcher.web.doors.openshift import BELIEVED_SECONDS, REFUSED_SECONDS, reviews_of


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Place]:
    async with place(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("token", "identity", "role"),
    [(ANN, "ann", "approver"), (OLA, "ola", "operator"), (VAL, "val", "viewer")],
)
async def test_the_cluster_says_who_it_is_and_as_what(
    here: Place, token: str, identity: str, role: str
) -> None:
    said = (await here.http.get("/session", headers=bearer(token))).json()
    assert (said["identity"], said["role"]) == (f"openshift:{identity}", role)
    update = await here.site.put()
    decided = await here.site.approve(update, token)
    assert decided.status_code == (200 if role == "approver" else 403)
    held = await here.site.post("pools/prod/infra/hold", token)
    assert held.status_code == (403 if role == "viewer" else 200)


async def test_what_is_asked_is_what_the_page_says(here: Place) -> None:
    await here.status(ANN)
    (whose, spec), *rights = here.api.reviews.asked
    assert (whose, spec) == ("TokenReview", {})
    assert {kind for kind, _ in rights} == {"SubjectAccessReview"}
    about = [one["resourceAttributes"] for _, one in rights]
    assert sorted(one.pop("verb") for one in about) == ["approve", "get", "update"]
    assert about == [{"group": "relayer.io", "resource": "pools"}] * 3
    assert all((one["user"], one["uid"]) == ("ann", "u-1") for _, one in rights)
    assert all(one["groups"] == ["platform", "system:authenticated"] for _, one in rights)


async def test_a_token_that_the_cluster_does_not_know_opens_nothing(here: Place) -> None:
    for method, path in closed_routes(here.site.app):
        answer = await here.http.request(method, filled(path), headers=bearer("sha256~no-such"))
        assert answer.status_code == 401, (method, path)
    assert here.asked() == 1, "the answer is believed for a while"


async def test_somebody_without_any_right_is_known_and_sees_nothing(here: Place) -> None:
    answer = await here.http.get("/api/v1/status", headers=bearer(EVE))
    assert answer.status_code == 403
    assert "openshift:eve has no role here" in answer.json()["detail"]


async def test_those_without_any_right_fill_no_trail_however_many_they_are(here: Place) -> None:
    for number in range(DECLINED.burst + 5):
        token = f"sha256~token-of-account-{number}"
        here.api.reviews.people[token] = Person(name=f"system:serviceaccount:a:b{number}")
        answer = await here.http.post("/api/v1/pools/prod/infra/hold", headers=bearer(token))
        assert answer.status_code == 403
    assert len(await here.site.audit()) == DECLINED.burst


async def test_our_own_tokens_are_not_shown_to_the_cluster(here: Place) -> None:
    assert await here.status(TOKENS["vera"]) == 200
    assert here.asked() == 0


@pytest.mark.parametrize("token", ["ä" * 20, "x" * 9000, "a\tb"], ids=["not-ascii", "long", "tab"])
async def test_what_is_no_token_is_not_asked_about(here: Place, token: str) -> None:
    headers = {"Authorization": b"Bearer " + token.encode()}
    answer = await here.http.get("/api/v1/status", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert here.asked() == 0


async def test_a_namespace_narrows_where_rights_are_asked_about(tmp_path: Path) -> None:
    async with place(tmp_path, namespace="relayer") as here:
        here.api.reviews.grant("eve", "get", namespace="relayer")
        here.api.reviews.people["other-long-token-000"] = Person(name="zoe")
        here.api.reviews.grant("zoe", "get", namespace="other")
        assert await here.status(EVE) == 200
        assert await here.status("other-long-token-000") == 403
        asked = [one for kind, one in here.api.reviews.asked if kind != "TokenReview"]
        assert all(one["resourceAttributes"]["namespace"] == "relayer" for one in asked)


async def test_a_right_in_one_namespace_is_none_everywhere(here: Place) -> None:
    here.api.reviews.grant("eve", "get", namespace="relayer")
    assert await here.status(EVE) == 403


async def test_a_token_for_another_audience_is_none(tmp_path: Path) -> None:
    async with place(tmp_path, audiences=("relayer",)) as here:
        here.api.reviews.people[EVE] = Person(name="ann", audiences=("another",))
        here.api.reviews.people[ANN] = Person(name="val", audiences=("relayer", "another"))
        assert await here.status(EVE) == 401
        assert await here.status(OLA) == 401
        assert await here.status(ANN) == 200


async def test_a_token_that_may_less_than_its_owner_does_not_borrow_his_rights(
    here: Place,
) -> None:
    scope = {"scopes.authorization.openshift.io": ("user:info",)}
    here.api.reviews.people["sha256~a-narrow-token"] = Person(name="ola", extra=scope)
    assert await here.status(OLA) == 200
    assert await here.status("sha256~a-narrow-token") == 403


# --- answers are believed for a short time -------------------------------------------------------


async def test_a_yes_is_asked_for_again_after_a_minute(here: Place) -> None:
    assert [await here.status(VAL) for _ in range(5)] == [200] * 5
    assert (here.asked(), here.asked(RIGHTS)) == (1, 3)
    here.api.reviews.grants.clear()
    here.site.service.clock.advance(BELIEVED_SECONDS - 1)
    assert await here.status(VAL) == 200
    here.site.service.clock.advance(1)
    assert await here.status(VAL) == 403
    assert BELIEVED_SECONDS <= 60


async def test_a_revoked_token_ends_within_a_minute(here: Place) -> None:
    assert await here.status(VAL) == 200
    del here.api.reviews.people[VAL]
    here.site.service.clock.advance(BELIEVED_SECONDS)
    assert await here.status(VAL) == 401


async def test_a_no_is_asked_for_again_after_some_seconds(here: Place) -> None:
    assert await here.status(EVE) == 403
    assert await here.status("sha256~late") == 401
    here.api.reviews.grant("eve", "get")
    here.api.reviews.people["sha256~late"] = Person(name="val")
    here.site.service.clock.advance(REFUSED_SECONDS - 1)
    assert (await here.status(EVE), await here.status("sha256~late")) == (403, 401)
    here.site.service.clock.advance(1)
    assert (await here.status(EVE), await here.status("sha256~late")) == (200, 200)
    assert REFUSED_SECONDS <= 10


async def test_answers_are_kept_in_bounded_memory(here: Place) -> None:
    kept: openshift.Answers[bool] = openshift.Answers(here.site.service.clock)

    async def yes() -> bool:
        return True

    for number in range(openshift.MOST_KEPT + 100):
        await kept.get(str(number).encode(), yes)
    assert len(kept) == openshift.MOST_KEPT


# --- nobody can say ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, RIGHTS])
@pytest.mark.parametrize("code", [500, 503, 429])
async def test_no_answer_opens_nothing(here: Place, path: str, code: int) -> None:
    here.api.faults.add(Fault(code=code, path=path, count=None))
    for token in (ANN, VAL):
        answer = await here.http.get("/api/v1/status", headers=bearer(token))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
    assert (await here.site.approve(await here.site.put(), ANN)).status_code == 503
    here.api.faults.clear()
    assert await here.status(VAL) == 200


async def test_an_api_server_that_is_away_opens_nothing_not_even_what_it_opened_before(
    here: Place,
) -> None:
    assert await here.status(VAL) == 200
    await here.api.stop_listening()
    assert await here.status(VAL) == 200, "believed for a minute"
    here.site.service.clock.advance(BELIEVED_SECONDS)
    assert await here.status(VAL) == 503
    assert await here.status(VAL) == 503
    assert await here.status(TOKENS["vera"]) == 200, "our own tokens need no cluster"


async def test_where_we_may_not_ask_the_log_says_which_rule_is_missing(here: Place) -> None:
    here.api.denials.deny(("create",), "tokenreviews")
    with capture_logs() as lines:
        assert await here.status(ANN) == 503
    assert "resources: [tokenreviews], verbs: [create]" in repr(lines)
    assert ANN not in repr(lines)


# --- which cluster -------------------------------------------------------------------------------


def web(cluster: str = "") -> WebSettings:
    said = ReviewSettings(cluster=cluster)
    return WebSettings(auth=AuthSettings(mode="openshift", openshift=said))


async def test_the_cluster_that_is_named_is_asked(tmp_path: Path) -> None:
    made = {
        name: KubeCluster(name, credentials=TokenFile("https://127.0.0.1:1"), clock=SystemClock())  # type: ignore[arg-type]
        for name in ("edge", "prod")
    }
    found = reviews_of(made, web("prod"))
    assert isinstance(found, KubeReviews)
    assert found._session.cluster == "prod"
    only = {PROD: made["prod"]}
    assert isinstance(reviews_of(only, web()), KubeReviews)
    for clusters, named in (({}, ""), (made, ""), (made, "prdo"), ({"prod": object()}, "prod")):
        with pytest.raises(Refused, match=r"web\.auth\.openshift\.cluster"):
            reviews_of(clusters, web(named))
    assert reviews_of(made, WebSettings()) is None


class Busy:
    """Counts how many ask at once."""

    def __init__(self) -> None:
        self.now = self.most = self.all = 0

    async def whose(self, token: str, *, audiences: Sequence[str]) -> Reviewed | None:
        self.now += 1
        self.all += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.now -= 1
        return None

    async def allows(self, who: Reviewed, *, verb: str, namespace: str) -> bool:
        raise Transient("never asked")


async def test_guesses_do_not_flood_the_cluster(tmp_path: Path) -> None:
    busy, clock = Busy(), SystemClock()
    door = openshift.OpenShiftDoor(ReviewSettings(), busy, clock)
    await asyncio.gather(*(door.whose(f"a-guessed-token-{n % 100}") for n in range(400)))
    assert busy.most <= openshift.MOST_ASKING
    assert busy.all == 100, "who asks what is being asked waits for the answer"

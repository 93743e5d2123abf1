"""Every door is tried without the key: each route of the application, as it stands in the code."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from tests.contract.doors_site import (
    PEER,
    ROLES,
    TOKENS,
    Doors,
    closed_routes,
    documented,
    doors,
    filled,
    routes,
)
from tests.contract.site import bearer
from tests.facts import PROD, a_policy
from watcher.ports import Refused
from watcher.ports_reviews import Reviewed
from watcher.settings_web import AuthSettings, ProxySettings, TokenSettings, WebSettings
from watcher.web.access import Access
from watcher.web.callers import Caller, Role
from watcher.web.doors.limits import DECLINED
from watcher.web.guards import MOST_BODY_BYTES, MOST_HEADER_BYTES
from watcher.web.problems import Problem

HERE = {"host": "127.0.0.1", "origin": "http://127.0.0.1:8080", "peer": "127.0.0.1"}
STREAMS = {("GET", "/events"), ("GET", "/api/v1/events")}
"""Never end where they are allowed."""


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path) as made:
        yield made


async def ask(here: Doors, method: str, path: str, **headers: str) -> httpx.Response:
    body = {"content": b"{}", "headers": {"Content-Type": "application/json", **headers}}
    return await here.http.request(method, filled(path), **body)  # type: ignore[arg-type]


async def test_the_page_about_doors_has_every_route_of_the_code_and_no_other(here: Doors) -> None:
    there = list(routes(here.app))
    assert len(set(there)) == len(there), "the first one of two would hide the second"
    assert set(documented()) == set(there)


async def test_open_are_only_probes_files_and_the_way_in(here: Doors) -> None:
    assert {path for (_, path), least in documented().items() if least == "open"} == {
        *("/healthz", "/readyz", "/metrics", "/static/{name}", "/login", "/logout"),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer not-a-token-of-anybody"},
        {"Authorization": f"Bearer {TOKENS['ann'][:-1]}"},
        {"Authorization": f"Basic {TOKENS['ann']}"},
        {"Authorization": TOKENS["ann"]},
        {"Cookie": f"__Host-relayer-session={TOKENS['ann']}"},
        {"Cookie": "__Host-relayer-session=v1.000000000000.e30." + "A" * 43},
        {"Cookie": "relayer-session=v1.000000000000.e30." + "A" * 43},
        {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "platform"},
        {"X-Auth-Request-User": "ann", "X-Forwarded-For": "127.0.0.1"},
        {"Host": "127.0.0.1"},
        {"Host": "localhost", "X-Forwarded-Host": "localhost", "X-Real-IP": "127.0.0.1"},
        {"X-HTTP-Method-Override": "GET"},
    ],
    ids=lambda headers: "-".join(headers) or "nothing",
)
async def test_without_a_key_no_route_opens(here: Doors, headers: dict[str, str]) -> None:
    for method, path in closed_routes(here.app):
        answer = await ask(here, method, path, **headers)
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await here.audit() == []


async def test_two_authorization_headers_are_none(here: Doors) -> None:
    pairs = [("Authorization", f"Bearer {TOKENS['ann']}"), ("Authorization", "Bearer another-one")]
    for order in (pairs, pairs[::-1]):
        assert (await here.http.get("/api/v1/status", headers=order)).status_code == 401


@pytest.mark.parametrize("who", ROLES)
async def test_each_route_needs_the_role_that_the_page_says(here: Doors, who: str) -> None:
    mine = Role(ROLES[who])
    for (method, path), least in documented().items():
        if least == "open" or ((method, path) in STREAMS and mine.covers(Role(least))):
            continue
        answer = await ask(here, method, path, **bearer(TOKENS[who]))
        if mine.covers(Role(least)):
            assert answer.status_code not in (401, 403), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert f"token:{who} has the role {mine}; this needs {least}" in answer.text


async def test_what_a_role_forbids_is_audited_and_counted_and_changes_nothing(here: Doors) -> None:
    update = await here.put()
    answer = await here.approve(update, TOKENS["otto"])
    assert answer.status_code == 403
    answer = await here.post("pools/prod/infra/hold", TOKENS["vera"])
    assert answer.status_code == 403
    assert await here.now(update) == update
    first, second = await here.audit()
    assert (first.event, first.by, first.job) == ("ApproveDeclined", "token:otto", update.id)
    assert (second.event, second.by, second.surface) == ("HoldDeclined", "token:vera", "http")
    assert (second.cluster, second.pool) == (PROD, "infra")
    assert "this needs operator" in second.detail
    told = here.metrics.registry.get_sample_value(
        "relayer_decisions_declined_total", {"surface": "http"}
    )
    assert told == 2


async def test_who_may_change_nothing_does_not_fill_the_trail(here: Doors) -> None:
    async def try_it(who: str, times: int) -> set[int]:
        post, key = here.http.post, bearer(TOKENS[who])
        path = "/api/v1/pools/prod/infra/hold" if who == "vera" else "/api/v1/updates/u-1/approve"
        return {(await post(path, headers=key, json={})).status_code for _ in range(times)}

    assert await try_it("vera", DECLINED.burst + 5) == {403}
    assert len(await here.audit()) == DECLINED.burst
    assert await try_it("otto", 1) == {403}
    assert len(await here.audit()) == DECLINED.burst + 1, "another one is heard"
    here.service.clock.advance(DECLINED.seconds_each)
    await try_it("vera", 2)
    assert len(await here.audit()) == DECLINED.burst + 2
    counted = here.metrics.registry.get_sample_value(
        "relayer_decisions_declined_total", {"surface": "http"}
    )
    assert counted == DECLINED.burst + 8, "all of them"


async def test_a_role_is_no_place_among_the_approvers(tmp_path: Path) -> None:
    async with doors(tmp_path, policy=a_policy(approvers=("token:otto",))) as here:
        update = await here.put()
        assert (await here.approve(update, TOKENS["otto"])).status_code == 403
    assert ROLES["ann"] == "approver"
    async with doors(tmp_path) as here:
        update = await here.put()
        assert (await here.approve(update, TOKENS["ann"])).status_code == 200


def test_a_token_without_a_role_may_what_it_could_before(tmp_path: Path) -> None:
    assert TokenSettings(name="ann", token_env="A").role == "approver"


@pytest.mark.parametrize(
    ("method", "least"),
    [
        ("POST", Role.VIEWER),
        ("DELETE", Role.VIEWER),
        ("GET", Role.OPERATOR),
        ("GET", Role.APPROVER),
    ],
)
async def test_open_on_loopback_is_looking_and_nothing_else(method: str, least: Role) -> None:
    access = Access(WebSettings(), {})
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    assert await access.caller(Request(scope)) == Caller()
    with pytest.raises(Problem) as told:
        await access.caller(Request({**scope, "method": method}), least)
    assert told.value.status == 401


@pytest.mark.parametrize("mode", ["proxy", "openshift"])
async def test_only_in_mode_token_everybody_here_may_look(tmp_path: Path, mode: str) -> None:
    auth = AuthSettings(mode=mode, proxy=ProxySettings(trusted=("192.0.2.1",), others="viewer"))
    async with doors(tmp_path, auth=auth, reviews=Nobody(), **HERE) as here:  # type: ignore[arg-type]
        for path in ("/api/v1/status", "/", "/session"):
            assert (await here.http.get(path)).status_code == 401


class Nobody:
    """A cluster that knows no token."""

    async def whose(self, token: str, *, audiences: Sequence[str]) -> Reviewed | None:
        return None

    async def allows(self, who: Reviewed, *, verb: str, namespace: str) -> bool:
        return False


# --- nobody is asked who he is -------------------------------------------------------------------

NONE = AuthSettings(mode="none")


def test_mode_none_stops_the_start_where_others_reach_it() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "relayer.example.com", ""):
        with pytest.raises(Refused, match="loopback only"):
            Access(WebSettings(host=host, auth=NONE))
    Access(WebSettings(host="127.0.0.1", auth=NONE))


async def test_without_names_everybody_operates_and_nobody_approves(tmp_path: Path) -> None:
    async with doors(tmp_path, auth=NONE, **HERE) as here:  # type: ignore[arg-type]
        said = (await here.http.get("/session")).json()
        assert said["identity"].startswith("local:")
        assert (said["role"], said["mode"]) == ("operator", "none")
        update = await here.put()
        binding = {"binding": str(update.binding.digest())}
        for what in ("approve", "reject"):
            answer = await here.change(f"updates/{update.id}/{what}", binding)
            assert answer.status_code == 403
        assert await here.now(update) == update
        held = await here.change("pools/prod/infra/hold")
        assert held.status_code == 200, held.text
        # A token is a name: with one somebody on this machine may decide.
        assert (await here.approve(update, TOKENS["ann"])).status_code == 200


async def test_without_names_everybody_can_be_let_look_only(tmp_path: Path) -> None:
    auth = AuthSettings(mode="none", local="viewer")
    async with doors(tmp_path, auth=auth, **HERE) as here:  # type: ignore[arg-type]
        assert (await here.change("pools/prod/infra/hold")).status_code == 403


async def test_no_setting_makes_an_approver_of_whoever_is_here(tmp_path: Path) -> None:
    auth = AuthSettings(mode="none", local="approver")
    async with doors(tmp_path, auth=auth, **HERE) as here:  # type: ignore[arg-type]
        assert (await here.http.get("/session")).json()["role"] == "operator"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Relayer-CSRF": ""},
        {"X-Relayer-CSRF": "0" * 64},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example.com"},
        {"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1:8081"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": ""},
    ],
    ids=str,
)
async def test_a_page_elsewhere_changes_nothing_through_a_browser_here(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with doors(tmp_path, auth=NONE, **HERE) as here:  # type: ignore[arg-type]
        answer = await here.change("pools/prod/infra/hold", **headers)
        assert answer.status_code == 403
        assert await here.audit() == []


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "relayer.example.com",
        "127.0.0.1.evil.example.com",
        "evil.example.com:127",
        "127.0.0.1@evil.example.com",
        "localhost.",
        "[::1].evil.example.com",
        "",
        "localhost,evil.example.com",
    ],
)
async def test_on_loopback_only_local_names_are_answered(tmp_path: Path, host: str) -> None:
    async with doors(tmp_path, **HERE) as here:  # type: ignore[arg-type]
        for path in ("/", "/api/v1/status", "/login", "/healthz"):
            answer = await here.http.get(path, headers={"Host": host})
            assert answer.status_code == 421, path


async def test_on_loopback_names_of_a_proxy_can_be_allowed(tmp_path: Path) -> None:
    names = ("relayer.example.com",)
    async with doors(tmp_path, names=names, **HERE) as here:  # type: ignore[arg-type]
        for host, status in (
            ("relayer.example.com", 200),
            ("Relayer.Example.Com:443", 200),
            ("127.0.0.1:8080", 200),
            ("other.example.com", 421),
        ):
            answer = await here.http.get("/healthz", headers={"Host": host})
            assert answer.status_code == status, host


async def test_two_hosts_are_refused(here: Doors) -> None:
    two = [("Host", "127.0.0.1"), ("Host", "relayer.example.com")]
    assert (await here.http.get("/healthz", headers=two)).status_code == 400


async def test_headers_that_are_too_large_are_refused(here: Doors) -> None:
    large = {"X-Anything": "x" * MOST_HEADER_BYTES}
    assert (await here.http.get("/healthz", headers=large)).status_code == 431
    large = bearer("x" * (MOST_HEADER_BYTES // 2))
    assert (await here.http.get("/api/v1/status", headers=large)).status_code == 401


async def test_bodies_that_are_too_large_are_refused_everywhere(here: Doors) -> None:
    body = b'{"token": "' + b"x" * MOST_BODY_BYTES + b'"}'
    for method, path in routes(here.app):
        if method == "GET" or path == "/logout":
            continue
        headers = {**bearer(TOKENS["ann"]), "Content-Type": "application/json"}
        answer = await here.http.request(method, filled(path), content=body, headers=headers)
        # A DELETE has no body that anybody would read.
        assert answer.status_code == (413 if method == "POST" else 422), (method, path)


async def test_another_address_is_another_caller(here: Doors) -> None:
    async with here.another("203.0.113.9") as there:
        assert (await there.http.get("/api/v1/status")).status_code == 401
    assert PEER != "203.0.113.9"

"""A proxy says who asks: believed from its own address only, whatever headers say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.contract.doors_site import PEER, TOKENS, Doors, closed_routes, doors, filled
from tests.contract.site import bearer
from tests.facts import a_policy
from watcher.settings_web import AuthSettings, ProxySettings, WebSettings
from watcher.web import serve_web
from watcher.web.access import Access
from watcher.web.guards import Guards, Receive, Scope, Send
from watcher.web.problems import Problem

AUTH = AuthSettings(
    mode="proxy",
    proxy=ProxySettings(
        trusted=("10.128.4.7",), groups={"platform": "approver", "dev": "viewer"}, others="none"
    ),
)
PROXY = "10.128.4.7"
ANN = {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "dev,platform"}
DEV = {"X-Forwarded-User": "dave", "X-Forwarded-Groups": "dev"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Doors]:
    """Asked by the proxy."""
    async with doors(tmp_path, auth=AUTH, peer=PROXY) as made:
        yield made


async def test_the_proxy_says_who_asks_and_his_groups_as_what(here: Doors) -> None:
    for headers, identity, role in (
        (ANN, "proxy:ann", "approver"),
        (DEV, "proxy:dave", "viewer"),
        ({**DEV, "X-Forwarded-Groups": " dev , other "}, "proxy:dave", "viewer"),
    ):
        said = (await here.http.get("/session", headers=headers)).json()
        assert (said["identity"], said["role"]) == (identity, role)


async def test_somebody_in_no_group_is_known_and_sees_nothing(here: Doors) -> None:
    for groups in ("other", "", "platform2", "Platform"):
        headers = {"X-Forwarded-User": "eve", "X-Forwarded-Groups": groups}
        answer = await here.http.get("/api/v1/status", headers=headers)
        assert answer.status_code == 403
        assert "proxy:eve has no role here" in answer.json()["detail"]
    answer = await here.http.get("/api/v1/status", headers={"X-Forwarded-User": "eve"})
    assert answer.status_code == 403


async def test_others_can_be_given_a_role(tmp_path: Path) -> None:
    said = ProxySettings(trusted=(PROXY,), others="viewer")
    async with doors(tmp_path, auth=AuthSettings(mode="proxy", proxy=said), peer=PROXY) as here:
        answer = await here.http.get("/session", headers={"X-Forwarded-User": "eve"})
        assert answer.json()["role"] == "viewer"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"X-Forwarded-For": PROXY},
        {"Forwarded": f"for={PROXY}"},
        {"X-Real-IP": PROXY},
        {"X-Auth-Request-User": "ann", "X-Auth-Request-Groups": "platform"},
    ],
    ids=lambda more: "-".join(more) or "bare",
)
async def test_nobody_else_is_believed(here: Doors, more: dict[str, str]) -> None:
    said = {**ANN, **more}
    async with here.another(PEER) as there:
        for method, path in closed_routes(here.app):
            answer = await there.http.request(method, filled(path), headers=said)
            assert answer.status_code == 401, (method, path)
    for peer in ("127.0.0.1", "::1", "10.128.4.8", "10.128.4.71", ""):
        async with here.another(peer) as there:
            assert (await there.http.get("/session", headers=said)).status_code == 401, peer
    assert await here.audit() == []


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "eve")],
        [("X-Forwarded-User", "ann, eve")],
        [("X-Forwarded-User", "")],
        [("X-Forwarded-User", "a" * 151)],
        [("X-Forwarded-User", b"\xc3\xa4nn")],
        [("X-Forwarded-User", "ann"), ("X-Forwarded-Groups", ",".join(["platform"] * 501))],
    ],
    ids=["two", "comma", "empty", "long", "not-ascii", "groups"],
)
async def test_what_is_no_name_is_nobody(here: Doors, headers: list[tuple[str, str]]) -> None:
    assert (await here.http.get("/api/v1/status", headers=headers)).status_code == 401


async def test_without_a_name_the_proxy_is_nobody_and_a_token_counts(here: Doors) -> None:
    assert (await here.http.get("/api/v1/status")).status_code == 401
    groups = {"X-Forwarded-Groups": "platform"}
    assert (await here.http.get("/api/v1/status", headers=groups)).status_code == 401
    answer = await here.http.get("/session", headers=bearer(TOKENS["vera"]))
    assert answer.json()["identity"] == "token:vera"


async def test_what_else_the_proxy_passes_on_does_not_matter(here: Doors) -> None:
    for more in ({"Authorization": "Bearer of-the-proxys-own"}, {"Cookie": "_oauth_proxy=x"}):
        said = (await here.http.get("/session", headers={**ANN, **more})).json()
        assert said["identity"] == "proxy:ann"


async def test_other_headers_can_be_named(tmp_path: Path) -> None:
    said = ProxySettings(
        trusted=(PROXY,),
        user_header="X-Auth-Request-User",
        groups_header="X-Auth-Request-Groups",
        groups={"platform": "approver"},
    )
    auth = AuthSettings(mode="proxy", proxy=said)
    async with doors(tmp_path, auth=auth, peer=PROXY) as here:
        named = {"X-Auth-Request-User": "ann", "X-Auth-Request-Groups": "platform"}
        said_of = (await here.http.get("/session", headers=named)).json()
        assert (said_of["identity"], said_of["role"]) == ("proxy:ann", "approver")
        assert (await here.http.get("/session", headers=ANN)).status_code == 401


async def test_a_change_through_the_proxy_needs_csrf_as_its_cookie_comes_by_itself(
    here: Doors,
) -> None:
    here.http.headers.update(ANN)
    update = await here.put()
    binding = {"binding": str(update.binding.digest())}
    path = f"updates/{update.id}/approve"
    for headers in (
        {"X-Relayer-CSRF": ""},
        {"X-Relayer-CSRF": "0" * 64},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example.com"},
    ):
        assert (await here.change(path, binding, **headers)).status_code == 403
    others = (await here.http.get("/session", headers=DEV)).json()["csrf"]
    assert (await here.change(path, binding, csrf=others)).status_code == 403
    assert await here.now(update) == update
    assert (await here.change(path, binding)).status_code == 200
    approval = (await here.now(update)).approval
    assert approval is not None
    assert approval.by == ("proxy:ann",)


async def test_the_rules_of_a_pool_hold_for_names_of_the_proxy(tmp_path: Path) -> None:
    policy = a_policy(approvers=("proxy:bob", "token:ann"))
    async with doors(tmp_path, auth=AUTH, peer=PROXY, policy=policy) as here:
        here.http.headers.update(ANN)
        answer = await here.change("pools/prod/infra/hold")
        assert answer.status_code == 409
        assert "proxy:ann is not an approver" in answer.json()["detail"]
        here.http.headers.update({**ANN, "X-Forwarded-User": "bob"})
        assert (await here.change("pools/prod/infra/hold")).status_code == 200


async def test_in_other_modes_nobody_is_a_proxy(tmp_path: Path) -> None:
    async with doors(tmp_path, auth=AuthSettings(proxy=AUTH.proxy), peer=PROXY) as here:
        assert (await here.http.get("/session", headers=ANN)).status_code == 401


@asynccontextmanager
async def served(app: object) -> AsyncIterator[str]:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_web(app, "127.0.0.1", 0, port.set_result))
        yield f"http://127.0.0.1:{await port}"
        serving.cancel()


@pytest.mark.parametrize(("trusted", "status"), [("127.0.0.1", 200), ("192.0.2.1", 401)])
async def test_over_a_real_connection_the_peer_counts_and_no_forwarded_header(
    tmp_path: Path, trusted: str, status: int
) -> None:
    said = ProxySettings(trusted=(trusted,), groups={"platform": "approver"})
    async with (
        doors(tmp_path, auth=AuthSettings(mode="proxy", proxy=said)) as here,
        served(here.app) as url,
        httpx.AsyncClient(base_url=url) as http,
    ):
        for forwarded in ("192.0.2.1", "127.0.0.1"):
            headers = {**ANN, "X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
            answer = await http.get("/api/v1/status", headers=headers)
            assert answer.status_code == status, forwarded


@pytest.mark.parametrize(("peer", "kept"), [(PROXY, True), (PEER, False), ("", False)])
@pytest.mark.parametrize("mode", ["proxy", "token"])
async def test_headers_of_others_are_never_passed_on(mode: str, peer: str, kept: bool) -> None:
    seen: list[set[str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({name.decode() for name, _ in scope["headers"]})
        await Response()(scope, receive, send)

    auth = AuthSettings(mode=mode, proxy=AUTH.proxy)
    guarded = Guards(app, web=WebSettings(host="0.0.0.0", auth=auth))
    transport = httpx.ASGITransport(guarded, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        more = {"X-Auth-Request-User": "ann", "x-AUTH-request-Groups": "platform"}
        await http.get("/", headers={**ANN, **more, "X-Other": "stays"})
    names = {"x-forwarded-user", "x-forwarded-groups"}
    names |= {"x-auth-request-user", "x-auth-request-groups"}
    believed = kept and mode == "proxy"
    assert seen[0] & names == (names if believed else set())
    assert "x-other" in seen[0]


async def test_the_door_looks_at_the_peer_itself(here: Doors) -> None:
    """Even where something before it let the headers through."""
    access = Access(here.service.settings.web, service=here.service)
    headers = [(name.lower().encode(), value.encode()) for name, value in ANN.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    named = await access.caller(Request({**scope, "client": (PROXY, 1)}))
    assert named.identity == "proxy:ann"
    for client in ((PEER, 1), ("127.0.0.1", 1), None):
        with pytest.raises(Problem) as told:
            await access.caller(Request({**scope, "client": client}))
        assert told.value.status == 401

"""Logging in in a browser: the cookie, what ends it, what a change needs beside it, and guesses."""

import base64
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from tests.contract.doors_site import TOKENS, Doors, documented, doors, filled
from tests.contract.site import bearer
from watcher.clients.store.memory_store import MemoryStore
from watcher.ports import Transient
from watcher.web.doors import keys, limits, sessions

NAME = "__Host-relayer-session"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HERE = {"host": "127.0.0.1", "origin": "http://127.0.0.1:8080", "peer": "127.0.0.1"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path) as made:
        yield made


def cookie_of(here: Doors, name: str = NAME) -> str:
    return here.http.cookies.get(name) or ""


async def status_of(here: Doors, cookie: str, name: str = NAME) -> int:
    async with here.another() as there:
        answer = await there.http.get("/api/v1/status", headers={"Cookie": f"{name}={cookie}"})
        return answer.status_code


# --- the cookie ----------------------------------------------------------------------------------


async def test_a_token_becomes_a_cookie_that_lets_in(here: Doors) -> None:
    answer = await here.log_in("ann")
    assert (answer.status_code, answer.content) == (204, b"")
    said = (await here.http.get("/session")).json()
    assert (said["identity"], said["role"]) == ("token:ann", "approver")
    update = await here.put()
    binding = {"binding": str(update.binding.digest())}
    approved = await here.change(f"updates/{update.id}/approve", binding)
    assert approved.json()["update"]["approval"]["by"] == ["token:ann"]


async def test_the_cookie_is_for_this_host_over_https_and_no_script(here: Doors) -> None:
    answer = await here.log_in("ann")
    (said,) = answer.headers.get_list("set-cookie")
    assert said.startswith(f"{NAME}=v1.")
    attributes = {part.strip() for part in said.split(";")[1:]}
    assert attributes == {"Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Strict", "Secure"}


async def test_on_this_machine_the_cookie_goes_over_plain_http(tmp_path: Path) -> None:
    async with doors(tmp_path, **HERE) as here:  # type: ignore[arg-type]
        (said,) = (await here.log_in("ann")).headers.get_list("set-cookie")
        assert said.startswith("relayer-session=")
        assert "Secure" not in said
        assert "HttpOnly; SameSite=Strict" in said
        assert (await here.http.get("/session")).json()["identity"] == "token:ann"


async def test_a_cookie_of_plain_http_counts_nowhere_else(tmp_path: Path) -> None:
    async with doors(tmp_path) as here:
        await here.log_in("ann")
        value = cookie_of(here)
        assert await status_of(here, value) == 200
        assert await status_of(here, value, "relayer-session") == 401


async def test_nobody_logs_in_from_a_page_over_plain_http_elsewhere(tmp_path: Path) -> None:
    async with doors(tmp_path, origin="http://relayer.example.com") as here:
        for more in ({}, {"Sec-Fetch-Site": "same-origin"}):
            own = {"Origin": "http://relayer.example.com", **more}
            said = {"token": TOKENS["ann"]}
            answer = await here.http.post("/login", json=said, headers=own)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


async def test_a_form_without_script_logs_in_and_leads_back(here: Doors) -> None:
    data = {"token": TOKENS["ann"], "next": "/pools/prod/infra?x=1"}
    answer = await here.http.post("/login", data=data, headers=here.own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pools/prod/infra?x=1")
    assert (await here.http.get("/session")).json()["identity"] == "token:ann"


@pytest.mark.parametrize(
    "where",
    ["https://evil.example.com/", "//evil.example.com", "/\\evil.example.com", "x", "javascript:1",
     "/a\r\nSet-Cookie: x=y", "/" + "a" * 600, "/ä"],
)  # fmt: skip
async def test_a_login_leads_nowhere_else(here: Doors, where: str) -> None:
    data = {"token": TOKENS["ann"], "next": where}
    answer = await here.http.post("/login", data=data, headers=here.own)
    assert answer.status_code in (303, 422)
    assert answer.headers.get("location", "/") == "/"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 422),
        (b"", "application/json", 401),
        (b'{"token": 1}', "application/json", 422),
        (b'{"token": "x", "role": "approver"}', "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"[" * 9000, "application/json", 422),
        (b"token=\xff", FORM["Content-Type"], 422),
        (b"token=a&token=b", FORM["Content-Type"], 401),
        (b"&".join([b"a=b"] * 99), FORM["Content-Type"], 422),
        (b"token=x", "text/plain", 415),
        (b"x" * 17_000, "application/json", 413),
        (b'{"token": "%s"}' % (b"y" * 9000), "application/json", 401),
    ],
)
async def test_what_is_no_login_is_told_so(
    here: Doors, body: bytes, kind: str, status: int
) -> None:
    answer = await here.http.post(
        "/login", content=body, headers={**here.own, "Content-Type": kind}
    )
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


# --- what ends it --------------------------------------------------------------------------------


async def test_a_login_ends_after_its_time_however_much_it_is_used(here: Doors) -> None:
    await here.log_in("ann")
    for _ in range(23):
        here.service.clock.advance(1800)
        assert (await here.http.get("/session")).status_code == 200
    here.service.clock.advance(1800)
    answer = await here.http.get("/session")
    assert answer.status_code == 401
    assert "ended: log in again" in answer.json()["detail"]
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_login_without_use_ends(here: Doors) -> None:
    await here.log_in("ann")
    here.service.clock.advance(3599)
    assert await status_of(here, cookie_of(here)) == 200
    here.service.clock.advance(1)
    assert await status_of(here, cookie_of(here)) == 401


async def test_a_cookie_is_given_anew_only_now_and_then(here: Doors) -> None:
    await here.log_in("ann")
    here.service.clock.advance(sessions.RENEWED_SECONDS - 1)
    assert "set-cookie" not in (await here.http.get("/session")).headers
    here.service.clock.advance(1)
    assert "set-cookie" in (await here.http.get("/session")).headers


async def test_a_logout_ends_every_copy_of_the_cookie(here: Doors) -> None:
    await here.log_in("ann")
    first = cookie_of(here)
    here.service.clock.advance(600)
    await here.http.get("/session")
    second = cookie_of(here)
    assert first != second
    token = await here.csrf()
    answer = await here.http.post("/logout", headers={**here.own, "X-Relayer-CSRF": token})
    assert answer.status_code == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    for copy in (first, second):
        assert await status_of(here, copy) == 401
    # Remembered for an hour; by then neither counts any more by itself.
    here.service.clock.advance(3601)
    for copy in (first, second):
        assert await status_of(here, copy) == 401


async def test_a_logout_by_a_form_leads_to_the_login(here: Doors) -> None:
    await here.log_in("ann")
    answer = await here.http.post("/logout", data={"csrf": await here.csrf()}, headers=here.own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert (await here.http.get("/session")).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}], ids=["csrf", "site"])
async def test_nobody_else_logs_somebody_out(here: Doors, headers: dict[str, str]) -> None:
    await here.log_in("ann")
    given = {"X-Relayer-CSRF": await here.csrf()} if headers else {}
    answer = await here.http.post("/logout", headers={**here.own, **given, **headers})
    assert answer.status_code == 403
    assert (await here.http.get("/session")).status_code == 200


async def test_a_changed_token_ends_its_logins(here: Doors) -> None:
    await here.log_in("ann")
    file = here.service.settings.web.tokens[2].token_file
    assert file is not None
    assert file.name == "ann"
    file.write_text("another-long-token-of-ann\n")
    assert (await here.http.get("/session")).status_code == 401
    assert (await here.log_in("another-long-token-of-ann")).status_code == 204
    file.unlink()
    assert (await here.http.get("/session")).status_code == 401


async def test_a_login_knows_the_role_of_today_and_no_role_of_its_own(here: Doors) -> None:
    await here.log_in("vera")
    answer = await here.change("pools/prod/infra/hold")
    assert answer.status_code == 403
    assert "token:vera has the role viewer; this needs operator" in answer.json()["detail"]
    assert [entry.event for entry in await here.audit()] == ["HoldDeclined"]


async def test_the_key_of_the_store_alone_makes_nobody_ann(here: Doors) -> None:
    """Whoever reads the store has the key, and still not the token that is signed with it."""
    await here.log_in("ann")
    key, now = await _key(here), here.service.clock.now().timestamp()
    forged = sessions.Session("a" * 32, "token", "ann", now, now, sessions.bound_to(key, b"guess"))
    value = sessions.seal(forged, key)
    assert value
    assert await status_of(here, value) == 401


async def test_replicas_know_each_others_logins(here: Doors, tmp_path: Path) -> None:
    await here.log_in("ann")
    (tmp_path / "other").mkdir()
    async with doors(tmp_path / "other") as other:
        assert await status_of(other, cookie_of(here)) == 401
        other.service.store = here.service.store
        other.service.clock.advance(keys.AGAIN_SECONDS)
        assert await status_of(other, cookie_of(here)) == 200


async def test_keys_change_each_day_and_logins_outlive_that(here: Doors) -> None:
    await here.log_in("vera")
    first = await _key(here)
    here.service.clock.advance(keys.KEY_SECONDS - 600)
    await here.log_in("ann")
    csrf = await here.csrf()
    assert await _key(here) == first
    here.service.clock.advance(601)
    async with here.another() as there:
        await there.log_in("otto")
        assert (await _key(there)).id != first.id
        assert (await there.http.get("/session")).status_code == 200
    # What was signed and shown before goes on counting, and is signed anew when it is used.
    assert (await here.change("pools/prod/infra/hold", csrf=csrf)).status_code == 200
    assert cookie_of(here).split(".")[1] == (await _key(here)).id
    here.service.clock.advance(keys.KEY_SECONDS + 12 * 3600)
    await here.log_in("vera")
    rows = (await here.service.store.kept(keys.KEPT))["keys"]
    assert isinstance(rows, list)
    assert first.id not in {row["id"] for row in rows}


async def _key(here: Doors) -> keys.Key:
    rows = (await here.service.store.kept(keys.KEPT))["keys"]
    assert isinstance(rows, list)
    return keys.Key(rows[0]["id"], base64.b64decode(rows[0]["key"]), rows[0]["at"])


# --- forged --------------------------------------------------------------------------------------


async def test_no_changed_cookie_lets_in(here: Doors) -> None:
    await here.log_in("vera")
    value = cookie_of(here)
    version, key_id, said, signature = value.split(".")
    fields = msgspec.json.decode(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    assert fields[2] == "vera"
    other = base64.urlsafe_b64encode(msgspec.json.encode([*fields[:2], "ann", *fields[3:]]))
    for forged in (
        f"{version}.{key_id}.{other.decode().rstrip('=')}.{signature}",
        f"{version}.{key_id}.{said}.{signature[:-1]}",
        f"{version}.{key_id}.{said}.{'A' * 43}",
        f"{version}.{'0' * 12}.{said}.{signature}",
        f"v2.{key_id}.{said}.{signature}",
        f"{version}.{key_id}.{said}",
        f"{value}.{value}",
        f'"{value}"',
        value + "=",
        "",
    ):
        assert await status_of(here, forged) == 401, forged
    assert await status_of(here, value) == 200


async def test_a_planted_second_cookie_makes_neither_count(here: Doors) -> None:
    await here.log_in("ann")
    value = cookie_of(here)
    async with here.another() as there:
        both = {"Cookie": f"{NAME}={value}; {NAME}={value}"}
        assert (await there.http.get("/api/v1/status", headers=both)).status_code == 401


async def test_a_cookie_from_the_future_is_forged(here: Doors) -> None:
    await here.log_in("ann")
    here.service.clock.advance(-3600)
    assert await status_of(here, cookie_of(here)) == 401


# --- what a change needs beside the cookie -------------------------------------------------------

CHANGES = sorted(
    path for (method, path), least in documented().items() if method == "POST" and least != "open"
)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Relayer-CSRF": ""},
        {"X-Relayer-CSRF": "f" * 64},
        {"X-Relayer-CSRF": "another"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example.com"},
        {"Sec-Fetch-Site": "", "Origin": "null"},
        {"Sec-Fetch-Site": "", "Origin": ""},
        {"Sec-Fetch-Site": "", "Origin": "http://relayer.example.com"},
    ],
    ids=str,
)
async def test_by_cookie_nothing_is_changed_from_elsewhere(
    here: Doors, headers: dict[str, str]
) -> None:
    async with here.another() as there:
        await there.log_in("otto")
        others = await there.csrf()
    await here.log_in("ann")
    mine = await here.csrf()
    assert mine != others
    said = {name: others if value == "another" else value for name, value in headers.items()}
    for path in CHANGES:
        answer = await here.change(filled(path).removeprefix("/api/v1/"), csrf=mine, **said)
        assert answer.status_code == 403, path
    for path in ("freezes?scope=prod", "silences?id=s-1"):
        kept = {n: v for n, v in {**here.own, "X-Relayer-CSRF": mine, **said}.items() if v}
        answer = await here.http.delete(f"/api/v1/{path}", headers=kept)
        assert answer.status_code == 403, path
    assert await here.audit() == []


async def test_a_bearer_token_needs_neither(here: Doors) -> None:
    answer = await here.http.post("/api/v1/pools/prod/infra/hold", headers=bearer(TOKENS["ann"]))
    assert answer.status_code == 200


async def test_a_token_in_the_header_counts_before_the_cookie(here: Doors) -> None:
    await here.log_in("ann")
    answer = await here.http.get("/session", headers=bearer(TOKENS["vera"]))
    assert answer.json()["identity"] == "token:vera"
    answer = await here.http.get("/session", headers=bearer("a-token-of-nobody-at-all"))
    assert answer.status_code == 401


async def test_the_csrf_value_of_a_login_is_stable_and_its_own(here: Doors) -> None:
    await here.log_in("ann")
    first = await here.csrf()
    assert first == await here.csrf()
    await here.log_in("ann")
    assert first != await here.csrf()


# --- guesses -------------------------------------------------------------------------------------


async def test_guesses_are_slowed_by_address(here: Doors) -> None:
    statuses = [(await here.log_in("a-wrong-guess-again")).status_code for _ in range(12)]
    assert statuses == [401] * limits.PEER.burst + [429] * 2
    last = await here.log_in("ann")
    assert (last.status_code, last.headers["retry-after"]) == (429, "7")
    async with here.another("203.0.113.9") as there:
        assert (await there.log_in("ann")).status_code == 204
    here.service.clock.advance(7)
    assert (await here.log_in("ann")).status_code == 204


async def test_guesses_from_everywhere_are_slowed_in_all(here: Doors) -> None:
    for number in range(limits.ALL.burst):
        async with here.another(f"203.0.{number}.9") as there:
            assert (await there.log_in("a-wrong-guess-again")).status_code == 401
    async with here.another("198.51.100.1") as there:
        assert (await there.log_in("ann")).status_code == 429
        # Whoever is in, and whoever sends a token, is not concerned.
        status = await there.http.get("/api/v1/status", headers=bearer(TOKENS["ann"]))
        assert status.status_code == 200


async def test_who_logs_in_is_not_slowed(here: Doors) -> None:
    for _ in range(limits.PEER.burst * 3):
        assert (await here.log_in("ann")).status_code == 204


async def test_a_forwarded_address_is_no_other_address(here: Doors) -> None:
    seen = [
        (await here.log_in("a-wrong-guess-again", **{"X-Forwarded-For": f"10.0.0.{n}"})).status_code
        for n in range(12)
    ]
    assert seen[-1] == 429


# --- nothing secret ------------------------------------------------------------------------------


async def test_no_token_is_on_any_page_or_in_any_line_of_the_log(here: Doors) -> None:
    await here.put()
    guess = "a-guess-of-somebody-else"
    shown: list[httpx.Response] = []
    with capture_logs() as lines:
        shown.append(await here.log_in(guess))
        form = {"token": guess, "next": "/"}
        shown.append(await here.http.post("/login", data=form, headers=here.own))
        shown.append(await here.log_in("ann"))
        cookie = cookie_of(here)
        paths = [filled(path) for method, path in documented() if method == "GET"]
        for path, kind in itertools.product(paths, ("text/html", "application/json")):
            if path.endswith("/events"):
                continue
            shown.append(await here.http.get(path, headers={"Accept": kind}))
            both = {"Accept": kind, **bearer(guess)}
            shown.append(await here.http.get(path, headers=both))
        shown.append(await here.change("pools/prod/infra/hold", csrf="wrong"))
        shown.append(await here.change("pools/prod/infra/hold"))
        shown.append(await here.http.post("/logout", headers=here.own))
    assert len(shown) > 30
    audit = repr(await here.audit())
    secrets = [*TOKENS.values(), guess, cookie, cookie.split(".")[-1]]
    for secret in secrets:
        for answer in shown:
            headers = [f"{n}: {v}" for n, v in answer.headers.items() if n != "set-cookie"]
            assert secret not in answer.text, answer.request.url
            assert secret not in " ".join(headers)
        assert secret not in repr(lines)
        assert secret not in audit
    events = [line["event"] for line in lines]
    assert {"login_refused", "logged_in", "change_not_meant"} <= set(events)


async def test_who_is_logged_in_finds_the_way_out_on_the_same_page(here: Doors) -> None:
    await here.log_in("otto")
    page = (await here.http.get("/login", headers={"Accept": "text/html"})).text
    assert "You are token:otto, with the role operator." in page
    assert f'name="csrf" value="{await here.csrf()}"' in page
    assert "Log out" in page
    fragment = await here.http.get("/login", headers={"Relayer-Fragment": "1"})
    assert fragment.status_code == 200
    assert "<html" not in fragment.text
    assert "You are token:otto" in fragment.text
    async with here.another() as there:
        assert "Log out" not in (await there.http.get("/login")).text


async def test_the_form_is_there_for_everybody_and_without_inline_script(here: Doors) -> None:
    answer = await here.http.get("/login?next=/pools/prod/infra", headers={"Accept": "text/html"})
    assert answer.status_code == 200
    assert 'name="next" value="/pools/prod/infra"' in answer.text
    assert 'type="password"' in answer.text
    assert re.findall(r"<script(?! src=)", answer.text) == []
    hostile = await here.http.get('/login?next=/"><script>alert(1)</script>')
    assert "<script>alert" not in hostile.text


# --- the store is away ---------------------------------------------------------------------------


class Away(MemoryStore):
    async def kept(self, key: str) -> dict[str, object]:
        raise Transient("no answer from redis at /run/secret.sock")

    async def handled(self, delivery: str) -> bool:
        raise Transient("no answer from redis at /run/secret.sock")


async def test_without_the_store_nobody_is_let_in_by_a_cookie(here: Doors) -> None:
    await here.log_in("ann")
    whole = here.service.store
    here.service.store = Away(here.service.clock)
    for advanced in (0, keys.FRESH_SECONDS):
        here.service.clock.advance(advanced)
        answer = await here.http.get("/session")
        assert answer.status_code == 503
        assert "secret.sock" not in answer.text
    assert (await here.log_in("ann")).status_code == 503
    page = await here.http.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 503
    here.service.store = whole
    assert (await here.http.get("/session")).status_code == 200


async def test_nobody_logs_in_where_no_token_is_configured(tmp_path: Path) -> None:
    async with doors(tmp_path, tokens=False) as here:
        assert (await here.log_in("ann")).status_code == 404
        assert "none is configured" in (await here.http.get("/login")).text

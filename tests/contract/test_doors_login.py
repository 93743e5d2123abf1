"""Logging in in a browser: the cookie, what ends it, what a change needs beside it, and guesses."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.contract.doors_site import NAME, TOKENS, Doors, cookie_of, doors
from watcher.clients.store.memory_store import MemoryStore
from watcher.ports import Transient
from watcher.web.doors import keys, sessions

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HERE = {"host": "127.0.0.1", "origin": "http://127.0.0.1:8080", "peer": "127.0.0.1"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path) as made:
        yield made


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

"""What a change by cookie needs beside it; guesses; and nothing secret shown."""

import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from tests.contract.doors_site import TOKENS, Doors, cookie_of, documented, doors, filled
from tests.contract.site import bearer
from watcher.web.doors import limits


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path) as made:
        yield made


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

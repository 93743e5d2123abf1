"""The server around the pages: a real port, a real browser, and a stop that finishes its work."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.contract.browser import browser
from tests.contract.site import ANN, Site, bearer, site
from tests.facts import PROD, an_update
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.core.update_events import UpdateState
from watcher.ports import Refused
from watcher.web import serve_web
from watcher.web.server import HEAD_SECONDS, STOP_SECONDS

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@asynccontextmanager
async def served(app: object, *, head_seconds: float = HEAD_SECONDS) -> AsyncIterator[str]:
    """The address of the running server; stopped as `service.run` would stop it."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.get_running_loop().create_task(
        serve_web(app, "127.0.0.1", 0, port.set_result, head_seconds=head_seconds)
    )
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def test_port_0_takes_a_free_one_and_tells_it(here: Site) -> None:
    async with served(here.app) as url, httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/healthz")).json()["status"] == "alive"
    with pytest.raises(httpx.ConnectError):
        await asyncio.to_thread(httpx.get, f"{url}/healthz")


async def test_signals_are_left_to_the_service(here: Site) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with served(here.app):
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_request_under_way_is_finished_when_we_stop() -> None:
    began, release, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        began.set()
        await release.wait()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"done"})  # type: ignore[operator]
        answered.set()

    async with asyncio.TaskGroup() as group, httpx.AsyncClient() as http:
        async with served(slow) as url:
            asking = group.create_task(http.get(url))
            await began.wait()
            asyncio.get_running_loop().call_later(0.1, release.set)
        assert answered.is_set(), "the server ended before the request under way"
        assert (await asking).text == "done"


HALF = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: "


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a head"])
async def test_a_request_that_does_not_come_keeps_no_connection(here: Site, said: bytes) -> None:
    async with served(here.app, head_seconds=0.1) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(said)
        assert await reader.read() == b""
        writer.close()


async def test_nor_does_a_second_one_that_does_not_come(here: Site) -> None:
    async with served(here.app, head_seconds=0.1) as url, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(HALF + b"\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(HALF)
        assert b"alive" in await reader.read(), "the first one is answered, and then it ends"
        writer.close()


async def test_an_answer_may_take_longer_than_the_request() -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        began.set()
        await release.wait()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"done"})  # type: ignore[operator]

    async with (
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
        httpx.AsyncClient() as http,
        served(slow, head_seconds=0.1) as url,
    ):
        asking = group.create_task(http.get(url))
        await began.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        assert await reader.read() == b"", "whoever came later and said nothing is cut off"
        writer.close()
        release.set()
        assert (await asking).text == "done"


async def test_a_taken_port_is_refused_with_the_next_step(here: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=r"set web\.port"):
            await serve_web(here.app, "127.0.0.1", port, lambda _: None)


async def test_a_host_that_is_none_is_refused(here: Site) -> None:
    with pytest.raises(Refused, match=r"web\.host"):
        await serve_web(here.app, "no.such.host.invalid", 0, lambda _: None)


@pytest.mark.real("chromium")
async def test_a_browser_shows_what_a_cluster_says_as_text_only(here: Site, tmp_path: Path) -> None:
    update = an_update(state=UpdateState.AWAITING_APPROVAL)
    await here.put(replace(update, because=HOSTILE))
    view = {"cluster": PROD, "pool": "infra", "decision": "Hold", "because": HOSTILE, "at": None}
    await here.service.store.put_view("pool:prod/infra", view)
    async with served(here.app) as url, browser(f"{url}/pools/prod/infra", tmp_path) as page:
        await page.until("document.querySelector('#connection[data-state=live]') !== null")
        shown = await page.run("document.body.innerText")
        assert shown.count(HOSTILE) == 3, shown
        assert await page.run("document.querySelectorAll('main img').length") == 0
        assert await page.run("document.title") == "prod/infra · Relayer"


@pytest.mark.real("chromium")
async def test_a_person_approves_on_the_page_with_two_clicks(here: Site, tmp_path: Path) -> None:
    update, approve = await here.put(), "document.querySelector('main button.main')"
    async with (
        served(here.app) as url,
        browser(f"{url}/pools/prod/infra#token={ANN}", tmp_path) as page,
    ):
        await page.until(f"{approve} !== null")
        assert await page.run("location.hash") == ""
        await page.run(f"{approve}.click()")
        assert "will reboot: click again" in await page.run(f"{approve}.innerText")
        assert await here.now(update) == update
        await page.run(f"{approve}.click()")
        await page.until("document.querySelector('main').innerText.includes('scheduled')")
        await page.until("document.querySelector('main').innerText.includes('token:ann said yes')")
        assert page.complaints == []
    after = await here.now(update)
    assert after.approval is not None
    assert after.approval.by == ("token:ann",)


@pytest.mark.real("chromium")
async def test_who_is_not_known_sees_no_buttons(here: Site, tmp_path: Path) -> None:
    await here.put()
    async with served(here.app) as url, browser(f"{url}/pools/prod/infra", tmp_path) as page:
        await page.until("document.querySelector('#connection[data-state=live]') !== null")
        assert await page.run("document.querySelectorAll('main button').length") == 0


@pytest.mark.real("chromium")
async def test_the_page_says_why_a_decision_was_declined(tmp_path: Path) -> None:
    rules = ApprovalRules(approvers=("token:bob",))
    async with site(tmp_path, policy=Policy(approval=rules)) as here:
        update = await here.put(
            an_update(state=UpdateState.AWAITING_APPROVAL, policy=Policy(approval=rules))
        )
        async with (
            served(here.app) as url,
            browser(f"{url}/pools/prod/infra#token={ANN}", tmp_path) as page,
        ):
            # The page comes anew once the token was taken.
            await page.until("!document.querySelector('#caller').hidden")
            await page.until("document.querySelector('button.danger') !== null")
            await page.run("document.querySelector('button.danger').click()")
            await page.until("document.querySelector('#answer').innerText.includes('approve')")
            assert await page.run("document.querySelector('#answer').className") == "bad"
        assert await here.now(update) == update


async def test_a_stream_says_that_something_changed_and_ends_when_we_stop(here: Site) -> None:
    said: list[str] = []
    heard = asyncio.Event()

    async def listen(url: str) -> None:
        async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                said.append(line)
                heard.set()

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        async with served(here.app) as url:
            listening = group.create_task(listen(url))
            await heard.wait()
            assert here.app.state.live.open == 1
            heard.clear()
            await here.put()
            await heard.wait()
            began = loop.time()
        await listening
    assert loop.time() - began < STOP_SECONDS, "a stop does not wait for open pages"
    assert [line for line in said if line.startswith(("retry", "event", "data"))] == [
        *("retry: 2000", "event: changed", "data: changed", "event: changed", "data: changed"),
    ]
    assert here.app.state.live.open == 0


async def test_a_token_works_over_a_real_connection(here: Site) -> None:
    update = await here.put()
    async with served(here.app) as url, httpx.AsyncClient(base_url=url) as http:
        body = {"binding": str(update.binding.digest())}
        path = f"/api/v1/updates/{update.id}/approve"
        assert (await http.post(path, json=body, headers=bearer(ANN))).status_code == 200

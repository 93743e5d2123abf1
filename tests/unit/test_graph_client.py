"""The update service against a real server: what is sent, kept and refused; when it is down."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.facts import release_image
from tests.registries import PrivateCa
from watcher.clients.graph import AGAIN_SECONDS, KEPT, KEPT_SECONDS, GraphClient
from watcher.core.graph import Limits, SeenGraph
from watcher.ports import OutsideError, Refused, Transient


def graph(*versions: str) -> dict[str, Any]:
    nodes = [{"version": v, "payload": str(release_image(v))} for v in versions]
    return {"version": 1, "nodes": nodes, "edges": []}


def fine(*versions: str, etag: str = "") -> web.Response:
    headers = {"ETag": etag} if etag else {}
    return web.json_response(graph(*versions or ("4.16.3",)), headers=headers)


def error(status: int, kind: str, value: str) -> web.Response:
    return web.json_response({"kind": kind, "value": value}, status=status)


def away(to: str) -> web.Response:
    return web.Response(status=302, headers={"Location": to})


@dataclass
class Service:
    """An update service that keeps what is asked, and answers as told."""

    url: str = ""
    asked: list[web.Request] = field(default_factory=list)
    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    """Used up one by one; then a graph of 4.16.3."""
    drips: bytes = b""
    """An answer that goes on with this for ever."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.drips:
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(self.drips)
                await asyncio.sleep(0.01)
        return self.answers.pop(0)() if self.answers else fine()


@asynccontextmanager
async def serving(trust: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_get("/{path:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust).start()
    scheme, port = "https" if trust else "http", runner.addresses[0][1]
    service.url = f"{scheme}://127.0.0.1:{port}/api/graph"
    try:
        yield service
    finally:
        await runner.cleanup()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as it:
        yield it


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    return PrivateCa.made_in(tmp_path)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def client(time: Time) -> AsyncIterator[GraphClient]:
    async with GraphClient.opened(monotonic=time, trust_env=False) as it:
        yield it


async def ask(client: GraphClient, service: Service, **said: str) -> SeenGraph:
    asked = {"channel": "stable-4.16", "architecture": "amd64", "version": "4.16.1", **said}
    return await client.graph(url=asked.pop("url", service.url), **asked)


async def fails(client: GraphClient, service: Service, **said: str) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await ask(client, service, **said)
    return caught.value


# --- what is sent --------------------------------------------------------------------------------


async def test_what_is_asked(client: GraphClient, service: Service) -> None:
    """And nothing that tells which cluster it is: no id, no cookie, no login."""
    found = await ask(client, service)
    assert [node.version for node in found.graph.nodes] == ["4.16.3"]
    assert (found.age_seconds, found.stale_because) == (0, "")
    (request,) = service.asked
    assert dict(request.query) == {"channel": "stable-4.16", "arch": "amd64", "version": "4.16.1"}
    assert request.headers["Accept"] == "application/json"
    assert set(request.headers) == {
        "Host",
        "Accept",
        "Accept-Encoding",
        "Connection",
        "User-Agent",
    }


async def test_a_query_of_the_address_is_kept(client: GraphClient, service: Service) -> None:
    await ask(client, service, url=f"{service.url}?tenant=a b", version="")
    assert dict(service.asked[0].query) == {
        "tenant": "a b",
        "channel": "stable-4.16",
        "arch": "amd64",
    }


async def test_no_cookie_is_kept(client: GraphClient, service: Service) -> None:
    cookie = web.json_response(graph("4.16.3"), headers={"Set-Cookie": "who=prod; Path=/"})
    service.answers = [lambda: cookie]
    await ask(client, service)
    await ask(client, service, channel="fast-4.16")
    assert "Cookie" not in service.asked[1].headers


# --- what is kept --------------------------------------------------------------------------------


async def test_a_graph_is_kept_for_a_while(
    client: GraphClient, service: Service, time: Time
) -> None:
    first = await ask(client, service)
    time.now += KEPT_SECONDS - 1
    again = await ask(client, service)
    assert again.graph is first.graph
    assert (again.age_seconds, again.stale_because) == (KEPT_SECONDS - 1, "")
    assert len(service.asked) == 1
    time.now += 1
    service.answers = [lambda: fine("4.16.4")]
    assert (await ask(client, service)).graph.node("4.16.4") is not None


@pytest.mark.parametrize("other", [{"channel": "fast-4.16"}, {"architecture": "multi"}])
async def test_each_question_has_its_answer(
    client: GraphClient, service: Service, other: dict[str, str]
) -> None:
    await ask(client, service)
    service.answers = [lambda: fine("4.16.9")]
    assert (await ask(client, service, **other)).graph.node("4.16.9") is not None
    assert (await ask(client, service)).graph.node("4.16.9") is None


async def test_who_asks_at_the_same_time_waits_for_one_answer(
    client: GraphClient, service: Service
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(client, service)) for _ in range(20)]
    assert len(service.asked) == 1
    assert len({id(task.result().graph) for task in tasks}) == 1


async def test_an_unchanged_graph_is_not_sent_again(
    client: GraphClient, service: Service, time: Time
) -> None:
    service.answers = [lambda: fine("4.16.4", etag='"v1"'), lambda: web.Response(status=304)]
    first = await ask(client, service)
    time.now += KEPT_SECONDS
    again = await ask(client, service)
    assert again.graph is first.graph
    assert again.age_seconds == 0
    assert service.asked[1].headers["If-None-Match"] == '"v1"'


async def test_304_without_a_question_is_no_graph(client: GraphClient, service: Service) -> None:
    service.answers = [lambda: web.Response(status=304)]
    assert "answered 304" in str(await fails(client, service))


async def test_only_so_many_graphs_are_kept(client: GraphClient, service: Service) -> None:
    for number in range(KEPT + 1):
        await ask(client, service, channel=f"c{number}")
    await ask(client, service, channel=f"c{KEPT}")
    assert len(service.asked) == KEPT + 1
    await ask(client, service, channel="c0")
    assert len(service.asked) == KEPT + 2


# --- when it is down -----------------------------------------------------------------------------


async def test_an_old_graph_with_its_age_is_better_than_none(
    client: GraphClient, service: Service, time: Time
) -> None:
    first = await ask(client, service)
    time.now += KEPT_SECONDS
    service.answers = [lambda: web.Response(status=503)]
    old = await ask(client, service)
    assert old.graph is first.graph
    assert old.age_seconds == KEPT_SECONDS
    assert old.stale_because == f"{service.url}: answered 503"


@pytest.mark.parametrize("body", ["<html>sign in", json.dumps({**graph("x"), "edges": [[0, 9]]})])
async def test_an_answer_that_is_no_graph_does_not_replace_one(
    client: GraphClient, service: Service, time: Time, body: str
) -> None:
    first = await ask(client, service)
    time.now += KEPT_SECONDS
    service.answers = [lambda: web.Response(text=body)]
    old = await ask(client, service)
    assert old.graph is first.graph
    assert old.stale_because


async def test_after_a_failure_it_is_left_alone_for_a_minute(
    client: GraphClient, service: Service, time: Time
) -> None:
    service.answers = [lambda: web.Response(status=500)]
    assert isinstance(await fails(client, service), Transient)
    time.now += AGAIN_SECONDS - 1
    assert isinstance(await fails(client, service), Transient)
    assert len(service.asked) == 1
    time.now += 1
    assert (await ask(client, service)).stale_because == ""


@pytest.mark.parametrize(("said", "pause"), [("300", 300), ("100000", 900), ("1", 60), ("x", 60)])
async def test_the_service_may_name_the_pause(
    client: GraphClient, service: Service, time: Time, said: str, pause: float
) -> None:
    busy = web.Response(status=429, headers={"Retry-After": said})
    service.answers = [lambda: busy]
    assert isinstance(await fails(client, service), Transient)
    time.now += pause - 1
    await fails(client, service)
    assert len(service.asked) == 1
    time.now += 1
    await ask(client, service)


async def test_nobody_listens(client: GraphClient) -> None:
    async with serving() as gone:
        pass
    found = await fails(client, gone)
    assert isinstance(found, Transient)
    assert "127.0.0.1" in str(found)


async def test_an_answer_that_never_ends_has_a_deadline(service: Service) -> None:
    service.drips = b" "
    async with GraphClient.opened(trust_env=False, answer_seconds=0.1) as client:
        found = await fails(client, service)
    assert isinstance(found, Transient)
    assert str(found) == f"{service.url}: no answer in 0.1 s"


# --- what is refused -----------------------------------------------------------------------------


async def test_what_the_service_says_of_a_bad_question_is_told(
    client: GraphClient, service: Service, time: Time
) -> None:
    service.answers = [lambda: error(400, "missing_params", "channel\x1b[31m is\nmissing")]
    found = await fails(client, service)
    assert isinstance(found, Refused)
    assert str(found) == (f"{service.url}: answered 400 (missing_params: channel [31m is missing)")


async def test_a_refusal_counts_more_than_an_old_graph(
    client: GraphClient, service: Service, time: Time
) -> None:
    """The channel is gone: what was in it is no answer any more."""
    await ask(client, service)
    time.now += KEPT_SECONDS
    service.answers = [lambda: error(404, "", "")]
    assert str(await fails(client, service)) == f"{service.url}: answered 404"


LONG = json.dumps({"kind": "secret", "value": "", "more": "x" * 20_000})


@pytest.mark.parametrize("body", ["<html>secret", "{" * 9000, json.dumps(["secret"]), LONG])
async def test_the_body_of_another_error_is_dropped(
    client: GraphClient, service: Service, body: str
) -> None:
    service.answers = [lambda: web.Response(status=403, text=body)]
    assert str(await fails(client, service)) == f"{service.url}: answered 403"


async def test_a_graph_that_is_too_large_is_not_read_to_its_end(service: Service) -> None:
    service.drips = b" " * 300
    async with GraphClient.opened(trust_env=False, limits=Limits(size=1000)) as client:
        found = await fails(client, service)
    assert isinstance(found, Refused)
    assert str(found) == f"{service.url}: the answer is larger than 1000 bytes"


async def test_a_compressed_answer_is_refused(client: GraphClient, service: Service) -> None:
    service.answers = [lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"})]
    assert "compressed" in str(await fails(client, service))


@pytest.mark.parametrize("url", ["ftp://x/graph", "file:///etc/passwd", "graph", "https://", "h\0"])
async def test_what_is_no_address_is_refused(
    client: GraphClient, service: Service, url: str
) -> None:
    found = await fails(client, service, url=url)
    assert isinstance(found, Refused)
    assert service.asked == []


async def test_a_password_in_the_address_is_not_told(client: GraphClient, service: Service) -> None:
    service.answers = [lambda: web.Response(status=401)]
    secret = service.url.replace("http://", "http://me:secret@") + "?key=secret"
    found = await fails(client, service, url=secret)
    assert str(found) == f"{service.url}: answered 401"


# --- TLS and redirects ---------------------------------------------------------------------------


async def test_tls_is_verified(client: GraphClient, ca: PrivateCa) -> None:
    async with serving(ca.server_context()) as service:
        assert "certificate" in str(await fails(client, service)).lower()
        assert service.asked == []
        async with GraphClient.opened(ca_file=ca.ca_file, trust_env=False) as trusting:
            await ask(trusting, service)


async def test_a_bad_ca_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"CA file .* for the update service"):
        async with GraphClient.opened(ca_file=tmp_path / "none.pem"):
            pass


async def test_redirects_are_followed_to_https(ca: PrivateCa) -> None:
    async with (
        serving(ca.server_context()) as service,
        serving(ca.server_context()) as other,
        GraphClient.opened(ca_file=ca.ca_file, trust_env=False) as client,
    ):
        service.answers = [lambda: away("/moved?channel=c"), lambda: away(other.url)]
        await ask(client, service, url=service.url.replace("https://", "https://me:secret@"))
        assert service.asked[1].path == "/moved"
        assert "Authorization" in service.asked[1].headers
        assert "Authorization" not in other.asked[0].headers


@pytest.mark.parametrize("target", ["{http}", "file:///etc/passwd", "http://[x/"])
async def test_no_redirect_leads_away_from_https(
    ca: PrivateCa, service: Service, target: str
) -> None:
    async with (
        serving(ca.server_context()) as safe,
        GraphClient.opened(ca_file=ca.ca_file, trust_env=False) as client,
    ):
        safe.answers = [lambda: away(target.replace("{http}", service.url))]
        found = await fails(client, safe)
        assert isinstance(found, Refused)
        assert "redirected to" in str(found)
    assert service.asked == []


async def test_redirects_come_to_an_end(ca: PrivateCa) -> None:
    async with (
        serving(ca.server_context()) as service,
        GraphClient.opened(ca_file=ca.ca_file, trust_env=False) as client,
    ):
        service.answers = [lambda: away(service.url)] * 20
        assert "more than 3 redirects" in str(await fails(client, service))
        assert len(service.asked) == 4

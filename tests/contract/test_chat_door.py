"""Slack over HTTP: what Slack signed comes in, once; nothing else does, and nothing breaks."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from simulator.slack import Ack, Envelope, Interaction, SignedRequest
from tests.chat import ANN, Chat, Gate, a_chat, a_policy, asks, redis_on
from watcher.clients.slack.door import BODY_SECONDS, MOST_BYTES, Door
from watcher.clients.store.embedded import Server
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import Refused
from watcher.web import serve_web

S = UpdateState


@asynccontextmanager
async def served(app: object) -> AsyncIterator[str]:
    """The address of the app on a real port."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve_web(app, "127.0.0.1", 0, port.set_result))
        yield f"http://127.0.0.1:{await port}"
        serving.cancel()


@dataclass
class Doored:
    """Chat behind a door; requests are signed by the clock of the door."""

    chat: Chat
    url: str
    http: httpx.AsyncClient

    def signed(
        self, done: Interaction, *, ago: int = 0, secret: str | None = None
    ) -> SignedRequest:
        at = self.chat.scene.clock.now().timestamp() - ago
        return self.chat.slack.http_request(done, at=at, secret=secret)

    def of_body(self, body: bytes, kind: str = "application/json") -> SignedRequest:
        """Any body, signed well."""
        stamp = str(int(self.chat.scene.clock.now().timestamp()))
        base = b"v0:" + stamp.encode() + b":" + body
        secret = self.chat.slack.signing_secret.encode()
        digest = hmac.new(secret, base, hashlib.sha256).hexdigest()
        return SignedRequest(
            {
                "Content-Type": kind,
                "X-Slack-Request-Timestamp": stamp,
                "X-Slack-Signature": f"v0={digest}",
            },
            body,
        )

    def command(self, text: str) -> SignedRequest:
        return self.signed(self.chat.slack.commanding(ANN, "/relayer", text, "ops"))

    async def post(self, request: SignedRequest) -> httpx.Response:
        return await self.http.post(self.url, content=request.body, headers=request.headers)

    async def deliver(self, done: Interaction) -> Ack:
        at = self.chat.scene.clock.now().timestamp()
        return await self.chat.slack.deliver_http(done, self.url, at=at)

    @property
    def errors(self) -> list[object]:
        return [line for line in self.chat.logs if line["log_level"] == "error"]


@asynccontextmanager
async def doored(
    server: Server | None = None, secret: Callable[[], str] | None = None, **said: Any
) -> AsyncIterator[Doored]:
    async with a_chat(server=server, **said) as chat:
        door = Door(
            chat.receiver.bolt(), secret or (lambda: chat.slack.signing_secret), chat.scene.clock
        )
        app = Starlette(routes=[Route("/slack/events", door.answer, methods=["POST"])])
        async with served(app) as url, httpx.AsyncClient() as http:
            yield Doored(chat, f"{url}/slack/events", http)


@pytest.fixture
async def door() -> AsyncIterator[Doored]:
    async with doored() as made:
        yield made


async def test_a_signed_click_is_in_redis_at_the_moment_it_is_acknowledged(running: Server) -> None:
    async with (
        doored(running) as door,
        redis_on(running, door.chat.scene, door.chat.prefix) as second,
    ):
        seen: list[UpdateState] = []

        async def look(envelope: Envelope, ack: Ack) -> None:
            job = (await second.get("u-1")).job
            assert isinstance(job, Update)
            seen.append(job.state)

        message = await door.chat.asked()
        door.chat.slack.on_ack = look
        ack = await door.deliver(door.chat.slack.clicking(ANN, message, "approve"))
        assert (ack.status, seen) == (200, [S.SCHEDULED])
        await door.chat.slack.ephemeral(ANN, contains="is approved by")


async def test_forms_and_commands_are_answered_as_over_the_socket(door: Doored) -> None:
    chat = door.chat
    message = await chat.asked(asks(policy=a_policy(reason_required=True)))
    await door.deliver(chat.slack.clicking(ANN, message, "reject"))
    view = await chat.slack.view(ANN)
    refused = await door.deliver(chat.slack.submitting(view, {"reason": " "}))
    assert "reason" in refused.errors
    await door.deliver(chat.slack.submitting(view, {"reason": "no"}))
    assert (await chat.get()).state is S.REJECTED
    told = await door.deliver(chat.slack.commanding(ANN, "/relayer", "update u-1", "ops"))
    assert told.payload is not None
    assert told.payload["response_type"] == "ephemeral"


async def test_nothing_is_acknowledged_while_it_is_still_being_decided() -> None:
    gate = Gate()
    async with doored(wraps=gate) as door, asyncio.TaskGroup() as group:
        request = door.signed(await a_click(door))
        posted = group.create_task(door.post(request))
        await gate.reached.wait()
        await door.post(door.command("help"))
        assert not posted.done()
        gate.opened.set()
        assert (await posted).status_code == 200


# --- what is not let in --------------------------------------------------------------------------

Alter = Callable[[SignedRequest], SignedRequest]


def header(name: str, value: str | bytes | None) -> Alter:
    def alter(request: SignedRequest) -> SignedRequest:
        headers = {**request.headers}
        headers.pop(name)
        if value is not None:
            headers[name] = value  # type: ignore[assignment] # bytes that are no text
        return replace(request, headers=headers)

    return alter


def altered_body(request: SignedRequest) -> SignedRequest:
    body = request.body.replace(ANN.encode(), b"U0BOB")
    assert body != request.body
    return replace(request, body=body)


def bit_of_signature(request: SignedRequest) -> SignedRequest:
    signature = request.headers["X-Slack-Signature"]
    other = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    return replace(request, headers={**request.headers, "X-Slack-Signature": other})


def later_stamp(request: SignedRequest) -> SignedRequest:
    stamp = int(request.headers["X-Slack-Request-Timestamp"]) + 1
    headers = {**request.headers, "X-Slack-Request-Timestamp": str(stamp)}
    return replace(request, headers=headers)


SIGNATURE, STAMP = "X-Slack-Signature", "X-Slack-Request-Timestamp"
SIGNATURES = (None, "", "v0=", "v1=00", "v0=" + "g" * 64, "v0=" + "0" * 64, b"v0=\xe9\xff", "no")
STAMPS = (None, "", "no", "1e9", "-5", "0x10", "1.5", "9" * 30, b"\xd9\xa1\xd9\xa2", "nan")


def alterations() -> Iterator[object]:
    for value in SIGNATURES:
        yield pytest.param(header(SIGNATURE, value), id=f"signature {value!r}")
    for value in STAMPS:
        yield pytest.param(header(STAMP, value), id=f"timestamp {value!r}")
    yield pytest.param(altered_body, id="altered body")
    yield pytest.param(bit_of_signature, id="altered signature")
    yield pytest.param(later_stamp, id="altered timestamp")


async def stays_out(door: Doored, request: SignedRequest, status: int = 401) -> None:
    """Post it: refused, nothing changed, nobody audited, nothing broken."""
    before, audited = await door.chat.version(), await door.chat.audited()
    answer = await door.post(request)
    assert answer.status_code == status
    assert await door.chat.version() == before
    assert await door.chat.audited() == audited
    assert not door.errors


async def a_click(door: Doored) -> Interaction:
    return door.chat.slack.clicking(ANN, await door.chat.asked(), "approve")


@pytest.mark.parametrize("alter", list(alterations()))
async def test_what_is_not_signed_by_slack_stays_out(door: Doored, alter: Alter) -> None:
    await stays_out(door, alter(door.signed(await a_click(door))))


async def test_what_is_signed_with_another_secret_stays_out(door: Doored) -> None:
    await stays_out(door, door.signed(await a_click(door), secret="another"))


@pytest.mark.parametrize("ago", [301, 3600, -301, -3600], ids="{} s ago".format)
async def test_what_was_signed_too_long_ago_or_in_the_future_stays_out(
    door: Doored, ago: int
) -> None:
    await stays_out(door, door.signed(await a_click(door), ago=ago))


@pytest.mark.parametrize("ago", [299, -299], ids="{} s ago".format)
async def test_a_clock_that_is_a_little_off_is_forgiven(door: Doored, ago: int) -> None:
    answer = await door.post(door.signed(await a_click(door), ago=ago))
    assert answer.status_code == 200
    assert (await door.chat.get()).state is S.SCHEDULED


async def test_a_body_that_is_no_text_stays_out(door: Doored) -> None:
    await door.chat.asked()
    await stays_out(door, door.of_body(b"payload=\xff\xfe"))


@pytest.mark.parametrize("secret", ["", " "], ids=repr)
async def test_without_a_secret_nothing_comes_in(secret: str) -> None:
    async with doored(secret=lambda: secret) as door:
        before = await door.chat.asked() and await door.chat.version()
        answer = await door.post(
            door.signed(door.chat.slack.commanding(ANN, "/relayer", "", "ops"))
        )
        assert answer.status_code == 503
        assert await door.chat.version() == before


async def test_a_secret_that_cannot_be_read_lets_nothing_in() -> None:
    def unreadable() -> str:
        raise Refused("slack.signing_secret cannot be read")

    async with doored(secret=unreadable) as door:
        request = door.signed(await a_click(door))
        assert (await door.post(request)).status_code == 503
        assert (await door.chat.get()).state is S.AWAITING_APPROVAL


# --- what is too much, too slow, or broken --------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "untold"])
async def test_a_body_that_is_too_large_is_not_read_to_its_end(door: Doored, chunked: bool) -> None:
    await door.chat.asked()
    request = door.of_body(b"payload=" + b"x" * MOST_BYTES)

    async def in_parts() -> AsyncIterator[bytes]:
        for at in range(0, len(request.body), 65536):
            yield request.body[at : at + 65536]

    body = in_parts() if chunked else request.body
    answer = await door.http.post(door.url, content=body, headers=request.headers)
    assert answer.status_code == 413
    assert not door.errors


async def raw(
    door: Doored, length: int, body: bytes
) -> tuple[asyncio.StreamReader, Callable[[], None]]:
    """Begin a request by hand: `length` is promised, `body` is sent."""
    host = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    head = f"POST {host.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer.close


async def test_a_body_that_does_not_come_is_not_waited_for(door: Doored) -> None:
    reader, close = await raw(door, 100, b"payload=")
    async with asyncio.timeout(BODY_SECONDS + 1):
        assert b" 413 " in await reader.readline()
    close()
    assert not door.errors


async def test_a_client_that_goes_away_in_between_breaks_nothing(door: Doored) -> None:
    _, close = await raw(door, 100, b"payload=")
    close()
    answer = await door.post(door.signed(await a_click(door)))
    assert answer.status_code == 200
    assert not door.errors


BROKEN = [b"{", b"[1]", b"payload=%7B", b"payload=7", b'{"team": 7}', b"\x00", b"payload=[]"]


@pytest.mark.parametrize("body", BROKEN, ids=repr)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
async def test_what_cannot_be_read_though_it_is_signed_decides_nothing(
    door: Doored, body: bytes, kind: str
) -> None:
    await door.chat.asked()
    before = await door.chat.version()
    answer = await door.post(door.of_body(body, kind))
    assert answer.status_code in (400, 404)
    assert await door.chat.version() == before
    assert not door.errors


async def test_it_is_a_door_for_posts_only(door: Doored) -> None:
    assert (await door.http.get(door.url)).status_code == 405


# --- the same again -------------------------------------------------------------------------------


async def test_a_replayed_unhold_does_not_end_a_later_hold(door: Doored) -> None:
    await door.post(door.command("hold infra first"))
    unhold = door.command("unhold infra")
    assert (await door.post(unhold)).status_code == 200
    assert not await door.chat.store.freezes()
    await door.post(door.command("hold infra for good"))
    audited = await door.chat.audited()
    for _ in range(3):
        assert (await door.post(unhold)).status_code == 200
    assert [freeze.because for freeze in await door.chat.store.freezes()] == ["for good"]
    assert await door.chat.audited() == audited


@pytest.mark.parametrize(
    "more",
    [
        {"X-Slack-Retry-Num": "1", "X-Slack-Retry-Reason": "http_timeout"},
        {"X-Slack-Bolt-Lazy-Only": "1"},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain; charset=utf-16"},
    ],
    ids=str,
)
async def test_headers_that_are_not_signed_make_no_new_act_of_a_replay(
    door: Doored, more: dict[str, str]
) -> None:
    hold = door.command("hold infra")
    await door.post(hold)
    await door.post(door.command("unhold infra"))
    audited = await door.chat.audited()
    answer = await door.post(replace(hold, headers={**hold.headers, **more}))
    assert answer.status_code in (200, 400, 404)
    assert not await door.chat.store.freezes()
    assert await door.chat.audited() == audited


async def test_a_replayed_click_is_acknowledged_and_decides_nothing(door: Doored) -> None:
    request = door.signed(await a_click(door))
    await door.post(request)
    before, audited = await door.chat.version(), await door.chat.audited()
    assert (await door.post(request)).status_code == 200
    assert await door.chat.version() == before
    assert await door.chat.audited() == audited


async def test_a_replay_at_once_holds_and_audits_once(running: Server) -> None:
    async with doored(running) as door:
        hold = door.command("hold infra")
        answers = await asyncio.gather(*(door.post(hold) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await door.chat.audited()).count("Held") == 1


# --- what Slack asks ------------------------------------------------------------------------------


async def test_slack_s_question_for_the_address_is_answered_if_it_is_signed(door: Doored) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "c-1", "token": "t"}).encode()
    answer = await door.post(door.of_body(body))
    assert (answer.status_code, answer.json()) == (200, {"challenge": "c-1"})
    unsigned = await door.http.post(door.url, content=body)
    assert unsigned.status_code == 401


async def test_slack_s_check_of_the_certificate_is_answered_if_it_is_signed(door: Doored) -> None:
    request = door.of_body(b"ssl_check=1&token=t", "application/x-www-form-urlencoded")
    assert (await door.post(request)).status_code == 200
    assert (await door.http.post(door.url, content=request.body)).status_code == 401

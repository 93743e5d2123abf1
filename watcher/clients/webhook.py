"""A webhook as a place where letters stand: whoever receives them keeps them by id.

Every post and every edit is one signed request with the whole letter. Nobody can be asked what
arrived, so after a lost answer it is sent again under the same id: at least once, newest last.
See docs/reference/webhook.md, which is the contract with those who receive.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, assert_never

import httpx
import msgspec

from watcher.core.letters import Body, Card, Details, Digest, Notice, Nudge, Severity
from watcher.ports import Clock, Refused, Transient

SCHEMA = "relayer.io/notification/v1"
PREFIX = "webhook:"
ANSWER_SECONDS = 10.0
"""A receiver that has to think queues it and answers at once."""
CONNECT_SECONDS = 5.0
SECRET_SECONDS = 60.0
"""A secret that cannot be read is tried again after this: somebody has to mend it first."""
MOST_ANSWER_BYTES = 16 * 1024
"""So much of an answer is read, and thrown away, to use the connection again."""
_AGAIN = frozenset({408, 425, 429})


class WebhookRefused(Refused):
    """The receiver said no for good; `error` is the same for every letter it says it of."""

    def __init__(self, what: str, error: str) -> None:
        super().__init__(what)
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver."""

    name: str
    url: str
    secret: Callable[[], str]
    """Asked at every request, so that a renewed one is used. It may raise Refused."""
    ca_file: Path | None = None
    """Beside the system's own CAs."""


class WebhookSink:
    """`ports.Sink` of all receivers; `opened` makes it."""

    def __init__(
        self,
        hooks: Mapping[str, Webhook],
        clients: Mapping[str, httpx.AsyncClient],
        *,
        clock: Clock,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._hooks, self._clients, self._clock = hooks, clients, clock
        self._answer_seconds = answer_seconds

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        hooks: Sequence[Webhook],
        *,
        clock: Clock,
        trust_env: bool = True,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator["WebhookSink"]:
        """With connections of its own for each receiver. Raise Refused for a bad CA file.

        `trust_env`: use the proxies that the environment names.
        """
        # httpx logs each address at INFO, and many receivers' addresses are secrets.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        async with AsyncExitStack() as stack:
            clients = {
                hook.name: await stack.enter_async_context(_client(hook, trust_env=trust_env))
                for hook in hooks
            }
            by_name = {hook.name: hook for hook in hooks}
            yield cls(by_name, clients, clock=clock, answer_seconds=answer_seconds)

    def fingerprint(self, body: Body) -> str:
        """See `ports.Sink`."""
        if isinstance(body, Details):
            return "not sent"
        return hashlib.sha256(_encoded(content(body))).hexdigest()

    async def post(
        self, place: str, body: Body, *, nonce: str, sequence: int, thread: str, broadcast: bool
    ) -> str:
        """See `ports.Sink`. The nonce is the letter's id, and so its name there."""
        await self._send(place, nonce, body, sequence)
        return nonce

    async def edit(self, place: str, ref: str, body: Body, *, sequence: int) -> None:
        """See `ports.Sink`."""
        await self._send(place, ref, body, sequence)

    async def find(self, place: str, nonce: str, *, thread: str) -> str:
        """Nobody can be asked: it is sent again with the same id."""
        return ""

    async def take_back(self, place: str, ref: str) -> None:
        """What has the same id is the same letter."""

    async def _send(self, place: str, letter_id: str, body: Body, sequence: int) -> None:
        hook = self._hooks.get(place.removeprefix(PREFIX))
        if hook is None or not place.startswith(PREFIX):
            raise WebhookRefused(f"{place[:80]} is no webhook that is configured", "unknown")
        if isinstance(body, Details):
            return  # they stand in the thread of a card; who receives cards asks the API
        now = self._clock.now()
        sent = payload(body, letter_id=letter_id, sequence=sequence, at=now)
        try:
            secret = hook.secret()
        except Refused as refusal:
            raise Transient(str(refusal), retry_after_seconds=SECRET_SECONDS) from refusal
        headers = signed(_encoded(sent), secret=secret, at=now)
        await self._request(hook, _encoded(sent), headers)

    async def _request(self, hook: Webhook, body: bytes, headers: Mapping[str, str]) -> None:
        # Errors name the receiver only: its address may be a secret.
        who, client = f"webhook {hook.name}", self._clients[hook.name]
        answer: httpx.Response | None = None
        sending = client.stream("POST", hook.url, content=body, headers=headers)
        try:
            async with asyncio.timeout(self._answer_seconds), sending as answer:
                await _read_some(answer)
        except (httpx.TransportError, TimeoutError) as error:
            if answer is None:  # else its status is there, and that is enough
                raise Transient(f"{who} does not answer: {type(error).__name__}") from error
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise WebhookRefused(f"{who}: {type(error).__name__}", "address") from error
        assert answer is not None
        self._judge(who, answer)

    def _judge(self, who: str, answer: httpx.Response) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        said = f"{who} answered {status}"
        if status in _AGAIN or status >= 500:
            raise Transient(said, retry_after_seconds=_retry_after(answer, self._clock.now()))
        if 300 <= status < 400:
            said += ": redirects are not followed, configure the address it leads to"
        raise WebhookRefused(said, str(status))


def payload(body: Body, *, letter_id: str, sequence: int, at: datetime) -> dict[str, Any]:
    """Return what is sent, as JSON values."""
    head = {"schema": SCHEMA, "id": letter_id, "sequence": sequence, "at": at}
    builtins = msgspec.to_builtins({**head, **content(body)})
    assert isinstance(builtins, dict)
    return builtins


def content(body: Body) -> dict[str, Any]:
    """Return the part that changes only if what is said does."""
    match body:
        case Card():
            kind, severity, subject = "update", body.severity, body.update
        case Details():
            kind, severity, subject = "details", Severity.INFO, body.update
        case Nudge():
            kind, severity, subject = "nudge", body.severity, body.update
        case Notice():
            kind, severity, subject = "notice", body.severity, body.cause
        case Digest():
            kind, severity, subject = "digest", Severity.INFO, body.day
        case never:
            assert_never(never)
    said = {"kind": kind, "severity": severity, "subject": subject, kind: body}
    builtins = msgspec.to_builtins(said)
    assert isinstance(builtins, dict)
    return builtins


def signed(body: bytes, *, secret: str, at: datetime) -> dict[str, str]:
    """Return the headers of one request."""
    time = f"{at.timestamp():.0f}"
    mac = hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "Relayer-Signature": f"t={time},v1={mac}",
        "Relayer-Delivery": uuid.uuid4().hex,
    }


def _encoded(said: Mapping[str, Any]) -> bytes:
    """As UTF-8; what of a cluster's text is no valid Unicode becomes `?`."""
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")


def _client(hook: Webhook, *, trust_env: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_trust(hook),
        trust_env=trust_env,
        follow_redirects=False,
        timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
        headers={"User-Agent": "relayer", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


def _trust(hook: Webhook) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if hook.ca_file is not None:
        try:
            context.load_verify_locations(cafile=hook.ca_file)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or type(error).__name__
            raise Refused(f"webhook {hook.name}: CA file {hook.ca_file}: {why}") from error
    return context


async def _read_some(answer: httpx.Response) -> None:
    """The status is enough; the rest is read so that the connection can be used again."""
    length = 0
    with suppress(httpx.TransportError, httpx.StreamError):
        async for chunk in answer.aiter_raw():
            length += len(chunk)
            if length > MOST_ANSWER_BYTES:
                return


def _retry_after(answer: httpx.Response, now: datetime) -> float | None:
    """Seconds named by Retry-After; a date counts from the answer's own Date, not our clock."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    until, since = _date(text), _date(answer.headers.get("date", "")) or now
    return max((until - since).total_seconds(), 0.0) if until else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else None

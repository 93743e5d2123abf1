"""Signed requests to receivers that somebody configured: webhooks, and the heartbeat's.

A redirect is not followed, of an answer little is read, and no error tells an address, which may be
a secret.
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
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from watcher.clients.retry_after import retry_after
from watcher.ports import Clock, Refused, Transient

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
    secret: Callable[[], str] | None
    """Asked at every request, so that a renewed one is used. It may raise Refused. None: what is
    sent is not signed."""
    ca_file: Path | None = None
    """Beside the system's own CAs."""
    kind: str = "webhook"
    """What errors call it."""

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}".strip()


class Hooks:
    """All receivers; `opened` makes it."""

    def __init__(
        self,
        clients: Mapping[str, httpx.AsyncClient],
        *,
        clock: Clock,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._clients, self._clock = clients, clock
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
    ) -> AsyncIterator["Hooks"]:
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
            yield cls(clients, clock=clock, answer_seconds=answer_seconds)

    async def send(self, hook: Webhook, said: Mapping[str, Any], *, at: datetime) -> None:
        """Send it as JSON, signed. Raise Transient or WebhookRefused."""
        body = encoded(said)
        try:
            secret = hook.secret() if hook.secret else None
        except Refused as refusal:
            raise Transient(str(refusal), retry_after_seconds=SECRET_SECONDS) from refusal
        headers = signed(body, secret=secret, at=at)
        answer: httpx.Response | None = None
        sending = self._clients[hook.name].stream("POST", hook.url, content=body, headers=headers)
        try:
            async with asyncio.timeout(self._answer_seconds), sending as answer:
                await _read_some(answer)
        except (httpx.TransportError, TimeoutError) as error:
            if answer is None:  # else its status is there, and that is enough
                raise Transient(f"{hook.title} does not answer: {type(error).__name__}") from error
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise WebhookRefused(f"{hook.title}: {type(error).__name__}", "address") from error
        assert answer is not None
        self._judge(hook.title, answer)

    def _judge(self, who: str, answer: httpx.Response) -> None:
        status = answer.status_code
        if 200 <= status < 300:
            return
        said = f"{who} answered {status}"
        if status in _AGAIN or status >= 500:
            raise Transient(
                said, retry_after_seconds=retry_after(answer.headers, self._clock.now())
            )
        if 300 <= status < 400:
            said += ": redirects are not followed, configure the address it leads to"
        raise WebhookRefused(said, str(status))


def signed(body: bytes, *, secret: str | None, at: datetime) -> dict[str, str]:
    """Return the headers of one request."""
    headers = {"Content-Type": "application/json", "Relayer-Delivery": uuid.uuid4().hex}
    if secret is not None:
        time = f"{at.timestamp():.0f}"
        mac = hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()
        headers["Relayer-Signature"] = f"t={time},v1={mac}"
    return headers


def encoded(said: Mapping[str, Any]) -> bytes:
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
            raise Refused(f"{hook.title}: CA file {hook.ca_file}: {why}") from error
    return context


async def _read_some(answer: httpx.Response) -> None:
    """The status is enough; the rest is read so that the connection can be used again."""
    length = 0
    with suppress(httpx.TransportError, httpx.StreamError):
        async for chunk in answer.aiter_raw():
            length += len(chunk)
            if length > MOST_ANSWER_BYTES:
                return

"""What every request passes, whatever it asks for: headers, host name, size of the body.

Plain ASGI, so that it also stands before errors and files.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from watcher.settings_web import WebSettings, is_loopback
from watcher.web.doors.cookies import is_local_host
from watcher.web.doors.logins import COOKIE
from watcher.web.doors.proxies import ProxyDoor
from watcher.web.problems import Problem, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_HEADER_BYTES = 32 * 1024
"""All of them together; the largest cookie and token that count are well below."""
MOST_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0
"""For a person's JSON of a few hundred bytes; a slower sender is cut off."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guards:
    """Wraps the application."""

    def __init__(self, app: Asgi, *, web: WebSettings) -> None:
        self._app = app
        self._local_only = is_loopback(web.host)
        self._names = frozenset(web.names)
        self._proxy = ProxyDoor(web.auth.proxy)
        self._believes_proxy = web.auth.mode == "proxy"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with our headers on whatever the answer is."""
        if scope["type"] != "http":
            return
        began = False

        async def sent(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if cookie := scope.get(COOKIE):
                    headers.append("Set-Cookie", cookie)
            await send(message)

        if problem := self._refusal(scope):
            return await answer(problem)(scope, receive, sent)
        self._drop_names(scope)
        await self._app(scope, receive, sent)
        assert began, "every request is answered"

    def _refusal(self, scope: Scope) -> Problem | None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
            return Problem(431, f"the headers are larger than {MOST_HEADER_BYTES} bytes")
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) > 1:
            return Problem(400, "two Host headers: who is asked must be clear")
        if self._local_only and not self._is_ours("".join(hosts)):
            # A page elsewhere may point its own name at 127.0.0.1 and read us in a browser here.
            return Problem(
                421,
                "ask for 127.0.0.1 or localhost: this service is local; names that a proxy"
                " here asks for stand in web.names",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        return is_local_host(host) or _without_port(host).lower() in self._names

    def _drop_names(self, scope: Scope) -> None:
        """Take away what only a proxy may say, unless it was the proxy that said it."""
        client = scope.get("client")
        if self._believes_proxy and self._proxy.trusts(str(client[0]) if client else ""):
            return
        dropped = self._proxy.headers
        scope["headers"] = [one for one in scope["headers"] if one[0].lower() not in dropped]


def _without_port(host: str) -> str:
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


async def body_of(request: Request) -> bytes:
    """Return the request's body; raise Problem 413, 415 or 408."""
    if kind_of(request) != "application/json":
        raise Problem(415, "send application/json")
    return await bounded(request)


def kind_of(request: Request) -> str:
    """The media type of the body."""
    return request.headers.get("content-type", "application/json").partition(";")[0].strip()


async def bounded(request: Request) -> bytes:
    """Return a body of any kind; raise Problem 413 or 408."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BODY_BYTES:
                    raise Problem(413, f"the body is larger than {MOST_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise Problem(408, f"the body did not come within {BODY_SECONDS:.0f} s") from error
    return bytes(body)

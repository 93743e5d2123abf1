"""What every request passes, whatever it asks for: headers, host name, size of the body.

Plain ASGI, so that it also stands before errors and files.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from watcher.web.access import is_loopback
from watcher.web.problems import Problem, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0
"""For a person's JSON of a few hundred bytes; a slower sender is cut off."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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

    def __init__(self, app: Asgi, *, host: str) -> None:
        self._app = app
        self._local_only = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with our headers on whatever the answer is."""
        if scope["type"] != "http":
            return
        began = False

        async def sent(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if self._local_only and not _is_local(Headers(scope=scope).get("host", "")):
            # A page elsewhere may point its own name at 127.0.0.1 and read us in a browser here.
            problem = Problem(421, "ask for 127.0.0.1 or localhost: this service is local")
            return await answer(problem)(scope, receive, sent)
        await self._app(scope, receive, sent)
        assert began, "every request is answered"


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return is_loopback(name)


async def body_of(request: Request) -> bytes:
    """Return the request's body; raise Problem 413, 415 or 408."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind != "application/json":
        raise Problem(415, "send application/json")
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

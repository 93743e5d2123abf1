"""HTTP mode: the one place where Slack comes in from outside, so everything is checked here.

Signature and age as in Slack's "Verifying requests from Slack": v0 over `v0:timestamp:body` with
the signing secret, at most 5 minutes old. A replay within these is known by its delivery.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from watcher.ports import Clock, OutsideError

log = structlog.get_logger()

MOST_BYTES = 512 * 1024
"""A click carries the whole message: 50 blocks of 3,000 characters, escaped twice."""
BODY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _At(SlackClock):
    clock: Clock

    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.now().timestamp()


@dataclass(frozen=True, slots=True)
class Door:
    app: AsyncApp
    secret: Callable[[], str]
    clock: Clock

    async def answer(self, request: Request) -> Response:
        """Let in what Slack signed; 401 for all else, with nothing said of why."""
        body = await _body(request)
        if body is None:
            return PlainTextResponse("too large or too slow\n", status_code=413)
        stamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        # In these forms only: of others the library makes an error of its own.
        formed = re.fullmatch(r"[0-9]{1,12}", stamp) and re.fullmatch(r"v0=[0-9a-f]+", signature)
        try:
            signed = formed and self._signed(body, stamp, signature)
        except (OutsideError, ValueError) as error:  # the secret cannot be read, or is empty
            log.error("chat_door_without_secret", cause=str(error))
            return PlainTextResponse("no secret to check with\n", status_code=503)
        if not signed:
            log.warning("chat_door_refused", host=request.client.host if request.client else "")
            return PlainTextResponse("not signed by Slack\n", status_code=401)
        try:
            return await AsyncSlackRequestHandler(self.app).handle(request)
        except Exception as error:  # the library's, of what it cannot read: headers are not signed
            log.warning("chat_door_unreadable", cause=repr(error)[:200])
            return PlainTextResponse("cannot be read\n", status_code=400)

    def _signed(self, body: bytes, stamp: str, signature: str) -> bool:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return False
        verifier = SignatureVerifier(self.secret(), _At(self.clock))
        return verifier.is_valid(text, stamp, signature)


async def _body(request: Request) -> bytes | None:
    """Read the body, which starlette keeps for the next reader; None: too large or too slow."""
    try:
        if int(request.headers.get("content-length", "0")) > MOST_BYTES:
            return None
        async with asyncio.timeout(BODY_SECONDS):
            body = bytearray()
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    return None
    except (TimeoutError, ValueError, ClientDisconnect):
        return None
    request._body = bytes(body)  # as `Request.body` does, which has no bound of its own
    return bytes(body)

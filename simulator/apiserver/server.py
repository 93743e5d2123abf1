"""The API server itself: HTTP on 127.0.0.1, with authentication, denials, faults and a log.

Tests and the demo talk to it as to any cluster. Stopping to listen and starting again on the same
port is what an API server does when its control-plane node reboots.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Self

import msgspec
from aiohttp import web

from simulator.apiserver import discovery, paths, status
from simulator.apiserver.faults import AccessLog, Denials, Fault, Faults, Request
from simulator.apiserver.kinds import Kind, Kinds
from simulator.apiserver.rest import Answer, Call, Rest
from simulator.apiserver.reviews import Reviews
from simulator.apiserver.store import Store
from simulator.apiserver.watches import Watches, WatchRequest
from simulator.apiserver.writes import Now, Writer

_PUBLIC = ("/readyz", "/livez", "/healthz", "/version")
"""Answered to everybody, as the public-info-viewer role allows."""

_LARGEST_BODY = 3 * 1024 * 1024
"""As etcd and kube-apiserver limit a request."""


def wall_clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


class ApiServer:
    """A running API server over a :class:`Store`. Made by :meth:`start`."""

    def __init__(
        self,
        *,
        tokens: Mapping[str, str] | None = None,
        now: Now = wall_clock,
        version: str = "1.31.0",
        bookmark_seconds: float = 60.0,
        log_limit: int = 20_000,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.kinds = Kinds()
        self.store = Store(log_limit=log_limit)
        self.writer = Writer(self.store, now)
        self.faults = Faults()
        self.denials = Denials()
        self.requests = AccessLog()
        self.reviews = Reviews()
        self.port = 0
        self._tokens = dict(tokens or {})
        self._version = version
        self._ssl = ssl_context
        self._rest = Rest(self.store, self.writer)
        self._watches = Watches(self.store, self.kinds, bookmark_seconds=bookmark_seconds)
        self._runner: web.AppRunner | None = None

    @classmethod
    @asynccontextmanager
    async def start(cls, *, port: int = 0, **options: Any) -> AsyncIterator[Self]:
        """Listen on 127.0.0.1 (``port`` 0: a free one) until left. Options as the constructor."""
        server = cls(**options)
        server.port = port
        await server.start_listening()
        try:
            yield server
        finally:
            await server.stop_listening()

    @property
    def url(self) -> str:
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"

    def kubeconfig(self, *, token: str = "", ca_file: str = "") -> dict[str, Any]:
        """A kubeconfig for this server, to be written as YAML or JSON."""
        cluster = {"server": self.url} | ({"certificate-authority": ca_file} if ca_file else {})
        context = {"cluster": "simulated", "user": "simulated"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "simulated", "cluster": cluster}],
            "users": [{"name": "simulated", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "simulated", "context": context}],
            "current-context": "simulated",
        }

    async def start_listening(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._runner:
            return
        self._watches.open()
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2
        )
        await runner.setup()
        site = web.TCPSite(
            runner, "127.0.0.1", self.port, ssl_context=self._ssl, reuse_address=True
        )
        await site.start()
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop_listening(self) -> None:
        """Refuse connections and end those that are open. The objects stay."""
        runner, self._runner = self._runner, None
        if runner:
            self._watches.close()
            await runner.cleanup()

    def compact(self) -> None:
        """Forget history: older watches and continue tokens get 410."""
        self.store.compact()
        self._watches.wake()

    def send_bookmarks(self) -> None:
        self._watches.send_bookmarks()

    def set_away(self, kind: Kind, *, away: bool = True) -> None:
        """Take a kind out of the API (its watches end), or bring it back."""
        self.kinds.set_away(kind, away=away)
        self._watches.wake()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        request = Request(
            method=http.method,
            path=http.path,
            query=dict(http.query),
            content_type=http.content_type if "Content-Type" in http.headers else "",
            user_agent=http.headers.get("User-Agent", ""),
        )
        self.requests.add(request)
        fault = self.faults.take(request)
        try:
            if fault and fault.hang:
                await asyncio.Event().wait()
            if fault and fault.code:
                raise _fault_status(fault)
            return await self._answer(http, request, fault)
        except status.ApiError as error:
            return _status_response(error)

    async def _answer(
        self, http: web.Request, request: Request, fault: Fault | None
    ) -> web.StreamResponse:
        if request.path in _PUBLIC:
            return self._page(request.path)
        user = self._user(http)
        target = paths.parse(request.path, self.kinds)
        if target is None:
            return self._page(request.path)
        verb = target.verb(request.method, watch=request.watch)
        if self.denials.denies(verb, target.kind.plural):
            raise status.forbidden(target.kind, verb, target.name, target.namespace, user)
        call = Call(
            method=request.method,
            target=target,
            query=request.query,
            content_type=request.content_type,
            user_agent=request.user_agent,
            body=await http.read(),
        )
        answer = self._served(call)
        if isinstance(answer, WatchRequest):
            return await _stream(http, self._watches.stream(answer), fault)
        if fault and fault.shapes_body:
            return await _stream(http, _once(answer.body), fault, length=len(answer.body))
        return web.Response(status=answer.code, body=answer.body, content_type="application/json")

    def _served(self, call: Call) -> Answer | WatchRequest:
        if self.reviews.answers(call.target.kind):
            return self.reviews.serve(call)
        return self._rest.serve(call)

    def _user(self, http: web.Request) -> str:
        """Who asks; raise ApiError 401 if tokens are needed and this is none of them."""
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        if not self._tokens:
            return "system:anonymous"
        if scheme.lower() != "bearer" or token not in self._tokens:
            raise status.UNAUTHORIZED
        return self._tokens[token]

    def _page(self, path: str) -> web.Response:
        page = discovery.document(path, self.kinds, version=self._version)
        if page is None:
            # Not a Status: this is the plain page of a path that nobody serves.
            return web.Response(status=404, text="404 page not found\n")
        if isinstance(page, str):
            return web.Response(text=page)
        return web.Response(body=msgspec.json.encode(page), content_type="application/json")


def _fault_status(fault: Fault) -> status.ApiError:
    reasons = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
    messages = {429: "too many requests, please try again later", 500: "etcdserver: no leader"}
    return status.ApiError(
        fault.code,
        reasons.get(fault.code, "Unknown"),
        messages.get(fault.code, "an injected fault"),
        retry_after_seconds=fault.retry_after_seconds,
    )


def _status_response(error: status.ApiError) -> web.Response:
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    return web.Response(
        status=error.code,
        body=msgspec.json.encode(error.body()),
        content_type="application/json",
        headers=headers,
    )


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _stream(
    http: web.Request,
    pieces: AsyncIterator[bytes],
    fault: Fault | None,
    *,
    length: int | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    if length is None:
        response.enable_chunked_encoding()
    await response.prepare(http)
    with suppress(ConnectionError):  # the client went away: nobody is left to tell
        async for piece in _shaped(pieces, fault):
            if piece is None:
                if http.transport:
                    http.transport.abort()
                return response
            await response.write(piece)
        await response.write_eof()
    return response


async def _shaped(pieces: AsyncIterator[bytes], fault: Fault | None) -> AsyncIterator[bytes | None]:
    """The pieces as a fault lets them through; None where the connection breaks."""
    left = fault.cut_after_bytes if fault else None
    async for piece in pieces:
        if left is not None and len(piece) >= left:
            yield piece[:left]
            # Give the bytes time to leave, so that the client sees them and then the break.
            await asyncio.sleep(0.05)
            yield None
            return
        left = None if left is None else left - len(piece)
        if fault is None or not fault.drip_seconds:
            yield piece
            continue
        for start in range(0, len(piece), fault.drip_bytes):
            await asyncio.sleep(fault.drip_seconds)
            yield piece[start : start + fault.drip_bytes]

"""The HTTP side: Web API, response URLs and the door to Socket Mode, on one port of 127.0.0.1."""

import asyncio
import contextlib
import socket
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

# The methods register themselves.
from simulator.slack import chat, modals, reading  # noqa: F401
from simulator.slack.calls import METHODS, Args, Method, Refused, granted
from simulator.slack.faults import Call, Calls, Fault, Faults
from simulator.slack.hooks import Hooks
from simulator.slack.socket import SocketMode
from simulator.slack.workspace import Json, Workspace

_JSON = "application/json"


class SlackServer:
    """Answers while its context is open, except between `down()` and `up()`."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.faults, self.calls = Faults(), Calls()
        self.socket = SocketMode(workspace, self.faults)
        self.hooks = Hooks(workspace)
        self._methods = {
            **METHODS,
            "apps.connections.open": Method(self._open_connection, "", token="xapp"),  # noqa: S106
        }
        self._server = web.Server(self._handle, access_log=None)
        self._listener: asyncio.Server | None = None
        # Keeps the port ours while nothing listens; a connection is refused then.
        self._place = _bound(0)
        self.port = int(self._place.getsockname()[1])
        self.hooks.base = self.url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        """The `base_url` for clients."""
        return f"{self.url}/api/"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.faults.clear()
        await self.down()
        await self._server.shutdown(timeout=1.0)
        self._place.close()

    async def up(self) -> None:
        """Listen, on the same port as ever."""
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._server, sock=_bound(self.port))

    async def down(self) -> None:
        """Refuse connections, and end all that are open."""
        if self._listener is None:
            return
        self._listener.close()
        for connection in self._server.connections:
            if connection.transport:
                connection.transport.abort()
        await self._listener.wait_closed()
        self._listener = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/api/"):
            return await self._called(request, path.removeprefix("/api/"))
        if path == "/link":
            return await self.socket.handle(request)
        if path.startswith("/hooks/"):
            return await self._hooked(request, path)
        return web.Response(status=404)

    async def _called(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        try:
            args = await _args(request)
        except msgspec.DecodeError:
            return _error("invalid_json")
        channel = args.get("channel")
        call = self._counted(name, args)
        fault = self.faults.take(name, channel)
        if fault and (instead := await self._instead(request, call, fault)):
            return instead
        if wait := self.faults.wait_seconds(name, channel, self.workspace.clock()):
            call.error = "ratelimited"
            return _limited(-int(-wait // 1))
        answer = self._answer(name, call, _token(request, args))
        self.workspace.changed()
        if fault and fault.kind == "lose":
            call.error = "lost"
            return _cut(request)
        scopes = {"x-oauth-scopes": ",".join(self.workspace.scopes)}
        return web.Response(body=msgspec.json.encode(answer), content_type=_JSON, headers=scopes)

    def _answer(self, name: str, call: Call, token: str | None) -> Json:
        try:
            if (called := self._methods.get(name)) is None:
                self.calls.unknown.append(name)
                raise Refused("unknown_method", req_method=name)
            granted(self.workspace, called, token)
            return {"ok": True, **called.act(self.workspace, Args(call.args))}
        except Refused as refused:
            call.error = refused.error
            return refused.answer()

    async def _instead(
        self, request: web.BaseRequest, call: Call, fault: Fault
    ) -> web.StreamResponse | None:
        """What a fault answers before anything is done; None if the call goes on."""
        if fault.kind in {"lose", "slow", "hold"}:
            if fault.kind == "hold":
                await fault.released.wait()
            await asyncio.sleep(fault.seconds)
            return None
        call.error = fault.error if fault.kind == "error" else fault.kind
        if fault.kind == "status":
            page = "<html><body>Slack is having trouble</body></html>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        if fault.kind == "ratelimited":
            return _limited(fault.retry_after)
        if fault.kind == "close":
            return _cut(request)
        return _error(fault.error)

    async def _hooked(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """A response URL; for faults and counters it is a method of that name."""
        try:
            args = Args(msgspec.json.decode(await request.read()))
        except msgspec.DecodeError:
            return _error("invalid_payload", status=400)
        call = self._counted("response_url", args)
        fault = self.faults.take("response_url", None)
        if fault and (instead := await self._instead(request, call, fault)):
            return instead
        answer = self.hooks.handle(path, args)
        return _cut(request) if fault and fault.kind == "lose" else answer

    def _counted(self, name: str, args: Args) -> Call:
        call = Call(name, args, self.workspace.clock())
        self.calls.add(call)
        self.workspace.changed()
        return call

    def _open_connection(self, workspace: Workspace, args: Args) -> Json:
        ticket = self.socket.ticket()
        address = f"ws://127.0.0.1:{self.port}/link?ticket={ticket}&app_id={workspace.app_id}"
        return {"url": address}


def _bound(port: int) -> socket.socket:
    """A socket with this port of 127.0.0.1, shared with others that say they share."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.ExitStack() as undo:
        undo.callback(place.close)
        place.bind(("127.0.0.1", port))
        undo.pop_all()
    return place


async def _args(request: web.BaseRequest) -> Args:
    """Arguments of the query and the body, in any of the forms that clients send."""
    args = Args(request.query)
    body = await request.read() if request.can_read_body else b""
    if body and request.content_type == _JSON:
        sent = msgspec.json.decode(body)
        args.update(sent if isinstance(sent, dict) else {})
    elif body:
        args.update(parse_qsl(body.decode(), keep_blank_values=True))
    return args


def _token(request: web.BaseRequest, args: Args) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if kind == "Bearer" else args.get("token")


def _error(error: str, *, status: int = 200) -> web.Response:
    return web.json_response({"ok": False, "error": error}, status=status)


def _limited(retry_after: int) -> web.Response:
    said = {"ok": False, "error": "ratelimited"}
    return web.json_response(said, status=429, headers={"Retry-After": str(retry_after)})


def _cut(request: web.BaseRequest) -> web.Response:
    """End the connection; the answer goes nowhere."""
    if request.transport:
        request.transport.abort()
    return web.Response()

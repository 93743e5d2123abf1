"""Socket Mode: websockets, envelopes, and what comes back for them.

An envelope goes to one of the open connections, the next one each time. Its ack is known by the
envelope's id, whichever connection it comes over, since clients change connections in between.
"""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from simulator.slack.faults import Faults
from simulator.slack.workspace import Json, Workspace

ACK_SECONDS = 3.0
MOST_LINKS = 10
PATIENCE_SECONDS = 10.0
"""How long an ack is really waited for; a test's clock that stands still is found out so."""
_LOOK_SECONDS = 0.01
"""How often a clock that does not run by itself is looked at."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What an app answered to one envelope."""

    envelope_id: str
    seconds: float
    """From sending the envelope, by the double's clock."""
    payload: Json | None = None
    link: int = 0
    """The number of the connection it came over; 0 for HTTP."""
    status: int = 200
    """The status of the answer in HTTP mode."""

    @property
    def errors(self) -> dict[str, str]:
        """What a modal's fields are refused for, by block."""
        found: dict[str, str] = (self.payload or {}).get("errors", {})
        return found


@dataclass(slots=True, eq=False)
class Envelope:
    """One delivery over Socket Mode."""

    id: str
    type: str
    payload: Json
    accepts_response_payload: bool
    sent_at: float
    retry_attempt: int | None = None
    retry_reason: str | None = None
    link: int | None = None
    """The connection it went over; None if none was open, so nobody got it."""
    ack: Ack | None = None
    acks: int = 0
    """An app that answers twice is counted twice; the first one counts."""
    failed: BaseException | None = None
    """What `on_ack` raised."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> Json:
        frame: Json = {
            "envelope_id": self.id,
            "payload": self.payload,
            "type": self.type,
            "accepts_response_payload": self.accepts_response_payload,
        }
        if self.retry_attempt is not None:
            frame |= {"retry_attempt": self.retry_attempt, "retry_reason": self.retry_reason}
        return frame


@dataclass(slots=True, eq=False)
class Link:
    """One open websocket."""

    number: int
    websocket: web.WebSocketResponse
    request: web.BaseRequest
    pongs: int = 0
    sent: list[Envelope] = field(default_factory=list)
    leaving: bool = False
    """Told to go: Slack sends nothing more over it."""

    def abort(self) -> None:
        """End it without a word, as a network does."""
        self.leaving = True
        if self.request.transport:
            self.request.transport.abort()

    @property
    def is_open(self) -> bool:
        transport = self.request.transport
        return not self.websocket.closed and transport is not None and not transport.is_closing()


OnAck = Callable[[Envelope, Ack], Awaitable[None]]


class SocketMode:
    """All connections of the app, and what went over them."""

    def __init__(self, workspace: Workspace, faults: Faults) -> None:
        self.links: list[Link] = []
        self.envelopes: list[Envelope] = []
        self.strays: list[Json] = []
        """What came from the app and is no ack of ours."""
        self.opened = 0
        """Connections there have ever been."""
        self.refused = 0
        """Handshakes that were answered with 503."""
        self.on_ack: OnAck | None = None
        self._workspace = workspace
        self._faults = faults
        self._tickets: set[str] = set()
        self._waiting: dict[str, Envelope] = {}
        self._turn = itertools.count()

    def ticket(self) -> str:
        """Lets one websocket in, once."""
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return ticket

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One connection, from its handshake to its end."""
        ticket = request.query.get("ticket", "")
        if self._faults.refuse_links:
            self.refused += 1
            self._workspace.changed()
            return web.Response(status=503)
        if ticket not in self._tickets:
            return web.Response(status=401)
        self._tickets.discard(ticket)
        websocket = web.WebSocketResponse(autoping=False, timeout=0.1)
        await websocket.prepare(request)
        self.opened += 1
        link = Link(self.opened, websocket, request)
        if len(self.links) >= MOST_LINKS:
            await self._tell_to_go(link, "too_many_websockets")
            return websocket
        self.links.append(link)
        try:
            await websocket.send_str(_frame(self._hello()))
            self._workspace.changed()
            await self._listen(link)
        except ConnectionError:
            pass  # The client went away between two frames: that is an end like any other.
        finally:
            self.links.remove(link)
            self._workspace.changed()
        return websocket

    async def send(
        self,
        type: str,
        payload: Json,
        *,
        accepts_response_payload: bool = False,
        link: Link | None = None,
        retry_attempt: int | None = None,
        retry_reason: str | None = None,
    ) -> Envelope:
        """Send one envelope over the next connection, or this one, without waiting for its ack."""
        envelope = self.new(type, payload)
        envelope.accepts_response_payload = accepts_response_payload
        envelope.retry_attempt, envelope.retry_reason = retry_attempt, retry_reason
        if chosen := link or self._next():
            envelope.link = chosen.number
            chosen.sent.append(envelope)
            self._waiting[envelope.id] = envelope
            # Sent into a connection that just broke, it is lost, and its ack will not come.
            with contextlib.suppress(ConnectionError):
                await chosen.websocket.send_str(_frame(envelope.as_json()))
        self._workspace.changed()
        return envelope

    def new(self, type: str, payload: Json) -> Envelope:
        """An envelope for the log, not sent yet; HTTP has them for the log only."""
        envelope = Envelope(str(uuid.uuid4()), type, payload, False, self._workspace.clock())
        self.envelopes.append(envelope)
        return envelope

    async def wait(self, envelope: Envelope, *, seconds: float = ACK_SECONDS) -> Ack | None:
        """The ack, or None if there was none in time by the double's clock.

        Raises what `on_ack` raised, and TimeoutError if the clock does not move at all. If no
        connection was open nobody is waited for.
        """
        if envelope.link is None:
            return None
        until = envelope.sent_at + seconds
        loop = asyncio.get_running_loop()
        patience = loop.time() + PATIENCE_SECONDS
        while not envelope.settled.is_set() and self._workspace.clock() < until:
            left = min(max(until - self._workspace.clock(), 0.0), _LOOK_SECONDS)
            try:
                async with asyncio.timeout(left):
                    await envelope.settled.wait()
            except TimeoutError:
                if loop.time() > patience:
                    raise TimeoutError("no ack, and the double's clock stands still") from None
        if envelope.failed:
            raise envelope.failed
        return envelope.ack

    async def again(
        self, envelope: Envelope, *, reason: str = "timeout", link: Link | None = None
    ) -> Envelope:
        """Deliver the same payload once more, as Slack does with what was not acked."""
        return await self.send(
            envelope.type,
            envelope.payload,
            accepts_response_payload=envelope.accepts_response_payload,
            link=link,
            retry_attempt=(envelope.retry_attempt or 0) + 1,
            retry_reason=reason,
        )

    async def disconnect(
        self, reason: str = "refresh_requested", *, link: Link | None = None
    ) -> None:
        """Ask clients to connect anew: `warning`, `refresh_requested` or `link_disabled`."""
        for each in [link] if link else list(self.links):
            await self._tell_to_go(each, reason)

    async def ping(self) -> None:
        """Ping every connection; their answers are counted in `Link.pongs`."""
        for link in list(self.links):
            await link.websocket.ping(b"Ping from the double")

    def abort(self, link: Link | None = None) -> None:
        """End one connection, or all, without a word."""
        for each in [link] if link else list(self.links):
            each.abort()

    async def _listen(self, link: Link) -> None:
        async for frame in link.websocket:
            if frame.type == WSMsgType.PING and self._faults.pongs:
                await link.websocket.pong(frame.data)
            elif frame.type == WSMsgType.PONG:
                link.pongs += 1
                self._workspace.changed()
            elif frame.type == WSMsgType.TEXT:
                await self._answered(link, frame.data)

    async def _answered(self, link: Link, data: str) -> None:
        said: Any = msgspec.json.decode(data)
        envelope = self._waiting.get(said.get("envelope_id", ""))
        if envelope is None:
            self.strays.append(said)
            self._workspace.changed()
            return
        seconds = self._workspace.clock() - envelope.sent_at
        ack = Ack(envelope.id, seconds, said.get("payload"), link.number)
        envelope.acks += 1
        if envelope.acks == 1:
            await self.settle(envelope, ack)
        self._workspace.changed()

    async def settle(self, envelope: Envelope, ack: Ack) -> None:
        """Take this as the answer to an envelope; `on_ack` comes first."""
        # A test looks at the app's memory at this very moment, so nothing comes before it.
        try:
            if self.on_ack:
                await self.on_ack(envelope, ack)
        except Exception as error:  # It belongs to whoever waits for the ack.
            envelope.failed = error
        envelope.ack = ack
        envelope.settled.set()
        self._workspace.changed()

    def _next(self) -> Link | None:
        there = [link for link in self.links if not link.leaving and link.is_open]
        return there[next(self._turn) % len(there)] if there else None

    async def _tell_to_go(self, link: Link, reason: str) -> None:
        # With a mere warning the connection is still used until the client has changed.
        link.leaving = reason != "warning"
        said = {"type": "disconnect", "reason": reason, "debug_info": {"host": "double"}}
        await link.websocket.send_str(_frame(said))
        if reason == "too_many_websockets":
            await link.websocket.close()

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.links),
            "connection_info": {"app_id": self._workspace.app_id},
            "debug_info": {
                "host": "double",
                "build_number": 1,
                "approximate_connection_time": 18060,
            },
        }


def _frame(said: Json) -> str:
    return msgspec.json.encode(said).decode()

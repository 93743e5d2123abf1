"""uvicorn inside our task group: our signals, our port, our log; requests under way are finished.

Listening ourselves gives an error that a person understands, and the real port for port 0.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from watcher.ports import Refused

STOP_SECONDS = 3
"""For requests under way when we stop; below `work.drain_seconds`."""

MOST_CONNECTIONS = 1000
"""Four for each page that is kept up to date (`live.MOST_OPEN`)."""

HEAD_SECONDS = 10.0
"""For a request's line and headers, which fit into a few packets."""


class _Prompt(H11Protocol):
    """Ends a connection on which no request comes, or comes by drops.

    uvicorn waits for it without end, so who holds `MOST_CONNECTIONS` of them would have every
    request answered with 503, probes too.
    """

    seconds = HEAD_SECONDS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(self.seconds, transport.close)

    def data_received(self, data: bytes) -> None:
        """Wait for what is not whole yet, and no longer for what is."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._unset_late()
        elif self._late is None:  # the next one, after which uvicorn's own clock stands still
            self._late = self.loop.call_later(self.seconds, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._unset_late()
        super().connection_lost(exc)

    def _unset_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _prompt_within(head_seconds: float) -> type[_Prompt]:
    return type("_PromptWithin", (_Prompt,), {"seconds": head_seconds})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell once requests are answered."""
        await super().startup(sockets=sockets)
        self._started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `service.run`."""
        yield


async def serve_web(
    app: Any,
    host: str,
    port: int,
    ready: Callable[[int], None],
    *,
    head_seconds: float = HEAD_SECONDS,
) -> None:
    """Serve until cancelled; tell `ready` the port. Raise Refused if it cannot be had."""
    listening = _listen(host, port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who is at the other end decides what is believed: see doors/proxies
        http=_prompt_within(head_seconds),
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config, lambda: ready(int(listening.getsockname()[1])))
    with listening:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listening]))
            try:
                await asyncio.wait([serving])
            except asyncio.CancelledError:
                server.should_exit = True
                _end_streams(app)
                await asyncio.wait([serving], timeout=STOP_SECONDS + 2)
                raise


def _end_streams(app: Any) -> None:
    """Streams to open pages never end by themselves, and each stop would wait for them."""
    live = getattr(getattr(app, "state", None), "live", None)
    if live is not None:
        live.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError as error:
        raise Refused(f"web.host {host}: {error.strerror or error}") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        why = error.strerror or str(error)
        raise Refused(f"cannot listen on {host}:{port}: {why}; set web.port") from error
    return listening

"""What the reflector's tests share: a server that answers by script, virtual time, waiting.

The script is for what no decent API server does: lines of garbage, silence, 410 twice.
"""

import asyncio
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.kinds import POOL, Kind
from watcher.clients.kube.reflector import Pacing, Reflector
from watcher.clients.kube.session import Limits, Session

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CALM = Pacing(silence=60.0)
ALERT = Pacing(silence=0.2)
"""For tests of silence only: elsewhere a slow machine would look like a silent server."""
BRIEF = Limits(connect_seconds=2.0, answer_seconds=2.0)


class VirtualTime:
    """A clock, a monotonic clock and a sleep that belong together. Sleeping takes no time."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds
        await asyncio.sleep(0.001)  # lets the test look between two attempts


async def until(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError("it did not happen in time") from None


@dataclass(slots=True)
class Watching:
    """A running reflector and what it told."""

    reflector: Reflector[Any]
    time: VirtualTime
    woken: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What was told at each pause after a failure: a problem lasts only until the next list."""


@asynccontextmanager
async def watching(
    url: str, *, kind: Kind[Any] = POOL, pacing: Pacing = CALM, limits: Limits = BRIEF
) -> AsyncIterator[Watching]:
    time = VirtualTime()
    woken: list[str] = []
    problems: list[str] = []

    async def sleep(seconds: float) -> None:
        problems.append(reflector.problem)
        await time.sleep(seconds)

    async with Session(
        "east", credentials=TokenFile(url), limits=limits, monotonic=time.monotonic
    ) as session:
        reflector = Reflector(
            kind,
            session=session,
            clock=time,
            on_change=lambda _, name: woken.append(name),
            pacing=pacing,
            sleep=sleep,
            monotonic=time.monotonic,
            draw=random.Random(7).random,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(reflector.run())
            try:
                yield Watching(reflector, time, woken, problems)
            finally:
                task.cancel()


def pool(name: str, version: int, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)},
        "spec": spec,
    }


def event(what: str, thing: dict[str, Any]) -> bytes:
    return json.dumps({"type": what, "object": thing}).encode() + b"\n"


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


EXPIRED = event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer to a watch: these bytes, then the end, a cut, silence, or bookmarks for ever."""

    pieces: tuple[bytes, ...] = ()
    then: str = "end"
    status: int = 200


class ScriptedApi:
    """Serves lists and watches of pools as told. An exhausted script stays silent."""

    def __init__(self) -> None:
        self.url = ""
        self.list_version = 10
        self.items: list[dict[str, Any]] = []
        self.streams: deque[Stream] = deque()
        self.asked: list[dict[str, str]] = []

    @property
    def lists(self) -> list[dict[str, str]]:
        return [q for q in self.asked if "watch" not in q]

    @property
    def watches(self) -> list[dict[str, str]]:
        return [q for q in self.asked if "watch" in q]

    @classmethod
    @asynccontextmanager
    async def start(cls, *streams: Stream) -> AsyncIterator["ScriptedApi"]:
        api = cls()
        api.streams.extend(streams)
        app = web.Application()
        app.router.add_get("/{path:.*}", api._serve)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield api
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if "watch" not in request.query:
            meta = {"resourceVersion": str(self.list_version)}
            return web.json_response({"metadata": meta, "items": self.items})
        stream = self.streams.popleft() if self.streams else Stream(then="silence")
        response = web.StreamResponse(status=stream.status)
        response.enable_chunked_encoding()
        await response.prepare(request)
        with suppress(ConnectionError):
            for piece in stream.pieces:
                await response.write(piece)
            while stream.then == "beat":
                await response.write(bookmark(self.list_version))
                await asyncio.sleep(0.02)
            if stream.then == "silence":
                await asyncio.Event().wait()
            if stream.then == "cut" and request.transport:
                await asyncio.sleep(0.05)  # the bytes leave before the break
                request.transport.abort()
                return response
            await response.write_eof()
        return response

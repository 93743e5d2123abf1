"""`GET /api/v1/events`: what changed, as server-sent events (WHATWG HTML, 9.2) with small JSON.

Events are differences between what the store and the findings say now and what they said when
somebody last looked, so a change by any replica is told. They say that something is another, and
what it is now; all about it is asked for as usual. What changed back in between is not told.
"""

import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from weakref import WeakSet

from starlette.responses import Response

from watcher.ports import OutsideError
from watcher.web.api.changes import Changes, Told, as_event
from watcher.web.api.operation import EVENTS, Asked, Operation
from watcher.web.face import Face
from watcher.web.live import HEARTBEAT_SECONDS, Live, Seat
from watcher.web.problems import Problem
from watcher.web.seats import SeatedResponse

MOST_STREAMS = 50
"""Of one replica, beside those of pages, so that programs leave room for people."""
LONGEST_SECONDS = 600.0
"""Then the caller comes again, and whether it still may is asked again."""
RETRY_MS = 2000
_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(Face):
    live: Live
    changes: Changes
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    _streams: "WeakSet[Seat]" = field(default_factory=WeakSet)

    def operations(self) -> list[Operation]:
        """Return the one."""
        return [
            Operation(
                method="GET",
                path="/events",
                name="streamEvents",
                says="What changes, as server-sent events; goes on after `Last-Event-ID`.",
                act=self.events,
                answer=str,
                kinds=(EVENTS,),
            )
        ]

    async def events(self, asked: Asked) -> Response:
        """The stream; 503 where too many are open."""
        seat = self.live.seat() if len(self._streams) < MOST_STREAMS else None
        if seat is None:
            why = f"{MOST_STREAMS} streams or all connections for pages are open"
            raise Problem(
                503, f"{why}; ask again in a minute, or poll /api/v1/status", {"Retry-After": "60"}
            )
        self._streams.add(seat)
        await self.changes.look(await self.live.fresh())
        last = asked.request.headers.get("last-event-id", "")
        return SeatedResponse(
            seat, self._said(last), media_type=EVENTS, headers={"X-Accel-Buffering": "no"}
        )

    async def _said(self, last: str) -> AsyncIterator[str]:
        told = self.changes
        at = _place(last, told)
        if at is None:  # what happened since then is not known any more
            at = told.last
            kind = "reset" if last else "ready"
            yield f"retry: {RETRY_MS}\n" + as_event(told.id(at), kind, {})
        else:
            yield f"retry: {RETRY_MS}\n\n"
        until = time.monotonic() + LONGEST_SECONDS
        async for text in self._after(at):
            yield text
            if time.monotonic() > until:
                return

    async def _after(self, at: int) -> AsyncIterator[str]:
        told = self.changes
        revision = told.revision
        if missed := told.after(at):
            at = missed[-1].number
            yield _text(told, missed)
        async for now in self.live.changes(revision, heartbeat_seconds=self.heartbeat_seconds):
            revision = now
            try:
                await told.look(now)
            except OutsideError:
                yield ": the store does not answer\n\n"
                continue
            news = told.after(at)
            if news is None:
                at = told.last
                yield as_event(told.id(at), "reset", {})
            elif news:
                at = news[-1].number
                yield _text(told, news)
            else:
                # A comment keeps proxies from closing a silent connection.
                yield ": still here\n\n"


def new_epoch() -> str:
    """Return what tells the numbers of one process from those of another."""
    return secrets.token_hex(4)


def _place(last: str, told: Changes) -> int | None:
    """Return after which number to go on; None: from now on."""
    said = _ID.fullmatch(last)
    if said is None or said[1] != told.epoch:
        return None
    at = int(said[2])
    return at if told.after(at) is not None else None


def _text(told: Changes, events: list[Told]) -> str:
    return "".join(as_event(told.id(one.number), one.kind, one.data) for one in events)

"""`GET /events`: a stream of server-sent events that says «changed», and nothing else.

What changed is asked for by the page itself, with its own rights. Format: WHATWG HTML, 9.2.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from watcher.web.callers import Role
from watcher.web.pages.desk import Desk, caller_of
from watcher.web.problems import Problem
from watcher.web.seats import SeatedResponse

RETRY_MS = 2000
LONGEST_SECONDS = 600.0
"""Then the page comes again, and whether it still may is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams(Desk):
    async def events(self, request: Request) -> Response:
        """The stream; 503 where too many pages are open already."""
        await caller_of(self.access, request, Role.VIEWER)
        seat = self.live.seat()
        if seat is None:
            raise Problem(503, "too many pages are open; this one asks now and then instead")
        return SeatedResponse(
            seat,
            self._said(),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    async def _said(self) -> AsyncIterator[str]:
        revision, until = await self.live.fresh(), time.monotonic() + LONGEST_SECONDS
        yield f"retry: {RETRY_MS}\n{_event(revision)}"
        async for after in self.live.changes(revision):
            # A comment keeps proxies from closing a silent connection.
            yield _event(after) if after > revision else ": still here\n\n"
            revision = after
            if time.monotonic() > until:
                return


def _event(revision: int) -> str:
    return f"id: {revision}\nevent: changed\ndata: changed\n\n"

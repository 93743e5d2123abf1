"""How a page is given: made once for everybody who may see the same, however many look.

A page is a shell (header, who is logged in) around a fragment: what stands in `<main>`. The script
asks for the fragment again when something has changed, by the same address and the header below.
Fragments hold nothing of one person, so that they can be shared and compressed.
"""

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from watcher.ports import OutsideError
from watcher.web import problems
from watcher.web.access import Access
from watcher.web.callers import Caller, Role
from watcher.web.face import Face
from watcher.web.live import Live
from watcher.web.pages.rendering import render
from watcher.web.problems import Problem

FRAGMENT = "relayer-fragment"
"""A request header: only what stands in `<main>` is wanted."""
THEME = "relayer-theme"
"""A cookie of the script: `light` or `dark`, where the reader has chosen."""
OF_NOW_SECONDS = 30
"""A fragment is made again after this even if nothing changed: it says how long ago things were."""
MOST_FRAGMENTS = 64
MOST_BYTES = 24 * 1024 * 1024
LONGEST_QUERY = 500
Make = Callable[[Caller], Awaitable[Mapping[str, Any]]]
"""Makes what a template needs, for callers who see the same as this one."""


@dataclass(slots=True)
class Fragment:
    html: str
    etag: str
    title: str
    _packed: bytes = b""

    def packed(self) -> bytes:
        """The same, compressed: nothing secret and nothing of one person is in it."""
        if not self._packed:
            self._packed = gzip.compress(self.html.encode(), 5, mtime=0)
        return self._packed


@dataclass(slots=True)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    fragment: Fragment | None = None


@dataclass(slots=True)
class Fragments:
    """The newest ones; who asks for one that is being made waits for it."""

    most: int = MOST_FRAGMENTS
    most_bytes: int = MOST_BYTES
    made: int = 0
    """How many were ever made."""
    _slots: OrderedDict[object, _Slot] = field(default_factory=OrderedDict)

    async def get(self, key: object, make: Callable[[], Awaitable[Fragment]]) -> Fragment:
        """Return what is there under the key, made if it is not."""
        slot = self._slots.setdefault(key, _Slot())
        self._slots.move_to_end(key)
        try:
            async with slot.lock:
                if slot.fragment is None:
                    slot.fragment = await make()
                    self.made += 1
                return slot.fragment
        finally:
            self._drop()

    def _drop(self) -> None:
        size = sum(len(s.fragment.html) for s in self._slots.values() if s.fragment)
        while len(self._slots) > 1 and (len(self._slots) > self.most or size > self.most_bytes):
            _, gone = self._slots.popitem(last=False)
            size -= len(gone.fragment.html) if gone.fragment else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Face):
    """What pages share: each part of the pages is one of these, with the same `live`."""

    live: Live
    fragments: Fragments = field(default_factory=Fragments)

    async def show(
        self,
        request: Request,
        template: str,
        make: Make,
        *,
        title: str,
        here: str = "",
        least: Role = Role.VIEWER,
        sees: Callable[[Caller], str] = lambda caller: "",
    ) -> Response:
        """Answer with a page, or with its fragment. Raise Problem 401, 403, or what `make` raises.

        `here`: the part of the navigation that it belongs to. `sees`: what a page depends on
        beside the caller's role, such as who it is.
        """
        caller = await caller_of(self.access, request, least)
        if len(request.url.query) > LONGEST_QUERY:
            raise Problem(414, f"the query is longer than {LONGEST_QUERY} characters")
        revision = await self.live.fresh()
        now = self.service.clock.now()
        asked = tuple(sorted(request.query_params.multi_items()))
        of_now = int(now.timestamp() // OF_NOW_SECONDS)
        key = (request.url.path, asked, revision, caller.role, sees(caller), of_now)

        async def made() -> Fragment:
            model = {"now": now, "may": _may(caller), "title": title, **await make(caller)}
            html = render(template, model)
            etag = hashlib.sha256(html.encode()).hexdigest()[:20]
            return Fragment(html, f'"{etag}"', str(model["title"]))

        fragment = await self.fragments.get(key, made)
        if FRAGMENT in request.headers:
            return _bare(request, fragment, caller)
        return self._whole(request, fragment.html, fragment.title, here=here, caller=caller)

    async def trouble(self, request: Request, problem: Problem) -> Response:
        """Answer a person, in words, with what went wrong and what to do next."""
        try:
            caller = await caller_of(self.access, request, Role.VIEWER)
        except (Problem, OutsideError):
            caller = Caller()
        url = request.url
        model = {
            "status": problem.status,
            "detail": problem.detail[:1000],
            "where": f"{url.path}?{url.query}" if url.query else url.path,
        }
        html = render("trouble.html", model)
        if FRAGMENT in request.headers:
            made = Response(html, problem.status, media_type="text/html")
        else:
            title = "Log in" if problem.status == 401 else "Something went wrong"
            made = self._whole(request, html, title, here="", caller=caller)
            made.status_code = problem.status
        made.headers.update(problem.headers)
        return made

    def _whole(
        self, request: Request, html: str, title: str, *, here: str, caller: Caller
    ) -> Response:
        theme = request.cookies.get(THEME, "")
        page = render(
            "base.html",
            {
                "main": Markup(html),  # noqa: S704 - rendered by a template, with escaping
                "title": title,
                "here": here,
                "caller": caller,
                "may_log_out": bool(caller.csrf) and self.access.mode not in ("none", "proxy"),
                "now": self.service.clock.now(),
                "theme": theme if theme in ("light", "dark") else "",
            },
        )
        return Response(page, media_type="text/html")


async def caller_of(access: Access, request: Request, least: Role) -> Caller:
    """Return who asks; raise Problem 401, or 403 for somebody with a lesser role."""
    return await access.caller(request, least)


def wants_page(request: Request) -> bool:
    """Whether a person in a browser asks, who needs words and not JSON."""
    if request.url.path.startswith("/api/"):
        return False
    accepted = request.headers.get("accept", "")
    return FRAGMENT in request.headers or "text/html" in accepted


async def handle(request: Request, error: Exception, desk: Desk) -> Response:
    """Starlette's exception handler: errors in words for people, as problem+json for programs."""
    problem = problems.of(error)
    if wants_page(request):
        return await desk.trouble(request, problem)
    return problems.answer(problem)


def _may(caller: Caller) -> Mapping[str, bool]:
    """What templates ask: who sees a button is who may use it, as far as the role goes."""
    return {
        "operate": bool(caller.identity) and caller.role.covers(Role.OPERATOR),
        "approve": bool(caller.identity) and caller.role.covers(Role.APPROVER),
    }


def _bare(request: Request, fragment: Fragment, caller: Caller) -> Response:
    headers = {
        "ETag": fragment.etag,
        "Vary": f"{FRAGMENT}, Accept-Encoding",
        "Relayer-Title": fragment.title.encode("ascii", "xmlcharrefreplace").decode(),
        "Relayer-Caller": caller.identity.encode("ascii", "replace").decode(),
        "Relayer-Role": str(caller.role),
        "Relayer-CSRF": caller.csrf,
    }
    if request.headers.get("if-none-match") == fragment.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(fragment.packed(), media_type="text/html", headers=headers)
    return Response(fragment.html, media_type="text/html", headers=headers)

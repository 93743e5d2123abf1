"""`/login`, `/logout` and `/session`: a token becomes a cookie, and who that is."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watcher.web.access import CHALLENGE, peer_of
from watcher.web.callers import Caller
from watcher.web.doors.entry import Entry
from watcher.web.doors.logins import Logins, is_login
from watcher.web.doors.openshift import LONGEST_TOKEN
from watcher.web.doors.origins import is_our_page, says_another_page
from watcher.web.face import as_json
from watcher.web.guards import bounded, kind_of
from watcher.web.pages.desk import FRAGMENT, Desk
from watcher.web.pages.rendering import render
from watcher.web.problems import Problem

log = structlog.get_logger()

FORM = "application/x-www-form-urlencoded"
LONGEST_NEXT = 500


class LoginBody(msgspec.Struct, forbid_unknown_fields=True):
    token: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a form or a script sent."""

    token: str = ""
    csrf: str = ""
    where: str = "/"
    """Which page to go to then."""
    is_form: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPage(Desk):
    def routes(self) -> list[Route]:
        """Return the routes of logging in and out."""
        return [
            Route("/login", self.page),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/session", self.session),
        ]

    async def page(self, request: Request) -> Response:
        """The form. Open: whoever is not known yet must see it."""
        query = request.query_params
        return await self._form(request, where=_ours(query.get("next", "")), because="")

    async def log_in(self, request: Request) -> Response:
        """A form gets a page and 303, a script's JSON 204; both the cookie."""
        logins = self._logins()
        if says_another_page(request.headers):
            raise Problem(403, "a login must come from a page of this service, over https")
        peer, now = peer_of(request), logins.now()
        if wait := logins.tries.take(peer, now):
            log.warning("login_put_off", peer=peer, seconds=round(wait, 1))
            raise Problem(
                429,
                "too many logins were tried: wait a little",
                {"Retry-After": str(int(wait) + 1)},
            )
        said = await _said(request)
        entry = await self._proven(request, logins, said.token)
        if entry is None:
            log.warning("login_refused", peer=peer)
            if said.is_form:
                shown = await self._form(
                    request, where=said.where, because="This token is not known."
                )
                shown.status_code = 401
                return shown
            raise Problem(401, "this token is not known", CHALLENGE)
        logins.tries.give_back(peer, now)
        log.info("logged_in", identity=entry.identity, peer=peer)
        return RedirectResponse(said.where, 303) if said.is_form else Response(status_code=204)

    async def log_out(self, request: Request) -> Response:
        """End the login; a form sends the CSRF value as `csrf`, a script in the header."""
        logins = self._logins()
        said = await _said(request)
        entry = await logins.entry(request)
        given = said.csrf or request.headers.get("x-relayer-csrf", "")
        if entry is not None:
            ours = is_our_page(request.headers)
            if not ours or not await logins.keys.is_csrf(given, entry.bound):
                raise Problem(403, "a logout must come from a page of this service")
            await logins.log_out(request)
            log.info("logged_out", identity=entry.identity)
        return RedirectResponse("/login", 303) if said.is_form else Response(status_code=204)

    async def session(self, request: Request) -> Response:
        """Who asks, as what, and what a change by cookie must carry."""
        caller = await self.access.caller(request)
        return as_json(
            {
                "identity": caller.identity,
                "role": caller.role,
                "csrf": caller.csrf,
                "mode": self.settings.web.auth.mode,
            }
        )

    async def _proven(self, request: Request, logins: Logins, token: str) -> Entry | None:
        token = token.strip()
        if not token or len(token) > LONGEST_TOKEN:
            return None
        return await logins.log_in(request, token)

    def _logins(self) -> Logins:
        logins, access = self.access.logins, self.access
        if logins is None or not (access.tokens or access.openshift):
            raise Problem(404, "nobody logs in here by a token: none is configured (web.tokens)")
        return logins

    async def _form(self, request: Request, *, where: str, because: str) -> Response:
        """The page; of somebody who is logged in the way out too."""
        try:
            caller = await self.access.caller(request)
        except Problem:
            caller = Caller()
        is_openshift = self.access.openshift is not None
        model: dict[str, Any] = {
            "where": where,
            "because": because,
            "caller": caller,
            "is_by_cookie": is_login(request),
            "is_openshift": is_openshift,
            "is_possible": bool(self.access.tokens) or is_openshift,
            "is_proxied": self.access.mode == "proxy",
        }
        html = render("login.html", model)
        if FRAGMENT in request.headers:
            return Response(html, media_type="text/html")
        return self._whole(request, html, "Log in", here="", caller=caller)


async def _said(request: Request) -> Said:
    """Return what the body says; raise Problem 422, 415, 413 or 408. It is never shown again."""
    kind, data = kind_of(request), await bounded(request)
    if kind == FORM:
        try:
            found = parse_qs(
                data.decode("ascii"), max_num_fields=8, encoding="ascii", errors="strict"
            )
        except ValueError as error:
            raise Problem(422, "the form cannot be read") from error
        values = {name: many[0] for name, many in found.items() if len(many) == 1}
        return Said(
            token=values.get("token", ""),
            csrf=values.get("csrf", ""),
            where=_ours(values.get("next", "")),
            is_form=True,
        )
    if kind != "application/json":
        raise Problem(415, "send application/json, or the form of /login")
    if not data:
        return Said()
    try:
        return Said(token=msgspec.json.decode(data, type=LoginBody).token)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(422, 'the body must be {"token": "…"}') from error


def _ours(where: str) -> str:
    """Return a path of ours to go to, `/` for anything that could lead elsewhere."""
    plain = where.isascii() and where.isprintable() and len(where) <= LONGEST_NEXT
    elsewhere = not where.startswith("/") or where.startswith("//") or "\\" in where
    return where if plain and not elsewhere else "/"

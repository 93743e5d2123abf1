"""Who is asking, and whether that is enough: every page and every part of the API asks here.

A token in a header is proof enough. What browsers send by themselves (a cookie, what a proxy adds,
being on this machine) says who asks but not that he wants it: a change needs the CSRF value too,
and must come from a page of ours.
"""

import getpass
import os
import re
from collections.abc import Mapping
from typing import NoReturn, Protocol

import structlog
from starlette.requests import Request

from watcher.core.approval import LOCAL
from watcher.engine import noted_of
from watcher.metrics import Metrics
from watcher.people import People
from watcher.ports import Clock, OutsideError, Refused, Store
from watcher.ports_reviews import Reviews
from watcher.settings_web import WebSettings, is_loopback
from watcher.web.callers import Caller, Role
from watcher.web.doors.entry import Entry
from watcher.web.doors.limits import Declines
from watcher.web.doors.logins import ENDED, Logins
from watcher.web.doors.openshift import OpenShiftDoor
from watcher.web.doors.origins import is_our_page
from watcher.web.doors.proxies import ProxyDoor
from watcher.web.doors.tokens import Tokens
from watcher.web.problems import Problem

log = structlog.get_logger()

SURFACE = "http"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="relayer"'}
CSRF = "X-Relayer-CSRF"
SAFE = ("GET", "HEAD", "OPTIONS")
_ID = re.compile(r"[a-z]-[0-9a-zA-Z-]{1,64}")


class Backing(Protocol):
    """What doors need of the running service."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def people(self) -> People: ...


class Access:
    """Made at start; raise Refused for what cannot be kept safe, or a token that is unusable."""

    def __init__(
        self,
        web: WebSettings,
        environment: Mapping[str, str] | None = None,
        *,
        service: Backing | None = None,
        reviews: Reviews | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.web = web
        self.mode = web.auth.mode
        self.tokens = Tokens(web.tokens, os.environ if environment is None else environment)
        self.proxy = ProxyDoor(web.auth.proxy) if self.mode == "proxy" else None
        self.openshift: OpenShiftDoor | None = None
        self.logins: Logins | None = None
        self._service = service
        self._metrics = metrics
        self._local: Entry | None = None
        self._declines = Declines()
        if self.mode == "none":
            self._local = _local(web)
        if service is not None:
            if reviews is not None:
                self.openshift = OpenShiftDoor(web.auth.openshift, reviews, service.clock)
            self.logins = Logins(web.auth, self.tokens, self.openshift, service)

    @property
    def reads_are_open(self) -> bool:
        return self.mode == "token" and is_loopback(self.web.host)

    async def caller(self, request: Request, least: Role = Role.VIEWER) -> Caller:
        """Return who asks. Raise Problem 401, 403 for too small a role, 503 if nobody can say."""
        entry = await self._entry(request)
        is_change = request.method not in SAFE
        if entry is None:
            if self.reads_are_open and least is Role.VIEWER and not is_change:
                return Caller()
            self.turn_away(request)
        if entry.bound and is_change:
            await self._check_meant(request, entry)
        if entry.role is None or not entry.role.covers(least):
            await self._decline(request, entry, least)
        csrf = ""
        if entry.bound and self.logins is not None:
            csrf = await self.logins.keys.csrf(entry.bound)
        return Caller(identity=entry.identity, role=entry.role, csrf=csrf)

    def turn_away(self, request: Request) -> NoReturn:
        """Raise Problem 401 with what to do."""
        if request.scope.get(ENDED):
            raise Problem(401, "the login has ended: log in again", CHALLENGE)
        if self.mode == "proxy" and not self.tokens:
            raise Problem(401, "ask through the proxy that this service believes", CHALLENGE)
        if self.mode == "token" and not self.tokens:
            raise Problem(401, "no tokens are configured: set web.tokens", CHALLENGE)
        raise Problem(401, "log in, or send a token: Authorization: Bearer …", CHALLENGE)

    async def _entry(self, request: Request) -> Entry | None:
        """Return who came through which door, None for nobody. Raise Problem."""
        if self.proxy is not None and self.proxy.trusts(peer_of(request)):
            # First, whatever else there is: proxies pass on headers and cookies of their own.
            named = self.proxy.entry(request.headers)
            if named is not None:
                return named
        if "authorization" in request.headers:
            return await self._bearer(request)
        if self.logins is not None and (found := await self.logins.entry(request)) is not None:
            return found
        return self._local

    async def _bearer(self, request: Request) -> Entry:
        """Return who has the token of the request. Raise Problem."""
        said = request.headers.getlist("authorization")
        scheme, _, given = said[0].partition(" ")
        if len(said) > 1 or scheme.lower() != "bearer" or not given:
            self.turn_away(request)
        if (found := self.tokens.entry(given.strip())) is not None:
            return found[1]
        if self.openshift is not None:
            person = await self.openshift.whose(given.strip())
            if person is not None:
                return await self.openshift.entry(person)
        elif not self.tokens:
            self.turn_away(request)
        raise Problem(401, "this token is not known", CHALLENGE)

    async def _check_meant(self, request: Request, entry: Entry) -> None:
        """Raise Problem 403 for a change that a page of somebody else may have sent."""
        because = ""
        if not is_our_page(request.headers):
            because = "this change does not come from a page of this service"
        elif not await self.is_csrf(request.headers.get(CSRF, ""), entry.bound):
            because = f"{CSRF} is missing or of another login: load the page again"
        if because:
            # Not audited: whoever is logged in has not said this.
            log.warning("change_not_meant", identity=entry.identity, because=because)
            self._count()
            raise Problem(403, because)

    async def is_csrf(self, given: str, bound: str) -> bool:
        """Whether it is the CSRF value for what somebody was let in by. Raise Problem 503."""
        return self.logins is not None and await self.logins.keys.is_csrf(given, bound)

    async def _decline(self, request: Request, entry: Entry, least: Role) -> NoReturn:
        """Raise Problem 403; what somebody wanted to change is audited."""
        has = f"has the role {entry.role}" if entry.role else "has no role here"
        because = f"{entry.identity} {has}; this needs {least}"
        if request.method not in SAFE:
            self._count()
            # Anybody with a token of the cluster is known there: together they are one.
            await self._audit(request, entry.identity, because, whose=entry.role and entry.identity)
        raise Problem(403, because)

    async def _audit(self, request: Request, by: str, because: str, *, whose: str | None) -> None:
        if self._service is None:
            return
        if not self._declines.take(whose or "", self._service.clock.now().timestamp()):
            log.warning("declined_and_not_audited", by=by, because=because, cause="too many")
            return
        what = getattr(request.scope.get("endpoint"), "__name__", "request").title()
        named = request.path_params
        try:
            if _ID.fullmatch(named.get("id", "")):
                await self._service.people.refused(
                    named["id"], what, by=by, because=because, surface=SURFACE
                )
                return
            scope = "/".join(named[key][:80] for key in ("cluster", "pool") if key in named)
            now = self._service.clock.now()
            await self._service.store.audit_only(
                noted_of(scope, f"{what}Declined", by=by, now=now, detail=because, surface=SURFACE)
            )
        except OutsideError as error:  # it is declined all the same
            log.warning("declined_and_not_audited", by=by, because=because, cause=str(error))

    def _count(self) -> None:
        if self._metrics is not None:
            self._metrics.declined(SURFACE)


def peer_of(request: Request) -> str:
    """The address at the other end of the connection; empty where there is none."""
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def _local(web: WebSettings) -> Entry:
    if not is_loopback(web.host):
        raise Refused(
            f"web.auth.mode none lets everybody in who reaches {web.host}: it is for loopback only"
        )
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an arbitrary UID of a container has no name
        user = str(os.getuid())
    # Not everybody on a machine is meant by its owner, and nothing unapproved is ever applied:
    # an approval needs somebody who has proven who he is.
    role = Role.VIEWER if web.auth.local == Role.VIEWER else Role.OPERATOR
    return Entry(identity=LOCAL + user, role=role, bound=LOCAL + user)

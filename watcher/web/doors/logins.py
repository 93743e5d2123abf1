"""Logging in with a token in a browser, staying so by a cookie, and logging out."""

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request

from watcher.ports import OutsideError
from watcher.settings_web import AuthSettings
from watcher.web.doors import cookies, sessions
from watcher.web.doors.entry import Entry
from watcher.web.doors.keys import Keys
from watcher.web.doors.limits import Tries
from watcher.web.doors.openshift import OpenShiftDoor
from watcher.web.doors.sessions import Lifetime, Session
from watcher.web.doors.tokens import Tokens
from watcher.web.problems import Problem

if TYPE_CHECKING:
    from watcher.web.access import Backing

log = structlog.get_logger()

COOKIE = "relayer.cookie"
"""In the scope of a request: the Set-Cookie header of its answer. `Guards` sends it."""
BY_COOKIE = "relayer.by-cookie"
"""In the scope of a request whose cookie said who asks."""
ENDED = "relayer.login-ended"
"""In the scope of a request whose cookie counts no longer."""
LONGEST_UNASKED_SECONDS = 3600.0
"""A login with a cluster's token: that one is not kept, so nobody can ask again whether it still
counts. What its owner may is asked all the time."""


@dataclass(frozen=True, slots=True)
class _Found:
    session: Session
    entry: Entry


class Logins:
    def __init__(
        self,
        said: AuthSettings,
        tokens: Tokens,
        openshift: OpenShiftDoor | None,
        service: "Backing",
    ) -> None:
        self._tokens = tokens
        self._openshift = openshift
        self._service = service
        longest = float(said.session_seconds)
        self._life = {
            "token": Lifetime(longest, said.idle_seconds),
            "openshift": Lifetime(min(longest, LONGEST_UNASKED_SECONDS), said.idle_seconds),
        }
        self.keys = Keys(lambda: service.store, service.clock, keep_seconds=longest)
        self.tries = Tries()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._service.clock.now().timestamp()

    async def log_in(self, request: Request, token: str) -> Entry | None:
        """Return who has this token, with a cookie under way; None if nobody has it.

        Raise Problem: 503 where nobody can say, 422 where it fits no cookie.
        """
        session: Session | None = None
        key, now = await self.keys.newest(), self.now()
        mine = self._tokens.entry(token)
        if mine is not None:
            name, entry = mine
            named = self._tokens.named(name)
            digest = named[0] if named else b""
            bound = sessions.bound_to(key, digest)
            session = Session(secrets.token_hex(16), "token", name, now, now, bound)
        elif self._openshift is not None and (person := await self._openshift.whose(token)):
            entry = await self._openshift.entry(person)
            session = Session(secrets.token_hex(16), "openshift", "", now, now, person=person)
        if session is None:
            return None
        value = sessions.seal(session, key)
        if value is None:
            raise Problem(422, "too many groups for a login here: send the token with each request")
        self._send(request, value, session)
        return entry

    async def entry(self, request: Request) -> Entry | None:
        """Return who is logged in by the request's cookie, None for nobody. Raise Problem 503."""
        host = request.headers.get("host", "")
        name = cookies.name_for(host)
        value = cookies.value_of(request.headers.getlist("cookie"), name)
        if not value:
            return None
        found = await self._found(value)
        if found is None:
            request.scope[ENDED] = True
            request.scope[COOKIE] = cookies.gone(host)
            return None
        request.scope[BY_COOKIE] = True
        now = self.now()
        if now - found.session.seen >= sessions.RENEWED_SECONDS:
            await self._renew(request, found.session, now)
        return found.entry

    async def log_out(self, request: Request) -> None:
        """End the login of the request's cookie, for whoever else has a copy of it."""
        host = request.headers.get("host", "")
        value = cookies.value_of(request.headers.getlist("cookie"), cookies.name_for(host))
        key = await self.keys.named(sessions.key_id_of(value)) if value else None
        session = sessions.unseal(value, key) if key else None
        request.scope[COOKIE] = cookies.gone(host)
        if session is not None:
            try:
                await self._service.store.set_handled(_ended(session))
            except OutsideError as error:
                raise _away(error) from error

    async def _found(self, value: str) -> _Found | None:
        key_id = sessions.key_id_of(value)
        key = await self.keys.named(key_id) if key_id else None
        session = sessions.unseal(value, key) if key else None
        if key is None or session is None:
            return None
        life = self._life.get(session.door)
        if life is None or life.is_over(session, now=self.now()):
            return None
        try:
            if await self._service.store.handled(_ended(session)):
                return None
        except OutsideError as error:
            raise _away(error) from error
        bound = f"session:{session.id}"
        if session.door == "token":
            named = self._tokens.named(session.name)
            if named is None:
                return None
            digest, entry = named
            if not hmac.compare_digest(session.bound, sessions.bound_to(key, digest)):
                return None
            return _Found(session, Entry(identity=entry.identity, role=entry.role, bound=bound))
        if self._openshift is None or session.person is None:
            return None
        return _Found(session, await self._openshift.entry(session.person, bound=bound))

    async def _renew(self, request: Request, session: Session, now: float) -> None:
        """Give the cookie anew, as used now and signed by the newest key."""
        key, bound = await self.keys.newest(), b""
        if session.door == "token":
            named = self._tokens.named(session.name)
            if named is None:
                return
            bound = sessions.bound_to(key, named[0])
        again = Session(
            session.id, session.door, session.name, session.began, now, bound, session.person
        )
        value = sessions.seal(again, key)
        if value is not None:
            self._send(request, value, again)

    def _send(self, request: Request, value: str, session: Session) -> None:
        host, life = request.headers.get("host", ""), self._life[session.door]
        left = min(life.idle_seconds, session.began + life.session_seconds - self.now())
        request.scope[COOKIE] = cookies.made(host, value, seconds=max(1.0, left))


def is_login(request: Request) -> bool:
    """Whether it was a cookie that said who asks."""
    return bool(request.scope.get(BY_COOKIE))


def _ended(session: Session) -> str:
    return f"logout:{session.id}"


def _away(error: OutsideError) -> Problem:
    log.warning("logins_unreachable", cause=str(error))
    return Problem(503, "the store does not answer, so nobody can be known", {"Retry-After": "5"})

"""How one proves to a registry who one is: the Authorization header of a call.

A registry says with 401 what it wants: basic, or a token from a server it names (the Docker
distribution token protocol; with an identity token its OAuth2 form). Tokens are kept per registry,
login and scope until shortly before they expire. The login goes to the registry itself or to the
token server the registry names, and to that one over https only. A registry that is spoken to over
plain HTTP may name itself, or another that is configured so; no other host gets it in the clear.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode
from weakref import WeakValueDictionary

import httpx
import msgspec

from watcher.clients.registry.answers import check, read_all
from watcher.clients.registry.calls import Call, authority
from watcher.clients.registry.credentials import Credentials, Login
from watcher.clients.registry.errors import BadContent, Unauthorised, clean
from watcher.clients.registry.model import decode
from watcher.clients.registry.transport import Transport
from watcher.core.facts import Repository
from watcher.errors import Refused, Transient

_CHALLENGE = re.compile(r"(?:^|,)\s*([A-Za-z]+)(?:\s+(?=[A-Za-z]+\s*=)|\s*(?=,|$))")
_PARAMETER = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_DEFAULT_LIFE_SECONDS = 60.0
"""What the token protocol says for a token that names no life."""
_USED_LIFE = 0.8
"""A token is fetched anew after this share of its life, so that none expires on its way."""
_LONGEST_LIFE_SECONDS = 86_400.0
"""A token that claims to live longer is asked for again after a day."""
_CLIENT_ID = "relayer"

Scope = frozenset[tuple[str, str]]
"""Repository path and actions (``pull`` or ``pull,push``) a call needs."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme of a WWW-Authenticate header with its parameters."""

    scheme: str
    parameters: dict[str, str]


def challenges(header: str) -> list[Challenge]:
    """Read a WWW-Authenticate header (RFC 9110, 11.6.1), which may name several schemes."""
    header = header[:4096]
    quoted = [m.span() for m in re.finditer(r'"(?:[^"\\]|\\.)*"', header)]
    starts = [
        m for m in _CHALLENGE.finditer(header) if not any(a < m.start(1) < b for a, b in quoted)
    ]
    ends = [*(m.start() for m in starts[1:]), len(header)][: len(starts)]
    return [
        Challenge(start[1].lower(), _parameters(header[start.end() : end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def _parameters(text: str) -> dict[str, str]:
    found = {}
    for m in _PARAMETER.finditer(text):
        value = re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3]
        found[m[1].lower()] = value
    return found


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    header: str = field(repr=False)
    until: float


_Key = tuple[str, Login | None, Scope]
"""Registry, login and what the token is for."""


class Authoriser:
    """Authorization headers for one set of credentials."""

    def __init__(
        self, transport: Transport, credentials: Credentials, *, monotonic: Callable[[], float]
    ) -> None:
        self._transport = transport
        self.credentials = credentials
        self._monotonic = monotonic
        self._tokens: dict[_Key, _Token] = {}
        self._fetching: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()
        self._renewed: dict[tuple[str, Login], str] = {}
        self._basic: set[str] = set()

    def header(self, repository: Repository, scope: Scope) -> str | None:
        """The header that worked before for such a call; None to ask the registry first.

        Raise BadContent where the entry of the credentials cannot be read.
        """
        login = self.credentials.find(repository)
        if token := self._good((repository.host, login, scope)):
            return token.header
        return login.basic if login and repository.host in self._basic else None

    async def answer(self, repository: Repository, scope: Scope, refusal: httpx.Response) -> str:
        """The header that a 401 asks for; raise Unauthorised when we have none.

        May raise what asking the token server raises. The refusal's connection is given back first:
        others may hold the rest, and wait for a token too.
        """
        login = self.credentials.find(repository)
        asked = {c.scheme: c for c in challenges(refusal.headers.get("www-authenticate", ""))}
        await self._transport.finish(refusal)
        if "bearer" in asked:
            refused = refusal.request.headers.get("authorization")
            return await self._token((repository.host, login, scope), asked["bearer"], refused)
        if "basic" not in asked:
            raise Unauthorised(f"{repository.host} answered 401 without a way to log in")
        if login is None:
            raise Unauthorised(f"{repository.host} wants a login: no credentials for {repository}")
        if login.identity_token and not login.password:
            raise Unauthorised(
                f"{repository.host} wants user and password; for {repository} there is only an "
                "identity token, which is for registries with a token server"
            )
        self._basic.add(repository.host)
        return login.basic

    def _good(self, key: _Key) -> _Token | None:
        token = self._tokens.get(key)
        return token if token and self._monotonic() < token.until else None

    async def _token(self, key: _Key, asked: Challenge, refused: str | None) -> str:
        """A token other than the `refused` one; of many who want it at once one fetches it."""
        lock = self._fetching.setdefault(key, asyncio.Lock())
        async with lock:
            token = self._good(key)
            if token is None or token.header == refused:
                self._tokens.pop(key, None)
                token = await self._fetch(key, asked)
                self._tokens = {key: one for key, one in self._tokens.items() if self._good(key)}
                self._tokens[key] = token
            return token.header

    async def _fetch(self, key: _Key, asked: Challenge) -> _Token:
        host, login, scope = key
        call = self._token_call(host, login, scope, asked)
        # Counted from before the question and by our own clock: what the server's clock says
        # (issued_at) may be hours off. A token that ends earlier than told is refused, and renewed.
        since, seconds = self._monotonic(), self._transport.settings.call_seconds
        try:
            async with asyncio.timeout(seconds), self._transport.send(call) as reply:
                await check(reply, allowed=frozenset({200}))
                limit = self._transport.settings.limits.token
                raw = await read_all(call, reply, limit=limit, name="token")
        except TimeoutError as error:
            raise Transient(f"{call}: no complete token within {seconds:g} s") from error
        except Unauthorised as error:
            wanted = ", ".join(f"{host}/{path}" for path, _ in sorted(scope))
            raise Unauthorised(f"{error}; it was asked for a token for {wanted}") from error
        if raw.lstrip()[:1] == b"<":
            raise BadContent(f"{call}: answered HTML instead of a token; is that a login page?")
        seen = decode(raw, _TokenAnswer, what=f"the token of {clean(call.url.host)}")
        text = seen.token or seen.access_token or ""
        if not re.fullmatch(r"[!-~]+", text):
            raise Unauthorised(f"{call}: answered without a usable token")
        if login and login.identity_token and seen.refresh_token:
            self._renewed[host, login] = seen.refresh_token
        life = seen.expires_in if seen.expires_in and seen.expires_in > 0 else _DEFAULT_LIFE_SECONDS
        return _Token(f"Bearer {text}", since + min(life, _LONGEST_LIFE_SECONDS) * _USED_LIFE)

    def _token_call(self, host: str, login: Login | None, scope: Scope, asked: Challenge) -> Call:
        realm = self._realm(host, asked)
        scopes = [f"repository:{path}:{actions}" for path, actions in sorted(scope)]
        service = asked.parameters.get("service")
        if login and login.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._renewed.get((host, login), login.identity_token),
                "client_id": _CLIENT_ID,
                "scope": " ".join(scopes),
                **({"service": service} if service else {}),
            }
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return Call("POST", realm, kind, urlencode(form).encode(), login=True)
        query = {"scope": scopes, **({"service": [service]} if service else {})}
        url = realm.copy_merge_params(httpx.QueryParams(query))
        return Call("GET", url, {"Authorization": login.basic} if login else {}, login=True)

    def _realm(self, host: str, asked: Challenge) -> httpx.URL:
        """The token server's address; raise Refused where no login may go."""
        try:
            realm = httpx.URL(asked.parameters.get("realm", ""))
        except httpx.InvalidURL as error:
            raise Refused(f"{host}: its token server's address is malformed") from error
        allowed = {"http", "https"} if self._may_be_plain(host, realm) else {"https"}
        if not realm.host or realm.scheme not in allowed:
            raise Refused(
                f"{host} names a token server without https: {clean(realm)}; no login is sent there"
            )
        # A user in the address would become a login that is not ours.
        return realm.copy_with(username=None, password=None)

    def _may_be_plain(self, host: str, realm: httpx.URL) -> bool:
        """Only where the registry is, and then itself, at any port, or what was named for it."""
        settings, base = self._transport.settings, self._transport.base(host)
        if not settings.insecure and base.scheme != "http":
            return False
        return realm.host == base.host or authority(realm) in settings.insecure_hosts

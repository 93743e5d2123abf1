"""How one proves to a registry who one is: the Authorization header of a call.

A registry says with 401 what it wants: basic, or a token from a server it names (the Docker
distribution token protocol). Tokens are kept per registry, login and scope until shortly before
they expire. The login goes to the registry itself or to the token server the registry names, and
to that one over https only, unless the registry itself is configured as plain HTTP.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import msgspec

from watcher.clients.registry.credentials import Credentials, Login
from watcher.clients.registry.errors import Unauthorised, clean
from watcher.clients.registry.model import decode
from watcher.clients.registry.transport import Call, Transport, check, read_all
from watcher.core.facts import Repository
from watcher.ports import Refused

_CHALLENGE = re.compile(r"(?:^|,)\s*([A-Za-z]+)(?:\s+(?=[A-Za-z]+\s*=)|\s*(?=,|$))")
_PARAMETER = re.compile(r'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_DEFAULT_LIFE_SECONDS = 60.0
"""What the token protocol says for a token that names no life."""
_USED_LIFE = 0.8
"""A token is fetched anew after this share of its life, so that none expires on its way."""

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
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    until: float


class Authoriser:
    """Authorization headers for one set of credentials."""

    def __init__(
        self, transport: Transport, credentials: Credentials, *, monotonic: Callable[[], float]
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._monotonic = monotonic
        self._tokens: dict[tuple[str, Login | None, Scope], _Token] = {}
        self._basic: set[str] = set()

    def header(self, repository: Repository, scope: Scope) -> str | None:
        """The header that worked before for such a call; None to ask the registry first."""
        login = self._credentials.find(repository)
        token = self._tokens.get((repository.host, login, scope))
        if token and self._monotonic() < token.until:
            return token.header
        return login.basic if login and repository.host in self._basic else None

    async def answer(self, repository: Repository, scope: Scope, refusal: httpx.Response) -> str:
        """The header that a 401 asks for; raise Unauthorised when we have none.

        May raise what asking the token server raises.
        """
        login = self._credentials.find(repository)
        asked = {c.scheme: c for c in challenges(refusal.headers.get("www-authenticate", ""))}
        if "bearer" in asked:
            self._tokens.pop((repository.host, login, scope), None)
            return await self._fetch(repository, scope, login, asked["bearer"])
        if "basic" not in asked:
            raise Unauthorised(f"{repository.host} answered 401 without a way to log in")
        if login is None:
            raise Unauthorised(f"{repository.host} wants a login: no credentials for {repository}")
        self._basic.add(repository.host)
        return login.basic

    async def _fetch(
        self, repository: Repository, scope: Scope, login: Login | None, asked: Challenge
    ) -> str:
        call = self._token_call(repository, scope, login, asked)
        async with self._transport.send(call) as reply:
            await check(reply, allowed=frozenset({200}))
            limit = self._transport.settings.limits.token
            raw = await read_all(call, reply, limit=limit, name="token")
        seen = decode(raw, _TokenAnswer, what=f"the token of {clean(call.url.host)}")
        text = seen.token or seen.access_token or ""
        if not re.fullmatch(r"[!-~]+", text):
            raise Unauthorised(f"{call}: answered without a usable token")
        life = seen.expires_in if seen.expires_in and seen.expires_in > 0 else _DEFAULT_LIFE_SECONDS
        token = _Token(f"Bearer {text}", self._monotonic() + life * _USED_LIFE)
        self._tokens[repository.host, login, scope] = token
        return token.header

    def _token_call(
        self, repository: Repository, scope: Scope, login: Login | None, asked: Challenge
    ) -> Call:
        try:
            realm = httpx.URL(asked.parameters.get("realm", ""))
        except httpx.InvalidURL as error:
            raise Refused(f"{repository.host}: its token server's address is malformed") from error
        plain = self._transport.base(repository.host).scheme == "http"
        if not realm.host or realm.scheme not in ({"http", "https"} if plain else {"https"}):
            raise Refused(
                f"{repository.host} names a token server without https: {clean(realm)}; "
                "no login is sent there"
            )
        query = {"scope": [f"repository:{path}:{actions}" for path, actions in sorted(scope)]}
        if service := asked.parameters.get("service"):
            query["service"] = [service]
        url = realm.copy_merge_params(httpx.QueryParams(query))
        return Call("GET", url, {"Authorization": login.basic} if login else {})

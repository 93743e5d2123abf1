"""Signatures of a release from stores over HTTP: `<store>/sha256=<hex>/signature-<n>`.

The layout is that of containers/image docs/signature-protocols.md; the search ends at the first
number that is not there. What a store says proves nothing, so it needs no login and gets none: but
it must not make us wait, fill our memory, or send us to where nobody vouches for the answer.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Protocol, Self

import httpx

from watcher.clients.registry.errors import clean
from watcher.clients.signatures.armor import packet_tag
from watcher.clients.signatures.gpgv import SIGNATURE_BYTES
from watcher.core.facts import Digest
from watcher.errors import Refused, Transient

MOST_SIGNATURES = 10
"""As library-go's maxSignatureSearch: an endless store is left after this."""
MOST_STORES = 32
"""As many as ClusterVersion spec.signatureStores may name."""
_MOST_REDIRECTS = 5
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABSENT = frozenset({404, 410})
_AGAIN = frozenset({408, 429})
"""Tried again, as every answer from 500 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a store may take."""

    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    """The longest silence."""
    store_seconds: float = 25.0
    """One store with all its signatures and retries; a look at a pool waits for it."""
    attempts: int = 2
    pause_seconds: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one store had."""

    signatures: tuple[bytes, ...] = ()
    problem: str = ""
    """Why it could not be asked to the end; empty: it was."""


class Fetcher(Protocol):
    async def fetch(self, store: str, release: Digest) -> Found:
        """The signatures of a release in one store; raises nothing."""


def unusable(store: str) -> str:
    """Why a store's URL is not asked, in a few words; empty if it is."""
    try:
        url = httpx.URL(store.strip())
    except (httpx.InvalidURL, TypeError, UnicodeError):
        return "is not a URL"
    return _forbidden(url)


def named(store: str) -> str:
    """A store's URL as people may see it: without a query, which may hold a key."""
    return _shown(store)


class Stores:
    """`Fetcher` over HTTP. Use as an async context manager: it owns the connections."""

    def __init__(
        self,
        *,
        patience: Patience | None = None,
        trust: ssl.SSLContext | None = None,
        use_proxy_environment: bool = True,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`trust`: instead of the system's certificate authorities."""
        self._patience = patience or Patience()
        self._trust = trust
        self._proxies = use_proxy_environment
        self._sleep = sleep
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        # httpx logs each address at INFO, and a query may hold a key.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def fetch(self, store: str, release: Digest) -> Found:
        """See `Fetcher`."""
        if why := unusable(store):
            return Found(problem=f"{named(store)} {why}, and is not asked")
        found: list[bytes] = []
        try:
            async with asyncio.timeout(self._patience.store_seconds):
                for number in range(1, MOST_SIGNATURES + 1):
                    signature = await self._signature(_address(store, release, number))
                    if signature is None:
                        break
                    found.append(signature)
        except TimeoutError:
            problem = f"{named(store)} did not answer within {self._patience.store_seconds:g} s"
        except (Refused, Transient) as error:
            problem = str(error)
        else:
            problem = ""
        return Found(signatures=tuple(found), problem=problem)

    async def _signature(self, url: httpx.URL) -> bytes | None:
        """None if there is none at this address. Raise Refused or Transient."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return await self._once(url)
            except Transient:
                if attempt == self._patience.attempts:
                    raise
            # The spread guards nothing: it keeps many from coming back at once.
            await self._sleep(self._patience.pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, url: httpx.URL) -> bytes | None:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                async with self._opened().stream("GET", url) as answer:
                    if answer.status_code in _REDIRECTS and "location" in answer.headers:
                        url = _redirected(url, answer.headers["location"])
                        continue
                    return await _content(url, answer)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise Transient(f"{_shown(url)}: {_told(error)}") from error
        raise Refused(f"{_shown(url)}: more than {_MOST_REDIRECTS} redirects")

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            patience = self._patience
            self._client = httpx.AsyncClient(
                verify=self._trust or ssl.create_default_context(),
                trust_env=self._proxies,
                follow_redirects=False,
                timeout=httpx.Timeout(patience.read_seconds, connect=patience.connect_seconds),
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=4),
                # A few bytes must not inflate to many.
                headers={"User-Agent": "relayer", "Accept-Encoding": "identity"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        return self._client


def _address(store: str, release: Digest, number: int) -> httpx.URL:
    url = httpx.URL(store.strip())
    path = url.path.rstrip("/") + f"/sha256={release.removeprefix('sha256:')}/signature-{number}"
    return url.copy_with(path=path)


def _redirected(url: httpx.URL, target: str) -> httpx.URL:
    """Where it goes on; raise Refused where it must not."""
    try:
        aim = url.join(target)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Refused(f"{_shown(url)}: redirected to a malformed address") from error
    why = _forbidden(aim)
    if not why and (url.scheme, aim.scheme) == ("https", "http"):
        why = "is plain http"
    if why:
        raise Refused(f"{_shown(url)}: redirected to {_shown(aim)}, which {why}: not followed")
    return aim


def _forbidden(url: httpx.URL) -> str:
    if url.userinfo:
        return "holds a login"
    if url.scheme == "http" and url.host not in _LOOPBACK:
        return "is plain http"
    return "" if url.scheme in ("https", "http") and url.host else "is not an https URL"


async def _content(url: httpx.URL, answer: httpx.Response) -> bytes | None:
    status = answer.status_code
    if status in _ABSENT:
        return None
    if status in _AGAIN or status >= 500:
        raise Transient(f"{_shown(url)}: answered {status}")
    if status != 200:
        raise Refused(f"{_shown(url)}: answered {status}")
    body = bytearray()
    async for block in answer.aiter_raw():
        body += block
        if len(body) > SIGNATURE_BYTES:
            raise Refused(f"{_shown(url)}: larger than the limit of {SIGNATURE_BYTES} bytes")
    if packet_tag(bytes(body[:1])) < 0:  # a proxy's page, most often
        raise Refused(f"{_shown(url)}: the answer is no signature but something else")
    return bytes(body)


def _shown(url: httpx.URL | str) -> str:
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else url
        return clean(parsed.copy_with(query=None, fragment=None, username="", password=""))
    except (httpx.InvalidURL, UnicodeError):
        return clean(url, limit=100)


def _told(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time; check the network and the proxy"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({clean(error)}); check the name, the network and the proxy"
    return f"the answer broke off ({clean(type(error).__name__)})"

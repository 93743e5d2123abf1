"""Requests to registries: pools, trust, redirects, retries and deadlines.

Nothing here knows what a manifest is or how one logs in. One HTTP/1.1 pool for each host keeps a
host's trust its own: the private CA of one registry vouches for no other.
Redirects are followed by hand, since two promises hang on them: an Authorization header goes to no
other host than the one it was made for, and nothing goes from https down to http.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import httpx

from watcher.clients.registry.errors import NotFound, TooLarge, Unauthorised, clean, stated
from watcher.clients.registry.settings import RegistrySettings
from watcher.ports import Refused, Transient

Stream = Callable[[], AsyncGenerator[bytes, None]]
"""A stream is given as what opens it, so that it can be opened again."""
Body = bytes | Stream

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_AGAIN = frozenset({429, 502, 503, 504})
"""Answers that ask for a repetition by themselves."""
_ERROR_BYTES = 16 * 1024
_HUB = {"docker.io": "registry-1.docker.io"}
"""Docker Hub's API is not where its names say."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. The url has no secrets: they are in headers, and in queries of redirects."""

    method: str
    url: httpx.URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = b""
    size: int | None = None
    """Bytes of a streamed body, where they are known."""
    repeat: bool = True
    """Whether sending it twice does no harm."""

    def __str__(self) -> str:
        return f"{self.method} {clean(self.url.copy_with(query=None, fragment=None))}"


@dataclass(slots=True)
class Patience:
    """What is left of one call's attempts and pauses."""

    attempts: int
    pause: float
    budget: float

    def next_pause(self, asked: float | None) -> float | None:
        """Seconds to wait before the next attempt; None when none is left."""
        self.attempts -= 1
        spread = self.pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, guards nothing
        wait = max(spread, asked or 0.0)
        self.pause *= 2
        self.budget -= wait
        return None if self.attempts <= 0 or self.budget < 0 else wait


class Transport:
    """Sends calls. Use it as a context manager: it owns the connections."""

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings = settings
        self._sleep = sleep
        self._pools: dict[tuple[str, str], httpx.AsyncClient] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._open.__aenter__()
        # httpx logs each address at INFO, and those of redirects hold signatures.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pools.clear()
        await self._open.__aexit__(kind, error, trace)

    def base(self, host: str) -> httpx.URL:
        """Where the API of a registry named in a pullspec begins."""
        scheme = "http" if host in self.settings.insecure_hosts else "https"
        return httpx.URL(f"{scheme}://{_HUB.get(host, host)}/v2/")

    def patience(self) -> Patience:
        asked = self.settings
        return Patience(asked.attempts, asked.backoff_seconds, asked.backoff_budget_seconds)

    @asynccontextmanager
    async def send(
        self, call: Call, *, patience: Patience | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its body unread, after redirects and retries; any status below 500.

        Raise Transient when the attempts or the pauses are used up, Refused for a bad redirect.
        """
        patience = patience or self.patience()
        while True:
            try:
                answer = await self._follow(call)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                problem = _broken(call, error)
            else:
                if answer.status_code not in _AGAIN and answer.status_code < 500:
                    break
                problem = await _busy(call, answer)
                if answer.status_code not in _AGAIN:
                    raise problem
            await self.wait(problem, patience, repeat=call.repeat)
        try:
            yield answer
            await _read_rest(answer)
        finally:
            await answer.aclose()

    async def wait(self, problem: Transient, patience: Patience, *, repeat: bool = True) -> None:
        """Pause before a repetition, or raise `problem` when there shall be none."""
        pause = patience.next_pause(problem.retry_after_seconds) if repeat else None
        if pause is None:
            raise problem
        await self._sleep(pause)

    async def _follow(self, call: Call) -> httpx.Response:
        for _ in range(_MOST_REDIRECTS + 1):
            answer = await self._once(call)
            target = answer.headers.get("location")
            if answer.status_code not in _REDIRECTS or not target:
                return answer
            await answer.aclose()
            call = _redirected(call, target)
        raise Refused(f"{call}: more than {_MOST_REDIRECTS} redirects")

    async def _once(self, call: Call) -> httpx.Response:
        if isinstance(call.body, bytes):
            return await self._exchange(call, call.body, {})
        length = {} if call.size is None else {"Content-Length": str(call.size)}
        async with aclosing(call.body()) as content:
            return await self._exchange(call, content, length)

    async def _exchange(
        self, call: Call, content: bytes | AsyncIterator[bytes], more: Mapping[str, str]
    ) -> httpx.Response:
        pool = self._pool(call.url)
        headers = {**call.headers, **more}
        request = pool.build_request(call.method, call.url, headers=headers, content=content)
        return await pool.send(request, stream=True)

    def _pool(self, url: httpx.URL) -> httpx.AsyncClient:
        key = (url.scheme, authority(url))
        if key not in self._pools:
            asked = self.settings
            pool = httpx.AsyncClient(
                verify=self._trust(key[1]) if url.scheme == "https" else False,
                trust_env=asked.use_proxy_environment,
                follow_redirects=False,
                timeout=httpx.Timeout(asked.read_seconds, connect=asked.connect_seconds),
                limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
                # Bytes are hashed as they are sent: no encoding may come in between.
                headers={"User-Agent": "relayer", "Accept-Encoding": "identity"},
                # A session cookie would outlive the login it was given for.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
            self._pools[key] = pool
            self._open.push_async_callback(pool.aclose)
        return self._pools[key]

    def _trust(self, host: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        path = self.settings.ca_files.get(host)
        if path is not None:
            try:
                context.load_verify_locations(cafile=path)
            except (OSError, ssl.SSLError) as error:
                raise Refused(f"CA file {path} of {clean(host)}: {clean(error)}") from error
        return context


def authority(url: httpx.URL) -> str:
    """``host`` or ``host:port`` as a pullspec would have it, the scheme's own port left out."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return host if url.port is None else f"{host}:{url.port}"


def _redirected(call: Call, target: str) -> Call:
    """The call again at another place; raise Refused where it must not go."""
    try:
        url = call.url.join(target)
    except httpx.InvalidURL as error:
        raise Refused(f"{call}: redirected to a malformed address") from error
    if url.scheme not in {"http", "https"} or (call.url.scheme, url.scheme) == ("https", "http"):
        raise Refused(
            f"{call}: redirected from https to {clean(url.scheme)}, which is not followed"
        )
    if (url.scheme, authority(url)) == (call.url.scheme, authority(call.url)):
        return replace(call, url=url)
    kept = {k: v for k, v in call.headers.items() if k.lower() != "authorization"}
    return replace(call, url=url, headers=kept)


_TOLD: Mapping[type[Exception], str] = {
    httpx.ConnectTimeout: "no connection in time; check the network and the proxy",
    httpx.TimeoutException: "no answer in time; check the network and the registry's load",
    httpx.ConnectError: "no connection; check the name, the port and the network",
    httpx.RemoteProtocolError: "the answer broke off",
}
"""The first that fits counts."""


def _broken(call: Call, error: Exception) -> Transient:
    told = next((said for kind, said in _TOLD.items() if isinstance(error, kind)), "it failed")
    cause = ": ".join(filter(None, (type(error).__name__, clean(error))))
    return Transient(f"{call}: {told} ({cause})")


async def _busy(call: Call, answer: httpx.Response) -> Transient:
    wait = _retry_after(answer)
    said = stated(await _some(answer))
    await answer.aclose()
    detail = f" ({said})" if said else ""
    return Transient(f"{call}: answered {answer.status_code}{detail}", retry_after_seconds=wait)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds named by Retry-After; a date counts from the answer's own Date, not our clock."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    until, since = _date(text), _date(answer.headers.get("date", ""))
    return max((until - since).total_seconds(), 0.0) if until and since else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else None


async def _some(answer: httpx.Response) -> bytes:
    """The beginning of an error's body; what cannot be read is left out, the status is enough."""
    body = b""
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > _ERROR_BYTES:
                return b""
    except (httpx.TransportError, httpx.StreamError):
        return b""
    return body


async def _read_rest(answer: httpx.Response) -> None:
    """Read a short answer to its end: a connection closed before that cannot be used again."""
    length = answer.headers.get("content-length", "")
    is_short = answer.request.method == "HEAD" or (length.isdigit() and int(length) <= _ERROR_BYTES)
    if is_short and not answer.is_stream_consumed and not answer.is_closed:
        with suppress(httpx.TransportError):
            await answer.aread()


async def read_all(call: Call, answer: httpx.Response, *, limit: int, name: str) -> bytes:
    """The whole body; raise TooLarge beyond `limit` bytes, Transient if it breaks off."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"{call}: larger than the {name} limit of {limit} bytes")
    except httpx.TransportError as error:
        raise _broken(call, error) from error
    return bytes(body)


async def check(answer: httpx.Response, *, allowed: frozenset[int]) -> None:
    """Raise what a status other than the `allowed` ones means."""
    status = answer.status_code
    if status in allowed:
        return
    call = Call(answer.request.method, answer.request.url)
    said = stated(await _some(answer))
    text = f"{call}: answered {status}" + (f" ({said})" if said else "")
    if status in {401, 403}:
        raise Unauthorised(f"{text}: check the credentials for {clean(authority(call.url))}")
    if status == 404:
        raise NotFound(text)
    if status == 408:
        raise Transient(text)
    raise Refused(text)

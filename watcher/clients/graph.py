"""The OpenShift Update Service, asked for the graph of a channel.

What it answered is kept for a while, and beyond that if it is down: an old graph with its age is
better than none. The cluster's id is never sent, though the public service would take it: it
counts clusters by it, and which of them we look after is nobody's business.
Protocol: openshift/cincinnati docs/design/openshift.md; cluster-version-operator pkg/cincinnati.
"""

import asyncio
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Self

import httpx
import msgspec

from watcher.clients.registry.errors import clean
from watcher.core.facts import Malformed
from watcher.core.graph import PUBLIC, Graph, Limits, SeenGraph, parse_graph
from watcher.errors import OutsideError, Refused, Transient

KEPT_SECONDS = 600.0
"""Releases come once a week; a cluster itself asks every two to four minutes."""
AGAIN_SECONDS = 60.0
"""After a failure nobody is asked for so long, unless the service names another time."""
LONGEST_PAUSE_SECONDS = 900.0
ANSWER_SECONDS = 60.0
CONNECT_SECONDS = 10.0
KEPT = 32
"""Graphs in memory: a few channels for a few architectures."""
MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({408, 425, 429})
_ERROR_BYTES = 16 * 1024


class _No(Refused):
    """The service understood and said no: what we have of it is no longer so, either."""


@dataclass(slots=True)
class _Kept:
    """What is known of one question."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    graph: Graph | None = None
    etag: str = ""
    read_at: float = 0.0
    """On the monotonic clock, as all of these."""
    fresh_until: float = 0.0
    error: OutsideError | None = None
    """The newest failure, and until when it stands."""
    silent_until: float = 0.0


class _Error(msgspec.Struct):
    kind: str = ""
    value: str = ""


class GraphClient:
    """`ancestry.Graphs` over HTTP; open one with `opened`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`client` must verify TLS and follow no redirects: that is done here."""
        self._client, self._monotonic = client, monotonic
        self._limits = limits or Limits()
        self._answer_seconds = answer_seconds
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        *,
        ca_file: Path | None = None,
        trust_env: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        limits: Limits | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> AsyncIterator[Self]:
        """With connections of its own. Raise Refused for a bad CA file.

        `ca_file`: authorities beside the system's own; `trust_env`: use the proxies that the
        environment names.
        """
        logging.getLogger("httpx").setLevel(logging.WARNING)  # an address may hold a password
        async with httpx.AsyncClient(
            verify=_trust(ca_file),
            trust_env=trust_env,
            follow_redirects=False,
            timeout=httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2),
            # A compressed answer could inflate without limit within one chunk.
            headers={
                "User-Agent": "relayer",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        ) as client:
            yield cls(client, monotonic=monotonic, limits=limits, answer_seconds=answer_seconds)

    async def graph(
        self, *, url: str = PUBLIC, channel: str, architecture: str, version: str = ""
    ) -> SeenGraph:
        """Return the graph of a channel, kept for `KEPT_SECONDS`; an old one if it is down.

        `url`: https, or http for a service within a network of one's own. `version`: where one
        stands, which the service may take into account.
        Raise Refused if there is none for these arguments, Transient if it cannot be asked.
        """
        kept = self._of((url, channel, architecture, version))
        async with kept.lock:
            now = self._monotonic()
            if kept.graph is not None and now < kept.fresh_until:
                return SeenGraph(graph=kept.graph, age_seconds=now - kept.read_at)
            if kept.error is None or now >= kept.silent_until:
                asked = {"channel": channel, "arch": architecture, "version": version}
                await self._ask(kept, url, {k: v for k, v in asked.items() if v})
            return self._answer(kept)

    def _of(self, key: tuple[str, ...]) -> _Kept:
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept

    def _answer(self, kept: _Kept) -> SeenGraph:
        if kept.error is None:
            assert kept.graph is not None, "it was read just now"
            return SeenGraph(graph=kept.graph)
        if kept.graph is None or isinstance(kept.error, _No):
            # A new one each time: who catches it may add to its traceback.
            raise _again(kept.error)
        return SeenGraph(
            graph=kept.graph,
            age_seconds=self._monotonic() - kept.read_at,
            stale_because=str(kept.error),
        )

    async def _ask(self, kept: _Kept, url: str, asked: dict[str, str]) -> None:
        """Take what the service says now into what is kept."""
        try:
            address = _address(url, asked)
            async with asyncio.timeout(self._answer_seconds):
                graph, etag = await self._fetch(address, kept.etag if kept.graph else "")
        except TimeoutError:
            kept.error = Transient(f"{_shown(url)}: no answer in {self._answer_seconds:g} s")
        except OutsideError as error:
            kept.error = error
        else:
            kept.graph, kept.etag, kept.error = graph or kept.graph, etag, None
            kept.read_at = self._monotonic()
            kept.fresh_until = kept.read_at + KEPT_SECONDS
            return
        wait = kept.error.retry_after_seconds if isinstance(kept.error, Transient) else None
        pause = min(max(wait or 0.0, AGAIN_SECONDS), LONGEST_PAUSE_SECONDS)
        kept.silent_until = self._monotonic() + pause

    async def _fetch(self, address: httpx.URL, etag: str) -> tuple[Graph | None, str]:
        """The graph and its ETag; None for the graph of that ETag."""
        headers = {"If-None-Match": etag} if etag else {}
        for _ in range(MOST_REDIRECTS + 1):
            try:
                async with self._client.stream("GET", address, headers=headers) as answer:
                    if answer.status_code not in _REDIRECTS:
                        return await self._read(answer, etag)
                    target = answer.headers.get("location", "")
            except httpx.TransportError as error:
                told = clean(error) or "it failed"
                raise Transient(f"{_shown(address)}: {type(error).__name__}: {told}") from error
            except (httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
                raise Refused(f"{_shown(address)}: {type(error).__name__}") from error
            address = _redirected(address, target)
        raise Refused(f"{_shown(address)}: more than {MOST_REDIRECTS} redirects")

    async def _read(self, answer: httpx.Response, etag: str) -> tuple[Graph | None, str]:
        who, status = _shown(answer.request.url), answer.status_code
        if status == 304 and etag:
            return None, etag
        if status != 200:
            raise await _refusal(who, answer)
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Refused(f"{who}: the answer is compressed, which was not asked for")
        body = await _all(answer, self._limits.size, who)
        try:
            # In a thread: the largest takes a good part of a second.
            graph = await asyncio.to_thread(parse_graph, body, self._limits)
        except Malformed as error:
            raise Refused(f"{who}: {error}") from error
        return graph, answer.headers.get("etag", "")[:200]


def _again(error: OutsideError) -> OutsideError:
    if isinstance(error, Transient):
        return Transient(str(error), retry_after_seconds=error.retry_after_seconds)
    return Refused(str(error))


def _address(url: str, asked: dict[str, str]) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Refused(f"not an address of an update service: {clean(type(error).__name__)}") from (
            error
        )
    if address.scheme not in ("https", "http") or not address.host:
        raise Refused(f"{_shown(url)} is not an address of an update service: it needs https://")
    return address.copy_merge_params(asked)


def _redirected(address: httpx.URL, target: str) -> httpx.URL:
    try:
        url = address.join(target)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Refused(f"{_shown(address)}: redirected to a malformed address") from error
    if url.scheme != "https" or not url.host:
        raise Refused(f"{_shown(address)}: redirected to {clean(url.scheme)}, not to https")
    return url


def _shown(url: httpx.URL | str) -> str:
    """An address without what may be secret in it."""
    try:
        return clean(httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None))
    except (httpx.InvalidURL, UnicodeError):
        return "the update service"


async def _refusal(who: str, answer: httpx.Response) -> OutsideError:
    """What a status means; a 400 says its kind and value."""
    status = answer.status_code
    text = f"{who}: answered {status}"
    if status in _AGAIN or status >= 500:
        after = answer.headers.get("retry-after", "").strip()
        seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 10 else None
        return Transient(text, retry_after_seconds=seconds)
    try:
        said = msgspec.json.decode(await _all(answer, _ERROR_BYTES, who), type=_Error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Refused):
        return _No(text)  # another body is dropped: a proxy's page may repeat the request
    told = clean(": ".join(filter(None, (said.kind, said.value))))
    return _No(f"{text} ({told})" if told else text)


async def _all(answer: httpx.Response, limit: int, who: str) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise Refused(f"{who}: the answer is larger than {limit} bytes")
    return bytes(body)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or type(error).__name__
            raise Refused(f"CA file {ca_file} for the update service: {why}") from error
    return context

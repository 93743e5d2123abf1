"""The connections of everybody who shares a transport: HTTP/1.1 pools by host and trust.

One pool for each host keeps a host's trust its own; the trust is in the key, so that a connection
made with one cluster's authority never serves another cluster.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from watcher.clients.registry.calls import Side, authority
from watcher.clients.registry.pace import Lane, Pace, Slot
from watcher.clients.registry.proxies import proxy_for
from watcher.clients.registry.settings import RegistrySettings
from watcher.clients.registry.trust import Trust

MOST_HOSTS = 64
"""Hosts with kept connections and counts. Redirects name hosts too, and anybody's."""


_Key = tuple[str, str, Trust | None]
"""Scheme, host[:port], and what its certificate is checked against."""


@dataclass(slots=True)
class _Pool:
    client: httpx.AsyncClient
    users: int = 0

    def leave(self) -> None:
        self.users -= 1


class _Wire(httpx.AsyncHTTPTransport):
    """httpx lets out a TLS error that comes while it reads: a server's alert, a broken record."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _no_tls_errors():
            answer = await super().handle_async_request(request)
        answer.stream = _Body(answer.stream)
        return answer


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> None:
        assert isinstance(stream, httpx.AsyncByteStream)
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _no_tls_errors():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _no_tls_errors() -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise httpx.ReadError(str(error)) from error


class Pools:
    """Owns every connection; end it with `aclose`."""

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        monotonic: Callable[[], float],
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._environ = environ if settings.use_proxy_environment else {}
        self._pools: dict[_Key, _Pool] = {}
        self._lanes: dict[str, Lane] = {}
        self._contexts: dict[Trust, ssl.SSLContext] = {}

    def lane(self, host: str) -> Lane:
        """What is counted of a host, over all its pools."""
        if host not in self._lanes:
            asked = self._settings
            pace = Pace(asked.requests_per_second, monotonic=self._monotonic)
            self._lanes[host] = Lane(asked.connections, pace)
            idle = [name for name, lane in self._lanes.items() if lane.is_idle]
            for name in idle[: max(len(self._lanes) - MOST_HOSTS, 0)]:
                del self._lanes[name]
        return self._lanes[host]

    async def client(self, url: httpx.URL, trust: Trust | None, slot: Slot) -> httpx.AsyncClient:
        """The pool for a request; it stays open at least until `slot` is given back."""
        key = (url.scheme, authority(url), trust)
        pool = self._pools.pop(key, None) or _Pool(self._opened(url, trust))
        self._pools[key] = pool  # the last used is the last to be closed
        pool.users += 1
        slot.holds(pool.leave)
        # Taken out before any is closed: while one closes, another could be taken into use.
        for closed in [self._pools.pop(one) for one in self._surplus(key)]:
            await closed.client.aclose()
        return pool.client

    def _surplus(self, key: _Key) -> list[_Key]:
        """Unused pools: the oldest beyond the number kept, and those of this host under other
        trusts, since the host counts their idle connections too."""
        unused = [other for other, one in self._pools.items() if not one.users]
        oldest = unused[: max(len(self._pools) - MOST_HOSTS, 0)]
        same_host = [other for other in unused if other != key and other[:2] == key[:2]]
        return list(dict.fromkeys([*oldest, *same_host]))

    def _opened(self, url: httpx.URL, trust: Trust | None) -> httpx.AsyncClient:
        asked = self._settings
        wire = _Wire(
            verify=self._context(trust) if trust else False,
            # The environment is read by `proxy_for`: httpx reads no networks in NO_PROXY.
            trust_env=False,
            proxy=proxy_for(url, self._environ),
            # No waiting in here: the lane counts both sides, and a call has its deadline.
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=len(Side) * asked.connections
            ),
        )
        return httpx.AsyncClient(
            transport=wire,
            follow_redirects=False,
            timeout=httpx.Timeout(asked.read_seconds, connect=asked.connect_seconds, pool=None),
            # Bytes are hashed as they are sent: no encoding may come in between.
            headers={"User-Agent": "relayer", "Accept-Encoding": "identity"},
            # A session cookie would outlive the login it was given for.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def _context(self, trust: Trust) -> ssl.SSLContext:
        if trust not in self._contexts:
            if len(self._contexts) >= MOST_HOSTS:
                self._contexts.clear()
            self._contexts[trust] = trust.context()
        return self._contexts[trust]

    async def aclose(self) -> None:
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.client.aclose()

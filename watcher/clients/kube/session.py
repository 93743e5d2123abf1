"""Both ways to one API server: reading (our own, fast) and changing (`kubernetes.aio`).

Every request passes here once, so here is where answers become errors, where credentials are
renewed after a 401, and where the time limits are. Nothing is repeated except after a renewal:
retries have one place, and it is the caller's.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from watcher.clients.counting import Counted, Outcome, outcome_of, uncounted
from watcher.clients.kube import errors, http1
from watcher.clients.kube.credentials import Access, Credentials
from watcher.clients.kube.errors import Request
from watcher.ports import OutsideError, Refused

T = TypeVar("T")

_RENEW_SECONDS = 30.0
"""Credentials are read again at most this often, however many requests are refused."""
_USER_AGENT = "relayer"
_MAX_ERROR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    connect_seconds: float = 10.0
    """TCP, TLS and proxy. kubectl allows 30; we try again anyway."""
    answer_seconds: float = 60.0
    """The API server itself gives up on a request after 60 s (--request-timeout)."""
    page_bytes: int = 64 * 1024 * 1024
    """500 nodes are 10 MB, 25 of the largest MachineConfigs 40 MB."""


class Session:
    """Requests to one cluster. Use as an async context manager."""

    def __init__(
        self,
        cluster: str,
        *,
        credentials: Credentials,
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        counted: Counted = uncounted,
    ) -> None:
        """`counted` is told of each request, by its verb."""
        self.cluster = cluster
        self._counted = counted
        self.limits = limits or Limits()
        self._credentials = credentials
        self._monotonic = monotonic
        self._renewing = asyncio.Lock()
        self._renewals = 0
        self._renewed_at = -_RENEW_SECONDS
        self._endpoint: tuple[Access, http1.Endpoint] | None = None
        self._api: Any = None
        self._making_api = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Raises Refused when the credentials cannot be used: before the first connection."""
        self._endpoint_for(await self._credentials.current())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._drop_api()

    @property
    def url(self) -> str:
        """The API server's address, for messages."""
        return self._endpoint[0].url if self._endpoint else self.cluster

    async def open(
        self, request: Request, *, path: str, query: Mapping[str, str] | None = None
    ) -> http1.Answer:
        """A 200 whose body is still to be read. Raises OutsideError."""
        with self._counting(request):
            return await self._renewing_once(lambda: self._open(request, path, query or {}))

    async def fetch(
        self, request: Request, *, path: str, query: Mapping[str, str] | None = None
    ) -> bytes:
        """The whole body of a 200. Raises OutsideError."""
        with self._counting(request):
            opened = self._renewing_once(lambda: self._open(request, path, query or {}))
            with await opened as answer:
                return await self._body(request, answer, limit_bytes=self.limits.page_bytes)

    async def change(
        self,
        request: Request,
        *,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        """Send a write through `kubernetes.aio`. Returns the body of a 2xx; raises OutsideError."""
        headers = {"Content-Type": content_type}
        target = _target(path, query or {})
        with self._counting(request):
            return await self._renewing_once(
                lambda: self._change(request, method, target, headers=headers, body=body)
            )

    @contextmanager
    def _counting(self, request: Request) -> Iterator[None]:
        """One request, however often credentials were renewed for it."""
        try:
            yield
        except OutsideError as error:
            is_missing = isinstance(error, errors.NotFound)
            self._counted(request.verb, Outcome.MISSING if is_missing else outcome_of(error))
            raise
        self._counted(request.verb, Outcome.OK)

    async def _open(self, request: Request, path: str, query: Mapping[str, str]) -> http1.Answer:
        access = await self._credentials.current()
        endpoint = self._endpoint_for(access)
        try:
            answer = await http1.get(
                endpoint,
                target=_target(path, query),
                headers=_headers(access),
                connect_seconds=self.limits.connect_seconds,
                answer_seconds=self.limits.answer_seconds,
            )
        except (OSError, TimeoutError) as error:
            raise errors.unreachable(request, error, url=access.url) from error
        if answer.status == 200:
            return answer
        with answer:
            body = await self._body(request, answer, limit_bytes=_MAX_ERROR_BYTES)
        raise errors.from_answer(
            request,
            status=answer.status,
            body=body,
            retry_after=answer.headers.get("retry-after", ""),
        )

    async def _body(self, request: Request, answer: http1.Answer, *, limit_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await answer.body(
                    limit_bytes=limit_bytes, silence_seconds=self.limits.answer_seconds
                )
        except (OSError, TimeoutError) as error:
            raise errors.unreachable(request, error, url=self.url) from error

    async def _change(
        self, request: Request, method: str, target: str, *, headers: dict[str, str], body: object
    ) -> bytes:
        import aiohttp

        access = await self._credentials.current()
        endpoint = self._endpoint_for(access)
        async with self._making_api:  # two first writes at once must not make two
            if self._api is None:
                self._api = await asyncio.to_thread(_api_client, access, endpoint)
            api = self._api
        limits = self.limits
        try:
            answer = await api.call_api(
                method,
                access.url + target,
                header_params={**_headers(access), **headers},
                body=body,
                _request_timeout=aiohttp.ClientTimeout(
                    total=limits.answer_seconds, connect=limits.connect_seconds
                ),
            )
            async with answer.response as raw:
                said = await _bounded(raw.content, limit_bytes=limits.page_bytes)
        except aiohttp.ClientError as error:
            cause = _cause(error)
            raise errors.unreachable(request, cause, url=access.url) from error
        except (OSError, TimeoutError) as error:
            raise errors.unreachable(request, error, url=access.url) from error
        if 200 <= answer.status < 300:
            return said
        raise errors.from_answer(
            request,
            status=answer.status,
            body=said,
            retry_after=answer.headers.get("Retry-After", ""),
        )

    async def _renewing_once(self, attempt: Callable[[], Awaitable[T]]) -> T:
        seen = self._renewals
        try:
            return await attempt()
        except errors.Unauthorized:
            if not await self._renew(seen):
                raise
        return await attempt()

    async def _renew(self, seen: int) -> bool:
        """True when the credentials are others than those of the attempt that saw `seen`."""
        async with self._renewing:
            if self._renewals != seen:
                return True
            if self._monotonic() - self._renewed_at < _RENEW_SECONDS:
                return False
            self._renewed_at = self._monotonic()
            if not await self._credentials.renew():
                return False
            self._renewals += 1
            # A client certificate is loaded once per TLS context.
            self._endpoint = None
            await self._drop_api()
            return True

    def _endpoint_for(self, access: Access) -> http1.Endpoint:
        if self._endpoint is None or self._endpoint[0] != access:
            self._endpoint = (access, _endpoint(access))
        return self._endpoint[1]

    async def _drop_api(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()


def _endpoint(access: Access) -> http1.Endpoint:
    """Raises Refused for an URL, a CA or a client certificate that cannot be used."""
    parts = urlsplit(access.url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and access.authorization and not local:
        raise Refused(f"{access.url}: a token is not sent over plain http; use the https URL")
    proxy = access.proxy or _environment_proxy(access.url)
    if proxy and not proxy.startswith("http://"):
        raise Refused(f"the proxy for {access.url} must be reached over http://")
    try:
        return http1.Endpoint(
            url=access.url,
            tls=_tls(access) if parts.scheme == "https" else None,
            server_name=access.server_name,
            proxy=proxy,
        )
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"TLS for {access.url}: CA or client certificate unusable: {error}"
        ) from error
    except ValueError as error:
        raise Refused(f"the API server's URL {errors.clean(access.url)!r}: {error}") from error


def _tls(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca_file or None)
    if access.cert_file:
        context.load_cert_chain(access.cert_file, keyfile=access.key_file or None)
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _environment_proxy(url: str) -> str:
    """HTTPS_PROXY and NO_PROXY, as every tool reads them."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    # Late: it brings the whole of urllib and http.client.
    from urllib import request

    parts = urlsplit(url)
    if request.proxy_bypass_environment(parts.netloc):  # type: ignore[attr-defined]
        return ""
    return request.getproxies_environment().get(parts.scheme, "")


def _api_client(access: Access, endpoint: http1.Endpoint) -> Any:
    from kubernetes.aio import client

    configuration = client.Configuration(host=access.url, proxy=endpoint.proxy or None)
    configuration.ssl_ca_cert = access.ca_file or None
    configuration.cert_file = access.cert_file or None
    configuration.key_file = access.key_file or None
    configuration.verify_ssl = access.verify
    configuration.tls_server_name = access.server_name or None
    return client.ApiClient(configuration)


def _headers(access: Access) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": _USER_AGENT}
    if access.authorization:
        if not (access.authorization.isascii() and access.authorization.isprintable()):
            raise Refused(f"the token for {access.url} holds a line break or worse; write it anew")
        headers["Authorization"] = access.authorization
    return headers


def _target(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


async def _bounded(content: Any, *, limit_bytes: int) -> bytes:
    parts = bytearray()
    async for block in content.iter_any():
        parts += block
        if len(parts) > limit_bytes:
            raise http1.BrokenAnswer(f"an answer of more than {limit_bytes} bytes")
    return bytes(parts)


def _cause(error: Exception) -> Exception:
    """What lies below an aiohttp error: a DNS, TLS or socket error of Python's own."""
    below = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return below if isinstance(below, Exception) else error

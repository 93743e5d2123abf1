"""GET over HTTP/1.1 for lists and watches, and nothing else.

Why not the HTTP client of `kubernetes.aio`: a watch sends each event in a chunk of its own, and
aiohttp's bookkeeping per chunk costs more than decoding the event (40,000 events/s with a decoder
that does nothing; `bench/watch_decoding.py`). Here a whole read is unchunked in one loop. What
makes this small is what it leaves out: one request per connection, no redirects (the API server
sends none for these), no compression, no cookies, no upload. TLS is Python's own `ssl`.
"""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

_MAX_HEAD_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024
"""What asyncio receives at once; more would only cost memory."""
_MAX_CHUNK_LINE = 1024
_SHORT_LINE = 8
"""Of a size without anything behind it."""


class BrokenAnswer(ConnectionError):
    """The other side does not speak HTTP/1.1, or stopped in the middle of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server is and how to reach it."""

    url: str
    """scheme://host[:port][/prefix], no query."""
    tls: ssl.SSLContext | None = None
    """Required for https."""
    server_name: str = ""
    """The name in the certificate, where it is not the host of the URL."""
    proxy: str = ""
    """http://[user:password@]host:port; empty for none."""
    host: str = field(init=False)
    port: int = field(init=False)
    prefix: str = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http(s)://host[:port]")
        secure = parts.scheme == "https"
        object.__setattr__(self, "host", parts.hostname)
        object.__setattr__(self, "port", parts.port or (443 if secure else 80))
        object.__setattr__(self, "prefix", parts.path.rstrip("/"))

    @property
    def secure(self) -> bool:
        return self.url.startswith("https:")

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(slots=True)
class Answer:
    """A status, its headers (names in lower case), and a body still to be read.

    Use as a context manager: leaving it closes the connection, at whatever point the body is.
    """

    status: int
    headers: Mapping[str, str]
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()

    async def blocks(self, *, silence_seconds: float) -> AsyncGenerator[bytes, None]:
        """The body, in whatever pieces arrive. Raises TimeoutError when nothing came for
        `silence_seconds`, BrokenAnswer when the connection ends before the body does."""
        chunks = (
            _Chunks() if self.headers.get("transfer-encoding", "").lower() == "chunked" else None
        )
        left = int(self.headers.get("content-length", "0" if chunks else "-1"))
        while left != 0 or chunks:
            async with asyncio.timeout(silence_seconds):
                data = await self._reader.read(_READ_BYTES)
            if not data:
                if left < 0:  # neither chunked nor with a length: the end is the end
                    return
                raise BrokenAnswer("the connection was cut in the middle of an answer")
            if chunks:
                data = chunks.feed(data)
            elif left > 0:
                data = data[:left]
                left -= len(data)
            if data:
                yield data
            if chunks and chunks.ended:
                return

    async def body(self, *, limit_bytes: int, silence_seconds: float) -> bytes:
        """The whole body. Raises BrokenAnswer when it is larger than `limit_bytes`."""
        parts: list[bytes] = []
        size = 0
        async with contextlib.aclosing(self.blocks(silence_seconds=silence_seconds)) as blocks:
            async for block in blocks:
                size += len(block)
                if size > limit_bytes:
                    raise BrokenAnswer(f"an answer of more than {limit_bytes} bytes")
                parts.append(block)
        return b"".join(parts)


async def get(
    endpoint: Endpoint,
    *,
    target: str,
    headers: Mapping[str, str],
    connect_seconds: float,
    answer_seconds: float,
) -> Answer:
    """Ask for `target` (path and query, below the endpoint's prefix).

    Raises OSError (its subclasses of ssl and DNS too) when the server cannot be reached,
    TimeoutError when connecting or the head of the answer takes longer than allowed, and
    BrokenAnswer when the answer is no HTTP.
    """
    async with asyncio.timeout(connect_seconds):
        reader, writer = await _connect(endpoint)
    try:
        path = endpoint.prefix + target
        via_proxy = endpoint.proxy and not endpoint.secure
        lines = [f"GET {endpoint.url.rstrip('/') + target if via_proxy else path} HTTP/1.1"]
        lines.append(f"Host: {endpoint.authority}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if via_proxy:
            lines += _proxy_credentials(endpoint.proxy)
        _send(writer, [*lines, "Connection: close"])
        async with asyncio.timeout(answer_seconds):
            status, answered = await _head(reader)
    except BaseException:
        writer.transport.abort()
        raise
    return Answer(status, answered, reader, writer)


class _Chunks:
    """Takes a chunked body apart. Sizes, data and line ends may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""
        self._wanted = 0
        """Bytes of the present chunk still to come, with the line end after it."""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`. Raises BrokenAnswer where a chunk's size is none."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        found: list[memoryview] = []
        at, size, wanted, view = 0, len(data), self._wanted, memoryview(data)
        while at < size:
            if wanted:
                # The last two bytes wanted are the chunk's CR LF.
                end = at + wanted
                if wanted > 2:
                    found.append(view[at : end - 2])
                wanted = max(0, end - size)
                at = end
                continue
            stop = data.find(b"\r\n", at)
            if stop < 0:
                self._rest = data[at:]
                if len(self._rest) > _MAX_CHUNK_LINE:
                    raise BrokenAnswer("a chunk without a size")
                break
            line = data[at:stop]
            length = _seen_size(line) if len(line) <= _SHORT_LINE else _chunk_size(line)
            at = stop + 2
            if length == 0:
                self.ended = True
                break
            wanted = length + 2
        self._wanted = wanted
        return b"".join(found)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    # int() alone would take a sign, underscores and 0x.
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        raise BrokenAnswer("a chunk without a size")
    return int(digits, 16)


_seen_size = lru_cache(maxsize=1024)(_chunk_size)
"""Events of one kind are of few sizes, and each comes in a chunk of its own."""


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    name = endpoint.server_name or endpoint.host
    if not endpoint.proxy:
        if not endpoint.secure:
            return await asyncio.open_connection(
                endpoint.host, endpoint.port, limit=_MAX_HEAD_BYTES
            )
        return await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            limit=_MAX_HEAD_BYTES,
            ssl=endpoint.tls,
            server_hostname=name,
        )
    proxy = urlsplit(endpoint.proxy)
    reader, writer = await asyncio.open_connection(
        proxy.hostname, proxy.port or 80, limit=_MAX_HEAD_BYTES
    )
    if endpoint.secure:
        try:
            await _tunnel(endpoint, reader, writer)
            assert endpoint.tls is not None
            await writer.start_tls(endpoint.tls, server_hostname=name)
        except BaseException:
            writer.transport.abort()
            raise
    return reader, writer


async def _tunnel(
    endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    ask = f"CONNECT {endpoint.authority} HTTP/1.1"
    host = f"Host: {endpoint.authority}"
    _send(writer, [ask, host, *_proxy_credentials(endpoint.proxy)])
    status, _ = await _head(reader)
    if status != 200:
        raise BrokenAnswer(f"the proxy answered CONNECT with {status}")


def _proxy_credentials(proxy: str) -> list[str]:
    parts = urlsplit(proxy)
    if not parts.username:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}"]


def _send(writer: asyncio.StreamWriter, lines: list[str]) -> None:
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a request's head")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise BrokenAnswer("the connection was cut before an answer came") from error
    except asyncio.LimitOverrunError as error:
        raise BrokenAnswer(f"a head of more than {_MAX_HEAD_BYTES} bytes") from error
    first, *lines = raw.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BrokenAnswer("the answer is no HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BrokenAnswer("a content-length that is no number")
    return int(rest[:3]), headers

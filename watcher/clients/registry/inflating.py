"""A layer inflated as it comes, a bounded piece at a time: gzip, zstd, or neither.

A layer is recognised by its first bytes, as other readers do: its media type is not reliable.
"""

import sys
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from watcher.clients.registry.errors import BadContent, TooLarge, clean

_GZIP, _ZSTD, _SKIPPABLE = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_PIECE = 256 * 1024
"""Inflated bytes held at a time."""
_WINDOW_LOG = 27
"""A zstd stream may ask for 128 MiB of memory, which is what `zstd -d` allows by default."""


class _Stream(Protocol):
    """What `Inflating` needs of a kind of compression."""

    @property
    def eof(self) -> bool: ...

    def pieces(self, chunk: bytes) -> Iterator[bytes]: ...


class Inflating:
    """Inflates chunks that are fed in; gives pieces of 256 KiB at most."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        """Bytes inflated, in all."""
        self._inflated = 0
        self._begin = b""
        self._stream: _Stream | None = None

    @property
    def is_within_stream(self) -> bool:
        """Whether a compressed stream has begun and not come to its end."""
        return self._stream is not None and not self._stream.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Inflate the next bytes of the layer; raise BadContent or TooLarge."""
        if self._stream is None:
            self._begin += chunk
            if len(self._begin) < len(_ZSTD):
                return
            chunk, self._begin = self._begin, b""
            self._stream = _recognised(chunk)
        for piece in self._stream.pieces(chunk):
            self._inflated += len(piece)
            if self._inflated > self._limit:
                raise TooLarge(f"inflates to more than the limit of {self._limit} bytes")
            yield piece


def _recognised(start: bytes) -> _Stream:
    if start.startswith(_GZIP):
        return _Gzip()
    # zstd:chunked, and others, begin with a frame to be skipped: 0x184D2A50 to 5F, little endian.
    if start.startswith(_ZSTD) or (start[0] & 0xF0 == 0x50 and start[1:4] == _SKIPPABLE):
        return _Zstd()
    return _Plain()


class _Plain:
    eof = True

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk


class _Gzip:
    def __init__(self) -> None:
        self._one = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._one.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._one.eof:  # a gzip file may have several members
                self._one = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                yield self._one.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise BadContent(f"malformed gzip: {clean(error)}") from error
            chunk = self._one.unused_data or self._one.unconsumed_tail


class _Zstd:
    def __init__(self) -> None:
        self._library = _library()
        self._one = self._frame()

    @property
    def eof(self) -> bool:
        return bool(self._one.eof)

    def _frame(self) -> Any:
        options = {self._library.DecompressionParameter.window_log_max: _WINDOW_LOG}
        return self._library.ZstdDecompressor(options=options)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while True:
            if self._one.eof:  # a zstd file may have several frames
                if not chunk:
                    return
                self._one = self._frame()
            try:
                yield self._one.decompress(chunk, _PIECE)
            except self._library.ZstdError as error:
                raise BadContent(f"malformed zstd: {clean(error)}") from error
            chunk = self._one.unused_data if self._one.eof else b""
            if not self._one.eof and self._one.needs_input:
                return


def _library() -> Any:
    """The standard library's module where Python has it, else its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd

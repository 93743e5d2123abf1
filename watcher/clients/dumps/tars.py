"""The entries of a tar archive, one after another as its bytes come; nothing is written to disk.

POSIX ustar, with GNU's long names and pax records of path, size and time on top. The standard
`tarfile` keeps every entry it has seen, and a must-gather has a hundred thousand.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from watcher.clients.registry.errors import BadContent, TooLarge
from watcher.clients.registry.tar_blocks import (
    BLOCK,
    FILE_TYPES,
    LONGEST_NAME,
    WITHOUT_CONTENT,
    check_sum,
    number,
    padded,
    short_name,
    text,
)

_MAGIC = slice(257, 262)
_RECORD = re.compile(rb"(\d{1,6}) ([^=]{1,200})=")


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file. Its content is read before the next entry is asked for, or not at all."""

    parts: tuple[str, ...]
    written: float | None
    """Seconds since 1970; None: not said."""
    content: Iterator[bytes]


def is_tar(start: bytes) -> bool:
    """Whether bytes that begin so are a tar archive; every writer of today leaves this mark."""
    return start[_MAGIC] == b"ustar"


def entries(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """Give the regular files of an archive. Raise BadContent where it is none, or ends early."""
    source = _Bytes(chunks)
    long: dict[str, str] = {}
    while any(header := source.read(BLOCK, at_end=b"\0")):
        check_sum(header)
        kind, size = header[156], number(header[124:136])
        if kind in b"Lx":
            long |= _long(kind, source.read(padded(_bounded(size)))[:size])
            continue
        if kind in b"gK":
            source.skip(padded(size))
            continue
        size = _bounded_size(long.get("size"), size)
        size = 0 if kind in WITHOUT_CONTENT else size
        parts = _parts(long.get("path") or short_name(header))
        if kind in FILE_TYPES and parts:
            written = _time(long.get("mtime"), header)
            content = source.portion(size)
            yield Entry(parts, written, content)
            for _ in content:  # what nobody read
                pass
        else:
            source.skip(size)
        source.skip(padded(size) - size)
        long = {}


class _Bytes:
    """Chunks as a stream of which so and so many bytes are taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0

    def read(self, amount: int, *, at_end: bytes | None = None) -> bytes:
        """So many bytes; `at_end` where nothing is left at all, if that is allowed."""
        found = b"".join(self.portion(amount, short=True))
        if len(found) < amount:
            if at_end is not None and not found:
                return at_end
            raise BadContent("the archive ends within an entry")
        return found

    def portion(self, amount: int, *, short: bool = False) -> Iterator[bytes]:
        while amount:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    if short:
                        return
                    raise BadContent("the archive ends within an entry")
            taken = self._chunk[self._at : self._at + amount]
            self._at += len(taken)
            amount -= len(taken)
            yield taken

    def skip(self, amount: int) -> None:
        for _ in self.portion(amount):
            pass


def _long(kind: int, content: bytes) -> dict[str, str]:
    if kind == ord("L"):
        return {"path": text(content)}
    found, at = {}, 0
    while at < len(content) and content[at]:
        record = _RECORD.match(content, at)
        end = at + int(record.group(1)) if record else 0
        if record is None or not record.end() < end <= len(content):
            raise BadContent("the archive has a malformed pax header")
        found[text(record.group(2))] = text(content[record.end() : end - 1])
        at = end
    return found


def _parts(name: str) -> tuple[str, ...]:
    """Empty for a path that leaves the archive: nothing of ours is there."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    return () if ".." in parts else parts


def _bounded(size: int) -> int:
    if size > LONGEST_NAME:
        raise TooLarge(f"the archive has a name longer than the limit of {LONGEST_NAME} bytes")
    return size


def _bounded_size(said: str | None, size: int) -> int:
    if said is None:
        return size
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise BadContent("the archive has an entry of a malformed size")
    return int(said)


def _time(said: str | None, header: bytes) -> float | None:
    try:
        seconds = float(said) if said else float(number(header[136:148]))
    except (ValueError, BadContent):
        return None
    return seconds if seconds > 0 else None

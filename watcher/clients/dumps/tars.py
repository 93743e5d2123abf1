"""The entries of a tar archive, one after another as its bytes come; nothing is written to disk.

POSIX ustar, with GNU's long names and pax records of path, size and time on top. The standard
`tarfile` keeps every entry it has seen, and a must-gather has a hundred thousand.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from watcher.clients.registry.errors import BadContent, TooLarge

_BLOCK = 512
_MAGIC = slice(257, 262)
_LONGEST_NAME = 64 * 1024
"""Bytes of a long name or a pax header; a path is at most 4 KiB on Linux."""
_FILE_TYPES = frozenset(b"0\x007")
_WITHOUT_CONTENT = frozenset(b"123456")
"""Links, devices, directories, FIFOs: no content follows, whatever size is said."""
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
    while any(header := source.read(_BLOCK, at_end=b"\0")):
        _check_sum(header)
        kind, size = header[156], _number(header[124:136])
        if kind in b"Lx":
            long |= _long(kind, source.read(_padded(_bounded(size)))[:size])
            continue
        if kind in b"gK":
            source.skip(_padded(size))
            continue
        size = _bounded_size(long.get("size"), size)
        size = 0 if kind in _WITHOUT_CONTENT else size
        parts = _parts(long.get("path") or _short_name(header))
        if kind in _FILE_TYPES and parts:
            written = _time(long.get("mtime"), header)
            content = source.portion(size)
            yield Entry(parts, written, content)
            for _ in content:  # what nobody read
                pass
        else:
            source.skip(size)
        source.skip(_padded(size) - size)
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
        return {"path": _text(content)}
    found, at = {}, 0
    while at < len(content) and content[at]:
        record = _RECORD.match(content, at)
        end = at + int(record.group(1)) if record else 0
        if record is None or not record.end() < end <= len(content):
            raise BadContent("the archive has a malformed pax header")
        found[_text(record.group(2))] = _text(content[record.end() : end - 1])
        at = end
    return found


def _parts(name: str) -> tuple[str, ...]:
    """Empty for a path that leaves the archive: nothing of ours is there."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    return () if ".." in parts else parts


def _bounded(size: int) -> int:
    if size > _LONGEST_NAME:
        raise TooLarge(f"the archive has a name longer than the limit of {_LONGEST_NAME} bytes")
    return size


def _bounded_size(said: str | None, size: int) -> int:
    if said is None:
        return size
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise BadContent("the archive has an entry of a malformed size")
    return int(said)


def _time(said: str | None, header: bytes) -> float | None:
    try:
        seconds = float(said) if said else float(_number(header[136:148]))
    except (ValueError, BadContent):
        return None
    return seconds if seconds > 0 else None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _check_sum(block: bytes) -> None:
    """The sum of all bytes with the field itself as blanks; ustar's only check."""
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != _number(block[148:156]):
        raise BadContent("the archive has a header with a wrong checksum")


def _number(field: bytes) -> int:
    """An octal number, or GNU's base-256 form with the high bit set; never negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    text = field.split(b"\0", 1)[0].strip()
    if not text or text.strip(b"01234567"):
        raise BadContent("the archive has a header with a malformed number")
    return int(text, 8)


def _short_name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")

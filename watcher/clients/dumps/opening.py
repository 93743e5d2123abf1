"""Files, directories and archives, down to the text of what can matter. Nothing is unpacked.

Symbolic links are followed only where they were given, so that no dump leads out of itself.
"""

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from watcher.clients.dumps import places, tars
from watcher.clients.dumps.json_text import json_pieces
from watcher.clients.dumps.limits import Budget, Spent
from watcher.clients.dumps.objects import File, take
from watcher.clients.dumps.pieces import Unreadable
from watcher.clients.dumps.places import Parts
from watcher.clients.dumps.yaml_text import yaml_pieces
from watcher.clients.registry.errors import BadContent, TooLarge, clean
from watcher.clients.registry.inflating import Inflating

_CHUNK = 256 * 1024
_START = 512
"""What a file is says its beginning: a tar archive at byte 257."""
_BOM = b"\xef\xbb\xbf"
_INFLATED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_NOT_READ = (
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"BZh", "compressed with bzip2"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xff\xfe", "UTF-16, not UTF-8"),
    (b"\xfe\xff", "UTF-16, not UTF-8"),
)
_SHOWN = 300
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? ([+-]\d{4}) ")
"""As Go prints a time.Time; what `timestamp` files have (oc pkg/cli/admin/mustgather)."""


@dataclass(slots=True)
class Read:
    """What was given, read."""

    files: list[File] = field(default_factory=list)
    """Those that said something."""
    ignored: int = 0
    """Objects that did not."""
    spent: str = ""
    """Which limit ended the reading; empty: none, all was read."""


def read_files(paths: Iterable[Path], *, budget: Budget) -> Read:
    """Read what was given, until a limit of the whole reading. Raise nothing."""
    reading = _Reading(budget)
    try:
        for path in paths:
            reading.given(path)
    except Spent as spent:
        reading.keep()
        reading.read.spent = f"{spent}; the rest is left out"
    return reading.read


class _Reading:
    def __init__(self, budget: Budget) -> None:
        self.read = Read()
        self.file = File((), (), "")
        """The one that is read now."""
        self._budget = budget
        self._limit = budget.limits.problems

    def given(self, path: Path) -> None:
        """A path that somebody named: read whatever its name."""
        parts = Path(os.path.abspath(path)).parts
        self._begin(parts, parts[:-1], str(path))
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                self._walk(path, parts)
            else:
                self._path(path, parts, parts[:-1])
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            self.file.tell(_said(error), limit=self._limit)
        self.keep()

    def keep(self) -> None:
        """End the file that is read now; forget it if it said nothing."""
        file, self.file = self.file, File((), (), "")
        self.read.ignored += file.ignored
        if file.found or file.problems or file.gathered:
            self.read.files.append(file)

    def _begin(self, parts: Parts, root: Parts, shown: str) -> None:
        self.keep()
        self.file = File(parts, root, clean(shown, limit=_SHOWN))

    def _walk(self, top: Path, root: Parts) -> None:
        """In the order of names: the later of two equals counts."""
        waiting = [(top, root)]
        while waiting:
            directory, parts = waiting.pop()
            try:
                with os.scandir(directory) as listed:
                    found = sorted(listed, key=lambda entry: entry.name)
            except OSError as error:
                self._begin(parts, root, str(directory))
                self.file.tell(_said(error), limit=self._limit)
                continue
            deeper = []
            for entry in found:
                self._budget.spend_entry()
                here = (*parts, entry.name)
                if entry.is_dir(follow_symlinks=False) and places.may_hold(here):
                    deeper.append((Path(entry.path), here))
                elif entry.is_file(follow_symlinks=False) and places.is_wanted(here):
                    self._path(Path(entry.path), here, root)
            waiting += reversed(deeper)

    def _path(self, path: Path, parts: Parts, root: Parts) -> None:
        self._begin(parts, root, str(path))
        try:
            with path.open("rb") as file:
                written = os.fstat(file.fileno())
                if stat.S_ISREG(written.st_mode):
                    self.file.written = _moment(written.st_mtime)
                self._content(iter(lambda: file.read(_CHUNK), b""))
        except OSError as error:
            self.file.tell(_said(error), limit=self._limit)

    def _content(self, chunks: Iterator[bytes], *, archived: bool = False) -> None:
        """A file's bytes, whatever they are."""
        try:
            start, chunks = _peeked(chunks if archived else self._counted(chunks))
            if start.startswith(_INFLATED):
                start, chunks = _peeked(self._counted(_inflated(chunks)))
            if not tars.is_tar(start):
                self._text(start, self._bounded(chunks))
            elif archived:
                self.file.tell("an archive within an archive is not read", limit=self._limit)
            else:
                self._archive(chunks)
        except (BadContent, TooLarge) as error:
            self.file.tell(f"{error}; the rest is left out", limit=self._limit)
        except Unreadable as error:
            self.file.tell(clean(error), line=error.line, limit=self._limit)

    def _archive(self, chunks: Iterator[bytes]) -> None:
        archive = self.file
        given = archive.root == archive.parts[:-1]
        root = archive.parts if given else archive.root
        for entry in tars.entries(chunks):
            self._budget.spend_entry()
            parts = (*archive.parts, *entry.parts)
            if places.is_wanted(parts):
                self._begin(parts, root, f"{archive.shown}/{'/'.join(entry.parts)}")
                self.file.written = None if entry.written is None else _moment(entry.written)
                self._content(entry.content, archived=True)

    def _text(self, start: bytes, chunks: Iterator[bytes]) -> None:
        for magic, what in _NOT_READ:
            if start.startswith(magic):
                raise Unreadable(f"{what}: it is not read; convert it first")
        if self.file.parts[-1] == places.TIMESTAMP:
            self.file.gathered = _go_time(start)
            return
        begins = start.removeprefix(_BOM).lstrip()
        text, limits = _without_bom(chunks), self._budget.limits
        if begins.startswith((b"{", b"[")):
            take(json_pieces(text, limits=limits), into=self.file, budget=self._budget)
        else:
            take(yaml_pieces(text, limits=limits), into=self.file, budget=self._budget)

    def _counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._budget.spend_bytes(len(chunk))
            yield chunk

    def _bounded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        left = limit = self._budget.limits.file_bytes
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                raise TooLarge(f"larger than the limit of {limit} bytes")
            yield chunk


def _peeked(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and everything again."""
    start = b""
    for chunk in chunks:
        start += chunk
        if len(start) >= _START:
            break
    return start[:_START], chain([start] if start else [], chunks)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflating = Inflating(sys.maxsize)  # who reads it counts it
    for chunk in chunks:
        # Small bites: what is left of one is copied for each piece that comes out of it.
        for at in range(0, len(chunk), 16 * 1024):
            yield from inflating.feed(chunk[at : at + 16 * 1024])
    if inflating.is_within_stream:
        raise BadContent("it ends within its compressed stream")


def _without_bom(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first:
        yield first.removeprefix(_BOM)
    yield from chunks


def _go_time(text: bytes) -> datetime | None:
    """The latest moment in a `timestamp` file."""
    moments = []
    for found in _GO_TIME.finditer(text.decode("utf-8", "replace")):
        try:
            moments.append(datetime.strptime(" ".join(found.groups()), "%Y-%m-%d %H:%M:%S %z"))
        except ValueError:
            continue
    return max(moments, default=None)


def _moment(seconds: float) -> datetime | None:
    """None for what no clock that runs has said."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or "cannot be read"

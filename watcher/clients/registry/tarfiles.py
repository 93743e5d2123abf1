"""A few named files out of a tar stream that is fed in pieces.

The standard `tarfile` wants to pull from a file object; here the bytes are pushed by the network
while they are hashed, and nothing but the wanted files may be held. So this walks the headers by
itself: POSIX ustar, with the GNU long name and the pax path and size records on top.
"""

from collections.abc import Callable

from watcher.clients.registry.errors import BadContent, TooLarge, clean
from watcher.clients.registry.settings import Limits
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


class TarFiles:
    """Collects the wanted regular files; `found` maps their names to their contents."""

    def __init__(self, wanted: frozenset[str], *, limits: Limits) -> None:
        self.found: dict[str, bytes] = {}
        self.ended = False
        self._wanted = wanted
        self._limits = limits
        self._entries = 0
        self._skip = 0
        self._need = BLOCK
        self._then: Callable[[bytes], None] = self._header
        self._buffer = bytearray()
        self._name: str | None = None
        self._size: int | None = None

    @property
    def complete(self) -> bool:
        return len(self.found) == len(self._wanted)

    @property
    def wants_more(self) -> bool:
        return not (self.complete or self.ended)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the archive; raise BadContent or TooLarge."""
        at = 0
        while at < len(data) and self.wants_more:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
            else:
                step = min(self._need - len(self._buffer), len(data) - at)
                self._buffer += data[at : at + step]
                self._next_block()
            at += step

    def close(self) -> None:
        """Say that no more bytes come; raise BadContent when the archive is not at an end."""
        between_entries = self._then == self._header and not self._buffer and not self._skip
        if self.wants_more and not between_entries:
            raise BadContent("the archive ends within an entry")

    def _next_block(self) -> None:
        if len(self._buffer) < self._need:
            return
        block = bytes(self._buffer)
        self._buffer.clear()
        self._then(block)

    def _header(self, block: bytes) -> None:
        if not any(block):
            self.ended = True
            return
        check_sum(block)
        self._entries += 1
        if self._entries > self._limits.payload_entries:
            raise TooLarge(f"the archive has more than {self._limits.payload_entries} entries")
        kind, size = block[156], number(block[124:136])
        if kind in b"Lx":
            self._collect(size, self._long_name if kind == ord("L") else self._pax, LONGEST_NAME)
        elif kind in b"gK":
            self._pass_over(size)  # global headers and long link targets do not matter here
        else:
            self._entry(block, kind, size)

    def _entry(self, block: bytes, kind: int, size: int) -> None:
        name = self._name if self._name is not None else short_name(block)
        size = self._size if self._size is not None else size
        size = 0 if kind in WITHOUT_CONTENT else size
        self._name = self._size = None
        name = name.removeprefix("./").lstrip("/")
        if name not in self._wanted:
            self._pass_over(size)
            return
        if kind not in FILE_TYPES:
            raise BadContent(f"{name} is not a regular file")
        if name in self.found:
            raise BadContent(f"{name} is there twice")

        def keep(content: bytes) -> None:
            self.found[name] = content[:size]
            self._expect_header()

        self._collect(size, keep, self._limits.payload_file)

    def _collect(self, size: int, then: Callable[[bytes], None], limit: int) -> None:
        """Read `size` bytes and their padding into memory, then call `then`."""
        if size > limit:
            raise TooLarge(f"an entry of {size} bytes, larger than the file limit of {limit}")
        self._need, self._then = padded(size), then
        if not size:
            then(b"")

    def _pass_over(self, size: int) -> None:
        self._skip = padded(size)
        self._expect_header()

    def _expect_header(self) -> None:
        self._need, self._then = BLOCK, self._header

    def _long_name(self, block: bytes) -> None:
        self._name = text(block)
        self._expect_header()

    def _pax(self, block: bytes) -> None:
        for key, value in _records(block):
            if key == "path":
                self._name = value
            elif key == "size":
                if not (value.isascii() and value.isdigit() and len(value) < 20):
                    raise BadContent(f"the archive has an entry of size {clean(value)}")
                self._size = int(value)
        self._expect_header()


def _records(block: bytes) -> list[tuple[str, str]]:
    """Pax records, ``length key=value\\n``; the length counts itself."""
    found, at = [], 0
    while at < len(block) and block[at]:
        head, blank, _ = block[at : at + 20].partition(b" ")
        if not blank or not head.isdigit() or int(head) <= len(head) + 1:
            raise BadContent("the archive has a malformed pax header")
        record = block[at + len(head) + 1 : at + int(head)]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise BadContent("the archive has a malformed pax header")
        found.append((key.decode("utf-8", "replace"), value[:-1].decode("utf-8", "replace")))
        at += int(head)
    return found

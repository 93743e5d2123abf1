"""JSON as `oc` writes it, cut into objects as it comes: one object, lists, or one after another.

A list of thousands is never held as a whole: its items are cut out by counting braces, and each is
decoded for itself, which also says whether it was JSON at all.
"""

import re
from collections.abc import Iterable, Iterator

from watcher.clients.dumps.limits import Limits
from watcher.clients.dumps.pieces import JsonPiece, Unreadable

_BRACE = re.compile(rb"[{}]")
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.S)
"""From behind a string's first quote to its end. Possessive: nothing is tried twice."""
_ITEMS = re.compile(rb'"items"\s*:\s*\[\s*\Z')
_BETWEEN = re.compile(rb"[\s,\[\]\x1e]*")
"""Between values that stand for themselves: nothing, lines, an array's commas, or RFC 7464."""
_ITEM_DEPTH = 2
"""Of a list's items; deeper braces matter to nobody here."""
_LIST_KIND = re.compile(rb'"kind"\s*:\s*"([A-Za-z0-9]+)List"')


def json_pieces(chunks: Iterable[bytes], *, limits: Limits) -> Iterator[JsonPiece | Unreadable]:
    """Give every object of every list and value, in order; Unreadable where one is too large.

    Raise Unreadable where the text ends within an object, or goes on with no object.
    """
    splitter = _Splitter(limits)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.close()


class _Splitter:
    def __init__(self, limits: Limits) -> None:
        self._limit = limits.object_bytes
        self._text = b""
        self._base = 0
        """Where in `_text` begins what was not given yet: an open object, or a list's rest."""
        self._line = 1
        """Of `_base`."""
        self._at = 0
        """Up to here braces are counted."""
        self._gap_at = 0
        """Behind the last brace, at the depths where that matters."""
        self._depth = 0
        self._began = 0
        """Where the item begins that is open."""
        self._items = False
        """The braces of depth 2 are items of a list."""
        self._is_list = False
        self._kind = ""
        """Of the list's items, where it said so before them."""

    def feed(self, chunk: bytes) -> Iterator[JsonPiece | Unreadable]:
        self._text = self._text[self._base :] + chunk
        self._at -= self._base
        self._began -= self._base
        self._gap_at -= self._base
        self._base = 0
        while self._at < len(self._text):
            quote = self._text.find(b'"', self._at)
            after = _string_end(self._text, quote) if quote >= 0 else len(self._text)
            yield from self._braces(self._at, quote if quote >= 0 else after)
            if after < 0:
                self._at = quote
                break
            self._at = after
        if len(self._text) - self._base > self._limit:
            raise Unreadable(
                f"an object is larger than the limit of {self._limit} bytes; the rest of the file"
                " is left out",
                line=self._line,
            )

    def close(self) -> Iterator[JsonPiece | Unreadable]:
        """Say that no more comes."""
        if self._depth:
            raise Unreadable("it ends within an object", line=self._line)
        self._check_gap(self._text[self._base :])
        yield from ()

    def _braces(self, begin: int, end: int) -> Iterator[JsonPiece | Unreadable]:
        """What stands between two strings."""
        closing = self._text.count(b"}", begin, end)
        if self._depth - closing >= _ITEM_DEPTH:
            self._depth += self._text.count(b"{", begin, end) - closing
            return
        for found in _BRACE.finditer(self._text, begin, end):
            self._at = found.end()
            if found.group() == b"{":
                self._opened()
            elif self._depth == 0:
                raise Unreadable("not valid JSON", line=self._line_at(self._at))
            else:
                yield from self._closed()
            self._gap_at = self._at

    def _opened(self) -> None:
        gap = self._text[self._gap_at : self._at - 1]
        if self._depth == 0:
            self._check_gap(gap)
            self._drop(self._at - 1)
        elif self._depth == 1:
            begins = _ITEMS.search(gap) is not None
            if begins and not self._is_list:
                self._is_list = True
                said = _LIST_KIND.search(self._text, self._base, self._at)
                self._kind = said.group(1).decode() if said else ""
            self._items = begins or (self._items and not gap.strip(b" \t\r\n,"))
            self._began = self._at - 1
        self._depth += 1

    def _closed(self) -> Iterator[JsonPiece | Unreadable]:
        self._depth -= 1
        if self._depth == 1 and self._items:
            yield self._piece(self._began)
            self._drop(self._at)
        elif self._depth == 0:
            if not self._is_list:
                yield self._piece(self._base)
            self._drop(self._at)
            self._items = self._is_list = False
            self._kind = ""

    def _piece(self, began: int) -> JsonPiece | Unreadable:
        line = self._line_at(began)
        if self._at - began > self._limit:
            return Unreadable(f"larger than the limit of {self._limit} bytes", line=line)
        return JsonPiece(line, self._text[began : self._at], self._kind)

    def _check_gap(self, gap: bytes) -> None:
        if not _BETWEEN.fullmatch(gap):
            raise Unreadable("not an object, or not JSON", line=self._line)

    def _line_at(self, at: int) -> int:
        return self._line + self._text.count(b"\n", self._base, at)

    def _drop(self, upto: int) -> None:
        self._line = self._line_at(upto)
        self._base = upto


def _string_end(text: bytes, quote: int) -> int:
    """Behind the string that begins at `quote`; -1 where its end has not come yet."""
    end = text.find(b'"', quote + 1)
    if end > 0 and text[end - 1 : end] == b"\\":
        found = _STRING.match(text, quote + 1)
        return found.end() if found else -1
    return end + 1 if end > 0 else -1

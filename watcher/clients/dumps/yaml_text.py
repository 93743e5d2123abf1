"""YAML as `oc` writes it, cut into objects by its indentation before a parser sees any of it.

An object that is malformed, too large, or of a kind nobody asks for then costs only itself, and a
list of thousands is never held as a whole.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn, TypeVar

import yaml

from watcher.clients.dumps.cutting import cut
from watcher.clients.dumps.limits import Limits
from watcher.clients.dumps.pieces import Unreadable, converted
from watcher.core.scalars import read_plain

T = TypeVar("T")

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML was built with it: thirty times as fast."""
_ITEM = re.compile(rb"( *)-(?: +|\r?\n)")
_ITEMS = re.compile(rb"items:[ \t]*(?:#.*)?\r?\n?")
_MARK = re.compile(rb"(?:---|\.\.\.)(?=[ \t\r\n]|$)")
_KIND = re.compile(rb"^( *)kind:[ \t]+[\"']?([A-Za-z0-9]+)[\"']?[ \t]*\r?$", re.M)
_EVERY_LINE = 1000
"""Blanks that no line begins with."""
_QUOTED = re.compile(r"'[^']{3,}'|\"[^\"]{3,}\"")
"""What a parser found, in its message; a single character may stay."""


def yaml_pieces(chunks: Iterable[bytes], *, limits: Limits) -> Iterator["YamlPiece | Unreadable"]:
    """Give every object of every document and list, in order; Unreadable where one is too large.

    Raise TooLarge for a line that is no line of text, Unreadable for more lines than are looked at.
    """
    splitter = _Splitter(limits)
    for number, text in cut(chunks, longest_line=limits.object_bytes):
        yield from splitter.feed(number, text)
    yield from splitter.close()


@dataclass(slots=True)
class YamlPiece:
    """Lines of one object, and of which lines of the file they are."""

    limits: Limits
    indent: int
    """Blanks before its keys."""
    list_kind: str = ""
    """The kind of a typed list's items, where the list said so before them."""
    line: int = 0
    size: int = 0
    _blocks: list[tuple[int, bytes]] = field(default_factory=list)
    """Lines that follow each other in the file, and the number of the first."""
    _plain: Any = None

    def add(self, number: int, lines: bytes) -> None:
        self.line = self.line or number
        self.size += len(lines)
        if self.size <= self.limits.object_bytes:
            self._blocks.append((number, lines))

    @property
    def text(self) -> bytes:
        return b"".join(lines for _, lines in self._blocks)

    @property
    def kind(self) -> str:
        for found in _KIND.finditer(self.text):
            if len(found.group(1)) == self.indent:
                return found.group(2).decode()
        return self.list_kind

    def says(self, word: bytes) -> bool:
        return word in self.text

    def read(self, struct: type[T]) -> T:
        if self._plain is None:
            try:
                self._plain = _Builder(self.text, self.limits).plain()
            except Unreadable as error:
                raise Unreadable(str(error), line=self._number(error.line)) from error
        return converted(self._plain, struct)

    def _number(self, at: int) -> int:
        """Which line of the file its line `at` is, from 0."""
        for number, lines in self._blocks:
            if at < (amount := lines.count(b"\n")):
                return number + at
            at -= amount
        return self.line


@cache
def _edge(indent: int) -> re.Pattern[bytes]:
    """The end of a line behind which one comes that is neither so deep nor blank."""
    return re.compile(rb"\n(?! {%d}|[ \t]*\r?(?:\n|\Z))" % indent)


class _Splitter:
    """Whole lines in, objects out. What is deeper than an object's first line is the object's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines = limits.lines
        self._new_document()

    def _new_document(self) -> None:
        self._head = YamlPiece(self._limits, 0)
        """The document without the items of its list."""
        self._item: YamlPiece | None = None
        self._within_items = False
        self._is_list = False
        self._item_indent: int | None = None
        self._list_kind: str | None = None
        """None: its items were not begun. Its head is asked once, however often it begins them."""

    def feed(self, number: int, text: bytes) -> Iterator[YamlPiece | Unreadable]:
        text = b"\n" + text if text.endswith(b"\n") else b"\n" + text + b"\n"
        at = 1
        while at < len(text):
            edge = _edge(self._depth()).search(text, at - 1)
            stop = edge.end() if edge else len(text)
            if stop > at:
                (self._item or self._head).add(number, text[at:stop])
                number += text.count(b"\n", at, stop)
            at = text.find(b"\n", stop) + 1 if edge else len(text)
            if edge:
                self._count(number)
                yield from self._line(number, text[stop:at])
                number += 1

    def _count(self, number: int) -> None:
        self._lines -= 1
        if self._lines < 0:
            why = f"more than the limit of {self._limits.lines} lines; the rest is left out"
            raise Unreadable(why, line=number)

    def _depth(self) -> int:
        """Blanks before lines that are looked at no further."""
        if self._item is not None and self._item_indent is not None:
            return self._item_indent + 1
        return _EVERY_LINE if self._within_items else 1

    def close(self) -> Iterator[YamlPiece | Unreadable]:
        """The end of a document, or of the file."""
        yield from self._finished()
        if not self._is_list:
            yield from _given(self._head)
        self._new_document()

    def _line(self, number: int, line: bytes) -> Iterator[YamlPiece | Unreadable]:
        first = line[:1]
        if first in b"-." and (mark := _MARK.match(line)):
            yield from self.close()
            line = line[mark.end() :].lstrip(b" \t")
            if not line.strip() or line.startswith(b"#") or mark.group() == b"...":
                return
        elif first == b"%" and not self._head.size:
            return
        if self._within_items and (first in b" -#" or self._item_indent is None):
            yield from self._within(number, line)
            return
        self._within_items = False
        yield from self._finished()
        if _ITEMS.fullmatch(line):
            self._within_items = self._is_list = True
            if self._list_kind is None:
                of = self._head.kind
                self._list_kind = of.removesuffix("List") if of.endswith("List") else ""
        self._head.add(number, line)

    def _within(self, number: int, line: bytes) -> Iterator[YamlPiece | Unreadable]:
        dash = _ITEM.match(line)
        if dash and self._item_indent is None:
            self._item_indent = len(dash.group(1))
        if dash and len(dash.group(1)) == self._item_indent:
            yield from self._finished()
            rest = line[dash.end() :]
            indent = dash.end() if rest else self._item_indent + 2
            self._item = YamlPiece(self._limits, indent, list_kind=self._list_kind or "")
            # The item as a document of its own: blanks where its dash was.
            line = b" " * dash.end() + rest if rest else b"\n"
        if self._item is not None:
            self._item.add(number, line)
        elif not line.lstrip().startswith(b"#"):
            self._within_items = self._is_list = False
            self._head.add(number, line)

    def _finished(self) -> Iterator[YamlPiece | Unreadable]:
        item, self._item = self._item, None
        if item is not None:
            yield from _given(item)


def _given(piece: YamlPiece) -> Iterator[YamlPiece | Unreadable]:
    if piece.size > piece.limits.object_bytes:
        yield Unreadable(
            f"larger than the limit of {piece.limits.object_bytes} bytes", line=piece.line
        )
    elif piece.text.strip():
        yield piece


def said(error: yaml.MarkedYAMLError) -> str:
    """What a parser found wrong, not what it found there: PyYAML quotes, libyaml does not."""
    return f"not valid YAML: {_QUOTED.sub('…', error.problem or 'unreadable')}"


class _Builder:
    """Plain values from parser events, within limits.

    Only `true`, `false`, `null` and decimal numbers are more than text, as in YAML 1.2: the API's
    own writers put quotes around anything else that could be taken for something. There are no
    tags and no aliases in what they write, and with aliases a few lines become millions.
    """

    def __init__(self, text: bytes, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.values
        self._text = text

    def plain(self) -> Any:
        """The one document of the text; None where it is empty. Raise Unreadable."""
        parser = None
        try:
            parser = _PARSER(self._text)
            self._next = parser.get_event
            self._next()
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                return {}
            found = self._value(self._next(), 0)
            self._next()
            if not isinstance(self._next(), yaml.StreamEndEvent):
                self._stop(event, "a second document begins within it")
            return found
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise Unreadable(said(error), line=mark.line if mark else 0) from None
        except yaml.reader.ReaderError as error:
            raise Unreadable("not UTF-8, or not text") from error
        except (ValueError, UnicodeError) as error:
            raise Unreadable("not valid YAML") from error
        finally:
            if parser is not None:
                parser.dispose()

    def _value(self, event: Any, depth: int) -> Any:
        self._check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            # Quoted or a block: text, whatever it looks like.
            text = event.value
            return text if event.style not in (None, "") else read_plain(text)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(event, depth + 1))
            return items
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event)
            if key in found:
                self._stop(event, "a key is written twice")
            found[key] = self._value(self._next(), depth + 1)
        return found

    def _key(self, event: Any) -> str:
        self._check(event, 0)
        if not isinstance(event, yaml.ScalarEvent):
            self._stop(event, "a key is not a word")
        return str(event.value)

    def _check(self, event: Any, depth: int) -> None:
        self._left -= 1
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, "aliases are not read")
        if event.tag is not None and event.tag != "!":
            self._stop(event, "tags are not read")
        if self._left < 0:
            self._stop(event, f"more than the limit of {self._limits.values} values")
        if depth > self._limits.depth:
            self._stop(event, f"nested deeper than the limit of {self._limits.depth} levels")

    @staticmethod
    def _stop(event: Any, why: str) -> NoReturn:
        raise Unreadable(why, line=event.start_mark.line)

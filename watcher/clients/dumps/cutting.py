"""Blocks of YAML that no fact is made of, dropped before anything is parsed.

A MachineConfig's Ignition body is up to 1.5 MiB, and a parser needs a tenth of a second for it;
finding its end takes a thousandth. A block is what stands deeper than its key: that is all of
YAML's block style that matters here. Its key stays, with nothing behind it. A message of many lines
that has such a key in it is shortened as well; nobody decides by one.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from watcher.clients.registry.errors import TooLarge

_CUT = (b"config", b"managedFields", b"images", b"volumesAttached", b"volumesInUse")
"""MachineConfig's spec.config, every object's metadata.managedFields, Node's status.images, and
its volumes: no kind we read says anything with these keys."""
_KEY = re.compile(rb"^( *)(?:" + b"|".join(_CUT) + rb"):[ \t]*\r?(?=\n)", re.M)
_DEEPEST_KEY = 12
"""Blanks before a key that is cut: six in a list. More may be text within text."""
_BITE = 16 * 1024
"""What is left of a bite is copied for each key that is cut in it."""


@cache
def _end(indent: int) -> re.Pattern[bytes]:
    """The first line that is not deeper; blank lines and comments end nothing.

    Nor does a dash under the key's first letter: that is how `oc` writes the items of a list.
    """
    return re.compile(rb"\n(?! {%d}-(?: |\r?\n)) {0,%d}[^ \r\n#]" % (indent, indent))


Lines = tuple[int, bytes]
"""Whole lines, and the number of the first, from 1."""


def cut(chunks: Iterable[bytes], *, longest_line: int) -> Iterator[Lines]:
    """Give the lines that stay, in order. Raise TooLarge for a line longer than `longest_line`."""
    return _Cutter(longest_line).lines(chunks)


class _Cutter:
    def __init__(self, longest_line: int) -> None:
        self._longest_line = longest_line
        self._line = 1
        """Of the first byte not yet given or dropped."""
        self._rest = b""
        self._ending: re.Pattern[bytes] | None = None
        """Within a block: what ends it. `_rest` then begins with the line end before the block."""
        self._indent = 0
        """Of the key whose block is dropped."""

    def lines(self, chunks: Iterable[bytes]) -> Iterator[Lines]:
        for chunk in chunks:
            for at in range(0, len(chunk), _BITE):
                self._rest += chunk[at : at + _BITE]
                yield from self._next(last=False)
        yield from self._next(last=True)

    def _next(self, *, last: bool) -> Iterator[Lines]:
        while self._rest:
            if self._ending is not None and not self._drop(last=last):
                return
            upto = len(self._rest) if last else self._rest.rfind(b"\n") + 1
            if not upto:
                if len(self._rest) > self._longest_line:
                    raise TooLarge(
                        f"line {self._line} is longer than the limit of {self._longest_line} bytes"
                    )
                return
            begin = self._begin(upto)
            if begin is not None:
                # The key stays, with its line end; that line end is also where the block begins.
                upto, self._indent = begin.end() + 1, len(begin.group(1))
                self._ending = _end(self._indent)
            given, self._rest = self._rest[:upto], self._rest[upto:]
            yield self._line, given
            self._line += given.count(b"\n")
            if begin is None:
                return
            # Put before what follows, and not counted a second time.
            self._rest = b"\n" + self._rest
            self._line -= 1

    def _begin(self, upto: int) -> re.Match[bytes] | None:
        for found in _KEY.finditer(self._rest, 0, upto):
            if len(found.group(1)) <= _DEEPEST_KEY:
                return found
        return None

    def _drop(self, *, last: bool) -> bool:
        """Drop what is of the block; return whether its end was found."""
        assert self._ending is not None
        end = self._ending.search(self._rest)
        if end is not None and (last or end.start() + self._indent + 4 <= len(self._rest)):
            dropped = end.start() + 1
            self._ending = None
        elif end is not None:
            dropped = end.start()  # it may be a dash whose blank has not come yet
        else:
            # The end may have begun: a line end and some of the blanks.
            dropped = len(self._rest) if last else max(0, len(self._rest) - self._indent - 1)
        self._line += self._rest.count(b"\n", 0, dropped)
        self._rest = self._rest[dropped:]
        return self._ending is None

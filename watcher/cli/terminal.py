"""Tables and pairs as a person reads them on a terminal: fitted to its width, states coloured.

Colour only repeats what the words say. rich leaves it out for NO_COLOR, TERM=dumb and --no-color.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from watcher.cli import output
from watcher.cli.output import clean, colourless

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

GAP = 2
LEAST = 30
"""A last column that would be narrower is printed below its row."""
EMPTY = "-"
INDENT = "  "
GOOD, BUSY, BAD, CALM = "green", "cyan", "bold red", "dim"
WAITS = "yellow"
TONES = {
    **dict.fromkeys(("InStep", "current", "done", "ready", "ok", "met"), GOOD),
    **dict.fromkeys(("waiting-for-build", "scheduled", "applying", "rolling-out"), BUSY),
    **dict.fromkeys(("soaking", "queued", "building", "verifying", "Rebuild"), BUSY),
    **dict.fromkeys(("awaiting-approval", "behind", "ahead", "Hold", "blocked", "tagged"), WAITS),
    **dict.fromkeys(("unknown-lineage", "foreign", "shadowed", "prebuilt-frozen"), WAITS),
    **dict.fromkeys(("warning", "rolling-back", "rejected", "expired", "note"), WAITS),
    **dict.fromkeys(("stuck", "failed", "rolled-back", "unreadable", "error", "unmet"), BAD),
    **dict.fromkeys(("stock", "empty", "superseded", "image-mode", EMPTY), CALM),
}
"""Words that have a colour; any other has none."""


def console() -> Console:
    """Return stdout as rich knows it."""
    return Console(no_color=True if colourless.get() else None, highlight=False)


def show(what: RenderableType) -> None:
    """Print it."""
    console().print(what)


class Fitted:
    """Columns fitted to the width that there is when they are drawn."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        kept = [
            i
            for i in range(len(head))
            # What no row has is no column worth the room.
            if i in (0, len(head) - 1) or any(row[i] != EMPTY for row in rows) or not rows
        ]
        self.head = [head[i] for i in kept]
        self.rows = [[clean(row[i]) for i in kept] for row in rows]

    def __rich_console__(self, console: Console, options: "ConsoleOptions") -> "RenderResult":
        lines = [self.head, *self.rows]
        widths = [max(cell_len(line[i]) for line in lines) for i in range(len(self.head) - 1)]
        used, room = sum(widths) + GAP * len(widths), options.max_width
        last = max(cell_len(line[-1]) for line in lines)
        if used + last <= room or room - used >= LEAST:
            yield from self._beside(console, widths, room - used)
        else:
            yield from self._below(console, widths, room)

    def _beside(self, console: Console, widths: Sequence[int], room: int) -> Iterator[Text]:
        yield _line(self.head, widths, "bold")
        indent = " " * (sum(widths) + GAP * len(widths))
        for row in self.rows:
            first, *more = _wrapped(console, row[-1], room)
            yield _line([*row[:-1], first.plain], widths)
            for part in more:
                yield Text(indent) + part

    def _below(self, console: Console, widths: Sequence[int], room: int) -> Iterator[Text]:
        """Each row in lines of whole cells, and under it the sentence that has no room beside."""
        yield from _flowed(self.head[:-1], widths, room, "bold")
        for row in self.rows:
            yield from _flowed(row[:-1], widths, room)
            if row[-1] != EMPTY:
                for part in _wrapped(console, row[-1], room - len(INDENT)):
                    part.stylize(CALM)
                    yield Text(INDENT) + part


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> RenderableType:
    """Return the table; each cell is text already."""
    return Fitted(head, rows)


class Pairs:
    """Names with values; a long value goes on below itself."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        self.rows = [(clean(name), clean(value)) for name, value in rows]

    def __rich_console__(self, console: Console, options: "ConsoleOptions") -> "RenderResult":
        width = max((cell_len(name) for name, _ in self.rows), default=0)
        for name, value in self.rows:
            parts = _wrapped(console, value, max(LEAST, options.max_width - width - GAP))
            for number, part in enumerate(parts):
                start = Text((name if not number else "").ljust(width + GAP), style="bold")
                yield start + (_toned(part.plain) if len(parts) == 1 else part)


def pairs(rows: Sequence[tuple[str, str]]) -> RenderableType:
    """Return names with values."""
    return Pairs(rows)


class Tree:
    """Lines of a tree; a long one goes on below itself, inside what is drawn."""

    def __init__(self, lines: Sequence[tuple[str, str, str]]) -> None:
        self.lines = [(before, below, clean(text)) for before, below, text in lines]

    def __rich_console__(self, console: Console, options: "ConsoleOptions") -> "RenderResult":
        for before, below, text in self.lines:
            room = max(LEAST, options.max_width - cell_len(below))
            for number, part in enumerate(_wrapped(console, text, room)):
                name, colon, _ = part.plain.partition(": ")
                if colon and not number:
                    bad, good = name.startswith("✗"), name.startswith("✓")
                    part.stylize(BAD if bad else GOOD if good else "bold", 0, len(name))
                yield Text(below if number else before, style=CALM) + part


def drawn(parts: Sequence[output.Part]) -> list[RenderableType]:
    """Return parts as they are drawn, an empty line between them."""
    found: list[RenderableType] = []
    for part in parts:
        found += [Text()] if found else []
        match part:
            case output.Table(head, rows):
                found.append(Fitted(head, output.cells(rows)))
            case output.Pairs(rows):
                found.append(Pairs(output.there(rows)))
            case _:
                found.append(Text(clean(part)))
    return found


def _line(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    line = Text()
    for cell, width in zip(cells, [*widths, 0], strict=True):
        line.append(cell, style or TONES.get(cell, ""))
        line.append(" " * (width - cell_len(cell) + GAP) if width else "")
    line.rstrip()
    line.no_wrap = True
    line.overflow = "fold"
    return line


def _flowed(
    cells: Sequence[str], widths: Sequence[int], room: int, style: str = ""
) -> Iterator[Text]:
    """Cells in columns; where the line is full, the rest indented on the next."""
    line, used = Text(), 0
    for cell, width in zip(cells, widths, strict=True):
        if used and used + width > room:
            yield line
            line, used = Text(INDENT), len(INDENT)
        line.append(cell, style or TONES.get(cell, ""))
        line.append(" " * (width - cell_len(cell) + GAP))
        used += width + GAP
    line.rstrip()
    yield line


def _wrapped(console: Console, text: str, room: int) -> list[Text]:
    return list(Text(text).wrap(console, max(1, room), overflow="fold")) or [Text()]


def _toned(text: str) -> Text:
    return Text(text, style=TONES.get(text, ""))

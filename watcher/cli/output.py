"""The one place that prints results: JSON and YAML for scripts, columns for people.

Piped, columns are plain and stay as they are, so that grep and cut work on them. On a terminal
they are fitted to its width; colour is only an addition there. Text from clusters loses its
control characters here: a terminal obeys some of them.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

Row = Mapping[str, Any]
colourless: ContextVar[bool] = ContextVar("colourless", default=False)
"""Whether --no-color was given."""


class Format(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    """The table with more columns."""
    JSON = "json"
    YAML = "yaml"
    """The names of JSON."""

    @property
    def is_data(self) -> bool:
        """Whether it is for programs: one document on stdout, and nothing else."""
        return self in (Format.JSON, Format.YAML)


class Column(NamedTuple):
    """One column of a table that is made from rows of JSON."""

    head: str
    of: Callable[[Row], object]
    wide: bool = False
    """Only with -o wide."""


class Table(NamedTuple):
    head: Sequence[str]
    rows: Sequence[Sequence[object]]


class Pairs(NamedTuple):
    rows: Sequence[tuple[str, object]]


Part = Table | Pairs | str
"""A part of what a command shows: of a table, names with values, or a sentence."""


def say(text: str = "") -> None:
    """Print a line for people, or a whole text with its line ends."""
    sys.stdout.write("\n".join(clean(line) for line in text.split("\n")) + "\n")


def tell(text: str) -> None:
    """Print a line beside the result."""
    sys.stderr.write("\n".join(clean(line) for line in f"relayer: {text}".split("\n")) + "\n")


def data(value: object, form: Format) -> None:
    """Print a value as a document of the form."""
    if form is Format.YAML:
        as_yaml(value)
    else:
        as_json(value)


def as_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def as_yaml(value: object) -> None:
    """Print as YAML what is JSON otherwise."""
    import yaml

    plain = json.loads(json.dumps(value))  # our words are strings of classes that yaml refuses
    sys.stdout.write(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100))


def clean(text: str) -> str:
    """Return the text without anything a terminal would act upon."""
    return "".join(c if c.isprintable() else "�" for c in text)


def columns(wanted: Sequence[Column], rows: Iterable[Row], form: Format) -> None:
    """Print rows of JSON as a table."""
    table(*tabled(wanted, rows, form))


def tabled(wanted: Sequence[Column], rows: Iterable[Row], form: Format) -> Table:
    """Return rows of JSON as a table."""
    shown = [one for one in wanted if form is Format.WIDE or not one.wide]
    return Table([one.head for one in shown], [[one.of(row) for one in shown] for row in rows])


def parts(shown: Sequence[Part]) -> None:
    """Print tables, pairs and sentences, an empty line between them."""
    for number, one in enumerate(shown):
        if number:
            say()
        match one:
            case Table():
                table(*one)
            case Pairs():
                pairs(one.rows)
            case _:
                say(one)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns; the last one may be as long as it likes."""
    lines = cells(rows)
    if on_terminal():
        from watcher.cli import terminal

        terminal.show(terminal.table(head, lines))
        return
    lines.insert(0, tuple(head))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    for line in lines:
        start = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        say(f"{start}  {line[-1]}".rstrip())


def cells(rows: Iterable[Sequence[object]]) -> list[tuple[str, ...]]:
    """Return what is in each cell: what is not there is a dash."""
    return [tuple("-" if c in ("", None) else str(c) for c in row) for row in rows]


def there(rows: Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    """Return those that have a value."""
    return [(name, str(value)) for name, value in rows if value not in ("", None, [])]


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print names with values, those that have one."""
    shown = there(rows)
    if on_terminal():
        from watcher.cli import terminal

        terminal.show(terminal.pairs(shown))
        return
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name.ljust(width)}  {value}")


def tree(lines: Sequence[tuple[str, str, str]]) -> None:
    """Print lines that have something drawn before them, and before what does not fit in one."""
    if on_terminal():
        from watcher.cli import terminal

        terminal.show(terminal.Tree(lines))
        return
    for before, _, text in lines:
        say(f"{before}{text}")


def on_terminal() -> bool:
    """Whether a person watches stdout as it is printed."""
    return sys.stdout.isatty()


def ago(at: object, now: datetime) -> str:
    """`2026-11-21T12:00:00+00:00` → `5 min ago`."""
    if not isinstance(at, str) or not at:
        return "never"
    seconds = max(0.0, (now - datetime.fromisoformat(at)).total_seconds())
    for most, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129600, 3600, "h")):
        if seconds < most:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} d ago"


def minute(at: str | None) -> str:
    """`2026-11-21T12:00:00+00:00` → `2026-11-21 12:00`; what never happens is empty."""
    return at[:16].replace("T", " ") if at else ""


def mode(row: Row) -> str:
    """`approve (patch: auto)`"""
    others = ", ".join(f"{change}: {one}" for change, one in row["modes"].items())
    return f"{row['mode']} ({others})" if others else str(row["mode"])


def place(row: Row) -> str:
    """`cluster/pool`"""
    return f"{row['cluster']}/{row['pool']}"

"""JSON for scripts, plain columns for people. Columns are plain so that grep and cut work on them.

Text from clusters loses its control characters here: a terminal obeys some of them.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def say(text: str = "") -> None:
    """Print a line for people, or a whole text with its line ends."""
    sys.stdout.write("\n".join(clean(line) for line in text.split("\n")) + "\n")


def tell(text: str) -> None:
    """Print a line beside the result."""
    sys.stderr.write("\n".join(clean(line) for line in f"relayer: {text}".split("\n")) + "\n")


def as_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def clean(text: str) -> str:
    """Return the text without anything a terminal would act upon."""
    return "".join(c if c.isprintable() else "�" for c in text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns; the last one may be as long as it likes."""
    lines = [tuple(head), *(tuple("-" if c in ("", None) else str(c) for c in r) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    for line in lines:
        start = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        say(f"{start}  {line[-1]}".rstrip())


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print names with values, those that have one."""
    there = [(name, str(value)) for name, value in rows if value not in ("", None, [])]
    width = max((len(name) for name, _ in there), default=0)
    for name, value in there:
        say(f"{name.ljust(width)}  {value}")


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


def mode(row: Mapping[str, Any]) -> str:
    """`approve (patch: auto)`"""
    others = ", ".join(f"{change}: {one}" for change, one in row["modes"].items())
    return f"{row['mode']} ({others})" if others else str(row["mode"])

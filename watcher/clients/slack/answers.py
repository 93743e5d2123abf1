"""Answers to clicks and commands, which only the person who asked can see: so identities of Slack
are named there as people know them. Everything is given as it came."""

from collections.abc import Sequence

from watcher.clients.slack.blocks import SECTION, Json, message, section
from watcher.clients.slack.card import LINE, prose
from watcher.clients.slack.text import code_block, cut, fit, named, one_line, size

CELL = 60


def answer(sentence: str) -> Json:
    """Return one sentence; what stands between backticks is shown as code."""
    said = cut(named(sentence), SECTION)
    return message(said, [section(said)])


def table(title: str, rows: Sequence[Sequence[str]]) -> Json:
    """Return rows in columns, and how many there was no room for."""
    if not rows:
        return bullets(title, ["nothing"])
    block = code_block(_aligned(rows), SECTION - LINE - 10)
    said = f"*{prose(title, LINE)}*\n{block}"
    return message(said, [section(said)])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cut(one_line(cell), CELL) for cell in row] for row in rows]
    columns = max(map(len, cells))
    widths = [max(size(row[at]) for row in cells if len(row) > at) for at in range(columns)]
    return [
        "  ".join(
            cell + " " * (width - size(cell)) for cell, width in zip(row, widths, strict=False)
        )
        for row in cells
    ]


def bullets(title: str, lines: Sequence[str]) -> Json:
    """Return one line for each, and how many there was no room for."""
    listed = fit([f"• {cut(named(line), LINE)}" for line in lines], SECTION - LINE - 10)
    said = "\n".join((f"*{prose(title, LINE)}*", *listed))
    return message(said, [section(said)])

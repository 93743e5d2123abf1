"""The page about states names every state and every flag, and nothing else."""

import re
from pathlib import Path

from watcher.core.state import Flag, State

PAGE = (Path(__file__).parents[2] / "docs/states.md").read_text()
STATES, FLAGS = PAGE.split("| flag |", 1)


def first_cells(part: str) -> list[str]:
    return re.findall(r"^\| `([a-z-]+)` \|", part, re.MULTILINE)


def test_every_state_has_a_row_with_what_to_do() -> None:
    assert sorted(first_cells(STATES)) == sorted(map(str, State))
    rows = [line for line in STATES.splitlines() if line.startswith("| `")]
    assert all(len([cell for cell in row.split(" | ") if cell.strip()]) == 4 for row in rows)


def test_every_flag_has_a_row() -> None:
    assert sorted(first_cells(FLAGS)) == sorted(map(str, Flag))

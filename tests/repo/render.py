"""Writes docs/lifecycle.mmd from the two tables: `python -m tests.repo.render`."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from watcher.core.build import BUILD_TRANSITIONS, BuildState
from watcher.core.update import UNTOUCHED_ENDS, UPDATE_TRANSITIONS
from watcher.core.update_events import UpdateState

S = TypeVar("S", bound=StrEnum)
DIAGRAM = Path(__file__).parents[2] / "docs" / "lifecycle.mmd"
HEAD = """\
%% Generated from watcher/core/build.py and watcher/core/update.py; do not edit.
%% To write it anew: .venv/bin/python -m tests.repo.render
"""


def lifecycle() -> str:
    """Return both tables as one Mermaid state diagram."""
    lines = ["stateDiagram-v2", "  classDef untouched fill:#eee,stroke:#999", ""]
    lines += [
        "  state Build {",
        *_machine("build", BUILD_TRANSITIONS, BuildState.QUEUED),
        "  }",
        "",
    ]
    first = UpdateState.WAITING_FOR_BUILD
    lines += ["  state Update {", *_machine("update", UPDATE_TRANSITIONS, first), "  }", ""]
    untouched = ", ".join(_name("update", state) for state in sorted(UNTOUCHED_ENDS))
    lines.append(f"  class {untouched} untouched")
    return HEAD + "\n".join(lines) + "\n"


def _machine(prefix: str, rows: Mapping[S, Mapping[type, S]], first: S) -> list[str]:
    """Return the states of one table and its rows; events that lead to the same state together."""
    lines = [f'    state "{state}" as {_name(prefix, state)}' for state in rows]
    lines.append(f"    [*] --> {_name(prefix, first)}")
    for state, out in rows.items():
        events: dict[S, list[str]] = {}
        for event, after in out.items():
            events.setdefault(after, []).append(event.__name__)
        lines += [
            f"    {_name(prefix, state)} --> {_name(prefix, after)}: {', '.join(names)}"
            for after, names in events.items()
        ]
        if not out:
            lines.append(f"    {_name(prefix, state)} --> [*]")
    return lines


def _name(prefix: str, state: StrEnum) -> str:
    """Mermaid takes a hyphen in an identifier for an arrow."""
    return f"{prefix}_{state.replace('-', '_')}"


if __name__ == "__main__":
    DIAGRAM.write_text(lifecycle(), encoding="utf-8")

"""`--watch`: a view that stays. On a terminal redrawn in place; piped, a line for each change.

What cannot be reached for a while is said in the view, and looked for again.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from watcher.cli import output
from watcher.cli.door import Door, Row
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, Part, say
from watcher.errors import Transient

if TYPE_CHECKING:
    from rich.console import RenderableType

PAUSE_SECONDS = 1.0
"""Between two looks."""
AGAIN_SECONDS = 5.0
"""After one that could not be made."""
ENDS = {
    "done": Code.OK,
    "ready": Code.OK,
    **dict.fromkeys(("rejected", "expired", "superseded"), Code.DECLINED),
}
"""How a command ends that followed an update; any other end is a failure."""
WORDS = {
    "Working": "draining or writing",
    "Rebooting": "rebooting",
    "Degraded": "degraded",
    "Unreconcilable": "degraded",
}
"""MCO's words for what a node does, in ours."""
_STEP = re.compile(r"^\[?[^\]]*\]?\s*STEP (\d+)/(\d+)")


class Bar(NamedTuple):
    """How far something is."""

    name: str
    done: int
    total: int
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown at one moment."""

    parts: list[Part]
    bars: list[Bar] = field(default_factory=list)
    lines: Mapping[str, str]
    """What a pipe gets a line for when it changes, by what it is about."""
    end: Code | None = None
    """With which code the watch ends; None: it goes on."""


class Screen(Protocol):
    def show(self, view: View, trouble: str) -> None:
        """Show it, in place of what was there; `trouble`: why it is of before."""


Look = Callable[[], Awaitable[View]]


async def watch(look: Look, screen: Screen) -> Code:
    """Look again and again until the view ends. Raise what the first look raises."""
    view = await look()
    screen.show(view, "")
    while view.end is None:
        await asyncio.sleep(PAUSE_SECONDS)
        try:
            view = await look()
        except Transient as error:
            screen.show(view, f"{error}; tried again")
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            screen.show(view, "")
    return view.end


async def watched(look: Look, form: Format) -> Code:
    """Watch on stdout."""
    if form.is_data:
        raise Usage("--watch shows tables or lines; leave it or -o json|yaml out")
    with ExitStack() as stack:
        live = stack.enter_context(_live()) if output.on_terminal() else None
        return await watch(look, OnTerminal(live) if live else Piped())


class Piped:
    """A line for each change."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def show(self, view: View, trouble: str) -> None:
        lines = {**view.lines, **({"service": trouble} if trouble else {})}
        for name, line in lines.items():
            if self._shown.get(name) != line:
                say(f"{name}: {line}")
        for name in self._shown.keys() - lines.keys():
            say(f"{name}: " + ("is there again" if name == "service" else "is no longer there"))
        self._shown = lines
        sys.stdout.flush()


class OnTerminal:
    """Redrawn in place."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, view: View, trouble: str) -> None:
        from rich.console import Group

        self._live.update(Group(*drawn(view, trouble)), refresh=True)


def _live() -> AbstractContextManager[Any]:
    from rich.live import Live

    from watcher.cli import terminal

    return Live(console=terminal.console(), auto_refresh=False, vertical_overflow="crop")


def drawn(view: View, trouble: str) -> "list[RenderableType]":
    """Return the view as rich draws it."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from watcher.cli import terminal

    found = terminal.drawn(view.parts)
    if view.bars:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for bar in view.bars:
            strip = ProgressBar(total=bar.total, completed=bar.done, width=24)
            share = f"{100 * bar.done // bar.total if bar.total else 0:3d} %"
            grid.add_row(output.clean(bar.name), strip, share, Text(output.clean(bar.said)))
        found += [Text(), grid]
    if trouble:
        found += [Text(), Text(output.clean(trouble), style="bold red")]
    return found


# --- what is watched -----------------------------------------------------------------------------


async def status(door: Door, form: Format) -> Code:
    """The fleet, until somebody ends it."""
    from watcher.cli.looking import status_parts
    from watcher.clock import SystemClock

    async def look() -> View:
        seen = await door.status()
        doubt = door.doubt(seen)
        parts = status_parts(seen, SystemClock().now(), form)
        lines = {
            output.place(row): f"{row['decision'] or 'not looked at'}: {row['because']}"
            for row in seen["pools"]
        }
        lines |= {row["id"]: _line(row) for row in [*seen["active"], *seen["recent"]]}
        lines |= {f"freeze {r['scope'] or 'everything'}": r["sentence"] for r in seen["freezes"]}
        return View(
            parts=[*parts, doubt] if doubt else parts,
            bars=[bar for row in seen["active"] for bar in bars(row, [])],
            lines=lines,
        )

    return await watched(look, form)


async def drift(door: Door, form: Format, *, cluster: str) -> Code:
    """Every pool's state, until somebody ends it."""
    from watcher.cli.drift import drift_parts, why

    async def look() -> View:
        seen = await door.drift(cluster)
        lines = {
            f"{one['cluster']}/{pool['pool']}": f"{pool['state']}: {why(pool)}"
            for one in seen["clusters"]
            for pool in one["pools"]
        }
        problems = [p for one in seen["clusters"] for p in one["problems"]]
        return View(parts=[*drift_parts(seen, form), *problems], lines=lines)

    return await watched(look, form)


async def history(door: Door, job_id: str, form: Format) -> Code:
    """One update or build until its end, and with the code of its end."""
    from watcher.cli.looking import trail_parts

    async def look() -> View:
        row = await door.job(job_id, log=True)
        if row["job"] == "update" and row["build"] and not row["log"]:
            row = {**row, "log": (await door.job(row["build"], log=True))["log"]}
        lines = {row["id"]: _line(row)}
        lines |= {
            f"{entry['at'][:19]} {entry['event']}": f"{entry['state']} by {entry['by']}"
            for entry in row["audit"]
        }
        ended = row["state"] in ENDS or bool(row.get("ended", row["ended_because"]))
        return View(
            parts=trail_parts(row, form),
            bars=bars(row, row["log"]),
            lines=lines,
            end=ENDS.get(row["state"], Code.FAILED) if ended else None,
        )

    return await watched(look, form)


def _line(row: Row) -> str:
    said = str(row.get("ended_because") or row.get("progress", {}).get("waiting") or "")
    return f"{row['state']}: {said}" if said else str(row["state"])


def bars(row: Row, log: list[str]) -> list[Bar]:
    """How far a build is by the steps of its log, and a rollout by its nodes."""
    steps = [found for line in log if (found := _STEP.match(line))]
    is_building = row["state"] in ("waiting-for-build", "building", "queued", "verifying")
    if steps and is_building:
        at, of = int(steps[-1][1]), int(steps[-1][2])
        return [Bar("build", at, of, f"step {at} of {of}")]
    progress = row.get("progress") or {}
    nodes = progress.get("total")
    if not isinstance(nodes, int) or nodes <= 0:
        return []
    done = int(progress.get("updated", 0))
    return [Bar(output.place(row), done, nodes, nodes_said(progress, row))]


def nodes_said(progress: Mapping[str, Any], row: Row) -> str:
    """`3 of 6 updated, 1 draining, 1 rebooting; about 12 min left`"""
    said = [f"{progress.get('updated', 0)} of {progress['total']} updated"]
    counts: dict[str, int] = {}
    for node in progress.get("nodes", []):
        word = WORDS.get(str(node.get("state", "")), "")
        if node.get("updated"):
            word = "" if node.get("ready", True) else "not ready"
        if word:
            counts[word] = counts.get(word, 0) + 1
    said += [f"{count} {state}" for state, count in sorted(counts.items())]
    left = _left(row, progress)
    return ", ".join(said) + (f"; about {left} left" if left else "")


def _left(row: Row, progress: Mapping[str, Any]) -> str:
    """By the estimate that its approvers saw, and the share of nodes that are left."""
    estimate = (row.get("background") or {}).get("estimate_seconds")
    if not estimate or not progress.get("at"):
        return ""
    began = datetime.fromisoformat(row["changed_at"])
    gone = (datetime.fromisoformat(str(progress["at"])) - began).total_seconds()
    left = max(0.0, float(estimate) - gone)
    return f"{left / 60:.0f} min" if left >= 60 else ""

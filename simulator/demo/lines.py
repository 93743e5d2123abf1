"""The story as lines: JSON for programs, plain ones for a file, a pipe or a narrow terminal."""

import json
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.table import Table

from simulator.demo.outcome import Outcome
from simulator.demo.scene import Happening, Scene
from simulator.demo.world import POOL, POOLS
from watcher.core.update import Update
from watcher.ports import AuditEntry

_FOREIGN_NODES = tuple(f"{pool.name}-" for pool in POOLS if pool.name != POOL)


class JsonLines:
    """One object a line, every change of anything; the last is the summary."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def tell(self, happening: Happening) -> None:
        said = asdict(happening) | {"at": happening.at.isoformat(timespec="milliseconds")}
        self._write(said)

    def show(self, scene: Scene) -> None: ...

    def ask(self, update: Update, url: str) -> None:
        self._write({"kind": "demo", "id": update.id, "event": "Asked", "url": url})

    def end(self, outcome: Outcome) -> None:
        self._write(outcome.summary())

    def _write(self, said: dict[str, object]) -> None:
        print(json.dumps(said, ensure_ascii=False), file=self._out, flush=True)


class PlainLines:
    """For people, without a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, soft_wrap=True, highlight=False)

    def tell(self, happening: Happening) -> None:
        if is_told(happening):
            self._console.print(sentence(happening), markup=False)

    def show(self, scene: Scene) -> None: ...

    def ask(self, update: Update, url: str) -> None:
        self._console.print(f"{update.id} waits for an approval: open {url}", markup=False)

    def end(self, outcome: Outcome) -> None:
        print_end(self._console, outcome)


def is_told(happening: Happening) -> bool:
    """Whether people care: nodes of other pools move too, and there are many."""
    return happening.kind != "node" or not happening.id.startswith(_FOREIGN_NODES)


def sentence(happening: Happening) -> str:
    """One line for people."""
    words = [happening.state] if happening.kind == "node" else [happening.event, happening.state]
    parts = [f"{happening.at:%H:%M:%S} {happening.id:<17}", " → ".join(filter(None, words))]
    if happening.by not in ("", "relayer"):
        parts.append(f"by {happening.by}")
    if happening.detail and happening.kind != "node":
        parts.append(f"· {happening.detail}")
    return " ".join(parts)


def print_end(console: Console, outcome: Outcome) -> None:
    """The audit trail, then how it ended."""
    console.print(audit_table(outcome.audit))
    for update in outcome.updates:
        nodes, by = update["nodes"], update["approved_by"] or "nobody"
        console.print(
            f"{update['cluster']}/{update['pool']}: {update['state']} after {update['seconds']} s; "
            f"approved by {by}; {nodes['updated']} of {nodes['total']} nodes run the new image",
            markup=False,
        )
        console.print(f"  image {update['image']}\n  base  {update['base']}", markup=False)
    for problem in outcome.problems:
        console.print(f"wrong: {problem}", style="red", markup=False)


def audit_table(audit: tuple[AuditEntry, ...]) -> Table:
    """Who did what, when."""
    table = Table(title="Audit trail", title_justify="left", box=None, pad_edge=False)
    for column in ("time", "job", "event", "by", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("detail", overflow="fold")
    for entry in audit:
        time = f"{entry.at:%H:%M:%S}"
        table.add_row(time, entry.job, entry.event, entry.by, entry.state, short(entry.detail))
    return table


def short(text: str) -> str:
    """A digest takes 71 characters of which nobody reads more than twelve."""
    head, mark, tail = text.partition("sha256:")
    return head if not mark else f"{head}{mark}{tail[:12]}" + short(tail[64:])

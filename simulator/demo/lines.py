"""The story as lines: JSON for programs, plain ones for a file, a pipe or a narrow terminal."""

import json
import re
from dataclasses import asdict
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.demo.outcome import Outcome
from simulator.demo.scene import Happening, Scene
from simulator.demo.world import POOL, POOLS
from watcher.core.update import Update
from watcher.ports import AuditEntry

_REGISTRY = re.compile(r"127\.0\.0\.1:\d+/")
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
JOB_SHOWN = 12
"""Characters of a job's id: all of an update's, enough of a build's."""
MARGIN = "  ┃ "
"""Before each line of what somebody reads in Slack."""
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
        if happening.kind == "slack":
            for line in short(happening.detail).splitlines():
                self._console.print(f"{MARGIN}{line}".rstrip(), markup=False)

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
    job = happening.id[:JOB_SHOWN]
    parts = [f"{happening.at:%H:%M:%S} {job:<{JOB_SHOWN}}", " → ".join(filter(None, words))]
    if happening.by not in ("", "relayer"):
        parts.append(f"by {happening.by}")
    if happening.detail and happening.kind not in ("node", "slack"):
        parts.append(f"· {short(happening.detail)}")
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
        for name in ("image", "base"):
            console.print(f"  {name:<5} {update[name]}", markup=False, soft_wrap=True)
        console.print(f"  the release is {update['signature']}", markup=False, soft_wrap=True)
    for problem in outcome.problems:
        console.print(f"wrong: {problem}", style="red", markup=False)


def audit_table(audit: tuple[AuditEntry, ...]) -> Table:
    """Who did what, when; the details stand below the event, so that 80 columns are enough."""
    table = Table(title="Audit trail", title_justify="left", box=None, pad_edge=False)
    for column in ("time", "job"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("by", no_wrap=True)
    for entry in audit:
        what = Text(f"{entry.event} → {entry.state}")
        if entry.detail:
            what.append(f"\n{short(entry.detail)}", "dim")
        table.add_row(f"{entry.at:%H:%M:%S}", entry.job[:JOB_SHOWN], what, entry.by)
    return table


def short(text: str) -> str:
    """Images without what nobody reads: the registry of the demo, and most of a digest."""
    return _DIGEST.sub(r"\1", _REGISTRY.sub("", text))

"""The story as a picture that moves, from 80×24 up: pools, the update's way, nodes, the log.

Each refresh draws the whole scene anew, line by line and cut to the terminal, so that nothing
scrolls or wraps; the log gets the lines that are left.
"""

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from simulator.demo.lines import is_told, print_end, sentence, short
from simulator.demo.outcome import Outcome
from simulator.demo.scene import Happening, NodeSeen, PoolSeen, Scene
from simulator.demo.world import CLUSTER, NEW, OLD, POOL
from watcher.core.build import BuildState
from watcher.core.update import Update
from watcher.core.update_events import UpdateState

WAY: tuple[tuple[str, frozenset[str]], ...] = (
    ("build", frozenset({UpdateState.WAITING_FOR_BUILD, BuildState.QUEUED, BuildState.BUILDING})),
    ("verify", frozenset({BuildState.VERIFYING, BuildState.READY})),
    ("ask", frozenset({UpdateState.AWAITING_APPROVAL})),
    ("wait", frozenset({UpdateState.SCHEDULED})),
    ("apply", frozenset({UpdateState.APPLYING})),
    ("roll out", frozenset({UpdateState.ROLLING_OUT})),
    ("soak", frozenset({UpdateState.SOAKING})),
    ("done", frozenset({UpdateState.DONE})),
)
"""Every step of a good update, in order, and the states in which it is being taken."""
BACK = (UpdateState.ROLLING_BACK, UpdateState.ROLLED_BACK)
GONE_WRONG = (*BACK, UpdateState.STUCK)
STYLES = {
    "Done": "green",
    "Next": "dim",
    "Draining": "yellow",
    "Working": "cyan",
    "Rebooting": "magenta",
    "Degraded": "bold red",
    "Unreconcilable": "bold red",
}
CELLS = {"Draining": 1, "Working": 2, "Rebooting": 3}
"""Of NODE_CELLS: how far a node in this state is, roughly as long as each state takes."""
NODE_CELLS = 4


class LiveView:
    """Draws while its context is open; at the end the audit trail stays on the screen."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._log: deque[str] = deque(maxlen=200)
        self._scene: Scene | None = None
        self._asked: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        starting = Text("Setting up a registry, two releases and a cluster…")
        self._live.update(starting, refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, happening: Happening) -> None:
        if is_told(happening):
            self._log.append(sentence(happening))

    def show(self, scene: Scene) -> None:
        self._scene = scene
        self._live.update(Group(*self._frame(scene, self._console.height)), refresh=True)

    def ask(self, update: Update, url: str) -> None:
        self._asked = (update.id, url)

    def end(self, outcome: Outcome) -> None:
        self._live.stop()
        if self._scene:
            for line in picture(self._scene):
                self._console.print(line, no_wrap=True, overflow="ellipsis")
        print_end(self._console, outcome)

    def _frame(self, scene: Scene, height: int) -> list[Text]:
        foot = list(self._foot(scene))
        top = [*picture(scene), _line("")]
        left = max(1, height - len(top) - len(foot))
        log = [_line(text, "dim") for text in list(self._log)[-left:]]
        return [*top, *log, *([_line("")] * (left - len(log))), *foot]

    def _foot(self, scene: Scene) -> Iterator[Text]:
        update = scene.update
        waits = update is not None and update.state is UpdateState.AWAITING_APPROVAL
        if self._asked and update and waits:
            told = (
                f" Approve {update.id} on {CLUSTER}/{POOL}?  a = approve   r = reject   q = quit "
            )
            yield _line(told, "bold black on yellow")
            yield _line(f" or on the page: {self._asked[1]}", "yellow")
        else:
            yield _line(" q = quit", "dim")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def picture(scene: Scene) -> list[Text]:
    """Everything but the log; always the same number of lines."""
    return [
        _title(scene),
        _line(f"  {scene.progress}", "dim"),
        _line(""),
        *(_pool(pool) for pool in scene.pools.values()),
        _line(""),
        *_update(scene),
        _line(""),
        *(_nodes(pool) for pool in scene.pools.values()),
    ]


def _title(scene: Scene) -> Text:
    title = _line("Relayer demo ", "bold")
    title.append(f" cluster {CLUSTER} ", "bold white on blue")
    moving = scene.version == NEW
    title.append(f" {OLD} → {NEW} " if moving else f" {scene.version or OLD} ")
    if moving:
        title.append("completed" if scene.completed else "control plane upgrades…", "cyan")
    return title


def _pool(pool: PoolSeen) -> Text:
    line = _line(f"  {pool.name:<8}")
    for node in pool.nodes:
        full = NODE_CELLS if node.updated else CELLS.get(node.state, 0)
        line.append("━" * full, STYLES.get(node.state, ""))
        line.append("━" * (NODE_CELLS - full), "bright_black")
    line.append(f" {pool.updated}/{len(pool.nodes)} ")
    if pool.paused:
        line.append("paused ", "bold yellow")
    if pool.decision:
        styles = {"InStep": "green", "Rebuild": "yellow", "Hold": "magenta"}
        line.append(f" {pool.decision}: ", styles.get(pool.decision, ""))
        line.append(short(pool.because))
    return line


def _update(scene: Scene) -> list[Text]:
    """The way of the update; two more lines say what it is and what it waits for."""
    update = scene.update
    if update is None:
        return [_line("  no update: every layered pool is in step", "dim"), _line(""), _line("")]
    image = update.image.digest.short if update.image else "not built yet"
    base = update.target.base.digest.short
    by = f"  approved by {', '.join(update.approval.by)}" if update.approval else ""
    said = update.ended_because or scene.waiting
    return [
        _way(update, scene),
        _line(f"  {update.id}  base {base} of {update.target.release_version}  image {image}{by}"),
        _line(f"  {short(said)}", "red" if update.state in GONE_WRONG else "dim"),
    ]


def _way(update: Update, scene: Scene) -> Text:
    at = _step(update, scene)
    line = _line("  ")
    for number, (name, _) in enumerate(WAY[:-1] if update.state in GONE_WRONG else WAY):
        if number:
            line.append(" › ", "bright_black")
        if number < at or update.state is UpdateState.DONE:
            line.append(f"✔ {name}", "green")
        elif number == at and update.state not in GONE_WRONG:
            ended = update.is_ended
            line.append(f"{'✘' if ended else '●'} {update.state if ended else name}", "bold yellow")
            if ended:
                return line
        elif number == at:
            line.append(f"✘ {name}", "bold red")
            break
        else:
            line.append(f"○ {name}", "bright_black")
    if update.state in GONE_WRONG:
        mark = "●" if update.state is UpdateState.ROLLING_BACK else "✔"
        mark = "✘" if update.state is UpdateState.STUCK else mark
        line.append(" › ", "bright_black")
        line.append(f"{mark} {update.state}", "bold yellow" if mark != "✘" else "bold red")
    return line


def _step(update: Update, scene: Scene) -> int:
    """Where on the way it is, or was when it left it."""
    state: str = update.state
    if update.state is UpdateState.WAITING_FOR_BUILD and scene.build:
        state = scene.build.state
    for number, (_, states) in enumerate(WAY):
        if state in states:
            return number
    events = {entry.event for entry in scene.audit if entry.job == update.id}
    passed = (
        ("Soaked", 7),
        ("RolledOut", 6),
        ("Applied", 5),
        ("Cleared", 4),
        ("Approved", 3),
        ("BuildReady", 2),
    )
    return next((number for event, number in passed if event in events), 0)


def _nodes(pool: PoolSeen) -> Text:
    line = _line(f"  {pool.name:<8}")
    for node in pool.nodes:
        line.append(f"{node.name} ", "" if node.updated else "dim")
        line.append(f"{_cell(node):<12}", STYLES.get(node.state, ""))
    return line


def _cell(node: NodeSeen) -> str:
    mark = "■" if node.updated else "□" if node.state in ("Done", "Next") else "▣"
    return f"{mark} {node.state}"

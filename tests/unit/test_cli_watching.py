"""`--watch`, in virtual time: what is redrawn, what a pipe gets, and how it ends."""

import io
from typing import Any

import pytest
from rich.console import Console

from tests.facts import an_update, seconds
from tests.virtual_time import virtually
from watcher import shown
from watcher.cli import watching
from watcher.cli.exits import Code
from watcher.cli.output import Format
from watcher.cli.watching import Bar, Look, Piped, View, watch
from watcher.core.update_events import UpdateState
from watcher.errors import Refused, Transient

Row = dict[str, Any]


class Shown:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[View, str]] = []

    def show(self, view: View, trouble: str) -> None:
        self.said.append((view, trouble))


def looks(*of: View | Exception) -> Look:
    """One after the other; the last for ever."""
    left = list(of)

    async def look() -> View:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, Exception):
            raise one
        return one

    return look


def view(line: str, end: Code | None = None) -> View:
    return View(parts=[line], lines={"u-1": line}, end=end)


def test_it_looks_until_the_end_and_has_its_code() -> None:
    screen = Shown()
    of = looks(view("building"), view("applying"), view("failed", Code.FAILED))
    assert virtually(watch(of, screen)) is Code.FAILED
    assert [one.lines["u-1"] for one, _ in screen.said] == ["building", "applying", "failed"]


def test_what_is_away_for_a_while_is_said_and_looked_for_again() -> None:
    screen = Shown()
    of = looks(view("applying"), Transient("the store is away"), view("done", Code.OK))
    assert virtually(watch(of, screen)) is Code.OK
    assert [trouble for _, trouble in screen.said] == ["", "the store is away; tried again", ""]
    assert screen.said[1][0].lines["u-1"] == "applying"


@pytest.mark.parametrize("error", [Transient("away"), Refused("no")])
def test_what_the_first_look_raises_ends_it(error: Exception) -> None:
    with pytest.raises(type(error)):
        virtually(watch(looks(error), Shown()))


def test_a_refusal_later_ends_it_too() -> None:
    with pytest.raises(Refused):
        virtually(watch(looks(view("applying"), Refused("no")), Shown()))


def test_a_pipe_gets_one_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    of = looks(
        view("building"),
        view("building"),
        Transient("away"),
        view("building"),
        view("done \x1b[2J", Code.OK),
    )
    virtually(watch(of, Piped()))
    assert capsys.readouterr().out.splitlines() == [
        "u-1: building",
        "service: away; tried again",
        "service: is there again",
        "u-1: done �[2J",
    ]


class OneJob:
    """A door behind which one update moves on at each look."""

    def __init__(self, *rows: Row) -> None:
        self.rows = list(rows)

    async def job(self, job_id: str, *, log: bool) -> Row:
        return self.rows.pop(0) if len(self.rows) > 1 else self.rows[0]


def row(state: UpdateState, **said: Any) -> Row:
    log = said.pop("log", [])
    update = an_update(state=state, ended_because="why" if state == "failed" else "")
    made = shown.update_row(update, said.pop("progress", {}))
    return {"job": "update", **made, "build": "", "audit": [], "log": log, **said}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (UpdateState.DONE, Code.OK),
        (UpdateState.REJECTED, Code.DECLINED),
        (UpdateState.SUPERSEDED, Code.DECLINED),
        (UpdateState.FAILED, Code.FAILED),
        (UpdateState.STUCK, Code.FAILED),
        (UpdateState.ROLLED_BACK, Code.FAILED),
    ],
)
def test_history_follows_an_update_to_its_end(
    state: UpdateState, code: Code, capsys: pytest.CaptureFixture[str]
) -> None:
    door: Any = OneJob(row(UpdateState.APPLYING), row(UpdateState.ROLLING_OUT), row(state))
    assert virtually(watching.history(door, "u-1", Format.TABLE)) is code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == ["applying", "rolling-out", state]


def test_documents_are_not_watched() -> None:
    from watcher.cli.exits import Usage

    with pytest.raises(Usage):
        virtually(watching.history(OneJob(row(UpdateState.DONE)), "u-1", Format.JSON))  # type: ignore[arg-type]


# --- bars ----------------------------------------------------------------------------------------


def test_a_build_s_bar_is_by_the_steps_of_its_log() -> None:
    log = ["STEP 1/4: FROM base", "noise", "[linux/amd64] STEP 3/4: RUN dnf"]
    (bar,) = watching.bars(row(UpdateState.WAITING_FOR_BUILD), log)
    assert bar == Bar("build", 3, 4, "step 3 of 4")
    assert watching.bars(row(UpdateState.DONE), log) == []


def test_a_rollout_s_bar_says_what_its_nodes_do_and_how_long_it_takes() -> None:
    nodes = [
        {"name": "a", "state": "Done", "updated": True, "ready": True},
        {"name": "b", "state": "Done", "updated": True, "ready": False},
        {"name": "c", "state": "Rebooting", "updated": False, "ready": False},
        {"name": "d", "state": "Working", "updated": False, "ready": True},
        {"name": "e", "state": "Done", "updated": False, "ready": True},
    ]
    began = an_update().changed_at
    progress = {
        "updated": 2,
        "total": 5,
        "nodes": nodes,
        "at": (began + seconds(600)).isoformat(),
    }
    moving = row(UpdateState.ROLLING_OUT, progress=progress)
    moving["background"]["estimate_seconds"] = 1800
    (bar,) = watching.bars(moving, [])
    assert (bar.name, bar.done, bar.total) == ("prod/infra", 2, 5)
    assert bar.said == (
        "2 of 5 updated, 1 draining or writing, 1 not ready, 1 rebooting; about 20 min left"
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_a_view_fits_into_its_terminal(columns: int) -> None:
    one = View(
        parts=["a sentence"],
        bars=[Bar("prod/infra", 3, 6, "3 of 6 updated, 1 rebooting; about 12 min left")],
        lines={},
    )
    console = Console(width=columns, record=True, file=io.StringIO())
    console.print(*watching.drawn(one, "away"), sep="\n")
    said = console.export_text()
    assert " 50 %" in said
    assert "3 of 6 updated, 1 rebooting; about 12 min" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= columns

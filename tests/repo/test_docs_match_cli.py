"""The reference pages name every command, option, exit code, route and figure there is."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

from tests.contract.site import site
from watcher.cli.app import REMOTE, app
from watcher.cli.exits import MEANING, Code
from watcher.core.moments import parse_until
from watcher.core.windows import zone_of

REFERENCE = Path(__file__).parents[2] / "docs/reference"
COMMANDS = sorted(c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands)
AS_ORDERED = {
    *("run", "demo", "status", "plan", "rebuild", "approve", "reject", "stock"),
    *("history", "check-config", "version"),
    *("freeze", "unfreeze", "hold", "unhold", "freezes", "snooze", "windows"),
}


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def test_every_ordered_command_is_there() -> None:
    assert not AS_ORDERED - set(COMMANDS)


def test_the_page_lists_exactly_the_commands() -> None:
    listed = re.findall(r"^\| `relayer ([a-z-]+)` \|", page("command-line.md"), re.MULTILINE)
    assert sorted(listed) == COMMANDS


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("run", "demo", "completion")])
def test_commands_that_print_data_print_json(command: str) -> None:
    program = [str(Path(sys.executable).with_name("relayer")), command, "--help"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "--output <table|wide|json|yaml>" in said


def test_the_page_says_which_commands_a_running_service_answers() -> None:
    said = page("command-line.md").partition("## A service elsewhere")[2].partition("\n## ")[0]
    listed = re.search(r"^Answered from there: (.+)\.$", said, re.MULTILINE)
    assert listed is not None
    assert set(re.findall(r"`([a-z]+)`", listed[1])) == REMOTE


def test_the_page_lists_exactly_the_exit_codes() -> None:
    rows = re.findall(r"^\| ([0-9]+) \| (.+) \|$", page("exit-codes.md"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {int(c): MEANING[c] for c in Code}


async def test_the_page_lists_exactly_the_routes(tmp_path: Path) -> None:
    listed = set(re.findall(r"^\| `((?:GET|POST|DELETE) [^`]+)` \|", page("http.md"), re.MULTILINE))
    there: set[str] = set()
    async with site(tmp_path) as made:
        for route in made.app.routes:
            inner = route.routes if isinstance(route, Mount) else [route]
            prefix = route.path if isinstance(route, Mount) else ""
            for one in inner:
                assert isinstance(one, Route)
                methods = (one.methods or set()) - {"HEAD"}
                there.update(f"{method} {prefix}{one.path}" for method in methods)
    assert listed == there - {"GET /static/{name}"}


def test_every_moment_that_the_page_lists_is_understood() -> None:
    said = page("command-line.md").partition("## Moments")[2]
    cells = re.findall(r"^\| (`.+`) \|", said, re.MULTILINE)
    moments = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]
    assert len(moments) > 10
    now, opens = datetime(2026, 11, 24, 8, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)
    for text in moments:
        assert parse_until(text, now=now, zone=zone_of("UTC"), next_window=opens) > now

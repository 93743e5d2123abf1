"""The reference pages name every command, option, exit code, route and figure there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

from tests.contract.site import site
from watcher.cli.app import app
from watcher.cli.exits import MEANING, Code
from watcher.metrics import Metrics

REFERENCE = Path(__file__).parents[2] / "docs/reference"
COMMANDS = sorted(c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands)
AS_ORDERED = {
    *("run", "demo", "status", "plan", "rebuild", "approve", "reject", "stock"),
    *("history", "check-config", "version"),
}


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def test_every_ordered_command_is_there() -> None:
    assert not AS_ORDERED - set(COMMANDS)


def test_the_page_lists_exactly_the_commands() -> None:
    listed = re.findall(r"^\| `relayer ([a-z-]+)` \|", page("command-line.md"), re.MULTILINE)
    assert sorted(listed) == COMMANDS


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("run", "demo")])
def test_commands_that_print_data_print_json(command: str) -> None:
    program = [str(Path(sys.executable).with_name("relayer")), command, "--help"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "--output <table|json>" in said


def test_the_page_lists_exactly_the_exit_codes() -> None:
    rows = re.findall(r"^\| ([0-9]+) \| (.+) \|$", page("exit-codes.md"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {int(c): MEANING[c] for c in Code}


async def test_the_page_lists_exactly_the_routes(tmp_path: Path) -> None:
    listed = set(re.findall(r"^\| `((?:GET|POST) [^`]+)` \|", page("http.md"), re.MULTILINE))
    there = set()
    async with site(tmp_path) as made:
        for route in made.app.routes:
            inner = route.routes if isinstance(route, Mount) else [route]
            prefix = route.path if isinstance(route, Mount) else ""
            for one in inner:
                assert isinstance(one, Route)
                method = "POST" if "POST" in (one.methods or ()) else "GET"
                there.add(f"{method} {prefix}{one.path}")
    assert listed == there - {"GET /static/{name}"}


def test_the_page_lists_exactly_the_figures() -> None:
    listed = set(re.findall(r"^\| `(relayer_[a-z_]+)` \|", page("http.md"), re.MULTILINE))
    there = set()
    for family in Metrics().registry.collect():
        there.add(f"{family.name}_total" if family.type == "counter" else family.name)
        assert family.documentation.endswith("."), family.name
    assert listed == there

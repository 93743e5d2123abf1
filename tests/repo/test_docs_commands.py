"""Every command of the pages runs as it stands there, or its block says what it needs.

What runs, runs in order, as a reader of the page would; what is shown below it must come. Names of
commands, options and targets exist in either case, in prose as well.
"""

import contextlib
import functools
import io
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.release_world import nobody_at_home
from tests.repo.console import PAGES, ROOT, Block, Command, Where, agrees, blocks
from tests.repo.reader import prepare
from watcher.cli import main
from watcher.cli.app import app

QUICK = ("--yes", "--plain", "--speed", "1000")
"""The demo, told in seconds and with nobody to ask."""
RUN_BY_THEIR_OWN_TEST = {"docs/installation.md": "tests/repo/test_manifests_page.py"}
SHELL = {"bash", "sh", "shell", "shell-session", "zsh"}
ENDS_WITH = re.compile(r"#.*\bexit code (\d+)")
PROSE = re.compile(r"`(relayer(?: [^`\n]+)?)`")
FAR = Path("docs/decisions")
"""Written at one time and never changed."""


def consoles(where: Where | None = None) -> list[Block]:
    return [
        block
        for page in PAGES
        for block in blocks(page)
        if block.language == "console" and where in (None, block.where)
    ]


def _id(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


# --- names ---------------------------------------------------------------------------------------


def wrong(words: list[str]) -> str:
    """What of `relayer …` there is not; empty if all of it is there."""
    group = _group()
    known = _options(group)
    asked = [word for word in words[1:] if word != "…"]
    while asked and hasattr(group, "commands"):
        name = asked[0]
        if name.startswith("-"):
            break
        if name not in group.commands:
            return f"no command {name}"
        group, asked = group.commands[name], asked[1:]
    known |= _demo() if getattr(group, "name", "") == "demo" else _options(group)
    for word in asked:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and option not in known:
            return f"no option {option} of {group.name}"
    return ""


@functools.cache
def _group() -> Any:
    return typer.main.get_command(app)


def _options(command: Any) -> set[str]:
    named = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return named | {"-h", "--help"}


@functools.cache
def _demo() -> set[str]:
    program = [sys.executable, "-m", "simulator", "--help"]
    said = subprocess.run(program, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return set(re.findall(r"(--?[a-z][a-z-]*)", said))


def relayers(words: Iterable[str]) -> list[list[str]]:
    """Each `relayer …` of a line, also behind `--`, `;`, `|` or `&&`."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("--", "|", "&&") or word.endswith(";"):
            parts[-1].append(word.rstrip(";"))
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part and part[0] == "relayer"]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_and_options_exist(page: Path) -> None:
    for block in blocks(page):
        if block.language != "console":
            continue
        for command in block.commands():
            words = command.words
            assert [w for part in relayers(words) if (w := wrong(part))] == [], command
            if words[0] == "make":
                assert set(words[1:]) <= targets(), command


@pytest.mark.parametrize(
    "page", [p for p in PAGES if FAR not in p.relative_to(ROOT).parents], ids=_id
)
def test_commands_that_prose_names_exist(page: Path) -> None:
    for text in PROSE.findall(page.read_text("utf-8")):
        words = [word for word in text.split() if word not in ("#", "\\")]
        assert wrong(words) == "", text


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_stand_in_console_blocks_with_a_prompt(page: Path) -> None:
    """So that none is overlooked."""
    for block in blocks(page):
        assert block.language not in SHELL, block.id
        if block.language == "console":
            assert block.text.startswith("$ "), block.id


def test_make_demo_is_the_demo() -> None:
    said = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo: setup\n\t\$\(BIN\)/relayer demo$", said, re.MULTILINE)


# --- what runs anywhere --------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted({block.page for block in consoles(Where.HERE)}), ids=_id)
def test_what_needs_nothing_runs_and_shows_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if _id(page) in RUN_BY_THEIR_OWN_TEST:
        assert (ROOT / RUN_BY_THEIR_OWN_TEST[_id(page)]).exists()
        return
    nobody_at_home(tmp_path, monkeypatch)
    place = tmp_path / "reader"
    prepare(place, blocks(page))
    with contextlib.chdir(place):
        for block in consoles(Where.HERE):
            if block.page == page:
                for command in block.commands():
                    run(command, block)


def run(command: Command, block: Block) -> None:
    """Run one line; check how it ends and what it prints."""
    words, into = command.words, ""
    if ">" in words:
        words, into = words[: words.index(">")], words[words.index(">") + 1]
    if words[0] == "make":
        return  # its target is there; `demo` is looked at above, `test` is what runs this
    assert words[0] == "relayer", f"{block.id}: {words[0]} needs a note before its block"
    found = ENDS_WITH.search(command.text)
    code, out, err = _demo_run(words[2:]) if words[1] == "demo" else _relayer(words[1:])
    assert code == (int(found[1]) if found else 0), f"{block.id}: {command.text}\n{out}{err}"
    if into:
        Path(into).write_text(out)
    elif command.shown:
        assert agrees(command.shown, out + err), f"{block.id}: {command.text} printed\n{out}{err}"


def _relayer(words: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return main(words), out.getvalue(), err.getvalue()


def _demo_run(words: list[str]) -> tuple[int, str, str]:
    program = [sys.executable, "-m", "simulator", *words]
    program += [word for word in QUICK if word not in words]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


# --- the reading of the pages --------------------------------------------------------------------


def test_a_block_that_says_nothing_is_run_and_a_note_is_seen(tmp_path: Path) -> None:
    page = ROOT / "docs" / "quickstart.md"
    said = {block.where for block in consoles() if block.page == page}
    assert said == set(Where)
    assert consoles(Where.HERE)


@pytest.mark.parametrize(
    ("shown", "came", "agree"),
    [
        (("a", "…", "c"), "a\nb\nb\nc\n", True),
        (("a", "…"), "b\n", False),
        (("ok  x",), "ok        x   \n", True),
        (("u-1a2b3c4d 12.5 s",), "u-00000000 3.1 s", True),
        (("why: …",), "why: anything", True),
        (("a",), "a\nb", False),
        (("done",), "failed", False),
    ],
)
def test_output_agrees_where_only_what_varies_differs(
    shown: tuple[str, ...], came: str, agree: bool
) -> None:
    assert agrees(shown, came) is agree


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("relayer statuss", "no command statuss"),
        ("relayer drift --form x", "no option --form of drift"),
        ("relayer drift --from x -o json", ""),
        ("relayer demo --yes", ""),
        ("relayer demo --quick", "no option --quick of demo"),
    ],
)
def test_a_name_that_there_is_not_is_seen(line: str, said: str) -> None:
    assert wrong(line.split()) == said

"""How results are printed: for scripts, through a pipe, and on a terminal of some width."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.facts import an_update
from tests.terminals import bare, on_a_terminal
from tests.unit.shell import Shell, fresh, shell_in
from watcher.core.update_events import UpdateState

LONG = "node worker-7 waits for its drain, which a PodDisruptionBudget of the shop's cart holds up"
COLOUR = "\x1b[3"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with shell_in(tmp_path, capsys) as made:
        made.put(
            fresh(),
            an_update(id="u-2", pool="worker", state=UpdateState.ROLLING_OUT),
            an_update(id="u-3", cluster="test", pool="worker", state=UpdateState.STUCK),
        )
        made.store(
            lambda store: store.set_progress(
                "u-2", {"total": 6, "updated": 2, "waiting": LONG + "\x1b[2J"}
            )
        )
        yield made


@pytest.mark.parametrize("words", [("status",), ("history", "u-1"), ("windows",)])
def test_yaml_has_the_names_and_values_of_json(shell: Shell, words: tuple[str, ...]) -> None:
    as_json = shell.json(*words)
    as_yaml = yaml.safe_load(shell(*words, "-o", "yaml")[0])
    for one in (as_json, as_yaml):
        one.pop("at", None)  # they were asked one after the other
        for pool in one.get("pools", []):
            pool.pop("at", None)
            pool.pop("opens_at", None)
    assert as_yaml == as_json


def test_wide_adds_images_digests_recipe_and_times_and_leaves_the_rest(shell: Shell) -> None:
    table, wide = shell("status")[0], shell("status", "-o", "wide")[0]
    update = shell.json("history", "u-1")
    for name in ("base", "image", "recipe_digest"):
        assert update[name] not in table
        assert update[name] in wide
    assert "CREATED (UTC)" in wide
    heads = [line.split()[0] for line in table.splitlines() if line[:2].isupper()]
    assert heads == [line.split()[0] for line in wide.splitlines() if line[:2].isupper()]


def test_piped_columns_are_plain_and_whole(shell: Shell) -> None:
    out, _ = shell("status")
    assert "\x1b" not in out
    assert any(line.startswith("u-2") and LONG in line for line in out.splitlines())


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_s_table_fits_into_its_width_and_loses_no_word(
    shell: Shell, columns: int
) -> None:
    drawn, code = on_a_terminal("status", "-c", shell.config, columns=columns)
    said = bare(drawn)
    assert code == 0
    assert max(len(line) for line in said.splitlines()) <= columns
    assert LONG in " ".join(said.split())
    for word in ("awaiting-approval", "rolling-out", "stuck", "prod/infra", "2/6"):
        assert word in said, said
    assert "\x1b[2J" not in drawn


def test_columns_that_no_row_has_are_left_out_on_a_terminal_only(shell: Shell) -> None:
    said = bare(on_a_terminal("status", "-c", shell.config, columns=120)[0])
    assert "SCHEDULED FOR" not in said
    assert "SCHEDULED FOR" in shell("status")[0]


def test_colour_is_an_addition_that_can_be_left_out(shell: Shell) -> None:
    words = ("status", "-c", shell.config)
    coloured, _ = on_a_terminal(*words)
    assert COLOUR in coloured or "\x1b[1;3" in coloured
    for drawn in (
        on_a_terminal(*words, "--no-color")[0],
        on_a_terminal(*words, environment={"NO_COLOR": "1"})[0],
    ):
        assert COLOUR not in drawn
        assert "\x1b[1;3" not in drawn
        assert bare(drawn).split() == bare(coloured).split()


def test_no_color_holds_for_one_command_only(shell: Shell) -> None:
    from watcher.cli.output import colourless

    shell("status", "--no-color")
    assert colourless.get() is False


def test_documents_are_whole_on_a_terminal_too(shell: Shell) -> None:
    drawn, _ = on_a_terminal("status", "-o", "json", "-c", shell.config, columns=40)
    assert len(json.loads(drawn)["active"]) == 2

"""What people wrote stays text in a spreadsheet, whoever opens it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from watcher import shown
from watcher.cli.app import app


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "－1", "＠x"]
)
def test_what_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    assert shown.cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "cell"),
    [("the fair", "the fair"), (None, ""), (0, "0"), ("a=b", "a=b"), ("a\0b", "ab")],
)
def test_all_else_is_as_it_is(value: object, cell: str) -> None:
    assert shown.cell(value) == cell


def test_a_command_that_works_here_says_so_where_a_server_is_named(tmp_path: Path) -> None:
    config = tmp_path / "relayer.yaml"
    config.write_text("redis: {url: 'redis://127.0.0.1:1/0'}\n")
    told = CliRunner().invoke(
        app, ["dead", "-c", str(config)], env={"RELAYER_SERVER": "https://relayer.example.com"}
    )
    assert "RELAYER_SERVER is set; this command works here all the same" in told.stderr

"""Each guarantee about approvals names a test that is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/approvals.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _tests_of(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE.read_text()))))
def test_a_guarantee_s_test_is_there(file: str, test: str) -> None:
    assert test in _tests_of(ROOT / file)


def test_every_row_of_never_names_a_test() -> None:
    never = PAGE.read_text().split("## Never")[1].split("\n## ")[0]
    rows = [line for line in never.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 9
    assert [row for row in rows if not NAMED.search(row)] == []

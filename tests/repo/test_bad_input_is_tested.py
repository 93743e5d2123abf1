"""Every case of bad input that was ordered is on its page, and every test the page names exists."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = Path(__file__).parents[2] / "docs/reference/bad-input.md"
ORDERED = {
    *("missing kubeconfig", "expired kubeconfig"),
    *("API server unreachable at start", "API server unreachable midway"),
    *("cluster without MachineConfig API", "RBAC 403 on one kind"),
    *("malformed payload", "payload without the tag", "digest mismatch"),
    *("registry 401", "registry 404", "registry 429", "registry 5xx", "registry hangs"),
    "disk full during build",
    *("Containerfile with no base", "Containerfile with an ambiguous base"),
    "Containerfile from scratch",
    *("recipe directory missing", "recipe directory with links leaving it"),
    *("unknown pool in the config", "two recipes for one pool"),
    *("non-UTF-8 files", "a tag where a digest is needed"),
}
WHOLE_SERVICE = "test_bad_input_"
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def rows(part: str) -> list[list[str]]:
    """The cells of each row of the tables in a part of the page."""
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "case"]


def named(text: str) -> set[tuple[str, str]]:
    return set(NAMED.findall(text))


def existing(pattern: str = "test_*.py") -> set[tuple[str, str]]:
    """File and name of each test function in files of these names."""
    return {
        (file.name, node.name)
        for file in TESTS.rglob(pattern)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def test_the_page_has_exactly_the_cases_that_were_ordered() -> None:
    ordered, _, _ = PAGE.read_text().partition("\n## ")
    assert {row[0].partition(":")[0] for row in rows(ordered)} == ORDERED


def test_every_case_says_what_and_where_and_how_it_goes_on() -> None:
    for row in rows(PAGE.read_text()):
        assert len(row) == 5, row
        assert all(row), row


def test_every_test_that_the_page_names_exists() -> None:
    assert named(PAGE.read_text()) - existing() == set()


def test_every_case_is_tested_through_the_running_service() -> None:
    without = [
        row[0]
        for row in rows(PAGE.read_text())
        if not any(file.startswith(WHOLE_SERVICE) for file, _ in named(row[-1]))
    ]
    assert without == []


def test_every_such_test_is_on_the_page() -> None:
    ours = existing(f"{WHOLE_SERVICE}*.py")
    this = {pair for pair in ours if pair[0] == Path(__file__).name}
    assert ours - this - named(PAGE.read_text()) == set()

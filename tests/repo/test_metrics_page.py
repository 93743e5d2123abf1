"""The page about metrics: every figure as the code has it, and a scrape as it is."""

import asyncio
import re
import subprocess

import pytest

from tests.facts import T0
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.figures import everything
from tests.repo.metrics_page import BEGINS, PAGE, written
from tests.repo.rules import asked
from watcher.metrics.figure import MOST_HOSTS, MOST_METHODS, Kind
from watcher.metrics.figures import FIGURES, SECTIONS

TEXT = PAGE.read_text("utf-8")
EXPRESSIONS = [
    found.replace(r"\|", "|")
    for found in re.findall(r"^\| [^|`]+ \| `(.+)` \|$", TEXT, re.MULTILINE)
]


def series_of(name: str) -> str:
    return name if name in FIGURES else name.rpartition("_")[0]


def test_the_tables_are_those_of_the_code() -> None:
    assert written(TEXT) == TEXT, "write them anew: .venv/bin/python -m tests.repo.metrics_page"


def test_each_figure_is_there_once_with_type_labels_and_values() -> None:
    tables = TEXT.partition(BEGINS)[2]
    rows = re.findall(r"^\| `(relayer_\w+)` \| (\w+) \|[^|]*\| ([^|]*) \|", tables, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(FIGURES)
    for name, kind, labels in rows:
        assert kind == FIGURES[name].kind
        assert re.findall(r"`(\w+)`", labels) == [la.name for la in FIGURES[name].labels]
    for title, figures in SECTIONS.items():
        section = tables.partition(f"### {title}\n")[2].partition("\n### ")[0]
        for label in (label for figure in figures for label in figure.labels):
            for value in label.values:
                assert f"`{value}`" in section, (title, label.name, value)


def test_the_questions_ask_for_figures_that_exist() -> None:
    assert len(EXPRESSIONS) == 8
    for expression in EXPRESSIONS:
        said = asked(expression)
        assert said.names
        for name in said.names:
            assert series_of(name) in FIGURES
        for name, label, value in said.matchers:
            [known] = [one for one in FIGURES[name].labels if one.name == label]
            assert set(value.split("|")) <= set(known.values)


async def test_the_scrape_that_is_shown_is_one() -> None:
    _, found = await everything(FakeStore(FixedClock(T0)))
    shown = TEXT.partition("```text\n")[2].partition("```")[0].splitlines()
    assert len(shown) > 20
    there = set(found.text.splitlines())
    for line in shown:
        assert line in there or line.startswith("relayer_build_info"), line


@pytest.mark.real("promtool")
def test_prometheus_finds_nothing_to_mend_in_a_scrape() -> None:
    _, found = asyncio.run(everything(FakeStore(FixedClock(T0))))
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=found.text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_numbers_that_the_page_says_are_those_of_the_code() -> None:
    assert f"registries beyond {MOST_HOSTS} and methods of Slack beyond\n{MOST_METHODS}" in TEXT
    assert {figure.kind for figure in FIGURES.values()} == set(Kind)

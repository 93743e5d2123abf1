"""The page about states: every state and flag as the code has them, and the JSON's names."""

import json
import re
from pathlib import Path
from typing import Any

from tests.unit.test_classify import of
from watcher.core.classify import BY_MCO, BY_SOMEBODY, BY_US
from watcher.core.state import Flag, State
from watcher.shown_drift import pool_row

PAGE = (Path(__file__).parents[2] / "docs/states.md").read_text()
STATES = PAGE.partition("## States")[2].partition("## Flags")[0]
FLAGS = PAGE.partition("## Flags")[2].partition("## JSON")[0]
SHOWN: Any = json.loads(PAGE.partition("```json\n")[2].partition("```")[0])


def test_the_table_has_exactly_the_states_in_order() -> None:
    rows = re.findall(r"^\| \[([a-z-]+)\]\(#([a-z-]+)\) \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    assert rows == [(str(state), str(state)) for state in State]


def test_each_state_has_its_evidence_and_what_to_do() -> None:
    sections = re.findall(r"^### (\S+)\n\n(.*?)(?=^### |\Z)", STATES, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == [str(state) for state in State]
    for name, text in sections:
        assert re.search(r"^Evidence: .", text, re.MULTILINE), name
        assert re.search(r"^To do: .", text, re.MULTILINE), name


def test_the_precedence_names_every_state() -> None:
    said = PAGE.partition("the first of these counts:")[2].partition("| state |")[0]
    assert set(re.findall(r"`([a-z-]+)`", said)) == set(State)


def test_the_flags_are_exactly_those_of_the_code() -> None:
    rows = re.findall(r"^\| ([a-z-]+) \| .+ \| .+ \| .+ \|$", FLAGS, re.MULTILINE)
    assert rows[1:] == [str(flag) for flag in Flag]


def test_the_json_that_is_shown_has_the_names_that_there_are() -> None:
    [shown] = SHOWN["clusters"][0]["pools"]
    made = pool_row(of())
    assert list(shown) == list(made)
    for name in ("base", "override", "lag", "nodes"):
        assert list(shown[name]) == list(made[name]), name


def test_who_can_have_made_an_override_is_said() -> None:
    said = PAGE.partition("`override.by` is ")[2].partition(".")[0]
    assert re.findall(r"`([a-z-]+)`", said) == [BY_US, BY_MCO, BY_SOMEBODY]

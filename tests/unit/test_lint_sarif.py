"""SARIF as code scanning takes it: the properties that the standard and GitHub require."""

import json
from typing import Any

import pytest

from tests.linting import BASE, a_recipe, complaints
from watcher.core.lint import RULES, lint
from watcher.core.lint.sarif import sarif

TEXT = BASE + "COPY a /opt/\nCOPY a /opt/\nENV TOKEN=hunter2\nCMD x\n"


def run_of(text: str = TEXT, file: str = "recipes/gpu/Containerfile") -> dict[str, Any]:
    found = lint(a_recipe(text, "a"), file=file)
    document = json.loads(json.dumps(sarif(found, version="0.1.0")))
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    [run] = document["runs"]
    assert isinstance(run, dict)
    return run


def test_every_rule_is_described() -> None:
    driver = run_of()["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("relayer lint", "0.1.0")
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        for key in ("shortDescription", "fullDescription", "help"):
            assert 0 < len(rule[key]["text"]) <= 1024


def test_every_result_has_its_place() -> None:
    run = run_of()
    assert {result["level"] for result in run["results"]} == {"error", "warning", "note"}
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        [location] = result["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "recipes/gpu/Containerfile"}
        assert place["region"]["startLine"] in (2, 3, 4, 5)
        assert result["partialFingerprints"]["primaryLocationLineHash"]


def test_results_are_told_apart_and_known_again_when_lines_move() -> None:
    def marks(text: str) -> list[str]:
        return [
            r["partialFingerprints"]["primaryLocationLineHash"] for r in run_of(text)["results"]
        ]

    assert len(set(marks(TEXT))) == len(marks(TEXT)) == 4
    assert marks(TEXT.replace("COPY", "# a comment\nCOPY", 1)) == marks(TEXT)


def test_a_file_name_is_written_as_an_address() -> None:
    [first, *_] = run_of(file="a b/Container#file")["results"]
    place = first["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "a%20b/Container%23file"}


def test_no_value_gets_into_it() -> None:
    assert "hunter2" not in json.dumps(run_of())


@pytest.mark.parametrize("text", ["", "\0", "FROM scratch"])
def test_what_cannot_be_read_is_a_result_too(text: str) -> None:
    assert [result["level"] for result in run_of(text)["results"]] == ["error"]
    assert len(complaints(text)) == 1

"""The page about lint: every rule as the code has it, with examples that are what they say."""

import re
from pathlib import Path

import pytest

from tests.linting import lines
from watcher.cli.exits import Code
from watcher.core.lint import RULES, PoolContext

PAGE = (Path(__file__).parents[2] / "docs/lint.md").read_text()
COMMAND = (Path(__file__).parents[2] / "watcher/cli/lint_command.py").read_text()
POOL = PoolContext(files={"/etc/chrony.conf": "50-chrony"})
FILES = (
    *("tool", "chrony.conf", "pull-secret.json", "agent.service", "install.sh", "chrony.conf"),
    *("models/big", "models/small/one"),
)
SIZES = {"models/big": 300 << 20}
WITH_EXAMPLES = [code for code in RULES if code != "RL090"]


def section(code: str) -> str:
    found = re.search(rf"^### {code} [\s\S]*?(?=^### |\Z)", PAGE, re.MULTILINE)
    assert found, code
    return found.group()


def test_the_table_has_exactly_the_rules() -> None:
    rows = re.findall(r"^\| \[(RL[0-9]+)\]\(#([^)]*)\) \| (.*?) \| (.*?) \| (.*) \|$", PAGE, re.M)
    assert rows == [
        (
            rule.code,
            f"{rule.code.lower()}-{rule.name}",
            rule.name,
            ", ".join(rule.severities),
            rule.title,
        )
        for rule in RULES.values()
    ]


def test_the_sections_are_exactly_the_rules_in_order() -> None:
    headings = re.findall(r"^### (RL[0-9]+) (.*)$", PAGE, re.MULTILINE)
    assert headings == [(rule.code, rule.name) for rule in RULES.values()]


@pytest.mark.parametrize("code", RULES)
def test_a_section_says_what_the_code_says(code: str) -> None:
    rule, said = RULES[code], section(code)
    assert rule.why in " ".join(said.split())
    assert re.findall(r"^Source: <(.*)>$", said, re.MULTILINE) == [rule.source] * bool(rule.source)


@pytest.mark.parametrize("code", WITH_EXAMPLES)
def test_the_bad_example_is_complained_about_and_the_good_one_is_not(code: str) -> None:
    examples = re.findall(r"^(Bad|Good):\n\n```dockerfile\n(.*?)```", section(code), re.M | re.S)
    assert [which for which, _ in examples] == ["Bad", "Good"]
    found = [
        lines(code, text.replace("…", "0" * 64), *FILES, sizes=SIZES, context=POOL)
        for _, text in examples
    ]
    assert found[0]
    assert not found[1]


def test_the_comment_that_the_page_shows_is_one() -> None:
    shown = re.findall(r"^# relayer:ignore (RL[0-9]+) ", PAGE.partition("## Of a pool")[0], re.M)
    assert shown == ["RL009"]


def test_the_page_names_the_options_and_exit_codes_that_there_are() -> None:
    named = set(re.findall(r"(--[a-z]+)", PAGE.partition("## Rules")[0]))
    assert named == {"--strict", "--release", "--format"}
    assert all(f'"{option}"' in COMMAND for option in named)
    codes = re.findall(r"^\| ([0-9]) \|", PAGE, re.MULTILINE)
    assert [int(code) for code in codes] == [Code.OK, Code.FAILED, Code.USAGE, Code.REFUSED]

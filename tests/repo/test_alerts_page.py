"""The page about alerts: every rule, its thresholds and times as the code has them."""

import re
from pathlib import Path

import pytest
import typer.main

from watcher.alert_rules import NEWS
from watcher.cli.app import app
from watcher.config import durations
from watcher.core.alerts import WAITS, Rule
from watcher.core.notices import AGAIN, MOST, PLACES, RENEWED
from watcher.settings import NoticeSettings
from watcher.settings_alerts import AlertSettings

PAGE = (Path(__file__).parents[2] / "docs/alerts.md").read_text()
DEFAULTS = AlertSettings()
ROWS = re.findall(
    r"^\| \[([a-z-]+)\]\(#([a-z-]+)\) \| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE
)
RULES = PAGE.partition("## Rules")[2].partition("## Of a monitoring")[0]
TIMES = {
    Rule.CERTIFICATE: (DEFAULTS.certificate_seconds, " left"),
    Rule.PAUSED: (DEFAULTS.paused_seconds, ""),
    Rule.APPROVAL_WAITING: (DEFAULTS.approval_seconds, ""),
    Rule.ROLLOUT_STALLED: (DEFAULTS.stalled_seconds, ""),
    Rule.BLIND: (DEFAULTS.blind_seconds, ""),
    Rule.QUEUE_NOT_MOVING: (DEFAULTS.queue_seconds, ""),
}


def text(seconds: float | None) -> str:
    assert seconds is not None
    return durations.text(seconds)


def section(rule: str) -> str:
    return RULES.partition(f"\n### {rule}\n")[2].partition("\n### ")[0]


def test_the_table_has_every_rule_in_order() -> None:
    assert [(name, anchor) for name, anchor, *_ in ROWS] == [(str(r), str(r)) for r in Rule]


@pytest.mark.parametrize("rule", TIMES)
def test_a_threshold_in_the_table_is_the_default(rule: Rule) -> None:
    (row,) = [row for row in ROWS if row[0] == rule]
    threshold, more = TIMES[rule]
    assert row[2:4] == (text(threshold.warning) + more, text(threshold.critical) + more)


def test_thresholds_that_are_counted_are_the_defaults() -> None:
    said = {row[0]: row[2:4] for row in ROWS}
    releases, minors, days = DEFAULTS.lag_releases, DEFAULTS.lag_minors, DEFAULTS.lag_seconds
    assert said["lag"] == (
        f"{releases.warning} release, {minors.warning} minor, {text(days.warning)}",
        f"{releases.critical} releases, {minors.critical} minors, {text(days.critical)}",
    )
    builds = DEFAULTS.builds_failed
    assert said["build-failing"] == (f"{builds.warning} build", f"{builds.critical} builds")


def test_how_long_each_must_hold_is_as_in_the_code() -> None:
    for name, _, _, _, lasts, _ in ROWS:
        wait = WAITS[Rule(name)].total_seconds()
        assert lasts == (text(wait) if wait else "at once"), name
    assert WAITS[Rule.HELD].total_seconds() == NoticeSettings().hold_seconds


@pytest.mark.parametrize("rule", Rule)
def test_each_rule_says_what_it_means_and_what_to_do(rule: Rule) -> None:
    for word in ("Means", "Severity", "To do"):
        assert re.search(rf"^{word}: .", section(rule), re.MULTILINE), word


def test_the_sections_are_the_rules_in_order() -> None:
    assert re.findall(r"^### (\S+)$", RULES, re.MULTILINE) == [str(rule) for rule in Rule]


def test_each_rule_is_told_as_severities_that_its_row_has() -> None:
    for name, _, warning, critical, *_ in ROWS:
        said = section(name).partition("Severity: ")[2].partition("\n\n")[0]
        if (warning, critical) == ("never", "never"):
            assert said.startswith("`info`"), name
        elif critical == "never":
            assert said.startswith("`warning`"), name
        elif warning == "never":
            assert said.startswith("`critical`"), name


def test_what_is_said_of_numbers_is_so() -> None:
    minutes = {round(one.total_seconds() / 60) for one in (AGAIN, RENEWED)}
    assert minutes == {30}
    assert "comes back within 30 minutes" in PAGE
    assert f"names {PLACES} pools" in PAGE
    assert f"At most {MOST} notices" in PAGE


def test_news_are_said_to_be_none_that_can_be_turned_off() -> None:
    said = PAGE.partition("`alerts.disabled` turns rules off; ")[2].partition(" are news")[0]
    assert set(re.findall(r"`([a-z-]+)`", said)) == set(NEWS)


def test_the_commands_that_it_names_exist() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group
    assert set(re.findall(r"`relayer ([a-z-]+)", PAGE)) <= known


def test_every_rule_that_it_names_in_its_tables_exists() -> None:
    tables = PAGE.partition("### When something else tells it")[2].partition("### Blind")[0]
    named = {word for row in tables.splitlines() if row.startswith("|")
             for word in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", row)}  # fmt: skip
    assert named <= set(Rule)

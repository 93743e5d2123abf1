"""The alert rules: they ask for figures that exist, say what to do, and fire when they should."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from tests.repo.rules import OBJECT, RULES, as_object, asked, groups, rules
from watcher.alert_rules import RULES as RULES_OF_OURS
from watcher.cli.app import app
from watcher.metrics.figure import Kind
from watcher.metrics.figures import FIGURES
from watcher.settings_alerts import AlertSettings

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests/promtool").glob("*.test.yaml"))
ALL = [pytest.param(one, id=f"{one['alert']}-{one['labels']['severity']}") for one in rules()]
THRESHOLDS = {
    "RelayerPoolLagReleases": "lag_releases",
    "RelayerPoolLagMinors": "lag_minors",
    "RelayerPoolLagTime": "lag_seconds",
    "RelayerPoolPaused": "paused_seconds",
    "RelayerPoolCertificate": "certificate_seconds",
    "RelayerApprovalWaiting": "approval_seconds",
    "RelayerBuildsFailing": "builds_failed",
    "RelayerClusterBlind": "blind_seconds",
    "RelayerQueueNotMoving": "queue_seconds",
}
"""Alerts with a threshold in their expression → where Relayer's own alerts have it."""
LASTING = {"RelayerRolloutStalled": "stalled_seconds"}
"""The same for those with it in `for`."""
LEAST = {
    "relayer_cluster_observed_timestamp_seconds",
    "relayer_pool_certificate_timestamp_seconds",
}
"""Figures of which the smallest of all replicas is the worst."""
OF_A_MONITORING = {
    "not-looked-at",
    "dead-letters",
    "messages-waiting",
    "no-leader",
    "heartbeat-missing",
    "down",
}
"""Rules that only somebody beside Relayer can tell of, or that chat would not hear of."""
LESS_IS_WORSE = "certificate_seconds"
"""Time that is left."""
MAINTENANCE = (
    ' unless on (cluster) max by (cluster) (relayer_cluster_stage{stage="in-progress"}) == 1'
)
"""A cluster that is being upgraded: all of its pools lag for a while."""
TAKEN = re.compile(r"\bby \(([a-z, ]+)\) \((relayer_\w+)")
"""Labels by which a figure is taken together, and the figure."""
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def listed(labels: str) -> set[str]:
    return {label.strip() for label in labels.split(",")}


def seconds(duration: str) -> int:
    return int(duration[:-1]) * SECONDS[duration[-1]]


# --- what they ask for ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL)
def test_it_asks_for_figures_labels_and_values_that_exist(rule: Mapping[str, Any]) -> None:
    said = asked(rule["expr"])
    assert said.names
    assert said.names <= set(FIGURES)
    for name, label, value in said.matchers:
        [known] = [one for one in FIGURES[name].labels if one.name == label]
        assert not known.values or value in known.values, value
    for by, name in TAKEN.findall(rule["expr"]):
        assert listed(by) <= {la.name for la in FIGURES[name].labels}
    # What two figures are compared by, both have.
    for on in re.findall(r"\bon \(([a-z, ]+)\)", rule["expr"]):
        assert all(listed(on) <= listed(by) for by, _ in TAKEN.findall(rule["expr"]))


@pytest.mark.parametrize("rule", ALL)
def test_two_replicas_are_one_alert(rule: Mapping[str, Any]) -> None:
    """What all replicas tell is taken together; `instance` never reaches an alert."""
    said = asked(rule["expr"])
    for name in said.names:
        figure = FIGURES[name]
        assert figure.kind is Kind.GAUGE, "a counter needs a rate"
        worst = "min" if name in LEAST else "max"
        taken = rf"\b{worst}\s*(by \([a-z, ]+\))?\s*\({name}\b"
        assert re.search(rf"{taken}|\babsent\({name}\)", rule["expr"])


@pytest.mark.parametrize("rule", ALL)
def test_it_names_only_labels_that_it_has(rule: Mapping[str, Any]) -> None:
    said = asked(rule["expr"])
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= said.grouped


# --- what they say -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL)
def test_it_says_what_it_is_and_what_to_do(rule: Mapping[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["alert"].startswith("Relayer")
    assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})
    said = rule["annotations"]
    assert list(said) == ["summary", "description", "runbook"]
    assert all(text and "\n" not in text for text in said.values())
    assert not said["summary"].endswith(".")
    assert said["description"].endswith(".")
    assert re.fullmatch(r"docs/alerts\.md#[a-z]+(-[a-z]+)*", said["runbook"])


@pytest.mark.parametrize("rule", ALL)
def test_the_commands_that_it_names_exist(rule: Mapping[str, Any]) -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group
    for text in rule["annotations"].values():
        assert set(re.findall(r"`relayer ([a-z-]+)", text)) <= known


@pytest.mark.parametrize("rule", ALL)
def test_the_page_has_its_section(rule: Mapping[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    page = (ROOT / path).read_text("utf-8")
    assert re.search(rf"^#+ `?{re.escape(anchor)}`?$", page, re.MULTILINE), anchor


def test_they_are_the_rules_that_relayer_has_and_those_of_a_monitoring() -> None:
    told = {rule["annotations"]["runbook"].partition("#")[2] for rule in rules()}
    assert told == set(RULES_OF_OURS) | OF_A_MONITORING


def test_one_pool_is_told_of_by_one_severity_at_a_time() -> None:
    for name, field in THRESHOLDS.items():
        default = getattr(AlertSettings(), field)
        for rule in rules():
            if rule["alert"] == name and rule["labels"]["severity"] == "warning":
                other = ">" if field == LESS_IS_WORSE else "<"
                judged = rule["expr"].removesuffix(MAINTENANCE)
                assert judged.endswith(f" {other} {int(default.critical)}")


def test_lag_is_no_alert_while_the_cluster_is_upgraded() -> None:
    """Lag alone: what else is wrong with a pool is so during an upgrade as well."""
    for rule in rules():
        is_lag = rule["alert"].startswith("RelayerPoolLag")
        assert rule["expr"].endswith(MAINTENANCE) == is_lag, rule["alert"]
        assert "relayer_cluster_stage" not in rule["expr"].removesuffix(MAINTENANCE)


# --- thresholds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL)
def test_its_threshold_is_the_default_of_our_own_alerts(rule: Mapping[str, Any]) -> None:
    name, severity = rule["alert"], rule["labels"]["severity"]
    if name in THRESHOLDS:
        default = getattr(getattr(AlertSettings(), THRESHOLDS[name]), severity)
        found = re.search(r"[<>]= ([0-9]+)", rule["expr"])
        assert found
        assert float(found[1]) == default
    elif name in LASTING:
        default = getattr(getattr(AlertSettings(), LASTING[name]), severity)
        # A moment more than at once, so that one scrape alone wakes nobody.
        assert seconds(rule["for"]) == max(default, 300)


def test_each_threshold_that_can_be_set_is_one_of_a_rule() -> None:
    settings = AlertSettings()
    ours = {f.name for f in fields(AlertSettings) if hasattr(getattr(settings, f.name), "critical")}
    assert ours == {*THRESHOLDS.values(), *LASTING.values()}
    told = {rule["alert"] for rule in rules()}
    assert {*THRESHOLDS, *LASTING} <= told


def test_a_day_paused_is_a_day_whether_since_when_is_known_or_not() -> None:
    [rule] = [rule for rule in rules() if rule["alert"] == "RelayerPoolPausedIdle"]
    assert seconds(rule["for"]) == AlertSettings().paused_seconds.warning


# --- the object ----------------------------------------------------------------------------------


def test_the_object_has_the_same_rules() -> None:
    assert OBJECT.read_text("utf-8") == as_object(), "write it anew as its head says"
    assert groups(OBJECT) == groups(RULES)
    read = yaml.safe_load(OBJECT.read_text("utf-8"))
    assert (read["apiVersion"], read["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert re.fullmatch(r"[a-z0-9-]+", read["metadata"]["name"])


# --- promtool ------------------------------------------------------------------------------------


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.real("promtool")
def test_prometheus_takes_the_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(ALL)} rules found" in done.stdout


@pytest.mark.real("promtool")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_they_fire_when_they_should_and_not_before(case: Path) -> None:
    done = promtool("test", "rules", case)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_firing_and_silent() -> None:
    fired, silent = set[str](), set[str]()
    for case in CASES:
        for test in yaml.safe_load(case.read_text("utf-8"))["tests"]:
            for one in test.get("alert_rule_test", ()):
                (fired if one["exp_alerts"] else silent).add(one["alertname"])
            for one in test.get("promql_expr_test", ()):
                if one["exp_samples"]:
                    fired |= set(re.findall(r'alertname="(\w+)"', str(one)))
                else:
                    silent |= _meant(one["expr"])
    names = {rule["alert"] for rule in rules()}
    assert fired == names
    assert silent == names


def _meant(expression: str) -> set[str]:
    """Alerts that an expression over ALERTS may find."""
    named = re.search(r'alertname(=~?)"([^"]+)"', expression)
    names = {rule["alert"] for rule in rules()}
    return {name for name in names if re.fullmatch(named[2], name)} if named else names

"""The alert rules ask for figures that exist, and are rules."""

import re
from pathlib import Path

import yaml

from watcher.metrics import Metrics

RULES = Path(__file__).parents[2] / "config/alerts/relayer.rules.yaml"


def _rules() -> list[dict[str, object]]:
    read = yaml.safe_load(RULES.read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def test_every_figure_an_alert_asks_for_is_one_of_ours() -> None:
    ours = {family.name for family in Metrics().registry.collect()}
    asked = {name for rule in _rules() for name in re.findall(r"relayer_\w+", str(rule["expr"]))}
    assert asked
    assert asked <= ours


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    for rule in _rules():
        said = rule["annotations"]
        assert isinstance(said, dict)
        assert set(said) == {"summary", "description"}
        assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})

"""The alert rules stand among the manifests as they stand in config/alerts.

To write them anew: .venv/bin/python -m tests.repo.test_manifests_rule
"""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/alerts/relayer.prometheusrule.yaml"
COPY = ROOT / "config/manifests/base/prometheusrule.yaml"
HEAD = """\
# Generated from config/alerts/relayer.prometheusrule.yaml; do not edit.
# To write it anew: .venv/bin/python -m tests.repo.test_manifests_rule
"""


def as_manifest() -> str:
    """Return the object with the names and labels that all of ours have."""
    made: dict[str, Any] = yaml.safe_load(RULES.read_text("utf-8"))
    labels = {"app.kubernetes.io/name": "relayer", "app.kubernetes.io/instance": "relayer"}
    made["metadata"] = {"name": "relayer", "namespace": "relayer", "labels": labels}
    return HEAD + yaml.safe_dump(made, sort_keys=False, width=10_000, allow_unicode=True)


def test_the_rules_among_the_manifests_are_those_of_the_alerts() -> None:
    assert COPY.read_text("utf-8") == as_manifest()


if __name__ == "__main__":
    COPY.write_text(as_manifest(), encoding="utf-8")

"""The alert rules, read; writes their object: `python -m tests.repo.rules`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "config/alerts"
RULES = FOLDER / "relayer.rules.yaml"
OBJECT = FOLDER / "relayer.prometheusrule.yaml"
HEAD = """\
# Generated from relayer.rules.yaml; do not edit.
# To write it anew: .venv/bin/python -m tests.repo.rules
# Load it into a namespace whose rules your monitoring reads: oc apply -n NAMESPACE -f FILE
"""
_NAME = re.compile(r"\brelayer_\w+")
_SELECTED = re.compile(r"\b(relayer_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r'\s*(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"\s*')
_GROUPED = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an expression asks of the figures."""

    names: frozenset[str]
    matchers: frozenset[tuple[str, str, str]]
    """Figure, label and what it is compared with."""
    grouped: frozenset[str]
    """Labels that it groups by."""


def asked(expression: str) -> Asked:
    """Read an expression as far as we write them."""
    matchers = {
        (name, *match)
        for name, inside in _SELECTED.findall(expression)
        for match in _MATCHER.findall(inside)
    }
    grouped = {
        label.strip() for inside in _GROUPED.findall(expression) for label in inside.split(",")
    }
    return Asked(frozenset(_NAME.findall(expression)), frozenset(matchers), frozenset(grouped))


def groups(path: Path = RULES) -> list[dict[str, Any]]:
    read = yaml.safe_load(path.read_text("utf-8"))
    found: list[dict[str, Any]] = (read.get("spec") or read)["groups"]
    return found


def rules() -> Iterator[Mapping[str, Any]]:
    for group in groups():
        yield from group["rules"]


def as_object() -> str:
    """Return the rules as a PrometheusRule of the Prometheus operator."""
    made = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "relayer", "labels": {"app.kubernetes.io/name": "relayer"}},
        "spec": {"groups": groups()},
    }
    return HEAD + yaml.safe_dump(made, sort_keys=False, width=10_000, allow_unicode=True)


if __name__ == "__main__":
    OBJECT.write_text(as_object(), encoding="utf-8")

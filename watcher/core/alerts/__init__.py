"""Alerts: rules that hold for a pool, a cluster or the service. Pure.

A rule that holds is a case; `notices` makes of all cases the messages that stand, one for each
cause and place. docs/alerts.md is compared with this by test.
"""

from watcher.core.alerts.cases import cases
from watcher.core.alerts.model import (
    FROM_FINDINGS,
    FROM_LOOKS,
    RANKS,
    WAITS,
    Case,
    Facts,
    Failing,
    Limits,
    Rule,
    View,
    cause_of,
    cluster_of,
    rule_of,
    worst,
)

__all__ = [
    "FROM_FINDINGS",
    "FROM_LOOKS",
    "RANKS",
    "WAITS",
    "Case",
    "Facts",
    "Failing",
    "Limits",
    "Rule",
    "View",
    "cases",
    "cause_of",
    "cluster_of",
    "rule_of",
    "worst",
]

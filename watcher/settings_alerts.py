"""Settings of alerts: when something is told as wrong, to whom again, and the heartbeat.

A part of `watcher.settings`, which has them all by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """From where on a figure is a warning, and from where on it is critical; None: never."""

    warning: float | None = None
    critical: float | None = None


def _days(warning: float | None, critical: float | None) -> Threshold:
    """The same in seconds."""
    one = 86400.0
    return Threshold(
        warning=None if warning is None else warning * one,
        critical=None if critical is None else critical * one,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEscalation:
    """Who is told too when an alert has lasted, and nobody has silenced it."""

    after_seconds: float
    to: tuple[str, ...]
    severities: tuple[str, ...] = ("critical",)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSettings:
    """A request to somebody who tells when it does not come: nobody else can tell that we do not
    run. It is sent only while everything is seen."""

    url: str = ""
    """Empty: none is sent."""
    secret_file: Path | None = None
    secret_env: str = ""
    """Signs it like a webhook; without one it is not signed."""
    ca_file: Path | None = None
    every_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Thresholds by rule; see docs/alerts.md. Figures without a unit are counts."""

    lag_releases: Threshold = field(default_factory=lambda: Threshold(warning=1, critical=5))
    lag_minors: Threshold = field(default_factory=lambda: Threshold(warning=1, critical=2))
    lag_seconds: Threshold = field(default_factory=lambda: _days(30, 90))
    """Between the builds of the two OS images."""
    paused_seconds: Threshold = field(default_factory=lambda: _days(1, 7))
    certificate_seconds: Threshold = field(default_factory=lambda: _days(30, 7))
    """Time left, so the smaller one is the worse."""
    approval_seconds: Threshold = field(default_factory=lambda: _days(1, 3))
    stalled_seconds: Threshold = field(default_factory=lambda: _days(0, 1 / 12))
    """How long a rollout may be late; 2 h until it is critical."""
    builds_failed: Threshold = field(default_factory=lambda: Threshold(warning=1, critical=3))
    """Builds for a pool that failed one after another."""
    blind_seconds: Threshold = field(
        default_factory=lambda: Threshold(warning=300.0, critical=900.0)
    )
    """How long a cluster, or a pool of it, was not seen."""
    queue_seconds: Threshold = field(
        default_factory=lambda: Threshold(warning=300.0, critical=900.0)
    )
    """How long a job has been due without anybody working on it."""
    wait_seconds: Mapping[str, float] = field(default_factory=dict)
    """Rule → how long it must hold before it is told, where that differs from the rule's own."""
    off: tuple[str, ...] = ()
    """Rules that nobody wants to hear of."""
    escalations: tuple[AlertEscalation, ...] = ()
    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)

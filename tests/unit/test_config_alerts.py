"""Alerts as they are configured: thresholds, rules, escalations, the heartbeat."""

from pathlib import Path

import pytest

from tests.unit.test_config import problems
from watcher.alert_rules import RULES
from watcher.config import effective, load_text
from watcher.settings import Settings
from watcher.settings_alerts import (
    AlertEscalation,
    AlertSettings,
    HeartbeatSettings,
    Threshold,
)

RULE = RULES[0]
DAY = 86400.0
HOOKS = "webhooks: [{name: pager, url: 'https://hooks.example.com/x', secret_env: S}]\n"
URL = "url: 'https://alive.example.com/x'"


def alerts(said: str, more: str = "") -> AlertSettings:
    return load_text(f"{more}alerts: {{{said}}}").alerts


def test_nothing_written_is_the_default() -> None:
    assert load_text("").alerts == AlertSettings()
    assert alerts("lag: , paused: {}, wait: {}, disabled: []") == AlertSettings()


@pytest.mark.parametrize(
    ("said", "field", "meant"),
    [
        ("lag: {warning: 10d, critical: 20d}", "lag_seconds", (10 * DAY, 20 * DAY)),
        ("lag: {warning: 10d}", "lag_seconds", (10 * DAY, 90 * DAY)),
        ("lag: {critical: 31d}", "lag_seconds", (30 * DAY, 31 * DAY)),
        ("lag: {critical: off}", "lag_seconds", (30 * DAY, None)),
        ("lag: {warning: off, critical: 1d}", "lag_seconds", (None, DAY)),
        ("lag: off", "lag_seconds", (None, None)),
        ("lag: {warning: }", "lag_seconds", (30 * DAY, 90 * DAY)),
        ("blind: {warning: 2m, critical: off}", "blind_seconds", (120, None)),
        ("stalled: {warning: 0s}", "stalled_seconds", (0, 7200)),
        ("certificate: {warning: 60d}", "certificate_seconds", (60 * DAY, 7 * DAY)),
        ("lag_releases: {warning: 3}", "lag_releases", (3, 5)),
        ("lag_minors: off", "lag_minors", (None, None)),
        ("builds_failed: {critical: off}", "builds_failed", (1, None)),
    ],
)
def test_a_threshold_is_written_whole_in_part_or_off(
    said: str, field: str, meant: tuple[float | None, float | None]
) -> None:
    made = alerts(said)
    assert getattr(made, field) == Threshold(warning=meant[0], critical=meant[1])
    assert load_text(effective(Settings(alerts=made))).alerts == made


def test_all_of_it_is_printed_as_a_file_that_says_the_same() -> None:
    made = alerts(
        f"blind: off, wait: {{{RULE}: 90s}}, disabled: [{RULE}],"
        " escalations: [{after: 1h, to: [webhook:pager], severities: [warning, critical]},"
        " {after: 1d, to: [webhook:pager]}],"
        f" heartbeat: {{{URL}, secret_env: S, ca_file: /ca.pem, every: 30s}}",
        HOOKS,
    )
    pager = ("webhook:pager",)
    assert made == AlertSettings(
        blind_seconds=Threshold(),
        wait_seconds={RULE: 90.0},
        off=(RULE,),
        escalations=(
            AlertEscalation(after_seconds=3600, to=pager, severities=("warning", "critical")),
            AlertEscalation(after_seconds=DAY, to=pager),
        ),
        heartbeat=HeartbeatSettings(
            url="https://alive.example.com/x",
            secret_env="S",
            ca_file=Path("/ca.pem"),
            every_seconds=30,
        ),
    )
    assert load_text(HOOKS + written(made)).alerts == made


def written(made: AlertSettings) -> str:
    """Its section of what is printed."""
    text = effective(Settings(alerts=made))
    return text[text.index("alerts:") :]


@pytest.mark.parametrize("every", [f"every: {n}" for n in ("1s", "24h")])
def test_how_often_it_beats_and_http_on_loopback(every: str) -> None:
    beat = alerts(f"heartbeat: {{url: 'http://127.0.0.1:9/x', {every}}}").heartbeat
    assert beat.url == "http://127.0.0.1:9/x"
    assert alerts("heartbeat: {url: ''}").heartbeat == HeartbeatSettings()


MISTAKES = {
    "count": ("lag_releases: {warning: 0}", "lag_releases.warning: expected a whole number from 1"),
    "half": ("builds_failed: {critical: 1.5}", "builds_failed.critical: expected a whole number"),
    "no count": ("lag_minors: {warning: true}", "lag_minors.warning: expected a whole number"),
    "time": ("lag: {warning: soon}", "lag.warning: 'soon' is no duration; write it like 90s"),
    "yes": ("lag: {warning: false}", "lag.warning: a duration is written like 90s, 10m"),
    "blind at once": (
        "blind: {warning: 90s}",
        "blind.warning: a quiet cluster is confirmed once a minute; expected 2m or more",
    ),
    "alone": ("lag: 30d", "lag: expected {warning: …, critical: …}, or off"),
    "list": ("lag: [1d, 2d]", "lag: expected {warning: …, critical: …}, or off"),
    "level": ("lag: {warn: 1d}", "unknown key `alerts.lag.warn`; did you mean `warning`?"),
    "less": (
        "paused: {warning: 2d, critical: 1d}",
        "paused: critical (24h) must be more than warning (2d)",
    ),
    "same": (
        "lag_releases: {warning: 5, critical: 5}",
        "lag_releases: critical (5) must be more than warning (5)",
    ),
    "less than the default": (
        "lag: {warning: 100d}",
        "lag: critical (90d) must be more than warning (100d); what is not written is the default",
    ),
    "certificates": (
        "certificate: {warning: 7d, critical: 30d}",
        "certificate: critical (30d) must be less than warning (7d)",
    ),
    "wait": (f"wait: {{{RULE}x: 1m}}", f"wait.{RULE}x: no alert rule is called `{RULE}x`; did you"),
    "waits how long": (f"wait: {{{RULE}: soon}}", f"wait.{RULE}: 'soon' is no duration"),
    "disabled": ("disabled: [weather]", "disabled[0]: no alert rule is called `weather`; there is"),
    "no place": (
        "escalations: [{after: 1h, to: [pager]}]",
        "escalations[0].to[0]: 'pager' is no place; write it like slack:C024BE91L or webhook:pager",
    ),
    "nowhere": ("escalations: [{after: 1h, to: []}]", "escalations[0].to: needs at least one item"),
    "unknown hook": (
        "escalations: [{after: 1h, to: [webhook:pagr]}]",
        "escalations[0].to[0]: no webhook is named `pagr`",
    ),
    "no slack": (
        "escalations: [{after: 1h, to: [slack:C024BE91L]}]",
        "escalations[0].to[0]: slack has no bot_token_file or bot_token_env",
    ),
    "at once": ("escalations: [{after: 0s, to: [webhook:x]}]", "after: expected a duration longer"),
    "severity": (
        "escalations: [{after: 1h, to: [webhook:x], severities: [info]}]",
        "escalations[0].severities[0]: expected 'warning' or 'critical'",
    ),
    "readable": (
        "heartbeat: {url: 'http://alive.example.com/'}",
        "heartbeat.url: what is sent would travel readable over http; use https",
    ),
    "login": (
        "heartbeat: {url: 'https://u:hunter2@alive.example.com/'}",
        "heartbeat.url: credentials in the url; put a secret that signs into a file",
    ),
    "scheme": ("heartbeat: {url: alive}", "heartbeat.url: expected a url that begins with https"),
    "two secrets": (
        f"heartbeat: {{{URL}, secret_env: S, secret_file: /s}}",
        "heartbeat: secret_file and secret_env are two places for one secret; keep one",
    ),
    "secret": (
        f"heartbeat: {{{URL}, secret: hunter2}}",
        "heartbeat.secret: secrets are never written here; use secret_file or secret_env",
    ),
    "nobody to send to": (
        "heartbeat: {secret_file: /s}",
        "heartbeat: nothing is sent without url; add it, or remove secret_file",
    ),
    "no tls": (
        "heartbeat: {url: 'http://127.0.0.1/', ca_file: /ca}",
        "heartbeat: ca_file belongs to an https url",
    ),
    "too often": (f"heartbeat: {{{URL}, every: 100ms}}", "heartbeat.every: "),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_said_with_its_line(case: str) -> None:
    said, sentence = MISTAKES[case]
    told = problems(f"log_level: info\nalerts: {{{said}}}")
    (found, *_) = [one for one in told if sentence in one]
    assert found.startswith("f:2: ")
    assert "hunter2" not in "".join(told)


def test_the_line_of_a_contradiction_is_that_of_what_is_written() -> None:
    said = "alerts:\n  lag:\n    warning: 100d\n  paused:\n    warning: 3d\n    critical: 2d\n"
    assert [one.split(" ")[0] for one in problems(said)] == ["f:3:", "f:6:"]

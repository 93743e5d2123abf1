"""What each rule of alerts says, at, below and above its thresholds, and when it holds back."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import facts as made
from tests.alerting import (
    DAY,
    HOUR,
    MINUTE,
    STALE,
    UPGRADING,
    VERSION,
    a_finding,
    a_freeze,
    a_surveyed,
    a_view,
    behind,
    flagged,
    held,
    only_told,
)
from tests.facts import T0, an_update, seconds
from watcher.core import alerts
from watcher.core.alerts import RANKS, WAITS, Case, Facts, Failing, Limits, Rule
from watcher.core.blocks import blocks
from watcher.core.cluster import CertExpiry
from watcher.core.facts import ClusterName, PoolName
from watcher.core.letters import Severity
from watcher.core.rollout import Expectation, Phase, judge
from watcher.core.state import Block, Finding, Flag, State
from watcher.core.update_events import UpdateState
from watcher.settings_alerts import AlertSettings, Threshold

INFO, WARNING, CRITICAL = Severity
PLACE = "prod/infra"
NOW = T0 + seconds(400 * DAY)
"""So that there is room for what began long ago."""


def found(*findings: Finding, settings: AlertSettings | None = None, **said: Any) -> list[Case]:
    """The cases of findings of one cluster that was seen a moment ago."""
    surveyed = said.pop("surveyed", None) or [a_surveyed(*findings, observed_at=NOW)]
    limits = Limits(alerts=settings or AlertSettings(), stale_seconds=STALE)
    return alerts.cases(Facts(now=NOW, surveyed=surveyed, **said), limits)


def told(cases: list[Case], *, quiet: bool = False) -> dict[Rule, Severity]:
    """The worst of each rule; those that hold back only if asked for."""
    worst: dict[Rule, Severity] = {}
    for case in cases:
        if case.is_quiet == quiet:
            worst[case.rule] = max(worst.get(case.rule, INFO), case.severity, key=RANKS.__getitem__)
    return worst


def looked(*views: Mapping[str, object], **said: Any) -> list[Case]:
    """The cases of looks that were a moment ago."""
    return found(views=[{**view, "at": NOW.isoformat()} for view in views], **said)


# --- lag -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "severity", "says"),
    [
        ({}, None, ""),
        ({"releases": 0, "minors": 0, "days": 0}, None, ""),
        ({"releases": 1}, WARNING, "1 release behind that of 4.16.9: warning by releases"),
        ({"releases": 4}, WARNING, "4 releases"),
        ({"releases": 5}, CRITICAL, "5 releases behind that of 4.16.9: critical by releases"),
        ({"minors": 1}, WARNING, "1 minor behind that of 4.16.9: warning by minors"),
        ({"minors": 2}, CRITICAL, "2 minors"),
        ({"days": 29}, None, ""),
        ({"days": 30}, WARNING, "30 days behind that of 4.16.9: warning by days"),
        ({"days": 89}, WARNING, "89 days"),
        ({"days": 90}, CRITICAL, "90 days"),
        (
            {"releases": 2, "minors": 0, "days": 95},
            CRITICAL,
            "2 releases and 95 days behind that of 4.16.9: critical by days",
        ),
        (
            {"releases": 6, "minors": 2, "days": 10},
            CRITICAL,
            "6 releases, 2 minors and 10 days behind that of 4.16.9: critical by releases and",
        ),
    ],
)
def test_lag_is_one_rule_as_bad_as_its_worst_unit(
    lag: dict[str, int], severity: Severity | None, says: str
) -> None:
    cases = found(behind(PLACE, **lag) if lag else a_finding())
    assert told(cases) == ({Rule.LAG: severity} if severity else {})
    assert all(says in case.sentence for case in cases)


def test_a_threshold_that_is_off_is_never_reached() -> None:
    never = Threshold()
    settings = AlertSettings(
        lag_releases=never, lag_minors=Threshold(critical=2), lag_seconds=never
    )
    assert found(behind(releases=50, minors=1, days=900), settings=settings) == []
    assert told(found(behind(minors=2), settings=settings)) == {Rule.LAG: CRITICAL}


def test_pools_of_a_cluster_that_lag_have_one_cause_and_those_of_another_have_another() -> None:
    surveyed = [
        a_surveyed(behind("prod/a"), behind("prod/b", releases=7), observed_at=NOW),
        a_surveyed(behind("test/a"), observed_at=NOW),
    ]
    causes = [case.cause for case in found(surveyed=surveyed)]
    assert (len(causes), len(set(causes))) == (3, 2)


def test_lag_does_not_begin_to_count_while_the_cluster_is_upgraded() -> None:
    surveyed = [a_surveyed(behind(releases=9), stage=UPGRADING, observed_at=NOW)]
    assert told(found(surveyed=surveyed)) == {}
    assert told(found(surveyed=surveyed), quiet=True) == {Rule.LAG: CRITICAL}
    done = replace(UPGRADING, completed=True)
    surveyed = [a_surveyed(behind(releases=9), stage=done, observed_at=NOW)]
    assert told(found(surveyed=surveyed)) == {Rule.LAG: CRITICAL}


ROLLING = ("applying", "rolling-out", "soaking", "rolling-back")
WAITING = ("waiting-for-build", "awaiting-approval", "scheduled")


@pytest.mark.parametrize("state", ROLLING)
def test_a_pool_that_is_given_its_image_raises_nothing_on_its_account(state: str) -> None:
    active = {PLACE: an_update(state=UpdateState(state))}
    paused = flagged(Flag.PAUSED, since=NOW - seconds(9 * DAY))
    degraded = flagged(Flag.DEGRADED, said="node a: x")
    stalled = a_finding(blocks=(Block(target="next patch", why="pool infra is paused: x"),))
    for finding in (behind(releases=9), paused, degraded, stalled):
        assert told(found(finding)) != {}
        assert told(found(finding, active=active)) == {}
        assert len(told(found(finding, active=active), quiet=True)) == 1


@pytest.mark.parametrize("state", WAITING)
def test_an_update_that_waits_tells_of_a_small_lag_itself(state: str) -> None:
    active = {PLACE: an_update(state=UpdateState(state))}
    assert told(found(behind(releases=4), active=active)) == {}
    assert told(found(behind(releases=5), active=active)) == {Rule.LAG: CRITICAL}
    assert told(found(behind("prod/gpu"), active=active)) == {Rule.LAG: WARNING}


@pytest.mark.parametrize("scope", ["", "prod", "prod/infra"])
def test_a_frozen_pool_lags_for_information_and_blocks_all_the_same(scope: str) -> None:
    until = Block(target="certificates", why="x", until=NOW + seconds(DAY))
    minor = Block(target="4.17", why="pool infra blocks the upgrade to 4.17: its kubelet")
    finding = replace(behind(releases=9), blocks=(until, minor))
    frozen = [a_freeze(scope, at=T0, until=None)]
    assert told(found(finding, freezes=frozen)) == {
        Rule.LAG: INFO,
        Rule.CERTIFICATE: CRITICAL,
        Rule.BLOCKS_MINOR: WARNING,
    }
    elsewhere = [a_freeze("test", until=None), a_freeze("prod", until=NOW)]
    assert told(found(finding, freezes=elsewhere))[Rule.LAG] is CRITICAL


def test_a_blackout_makes_a_warning_information_and_hides_nothing_critical() -> None:
    out = frozenset({PLACE})
    assert told(found(behind(), blacked_out=out)) == {Rule.LAG: INFO}
    assert told(found(behind(releases=5), blacked_out=out)) == {Rule.LAG: CRITICAL}
    assert told(found(behind("prod/gpu"), blacked_out=out)) == {Rule.LAG: WARNING}


def test_a_small_lag_is_not_told_beside_what_it_comes_of() -> None:
    for view in (held(), only_told()):
        cases = looked(view, surveyed=[a_surveyed(behind(), observed_at=NOW)])
        assert Rule.LAG not in told(cases)
        worse = looked(view, surveyed=[a_surveyed(behind(releases=5), observed_at=NOW)])
        assert told(worse)[Rule.LAG] is CRITICAL
    alone = looked(
        held(),
        surveyed=[a_surveyed(behind(), observed_at=NOW)],
        settings=AlertSettings(off=("held",)),
    )
    assert told(alone) == {Rule.LAG: WARNING}


# --- what a pool blocks --------------------------------------------------------------------------


def test_a_kubelet_that_is_too_old_blocks_a_minor_upgrade() -> None:
    why = "pool infra blocks the upgrade to 4.17: its kubelet is 1 minor behind, 0 allowed"
    (case,) = found(a_finding(blocks=(Block(target="4.17", why=why),)))
    assert (case.rule, case.severity, case.sentence) == (Rule.BLOCKS_MINOR, WARNING, why)


def test_a_pool_that_an_upgrade_waits_for_is_critical_once_it_is_under_way() -> None:
    later = Block(target="next patch", why="pool infra is paused: an upgrade waits for this pool")
    now = Block(target=VERSION, why="pool infra is paused: the upgrade waits for this pool")
    assert told(found(a_finding(blocks=(later,)))) == {Rule.BLOCKS_PATCH: WARNING}
    assert told(found(a_finding(blocks=(later, now)))) == {Rule.BLOCKS_PATCH: CRITICAL}


def degraded_pool(name: str = "infra") -> Finding:
    """With what `blocks` itself says of it."""
    pool = made.a_pool(name, conditions=made.conditions(Degraded="True"))
    said = blocks(made.a_view(pools=(pool,)), pool, (), now=NOW)
    return replace(flagged(Flag.DEGRADED, f"prod/{name}", said="node a: x"), blocks=said)


def test_a_degraded_pool_is_told_once_and_not_as_what_it_blocks_too() -> None:
    assert degraded_pool().blocks
    assert told(found(degraded_pool())) == {Rule.DEGRADED: WARNING}
    off = AlertSettings(off=("degraded",))
    assert told(found(degraded_pool(), settings=off)) == {Rule.BLOCKS_MINOR: WARNING}


def test_a_degraded_pool_that_upgrades_wait_for_is_told_as_that() -> None:
    assert told(found(degraded_pool("master"))) == {Rule.BLOCKS_PATCH: WARNING}
    off = AlertSettings(off=("blocks-patch",))
    assert told(found(degraded_pool("master"), settings=off)) == {Rule.DEGRADED: WARNING}


def test_a_pool_that_is_updating_blocks_nothing_that_is_told() -> None:
    why = "pool infra blocks the upgrade to 4.17: it is still updating"
    assert found(a_finding(blocks=(Block(target="4.17", why=why),))) == []


# --- certificates, paused, degraded, unpullable --------------------------------------------------


@pytest.mark.parametrize(
    ("left", "severity"),
    [
        (30 * DAY + 1, None),
        (30 * DAY, WARNING),
        (7 * DAY + 1, WARNING),
        (7 * DAY, CRITICAL),
        (-DAY, CRITICAL),
    ],
)
def test_certificates_that_end_on_a_paused_pool(left: float, severity: Severity | None) -> None:
    block = Block(target="certificates", why="it ends", until=NOW + seconds(left))
    cases = found(a_finding(blocks=(block,)))
    assert told(cases) == ({Rule.CERTIFICATE: severity} if severity else {})
    if severity is WARNING:
        assert cases[0].changes_at == NOW + seconds(left - 7 * DAY)


def test_certificates_of_which_nobody_knows_when_they_end_are_not_told() -> None:
    assert found(a_finding(blocks=(Block(target="certificates", why="who knows"),))) == []


def test_the_certificates_that_blocks_tells_of_are_those_of_the_rule() -> None:
    ends = CertExpiry(bundle="x", subject="kube-apiserver-to-kubelet-signer", expiry=NOW)
    pool = made.a_pool(paused=True, cert_expiries=(ends,))
    said = blocks(made.a_view(pools=(pool,)), pool, (), now=NOW)
    assert told(found(a_finding(blocks=said))) == {Rule.CERTIFICATE: CRITICAL}


@pytest.mark.parametrize(
    ("ago", "severity"),
    [(DAY - 1, None), (DAY, WARNING), (7 * DAY - 1, WARNING), (7 * DAY, CRITICAL)],
)
def test_a_pool_that_is_paused_for_long(ago: float, severity: Severity | None) -> None:
    cases = found(flagged(Flag.PAUSED, since=NOW - seconds(ago)))
    assert told(cases) == ({Rule.PAUSED: severity} if severity else {})
    if severity is WARNING:
        assert cases[0].changes_at == NOW + seconds(7 * DAY - ago)


def test_a_pool_paused_since_nobody_knows_is_counted_from_when_it_was_seen() -> None:
    cases = found(flagged(Flag.PAUSED))
    assert [(case.severity, case.wait) for case in cases] == [
        (WARNING, seconds(DAY)),
        (CRITICAL, seconds(7 * DAY)),
    ]
    assert {case.at for case in cases} == {NOW}


def test_a_pool_that_an_ended_update_left_paused_is_told_as_paused_and_sooner() -> None:
    because = "the pool is still paused by Relayer for u-1; if it has ended, unpause the pool"
    paused = flagged(Flag.PAUSED, since=NOW - seconds(HOUR))
    cases = looked(held(because=because), surveyed=[a_surveyed(paused, observed_at=NOW)])
    assert told(cases) == {Rule.PAUSED: WARNING}
    later = flagged(Flag.PAUSED, since=NOW - seconds(DAY))
    cases = looked(held(because=because), surveyed=[a_surveyed(later, observed_at=NOW)])
    assert len({case.cause for case in cases}) == 1


def test_a_degraded_pool_that_is_held_for_it_is_told_once() -> None:
    because = "has the image it shall have, but the pool is degraded: node a: x"
    degraded = [a_surveyed(flagged(Flag.DEGRADED, said="node a: x"), observed_at=NOW)]
    (case,) = looked(held(because=because), surveyed=degraded)
    assert (case.rule, case.severity) == (Rule.DEGRADED, WARNING)
    assert told(looked(held(because=because))) == {Rule.HELD: WARNING}
    off = AlertSettings(off=("degraded",))
    assert told(looked(held(because=because), surveyed=degraded, settings=off)) == {
        Rule.HELD: WARNING
    }


def test_an_image_that_cannot_be_pulled_is_critical_and_told_by_its_words() -> None:
    cases = found(
        flagged(Flag.UNPULLABLE, "prod/a", said="quay.io/os/gpu@sha256:ab is not there"),
        flagged(Flag.UNPULLABLE, "prod/b", said="quay.io/os/gpu@sha256:cd is not there"),
        flagged(Flag.UNPULLABLE, "prod/c", said="the pull secret has no login for quay.io"),
    )
    assert told(cases) == {Rule.UNPULLABLE: CRITICAL}
    assert len({case.cause for case in cases}) == 2


def test_a_pool_without_nodes_is_nobody_s_trouble() -> None:
    finding = replace(behind(releases=9), state=State.EMPTY)
    assert found(finding) == []


# --- looks ---------------------------------------------------------------------------------------


def test_a_release_that_is_not_proven_genuine_is_told_by_its_words_once_for_all_pools() -> None:
    said = "release 4.16.3 is not proven genuine: no signature"
    views = [a_view(f"prod/{name}", unverified=said) for name in "abc"]
    cases = looked(*views, a_view("prod/d", unverified=""))
    assert told(cases) == {Rule.UNVERIFIED: WARNING}
    assert len({case.cause for case in cases}) == 1
    assert len(cases) == 3


def test_what_could_not_be_put_back_is_critical_and_no_hold_beside_it() -> None:
    stuck = {PLACE: an_update(state=UpdateState.STUCK)}
    view = held(because="u-1: undoing failed; `relayer rebuild prod/infra` tries it again")
    assert told(looked(view, ended=stuck)) == {Rule.UPDATE_STUCK: CRITICAL}
    assert told(looked(a_view(), ended=stuck)) == {}
    anew = {PLACE: an_update(state=UpdateState.SCHEDULED)}
    assert told(looked(view, ended=stuck, active=anew)) == {Rule.HELD: WARNING}
    off = AlertSettings(off=("update-stuck",))
    assert told(looked(view, ended=stuck, settings=off)) == {Rule.HELD: WARNING}


@pytest.mark.parametrize(("number", "severity"), [(1, WARNING), (2, WARNING), (3, CRITICAL)])
def test_builds_that_fail_one_after_another(number: int, severity: Severity) -> None:
    failing = Failing(recipe="gpu", number=number, build="b-1", because="no space", since=T0)
    cases = looked(held(because="build b-1 failed: no space"), failing={PLACE: failing})
    assert [(case.rule, case.severity) for case in cases] == [(Rule.BUILD_FAILING, severity)]
    other = looked(held(because="recipe gpu cannot be used"), failing={PLACE: failing})
    assert told(other) == {Rule.BUILD_FAILING: severity, Rule.HELD: WARNING}
    off = AlertSettings(off=("build-failing",))
    cases = looked(
        held(because="build b-1 failed: no space"), failing={PLACE: failing}, settings=off
    )
    assert told(cases) == {Rule.HELD: WARNING}


def test_pools_whose_builds_fail_for_one_reason_are_one_cause() -> None:
    def cause(build: str, because: str) -> str:
        failing = Failing(recipe="gpu", number=1, build=build, because=because, since=T0)
        (case,) = found(failing={PLACE: failing})
        return case.cause

    assert cause("b-1", "STEP 2 failed after 3s") == cause("b-2", "STEP 7 failed after 40s")
    assert cause("b-1", "no space") != cause("b-1", "no such package")


# --- work ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "severity"),
    [(DAY - 1, None), (DAY, WARNING), (3 * DAY - 1, WARNING), (3 * DAY, CRITICAL)],
)
def test_an_update_that_waits_for_people(ago: float, severity: Severity | None) -> None:
    active = {PLACE: an_update(state=UpdateState.AWAITING_APPROVAL)}
    cases = found(active=active, asked={PLACE: NOW - seconds(ago)})
    assert told(cases) == ({Rule.APPROVAL_WAITING: severity} if severity else {})


@pytest.mark.parametrize(
    ("ago", "severity"), [(0, WARNING), (2 * HOUR - 60, WARNING), (2 * HOUR, CRITICAL)]
)
def test_a_rollout_that_is_late(ago: float, severity: Severity) -> None:
    by = NOW - seconds(ago)
    late = {PLACE: f"1 of 3 nodes run it; it should have ended by {by:%Y-%m-%d %H:%M} UTC"}
    assert told(found(late=late)) == {Rule.ROLLOUT_STALLED: severity}
    assert told(found(late={PLACE: "nobody says by when"})) == {Rule.ROLLOUT_STALLED: WARNING}


def test_a_rollout_says_by_when_it_should_have_ended_in_words_that_are_understood() -> None:
    ours = made.a_machine_config(made.OURS, os_image_url="x")
    view = made.a_view(pools=(made.a_pool(),), machine_configs=(ours,))
    began = NOW - seconds(DAY)
    expected = Expectation(image="x", override=made.OURS, began_at=began, node_seconds=1800)
    seen = judge(view, view.pools["infra"], expected, now=NOW)
    assert seen.phase is Phase.STALLED
    assert told(found(late={PLACE: seen.sentence})) == {Rule.ROLLOUT_STALLED: CRITICAL}


@pytest.mark.parametrize(
    ("due", "severity"), [(0, None), (299, None), (300, WARNING), (899, WARNING), (900, CRITICAL)]
)
def test_a_queue_that_does_not_move(due: float, severity: Severity | None) -> None:
    cases = found(queue={"build": due, "update": 0.0})
    assert told(cases) == ({Rule.QUEUE_NOT_MOVING: severity} if severity else {})
    assert all(case.place == "" for case in cases)


# --- blind ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "severity"),
    [(-60, None), (0, None), (300, None), (301, WARNING), (899, WARNING), (900, CRITICAL)],
)
def test_a_cluster_that_is_not_seen(ago: float, severity: Severity | None) -> None:
    surveyed = [a_surveyed(observed_at=NOW - seconds(ago))]
    cases = looked(a_view("prod/a"), a_view("prod/b"), surveyed=surveyed)
    assert told(cases) == ({Rule.BLIND: severity} if severity else {})
    assert len({case.cause for case in cases}) <= 1
    assert {case.place for case in cases} == ({"prod/a", "prod/b"} if severity else set())


def test_a_cluster_without_configured_pools_is_told_as_a_cluster() -> None:
    (case,) = found(surveyed=[a_surveyed(observed_at=NOW - seconds(HOUR))])
    assert (case.place, case.what) == ("prod", "prod")


def test_a_cluster_never_seen_is_counted_from_when_it_was_missed() -> None:
    never = a_surveyed(observed_at=datetime.min.replace(tzinfo=NOW.tzinfo))
    cases = found(surveyed=[never])
    assert [(case.severity, case.wait) for case in cases] == [
        (WARNING, seconds(300)),
        (CRITICAL, seconds(900)),
    ]


def test_a_cluster_seen_in_the_future_is_not_seen_and_counted_from_when_it_was_missed() -> None:
    cases = found(surveyed=[a_surveyed(observed_at=NOW + seconds(61))])
    assert [(case.severity, case.at, case.wait) for case in cases] == [
        (WARNING, NOW, seconds(300)),
        (CRITICAL, NOW, seconds(900)),
    ]
    assert all("by a clock that was put back" in case.sentence for case in cases)


def test_looks_that_do_not_end_are_the_same_cause_as_a_cluster_that_is_not_seen() -> None:
    old = a_view(at=(NOW - seconds(STALE + 1)).isoformat())
    seen = [a_surveyed(observed_at=NOW)]
    (case,) = found(views=[old], surveyed=seen)
    (other,) = found(views=[old], surveyed=[a_surveyed(observed_at=NOW - seconds(301))])
    assert (case.rule, other.rule) == (Rule.BLIND, Rule.BLIND)
    assert case.cause == other.cause
    assert "no look has ended" in case.sentence
    assert "last seen" in other.sentence


# --- all of them ---------------------------------------------------------------------------------


def everything() -> dict[str, Any]:
    """Facts with something for each rule."""
    blocked = (
        Block(target="4.17", why="its kubelet"),
        Block(target="next patch", why="pool a is paused"),
        Block(target="certificates", why="ends", until=NOW),
    )
    findings = (
        replace(behind("prod/a", releases=9), blocks=blocked),
        flagged(Flag.PAUSED, "prod/b", since=T0),
        flagged(Flag.DEGRADED, "prod/c", said="x"),
        flagged(Flag.UNPULLABLE, "prod/d", said="x"),
    )
    failing = Failing(recipe="gpu", number=1, build="b-1", because="x", since=T0)
    at = NOW.isoformat()
    return {
        "surveyed": [
            a_surveyed(*findings, observed_at=NOW),
            a_surveyed(cluster=ClusterName("dark"), observed_at=T0),
        ],
        "views": [
            {**held("prod/e"), "at": at},
            {**held("prod/f"), "at": at},
            {**only_told("prod/g"), "at": at, "unverified": "not proven"},
        ],
        "ended": {"prod/f": an_update(pool=PoolName("f"), state=UpdateState.STUCK)},
        "active": {"prod/h": an_update(pool=PoolName("h"))},
        "asked": {"prod/h": T0},
        "late": {"prod/h": "late"},
        "failing": {"prod/i": failing},
        "queue": {"build": 1e4},
        "freezes": [a_freeze("prod/g", until=None)],
    }


def test_each_rule_is_told_of_something_and_is_silent_when_off() -> None:
    assert set(told(found(**everything()))) == set(Rule)
    for rule in Rule:
        settings = AlertSettings(off=(rule,))
        assert rule not in told(found(**everything(), settings=settings))


def test_each_rule_waits_as_it_says_or_as_the_settings_say() -> None:
    own = {case.rule: case.wait for case in found(**everything())}
    assert own == {**WAITS, Rule.HELD: seconds(1800)}
    settings = AlertSettings(wait_seconds={str(rule): 77.0 for rule in Rule})
    assert {case.wait for case in found(**everything(), settings=settings)} == {seconds(77)}


def test_a_cause_names_its_rule_and_never_a_number() -> None:
    before = {(case.rule, case.place): case.cause for case in found(**everything())}
    assert all(alerts.rule_of(cause) is rule for (rule, _), cause in before.items())
    changed = everything()
    changed["asked"] = {"prod/h": T0 + seconds(MINUTE)}
    changed["queue"] = {"build": 2e4}
    changed["failing"] = {"prod/i": replace(everything()["failing"]["prod/i"], number=2)}
    assert {(case.rule, case.place): case.cause for case in found(**changed)} == before
    assert alerts.rule_of("mood:123") is None


@given(
    st.builds(
        Threshold,
        warning=st.one_of(st.none(), st.floats(0, 100)),
        critical=st.one_of(st.none(), st.floats(0, 100)),
    ),
    st.one_of(st.none(), st.floats(0, 200)),
)
def test_a_level_is_that_of_the_worst_threshold_reached(
    threshold: Threshold, value: float | None
) -> None:
    found_level = alerts.model.level(threshold, value)
    over = {
        name: value is not None and limit is not None and value >= limit
        for name, limit in (("warning", threshold.warning), ("critical", threshold.critical))
    }
    wanted = CRITICAL if over["critical"] else WARNING if over["warning"] else None
    assert found_level is wanted


def test_every_threshold_of_the_settings_is_one_that_a_rule_asks_for() -> None:
    """With every threshold at nothing, everything that has one is critical or not told."""
    never: dict[str, Any] = {
        one.name: Threshold()
        for one in fields(AlertSettings)
        if isinstance(getattr(AlertSettings(), one.name), Threshold)
    }
    without = {Rule.BLOCKS_MINOR, Rule.BLOCKS_PATCH, Rule.DEGRADED, Rule.UNPULLABLE}
    without |= {Rule.UNVERIFIED, Rule.HELD, Rule.UPDATE_STUCK, Rule.AVAILABLE, Rule.FROZEN}
    # Looks that do not end are told by how old they may be.
    cases = told(found(**everything(), settings=AlertSettings(**never)))
    assert set(cases) == without

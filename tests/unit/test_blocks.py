"""What a pool keeps from happening, and what the cluster says against its next upgrade."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, a_node, a_pool, a_version, a_view, conditions, release_image
from watcher.core import skew
from watcher.core.blocks import REQUIRED_FOR_UPGRADE, SIGNER, blocks, unmapped
from watcher.core.cluster import (
    CertExpiry,
    ClusterVersion,
    ClusterView,
    Condition,
    HistoryEntry,
    Meta,
    Node,
    Pool,
)
from watcher.core.state import Block
from watcher.core.upgradeable import said

DEGRADED = conditions(Updated="False", Updating="True", Degraded="True")
UPDATING = conditions(Updated="False", Updating="True", Degraded="False")
INTERRUPTED = conditions(Updated="True", Updating="False", BuildInterrupted="True")
IN_STEP, ONE_BEHIND, TWO_BEHIND = "v1.33.5+a", "v1.32.1+b", "v1.31.9+c"
"""Of the API server of 4.20."""
DAY = timedelta(days=1)


POOLS_DEGRADED = (
    "One or more machine config pools are degraded, please see `oc get mcp` for further details "
    "and resolve before upgrading"
)
POOLS_UPDATING = "One or more machine config pools are updating, please see `oc get mcp`"
TOO_OLD = "KubeletMinorVersionUpgradeable: Kubelet minor versions on {} will not be supported"
NOT_NOW = "should not be upgraded between minor versions"
SKEW = "KubeletMinorVersion_KubeletMinorVersionUnsupportedNextUpgrade"
WELL, ILL, BUSY = a_pool(), a_pool(conditions=DEGRADED), a_pool(conditions=UPDATING)


def listed(*items: str) -> str:
    return "\n* ".join((f"Multiple cluster operators {NOT_NOW}:", *items))


MANY = listed(
    f"Cluster operator kube-apiserver {NOT_NOW}: {SKEW}: {TOO_OLD.format('5 nodes')}",
    f"Cluster operator machine-config {NOT_NOW}: DegradedPool: {POOLS_DEGRADED}",
    f"Cluster operator etcd {NOT_NOW}: NoQuorum: no quorum",
)


def nodes(*kubelets: str, of: str = "infra") -> list[Node]:
    names = (f"{of}-{number}.example.com" for number in range(len(kubelets)))
    return [
        replace(a_node(name, "worker", of), kubelet_version=version)
        for name, version in zip(names, kubelets, strict=True)
    ]


def upgradeable(
    message: str, reason: str = "", *, version: str = "4.20.3", status: str = "False"
) -> ClusterVersion:
    condition = Condition(type="Upgradeable", status=status, reason=reason, message=message)
    return a_version(version, conditions=(condition,))


def found(
    pool: Pool | None = None,
    kubelets: Sequence[str] = (IN_STEP,),
    *,
    cv: ClusterVersion | None = None,
    now: datetime = T0,
    since: datetime | None = None,
) -> list[tuple[str, str]]:
    pool = pool or a_pool()
    view = a_view(pools=(pool,), cluster_version=cv or a_version("4.20.3"))
    its = nodes(*kubelets, of=pool.name)
    return [(b.target, b.why) for b in blocks(view, pool, its, now=now, paused_since=since)]


def test_a_pool_that_is_well_blocks_nothing() -> None:
    assert found() == []


# --- kubelets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "kubelets", "expected"),
    [
        (
            "4.20.3",
            (IN_STEP, ONE_BEHIND),
            {
                "4.21": "pool infra blocks the upgrade to 4.21: "
                "its kubelet is 1 minor behind, 0 allowed",
                "4.22": "pool infra blocks the upgrade to 4.22: "
                "its kubelet is 1 minor behind, 0 allowed",
            },
        ),
        ("4.19.7", (ONE_BEHIND, TWO_BEHIND), {}),
        (
            "4.19.7",
            ("v1.30.1",),
            {
                "4.20": "pool infra blocks the upgrade to 4.20: "
                "its kubelet is 2 minors behind, 1 allowed"
            },
        ),
        ("4.20.0-rc.1", (ONE_BEHIND,), None),
        ("4.20.3", ("v1.34.1",), {}),
        ("4.20.3", ("", "odd"), {}),
        ("6.0.0", (TWO_BEHIND,), {}),
        ("soon", (TWO_BEHIND,), {}),
    ],
    ids=["even", "odd", "odd, too far", "early release", "ahead", "unreadable", "unknown", "none"],
)
def test_kubelets(version: str, kubelets: tuple[str, ...], expected: dict[str, str] | None) -> None:
    told = dict(found(kubelets=kubelets, cv=a_version(version)))
    assert told == expected if expected is not None else set(told) == {"4.21", "4.22"}


def test_without_a_cluster_version_only_what_the_pool_itself_says_is_told() -> None:
    pool = a_pool(conditions=DEGRADED)
    view = a_view(pools=(pool,), cluster_version=None)
    assert blocks(view, pool, nodes(TWO_BEHIND), now=T0) == (
        Block(
            target="next minor",
            why="pool infra blocks the upgrade to the next minor: it is degraded",
        ),
    )
    assert unmapped(view, {}) == ()


# --- pools that are not well ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said_", "version", "target", "why"),
    [
        (DEGRADED, "4.20.3", "4.21", "it is degraded"),
        (INTERRUPTED, "4.20.3", "4.21", "the build of its image broke off"),
        (UPDATING, "4.14.9", "4.15", "it is still updating"),
        (UPDATING, "4.17.9", "4.18", "it is still updating"),
    ],
)
def test_one_pool_that_is_not_well_blocks_the_minor_upgrade_of_all(
    said_: tuple[Condition, ...], version: str, target: str, why: str
) -> None:
    told = found(a_pool(conditions=said_), (), cv=a_version(version))
    assert told == [(target, f"pool infra blocks the upgrade to {target}: {why}")]


def test_an_updating_pool_is_no_hindrance_on_later_releases() -> None:
    assert found(a_pool(conditions=UPDATING), (), cv=a_version("4.18.1")) == []


@pytest.mark.parametrize(
    ("pool", "version", "target", "why"),
    [
        (
            a_pool("master", conditions=DEGRADED),
            a_version("4.20.3", completed=False),
            "4.20.3",
            "pool master is degraded: the upgrade to 4.20.3 waits for this pool and "
            "cannot complete",
        ),
        (
            a_pool("arbiter", conditions=DEGRADED, paused=True),
            a_version("4.20.3"),
            "next patch",
            "pool arbiter is degraded and paused: an upgrade waits for this pool, so the next "
            "one would not complete",
        ),
        (
            a_pool("master", conditions=DEGRADED),
            a_version("4.20.3", completed=False, desired_version=""),
            "next patch",
            "pool master is degraded: an upgrade waits for this pool, so the next one would not "
            "complete",
        ),
        (
            a_pool("master", paused=True),
            a_version("4.20.3", completed=False),
            "4.20.3",
            "pool master is paused: the upgrade to 4.20.3 waits for this pool and cannot complete",
        ),
        (
            a_pool(
                "infra",
                conditions=DEGRADED,
                meta=Meta(name="infra", labels={REQUIRED_FOR_UPGRADE: ""}),
            ),
            a_version("4.20.3", completed=False),
            "4.20.3",
            "pool infra is degraded: the upgrade to 4.20.3 waits for this pool and cannot complete",
        ),
    ],
    ids=[
        "degraded on the way",
        "both before",
        "of no version",
        "paused on the way",
        "by its label",
    ],
)
def test_a_pool_that_upgrades_wait_for_stalls_them(
    pool: Pool, version: ClusterVersion, target: str, why: str
) -> None:
    assert (target, why) in found(pool, (), cv=version)


def test_upgrades_do_not_wait_for_other_pools() -> None:
    told = found(a_pool(conditions=DEGRADED), (), cv=a_version("4.20.3", completed=False))
    assert [target for target, _ in told] == ["4.21"]
    assert found(a_pool("master"), (), cv=a_version("4.20.3", completed=False)) == []


# --- between extended releases -------------------------------------------------------------------

WAITING: dict[str, Any] = {"paused": True, "spec_configuration": "rendered-infra-2"}


@pytest.mark.parametrize(
    ("version", "kubelets", "pool", "told"),
    [
        ("4.20.3", (TWO_BEHIND, TWO_BEHIND, IN_STEP), a_pool(**WAITING), "2 nodes have yet"),
        ("4.20.3", (TWO_BEHIND,), a_pool(**WAITING), "1 node has yet"),
        ("4.20.3", (), a_pool(**WAITING, nodes=5), "5 nodes have yet"),
        ("5.2.0", ("v1.36.0",), a_pool(**WAITING), "the upgrade to 5.2 is not finished"),
        ("4.19.3", (TWO_BEHIND,), a_pool(**WAITING), ""),
        ("4.20.3", (IN_STEP,), a_pool(**WAITING), ""),
        ("4.20.3", (TWO_BEHIND,), a_pool(paused=True), ""),
        ("4.20.3", (TWO_BEHIND,), a_pool(**{**WAITING, "paused": False}), ""),
    ],
    ids=["two", "one", "unread", "of 5", "half way", "other config", "none waits", "runs"],
)
def test_an_update_between_extended_releases_is_not_finished_by_a_paused_pool(
    version: str, kubelets: tuple[str, ...], pool: Pool, told: str
) -> None:
    minor = version.rpartition(".")[0]
    why = dict(found(pool, kubelets, cv=a_version(version))).get(minor, "")
    assert bool(why) is bool(told)
    assert told in why
    assert not why or why.startswith("pool infra is paused and ")
    assert "rendered-infra-2" in why or not why


# --- anything ------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from([MANY, POOLS_DEGRADED, f"Cluster operator x {NOT_NOW}: ", "\n* \n* ", "* "]),
)
condition = st.builds(
    Condition,
    type=st.sampled_from(["Upgradeable", "Degraded", "Updating", "Progressing"]),
    status=st.sampled_from(["True", "False", "Unknown"]),
    reason=texts,
    message=st.lists(texts, max_size=4).map("\n* ".join),
)
some_conditions = st.lists(condition, max_size=4).map(tuple)
moments = st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=14))]))
any_pool = st.builds(
    Pool,
    meta=st.builds(Meta, name=st.sampled_from(["infra", "master", "worker"])),
    paused=st.booleans(),
    spec_configuration=texts,
    conditions=some_conditions,
    cert_expiries=st.lists(
        st.builds(
            CertExpiry,
            bundle=st.just(""),
            subject=st.sampled_from(["", SIGNER, "CN=\x1b[31m"]),
            expiry=moments,
        ),
        max_size=3,
    ).map(tuple),
)
any_version = st.builds(
    ClusterVersion,
    meta=st.just(Meta(name="version")),
    desired_version=st.sampled_from(["4.14.1", "4.19.0", "4.20.3", "5.2.0", "9.9.9", "", "soon"]),
    desired_image=st.just(str(release_image("4.20.3"))),
    history=st.lists(
        st.builds(
            HistoryEntry,
            state=st.sampled_from(["Completed", "Partial"]),
            version=texts,
            image=st.just(str(release_image("4.20.3"))),
        ),
        max_size=2,
    ).map(tuple),
    conditions=some_conditions,
)
kubelet_versions = st.lists(
    st.sampled_from([IN_STEP, ONE_BEHIND, TWO_BEHIND, "", "odd"]), max_size=3
)


@settings(max_examples=100)
@given(
    pool=any_pool, cv=st.none() | any_version, versions=kubelet_versions, since=st.none() | moments
)
def test_whatever_a_cluster_says_becomes_lines(
    pool: Pool, cv: ClusterVersion | None, versions: list[str], since: datetime | None
) -> None:
    view: ClusterView = a_view(pools=(pool,), cluster_version=cv)
    its = nodes(*versions, of=pool.name)
    told = blocks(view, pool, its, now=T0, paused_since=since)
    rest = unmapped(view, {pool.name: its})
    for block in (*told, *rest):
        assert block.target
        assert block.why.isprintable()
        assert len(block.why) < 800
    assert len(set(told)) == len(told)
    assert ("certificates" in {b.target for b in told}) is pool.paused
    if cv is not None:
        assert len(rest) <= len(said(cv))
    seen = skew.kubelets(its, (4, 20))
    if cv is not None and cv.desired_version == "4.20.3" and seen and seen.behind:
        assert {"4.21", "4.22"} <= {b.target for b in told}

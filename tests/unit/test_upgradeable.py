"""What a cluster says against its next minor upgrade, and which pools that is about.

Messages as cluster-version-operator pkg/cvo/upgradeable.go puts them together.
"""

from dataclasses import replace

import pytest

from tests.facts import a_pool, a_version, a_view
from tests.unit.test_blocks import (
    BUSY,
    ILL,
    IN_STEP,
    INTERRUPTED,
    MANY,
    NOT_NOW,
    ONE_BEHIND,
    POOLS_DEGRADED,
    POOLS_UPDATING,
    SKEW,
    TOO_OLD,
    WELL,
    found,
    nodes,
    upgradeable,
)
from tests.unit.test_stages import sample
from watcher.core.blocks import unmapped
from watcher.core.cluster import Pool
from watcher.core.upgradeable import Cause, Said, said


@pytest.mark.parametrize(
    ("message", "reason", "parts"),
    [
        (
            f"Cluster operator machine-config {NOT_NOW}: {POOLS_DEGRADED}",
            "DegradedPool",
            [("machine-config", "DegradedPool", POOLS_DEGRADED)],
        ),
        (
            f"Multiple cluster operators {NOT_NOW}:\n"
            f"* Cluster operator kube-apiserver {NOT_NOW}: {SKEW}: {TOO_OLD.format('5 nodes')}\n"
            f"* Cluster operator machine-config {NOT_NOW}: PoolUpdating: {POOLS_UPDATING}",
            "ClusterOperatorsNotUpgradeable",
            [
                ("kube-apiserver", SKEW, TOO_OLD.format("5 nodes")),
                ("machine-config", "PoolUpdating", POOLS_UPDATING),
            ],
        ),
        (
            "Cluster should not be upgraded between minor versions for multiple reasons: "
            "AdminAckRequired,ClusterOperatorsNotUpgradeable,ResourceDeletesInProgress\n"
            "* Kubernetes 1.34 removes APIs\n"
            f"* Multiple cluster operators {NOT_NOW}:\n"
            f"* Cluster operator etcd {NOT_NOW}: NoQuorum: why\n"
            f"* Cluster operator odd {NOT_NOW}: no reason given\n"
            "* Deletions are in progress",
            "MultipleReasons",
            [
                ("", "AdminAckRequired", "Kubernetes 1.34 removes APIs"),
                ("etcd", "NoQuorum", "why"),
                ("odd", "", "no reason given"),
                ("", "ResourceDeletesInProgress", "Deletions are in progress"),
            ],
        ),
        (
            "Cluster should not be upgraded between minor versions for multiple reasons: "
            "AdminAckRequired,PoolUpdating\n* acknowledge it\n"
            f"* Cluster operator machine-config {NOT_NOW}: {POOLS_UPDATING}",
            "MultipleReasons",
            [
                ("", "AdminAckRequired", "acknowledge it"),
                ("machine-config", "PoolUpdating", POOLS_UPDATING),
            ],
        ),
        ("", "", [("", "", "")]),
        ("something new", "New", [("", "New", "something new")]),
    ],
    ids=["one", "operators", "all kinds", "reasons", "empty", "unknown form"],
)
def test_reasons_against_an_upgrade(
    message: str, reason: str, parts: list[tuple[str, str, str]]
) -> None:
    told = said(upgradeable(message, reason))
    assert [(one.operator, one.reason, one.message) for one in told] == parts


@pytest.mark.parametrize("status", ["True", "Unknown", ""])
def test_only_false_is_against_it(status: str) -> None:
    assert said(upgradeable(POOLS_DEGRADED, status=status)) == ()
    assert said(a_version(conditions=())) == ()


@pytest.mark.parametrize(
    ("operator", "reason", "message", "cause"),
    [
        ("machine-config", "DegradedPool", "", Cause.DEGRADED),
        ("machine-config", "", POOLS_DEGRADED, Cause.DEGRADED),
        ("machine-config", "PoolUpdating", "", Cause.UPDATING),
        ("machine-config", "", POOLS_UPDATING, Cause.UPDATING),
        ("machine-config", "InterruptedBuild", "", Cause.INTERRUPTED),
        ("machine-config", "KubeletSkewUnsupported", "", Cause.KUBELETS),
        ("machine-config", "ClusterBootImageSkewError", "boot images are old", Cause.OTHER),
        ("kube-apiserver", SKEW, "", Cause.KUBELETS),
        ("kube-apiserver", "", TOO_OLD, Cause.KUBELETS),
        ("kube-apiserver", "FeatureGates_RestrictedFeatureGates", "gates", Cause.OTHER),
        ("etcd", "DegradedPool", POOLS_DEGRADED, Cause.OTHER),
        ("", "AdminAckRequired", "kubelet", Cause.OTHER),
    ],
)
def test_the_cause_of_a_reason(operator: str, reason: str, message: str, cause: Cause) -> None:
    assert Said(operator=operator, reason=reason, message=message).cause is cause


def by(operator: str, message: str, reason: str = "Reason") -> Said:
    return Said(operator=operator, reason=reason, message=message)


MINE = ("infra-0.example.com", "infra-1.example.com")


@pytest.mark.parametrize(
    ("reason", "pool", "lags", "is_about"),
    [
        (by("machine-config", POOLS_DEGRADED), ILL, False, True),
        (by("machine-config", POOLS_DEGRADED), BUSY, False, False),
        (by("machine-config", POOLS_UPDATING), BUSY, False, True),
        (by("machine-config", POOLS_UPDATING), WELL, False, False),
        (by("machine-config", "", "InterruptedBuild"), a_pool(conditions=INTERRUPTED), False, True),
        (by("machine-config", "", "KubeletSkewUnsupported"), WELL, True, True),
        (
            by("machine-config", "boot images are old", "ClusterBootImageSkewError"),
            ILL,
            True,
            False,
        ),
        (by("kube-apiserver", TOO_OLD.format("5 nodes"), SKEW), WELL, True, True),
        (by("kube-apiserver", TOO_OLD.format("5 nodes"), SKEW), WELL, False, False),
        (by("kube-apiserver", TOO_OLD.format(f"nodes x and {MINE[1]}"), SKEW), WELL, False, True),
        (by("kube-apiserver", TOO_OLD.format(f"nodes x, {MINE[0]}, and y"), SKEW), WELL, 0, True),
        (by("kube-apiserver", TOO_OLD.format("nodes x and y"), SKEW), WELL, True, False),
        (by("kube-apiserver", f"(1.20.0) on node {MINE[0]}.", SKEW), WELL, False, True),
        (by("kube-apiserver", f"on node {MINE[0]}.org", SKEW), WELL, False, False),
        (by("odd", "pool infra is in the way"), WELL, False, True),
        (by("odd", 'MachineConfigPool "infra" is in the way'), WELL, False, True),
        (by("odd", "machineconfigpool/infra."), WELL, False, True),
        (by("odd", "pool infra-2 is in the way"), WELL, False, False),
        (by("odd", "pools a, infra are in the way"), WELL, False, False),
        (by("odd", "the infra of it"), WELL, True, False),
        (by("", "Kubernetes 1.34 removes APIs", "AdminAckRequired"), ILL, True, False),
    ],
)
def test_which_pool_a_reason_is_about(reason: Said, pool: Pool, lags: bool, is_about: bool) -> None:
    assert reason.is_about(pool, MINE, lags=bool(lags)) is is_about


def test_what_a_pool_blocks_is_told_once_though_the_cluster_says_it_too() -> None:
    told = found(ILL, (ONE_BEHIND,), cv=upgradeable(MANY))
    assert [target for target, _ in told] == ["4.21", "4.22", "4.21"]
    assert all("pool infra blocks" in why for _, why in told)


def test_what_only_the_cluster_says_of_a_pool_is_told_in_its_words() -> None:
    names = (
        f"Cluster operator kube-apiserver {NOT_NOW}: {TOO_OLD.format('node infra-0.example.com')}"
    )
    # The dump has no versions of kubelets.
    assert found(kubelets=("",), cv=upgradeable(names, SKEW)) == [
        (
            "4.21",
            "pool infra is meant: cluster operator kube-apiserver lets no minor upgrade begin "
            f"({SKEW}): {TOO_OLD.format('node infra-0.example.com')}",
        )
    ]
    busy = upgradeable(
        f"Cluster operator machine-config {NOT_NOW}: {POOLS_UPDATING}", "PoolUpdating"
    )
    assert [target for target, _ in found(BUSY, cv=busy)] == ["4.21"]
    assert found(WELL, cv=busy) == []


def test_reasons_of_no_pool_are_told_of_the_cluster() -> None:
    view = a_view(pools=(WELL, a_pool("worker")), cluster_version=upgradeable(MANY))
    its = {"infra": nodes(ONE_BEHIND), "worker": nodes(IN_STEP, of="worker")}
    rest = unmapped(view, its)
    assert [(b.target, "etcd" in b.why, "machine-config" in b.why) for b in rest] == [
        ("4.21", False, True),  # no pool is degraded any more
        ("4.21", True, False),
    ]
    ill = replace(view, pools={"infra": ILL})
    assert [b.why for b in unmapped(ill, its)] == [
        "cluster operator etcd lets no minor upgrade begin (NoQuorum): no quorum"
    ]


def test_an_updating_pool_of_a_real_cluster() -> None:
    """It is 4.16, and the cluster says so itself."""
    cv = sample("oc-recommend-4.16.27-degraded-monitoring-cv.yaml")
    told = found(BUSY, (), cv=cv)
    assert told == [("4.17", "pool infra blocks the upgrade to 4.17: it is still updating")]
    assert [b.target for b in unmapped(a_view(pools=(WELL,), cluster_version=cv), {})] == ["4.17"]

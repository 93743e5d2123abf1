"""How far kubelets may be behind: the whole table, worked examples, and the operator's own rule.

Source: cluster-kube-apiserver-operator pkg/operator/kubeletversionskewcontroller.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import a_node
from watcher.core import skew
from watcher.core.cluster import Node
from watcher.core.skew import Kubelets, Minor


def of(minor: str) -> Minor:
    major, _, rest = minor.partition(".")
    return int(major), int(rest)


def nodes(*versions: str) -> list[Node]:
    made = [a_node(f"n-{n}", "worker") for n in range(len(versions))]
    return [
        Node(meta=node.meta, kubelet_version=version)
        for node, version in zip(made, versions, strict=True)
    ]


@pytest.mark.parametrize(
    ("release", "allowed", "kubernetes"),
    [
        ("4.12", 2, 25),
        ("4.13", 1, 26),
        ("4.14", 2, 27),
        ("4.16", 2, 29),
        ("4.18", 2, 31),
        ("4.19", 1, 32),
        ("4.20", 2, 33),
        ("4.21", 1, 34),
        ("4.22", 2, 35),
        ("4.23", 1, 36),
        ("4.24", 2, 37),
        ("5.0", 1, 36),
        ("5.1", 2, 37),
        ("5.2", 3, 38),
        ("5.3", 1, 39),
        ("6.0", None, None),
        ("3.11", None, None),
    ],
)
def test_the_table(release: str, allowed: int | None, kubernetes: int | None) -> None:
    assert skew.allowed(of(release)) == allowed
    assert skew.kubernetes_minor(of(release)) == kubernetes


@pytest.mark.parametrize("minor", ["4.1", "4.2"])
def test_the_first_minors_are_not_in_step_with_kubernetes(minor: str) -> None:
    assert skew.kubernetes_minor(of(minor)) is None


@pytest.mark.parametrize(
    ("release", "targets", "most"),
    [
        ("4.18", ("4.19", "4.20"), (0, 0)),
        ("4.19", ("4.20",), (1,)),
        ("4.20", ("4.21", "4.22"), (0, 0)),
        ("4.21", ("4.22",), (1,)),
        ("4.22", ("4.23", "4.24"), (0, 0)),
        ("4.23", ("4.24",), (1,)),
        ("5.0", ("5.1", "5.2"), (1, 1)),
        ("5.1", ("5.2",), (2,)),
        ("5.2", ("5.3", "5.5"), (0, 0)),
        ("5.3", ("5.4", "5.5"), (1, 1)),
        ("5.4", ("5.5",), (2,)),
    ],
)
def test_how_far_behind_each_target_can_be_begun(
    release: str, targets: tuple[str, ...], most: tuple[int, ...]
) -> None:
    assert skew.targets(of(release)) == tuple(map(of, targets))
    assert tuple(skew.most_behind(of(release), of(t)) for t in targets) == most
    assert skew.is_last_stop(of(release)) is (most[0] == 0)


def test_some_are_out_of_reach_unless_kubelets_follow_on_the_way() -> None:
    assert skew.most_behind((4, 19), (4, 21)) == -1
    assert skew.most_behind((5, 4), (5, 6)) == -1
    assert skew.most_behind((4, 19), (5, 0)) is None
    assert skew.most_behind((4, 19), (5, 20)) is None
    assert skew.most_behind((4, 19), (4, 18)) is None


@pytest.mark.parametrize("release", [*((4, y) for y in range(3, 30)), *((5, y) for y in range(9))])
def test_kubelets_in_step_block_nothing(release: Minor) -> None:
    assert skew.blocked(release, Kubelets()) == ()


@pytest.mark.parametrize("release", ["4.18", "4.19", "5.2", "6.0"])
@pytest.mark.parametrize("behind", [0, 1, 2, 3, 9])
def test_a_patch_is_never_blocked(release: str, behind: int) -> None:
    assert skew.most_behind(of(release), of(release)) is None
    blocked = dict(skew.blocked(of(release), Kubelets(behind=behind)))
    assert of(release) not in blocked


@pytest.mark.parametrize(
    ("release", "behind", "blocked"),
    [
        ("4.20", 0, {}),
        # On an even release one behind already blocks the next, odd one.
        (
            "4.20",
            1,
            {
                "4.21": "its kubelet is 1 minor behind, 0 allowed",
                "4.22": "its kubelet is 1 minor behind, 0 allowed",
            },
        ),
        (
            "4.20",
            2,
            {
                "4.21": "its kubelet is 2 minors behind, 0 allowed",
                "4.22": "its kubelet is 2 minors behind, 0 allowed",
            },
        ),
        # Half way of 4.18 → 4.20, with the workers paused.
        ("4.19", 1, {}),
        ("4.19", 2, {"4.20": "its kubelet is 2 minors behind, 1 allowed"}),
        ("5.0", 1, {}),
        (
            "5.0",
            2,
            {
                "5.1": "its kubelet is 2 minors behind, 1 allowed",
                "5.2": "its kubelet is 2 minors behind, 1 allowed",
            },
        ),
        ("5.1", 2, {}),
        ("5.1", 3, {"5.2": "its kubelet is 3 minors behind, 2 allowed"}),
        ("6.0", 9, {}),
    ],
)
def test_worked_examples(release: str, behind: int, blocked: dict[str, str]) -> None:
    found = skew.blocked(of(release), Kubelets(behind=behind))
    assert {f"{t[0]}.{t[1]}": why for t, why in found} == blocked


@pytest.mark.parametrize(
    ("version", "minor"),
    [
        ("v1.29.6+aba1e8d", 29),
        ("v1.33.5", 33),
        ("1.21.1", 21),
        ("v1.30.0-rc.2.11+7e3d1a8", 30),
        ("", None),
        ("Invalid", None),
        ("v2.29.6", None),
        ("v1.29", None),
        ("v1.2999.1", None),
        ("xv1.29.6", None),
    ],
)
def test_versions_of_kubelets(version: str, minor: int | None) -> None:
    assert skew.kubelet_minor(version) == minor


def test_the_oldest_kubelet_of_a_pool_counts() -> None:
    seen = skew.kubelets(nodes("v1.29.1", "v1.27.9", "v1.28.0", "v1.30.0", "odd"), (4, 16))
    assert seen == Kubelets(behind=2, number_behind=2, ahead=1, unreadable=1)


def test_kubelets_that_are_all_ahead_are_not_behind() -> None:
    seen = skew.kubelets(nodes("v1.30.1"), (4, 16))
    assert seen == Kubelets(ahead=1)
    assert skew.blocked((4, 16), Kubelets(ahead=1)) == ()


@pytest.mark.parametrize(
    ("versions", "release"), [((), "4.16"), (("", "odd"), "4.16"), (("v1.29.1",), "6.0")]
)
def test_where_no_node_tells_nothing_is_known(versions: tuple[str, ...], release: str) -> None:
    assert skew.kubelets(nodes(*versions), of(release)) is None


# --- the operator's rule, as it reads ------------------------------------------------------------


def smallest_skew(major: int, minor: int) -> int:
    """minSupportedKubeletSkewForOpenShiftVersion"""
    if major == 5:
        return {0: -1, 1: -2, 2: -3}[minor % 3]
    return {0: -2, 1: -1}[minor % 2]


def operator_says_upgradeable(major: int, minor: int, behind: int) -> bool:
    difference = -behind
    if difference == 0:
        return True
    if difference < smallest_skew(major, minor):
        return False
    return not difference - 1 < smallest_skew(major, minor + 1)


minors = st.one_of(
    st.tuples(st.just(4), st.integers(3, 40)), st.tuples(st.just(5), st.integers(0, 20))
)


@settings(max_examples=100)
@given(release=minors, behind=st.integers(0, 6))
def test_the_next_minor_is_blocked_exactly_when_the_operator_says_so(
    release: Minor, behind: int
) -> None:
    following = (release[0], release[1] + 1)
    blocked = dict(skew.blocked(release, Kubelets(behind=behind)))
    assert (following not in blocked) is operator_says_upgradeable(*release, behind)


@settings(max_examples=100)
@given(release=minors, behind=st.integers(0, 6), steps=st.integers(1, 3))
def test_a_target_is_open_exactly_when_no_step_on_the_way_is_refused(
    release: Minor, behind: int, steps: int
) -> None:
    """The operator is asked again on every minor, where the kubelets are one more behind."""
    major, minor = release
    is_open = all(
        operator_says_upgradeable(major, minor + step, behind + step) for step in range(steps)
    )
    may = skew.most_behind(release, (major, minor + steps))
    assert may is not None
    assert (behind <= may) is is_open


@settings(max_examples=50)
@given(release=minors, behind=st.lists(st.integers(-2, 4), min_size=1, max_size=5))
def test_versions_of_nodes_give_the_lag_they_were_made_from(
    release: Minor, behind: list[int]
) -> None:
    server = skew.kubernetes_minor(release)
    assert server is not None
    seen = skew.kubelets(nodes(*(f"v1.{server - b}.3+abc" for b in behind)), release)
    assert seen == Kubelets(
        behind=max(0, *behind),
        number_behind=sum(b > 0 for b in behind),
        ahead=sum(b < 0 for b in behind),
    )

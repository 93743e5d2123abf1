"""The Machine Config Operator's rules: merge order, winners, membership, maxUnavailable."""

from dataclasses import replace

import pytest

from tests.facts import (
    INFRA,
    OURS,
    PROD,
    a_machine_config,
    a_node,
    a_pool,
    a_view,
    generated,
)
from watcher.core import mco
from watcher.core.cluster import MachineConfig, Meta, Node, Pool, Requirement, Selector

BASE = generated("00-worker", "worker", "base")
KUBELET = generated("01-worker-kubelet", "worker", "base")
WORKER_MADE = a_machine_config("60-by-hand", "worker", "worker's")
CUSTOM_MADE = a_machine_config("50-by-hand", "infra", "custom's")
ALL = (BASE, KUBELET, WORKER_MADE, CUSTOM_MADE)
POOLS = {name: a_pool(name) for name in ("master", "worker", "infra", "storage", "arbiter")}
EARLIEST = a_machine_config("00-aaa", "worker", "by hand")


def won(*machine_configs: MachineConfig, pool: str = "infra", version: str) -> str | None:
    found = mco.winner(a_pool(pool), machine_configs, version=version)
    return found.meta.name if found else None


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("4.14.9", ["00-worker", "01-worker-kubelet", "50-by-hand", "60-by-hand"]),
        ("4.15.0", ["00-worker", "01-worker-kubelet", "60-by-hand", "50-by-hand"]),
        ("4.20.0", ["00-worker", "01-worker-kubelet", "60-by-hand", "50-by-hand"]),
        ("5.0.0", ["00-worker", "01-worker-kubelet", "60-by-hand", "50-by-hand"]),
    ],
)
def test_the_order_of_merging_depends_on_the_release(version: str, order: list[str]) -> None:
    merged = mco.merge_order(reversed(ALL), version=version)
    assert [mc.meta.name for mc in merged] == order


@pytest.mark.parametrize(
    ("version", "machine_configs", "winner"),
    [
        ("4.14.9", ALL, "60-by-hand"),
        ("4.15.0", ALL, "50-by-hand"),
        ("4.21.0", ALL, "50-by-hand"),
        ("4.16.3", (BASE, KUBELET), None),
        ("4.21.0", (BASE, KUBELET), None),
        ("4.16.3", (), None),
        ("4.16.3", (BASE, WORKER_MADE), "60-by-hand"),
        ("4.16.3", (a_machine_config("70-empty", "infra"), CUSTOM_MADE), "50-by-hand"),
        ("4.16.3", (a_machine_config("70-other", "storage", "x"), CUSTOM_MADE), "50-by-hand"),
    ],
    ids=[
        "by name up to 4.14",
        "custom after worker from 4.15",
        "custom after worker from 4.21",
        "only generated: the release's own",
        "only generated, ignored",
        "none",
        "a worker's reaches a custom pool",
        "one without an image says nothing",
        "one of another role says nothing",
    ],
)
def test_whose_image_the_pool_gets(
    version: str, machine_configs: tuple[MachineConfig, ...], winner: str | None
) -> None:
    assert won(*machine_configs, version=version) == winner


BANDS = ("4.12.0", "4.14.9", "4.15.0", "4.20.5", "4.21.0", "4.23.0", "5.0.0", "5.1.2")
"""Of each band of rules (up to 4.14, 4.15 to 4.20, from 4.21 on) the first and a late release."""
BY_HAND = a_machine_config("50-hand", "worker", "worker's")
AFTER = a_machine_config("99-zz", "worker", "worker's, last by name")
MADE_FOR_INFRA = generated("99-zz-made", "infra", "made")


@pytest.mark.parametrize(
    ("pool", "machine_configs", "winners"),
    [
        # Nobody says anything but the release.
        ("worker", (BASE, KUBELET), [None] * 8),
        # A name before 01-<role>-kubelet loses to it until generated ones are ignored.
        ("worker", (EARLIEST, BASE, KUBELET), [KUBELET] * 4 + [EARLIEST] * 4),
        ("worker", (BASE, KUBELET, BY_HAND), [BY_HAND] * 8),
        ("worker", (BASE, BY_HAND, AFTER), [AFTER] * 8),
        # In a custom pool one of role worker is beaten by any other from 4.15 on.
        ("infra", (BASE, CUSTOM_MADE), [CUSTOM_MADE] * 8),
        ("infra", (BASE, CUSTOM_MADE, AFTER), [AFTER] * 2 + [CUSTOM_MADE] * 6),
        ("infra", (BASE, KUBELET, BY_HAND), [BY_HAND] * 8),
        # One that a controller made for the custom pool is the last one, until it is ignored.
        ("infra", (BY_HAND, MADE_FOR_INFRA), [MADE_FOR_INFRA] * 4 + [BY_HAND] * 4),
        # Of a role that the pool does not inherit.
        ("infra", (a_machine_config("99", "master", "x"), BASE), [None] * 8),
        ("master", (CUSTOM_MADE, generated("00-master", "master", "base")), [None] * 8),
    ],
    ids=[
        "stock",
        "too early a name",
        "by hand",
        "the later name",
        "of the custom pool",
        "worker's, later by name",
        "inherited",
        "made by a controller",
        "of a foreign role",
        "of another custom pool",
    ],
)
def test_who_wins_in_every_band_of_releases(
    pool: str, machine_configs: tuple[MachineConfig, ...], winners: list[MachineConfig | None]
) -> None:
    it = a_pool(pool)
    won = [mco.winner(it, reversed(machine_configs), version=version) for version in BANDS]
    assert won == winners


@pytest.mark.parametrize(
    ("role", "hit"),
    [
        ("worker", {"worker", "infra", "storage"}),
        ("infra", {"infra"}),
        ("master", {"master"}),
        ("arbiter", {"arbiter"}),
        ("unknown", set()),
        ("", set()),
    ],
)
def test_which_pools_one_machine_config_hits(role: str, hit: set[str]) -> None:
    """`infra` and `storage` inherit from the workers, master and arbiter from nobody."""
    view = a_view(pools=tuple(real_pool(name) for name in POOLS))
    assert set(mco.pools_hit(view, a_machine_config("50", role, "x"))) == hit


def real_pool(name: str) -> Pool:
    """With the selector that OpenShift, or its documentation, gives it."""
    if name in ("master", "worker", "arbiter"):
        return a_pool(name, machine_config_selector=Selector(match_labels={mco.ROLE: name}))
    return a_pool(name)


@pytest.mark.parametrize("version", ["4.15.0", "4.20.5", "5.0.0"])
def test_ours_of_the_workers_hits_all_that_inherit_and_have_none_of_their_own(version: str) -> None:
    own = a_machine_config("50-storage", "storage", "storage's")
    view = a_view(pools=tuple(real_pool(n) for n in POOLS), machine_configs=(BASE, own))
    assert mco.also_hit(view, view.pools["worker"], version=version) == ("infra",)
    assert mco.also_hit(view, view.pools["infra"], version=version) == ()


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("10-prebuiltimage-osimageurl-infra", True),
        ("10-prebuiltimage-osimageurl-infra2", False),
        ("10-prebuiltimage-osimageurl-", False),
        ("99-prebuiltimage-osimageurl-infra", False),
        (OURS, False),
    ],
)
def test_which_one_was_made_at_installation(name: str, is_it: bool) -> None:
    assert mco.is_prebuilt(name, INFRA) is is_it


@pytest.mark.parametrize(
    ("version", "winner"),
    [("4.14.9", "01-worker-kubelet"), ("4.20.5", "01-worker-kubelet"), ("4.21.0", "00-aaa")],
)
def test_generated_ones_win_by_name_until_they_are_ignored(version: str, winner: str) -> None:
    assert won(EARLIEST, KUBELET, pool="worker", version=version) == winner


@pytest.mark.parametrize(
    ("pool", "version", "others", "winner"),
    [
        ("infra", "4.16.3", ALL, OURS),
        ("worker", "4.16.3", (BASE, KUBELET, WORKER_MADE), "99-worker-relayer-osimage"),
        ("infra", "4.14.9", (a_machine_config("99-zz", "worker", "x"),), "99-zz"),
        ("infra", "4.15.0", (a_machine_config("99-zz", "worker", "x"),), OURS),
        ("infra", "4.15.0", (a_machine_config("99-zz", "infra", "x"),), "99-zz"),
        ("infra", "4.16.3", (a_machine_config(OURS, "infra", "an older one of ours"),), OURS),
    ],
)
def test_whether_ours_would_win(
    pool: str, version: str, others: tuple[MachineConfig, ...], winner: str
) -> None:
    view = a_view(pools=(a_pool(pool),), machine_configs=others)
    found = mco.winner_if_applied(view, view.pools[pool], version=version)
    assert found is not None
    assert found.meta.name == winner


def test_a_pool_that_does_not_select_our_role_never_gets_ours() -> None:
    pool = a_pool(machine_config_selector=Selector(match_labels={mco.ROLE: "worker"}))
    view = a_view(pools=(pool,), machine_configs=(WORKER_MADE,))
    found = mco.winner_if_applied(view, pool, version="4.16.3")
    assert found is not None
    assert found.meta.name == "60-by-hand"


def test_one_of_role_worker_hits_every_inheriting_pool() -> None:
    view = a_view(pools=(a_pool("worker"), a_pool("infra"), a_pool("master", nodes=0)))
    # `master` here inherits as a custom pool would; what counts is the selector alone.
    assert set(mco.pools_hit(view, WORKER_MADE)) == {"worker", "infra", "master"}
    assert mco.pools_hit(view, CUSTOM_MADE) == ("infra",)


@pytest.mark.parametrize(
    ("roles", "pool"),
    [
        (("worker",), "worker"),
        (("worker", "infra"), "infra"),
        (("infra",), "infra"),
        (("master",), "master"),
        (("master", "worker"), "master"),
        (("master", "infra"), "master"),
        (("master", "worker", "infra"), "master"),
        (("arbiter",), "arbiter"),
        (("arbiter", "worker"), "arbiter"),
        (("arbiter", "master"), "master"),
        # To MCO the arbiter's pool is a custom one, and two of these are an error.
        (("arbiter", "infra"), None),
        (("infra", "storage"), None),
        (("worker", "infra", "storage"), None),
        (("master", "infra", "storage"), None),
        ((), None),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else str(value),
)
def test_whose_node_it_is(roles: tuple[str, ...], pool: str | None) -> None:
    assert mco.pool_of(a_node("n", *roles), POOLS) == pool


def test_a_windows_node_is_nobody_s() -> None:
    labels = {"kubernetes.io/os": "windows", "node-role.kubernetes.io/worker": ""}
    assert mco.pool_of(Node(meta=Meta(name="n", labels=labels)), POOLS) is None


@pytest.mark.parametrize(
    "selector",
    [
        Selector(match_labels={mco.ROLE: "worker"}),
        Selector(
            match_expressions=(
                Requirement(key=mco.ROLE, operator="In", values=("infra", "worker", "worker")),
            )
        ),
        Selector(match_expressions=(Requirement(key=mco.ROLE, operator="Exists"),)),
        Selector(
            match_expressions=(Requirement(key=mco.ROLE, operator="NotIn", values=("master",)),)
        ),
    ],
    ids=["by label", "one of", "any", "but for one"],
)
def test_however_a_pool_selects_the_last_of_those_wins(selector: Selector) -> None:
    winners = mco.Winners([BASE, WORKER_MADE, KUBELET], version="4.16.3")
    assert winners.of(a_pool(machine_config_selector=selector)) is WORKER_MADE


@pytest.mark.parametrize("selector", [None, Selector()], ids=["no selector", "an empty one"])
def test_a_pool_that_selects_nothing_in_particular_is_left_alone_by_mco(
    selector: Selector | None,
) -> None:
    bare = a_pool("bare", machine_config_selector=selector, node_selector=selector)
    assert mco.pool_of(a_node("n", "worker"), {**POOLS, "bare": bare}) == "worker"
    assert mco.pool_of(a_node("n", "worker"), {"bare": bare}) is None
    assert mco.winner(bare, ALL, version="4.21.0") is None
    assert mco.pools_hit(a_view(pools=(bare, a_pool("infra"))), CUSTOM_MADE) == ("infra",)


def test_the_nodes_of_a_pool_come_by_name() -> None:
    names = ("n-2", "n-1", "n-3")
    nodes = {name: a_node(name, "worker", *["infra"] * (name != "n-3")) for name in names}
    view = a_view(pools=tuple(POOLS.values()), nodes=nodes)
    assert view.cluster == PROD
    assert [node.meta.name for node in mco.nodes_of(view, "infra")] == ["n-1", "n-2"]


@pytest.mark.parametrize(
    ("said", "nodes", "most"),
    [
        ("1", 10, 1),
        ("3", 10, 3),
        ("0", 10, 1),
        ("", 10, 1),
        ("25%", 10, 2),
        ("34%", 3, 1),
        ("5%", 10, 1),
        ("0%", 10, 1),
        ("100%", 7, 7),
        ("50%", 0, 1),
        ("many", 10, 1),
    ],
)
def test_how_many_nodes_may_be_down_at_once(said: str, nodes: int, most: int) -> None:
    assert mco.max_unavailable(a_pool(max_unavailable=said), nodes) == most


def test_of_arbiters_one_at_a_time() -> None:
    assert mco.max_unavailable(a_pool("arbiter", max_unavailable="50%"), 4) == 1


def needs(operator: str, *values: str) -> Selector:
    return Selector(match_expressions=(Requirement(key="k", operator=operator, values=values),))


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        (None, {"k": "a"}, False),
        (Selector(), {}, False),
        (Selector(), {"k": "a"}, False),
        (Selector(match_labels={"k": "a"}), {"k": "a"}, True),
        (Selector(match_labels={"k": "a"}), {"k": "b"}, False),
        (Selector(match_labels={"k": ""}), {}, False),
        (needs("In", "a", "b"), {"k": "b"}, True),
        (needs("In", "a"), {}, False),
        (needs("NotIn", "a"), {"k": "b"}, True),
        (needs("NotIn", "a"), {}, True),
        (needs("NotIn", "a"), {"k": "a"}, False),
        (needs("Exists"), {"k": ""}, True),
        (needs("Exists"), {}, False),
        (needs("DoesNotExist"), {}, True),
        (needs("DoesNotExist"), {"k": "a"}, False),
        (needs("Gt", "1"), {"k": "2"}, False),
    ],
)
def test_selectors(selector: Selector | None, labels: dict[str, str], matches: bool) -> None:
    assert mco.selects(selector, labels) is matches


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("4.16.3", "4.16.10", True),
        ("4.9.0", "4.10.0", True),
        ("4.17.0-rc.1", "4.17.0", True),
        ("4.16.3", "4.16.3", False),
        ("4.17.0", "4.16.9", False),
        ("what", "4.16.3", False),
        ("4.16.3", "", False),
    ],
)
def test_which_release_is_older(version: str, than: str, older: bool) -> None:
    assert mco.is_older(version, than=than) is older


def test_a_pool_without_a_selector_selects_nothing() -> None:
    assert mco.winner(Pool(meta=Meta(name="bare")), ALL, version="4.16.3") is None


def drained(**said: str) -> Node:
    """A node that MCO drained for `rendered-bad`, and that failed on it."""
    annotations = {
        mco.NODE_STATE: "Degraded",
        mco.DESIRED_CONFIG: "rendered-bad",
        mco.DESIRED_DRAIN: "drain-rendered-bad",
        mco.APPLIED_DRAIN: "drain-rendered-bad",
        **said,
    }
    return Node(meta=Meta(name="n", annotations=annotations), unschedulable=True)


def test_a_node_that_failed_after_its_drain_was_left_cordoned() -> None:
    assert mco.left_cordoned(drained(), target="rendered-good")


@pytest.mark.parametrize(
    ("node", "target"),
    [
        (drained(), "rendered-bad"),
        (replace(drained(), unschedulable=False), "rendered-good"),
        (drained(**{mco.NODE_STATE: "Working"}), "rendered-good"),
        (drained(**{mco.APPLIED_DRAIN: "uncordon-rendered-old"}), "rendered-good"),
        (drained(**{mco.DESIRED_DRAIN: "uncordon-rendered-bad"}), "rendered-good"),
    ],
    ids=[
        "the pool still wants that",
        "it is schedulable",
        "it still works on it",
        "the drain is not done",
        "MCO uncordons it itself",
    ],
)
def test_a_cordon_that_is_not_mco_s_own_and_done_is_left_alone(node: Node, target: str) -> None:
    assert not mco.left_cordoned(node, target=target)

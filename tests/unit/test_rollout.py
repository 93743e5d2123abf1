"""How far a pool has come: in the order of checks that stale status cannot fool."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import (
    OURS,
    SETTLED,
    T0,
    a_machine_config,
    a_node,
    a_pool,
    a_view,
    an_update,
    conditions,
    our_override,
    seconds,
    some_nodes,
)
from watcher.core import mco
from watcher.core.cluster import ClusterView, MachineConfig, Node, Pool
from watcher.core.rollout import (
    Expectation,
    Phase,
    Rollout,
    deadline,
    expectation,
    judge,
)
from watcher.core.update_events import Kind, UpdateState

UPDATE = an_update(state=UpdateState.ROLLING_OUT)
NEW, OLD = "rendered-infra-new", "rendered-infra-old"
WANTED = expectation(UPDATE, override=OURS, began_at=T0)
STOCK = replace(WANTED, image="")


def rendered(name: str, url: str) -> MachineConfig:
    return a_machine_config(name, "", url)


def pool(*, updated: int = 0, nodes: int = 3, **said: Any) -> Pool:
    """A pool that targets the new one; `updated` of its nodes have it."""
    done = updated == nodes
    default: dict[str, Any] = {
        "spec_configuration": NEW,
        "status_configuration": NEW if done else OLD,
        "updated_count": updated,
        "ready_count": updated,
        "conditions": SETTLED if done else conditions(Updated="False", Updating="True"),
    }
    return a_pool(nodes=nodes, **{**default, **said})


def seen(
    it: Pool, nodes: dict[str, Node] | None = None, *, ours: str | None = str(UPDATE.image)
) -> ClusterView:
    made = [rendered(NEW, str(UPDATE.image)), rendered(OLD, "old")]
    if ours is not None:
        made.append(our_override(UPDATE, os_image_url=ours))
    at_work = some_nodes(3, has=NEW) if nodes is None else nodes
    return a_view(pools=(it,), machine_configs=tuple(made), nodes=at_work)


def judged(
    it: Pool, nodes: dict[str, Node] | None = None, *, after: float = 60, **said: Any
) -> Rollout:
    wanted: Expectation = said.pop("wanted", WANTED)
    return judge(seen(it, nodes, **said), it, wanted, now=T0 + seconds(after))


def mixed(**states: str) -> dict[str, Node]:
    """`mixed(a="Done", b="Working")`: who is Done has the new one."""
    return {
        name: a_node(
            name, "worker", "infra", has=NEW if state == "Done" else OLD, wants=NEW, state=state
        )
        for name, state in states.items()
    }


def test_done_is_when_everything_agrees() -> None:
    found = judged(pool(updated=3))
    assert (found.phase, found.sentence) == (Phase.DONE, "all 3 nodes run it")
    assert found.updated == 3


def test_updated_is_worth_nothing_before_the_pool_targets_the_image() -> None:
    """MCO renders after 5 s: until then `Updated=True` speaks of what was before."""
    stale = a_pool(spec_configuration=OLD, status_configuration=OLD)
    found = judged(stale, some_nodes(3, has=OLD))
    assert found.phase is Phase.RENDERING
    assert found.updated == 0, "who is Done is done with something else"


def test_a_rendered_one_that_has_not_been_seen_is_not_believed() -> None:
    gone = pool(updated=3, spec_configuration="rendered-unseen")
    assert judged(gone).phase is Phase.RENDERING


def test_the_right_image_from_another_machine_config_is_not_ours() -> None:
    other = pool(updated=3, spec_sources=("50-by-hand",))
    assert judged(other).phase is Phase.RENDERING


@pytest.mark.parametrize(
    "said",
    [
        {"meta": replace(a_pool().meta, generation=2)},
        {"status_configuration": OLD},
        {"conditions": conditions(Updated="False", Updating="False")},
        {"conditions": conditions(Updated="True", Updating="True")},
        {"machine_count": 4},
        {"updated_count": 2},
        {"ready_count": 2},
        {"unavailable_count": 1},
        {"degraded_count": 1},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_single_thing_that_disagrees_means_not_done(said: dict[str, Any]) -> None:
    assert judged(pool(updated=3, **said)).phase is Phase.ROLLING


@pytest.mark.parametrize(
    "node",
    [
        a_node("node-2", "worker", "infra", has=OLD, wants=NEW),
        a_node("node-2", "worker", "infra", has=NEW, wants=OLD),
        a_node("node-2", "worker", "infra", has=NEW, state="Working"),
        a_node("node-2", "worker", "infra", has=NEW, state=""),
    ],
    ids=["has the old one", "is told to take the old one", "still works", "says nothing"],
)
def test_a_single_node_that_disagrees_means_not_done(node: Node) -> None:
    nodes = {**some_nodes(2, has=NEW), "node-2": node}
    found = judged(pool(updated=3), nodes)
    assert (found.phase, found.updated) == (Phase.ROLLING, 2)


def test_a_node_that_the_pool_does_not_count_yet_means_not_done() -> None:
    assert judged(pool(updated=3), some_nodes(4, has=NEW)).phase is Phase.ROLLING


def test_node_by_node() -> None:
    found = judged(pool(updated=1), mixed(a="Done", b="Working", c="Rebooting"))
    assert (found.phase, found.sentence) == (Phase.ROLLING, "1 of 3 nodes run it")
    assert [(n.name, n.state, n.updated) for n in found.nodes] == [
        ("a", "Done", True),
        ("b", "Working", False),
        ("c", "Rebooting", False),
    ]


@pytest.mark.parametrize("state", ["Degraded", "Unreconcilable"])
def test_a_broken_node_is_named_with_its_reason(state: str) -> None:
    nodes = mixed(a="Done", b=state)
    why = {**nodes["b"].meta.annotations, mco.NODE_REASON: "rebase failed"}
    nodes["b"] = replace(nodes["b"], meta=replace(nodes["b"].meta, annotations=why))
    found = judged(pool(updated=1, nodes=2), nodes)
    assert found.phase is Phase.DEGRADED
    assert found.sentence == f"node b is {state}: rebase failed"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"NodeDegraded": "True:b is gone"}, "the pool is degraded: b is gone"),
        ({"Degraded": "True:sync"}, "the pool is degraded: sync"),
        ({"Degraded": "True"}, "the pool is degraded: no reason given"),
    ],
)
def test_a_degraded_pool_is_told(said: dict[str, str], sentence: str) -> None:
    it = pool(updated=1, conditions=conditions(Updated="False", **said))
    found = judged(it, mixed(a="Done", b="Working", c="Done"))
    assert (found.phase, found.sentence) == (Phase.DEGRADED, sentence)


def test_a_degraded_pool_is_never_done_though_it_says_updated() -> None:
    it = pool(updated=3, conditions=conditions(Updated="True", Degraded="True:still"))
    assert judged(it).phase is Phase.DEGRADED


def test_what_cannot_be_rendered_is_told() -> None:
    said = conditions(Updated="True", RenderDegraded="True:two kernels")
    it = pool(spec_configuration=OLD, conditions=said)
    found = judged(it, some_nodes(3, has=OLD))
    assert (found.phase, found.sentence) == (Phase.DEGRADED, "rendering failed: two kernels")


def test_a_paused_pool_says_that_nobody_will_follow() -> None:
    found = judged(pool(updated=1, paused=True), mixed(a="Done", b="Done", c="Working"))
    assert found.phase is Phase.ROLLING
    assert "the pool is paused, so no further node will take it" in found.sentence


def test_a_pool_without_nodes_is_done_and_says_so() -> None:
    found = judged(pool(updated=0, nodes=0), {})
    assert (found.phase, found.sentence) == (Phase.DONE, "the pool has no nodes")


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        (None, f"somebody deleted {OURS}"),
        ("another", f"somebody changed {OURS} to another"),
        ("", f"somebody changed {OURS} to no image"),
    ],
)
def test_a_take_over_is_told_before_anything_else(ours: str | None, sentence: str) -> None:
    found = judged(pool(updated=3), ours=ours)
    assert (found.phase, found.sentence) == (Phase.TAKEN_OVER, sentence)


# --- back to the stock image ---


def test_without_our_override_the_stock_image_is_waited_for() -> None:
    before = pool(spec_sources=(OURS,))
    assert judged(before, wanted=STOCK, ours=None).phase is Phase.RENDERING
    after = pool(updated=3, spec_sources=("00-worker",))
    assert judged(after, wanted=STOCK, ours=None).phase is Phase.DONE


def test_an_override_that_came_back_is_a_take_over() -> None:
    found = judged(pool(updated=3, spec_sources=()), wanted=STOCK)
    assert (found.phase, found.sentence) == (Phase.TAKEN_OVER, f"somebody made {OURS} again")


def test_a_request_for_the_stock_image_expects_none_of_ours() -> None:
    stock = an_update(state=UpdateState.ROLLING_OUT, kind=Kind.STOCK)
    assert expectation(stock, override=OURS, began_at=T0).image == ""
    assert WANTED.image == str(UPDATE.image)


# --- deadlines ---


@pytest.mark.parametrize(
    ("nodes", "at_once", "waves"),
    [(0, "1", 0), (1, "1", 1), (3, "1", 3), (10, "3", 4), (10, "50%", 2), (10, "100%", 1)],
)
def test_the_deadline_follows_from_nodes_and_max_unavailable(
    nodes: int, at_once: str, waves: int
) -> None:
    limit = deadline(a_pool(max_unavailable=at_once), nodes, WANTED)
    assert limit == T0 + seconds(600 + waves * UPDATE.policy.node_seconds)


@pytest.mark.parametrize(
    ("it", "nodes", "phase"),
    [
        (pool(updated=1), mixed(a="Done", b="Working", c="Done"), Phase.ROLLING),
        (pool(spec_configuration=OLD), some_nodes(3, has=OLD), Phase.RENDERING),
    ],
    ids=["rolling", "rendering"],
)
def test_after_the_deadline_it_is_stalled(it: Pool, nodes: dict[str, Node], phase: Phase) -> None:
    late = 600 + 3 * 1800
    assert judged(it, nodes, after=late).phase is phase
    found = judged(it, nodes, after=late + 1)
    assert found.phase is Phase.STALLED
    assert "it should have ended by 2026-11-18 09:40 UTC" in found.sentence


def test_what_is_done_late_is_done() -> None:
    assert judged(pool(updated=3), after=10**6).phase is Phase.DONE


def test_what_is_degraded_late_is_degraded() -> None:
    found = judged(pool(updated=1, nodes=2), mixed(a="Done", b="Degraded"), after=10**6)
    assert found.phase is Phase.DEGRADED

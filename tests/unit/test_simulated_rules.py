"""The pure rules of the simulated machine-config operator: merging, and who is next."""

from typing import Any

import pytest

from simulator.cluster import pools
from simulator.cluster.render import RenderError, Rules, ordered, render


def _node(name: str, **more: Any) -> pools.NodeState:
    values: dict[str, Any] = {
        "created": "2026-01-01T00:00:00Z",
        "zone": "",
        "ready": True,
        "current": "old",
        "desired": "old",
        "desired_image": "",
        "state": "Done",
        "reason": "",
    }
    return pools.NodeState(name=name, **(values | more))


def _next(nodes: list[pools.NodeState], limit: int) -> list[str]:
    return [node.name for node in pools.candidates(nodes, "new", limit)]


def test_a_cordoned_node_takes_a_place_and_gets_none() -> None:
    assert _next([_node("a", ready=False), _node("b"), _node("c")], 2) == ["b"]


def test_nodes_go_by_zone_then_by_age() -> None:
    nodes = [
        _node("none"),
        _node("young", zone="a", created="2026-02-01T00:00:00Z"),
        _node("old", zone="a"),
        _node("far", zone="b"),
    ]
    assert _next(nodes, 3) == ["old", "young", "far"]


def test_a_node_opting_out_of_on_cluster_layering_is_a_candidate_again() -> None:
    assert _next([_node("a", current="new", desired="new", desired_image="image")], 1) == ["a"]


def _config(name: str, role: str, image: str = "", *, generated: bool = False) -> dict[str, Any]:
    mark = "machineconfiguration.openshift.io/generated-by-controller-version"
    return {
        "metadata": {
            "name": name,
            "labels": {"machineconfiguration.openshift.io/role": role},
            "annotations": {mark: "abc"} if generated else {},
        },
        "spec": {"osImageURL": image},
    }


@pytest.mark.parametrize(
    ("minor", "names"),
    [
        ((4, 14), ["01-gpu", "50-worker", "99-gpu", "99-worker"]),
        ((4, 15), ["50-worker", "99-worker", "01-gpu", "99-gpu"]),
        ((4, 21), ["50-worker", "99-worker", "01-gpu", "99-gpu"]),
    ],
)
def test_the_order_of_merging_depends_on_the_version(
    minor: tuple[int, int], names: list[str]
) -> None:
    configs = [
        _config(n, n.partition("-")[2]) for n in ("99-worker", "99-gpu", "50-worker", "01-gpu")
    ]
    assert [c["metadata"]["name"] for c in ordered(configs, Rules.of(minor))] == names


@pytest.mark.parametrize(
    ("minor", "name", "wins"),
    [
        ((4, 20), "00-a-user", "base"),  # hidden by 01-worker-kubelet
        ((4, 20), "99-user", "mine"),
        ((4, 21), "00-a-user", "mine"),  # generated ones no longer count
    ],
)
def test_generated_configs_hide_a_user_config_until_4_20(
    minor: tuple[int, int], name: str, wins: str
) -> None:
    generated = _config("01-worker-kubelet", "worker", "base", generated=True)
    configs = [generated, _config(name, "worker", "mine")]
    rendered = render("worker", configs, base="base", base_extensions="", rules=Rules.of(minor))
    assert rendered.spec["osImageURL"] == wins
    assert rendered.overridden is (wins == "mine")


def test_a_rendered_name_comes_from_the_content_alone() -> None:
    rules = Rules.of((4, 16))

    def name(image: str) -> str:
        configs = [_config("99-user", "worker", image)]
        return render("worker", configs, base="base", base_extensions="", rules=rules).name

    assert name("one") == name("one") != name("two")
    assert name("one").startswith("rendered-worker-")
    with pytest.raises(RenderError):
        render("worker", [], base="base", base_extensions="", rules=rules)

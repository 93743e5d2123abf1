"""The simulated cluster does what FACTS says real ones do; all in virtual time."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from simulator.apiserver import ApiServer, By, kinds
from simulator.cluster import PoolSpec, Release, SimClock, SimulatedCluster, pools
from simulator.cluster.render import RenderError, Rules, ordered, render
from simulator.cluster.world import DAEMON


def _digest(letter: str) -> str:
    return "sha256:" + letter * 64


def _release(version: str, letter: str, **more: Any) -> Release:
    return Release(
        version=version,
        image=f"quay.test/ocp-release@{_digest(letter)}",
        os_image=f"quay.test/art-dev@{_digest(letter)}",
        os_extensions=f"quay.test/extensions@{_digest(letter)}",
        **more,
    )


OLD = _release("4.16.3", "1")
NEW = _release("4.17.1", "2")
NEWER = _release("4.17.2", "3")
LAYERED = f"registry.test/team/gpu@{_digest('a')}"
BROKEN = f"registry.test/team/gpu@{_digest('b')}"
FIXED = f"registry.test/team/gpu@{_digest('c')}"

POOLS = ("master", "worker", "gpu")


def _cluster(
    gpu: PoolSpec | None = None, release: Release = OLD, **options: Any
) -> SimulatedCluster:
    clock = SimClock()
    specs = [PoolSpec(name="worker", nodes=2), gpu or PoolSpec(name="gpu", nodes=3)]
    return SimulatedCluster.create(
        ApiServer(now=clock.now), release=release, pools=specs, clock=clock, **options
    )


def _override(cluster: SimulatedCluster, image: str, *, role: str = "gpu") -> None:
    """What Relayer applies."""
    name = f"99-{role}-relayer-osimage"
    document = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": {"osImageURL": image},
    }
    writer = cluster.world.api.writer
    writer.apply(kinds.MACHINE_CONFIGS, ("", name), document, By("relayer"))


async def _until(
    cluster: SimulatedCluster, met: Callable[[], bool], *, limit: float = 7200, step: float = 5
) -> None:
    for _ in range(int(limit / step)):
        if met():
            return
        await cluster.advance(step)
    pytest.fail("it did not come to that in time")


def _version(cluster: SimulatedCluster) -> Any:
    return cluster.world.store.get(kinds.CLUSTER_VERSIONS, "version").object


def _conditions(thing: Any) -> dict[str, Any]:
    return {entry["type"]: entry for entry in thing["status"]["conditions"]}


def _is(thing: Any, kind: str) -> bool:
    return bool(_conditions(thing)[kind]["status"] == "True")


def _completed(cluster: SimulatedCluster, release: Release) -> bool:
    newest = _version(cluster)["status"]["history"][0]
    return (newest["image"], newest["state"]) == (release.image, "Completed")


def _images(cluster: SimulatedCluster, pool: str) -> set[str]:
    return {cluster.running_image(node) for node in cluster.nodes_of(pool)}


def _target(cluster: SimulatedCluster, pool: str) -> Any:
    name = cluster.pool(pool)["spec"]["configuration"]["name"]
    return cluster.world.store.get(kinds.MACHINE_CONFIGS, name).object


def _notes(cluster: SimulatedCluster, node: str) -> Any:
    return cluster.world.store.get(kinds.NODES, node).object["metadata"]["annotations"]


def _patch(cluster: SimulatedCluster, kind: kinds.Kind, name: str, **spec: Any) -> None:
    def change(document: dict[str, Any]) -> dict[str, Any]:
        document["spec"] |= spec
        return document

    cluster.world.api.writer.patch(kind, ("", name), change, By("somebody"))


def _states(cluster: SimulatedCluster, pool: str) -> dict[str, pools.NodeState]:
    found = {n: cluster.world.store.get(kinds.NODES, n).object for n in cluster.nodes_of(pool)}
    return {name: pools.NodeState.of(node) for name, node in found.items()}


async def test_a_new_cluster_is_settled_and_stays_so() -> None:
    cluster = _cluster()
    before = cluster.world.store.revision
    await cluster.advance(3600)
    for pool in POOLS:
        assert _is(cluster.pool(pool), "Updated")
        assert not _is(cluster.pool(pool), "Updating")
        assert cluster.is_settled(pool)
        assert _images(cluster, pool) == {OLD.os_image}
    assert cluster.world.store.revision - before < 20  # no controller fights another


async def test_a_requested_release_is_accepted_before_anything_rolls() -> None:
    cluster = _cluster()
    cluster.start_upgrade(NEW)
    seen = _version(cluster)
    assert seen["metadata"]["generation"] != seen["status"]["observedGeneration"]
    await cluster.advance(2)
    seen = _version(cluster)
    assert seen["metadata"]["generation"] == seen["status"]["observedGeneration"]
    assert _conditions(seen)["ReleaseAccepted"]["status"] == "Unknown"
    assert seen["status"]["desired"]["image"] == OLD.image
    await cluster.advance(20)
    status = _version(cluster)["status"]
    assert status["desired"] == {"version": NEW.version, "image": NEW.image}
    assert [entry["state"] for entry in status["history"]] == ["Partial", "Completed"]
    assert status["history"][0]["completionTime"] is None
    assert _is(_version(cluster), "Progressing")


async def test_the_base_changes_before_the_upgrade_is_completed() -> None:
    cluster = _cluster()
    cluster.start_upgrade(NEW)

    def base() -> Any:
        namespace = "openshift-machine-config-operator"
        found = cluster.world.store.get(kinds.CONFIG_MAPS, "machine-config-osimageurl", namespace)
        return found.object["data"]

    await _until(cluster, lambda: bool(base()["releaseVersion"] == NEW.version))
    assert base()["baseOSContainerImage"] == NEW.os_image
    assert not _completed(cluster, NEW)
    assert _images(cluster, "master") == {OLD.os_image}


async def test_an_upgrade_completes_with_the_masters_while_others_still_roll() -> None:
    cluster = _cluster(PoolSpec(name="gpu", nodes=8))
    cluster.start_upgrade(NEW)
    await _until(cluster, lambda: _completed(cluster, NEW))
    assert _images(cluster, "master") == {NEW.os_image}
    assert _images(cluster, "gpu") == {OLD.os_image, NEW.os_image}
    assert _is(_version(cluster), "Available")
    assert not _is(_version(cluster), "Progressing")
    await _until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    assert _images(cluster, "gpu") == {NEW.os_image}
    assert all(cluster.reboots(node) == 1 for node in cluster.machines)


async def test_an_overridden_pool_gets_the_new_configuration_on_the_old_system() -> None:
    cluster = _cluster()
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _images(cluster, "gpu") == {LAYERED})
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    before = _target(cluster, "gpu")["metadata"]["name"]
    cluster.start_upgrade(NEW)
    await _until(cluster, lambda: _completed(cluster, NEW))
    await _until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    target = _target(cluster, "gpu")
    assert target["metadata"]["name"] != before
    assert target["spec"]["osImageURL"] == LAYERED
    notes = target["metadata"]["annotations"]
    assert notes["machineconfiguration.openshift.io/os-image-url-overridden"] == "true"
    assert notes["machineconfiguration.openshift.io/release-image-version"] == NEW.version
    assert _images(cluster, "gpu") == {LAYERED}
    assert _images(cluster, "worker") == {NEW.os_image}
    assert [cluster.reboots(node) for node in cluster.nodes_of("gpu")] == [2, 2, 2]


async def test_an_override_rolls_node_by_node() -> None:
    cluster = _cluster()
    _override(cluster, LAYERED)
    assert _is(cluster.pool("gpu"), "Updated")  # stale: nobody has looked yet
    seen_states, most_away = set[str](), 0
    while _images(cluster, "gpu") != {LAYERED} or not cluster.is_settled("gpu"):
        await cluster.advance(2)
        states = _states(cluster, "gpu")
        most_away = max(most_away, sum(not state.ready for state in states.values()))
        seen_states |= {state.state for state in states.values()}
        seen_states |= {_notes(cluster, node).get(pools.POST_CONFIG_ACTION, "") for node in states}
    assert most_away == 1
    assert seen_states == {"Done", "Working", "Rebooting", ""}
    status = cluster.pool("gpu")["status"]
    assert (status["machineCount"], status["updatedMachineCount"]) == (3, 3)
    assert (status["readyMachineCount"], status["unavailableMachineCount"]) == (3, 0)
    assert "99-gpu-relayer-osimage" in {s["name"] for s in status["configuration"]["source"]}
    assert _images(cluster, "worker") == {OLD.os_image}


async def test_rendering_and_rolling_begin_after_their_delays() -> None:
    cluster = _cluster()
    before = _target(cluster, "gpu")["metadata"]["name"]
    _override(cluster, LAYERED)
    await cluster.advance(4)
    assert _target(cluster, "gpu")["metadata"]["name"] == before
    await cluster.advance(2)
    assert _target(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert _is(cluster.pool("gpu"), "Updated")  # of the configuration before
    await cluster.advance(5)
    assert _is(cluster.pool("gpu"), "Updating")
    pool = cluster.pool("gpu")
    assert pool["status"]["configuration"]["name"] == before


@pytest.mark.parametrize(
    ("limit", "away"), [(None, 1), (0, 1), (2, 2), ("50%", 2), ("10%", 1), ("100%", 5)]
)
async def test_no_more_nodes_are_away_than_allowed(limit: int | str | None, away: int) -> None:
    cluster = _cluster(PoolSpec(name="gpu", nodes=5, max_unavailable=limit))
    _override(cluster, LAYERED)
    most = 0
    while _images(cluster, "gpu") != {LAYERED}:
        await cluster.advance(3)
        most = max(most, sum(not state.ready for state in _states(cluster, "gpu").values()))
    assert most == away


async def test_a_paused_pool_renders_and_does_not_move() -> None:
    cluster = _cluster()
    _patch(cluster, kinds.POOLS, "gpu", paused=True)
    _override(cluster, LAYERED)
    await cluster.advance(3600)
    target = _target(cluster, "gpu")["metadata"]["name"]
    assert _target(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert _images(cluster, "gpu") == {OLD.os_image}
    updating = _conditions(cluster.pool("gpu"))["Updating"]
    assert updating["status"] == "False"
    assert updating["message"] == f"Pool is paused; will not update to MachineConfig {target}"
    assert not _is(cluster.pool("gpu"), "Updated")
    _patch(cluster, kinds.POOLS, "gpu", paused=False)
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert _images(cluster, "gpu") == {LAYERED}


async def test_a_bad_image_degrades_one_node_and_stops_the_pool() -> None:
    asked: list[str] = []

    async def pull(image: str) -> bool:
        asked.append(image)
        return image != BROKEN

    cluster = _cluster(pull=pull)
    _override(cluster, BROKEN)
    await _until(cluster, lambda: _is(cluster.pool("gpu"), "Degraded"))
    await cluster.advance(3600)
    pool = cluster.pool("gpu")
    assert pool["status"]["degradedMachineCount"] == 1
    assert pool["status"]["unavailableMachineCount"] == 1
    assert _is(pool, "Updating")
    assert BROKEN in _conditions(pool)["NodeDegraded"]["message"]
    reason = _conditions(pool)["NodeDegraded"]["reason"]
    assert reason == "1 nodes are reporting degraded status on sync"
    assert _images(cluster, "gpu") == {OLD.os_image}
    assert asked.count(BROKEN) > 5  # it tries again and again


async def test_a_degraded_node_tries_again_at_its_own_pace() -> None:
    asked: list[str] = []

    async def pull(image: str) -> bool:
        asked.append(image)
        raise ConnectionError("registry is away")

    cluster = _cluster(pull=pull)
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _is(cluster.pool("gpu"), "Degraded"))
    (broken,) = [n for n, s in _states(cluster, "gpu").items() if s.state == "Degraded"]
    assert "ConnectionError: registry is away" in _notes(cluster, broken)[pools.REASON]
    for number in range(20):  # others write to it all the time
        _patch(cluster, kinds.NODES, broken, podCIDR=f"10.0.{number}.0/24")
        await cluster.advance(1)
    asked.clear()
    await cluster.advance(600)
    assert len(asked) == 10


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


async def test_a_node_degraded_after_its_drain_is_only_retargeted_once_it_is_uncordoned() -> None:
    cluster = _cluster()
    cluster.degrade_next(when_image=BROKEN)
    _override(cluster, BROKEN)
    await _until(cluster, lambda: _is(cluster.pool("gpu"), "Degraded"))
    (broken,) = [n for n, s in _states(cluster, "gpu").items() if s.state == "Degraded"]
    _override(cluster, FIXED)
    await cluster.advance(3600)
    # It is cordoned, so it uses up maxUnavailable, and a cordoned node is no candidate.
    assert _states(cluster, "gpu")[broken].state == "Degraded"
    assert _images(cluster, "gpu") == {OLD.os_image}
    _patch(cluster, kinds.NODES, broken, unschedulable=False)
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert _images(cluster, "gpu") == {FIXED}
    assert not _is(cluster.pool("gpu"), "Degraded")
    assert _notes(cluster, broken)[pools.REASON] == ""


async def test_a_node_degraded_before_its_drain_is_retargeted_by_itself() -> None:
    cluster = _cluster()
    cluster.degrade_next(when_image=BROKEN, stage="prepare", reason="cannot be reconciled")
    _override(cluster, BROKEN)
    await _until(cluster, lambda: _is(cluster.pool("gpu"), "Degraded"))
    assert "cannot be reconciled" in _conditions(cluster.pool("gpu"))["NodeDegraded"]["message"]
    # It can take work, so it is not unavailable, yet it keeps the only place.
    assert cluster.pool("gpu")["status"]["unavailableMachineCount"] == 0
    await cluster.advance(1800)
    assert _images(cluster, "gpu") == {OLD.os_image}
    cluster.world.api.writer.delete(kinds.MACHINE_CONFIGS, ("", "99-gpu-relayer-osimage"), {})
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert _images(cluster, "gpu") == {OLD.os_image}
    # The same content came back under the same name, and nothing had been staged.
    assert all(cluster.reboots(node) == 0 for node in cluster.nodes_of("gpu"))


async def test_a_degraded_node_succeeds_when_its_cause_goes_away() -> None:
    cluster = _cluster()
    cluster.degrade_next("gpu-1")
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _states(cluster, "gpu")["gpu-1"].state == "Degraded")
    cluster.heal()
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert _images(cluster, "gpu") == {LAYERED}


async def test_a_node_that_never_comes_back_stalls_its_pool() -> None:
    cluster = _cluster()
    cluster.degrade_next(stage="boot", pool="gpu")
    _override(cluster, LAYERED)
    await cluster.advance(7200)
    pool = cluster.pool("gpu")
    assert _is(pool, "Updating")
    assert not _is(pool, "Degraded")
    assert pool["status"]["unavailableMachineCount"] == 1
    assert sum(cluster.reboots(node) for node in cluster.nodes_of("gpu")) == 1


async def test_taking_the_override_away_returns_to_the_old_rendered_name() -> None:
    cluster = _cluster()
    before = _target(cluster, "gpu")["metadata"]["name"]
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _images(cluster, "gpu") == {LAYERED})
    cluster.world.api.writer.delete(kinds.MACHINE_CONFIGS, ("", "99-gpu-relayer-osimage"), {})
    await cluster.advance(10)
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert _target(cluster, "gpu")["metadata"]["name"] == before
    assert _images(cluster, "gpu") == {OLD.os_image}


async def test_an_override_of_workers_hits_the_pools_that_inherit() -> None:
    cluster = _cluster()
    _override(cluster, LAYERED, role="worker")
    await cluster.advance(10)
    assert _target(cluster, "worker")["spec"]["osImageURL"] == LAYERED
    assert _target(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert _target(cluster, "master")["spec"]["osImageURL"] == OLD.os_image


async def test_a_refused_release_changes_nothing_but_its_condition() -> None:
    cluster = _cluster()
    cluster.versions.refuse_next("VerifyPayloadVersion", "signature is missing")
    cluster.start_upgrade(NEW)
    await cluster.advance(600)
    accepted = _conditions(_version(cluster))["ReleaseAccepted"]
    assert (accepted["status"], accepted["reason"]) == ("False", "VerifyPayloadVersion")
    assert _version(cluster)["status"]["desired"]["image"] == OLD.image
    assert _completed(cluster, OLD)


async def test_a_failing_upgrade_waits_until_it_no_longer_fails() -> None:
    cluster = _cluster()
    cluster.start_upgrade(NEW)
    await cluster.advance(30)
    cluster.versions.fail("Cluster operator etcd is degraded")
    await cluster.advance(7200)
    seen = _version(cluster)
    assert _is(seen, "Failing")
    assert _conditions(seen)["Progressing"]["message"].startswith("Unable to apply 4.17.1: ")
    assert not _completed(cluster, NEW)
    cluster.versions.fail("")
    await _until(cluster, lambda: _completed(cluster, NEW))
    assert not _is(_version(cluster), "Failing")


async def test_an_abandoned_release_keeps_state_partial_with_a_completion_time() -> None:
    cluster = _cluster()
    cluster.start_upgrade(NEW)
    await cluster.advance(30)
    cluster.start_upgrade(NEWER)
    await _until(cluster, lambda: _completed(cluster, NEWER))
    history = _version(cluster)["status"]["history"]
    assert [(e["version"], e["state"]) for e in history] == [
        (NEWER.version, "Completed"),
        (NEW.version, "Partial"),
        (OLD.version, "Completed"),
    ]
    assert history[1]["completionTime"]
    await _until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    assert _images(cluster, "worker") == {NEWER.os_image}
    # The abandoned one was left before it had reached the nodes, and never did.
    assert all(cluster.reboots(node) == 1 for node in cluster.machines)


async def test_the_kubelet_comes_with_the_image() -> None:
    cluster = _cluster()
    cluster.start_upgrade(NEW)
    await _until(cluster, lambda: _completed(cluster, NEW))
    info = cluster.world.store.get(kinds.NODES, "master-0").object["status"]["nodeInfo"]
    assert info["kubeletVersion"] == "v1.30.0"
    assert "2" * 12 in info["osImage"]


async def test_streams_appear_with_the_release_that_has_them() -> None:
    cluster = _cluster()
    assert not cluster.world.api.kinds.serves(kinds.OS_IMAGE_STREAMS)
    ten = f"quay.test/art-dev@{_digest('9')}"
    newer = _release("4.23.0", "4", streams={"rhel-9": f"q.test/o@{_digest('4')}", "rhel-10": ten})
    cluster.start_upgrade(newer)
    await _until(cluster, lambda: _completed(cluster, newer))
    stream = cluster.world.store.get(kinds.OS_IMAGE_STREAMS, "cluster").object
    notes = stream["metadata"]["annotations"]
    assert notes["machineconfiguration.openshift.io/release-payload-image"] == newer.image
    config = cluster.world.store.get(kinds.CONTROLLER_CONFIGS, "machine-config-controller").object
    assert config["spec"]["baseOSContainerImage"] == ""
    _patch(cluster, kinds.POOLS, "gpu", osImageStream={"name": "rhel-10"})
    await _until(cluster, lambda: _images(cluster, "gpu") == {ten})
    _override(cluster, LAYERED)
    await cluster.advance(20)
    pool = cluster.pool("gpu")
    assert _is(pool, "RenderDegraded")
    assert _is(pool, "Degraded")
    assert "osImageStream.name simultaneously" in _conditions(pool)["RenderDegraded"]["message"]


async def test_a_pool_with_a_machine_os_config_does_not_roll() -> None:
    cluster = _cluster()
    document = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineOSConfig",
        "metadata": {"name": "gpu-image"},
        "spec": {"machineConfigPool": {"name": "gpu"}},
    }
    cluster.world.api.writer.create(kinds.OS_CONFIGS, document)
    _override(cluster, LAYERED)
    await cluster.advance(1800)
    assert _images(cluster, "gpu") == {OLD.os_image}
    updating = _conditions(cluster.pool("gpu"))["Updating"]
    assert updating["status"] == "True"
    assert "gpu-image" in updating["message"]


async def test_writes_name_their_managers() -> None:
    cluster = _cluster()
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _images(cluster, "gpu") == {LAYERED})
    assert cluster.world.store.writes["nodes/gpu-0", DAEMON] > 3
    assert cluster.world.store.writes["machineconfigs/99-gpu-relayer-osimage", "relayer"] == 1


async def test_a_deleted_node_is_forgotten_while_it_works() -> None:
    cluster = _cluster()
    _override(cluster, LAYERED)
    await _until(cluster, lambda: _states(cluster, "gpu")["gpu-0"].state == "Working")
    cluster.world.api.writer.delete(kinds.NODES, ("", "gpu-0"), {})
    await _until(cluster, lambda: cluster.is_settled("gpu"))
    assert cluster.nodes_of("gpu") == ["gpu-1", "gpu-2"]
    assert cluster.pool("gpu")["status"]["machineCount"] == 2


async def test_time_can_follow_real_time_and_http() -> None:
    async with ApiServer.start() as api, httpx.AsyncClient(base_url=api.url) as http:
        cluster = SimulatedCluster.create(api, release=OLD, pools=[PoolSpec(name="gpu", nodes=2)])
        path = "/apis/machineconfiguration.openshift.io/v1/machineconfigs/99-gpu"
        document = {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {"labels": {"machineconfiguration.openshift.io/role": "gpu"}},
            "spec": {"osImageURL": LAYERED},
        }
        arrived = asyncio.Event()
        api.store.listen(lambda *_: arrived.set() if _images(cluster, "gpu") == {LAYERED} else None)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cluster.run(speed=1000))
            await asyncio.sleep(0.05)  # 50 simulated seconds before anyone writes
            answer = await http.patch(
                path,
                params={"fieldManager": "relayer"},
                headers={"Content-Type": "application/apply-patch+yaml"},
                content=json.dumps(document),
            )
            assert answer.status_code == 201
            began = asyncio.get_running_loop().time()
            await arrived.wait()
            took = asyncio.get_running_loop().time() - began
            running.cancel()
    # Two nodes of 60 s to the reboot and 90 s in the first one: not faster than its speed allows.
    assert took > 0.2


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

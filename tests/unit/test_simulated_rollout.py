"""Simulated pools roll, stop, degrade and come back as real ones do; in virtual time."""

import pytest

from simulator.apiserver import kinds, patches
from simulator.cluster import PoolSpec, pools
from simulator.cluster.world import DAEMON
from tests.unit.simulated import (
    BROKEN,
    FIXED,
    LAYERED,
    OLD,
    a_cluster,
    conditions,
    holds,
    images,
    notes_of,
    override,
    patch_spec,
    states_of,
    target_of,
    until,
)


async def test_an_override_rolls_node_by_node() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED)
    assert holds(cluster.pool("gpu"), "Updated")  # stale: nobody has looked yet
    seen_states, most_away = set[str](), 0
    while images(cluster, "gpu") != {LAYERED} or not cluster.is_settled("gpu"):
        await cluster.advance(2)
        states = states_of(cluster, "gpu")
        most_away = max(most_away, sum(not state.ready for state in states.values()))
        seen_states |= {state.state for state in states.values()}
        seen_states |= {
            notes_of(cluster, node).get(pools.POST_CONFIG_ACTION, "") for node in states
        }
    assert most_away == 1
    assert seen_states == {"Done", "Working", "Rebooting", ""}
    status = cluster.pool("gpu")["status"]
    assert (status["machineCount"], status["updatedMachineCount"]) == (3, 3)
    assert (status["readyMachineCount"], status["unavailableMachineCount"]) == (3, 0)
    assert "99-gpu-relayer-osimage" in {s["name"] for s in status["configuration"]["source"]}
    assert images(cluster, "worker") == {OLD.os_image}


async def test_rendering_and_rolling_begin_after_their_delays() -> None:
    cluster = a_cluster()
    before = target_of(cluster, "gpu")["metadata"]["name"]
    override(cluster, LAYERED)
    await cluster.advance(4)
    assert target_of(cluster, "gpu")["metadata"]["name"] == before
    await cluster.advance(2)
    assert target_of(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert holds(cluster.pool("gpu"), "Updated")  # of the configuration before
    await cluster.advance(5)
    assert holds(cluster.pool("gpu"), "Updating")
    pool = cluster.pool("gpu")
    assert pool["status"]["configuration"]["name"] == before


@pytest.mark.parametrize(
    ("limit", "away"), [(None, 1), (0, 1), (2, 2), ("50%", 2), ("10%", 1), ("100%", 5)]
)
async def test_no_more_nodes_are_away_than_allowed(limit: int | str | None, away: int) -> None:
    cluster = a_cluster(PoolSpec(name="gpu", nodes=5, max_unavailable=limit))
    override(cluster, LAYERED)
    most = 0
    while images(cluster, "gpu") != {LAYERED}:
        await cluster.advance(3)
        most = max(most, sum(not state.ready for state in states_of(cluster, "gpu").values()))
    assert most == away


async def test_a_paused_pool_renders_and_does_not_move() -> None:
    cluster = a_cluster()
    patch_spec(cluster, kinds.POOLS, "gpu", paused=True)
    override(cluster, LAYERED)
    await cluster.advance(3600)
    target = target_of(cluster, "gpu")["metadata"]["name"]
    assert target_of(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert images(cluster, "gpu") == {OLD.os_image}
    updating = conditions(cluster.pool("gpu"))["Updating"]
    assert updating["status"] == "False"
    assert updating["message"] == f"Pool is paused; will not update to MachineConfig {target}"
    assert not holds(cluster.pool("gpu"), "Updated")
    patch_spec(cluster, kinds.POOLS, "gpu", paused=False)
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert images(cluster, "gpu") == {LAYERED}


async def test_a_bad_image_degrades_one_node_and_stops_the_pool() -> None:
    asked: list[str] = []

    async def pull(image: str) -> bool:
        asked.append(image)
        return image != BROKEN

    cluster = a_cluster(pull=pull)
    override(cluster, BROKEN)
    await until(cluster, lambda: holds(cluster.pool("gpu"), "Degraded"))
    await cluster.advance(3600)
    pool = cluster.pool("gpu")
    assert pool["status"]["degradedMachineCount"] == 1
    assert pool["status"]["unavailableMachineCount"] == 1
    assert holds(pool, "Updating")
    assert BROKEN in conditions(pool)["NodeDegraded"]["message"]
    reason = conditions(pool)["NodeDegraded"]["reason"]
    assert reason == "1 nodes are reporting degraded status on sync"
    assert images(cluster, "gpu") == {OLD.os_image}
    assert asked.count(BROKEN) > 5  # it tries again and again


async def test_a_degraded_node_tries_again_at_its_own_pace() -> None:
    asked: list[str] = []

    async def pull(image: str) -> bool:
        asked.append(image)
        raise ConnectionError("registry is away")

    cluster = a_cluster(pull=pull)
    override(cluster, LAYERED)
    await until(cluster, lambda: holds(cluster.pool("gpu"), "Degraded"))
    (broken,) = [n for n, s in states_of(cluster, "gpu").items() if s.state == "Degraded"]
    assert "ConnectionError: registry is away" in notes_of(cluster, broken)[pools.REASON]
    for number in range(20):  # others write to it all the time
        patch_spec(cluster, kinds.NODES, broken, podCIDR=f"10.0.{number}.0/24")
        await cluster.advance(1)
    asked.clear()
    await cluster.advance(600)
    assert len(asked) == 10


async def test_a_node_degraded_after_its_drain_is_only_retargeted_once_it_is_uncordoned() -> None:
    cluster = a_cluster()
    cluster.degrade_next(when_image=BROKEN)
    override(cluster, BROKEN)
    await until(cluster, lambda: holds(cluster.pool("gpu"), "Degraded"))
    (broken,) = [n for n, s in states_of(cluster, "gpu").items() if s.state == "Degraded"]
    override(cluster, FIXED)
    await cluster.advance(3600)
    # It is cordoned, so it uses up maxUnavailable, and a cordoned node is no candidate.
    assert states_of(cluster, "gpu")[broken].state == "Degraded"
    assert images(cluster, "gpu") == {OLD.os_image}
    patch_spec(cluster, kinds.NODES, broken, unschedulable=False)
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert images(cluster, "gpu") == {FIXED}
    assert not holds(cluster.pool("gpu"), "Degraded")
    assert notes_of(cluster, broken)[pools.REASON] == ""


async def test_a_pool_is_put_back_by_pause_restore_uncordon_unpause() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED)
    await until(cluster, lambda: images(cluster, "gpu") == {LAYERED})
    await until(cluster, lambda: cluster.is_settled("gpu"))
    cluster.degrade_next(when_image=BROKEN)
    override(cluster, BROKEN)
    await until(cluster, lambda: holds(cluster.pool("gpu"), "Degraded"))
    (broken,) = [n for n, s in states_of(cluster, "gpu").items() if s.state == "Degraded"]
    patch_spec(cluster, kinds.POOLS, "gpu", paused=True)
    override(cluster, LAYERED)
    await cluster.advance(60)
    assert target_of(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    patch_spec(cluster, kinds.NODES, broken, unschedulable=False)
    await cluster.advance(600)
    assert states_of(cluster, "gpu")[broken].state == "Degraded"  # paused: nobody retargets it
    patch_spec(cluster, kinds.POOLS, "gpu", paused=False)
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert images(cluster, "gpu") == {LAYERED}
    # The broken image never booted, so going back cost no reboot.
    assert all(cluster.reboots(node) == 1 for node in cluster.nodes_of("gpu"))


async def test_a_node_degraded_before_its_drain_is_retargeted_by_itself() -> None:
    cluster = a_cluster()
    cluster.degrade_next(when_image=BROKEN, stage="prepare", reason="cannot be reconciled")
    override(cluster, BROKEN)
    await until(cluster, lambda: holds(cluster.pool("gpu"), "Degraded"))
    assert "cannot be reconciled" in conditions(cluster.pool("gpu"))["NodeDegraded"]["message"]
    # It can take work, so it is not unavailable, yet it keeps the only place.
    assert cluster.pool("gpu")["status"]["unavailableMachineCount"] == 0
    await cluster.advance(1800)
    assert images(cluster, "gpu") == {OLD.os_image}
    cluster.world.api.writer.delete(kinds.MACHINE_CONFIGS, ("", "99-gpu-relayer-osimage"), {})
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert images(cluster, "gpu") == {OLD.os_image}
    # The same content came back under the same name, and nothing had been staged.
    assert all(cluster.reboots(node) == 0 for node in cluster.nodes_of("gpu"))


async def test_a_degraded_node_succeeds_when_its_cause_goes_away() -> None:
    cluster = a_cluster()
    cluster.degrade_next("gpu-1")
    override(cluster, LAYERED)
    await until(cluster, lambda: states_of(cluster, "gpu")["gpu-1"].state == "Degraded")
    cluster.heal()
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert images(cluster, "gpu") == {LAYERED}


async def test_a_node_that_never_comes_back_stalls_its_pool() -> None:
    cluster = a_cluster()
    cluster.degrade_next(stage="boot", pool="gpu")
    override(cluster, LAYERED)
    await cluster.advance(7200)
    pool = cluster.pool("gpu")
    assert holds(pool, "Updating")
    assert not holds(pool, "Degraded")
    assert pool["status"]["unavailableMachineCount"] == 1
    assert sum(cluster.reboots(node) for node in cluster.nodes_of("gpu")) == 1


async def test_taking_the_override_away_returns_to_the_old_rendered_name() -> None:
    cluster = a_cluster()
    before = target_of(cluster, "gpu")["metadata"]["name"]
    override(cluster, LAYERED)
    await until(cluster, lambda: images(cluster, "gpu") == {LAYERED})
    cluster.world.api.writer.delete(kinds.MACHINE_CONFIGS, ("", "99-gpu-relayer-osimage"), {})
    await cluster.advance(10)
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert target_of(cluster, "gpu")["metadata"]["name"] == before
    assert images(cluster, "gpu") == {OLD.os_image}


async def test_an_override_of_workers_hits_the_pools_that_inherit() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED, role="worker")
    await cluster.advance(10)
    assert target_of(cluster, "worker")["spec"]["osImageURL"] == LAYERED
    assert target_of(cluster, "gpu")["spec"]["osImageURL"] == LAYERED
    assert target_of(cluster, "master")["spec"]["osImageURL"] == OLD.os_image


async def test_a_pool_with_a_machine_os_config_does_not_roll() -> None:
    cluster = a_cluster()
    document = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineOSConfig",
        "metadata": {"name": "gpu-image"},
        "spec": {"machineConfigPool": {"name": "gpu"}},
    }
    cluster.world.api.writer.create(kinds.OS_CONFIGS, document)
    override(cluster, LAYERED)
    await cluster.advance(1800)
    assert images(cluster, "gpu") == {OLD.os_image}
    updating = conditions(cluster.pool("gpu"))["Updating"]
    assert updating["status"] == "True"
    assert "gpu-image" in updating["message"]


async def test_another_wish_in_the_middle_of_an_update_comes_after_it() -> None:
    cluster = a_cluster()
    before = target_of(cluster, "gpu")["metadata"]["name"]
    override(cluster, LAYERED)
    await until(cluster, lambda: LAYERED in images(cluster, "gpu"), step=1)
    (node,) = [n for n in cluster.nodes_of("gpu") if cluster.running_image(n) == LAYERED]
    patch_spec(cluster, kinds.POOLS, "gpu", paused=True)
    wish = {"metadata": {"annotations": {pools.DESIRED: before}}}
    cluster.world.api.writer.patch(kinds.NODES, ("", node), lambda o: patches.merge(o, wish))
    await cluster.advance(120)
    assert notes_of(cluster, node)[pools.CURRENT] != before
    await until(cluster, lambda: cluster.running_image(node) == OLD.os_image)
    assert cluster.reboots(node) == 2


async def test_what_nobody_validated_stops_a_pool_and_not_the_cluster() -> None:
    cluster = a_cluster()
    empty = {"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig"}
    label = {"machineconfiguration.openshift.io/role": "gpu"}
    create = cluster.world.api.writer.create
    create(kinds.MACHINE_CONFIGS, {**empty, "metadata": {"name": "98-empty", "labels": label}})
    create(kinds.OS_CONFIGS, {**empty, "kind": "MachineOSConfig", "metadata": {"name": "none"}})
    patch_spec(cluster, kinds.POOLS, "gpu", maxUnavailable="many")
    override(cluster, LAYERED)
    await cluster.advance(600)
    assert images(cluster, "gpu") == {OLD.os_image}
    patch_spec(cluster, kinds.POOLS, "gpu", maxUnavailable=1)
    await until(cluster, lambda: images(cluster, "gpu") == {LAYERED})


async def test_writes_name_their_managers() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED)
    await until(cluster, lambda: images(cluster, "gpu") == {LAYERED})
    assert cluster.world.store.writes["nodes/gpu-0", DAEMON] > 3
    assert cluster.world.store.writes["machineconfigs/99-gpu-relayer-osimage", "relayer"] == 1


async def test_a_deleted_node_is_forgotten_while_it_works() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED)
    await until(cluster, lambda: states_of(cluster, "gpu")["gpu-0"].state == "Working")
    cluster.world.api.writer.delete(kinds.NODES, ("", "gpu-0"), {})
    await until(cluster, lambda: cluster.is_settled("gpu"))
    assert cluster.nodes_of("gpu") == ["gpu-1", "gpu-2"]
    assert cluster.pool("gpu")["status"]["machineCount"] == 2

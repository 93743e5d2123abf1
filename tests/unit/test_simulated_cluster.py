"""The simulated cluster upgrades as real ones do; in virtual time."""

import asyncio
import json
from typing import Any

import httpx

from simulator.apiserver import ApiServer, kinds
from simulator.cluster import PoolSpec, SimulatedCluster
from tests.unit.simulated import (
    LAYERED,
    NEW,
    NEWER,
    OLD,
    POOLS,
    a_cluster,
    a_release,
    cluster_version,
    completed,
    conditions,
    digest,
    holds,
    images,
    override,
    patch_spec,
    target_of,
    until,
)


async def test_a_new_cluster_is_settled_and_stays_so() -> None:
    cluster = a_cluster()
    before = cluster.world.store.revision
    await cluster.advance(3600)
    for pool in POOLS:
        assert holds(cluster.pool(pool), "Updated")
        assert not holds(cluster.pool(pool), "Updating")
        assert cluster.is_settled(pool)
        assert images(cluster, pool) == {OLD.os_image}
    assert cluster.world.store.revision - before < 20  # no controller fights another


async def test_a_requested_release_is_accepted_before_anything_rolls() -> None:
    cluster = a_cluster()
    cluster.start_upgrade(NEW)
    seen = cluster_version(cluster)
    assert seen["metadata"]["generation"] != seen["status"]["observedGeneration"]
    await cluster.advance(2)
    seen = cluster_version(cluster)
    assert seen["metadata"]["generation"] == seen["status"]["observedGeneration"]
    assert conditions(seen)["ReleaseAccepted"]["status"] == "Unknown"
    assert seen["status"]["desired"]["image"] == OLD.image
    await cluster.advance(20)
    status = cluster_version(cluster)["status"]
    assert status["desired"] == {"version": NEW.version, "image": NEW.image}
    assert [entry["state"] for entry in status["history"]] == ["Partial", "Completed"]
    assert status["history"][0]["completionTime"] is None
    assert holds(cluster_version(cluster), "Progressing")


async def test_the_base_changes_before_the_upgrade_is_completed() -> None:
    cluster = a_cluster()
    cluster.start_upgrade(NEW)

    def base() -> Any:
        namespace = "openshift-machine-config-operator"
        found = cluster.world.store.get(kinds.CONFIG_MAPS, "machine-config-osimageurl", namespace)
        return found.object["data"]

    await until(cluster, lambda: bool(base()["releaseVersion"] == NEW.version))
    assert base()["baseOSContainerImage"] == NEW.os_image
    assert not completed(cluster, NEW)
    assert images(cluster, "master") == {OLD.os_image}


async def test_an_upgrade_completes_with_the_masters_while_others_still_roll() -> None:
    cluster = a_cluster(PoolSpec(name="gpu", nodes=8))
    cluster.start_upgrade(NEW)
    await until(cluster, lambda: completed(cluster, NEW))
    assert images(cluster, "master") == {NEW.os_image}
    assert images(cluster, "gpu") == {OLD.os_image, NEW.os_image}
    assert holds(cluster_version(cluster), "Available")
    assert not holds(cluster_version(cluster), "Progressing")
    await until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    assert images(cluster, "gpu") == {NEW.os_image}
    assert all(cluster.reboots(node) == 1 for node in cluster.machines)


async def test_an_overridden_pool_gets_the_new_configuration_on_the_old_system() -> None:
    cluster = a_cluster()
    override(cluster, LAYERED)
    await until(cluster, lambda: images(cluster, "gpu") == {LAYERED})
    await until(cluster, lambda: cluster.is_settled("gpu"))
    before = target_of(cluster, "gpu")["metadata"]["name"]
    cluster.start_upgrade(NEW)
    await until(cluster, lambda: completed(cluster, NEW))
    await until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    target = target_of(cluster, "gpu")
    assert target["metadata"]["name"] != before
    assert target["spec"]["osImageURL"] == LAYERED
    notes = target["metadata"]["annotations"]
    assert notes["machineconfiguration.openshift.io/os-image-url-overridden"] == "true"
    assert notes["machineconfiguration.openshift.io/release-image-version"] == NEW.version
    assert images(cluster, "gpu") == {LAYERED}
    assert images(cluster, "worker") == {NEW.os_image}
    assert [cluster.reboots(node) for node in cluster.nodes_of("gpu")] == [2, 2, 2]


async def test_a_refused_release_changes_nothing_but_its_condition() -> None:
    cluster = a_cluster()
    cluster.versions.refuse_next("VerifyPayloadVersion", "signature is missing")
    cluster.start_upgrade(NEW)
    await cluster.advance(600)
    accepted = conditions(cluster_version(cluster))["ReleaseAccepted"]
    assert (accepted["status"], accepted["reason"]) == ("False", "VerifyPayloadVersion")
    assert cluster_version(cluster)["status"]["desired"]["image"] == OLD.image
    assert completed(cluster, OLD)


async def test_a_failing_upgrade_waits_until_it_no_longer_fails() -> None:
    cluster = a_cluster()
    cluster.start_upgrade(NEW)
    await cluster.advance(30)
    cluster.versions.fail("Cluster operator etcd is degraded")
    await cluster.advance(7200)
    seen = cluster_version(cluster)
    assert holds(seen, "Failing")
    assert conditions(seen)["Progressing"]["message"].startswith("Unable to apply 4.17.1: ")
    assert not completed(cluster, NEW)
    cluster.versions.fail("")
    await until(cluster, lambda: completed(cluster, NEW))
    assert not holds(cluster_version(cluster), "Failing")


async def test_an_abandoned_release_keeps_state_partial_with_a_completion_time() -> None:
    cluster = a_cluster()
    cluster.start_upgrade(NEW)
    await cluster.advance(30)
    cluster.start_upgrade(NEWER)
    await until(cluster, lambda: completed(cluster, NEWER))
    history = cluster_version(cluster)["status"]["history"]
    assert [(e["version"], e["state"]) for e in history] == [
        (NEWER.version, "Completed"),
        (NEW.version, "Partial"),
        (OLD.version, "Completed"),
    ]
    assert history[1]["completionTime"]
    await until(cluster, lambda: all(cluster.is_settled(pool) for pool in POOLS))
    assert images(cluster, "worker") == {NEWER.os_image}
    # The abandoned one was left before it had reached the nodes, and never did.
    assert all(cluster.reboots(node) == 1 for node in cluster.machines)


async def test_the_kubelet_comes_with_the_image() -> None:
    cluster = a_cluster()
    cluster.start_upgrade(NEW)
    await until(cluster, lambda: completed(cluster, NEW))
    info = cluster.world.store.get(kinds.NODES, "master-0").object["status"]["nodeInfo"]
    assert info["kubeletVersion"] == "v1.30.0"
    assert "2" * 12 in info["osImage"]


async def test_streams_appear_with_the_release_that_has_them() -> None:
    cluster = a_cluster()
    assert not cluster.world.api.kinds.serves(kinds.OS_IMAGE_STREAMS)
    ten = f"quay.test/art-dev@{digest('9')}"
    newer = a_release("4.23.0", "4", streams={"rhel-9": f"q.test/o@{digest('4')}", "rhel-10": ten})
    cluster.start_upgrade(newer)
    await until(cluster, lambda: completed(cluster, newer))
    stream = cluster.world.store.get(kinds.OS_IMAGE_STREAMS, "cluster").object
    notes = stream["metadata"]["annotations"]
    assert notes["machineconfiguration.openshift.io/release-payload-image"] == newer.image
    config = cluster.world.store.get(kinds.CONTROLLER_CONFIGS, "machine-config-controller").object
    assert config["spec"]["baseOSContainerImage"] == ""
    patch_spec(cluster, kinds.POOLS, "gpu", osImageStream={"name": "rhel-10"})
    await until(cluster, lambda: images(cluster, "gpu") == {ten})
    override(cluster, LAYERED)
    await cluster.advance(20)
    pool = cluster.pool("gpu")
    assert holds(pool, "RenderDegraded")
    assert holds(pool, "Degraded")
    assert "osImageStream.name simultaneously" in conditions(pool)["RenderDegraded"]["message"]


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
        api.store.listen(lambda *_: arrived.set() if images(cluster, "gpu") == {LAYERED} else None)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(cluster.run(speed=1000))
            await asyncio.sleep(0.2)  # 200 simulated seconds before anyone writes
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

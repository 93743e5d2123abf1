"""Builds on the cluster are watched where they are served and may be read; else nothing waits."""

import asyncio
from typing import Any

import pytest

from simulator.apiserver import ApiServer, By
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import START
from tests.contract.test_cluster_client import IMAGE, a_cluster, fill, running

MCO = "machineconfiguration.openshift.io/v1"
ROLE = {"machineconfiguration.openshift.io/role": "infra"}


def put_build(api: ApiServer) -> None:
    made: dict[str, Any] = {
        "apiVersion": MCO,
        "kind": "MachineOSBuild",
        "metadata": {"name": "layers-1"},
        "spec": {
            "machineConfig": {"name": "rendered-infra-1"},
            "machineOSConfig": {"name": "layers"},
        },
    }
    api.writer.create(served.OS_BUILDS, made)
    status = {"digestedImagePushSpec": IMAGE, "conditions": None}
    api.writer.patch(
        served.OS_BUILDS,
        ("", "layers-1"),
        lambda document: {**document, "status": status},
        By(subresource="status"),
    )


async def test_a_build_and_what_a_machineconfig_writes_are_in_the_view() -> None:
    async with ApiServer.start() as api:
        fill(api)
        put_build(api)
        body = {"storage": {"files": [{"path": "/etc/chrony.conf"}]}}
        document = {
            "apiVersion": MCO,
            "kind": "MachineConfig",
            "metadata": {"name": "50-chrony", "labels": ROLE},
            "spec": {"config": body},
        }
        api.writer.create(served.MACHINE_CONFIGS, document)
        async with a_cluster(api) as cluster, running(cluster), asyncio.timeout(30):
            await cluster.synced()
            view = cluster.view()
            assert view.machine_os_builds["layers-1"].image == IMAGE
            assert view.machine_configs["50-chrony"].files == ("/etc/chrony.conf",)
            # What is read right before an apply has the same facts.
            fresh = await cluster.fresh_view()
            assert fresh.machine_configs == view.machine_configs


@pytest.mark.parametrize("is_served", [True, False])
async def test_builds_that_may_not_be_read_hold_nothing_back(is_served: bool) -> None:
    async with ApiServer.start() as api:
        fill(api)
        if is_served:
            api.denials.deny(["list"], "machineosbuilds")
        else:
            api.set_away(served.OS_BUILDS)
        async with a_cluster(api) as cluster, running(cluster), asyncio.timeout(30):
            await cluster.synced()
            view = cluster.view()
            assert view.observed_at >= START
            assert view.machine_os_builds == {}
            told = [one for one in view.problems if "machineosbuilds" in one]
            assert len(told) == is_served
            assert (await cluster.fresh_view()).problems == ()

"""Findings of the running service while a cluster is changed by hand, whatever goes or comes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.apiserver.kinds import MACHINE_CONFIGS, NODES, OS_CONFIGS, POOLS, Kind
from tests.scenario.service import running
from tests.scenario.world import World, until, world
from watcher.bootstrap import App
from watcher.core.state import Finding, State

MCO = "machineconfiguration.openshift.io"
THEIRS = ("", "99-theirs")


def found(app: App) -> dict[str, Finding]:
    [seen] = app.surveys.surveyed()
    return {str(one.pool): one for one in seen.findings}


def is_in(app: App, pool: str, state: State) -> bool:
    return pool in found(app) and found(app)[pool].state is state


def change(made: World, kind: Kind, name: str, how: Callable[[dict[str, Any]], None]) -> None:
    version = made.api.store.get(kind, name)
    document = made.api.store.copy_of(version)
    how(document)
    made.api.store.put(kind, version.key, document)


def an_override_by_tag(made: World) -> dict[str, Any]:
    return {
        "apiVersion": f"{MCO}/v1",
        "kind": "MachineConfig",
        "metadata": {"name": THEIRS[1], "labels": {f"{MCO}/role": "worker"}},
        "spec": {"osImageURL": f"{made.registry.host}/openshift/rhel-coreos:latest"},
    }


async def test_findings_follow_what_is_done_by_hand(tmp_path: Path) -> None:
    async with world(tmp_path) as made, running(made.settings) as app:
        store = made.api.store
        await until(lambda: is_in(app, "infra", State.MISSING), what="missing")

        store.put(MACHINE_CONFIGS, THEIRS, an_override_by_tag(made))
        await until(lambda: is_in(app, "worker", State.TAGGED), what="tagged")
        store.remove(MACHINE_CONFIGS, THEIRS)
        await until(lambda: is_in(app, "worker", State.STOCK), what="stock again")

        def join_infra(node: dict[str, Any]) -> None:
            node["metadata"]["labels"]["node-role.kubernetes.io/infra"] = ""

        change(made, NODES, made.cluster.nodes_of("worker")[0], join_infra)
        await until(lambda: found(app)["infra"].nodes.total == 3, what="a node that moved")

        owner = {
            "apiVersion": f"{MCO}/v1",
            "kind": "MachineOSConfig",
            "metadata": {"name": "infra"},
            "spec": {"machineConfigPool": {"name": "infra"}},
        }
        store.put(OS_CONFIGS, ("", "infra"), owner)
        await until(lambda: is_in(app, "infra", State.IMAGE_MODE), what="image mode")

        store.remove(POOLS, ("", "infra"))
        await until(lambda: set(found(app)) == {"master", "worker"}, what="a pool that is gone")

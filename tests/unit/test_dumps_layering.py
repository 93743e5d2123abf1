"""Builds on the cluster in a dump: the same facts as live, and how the build stands is told."""

import json
from pathlib import Path

import pytest

from tests.dumped import LAYERED, MCO, Document, Oc, everything, gathered, machine_os_config, write
from tests.unit.test_dumps import facts, live, only
from watcher.core.state import State
from watcher.settings import Settings
from watcher.surveying import Offline, Surveyor

FAILED = {"type": "Failed", "status": "True", "message": "no space left"}
BUILD: Document = {
    **machine_os_config("worker-1"),
    "kind": "MachineOSBuild",
    "spec": {"machineConfig": {"name": "rendered-worker-1"}, "machineOSConfig": {"name": "worker"}},
    "status": {"conditions": [FAILED], "digestedImagePushSpec": LAYERED},
}


@pytest.mark.parametrize("shape", ["yaml", "json", "must-gather"])
async def test_a_dump_has_the_build_as_the_cluster_has_it(shape: str, tmp_path: Path) -> None:
    objects = [*everything(), {**BUILD, "apiVersion": f"{MCO}/v1"}]
    shapes = {
        "yaml": {"prod.yaml": Oc.yaml(*objects)},
        "json": {"prod.json": json.dumps(objects)},
        "must-gather": gathered(objects),
    }
    given = only(write(tmp_path, shapes[shape]))
    assert facts(given) == facts(live(objects))
    assert given.machine_os_builds["worker-1"].image == LAYERED
    nobody = Offline()
    surveyor = Surveyor(settings=Settings(), images=nobody, graphs=nobody)
    found = (await surveyor.survey(given, now=given.observed_at)).findings
    [worker] = [one for one in found if one.pool == "worker"]
    assert worker.state is State.IMAGE_MODE
    assert "its build failed: no space left" in worker.sentence

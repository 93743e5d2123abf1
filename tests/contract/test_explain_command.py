"""`relayer explain`: of files alone; live it stands in the scenario beside a service."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import dumped
from tests.contract.test_drift_command import IMAGE, NAME, OLD, a_cluster, ours, paused
from tests.dumped import Oc
from tests.facts import digest
from tests.release_world import nobody_at_home, relayer

CONFIG = """
clusters: [{name: prod, url: "https://127.0.0.1:9", token_file: token}]
recipes: [{name: gpu, path: gpu, target: registry.example.com/os/gpu}]
pools: [{cluster: prod, pool: worker, recipe: gpu}]
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    other = dumped.machine_config("98-other", image=OLD)
    path = tmp_path / "prod.yaml"
    path.write_text(Oc.yaml(*a_cluster(ours(OLD, "4.15.9"), other, worker=paused())))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu/Containerfile").write_text("FROM base\nRUN bootc container lint\n")
    (tmp_path / "relayer.yaml").write_text(CONFIG)
    return tmp_path / "relayer.yaml"


async def explained(*words: object, code: int = 0) -> Any:
    return json.loads((await relayer("explain", *words, "-o", "json", code=code)).out)


def step(said: Any, *names: str) -> Any:
    found, steps = None, said["chain"]
    for name in names:
        found = next(one for one in steps if one["name"] == name)
        steps = found["steps"]
    return found


async def test_the_chain_goes_from_the_release_to_the_state(files: Path) -> None:
    said = await explained("worker", "--from", files)
    names = [one["name"] for one in said["chain"]]
    assert names == [
        *("release", "expected base", "machine configs", "runs", "recipe", "state", "decision")
    ]
    assert step(said, "release", "history[0]")["said"] == "4.16.3 Completed, verified"
    assert step(said, "release", "signature")["ok"] is None
    expected = step(said, "expected base")
    assert (expected["said"], expected["by"]) == (dumped.STOCK, "ConfigMap")
    order = step(said, "machine configs", "merge order")
    assert order["said"] == f"00-worker, 98-other, {NAME}"
    assert "a later one wins" in step(said, "machine configs", "98-other")["said"]
    assert "wins: the last one" in step(said, "machine configs", NAME)["said"]
    assert step(said, "runs")["said"] == IMAGE
    base = step(said, "runs", "base")
    assert (base["said"], base["by"]) == (digest("old base"), "our labels")
    assert step(said, "state")["said"].startswith("blocked: the pool is paused")
    assert said["decision"] is None


async def test_with_a_configuration_each_precondition_is_weighed(files: Path, config: Path) -> None:
    said = await explained("prod/worker", "--from", files, "-c", config)
    assert said["decision"] == "Rebuild"
    weighed = {one["name"]: one["ok"] for one in step(said, "preconditions")["steps"]}
    assert weighed == {
        "release completed": True,
        "release genuine": None,
        "not paused": False,
        "not degraded": True,
        "not updating": False,
        "owned by nobody else": True,
        "no osImageStream": True,
        "ours would win": True,
        "alone": True,
    }
    assert step(said, "preconditions")["said"] == "2 of 9 not met"
    assert step(said, "recipe", "of what runs")["said"].endswith("(another one)")
    assert step(said, "policy")["said"] == "mode approve"
    assert "people are asked" in step(said, "next")["said"]


async def test_a_person_reads_a_tree(files: Path, config: Path) -> None:
    out = (await relayer("explain", "worker", "--from", files, "-c", config)).out
    lines = out.splitlines()
    assert lines[0] == "prod/worker"
    assert lines[1] == "├─ release: 4.16.3 is completed  (ClusterVersion version)"
    assert "│  ├─ ✗ not paused: the pool is paused" in lines
    assert lines[-1].startswith("└─ next: ")


async def test_the_merge_order_is_that_of_the_release(tmp_path: Path) -> None:
    """Before 4.15 plainly by name: one of role worker may win over the pool's own."""
    there = a_cluster(dumped.machine_config("99-a", image=OLD))
    there[0] = dumped.cluster_version("4.14.9")
    (tmp_path / "prod.yaml").write_text(Oc.yaml(*there))
    said = await explained("worker", "--from", tmp_path / "prod.yaml")
    assert "by name;" in step(said, "machine configs", "merge order")["by"]


@pytest.mark.parametrize(
    ("name", "code", "said"), [("wurker", 6, "prod/worker"), ("test/worker", 6, "prod/worker")]
)
async def test_a_pool_that_is_not_there_is_not_found(
    files: Path, name: str, code: int, said: str
) -> None:
    assert said in (await relayer("explain", name, "--from", files, code=code)).err


async def test_text_of_a_cluster_gives_a_terminal_no_orders(tmp_path: Path) -> None:
    bad = paused()
    bad["status"]["conditions"].append(
        {"type": "NodeDegraded", "status": "True", "message": "\x1b[2J\nfull", "reason": ""}
    )
    (tmp_path / "prod.json").write_text(Oc.json(*a_cluster(worker=bad)))
    ran = await relayer("explain", "worker", "--from", tmp_path / "prod.json")
    assert "\x1b" not in ran.out

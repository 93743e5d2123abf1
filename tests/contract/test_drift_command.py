"""`relayer drift` over files alone: the program as a person runs it, and its documented JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dumped import Oc, everything, machine_config, pool, secret, write

PROGRAM = str(Path(sys.executable).with_name("relayer"))
POOL_NAMES = {
    *("pool", "state", "flags", "sentence", "base", "override", "lag", "blocks", "nodes"),
    "observed_at",
}


def ran(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [PROGRAM, "drift", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def found(*words: str | Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(ran(*words, "-o", "json").stdout)
    return said


def of(said: dict[str, Any], cluster: str, pool: str) -> dict[str, Any]:
    pools = next(one["pools"] for one in said["clusters"] if one["cluster"] == cluster)
    one: dict[str, Any] = next(one for one in pools if one["pool"] == pool)
    return one


@pytest.fixture
def prod(tmp_path: Path) -> Path:
    """One cluster: worker with a foreign override, master on the stock image, image mode apart."""
    objects = [one for one in everything() if one["kind"] != "MachineOSConfig"]
    by_hand = machine_config("99-by-hand", image="quay.io/us/rhcos:latest", version=200)
    others = [one for one in objects if one["metadata"]["name"] != "99-worker-relayer-osimage"]
    return write(tmp_path / "prod", {"prod.yaml": Oc.yaml(*others, by_hand)})


def test_the_json_has_the_documented_shape(prod: Path) -> None:
    said = found("--from", prod)
    (cluster,) = said["clusters"]
    assert set(cluster) >= {"cluster", "version", "release", "stage", "pools"}
    assert (cluster["version"], cluster["stage"]) == ("4.16.3", "completed")
    for one in cluster["pools"]:
        assert set(one) >= POOL_NAMES
        assert set(one["base"]) >= {"expected", "actual", "source"}
        assert {"releases", "minors", "days"} <= set(one["lag"])
        assert set(one["nodes"]) >= {"total", "updated", "degraded"}
    worker = of(said, cluster["cluster"], "worker")
    assert worker["state"] == "tagged"
    assert worker["override"] == {
        "machineconfig": "99-by-hand",
        "image": "quay.io/us/rhcos:latest",
        "by": "somebody",
    }
    assert of(said, cluster["cluster"], "master")["state"] in ("stock", "unreadable", "blocked")


def test_people_get_a_table_with_what_matters_first(prod: Path) -> None:
    ended = ran("--from", prod)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0
    assert lines[0].split() == ["POOL", "STATE", "NODES", "BEHIND", "WHY"]
    assert "tagged" in lines[1]
    assert "99-by-hand names its image by tag" in lines[1]


def test_several_clusters_of_one_directory_are_told_apart(prod: Path, tmp_path: Path) -> None:
    other = everything("4.17.1", cluster_id="22222222-bbbb")
    write(tmp_path / "stage", {"stage.json": Oc.json(*other)})
    said = found("--from", prod, "--from", tmp_path / "stage")
    assert sorted(one["version"] for one in said["clusters"]) == ["4.16.3", "4.17.1"]
    only = found("--from", prod, "--from", tmp_path / "stage", "--cluster", "stage")
    assert [one["version"] for one in only["clusters"]] == ["4.17.1"]


def test_without_machineconfigs_nobody_knows_the_image(tmp_path: Path) -> None:
    some = [one for one in everything() if one["kind"] in ("ClusterVersion", "MachineConfigPool")]
    write(tmp_path / "half", {"all.yaml": Oc.yaml(*some)})
    said = found("--from", tmp_path / "half")
    assert {one["state"] for one in said["clusters"][0]["pools"]} == {"unreadable"}


def test_no_secret_of_a_dump_is_printed(tmp_path: Path) -> None:
    write(tmp_path / "prod", {"all.yaml": Oc.yaml(*everything(), secret())})
    ended = ran("--from", tmp_path / "prod", "-o", "json")
    for value in secret()["data"].values():
        assert value not in ended.stdout + ended.stderr


def test_files_without_a_cluster_are_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path / "none", {"pool.yaml": "no: cluster\n", "p.yaml": Oc.yaml(pool())})
    gone = ran("--from", tmp_path / "nowhere")
    assert (gone.returncode, gone.stdout) == (2, "")
    assert "nowhere" in gone.stderr

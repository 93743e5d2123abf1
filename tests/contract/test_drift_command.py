"""`relayer drift`: of files alone, and of clusters as they are; the table, and the JSON's names."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.apiserver import kinds
from tests import dumped
from tests.dumped import MCO, Document, Oc
from tests.facts import RECIPE_DIGEST, digest
from tests.release_world import nobody_at_home, relayer
from tests.scenario.world import OURS, World, world
from watcher.bootstrap.clients import read_recipe
from watcher.config import effective
from watcher.core import lineage
from watcher.core.state import State

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
IMAGE, OLD = dumped.LAYERED, f"registry.example.com/os/base@{digest('old base')}"
NAME = "99-worker-relayer-osimage"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


def ours(base: str, version: str = "4.16.3") -> Document:
    """Our override on a base, as it is written to a cluster."""
    made = dumped.machine_config(NAME, image=IMAGE, body=6000)
    made["metadata"]["annotations"] = {
        lineage.BASE: base.partition("@")[2],
        lineage.RELEASE: version,
        lineage.RECIPE: RECIPE_DIGEST,
        lineage.IMAGE: IMAGE,
    }
    return made


def a_cluster(*more: Document, worker: Document | None = None) -> list[Document]:
    return [
        dumped.cluster_version(),
        dumped.pool("master"),
        worker or dumped.pool("worker", nodes=2),
        dumped.machine_config("00-worker", image=""),
        dumped.os_image_urls(),
        dumped.node("worker-0"),
        dumped.node("worker-1"),
        dumped.secret(),
        *more,
    ]


def paused() -> Document:
    made = dumped.pool("worker", nodes=2)
    made["spec"]["paused"] = True
    made["status"]["configuration"] = {"name": "rendered-worker-0"}
    made["status"]["conditions"] = [
        {"type": kind, "status": "False", "lastTransitionTime": "2026-11-02T09:00:00Z"}
        for kind in ("Updated", "Updating")
    ]
    return made


def tagged() -> Document:
    return dumped.machine_config("50-by-hand", image="registry.example.com/os/gpu:latest")


CASES: dict[str, tuple[list[Document], State]] = {
    "stock": (a_cluster(), State.STOCK),
    "current": (a_cluster(ours(dumped.STOCK)), State.CURRENT),
    "behind": (a_cluster(ours(OLD, "4.16.1")), State.BEHIND),
    "ahead": (a_cluster(ours(OLD, "4.16.9")), State.AHEAD),
    "unknown": (a_cluster(dumped.machine_config(NAME)), State.UNKNOWN_LINEAGE),
    "tagged": (a_cluster(tagged()), State.TAGGED),
    "foreign": (a_cluster(dumped.machine_config("50-by-hand")), State.FOREIGN),
    "shadowed": (
        a_cluster(ours(dumped.STOCK), dumped.machine_config("99-zz", image=OLD)),
        State.SHADOWED,
    ),
    "image-mode": (a_cluster(dumped.machine_os_config()), State.IMAGE_MODE),
    "frozen": (
        a_cluster(dumped.machine_config("10-prebuiltimage-osimageurl-worker")),
        State.PREBUILT_FROZEN,
    ),
    "paused": (a_cluster(worker=paused()), State.BLOCKED),
    "empty": ([*a_cluster(worker=dumped.pool("worker", nodes=0))[:5]], State.EMPTY),
    "unreadable": ([*a_cluster()[:3], dumped.node()], State.UNREADABLE),
}


async def drift(*words: object, code: int = 0) -> Any:
    return json.loads((await relayer("drift", *words, "-o", "json", code=code)).out)


def pool(said: Any, name: str = "worker", cluster: int = 0) -> Any:
    return next(p for p in said["clusters"][cluster]["pools"] if p["pool"] == name)


@pytest.mark.parametrize("case", CASES)
async def test_files_alone_tell_the_state(tmp_path: Path, case: str) -> None:
    objects, state = CASES[case]
    (tmp_path / "prod.yaml").write_text(Oc.yaml(*objects))
    said = await drift("--from", tmp_path / "prod.yaml")
    assert pool(said)["state"] == state, pool(said)["sentence"]


async def test_the_json_has_the_documented_names(tmp_path: Path) -> None:
    (tmp_path / "prod.yaml").write_text(Oc.yaml(*a_cluster(ours(OLD, "4.15.9"), worker=paused())))
    said = await drift("--from", tmp_path)
    [cluster] = said["clusters"]
    assert (cluster["version"], cluster["stage"]) == ("4.16.3", "completed")
    assert cluster["release"].startswith("quay.io/openshift-release-dev/ocp-release@sha256:")
    assert list(cluster) == [
        *("cluster", "version", "release", "stage", "stage_sentence", "problems", "blocks"),
        *("observed_at", "pools"),
    ]
    one = pool(said)
    assert list(one) == [
        *("pool", "state", "flags", "sentence", "base", "override", "lag", "blocks"),
        *("nodes", "observed_at", "evidence"),
    ]
    assert one["flags"] == [{"flag": "paused", "since": "2026-11-02T09:00:00+00:00", "said": ""}]
    assert one["sentence"].startswith("the pool is paused; its base is that of 4.15.9")
    base = {"expected": dumped.STOCK, "actual": digest("old base"), "source": "our labels"}
    assert one["base"] == base
    assert one["override"] == {"machineconfig": NAME, "image": IMAGE, "by": "relayer"}
    assert list(one["lag"]) == ["releases", "minors", "days", "said_by"]
    assert one["lag"]["minors"] == 1
    assert {frozenset(block) for block in one["blocks"]} == {frozenset({"target", "why"})}
    assert one["nodes"] == {"total": 2, "updated": 2, "degraded": 0}
    assert datetime.fromisoformat(one["observed_at"]).tzinfo
    stock = pool(said, "master")
    assert stock["override"] is None
    assert stock["base"]["actual"] is None


async def test_a_person_reads_what_needs_something_first(tmp_path: Path) -> None:
    (tmp_path / "prod.yaml").write_text(Oc.yaml(*a_cluster(ours(OLD, "4.15.9"), worker=paused())))
    rows = (await relayer("drift", "--from", tmp_path / "prod.yaml")).out.splitlines()
    assert rows[0].split() == ["POOL", "STATE", "NODES", "BEHIND", "WHY"]
    assert rows[1].split()[:5] == ["prod/worker", "blocked", "2", "1", "minor,"]
    assert rows[1].endswith("[paused]")
    assert rows[2].split()[:4] == ["prod/master", "stock", "1", "-"]
    assert rows[4].split() == ["BLOCKS", "POOL", "WHY"]
    assert rows[5].split()[:2] == ["certificates", "prod/worker"]


async def test_several_clusters_and_a_must_gather_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(Oc.json(*a_cluster()))
    other = [dumped.cluster_version("4.16.1", cluster_id="2222-bbbb"), *a_cluster(ours(OLD))[1:]]
    archive = dumped.gz(dumped.tar(dumped.gathered(other)))
    (tmp_path / "b.tar.gz").write_bytes(archive)
    said = await drift("--from", tmp_path / "a.json", "--from", tmp_path / "b.tar.gz")
    states = [
        (c["version"], pool(said, cluster=n)["state"]) for n, c in enumerate(said["clusters"])
    ]
    assert sorted(states)[1] == ("4.16.3", "stock")
    assert len(states) == 2
    name = said["clusters"][0]["cluster"]
    one = await drift(
        "--from", tmp_path / "a.json", "--cluster", name, "--from", tmp_path / "b.tar.gz"
    )
    assert [c["cluster"] for c in one["clusters"]] == [name]


async def test_no_secret_and_no_file_of_a_machine_config_is_printed(tmp_path: Path) -> None:
    secret = dumped.machine_config("99-secret", image="", body=6000)
    secret["spec"]["config"]["storage"]["files"][0]["contents"]["source"] = "data:,hunter2"
    (tmp_path / "prod.yaml").write_text(Oc.yaml(*a_cluster(ours(OLD), secret, dumped.secret())))
    (tmp_path / "broken.yaml").write_text("kind: Secret\ndata: {password: hunter2\n")
    for words in ((), ("-o", "json")):
        ran = await relayer("drift", "--from", tmp_path, *words)
        assert "hunter2" not in ran.out + ran.err
        assert dumped.SECRET not in ran.out + ran.err


async def test_text_of_a_dump_gives_a_terminal_no_orders(tmp_path: Path) -> None:
    bad = paused()
    bad["status"]["conditions"].append(
        {"type": "NodeDegraded", "status": "True", "message": "\x1b[2J\nfull", "reason": ""}
    )
    (tmp_path / "prod.json").write_text(Oc.json(*a_cluster(worker=bad)))
    ran = await relayer("drift", "--from", tmp_path / "prod.json")
    assert "a node is degraded: [2J full" in ran.out
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("text", ["", "kind: Pod\n", Oc.yaml(dumped.cluster_version())])
async def test_files_without_a_pool_are_a_wrong_argument(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    ran = await relayer("drift", "--from", tmp_path / "x.yaml", code=2)
    assert "mcp" in ran.err


async def test_pools_that_cannot_be_read_are_told_where_nothing_else_is_left(
    tmp_path: Path,
) -> None:
    text = Oc.yaml(*a_cluster()).encode().replace(b"All nodes are", b"All n\xf6des are")
    (tmp_path / "prod.yaml").write_bytes(text)
    said = await relayer("drift", "--from", str(tmp_path), code=2)
    assert "not UTF-8" in said.err
    assert "MachineConfigPool is in the dump; add" in said.err


async def test_without_files_and_clusters_the_way_is_told() -> None:
    assert "--from" in (await relayer("drift", code=2)).err


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not here")
async def test_real_dumps_are_what_they_are_named() -> None:
    said = {c["cluster"]: c for c in (await drift("--from", SAMPLES))["clusters"]}
    states = {
        (name, p["pool"]): (p["state"], [f["flag"] for f in p["flags"]])
        for name, cluster in said.items()
        for p in cluster["pools"]
    }
    assert states == {
        # Nobody got their MachineConfigs.
        ("oc-4.14.1-degraded", "master"): ("unreadable", []),
        ("oc-4.14.1-degraded", "worker"): ("unreadable", []),
        ("oc-4.14.1-paused-worker-pool", "master"): ("unreadable", []),
        ("oc-4.14.1-paused-worker-pool", "worker"): ("unreadable", ["paused"]),
        ("oc-to-multi-arch", "master"): ("blocked", []),
        ("oc-to-multi-arch", "worker"): ("blocked", []),
    }
    assert said["oc-to-multi-arch"]["stage"] == "in-progress"


# --- live ----------------------------------------------------------------------------------------


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "world") as made:
        (tmp_path / "relayer.yaml").write_text(effective(made.settings))
        yield made


def put(live: World, base: str, version: str, image: str) -> None:
    """Our override, as an update would have written it."""
    document = {
        "apiVersion": f"{MCO}/v1",
        "kind": "MachineConfig",
        "metadata": {
            "name": OURS,
            "labels": {f"{MCO}/role": "infra"},
            "annotations": {
                lineage.BASE: base.partition("@")[2],
                lineage.RELEASE: version,
                lineage.RECIPE: str(read_recipe(live.settings, "infra-os")[0].digest),
                lineage.IMAGE: image,
            },
        },
        "spec": {"osImageURL": image},
    }
    live.api.store.put(kinds.MACHINE_CONFIGS, ("", OURS), document)


async def becomes(state: State, *config: object) -> Any:
    """Ask until the pool is so, and return it; fail after a while."""
    async with asyncio.timeout(20):
        while (found := pool(await drift(*config), "infra"))["state"] != state:
            await asyncio.sleep(0.05)
    return found


async def test_a_live_cluster_tells_what_is_missing_behind_and_current(
    live: World, tmp_path: Path
) -> None:
    config = ("-c", tmp_path / "relayer.yaml")
    said = await drift(*config)
    assert {p["pool"]: p["state"] for p in said["clusters"][0]["pools"]} == {
        "infra": "missing",
        "master": "stock",
        "worker": "stock",
    }
    assert pool(said, "infra")["base"]["expected"] == live.old.os_image
    assert pool(said, "infra")["flags"] == []
    put(live, live.old.os_image, "4.18.9", live.old.os_image)
    current = await becomes(State.CURRENT, *config)
    assert current["lag"] == {"releases": 0, "minors": 0, "days": 0, "said_by": "nobody"}
    assert current["nodes"] == {"total": 2, "updated": 2, "degraded": 0}
    live.cluster.start_upgrade(live.new)
    behind = await becomes(State.BEHIND, *config)
    assert behind["base"]["expected"] == live.new.os_image
    assert behind["base"]["actual"] == live.old.os_image.partition("@")[2]
    assert (behind["lag"]["releases"], behind["lag"]["minors"]) == (1, 0)

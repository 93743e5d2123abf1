"""A pool whose object cannot be read is named by watches, live reads and `relayer drift`."""

import json
from pathlib import Path

import pytest

from simulator.apiserver import ApiServer
from simulator.apiserver import kinds as served
from tests import dumped
from tests.contract.scripted_api import ScriptedApi, Stream, event, pool, until, watching
from tests.contract.test_cluster_client import a_cluster, fill, running
from tests.dumped import Oc
from tests.release_world import nobody_at_home, relayer

NULLS = {"paused": None, "configuration": None, "maxUnavailable": None}
BAD = {"maxUnavailable": {"a": 1}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return nobody_at_home(tmp_path, monkeypatch)


async def test_a_watch_reads_nulls_and_names_what_it_cannot_read() -> None:
    null = event("ADDED", pool("infra", 11, **NULLS))
    bad = event("ADDED", pool("gpu", 12, **BAD))
    no_version = event("BOOKMARK", {"metadata": {"resourceVersion": None}})
    stream = Stream((null, bad, no_version), then="silence")
    async with ScriptedApi.start(stream) as api, watching(api.url) as seen:
        api.items = [pool("worker", 9, **NULLS)]
        await until(lambda: seen.reflector.unreadable())
        assert set(seen.reflector.facts()) == {"infra", "worker"}
        said = seen.reflector.unreadable()["gpu"]
        assert "MachineConfigPool gpu is left out: it cannot be read" in said
        assert seen.reflector.problems() == (said,)
        assert len(api.lists) == 1


async def test_what_is_nested_beyond_measure_ends_nothing() -> None:
    """The decoder raises RecursionError for it, which is no error of decoding to Python."""
    deep = "[" * 100_000 + "]" * 100_000
    line = event("ADDED", pool("infra", 11, deep="HERE")).replace(b'"HERE"', deep.encode())
    async with ScriptedApi.start(Stream((line,), then="silence")) as api, watching(api.url) as seen:
        api.items = [pool("worker", 9)]
        await until(lambda: seen.reflector.facts())
        await until(lambda: "nested too deeply" in seen.reflector.problem or api.lists[1:])
        assert set(seen.reflector.facts()) == {"worker"}


async def test_a_list_reads_nulls() -> None:
    async with ScriptedApi.start() as api:
        api.items = [pool("worker", 9, **NULLS), pool("gpu", 9, **BAD)]
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.facts())
            assert set(seen.reflector.facts()) == {"worker"}
            assert set(seen.reflector.unreadable()) == {"gpu"}


async def test_views_name_pools_that_cannot_be_read() -> None:
    async with ApiServer.start() as api:
        fill(api)
        api.writer.create(served.POOLS, {**pool("gpu", 0, **BAD), "metadata": {"name": "gpu"}})
        async with a_cluster(api) as cluster, running(cluster):
            await cluster.synced()
            watched, fresh = cluster.view(), await cluster.fresh_view()
    for view in (watched, fresh):
        assert set(view.unreadable_pools) == {"gpu"}
        assert "infra" in view.pools
        assert set(view.unreadable_pools.values()) <= set(view.problems)


async def test_drift_of_files_tells_it_and_explain_says_why(tmp_path: Path) -> None:
    bad = dumped.pool("worker")
    bad["spec"]["maxUnavailable"] = {"a": 1}
    (tmp_path / "prod.yaml").write_text(Oc.yaml(dumped.cluster_version(), bad))
    said = json.loads((await relayer("drift", "--from", tmp_path, "-o", "json", code=0)).out)
    [one] = said["clusters"][0]["pools"]
    assert (one["pool"], one["state"]) == ("worker", "unreadable")
    assert "$.spec.maxUnavailable" in one["sentence"]
    answer = await relayer("explain", "worker", "--from", tmp_path, code=6)
    assert "MachineConfigPool worker is left out" in answer.err

"""The reflector against the simulated API server: what it does when the server behaves."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from simulator.apiserver import ApiServer, Fault
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import ALERT, START, pool, until, watching
from watcher.clients.kube import kinds
from watcher.clients.kube.reflector import State
from watcher.core.cluster import Pool

POOLS = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools"


def put(api: ApiServer, name: str, **spec: Any) -> None:
    document = pool(name, 0, **spec)
    document["metadata"] = {"name": name}
    api.writer.create(served.POOLS, document)


def pause(api: ApiServer, name: str, *, paused: bool) -> None:
    api.writer.patch(served.POOLS, ("", name), lambda o: {**o, "spec": {"paused": paused}})


def delete(api: ApiServer, name: str) -> None:
    api.writer.delete(served.POOLS, ("", name), {})


async def test_what_is_there_is_listed_in_pages() -> None:
    async with ApiServer.start() as api:
        for n in range(1203):
            put(api, f"pool-{n}")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.SYNCED)
            assert len(seen.reflector.facts()) == 1203
            lists = api.requests.find(path=POOLS, watch=False)
            assert [q.query["limit"] for q in lists] == ["500"] * 3


async def test_changes_arrive_and_wake() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: "infra" in seen.reflector.facts())
            pause(api, "infra", paused=True)
            await until(lambda: seen.reflector.facts()["infra"].paused)
            put(api, "gpu")
            await until(lambda: "gpu" in seen.reflector.facts())
            delete(api, "infra")
            await until(lambda: list(seen.reflector.facts()) == ["gpu"])
            assert seen.woken == ["infra", "infra", "gpu", "infra"]


async def test_facts_in_hand_do_not_change() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.facts())
            before = seen.reflector.facts()
            pause(api, "infra", paused=True)
            await until(lambda: seen.reflector.facts()["infra"].paused)
            assert not before["infra"].paused


async def test_an_ended_watch_is_resumed_without_a_new_list() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.watches == 1 and api.requests.find(watch=True))
            pause(api, "infra", paused=True)
            await until(lambda: seen.reflector.facts()["infra"].paused)
            version = seen.reflector.facts()["infra"].meta.resource_version
            await api.stop_listening()
            await api.start_listening()
            pause(api, "infra", paused=False)
            await until(lambda: not seen.reflector.facts()["infra"].paused)
            assert seen.reflector.lists == 1
            assert api.requests.find(watch=True)[-1].query["resourceVersion"] == version


async def test_a_bookmark_advances_the_version_to_resume_from() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            other = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
            revision = api.writer.create(served.NODES, other).revision
            seen.time.passed += 60
            api.send_bookmarks()
            await until(lambda: seen.reflector.synced_at == START + timedelta(seconds=60))
            await api.stop_listening()
            await api.start_listening()
            await until(
                lambda: api.requests.find(watch=True)[-1].query["resourceVersion"] == str(revision)
            )


async def test_history_that_was_forgotten_is_listed_once_and_what_is_gone_vanishes() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        put(api, "gpu")
        async with watching(api.url) as seen:
            await until(lambda: len(seen.reflector.facts()) == 2)
            await api.stop_listening()
            delete(api, "gpu")
            put(api, "storage")
            api.compact()
            await api.start_listening()
            await until(lambda: set(seen.reflector.facts()) == {"infra", "storage"})
            assert seen.reflector.lists == 2
            assert set(seen.woken[2:]) == {"gpu", "storage"}, "what did not change wakes nobody"


async def test_deletions_while_we_were_away_are_seen() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.facts())
            await api.stop_listening()
            delete(api, "infra")
            await until(lambda: seen.reflector.state is State.FAILING)
            assert "infra" in seen.reflector.facts(), "while away, what was last seen stays"
            await api.start_listening()
            await until(lambda: not seen.reflector.facts())


async def test_a_server_restored_from_a_backup_is_listed_anew() -> None:
    async with ApiServer.start() as before:
        for n in range(50):
            put(before, f"pool-{n}")
        async with watching(before.url, pacing=ALERT) as seen:
            await until(lambda: len(seen.reflector.facts()) == 50)
            await before.stop_listening()
            async with ApiServer.start(port=before.port) as restored:
                put(restored, "pool-0")
                await until(lambda: list(seen.reflector.facts()) == ["pool-0"])


async def test_a_dead_server_is_not_asked_in_a_loop() -> None:
    async with ApiServer.start() as api:
        await api.stop_listening()
        async with watching(api.url) as seen:
            await until(lambda: seen.time.passed >= 2.0)
            assert seen.reflector.lists <= 10
            await until(lambda: seen.time.passed >= 600.0)
            assert seen.reflector.lists <= 80
            assert max(seen.time.slept) <= 30.0
            assert min(seen.time.slept) >= 0.1
            assert seen.reflector.state is State.FAILING
            assert "refuses connections" in seen.reflector.problem
            await api.start_listening()
            await until(lambda: seen.reflector.state is State.SYNCED)
            assert seen.reflector.problem == ""


async def test_a_page_that_expires_starts_the_list_anew() -> None:
    async with ApiServer.start() as api:
        for n in range(600):
            put(api, f"pool-{n}")
        api.faults.add(Fault(code=410, path=POOLS, watch=False))
        async with watching(api.url) as seen:
            await until(lambda: len(seen.reflector.facts()) == 600)
            assert seen.time.slept == []


async def test_the_server_says_how_long_to_wait() -> None:
    async with ApiServer.start() as api:
        api.faults.add(Fault.too_many(17, path=POOLS))
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.SYNCED)
            assert seen.time.slept == [17.0]


async def test_an_absent_kind_is_tolerated_and_appears_later() -> None:
    async with ApiServer.start() as api:
        api.set_away(served.OS_IMAGE_STREAMS)
        async with watching(api.url, kind=kinds.OS_IMAGE_STREAM) as seen:
            await until(lambda: seen.reflector.state is State.ABSENT)
            assert seen.reflector.problems() == ()
            assert seen.time.slept[0] == 300.0
            api.set_away(served.OS_IMAGE_STREAMS, away=False)
            await until(lambda: seen.reflector.state is State.SYNCED)


async def test_a_kind_that_goes_away_leaves_nothing_behind() -> None:
    async with ApiServer.start() as api:
        document = {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineOSConfig",
            "metadata": {"name": "infra"},
            "spec": {"machineConfigPool": {"name": "infra"}},
        }
        api.writer.create(served.OS_CONFIGS, document)
        async with watching(api.url, kind=kinds.MACHINE_OS_CONFIG) as seen:
            await until(lambda: seen.reflector.facts())
            api.set_away(served.OS_CONFIGS)
            await until(lambda: seen.reflector.state is State.ABSENT)
            assert not seen.reflector.facts()


async def test_a_cluster_without_machine_config_api_is_a_problem() -> None:
    async with ApiServer.start() as api:
        api.set_away(served.POOLS)
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.ABSENT)
            assert "serves no MachineConfigPool" in seen.reflector.problem


async def test_a_missing_right_is_named_and_asked_again_slowly() -> None:
    async with ApiServer.start() as api:
        api.denials.deny(["list"], "machineconfigpools")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.FORBIDDEN)
            assert "list machineconfigpools" in seen.reflector.problem
            assert "resources: [machineconfigpools], verbs: [list]" in seen.reflector.problem
            assert seen.time.slept[0] == 60.0
            api.denials.allow("machineconfigpools")
            await until(lambda: seen.reflector.state is State.SYNCED)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(code=500, count=3), id="500"),
        pytest.param(Fault(code=503, count=3), id="503"),
        pytest.param(Fault(cut_after_bytes=40), id="list cut"),
        pytest.param(Fault(cut_after_bytes=40, watch=True), id="watch cut"),
    ],
)
async def test_troubles_pass(fault: Fault) -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        api.faults.add(fault)
        async with watching(api.url) as seen:
            await until(lambda: "infra" in seen.reflector.facts())
            pause(api, "infra", paused=True)
            await until(lambda: seen.reflector.facts()["infra"].paused)


async def test_one_object_only_is_watched_by_its_name() -> None:
    async with ApiServer.start() as api:
        for name, base in (("machine-config-osimageurl", "quay.io/os@x"), ("other", "")):
            document = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": kinds.MCO_NAMESPACE},
                "data": {"releaseVersion": "4.18.1", "baseOSContainerImage": base},
            }
            api.writer.create(served.CONFIG_MAPS, document)
        async with watching(api.url, kind=kinds.OS_IMAGE_URLS) as seen:
            await until(lambda: seen.reflector.state is State.SYNCED)
            assert list(seen.reflector.facts()) == ["machine-config-osimageurl"]
            assert seen.reflector.problems() == ()


async def test_a_heartbeat_of_a_node_wakes_nobody() -> None:
    async with ApiServer.start() as api:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"}}
        api.writer.create(served.NODES, node)
        async with watching(api.url, kind=kinds.NODE) as seen:
            await until(lambda: seen.reflector.facts() and api.requests.find(watch=True))
            for beat in range(5):
                api.writer.patch(served.NODES, ("", "n0"), partial(_annotated, beat=str(beat)))
            api.writer.patch(
                served.NODES, ("", "n0"), lambda o: {**o, "spec": {"unschedulable": True}}
            )
            await until(lambda: seen.reflector.facts()["n0"].unschedulable)
            assert seen.reflector.events == 6
            assert seen.woken == ["n0", "n0"]


def _annotated(document: dict[str, Any], **annotations: str) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "annotations": annotations}}


async def test_stopping_is_quick_and_leaves_no_connection() -> None:
    async with ApiServer.start() as api:
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 0.5
        assert isinstance(seen.reflector.facts(), object)


async def test_a_malformed_object_costs_only_itself() -> None:
    async with ApiServer.start() as api:
        put(api, "good")
        put(api, "bad", paused="perhaps")
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.SYNCED)
            assert list(seen.reflector.facts()) == ["good"]
            (sentence,) = seen.reflector.problems()
            assert "MachineConfigPool bad is left out" in sentence
            assert "paused" in sentence
            pause(api, "bad", paused=True)
            await until(lambda: "bad" in seen.reflector.facts())
            assert seen.reflector.problems() == ()
            api.writer.patch(served.POOLS, ("", "bad"), lambda o: {**o, "spec": {"paused": 3}})
            await until(lambda: "bad" not in seen.reflector.facts())
            assert isinstance(seen.reflector.facts()["good"], Pool)
            assert len(seen.reflector.problems()) == 1
            delete(api, "bad")
            await until(lambda: seen.reflector.problems() == ())

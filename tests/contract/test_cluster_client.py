"""The whole adapter of one cluster against the simulated API server: view, live reads, writes."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from simulator.apiserver import ApiServer, By, Fault
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import BRIEF, CALM, START, VirtualTime, pool, until
from watcher.clients.kube.cluster import NEVER, KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.kinds import KINDS, RBAC_RULES
from watcher.core.facts import ClusterName, PoolName, Pullspec
from watcher.ports import Cluster, Conflict, FieldConflict, Refused, Transient

IMAGE = "registry.example.com/os/infra@sha256:" + "a" * 64
OTHER = "registry.example.com/os/infra@sha256:" + "b" * 64
OVERRIDE = "99-infra-relayer-osimage"
INFRA = PoolName("infra")
MC_PATH = f"/apis/machineconfiguration.openshift.io/v1/machineconfigs/{OVERRIDE}"
OURS = {"relayer.io/update": "u1", "relayer.io/base": "sha256:1"}


@asynccontextmanager
async def a_cluster(api: ApiServer, time: VirtualTime | None = None) -> AsyncIterator[KubeCluster]:
    time = time or VirtualTime()
    async with KubeCluster(
        ClusterName("east"),
        credentials=TokenFile(api.url),
        clock=time,
        pacing=CALM,
        limits=BRIEF,
        sleep=time.sleep,
        monotonic=time.monotonic,
        draw=lambda: 0.5,
    ) as cluster:
        yield cluster


@asynccontextmanager
async def running(cluster: KubeCluster) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(cluster.run())
        try:
            yield
        finally:
            task.cancel()


def fill(api: ApiServer) -> None:
    mco, config = "machineconfiguration.openshift.io/v1", "config.openshift.io/v1"
    version = {"version": "4.18.3", "image": "quay.io/release@sha256:" + "1" * 64}
    put = api.writer.create
    document: dict[str, Any] = {
        "apiVersion": config,
        "kind": "ClusterVersion",
        "metadata": {"name": "version"},
        "spec": {},
    }
    put(served.CLUSTER_VERSIONS, document)
    api.writer.patch(
        served.CLUSTER_VERSIONS,
        ("", "version"),
        lambda o: {**o, "status": {"desired": version, "history": None}},
        By(subresource="status"),
    )
    infra = pool("infra", 0, paused=False, maxUnavailable="10%")
    infra["metadata"] = {"name": "infra"}
    put(served.POOLS, infra)
    rendered: dict[str, Any] = {
        "apiVersion": mco,
        "kind": "MachineConfig",
        "metadata": {"name": "rendered-infra-1"},
        "spec": {"osImageURL": IMAGE, "config": {"ignition": {"version": "3.4.0"}}},
    }
    put(served.MACHINE_CONFIGS, rendered)
    put(served.NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n0"}})
    urls = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "machine-config-osimageurl",
            "namespace": "openshift-machine-config-operator",
        },
        "data": {"releaseVersion": "4.18.3", "baseOSContainerImage": IMAGE},
    }
    put(served.CONFIG_MAPS, urls)
    api.set_away(served.OS_IMAGE_STREAMS)


async def test_the_view_holds_everything_once_synced() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            assert cluster.view().observed_at == NEVER
            port: Cluster = cluster
            async with running(cluster), asyncio.timeout(30):
                await cluster.synced()
                view = port.view()
            assert view.cluster_version is not None
            assert view.cluster_version.desired_version == "4.18.3"
            assert view.pools["infra"].max_unavailable == "10%"
            assert view.machine_configs["rendered-infra-1"].os_image_url == IMAGE
            assert list(view.nodes) == ["n0"]
            assert view.os_image_urls is not None
            assert view.os_image_stream is None
            assert view.problems == ()
            assert view.observed_at >= START


async def test_one_forbidden_kind_is_a_problem_and_the_others_work() -> None:
    async with ApiServer.start() as api:
        fill(api)
        api.denials.deny(["list"], "nodes")
        async with a_cluster(api) as cluster, running(cluster), asyncio.timeout(30):
            await cluster.synced()
            view = cluster.view()
            assert list(view.pools) == ["infra"]
            (sentence,) = view.problems
            assert "list nodes is forbidden" in sentence
            assert view.observed_at == NEVER, "nodes are required"


async def test_an_unreachable_cluster_keeps_what_was_known_and_says_how_old_it_is() -> None:
    time = VirtualTime()
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api, time) as cluster, running(cluster), asyncio.timeout(10):
            await cluster.synced()
            await api.stop_listening()
            await until(lambda: time.passed > 3600)
            view = cluster.view()
            assert list(view.pools) == ["infra"]
            assert (time.now() - view.observed_at).total_seconds() > 3000
            assert view.problems == (), "a broken line passes; the age tells it"
            assert any("refuses connections" in p for p in cluster.problems)


async def test_unreachable_from_the_start_is_a_problem() -> None:
    async with ApiServer.start() as api:
        await api.stop_listening()
        async with a_cluster(api) as cluster, running(cluster):
            await until(lambda: len(cluster.view().problems) == len(KINDS))


async def test_a_fresh_view_is_read_from_the_server_itself() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            view = await cluster.fresh_view()
            assert view.observed_at == START
            assert list(view.pools) == ["infra"]
            assert view.nodes == {}
            assert not api.requests.find(path="*/nodes")
            api.set_away(served.POOLS)
            with pytest.raises(Refused, match="serves no MachineConfigPool"):
                await cluster.fresh_view()
            with pytest.raises(Refused, match=r"get machineconfigpools.*/infra: 404"):
                await cluster.read_pool(INFRA)


async def test_a_fresh_view_with_a_forbidden_kind_is_refused() -> None:
    async with ApiServer.start() as api:
        fill(api)
        api.denials.deny(["list"], "machineosconfigs")
        async with a_cluster(api) as cluster:
            with pytest.raises(Refused, match="machineosconfigs"):
                await cluster.fresh_view()


async def test_an_override_is_applied_once_however_often_it_is_said() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            first = await cluster.read_machine_config(OVERRIDE)
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            again = await cluster.read_machine_config(OVERRIDE)
            assert first == again
            assert first is not None
            assert first.os_image_url == IMAGE
            assert first.meta.labels == {"machineconfiguration.openshift.io/role": "infra"}
            assert first.meta.annotations == OURS
            (request, _) = api.requests.find(method="PATCH")
            assert request.query == {"fieldManager": "relayer", "force": "false"}
            assert request.content_type == "application/apply-patch+yaml"


async def test_a_field_of_another_manager_is_told_and_never_taken() -> None:
    async with ApiServer.start() as api:
        fill(api)
        document = {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {"name": OVERRIDE},
            "spec": {"osImageURL": OTHER},
        }
        api.writer.create(served.MACHINE_CONFIGS, document, By(manager="argocd"))
        async with a_cluster(api) as cluster:
            with pytest.raises(FieldConflict) as caught:
                await cluster.apply_override(
                    name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS
                )
            assert "argocd" in str(caught.value)
            assert ".spec.osImageURL" in str(caught.value)
            found = await cluster.read_machine_config(OVERRIDE)
            assert found is not None
            assert found.os_image_url == OTHER


async def test_only_what_is_ours_is_deleted_and_twice_is_once() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            with pytest.raises(Refused, match="not ours"):
                await cluster.delete_override("rendered-infra-1")
            assert await cluster.read_machine_config("rendered-infra-1")
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            await cluster.delete_override(OVERRIDE)
            await cluster.delete_override(OVERRIDE)
            assert await cluster.read_machine_config(OVERRIDE) is None
            assert len(api.requests.find(method="DELETE")) == 1


async def test_an_override_changed_meanwhile_is_not_deleted() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            api.faults.add(Fault(drip_seconds=0.03, drip_bytes=200, method="GET", path=MC_PATH))
            async with asyncio.TaskGroup() as group:
                deleting = group.create_task(_conflict(cluster.delete_override(OVERRIDE)))
                await until(lambda: api.requests.find(method="GET", path=MC_PATH))
                changed = {"spec": {"osImageURL": OTHER}}
                api.writer.patch(served.MACHINE_CONFIGS, ("", OVERRIDE), lambda o: {**o, **changed})
            assert "Precondition failed" in deleting.result()
            assert await cluster.read_machine_config(OVERRIDE) is not None


async def test_an_override_that_vanished_meanwhile_is_deleted_enough() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            api.faults.add(Fault(drip_seconds=0.03, drip_bytes=200, method="GET", path=MC_PATH))
            async with asyncio.TaskGroup() as group:
                group.create_task(cluster.delete_override(OVERRIDE))
                await until(lambda: api.requests.find(method="GET", path=MC_PATH))
                api.writer.delete(served.MACHINE_CONFIGS, ("", OVERRIDE), {})
            assert len(api.requests.find(method="DELETE")) == 1


async def _conflict(attempt: Awaitable[None]) -> str:
    with pytest.raises(Conflict) as caught:
        await attempt
    return str(caught.value)


async def test_a_pool_is_paused_as_it_was_read_or_not_at_all() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            read = await cluster.read_pool(INFRA)
            await cluster.set_paused(read, paused=True, annotations={"relayer.io/paused": "u1"})
            paused = await cluster.read_pool(INFRA)
            assert paused.paused
            assert paused.meta.annotations == {"relayer.io/paused": "u1"}
            assert paused.max_unavailable == "10%"
            with pytest.raises(Conflict, match="changed meanwhile"):
                await cluster.set_paused(read, paused=False, annotations={})
            await cluster.set_paused(paused, paused=False, annotations={"relayer.io/paused": None})
            assert (await cluster.read_pool(INFRA)).meta.annotations == {}


async def test_annotations_of_a_pool_are_merged() -> None:
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster:
            await cluster.annotate_pool(INFRA, {"relayer.io/a": "1", "relayer.io/b": "2"})
            await cluster.annotate_pool(INFRA, {"relayer.io/a": None})
            assert (await cluster.read_pool(INFRA)).meta.annotations == {"relayer.io/b": "2"}


async def test_a_node_is_uncordoned_and_twice_is_once() -> None:
    async with ApiServer.start() as api:
        fill(api)
        key, cordon = ("", "n0"), {"spec": {"unschedulable": True, "podCIDR": "10.0.0.0/24"}}
        api.writer.patch(served.NODES, key, lambda o: {**o, **cordon})
        async with a_cluster(api) as cluster:
            await cluster.uncordon("n0")
            await cluster.uncordon("n0")
            node = api.store.get(served.NODES, "n0", "")
            assert node.object["spec"] == {"podCIDR": "10.0.0.0/24"}


async def test_the_pull_secret_is_read_and_never_told() -> None:
    async with ApiServer.start() as api:
        content = b'{"auths":{}}'
        secret: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "pull-secret", "namespace": "openshift-config"},
            "data": {".dockerconfigjson": base64.b64encode(content).decode()},
        }
        async with a_cluster(api) as cluster:
            with pytest.raises(Refused, match="pull-secret"):
                await cluster.pull_secret()
            api.writer.create(served.SECRETS, secret)
            assert await cluster.pull_secret() == content
            key = ("openshift-config", "pull-secret")
            bad = {".dockerconfigjson": "c2VjcmV0IHRleHQ=!"}
            api.writer.patch(served.SECRETS, key, lambda o: {**o, "data": bad})
            with pytest.raises(Refused) as caught:
                await cluster.pull_secret()
            assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        pytest.param(Fault(code=429, retry_after_seconds=9), Transient, "429", id="429"),
        pytest.param(Fault(code=500), Transient, "500 etcdserver: no leader", id="500"),
        pytest.param(Fault(code=503), Transient, "503", id="503"),
        pytest.param(Fault(code=422), Refused, "422", id="422"),
        pytest.param(Fault(code=409), Conflict, "read it again", id="409"),
        pytest.param(Fault(code=410), Transient, "410", id="410"),
        pytest.param(Fault(hang=True), Transient, "no answer", id="hang"),
    ],
)
@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
async def test_every_refusal_says_what_to_do(
    fault: Fault, error: type[Exception], says: str, write: bool
) -> None:
    async with ApiServer.start() as api:
        fill(api)
        api.faults.add(
            Fault(code=fault.code, retry_after_seconds=fault.retry_after_seconds, hang=fault.hang)
        )
        limits = type(BRIEF)(answer_seconds=0.3)
        async with KubeCluster(
            ClusterName("east"), credentials=TokenFile(api.url), clock=VirtualTime(), limits=limits
        ) as cluster:
            with pytest.raises(error, match=says) as caught:
                await _read_or_write(cluster, write=write)
            assert fault.code != 429 or getattr(caught.value, "retry_after_seconds", 0) == 9.0


@pytest.mark.parametrize("write", [False, True], ids=["read", "write"])
async def test_a_server_that_is_not_there_is_transient(write: bool) -> None:
    async with ApiServer.start() as api, a_cluster(api) as cluster:
        await api.stop_listening()
        with pytest.raises(Transient, match="refuses connections"):
            await _read_or_write(cluster, write=write)


async def _read_or_write(cluster: KubeCluster, *, write: bool) -> None:
    if write:
        await cluster.annotate_pool(INFRA, {"relayer.io/a": "1"})
    else:
        await cluster.read_pool(INFRA)


async def test_no_request_needs_a_right_that_is_not_listed() -> None:
    """Everything the client does here, against the one list the manifests are compared with."""
    async with ApiServer.start() as api:
        fill(api)
        async with a_cluster(api) as cluster, running(cluster), asyncio.timeout(30):
            await until(lambda: len(api.requests.find(watch=True)) >= len(KINDS) - 1)
            for read in (cluster.fresh_view, cluster.release_view, cluster.trusted_cas):
                await read()
            await cluster.release_signatures(Pullspec(IMAGE).digest)
            await cluster.apply_override(name=OVERRIDE, pool=INFRA, image=IMAGE, annotations=OURS)
            await cluster.delete_override(OVERRIDE)
            await cluster.set_paused(await cluster.read_pool(INFRA), paused=True, annotations={})
            await cluster.annotate_pool(INFRA, {"relayer.io/a": "1"})
            await cluster.uncordon("n0")
            with pytest.raises(Refused):
                await cluster.pull_secret()
        rights = {(g, r, v) for g, r, verbs in RBAC_RULES for v in verbs}
        used = {_right(r.method, r.path, watch=r.watch) for r in api.requests.find()}
        assert used <= rights
        # create is what the API server asks for when an apply makes the object.
        assert rights - used <= {(g, r, "get") for g, r, _ in RBAC_RULES} | {
            ("machineconfiguration.openshift.io", "machineconfigs", "create"),
            ("machineconfiguration.openshift.io", "osimagestreams", "watch"),
        }


def _right(method: str, path: str, *, watch: bool) -> tuple[str, str, str]:
    parts = path.strip("/").split("/")
    group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    if rest[0] == "namespaces":
        rest = rest[2:]
    verbs = {"PATCH": "patch", "DELETE": "delete"}
    read = "watch" if watch else "list" if len(rest) == 1 else "get"
    return group, rest[0], verbs.get(method, read)

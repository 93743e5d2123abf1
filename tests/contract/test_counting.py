"""Each call to the outside is counted once, with what became of it, where it is made."""

import asyncio
import contextlib
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from simulator.apiserver import ApiServer
from simulator.apiserver import Fault as ApiFault
from simulator.apiserver import kinds as served
from simulator.registry import Fault
from simulator.slack import SlackDouble
from tests.contract.scripted_api import BRIEF, CALM, VirtualTime
from tests.registries import simulated_registry
from watcher.bootstrap import clients
from watcher.bootstrap.clients import Patience
from watcher.clients.counting import Outcome, outcome_of_status
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.registry import RegistryClient
from watcher.clients.slack.api import SlackApi
from watcher.core.facts import ClusterName, Repository
from watcher.metrics import Metrics
from watcher.ports import OutsideError
from watcher.settings import ClusterSettings, Settings, SlackSettings

OVERRIDE = "99-infra-relayer-osimage"


class Calls(Counter[tuple[str, str]]):
    def __call__(self, what: str, outcome: Outcome) -> None:
        self[what, outcome] += 1


# --- API servers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (ApiFault(code=500), "failed"),
        (ApiFault(code=403), "refused"),
        (ApiFault(code=409), "conflict"),
    ],
)
async def test_a_request_to_an_api_server_is_counted_by_verb_and_outcome(
    fault: ApiFault, outcome: str
) -> None:
    time, calls = VirtualTime(), Calls()
    async with (
        ApiServer.start() as api,
        KubeCluster(
            ClusterName("east"),
            credentials=TokenFile(api.url),
            clock=time,
            pacing=CALM,
            limits=BRIEF,
            counted=calls,
        ) as cluster,
    ):
        await cluster.delete_override(OVERRIDE)
        assert calls == {("get", "missing"): 1}
        calls.clear()
        api.faults.add(fault)
        with pytest.raises(OutsideError):
            await cluster.delete_override(OVERRIDE)
        assert calls == {("get", outcome): 1}


async def test_an_answer_that_breaks_off_has_failed() -> None:
    calls = Calls()
    made = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {"name": OVERRIDE, "annotations": {"a": "x" * 1000}},
    }
    async with (
        ApiServer.start() as api,
        KubeCluster(
            ClusterName("east"), credentials=TokenFile(api.url), clock=VirtualTime(), counted=calls
        ) as cluster,
    ):
        api.writer.create(served.MACHINE_CONFIGS, made)
        api.faults.add(ApiFault(cut_after_bytes=20))
        with pytest.raises(OutsideError):
            await cluster.delete_override(OVERRIDE)
    assert calls == {("get", "failed"): 1}


async def test_lists_and_watches_of_a_cluster_are_counted() -> None:
    calls = Calls()
    async with (
        ApiServer.start() as api,
        KubeCluster(
            ClusterName("east"), credentials=TokenFile(api.url), clock=VirtualTime(), counted=calls
        ) as cluster,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(cluster.run())
        await cluster.synced()
        task.cancel()
    assert {"list"} <= {verb for verb, _ in calls} <= {"list", "watch"}
    assert calls["list", "ok"] > 3


# --- registries ----------------------------------------------------------------------------------


async def test_each_request_to_a_registry_is_counted_repetitions_too() -> None:
    calls = Calls()
    async with (
        simulated_registry(attempts=3) as running,
        RegistryClient.opened(running.settings, counted=calls) as client,
    ):
        assert running.simulated
        running.simulated.faults.append(Fault("status", method="HEAD", status=503))
        running.simulated.faults.append(Fault("status", method="HEAD", status=429))
        assert not await client.exists(running.repository("os").at(DIGEST))
    host = running.host
    assert calls == {(host, "failed"): 1, (host, "limited"): 1, (host, "missing"): 1}


async def test_a_registry_that_asks_for_a_login_has_refused_nothing() -> None:
    calls = Calls()
    async with (
        simulated_registry(basic=True) as running,
        RegistryClient.opened(running.settings, running.credentials, counted=calls) as client,
    ):
        assert not await client.exists(running.repository("os").at(DIGEST))
    assert calls == {(running.host, "login"): 1, (running.host, "missing"): 1}


async def test_a_registry_that_is_not_there_is_counted() -> None:
    calls = Calls()
    async with simulated_registry(attempts=2) as running:
        pass
    gone = running.host
    async with RegistryClient.opened(running.settings, counted=calls) as client:
        with pytest.raises(OutsideError):
            await client.exists(Repository(f"{gone}/os").at(DIGEST))
    assert calls == {(gone, "failed"): 2}


DIGEST = Repository("x.example.com/y").at("sha256:" + "a" * 64).digest  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (307, "ok"), (401, "login"), (403, "refused"), (404, "missing"), (408, "failed"),
     (409, "conflict"), (418, "refused"), (429, "limited"), (502, "failed")],
)  # fmt: skip
def test_what_a_status_says(status: int, outcome: str) -> None:
    assert outcome_of_status(status) == outcome


# --- Slack ---------------------------------------------------------------------------------------


async def test_each_request_to_slack_is_counted_and_none_that_is_held_back() -> None:
    calls = Calls()
    async with (
        SlackDouble.start() as slack,
        SlackApi.opened(lambda: slack.bot_token, api_url=slack.api_url, counted=calls) as api,
    ):
        await api.call("auth.test")
        slack.faults.error("user_not_found")
        slack.faults.status(500)
        slack.faults.ratelimited(60)
        for _ in range(4):  # the fourth is not made: Slack asked for a pause
            with contextlib.suppress(OutsideError):
                await api.call("auth.test")
        with contextlib.suppress(OutsideError):
            await api.respond("http://127.0.0.1:1/x", {"text": "x"})
        with contextlib.suppress(OutsideError):
            await api.respond(f"{slack.api_url.removesuffix('/api/')}/nowhere", {"text": "x"})
    assert calls == {
        ("auth.test", "ok"): 1,
        ("auth.test", "refused"): 1,
        ("auth.test", "failed"): 1,
        ("auth.test", "limited"): 1,
        ("response_url", "failed"): 1,
    }


# --- all of them together ------------------------------------------------------------------------


async def test_what_is_opened_as_configured_is_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    token = tmp_path / "token"
    async with (
        AsyncExitStack() as stack,
        ApiServer.start() as api,
        SlackDouble.start() as slack,
        simulated_registry() as running,
    ):
        token.write_text(slack.bot_token)
        settings = Settings(
            clusters=(ClusterSettings(name=ClusterName("east"), url=api.url),),
            slack=SlackSettings(bot_token_file=token, api_url=slack.api_url),
        )
        patience = Patience(registry=running.settings)
        time = VirtualTime()
        opened = await clients.open_clusters(settings, stack, time, None, patience, metrics)
        reached = await clients.open_registries(settings, stack, patience, opened, metrics)
        spoken = await clients.open_slack(settings, stack, metrics)
        assert spoken
        await spoken.call("auth.test")
        await opened[ClusterName("east")].delete_override(OVERRIDE)
        one = await reached.access.client(ClusterName("nobody"))
        with contextlib.suppress(OutsideError):
            await one.exists(running.repository("os").at(DIGEST))
    value = metrics.registry.get_sample_value
    called = {"cluster": "east", "verb": "get", "outcome": "missing"}
    assert value("relayer_api_calls_total", called) == 1
    called = {"method": "auth.test", "outcome": "ok"}
    assert value("relayer_slack_calls_total", called) == 1
    [family] = [f for f in metrics.registry.collect() if f.name == "relayer_registry_calls"]
    assert {sample.labels["registry"] for sample in family.samples} == {running.host}

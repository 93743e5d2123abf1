"""A cluster that was out of reach: nothing is decided on what was last seen of it.

The watches, the observer and the planner are the service's own; time is the test's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from simulator.apiserver import ApiServer, By, Fault
from simulator.apiserver import kinds as served
from tests import dumped
from tests.contract.scripted_api import BRIEF, CALM, VirtualTime, until
from tests.facts import (
    INFRA,
    OURS,
    PROD,
    a_policy,
    a_target,
    an_update,
    image,
    release_image,
)
from tests.scene import Scene, key_of
from watcher.clients.kube import kinds
from watcher.clients.kube.cluster import KubeCluster
from watcher.clients.kube.credentials import TokenFile
from watcher.clients.kube.reflector import State
from watcher.core import lineage
from watcher.core.drift import MAX_AGE, Decision, Hold, InStep, Rebuild
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.planner import Planner

TOO_LONG = MAX_AGE.total_seconds() + 1
LISTS = Fault(code=503, watch=False, count=None)


@dataclass
class World:
    """Pool infra is in step with 4.16.1."""

    api: ApiServer
    cluster: KubeCluster
    time: VirtualTime
    planner: Planner
    scene: Scene

    async def look(self) -> Decision:
        return (await self.planner.pass_over(PROD, INFRA)).decision

    async def updates(self) -> list[Update]:
        found = await self.scene.store.history(PROD, INFRA, 10)
        return [stored.job for stored in found if isinstance(stored.job, Update)]

    async def looks(self, number: int) -> list[str]:
        """What each of so many looks holds for; none of them may decide."""
        found = []
        for _ in range(number):
            await asyncio.sleep(0.003)
            decision = await self.look()
            assert isinstance(decision, Hold), decision
            found.append(decision.because)
        return found

    async def first_decision(self, *not_yet: type[Decision]) -> Decision:
        async with asyncio.timeout(20):
            while isinstance(decision := await self.look(), not_yet):
                await asyncio.sleep(0.003)
        return decision

    def asked_first(self) -> set[bool]:
        """Of each kind, whether the first request was a watch."""
        first: dict[str, bool] = {}
        for request in self.api.requests.find():
            first.setdefault(request.path, request.watch)
        return set(first.values())

    def release(self, version: str) -> None:
        desired = {"version": version, "image": str(release_image(version))}
        history = [
            {"state": "Completed", "version": v, "image": str(release_image(v)), "verified": True}
            for v in dict.fromkeys((version, "4.16.1"))
        ]
        status = {"desired": desired, "history": history}
        by = By(subresource="status")
        self.api.writer.patch(served.CLUSTER_VERSIONS, ("", "version"), partial(_with, status), by)

    async def away(self, seconds: float) -> None:
        """Nobody reaches it for so long, and every watch has noticed."""
        end = self.time.passed + seconds
        await until(lambda: self.time.passed > end)
        kinds = self.cluster.reflectors.values()
        await until(lambda: all(kind.state is State.FAILING for kind in kinds))


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    ran = an_update(
        id="u-0",
        state=UpdateState.DONE,
        target=a_target("4.16.1", build_key=key_of("4.16.1")),
        image=image("layered 4.16.1"),
    )
    time, scene = VirtualTime(), Scene(policy=a_policy(), runs=ran)
    async with (
        ApiServer.start() as api,
        KubeCluster(
            PROD,
            credentials=TokenFile(api.url),
            clock=time,
            pacing=CALM,
            limits=BRIEF,
            sleep=time.sleep,
            monotonic=time.monotonic,
            draw=lambda: 0.5,
        ) as cluster,
        asyncio.TaskGroup() as group,
    ):
        observer = replace(scene.observer, clusters={PROD: cluster})
        planner = replace(scene.planner, observer=observer, clock=time)
        made = World(api, cluster, time, planner, scene)
        fill(made, ran)
        watching = group.create_task(cluster.run())
        try:
            await cluster.synced()
            assert isinstance(await made.look(), InStep)
            yield made
        finally:
            watching.cancel()


def fill(made: World, ran: Update) -> None:
    ours = dumped.machine_config(OURS, role=INFRA, image=str(ran.image))
    written = lineage.to_annotations(ran)
    ours["metadata"]["annotations"] = {name: str(said) for name, said in written.items()}
    for kind, document in (
        (served.CLUSTER_VERSIONS, dumped.cluster_version()),
        (served.POOLS, dumped.pool(INFRA, sources=[OURS])),
        (served.MACHINE_CONFIGS, ours),
        (served.NODES, dumped.node(role=INFRA)),
    ):
        status = document.pop("status", None)
        made.api.writer.create(kind, _bare(document))
        if status:
            key = ("", document["metadata"]["name"])
            made.api.writer.patch(kind, key, partial(_with, status), By(subresource="status"))
    made.release("4.16.1")


def _with(status: Any, document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "status": status}


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    meta = {k: v for k, v in document["metadata"].items() if k in ("name", "labels", "annotations")}
    return {**document, "metadata": meta}


@pytest.mark.parametrize("forgotten", [False, True], ids=["history kept", "history forgotten"])
async def test_the_first_decision_after_a_partition_is_made_on_a_full_list(forgotten: bool) -> None:
    async with world() as made:
        await made.api.stop_listening()
        move_on(made)
        if forgotten:
            made.api.compact()
        await made.away(TOO_LONG)
        held = await made.looks(3)
        # It is there again, and its lists do not come yet.
        made.api.requests.clear()
        made.api.faults.add(LISTS)
        await made.api.start_listening()
        await until(lambda: len({r.path for r in made.api.requests.find()}) == len(kinds.KINDS))
        held += await made.looks(5)
        # All come but that of the pools.
        made.api.faults.clear()
        away = Fault(code=503, path="*/machineconfigpools", count=None)
        made.api.faults.add(away)
        await until(lambda: made.cluster.reflectors["MachineConfig"].state is State.SYNCED)
        held += await made.looks(5)
        assert all("too long ago to act on" in why for why in held), held
        assert [one.id for one in await made.updates()] == []
        made.api.faults.clear()
        decision = await made.first_decision(Hold)
        assert isinstance(decision, Rebuild)
        [proposed] = await made.updates()
        assert proposed.target.release_version == "4.16.3"
        assert made.cluster.view().pools[INFRA].paused
        assert made.asked_first() == {False}


def move_on(made: World) -> None:
    """On the other side: another release, our override gone, and the pool paused."""
    made.release("4.16.3")
    made.api.writer.delete(served.MACHINE_CONFIGS, ("", OURS), {})
    made.api.writer.patch(
        served.POOLS, ("", INFRA), lambda o: {**o, "spec": {**o["spec"], "paused": True}}
    )


async def test_after_a_short_break_the_watches_go_on_where_they_were() -> None:
    async with world() as made:
        lists = sum(kind.lists for kind in made.cluster.reflectors.values())
        await made.api.stop_listening()
        move_on(made)
        await made.api.start_listening()
        assert isinstance(await made.first_decision(InStep), Rebuild)
        assert made.time.passed < CALM.blind
        assert sum(kind.lists for kind in made.cluster.reflectors.values()) == lists

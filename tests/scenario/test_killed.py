"""Processes of the service killed, frozen and cut off in every state: one finishes, once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis

from simulator.apiserver.faults import Fault
from simulator.registry.faults import Fault as RegistryFault
from tests.scenario.replicas import Replica, on, pause, replica, shared_redis
from tests.scenario.world import CLUSTER, INFRA, OURS, QUICK, World, world
from watcher.clients.store.redis_store import RedisStore
from watcher.clock import SystemClock
from watcher.core.approval import ApprovalRules
from watcher.core.jobs import Job, JobKind
from watcher.core.update import Policy, Update
from watcher.people import People
from watcher.ports import Transient
from watcher.settings import Settings

pytestmark = pytest.mark.real("redis-server")

LEASE = QUICK.lease_seconds
AUTO = Policy(approval=ApprovalRules(auto=True), soak_seconds=0)
ONCE = ["Proposed", "BuildReady", "Approved", "Cleared", "Applied", "RolledOut", "Soaked"]


@dataclass(frozen=True, slots=True)
class Stage:
    made: World
    store: RedisStore
    client: Redis
    settings: Settings

    async def fence(self, job: Job) -> int:
        """How often the job was claimed so far."""
        found = await cast(Awaitable[bytes], self.client.hget(f"{{relayer}}:job:{job.id}", "f"))
        return int(found)

    async def job(self, kind: JobKind) -> Job | None:
        found = [
            *await self.store.jobs(kind, ended=False),
            *await self.store.jobs(kind, ended=True),
        ]
        return found[0].job if found else None

    async def reaches(self, kind: JobKind, *states: str, seconds: float = 25.0) -> Job:
        """Wait until the newest job of a kind is in one of the states."""
        seen: Job | None = None
        try:
            async with asyncio.timeout(seconds):
                while seen is None or seen.state not in states:
                    await asyncio.sleep(0.02)
                    with contextlib.suppress(Transient):  # the test may have killed Redis
                        seen = await self.job(kind)
        except TimeoutError:
            trail = "\n".join(str(entry) for entry in await self.store.audit())
            raise AssertionError(f"waited for {states}, last: {seen}\n{trail}") from None
        return seen

    async def events(self, job: Job) -> list[str]:
        return [entry.event for entry in await self.store.audit(job.id)]


@asynccontextmanager
async def stage(directory: Path, policy: Policy = AUTO, *, nodes: int = 2) -> AsyncIterator[Stage]:
    async with world(directory, nodes=nodes) as made, shared_redis(directory) as shared:
        server, store, client = shared
        yield Stage(made, store, client, on(server, made.with_policy(policy)))


def _hold_build(made: World) -> None:
    made.registry.faults.append(RegistryFault("hang", "PUT", "/v2/layered/infra/manifests/.*"))


def _hold_verify(made: World) -> None:
    made.registry.faults.append(RegistryFault("hang", "GET", "/v2/layered/infra/manifests/.*"))


def _hold_apply(made: World) -> None:
    made.api.faults.add(Fault(hang=True, method="PATCH", path=f"*{OURS}*"))


def _hold_answer(made: World) -> None:
    """The write arrives, its answer does not: the process dies not knowing."""
    made.api.faults.add(Fault(drip_seconds=60, method="PATCH", path=f"*{OURS}*"))


def _nothing(made: World) -> None:
    pass


@pytest.mark.parametrize(
    ("kind", "state", "hold"),
    [
        pytest.param(JobKind.BUILD, "building", _hold_build, id="while building"),
        pytest.param(JobKind.BUILD, "verifying", _hold_verify, id="while verifying"),
        pytest.param(JobKind.UPDATE, "applying", _hold_apply, id="before the write"),
        pytest.param(JobKind.UPDATE, "applying", _hold_answer, id="after the write"),
        pytest.param(JobKind.UPDATE, "rolling-out", _nothing, id="while rolling out"),
    ],
)
async def test_a_killed_worker_s_step_is_taken_over_and_done_once(
    tmp_path: Path, kind: JobKind, state: str, hold: Callable[[World], None]
) -> None:
    # A rollout is held by nothing: it must last longer than another process needs to start.
    async with stage(tmp_path, nodes=8 if hold is _nothing else 2) as on_stage:
        hold(on_stage.made)
        with replica(on_stage.settings, tmp_path, "a") as first:
            held = await on_stage.reaches(kind, state)
            await _request_arrived(on_stage, hold)
            with replica(on_stage.settings, tmp_path, "b") as second:
                await _is_up(second)
                first.kill()
                killed_at = time.monotonic()
                await _claimed_again(on_stage, held)
                assert time.monotonic() - killed_at < LEASE + 2
                done = await on_stage.reaches(JobKind.UPDATE, "done")
                assert isinstance(done, Update)
                await _happened_once(on_stage, done)
                assert second.stop() == 0


async def test_an_update_that_waits_for_people_survives_every_process(tmp_path: Path) -> None:
    asks = Policy(approval=ApprovalRules(), soak_seconds=0)
    async with stage(tmp_path, asks) as on_stage:
        with replica(on_stage.settings, tmp_path, "a") as first:
            asked = await on_stage.reaches(JobKind.UPDATE, "awaiting-approval")
            first.kill()
        people = People(store=on_stage.store, clock=SystemClock())
        await people.approve(asked.id, by="token:ann")
        with replica(on_stage.settings, tmp_path, "b"):
            done = await on_stage.reaches(JobKind.UPDATE, "done")
            assert done.id == asked.id
            assert isinstance(done, Update)
            assert done.image is not None
            assert on_stage.made.images() == {str(done.image)}


async def test_a_pool_is_put_back_although_the_process_is_killed_on_the_way(tmp_path: Path) -> None:
    async with stage(tmp_path, nodes=3) as on_stage:
        made = on_stage.made
        before = made.images()
        made.cluster.degrade_next("first", pool="infra")
        with replica(on_stage.settings, tmp_path, "a") as first:
            await on_stage.reaches(JobKind.UPDATE, "rolling-back")
            first.kill()
        with replica(on_stage.settings, tmp_path, "b"):
            back = await on_stage.reaches(JobKind.UPDATE, "rolled-back", "stuck")
        assert back.state == "rolled-back"
        assert made.images() == before
        assert (await on_stage.events(back)).count("RolledBack") == 1


async def test_a_frozen_worker_that_thaws_commits_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        _hold_apply(on_stage.made)
        with replica(on_stage.settings, tmp_path, "a") as first:
            await on_stage.reaches(JobKind.UPDATE, "applying")
            await _request_arrived(on_stage, _hold_apply)
            first.freeze()
            await pause(LEASE)
            with replica(on_stage.settings, tmp_path, "b") as second:
                done = await on_stage.reaches(JobKind.UPDATE, "done")
                assert isinstance(done, Update)
                first.thaw()
                await pause(1.0)
                await _happened_once(on_stage, done)
                assert first.stop() == 0
                assert second.stop() == 0


async def test_redis_killed_on_the_way_loses_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made, shared_redis(tmp_path) as shared:
        server, store, client = shared
        settings = on(server, made.with_policy(AUTO))
        on_stage = Stage(made, store, client, settings)
        with replica(settings, tmp_path, "a") as only:
            await on_stage.reaches(JobKind.UPDATE, "rolling-out")
            await pause(1.1)  # everysec: what was confirmed is on disk after a second
            server.kill()
            server.start()
            done = await on_stage.reaches(JobKind.UPDATE, "done")
            assert isinstance(done, Update)
            await _happened_once(on_stage, done)
            assert only.stop() == 0


async def test_redis_emptied_comes_to_the_same_decisions(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        with replica(on_stage.settings, tmp_path, "a") as only:
            done = await on_stage.reaches(JobKind.UPDATE, "done")
            images, writes = on_stage.made.images(), on_stage.made.override_writes()
            await on_stage.client.flushall()
            view = await _looked_again(on_stage)
            assert view["decision"] == "InStep"
            assert on_stage.made.images() == images
            assert on_stage.made.override_writes() == writes
            assert isinstance(done, Update)
            assert only.stop() == 0


async def test_two_replicas_do_everything_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        with (
            replica(on_stage.settings, tmp_path, "a") as first,
            replica(on_stage.settings, tmp_path, "b") as second,
        ):
            done = await on_stage.reaches(JobKind.UPDATE, "done")
            assert isinstance(done, Update)
            await _happened_once(on_stage, done)
            assert len(await on_stage.store.jobs(JobKind.BUILD, ended=True)) == 1
            assert len(await on_stage.store.history(CLUSTER, INFRA, 10)) == 1
            assert first.stop() == 0
            assert second.stop() == 0


async def _happened_once(on_stage: Stage, done: Update) -> None:
    assert await on_stage.events(done) == ONCE
    made = on_stage.made
    assert made.images() == {str(done.image)}
    assert {made.cluster.reboots(node) for node in made.cluster.nodes_of("infra")} == {1}
    written = made.api.store.writes[(f"machineconfigs/{OURS}", "relayer")]
    assert written == 1, "the override was changed more than once"


async def _request_arrived(on_stage: Stage, hold: Callable[[World], None]) -> None:
    """Wait until the held request is at the other side, so that the kill comes in its midst."""
    made = on_stage.made
    async with asyncio.timeout(10):
        if hold in (_hold_apply, _hold_answer):
            while made.override_writes() == 0:
                await asyncio.sleep(0.02)
        elif hold in (_hold_build, _hold_verify):
            while made.registry.faults and made.registry.faults[0].count:
                await asyncio.sleep(0.02)


async def _is_up(started: Replica) -> None:
    async with asyncio.timeout(15):
        while b'"ready"' not in started.log.read_bytes():
            await asyncio.sleep(0.05)


async def _claimed_again(on_stage: Stage, held: Job) -> None:
    """Wait until the job is no longer where the killed process left it, or leased anew."""
    fence = await on_stage.fence(held)
    async with asyncio.timeout(LEASE + 10):
        while await on_stage.fence(held) == fence:
            await asyncio.sleep(0.02)


async def _looked_again(on_stage: Stage) -> dict[str, object]:
    async with asyncio.timeout(20):
        while True:
            view = (await on_stage.store.views()).get(f"pool:{CLUSTER}/{INFRA}")
            if view:
                return dict(view)
            await asyncio.sleep(0.05)

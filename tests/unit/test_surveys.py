"""Findings as the service keeps them: made when something moved, told when they changed, aging."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tests.facts import (
    INFRA,
    OURS,
    PROD,
    a_machine_config,
    a_node,
    a_pool,
    a_view,
    image,
    some_nodes,
)
from tests.virtual_time import LoopClock, virtually
from watcher.clients.kube.cluster import NEVER
from watcher.core.blocks import SIGNER
from watcher.core.cluster import CertExpiry, ClusterView
from watcher.core.facts import ClusterName
from watcher.core.state import Flag, State, Surveyed
from watcher.core.survey import Known
from watcher.ports import Transient
from watcher.settings import Settings
from watcher.surveying import Offline, Surveyor
from watcher.surveys import AGAIN_SECONDS, PAUSE_SECONDS, Surveys

RESYNC = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Surveyor):
    """Counts how often somebody outside would have been asked."""

    times: list[float] = field(default_factory=list)
    crash: list[Exception] = field(default_factory=list)
    slow_seconds: float = 0.0

    async def known(self, view: ClusterView) -> Known:
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.slow_seconds)
        if self.crash:
            raise self.crash.pop()
        return await Surveyor.known(self, view)


@dataclass
class World:
    """One cluster that a test moves."""

    view: ClusterView = field(
        default_factory=lambda: a_view(
            pools=(a_pool(spec_sources=("00-infra",)),),
            machine_configs=(a_machine_config("00-infra"),),
            nodes={name: replace(n, os_image="RHCOS") for name, n in some_nodes(3).items()},
        )
    )
    slow_seconds: float = 0.0

    def __post_init__(self) -> None:
        nobody = Offline()
        self.asked = Asked(
            settings=Settings(), images=nobody, graphs=nobody, slow_seconds=self.slow_seconds
        )
        self.surveys = Surveys(
            views={PROD: lambda: self.view},
            surveyor=self.asked,
            clock=LoopClock(),
            resync_seconds=RESYNC,
        )
        self.told: list[ClusterName] = []
        self.surveys.listen(self._hear)

    async def _hear(self, cluster: ClusterName) -> None:
        self.told.append(cluster)

    @property
    def seen(self) -> Surveyed:
        [seen] = self.surveys.surveyed()
        return seen

    def move(self, kind: str, name: str, **said: Any) -> None:
        self.view = replace(self.view, observed_at=now(), **said)
        self.surveys.changed(PROD, kind, name)


def now() -> datetime:
    return LoopClock().now()


@asynccontextmanager
async def running(world: World) -> Any:
    task = asyncio.create_task(world.surveys.run(PROD))
    world.surveys.changed_cluster(PROD)
    await asyncio.sleep(PAUSE_SECONDS * 2)
    try:
        yield
    finally:
        task.cancel()


def surveyed(
    test: Callable[[World], Awaitable[None]],
) -> Callable[[], None]:
    """Run a test in virtual time over a world whose surveys run."""

    def run() -> None:
        async def main() -> None:
            world = World()
            async with running(world):
                await test(world)

        virtually(main())

    run.__name__ = getattr(test, "__name__", "test")
    run.__doc__ = test.__doc__
    return run


def later(by_seconds: float = PAUSE_SECONDS * 3) -> Coroutine[Any, Any, None]:
    return asyncio.sleep(by_seconds)


@surveyed
async def test_every_pool_of_the_cluster_has_a_finding(world: World) -> None:
    assert [(one.pool, one.state) for one in world.seen.findings] == [("infra", State.STOCK)]
    assert world.seen.version == "4.16.3"
    assert world.told == [PROD]


@surveyed
async def test_a_node_event_asks_nobody_and_makes_its_finding_anew(world: World) -> None:
    # Given a pool in which every node runs the same
    pool = next(iter(world.view.pools.values()))
    name, node = next(iter(world.view.nodes.items()))
    asked = len(world.asked.times)
    # When one of its nodes runs another OS
    other = replace(node, os_image="another OS")
    world.move("Node", name, nodes={**world.view.nodes, name: other})
    await later()
    # Then that is told, and nobody outside was asked
    flags = {f.flag for one in world.seen.findings if one.pool == pool.name for f in one.flags}
    assert Flag.MIXED_NODES in flags
    assert len(world.asked.times) == asked
    assert world.told == [PROD, PROD]
    # And from then on it is confirmed again
    world.view = replace(world.view, observed_at=now())
    assert world.seen.observed_at == now()


@surveyed
async def test_what_else_moves_is_surveyed_whole(world: World) -> None:
    pool = replace(next(iter(world.view.pools.values())), paused=True)
    world.move("MachineConfigPool", pool.name, pools={**world.view.pools, pool.name: pool})
    await later()
    assert any(f.flag is Flag.PAUSED for one in world.seen.findings for f in one.flags)
    assert len(world.asked.times) == 2


@surveyed
async def test_a_burst_of_events_is_one_pass(world: World) -> None:
    pool = replace(next(iter(world.view.pools.values())), paused=True)
    for _ in range(50):
        world.move("MachineConfigPool", pool.name, pools={**world.view.pools, pool.name: pool})
        await asyncio.sleep(0.01)
    await later()
    assert len(world.asked.times) <= 3


@surveyed
async def test_without_any_event_all_is_surveyed_again_at_each_resync(world: World) -> None:
    await later(RESYNC * 3 + 30)
    assert len(world.asked.times) == 4
    assert world.told == [PROD], "nothing changed, so nobody is told again"


@surveyed
async def test_what_did_not_move_is_confirmed_by_each_sign_of_life(world: World) -> None:
    # When the API server has said that all is as before
    await later(60)
    world.view = replace(world.view, observed_at=now())
    # Then what was found is so as of now
    assert world.seen.observed_at == now()
    assert {one.observed_at for one in world.seen.findings} == {now()}


@surveyed
async def test_a_clock_that_is_put_back_leaves_nothing_seen_in_the_future(world: World) -> None:
    earlier = world.seen.observed_at - timedelta(hours=1)
    world.view = replace(world.view, observed_at=earlier)
    assert world.seen.observed_at == earlier
    assert {one.observed_at for one in world.seen.findings} == {earlier}


@surveyed
async def test_a_cluster_that_is_away_grows_old(world: World) -> None:
    at = world.seen.observed_at
    await later(3600)
    assert world.seen.observed_at == at
    assert {one.observed_at for one in world.seen.findings} == {at}


@surveyed
async def test_what_moved_a_moment_ago_is_not_confirmed_before_it_was_looked_at(
    world: World,
) -> None:
    at = world.seen.observed_at
    pool = replace(next(iter(world.view.pools.values())), paused=True)
    await later(60)
    world.move("MachineConfigPool", pool.name, pools={**world.view.pools, pool.name: pool})
    assert world.seen.observed_at == at, "it shows what was found before the move"
    await later()
    at = world.seen.observed_at
    name, node = next(iter(world.view.nodes.items()))
    await later(60)
    world.move("Node", name, nodes={**world.view.nodes, name: replace(node, ready=False)})
    assert world.seen.observed_at == at


@surveyed
async def test_a_fault_of_ours_costs_a_pass_and_not_the_service(world: World) -> None:
    world.asked.crash.append(KeyError("a bug"))
    pool = replace(next(iter(world.view.pools.values())), paused=True)
    world.move("MachineConfigPool", pool.name, pools={**world.view.pools, pool.name: pool})
    await later()
    assert not any(one.flags for one in world.seen.findings)
    await later(AGAIN_SECONDS + 5)
    assert any(one.flags for one in world.seen.findings)
    assert len(world.asked.times) == 3, "what could not be asked is asked again"


@surveyed
async def test_who_listens_may_be_away(world: World) -> None:
    async def away(cluster: ClusterName) -> None:
        raise Transient("the store is away")

    heard: list[ClusterName] = []

    async def hear(cluster: ClusterName) -> None:
        heard.append(cluster)

    world.surveys.listen(away)
    world.surveys.listen(hear)
    pool = replace(next(iter(world.view.pools.values())), paused=True)
    world.move("MachineConfigPool", pool.name, pools={**world.view.pools, pool.name: pool})
    await later()
    assert heard == [PROD]


@surveyed
async def test_what_only_time_changes_is_set_right_by_a_resync(world: World) -> None:
    ends = now() + timedelta(days=10, hours=1)
    signer = CertExpiry(bundle="kubelet", subject=f"CN={SIGNER}", expiry=ends)
    pool = replace(world.view.pools["infra"], paused=True, cert_expiries=(signer,))
    world.move("MachineConfigPool", "infra", pools={"infra": pool})
    await later()
    assert any("in 10 days" in b.why for one in world.seen.findings for b in one.blocks)
    await later(timedelta(days=1).total_seconds())
    assert any("in 9 days" in b.why for one in world.seen.findings for b in one.blocks)


def test_a_cluster_that_was_never_read_is_there_and_says_so() -> None:
    world = World(view=ClusterView(cluster=PROD, observed_at=NEVER, problems=("not reachable",)))
    assert (world.seen.findings, world.seen.problems) == ((), ("not reachable",))
    assert world.seen.observed_at == NEVER


def test_what_moves_while_registries_are_asked_is_not_lost() -> None:
    async def main() -> None:
        world = World(slow_seconds=10)
        async with running(world):
            # Given a pass that waits for a registry
            await asyncio.sleep(5)
            # When an override comes and the nodes change meanwhile
            ours = a_machine_config(OURS, os_image_url=str(image("mine")))
            world.move("MachineConfig", OURS, machine_configs={OURS: ours})
            world.move("Node", "n", nodes={**world.view.nodes, "n": a_node("n", "worker")})
            await asyncio.sleep(60)
            # Then both are in what was found
            states = {one.pool: one.state for one in world.seen.findings}
            assert states[INFRA] is not State.STOCK
            assert len(world.asked.times) == 2

    virtually(main())

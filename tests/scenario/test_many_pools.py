"""What looking at a whole cluster asks of its API server and of the registry, counted there."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.cluster import PoolSpec
from tests.scenario.service import running
from tests.scenario.world import CLUSTER, World, world
from watcher.bootstrap import App
from watcher.core.changes import Mode
from watcher.core.facts import PoolName

NAMES = [PoolName(f"pool-{number:03}") for number in range(200)]


async def look_at_all(app: App) -> bool:
    plans = await asyncio.gather(*(app.planner.plan(CLUSTER, name) for name in NAMES))
    return all(plan.observation is not None for plan in plans)


def asked(made: World) -> list[str]:
    """Of the API server, watches and the lists before them left out."""
    one_by_one = ("*/secrets/*", "*/images/cluster", "*/openshift-config*/configmaps*")
    return [r.path for path in one_by_one for r in made.api.requests.find(path=path)]


@pytest.mark.real("gpg", "gpgv")
async def test_a_look_at_200_pools_asks_once_and_the_next_look_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, more=tuple(PoolSpec(name=n, nodes=0) for n in NAMES)) as made:
        (one,) = made.settings.pools
        # Only told of, so that nothing is built.
        pools = tuple(replace(one, pool=name, mode=Mode.NOTIFY) for name in NAMES)
        pushed = len(made.registry.requests)
        async with running(replace(made.settings, pools=pools)) as app:
            async with asyncio.timeout(30):
                while not await look_at_all(app):
                    await asyncio.sleep(0.05)
            first = asked(made)
            assert sorted(first) == sorted(set(first))
            assert len(first) == 4  # pull secret, authorities, keys, signatures
            read = [seen.path for seen in made.registry.requests[pushed:]]
            assert len(read) == len(set(read)) == 2  # of the release: manifest and layer
            assert await look_at_all(app)
            assert asked(made) == first
            assert len(made.registry.requests) == pushed + len(read)

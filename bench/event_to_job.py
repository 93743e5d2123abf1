"""From a write to the API server to the job being durable in Redis, on loopback.

The write takes a person's wish for the stock image off a pool, so that the next look proposes an
update. Timed from before the request is sent until the store has confirmed the commit.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.world import CLUSTER, Address, settings, world
from watcher import logs
from watcher.bootstrap import open_app
from watcher.core.lineage import STOCK_BY
from watcher.planning import Leadership, Planning
from watcher.ports import AuditEntry, Change, Store

POOLS = 200
POOL_PATH = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools"
MERGE = {"Content-Type": "application/merge-patch+json"}


class _Timed:
    """A store that notes when the update of a pool was confirmed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.saved: dict[str, float] = {}
        self.arrived = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        versions = await self._store.commit(changes, audit)
        for change in changes:
            if pool := getattr(change.job, "pool", ""):
                self.saved[pool] = time.perf_counter()
        self.arrived.set()
        return versions


def run() -> dict[str, Any]:
    """Milliseconds over all pools, one write after another."""
    logs.configure("error", stream=sys.stderr)
    with world(pools=POOLS, nodes=POOLS) as address, tempfile.TemporaryDirectory() as directory:
        taken = asyncio.run(_measure(address, Path(directory)))
    ordered = sorted(taken)
    return {
        "writes": len(taken),
        "p50_milliseconds": round(statistics.median(ordered) * 1000, 2),
        "p99_milliseconds": round(ordered[int(len(ordered) * 0.99) - 1] * 1000, 2),
        "max_milliseconds": round(ordered[-1] * 1000, 2),
    }


async def _measure(address: Address, directory: Path) -> list[float]:
    said = settings(address, directory, pools=POOLS)
    planning: Planning | None = None

    def moved(cluster: Any, kind: str, name: str) -> None:
        if planning:
            planning.changed(cluster, kind, name)

    async with (
        httpx.AsyncClient(base_url=address.api) as api,
        open_app(said, on_change=moved) as app,
    ):
        for pool in said.pools:
            await _annotate(api, pool.pool, "bench")
        timed = _Timed(app.store)
        planner = type(app.planner)(
            settings=said,
            store=timed,
            observer=app.observer,
            images=app.images,
            people=app.people,
            clock=app.clock,
        )
        leadership = Leadership(app.store, app.replica)
        planning = Planning(planner, leadership, [(p.cluster, p.pool) for p in said.pools])
        async with asyncio.TaskGroup() as group:
            parts = [leadership.run(), planning.run(), app.clusters[CLUSTER].run()]
            tasks = [group.create_task(part) for part in parts]
            await app.clusters[CLUSTER].synced()
            planning.changed_all()
            while len(await app.store.views()) < POOLS:
                await asyncio.sleep(0.05)
            taken = [await _one(api, timed, pool.pool) for pool in said.pools]
            for task in tasks:
                task.cancel()
        return taken


async def _one(api: httpx.AsyncClient, timed: _Timed, pool: str) -> float:
    began = time.perf_counter()
    await _annotate(api, pool, None)
    async with asyncio.timeout(10):
        while pool not in timed.saved:
            timed.arrived.clear()
            await timed.arrived.wait()
    return timed.saved[pool] - began


async def _annotate(api: httpx.AsyncClient, pool: str, value: str | None) -> None:
    body = {"metadata": {"annotations": {STOCK_BY: value}}}
    answer = await api.patch(f"{POOL_PATH}/{pool}", content=json.dumps(body), headers=MERGE)
    answer.raise_for_status()


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

"""A worker that is told to stop stops, wherever in a call to Redis it happens to be."""

import asyncio
from pathlib import Path

import pytest

from watcher.clients.store.opening import opened
from watcher.core.jobs import JobKind
from watcher.settings import RedisSettings

MOMENTS = 120


async def test_a_cancelled_wait_for_work_ends_at_once(tmp_path: Path) -> None:
    async with opened(RedisSettings(), state_dir=tmp_path) as store:

        async def work(name: str) -> None:
            while True:
                if await store.claim(name, 5, [JobKind.BUILD]) is None:
                    await store.wait_due(1)

        for moment in range(MOMENTS):
            task = asyncio.get_running_loop().create_task(work(f"w{moment}"))
            # Another moment each time: on its way out, on its way back, blocked.
            for _ in range(moment % 24):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait((task,), timeout=0.5)
            assert done, f"still waiting for work, cancelled at moment {moment % 24}"
            with pytest.raises(asyncio.CancelledError):
                await task

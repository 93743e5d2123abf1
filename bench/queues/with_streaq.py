"""streaq at its best here: `idle_timeout` is its lease. Arguments: URL, seconds of a step, lease.

With `enqueue` as a fourth argument it puts one job and ends.
"""

import asyncio
import os
import sys
import time
from typing import Any

import redis
import streaq  # type: ignore[import-not-found, unused-ignore]

URL, STEP_SECONDS, LEASE_SECONDS = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
worker: Any = streaq.Worker(redis_url=URL, concurrency=1, idle_timeout=LEASE_SECONDS)
marks = redis.Redis.from_url(URL)


@worker.task(timeout=None, max_tries=None)  # type: ignore[untyped-decorator]
async def step() -> None:
    marks.rpush("begun", f"{os.getpid()} {time.time()}")
    await asyncio.sleep(STEP_SECONDS)
    marks.rpush("effects", f"{os.getpid()} {time.time()}")


async def enqueue() -> None:
    async with worker:
        await step.enqueue()


if __name__ == "__main__":
    if sys.argv[4:] == ["enqueue"]:
        asyncio.run(enqueue())
    else:
        worker.run_sync()

"""rq at its best here: it looks every second, but waits a minute for a sign of a lost worker.

Arguments: URL, seconds of a step, lease (unused: the minute is fixed in rq).
With `enqueue` as a fourth argument it puts one job and ends.
"""

import os
import sys
import time
from typing import Any

import redis
import rq  # type: ignore[import-not-found, unused-ignore]


def step(url: str, seconds: float) -> None:
    marks = redis.Redis.from_url(url)
    marks.rpush("begun", f"{os.getpid()} {time.time()}")
    time.sleep(seconds)
    marks.rpush("effects", f"{os.getpid()} {time.time()}")


def main(url: str, seconds: float) -> None:
    client = redis.Redis.from_url(url)
    queue: Any = rq.Queue(connection=client)
    if sys.argv[4:] == ["enqueue"]:
        queue.enqueue("with_rq.step", url, seconds, job_timeout=600, retry=rq.Retry(max=9))
        return
    rq.Worker(
        [queue],
        connection=client,
        worker_ttl=16,  # it waits for work for this long less 15 s
        job_monitoring_interval=1,
        maintenance_interval=1,
    ).work()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

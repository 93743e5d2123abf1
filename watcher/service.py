"""Run the long-lived parts together; one that fails takes the service down with it.

Kubernetes starts it again, and what was under way goes on from its saved state.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

log = structlog.get_logger()

Part = Callable[[], Coroutine[Any, Any, object]]
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class PartEnded(RuntimeError):
    """A part that should run for ever returned: a watch that quietly stops watches nothing."""


def leave_at_once() -> None:
    """End the process without waiting for anybody: what was saved is saved."""
    os._exit(1)


async def run(
    parts: Mapping[str, Part],
    *,
    drain_seconds: float,
    stop: asyncio.Event | None = None,
    give_up: Callable[[], None] = leave_at_once,
) -> None:
    """Run `parts` until one fails, or `stop` is set. Without `stop`: until SIGTERM or SIGINT.

    Whoever gives `stop` has the signals too: a test or the demo is more than the service.
    Then cancel them: each hands back what it holds. A part that has not ended after
    `drain_seconds` is given up on, as Kubernetes would do a little later.
    """
    signals = SIGNALS if stop is None else ()
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_endless(n, p), name=n) for n, p in parts.items()]
            await stop.wait()
            log.info("stopping", parts=len(tasks))
            for task in tasks:
                task.cancel()
            _, left = await asyncio.wait(tasks, timeout=drain_seconds)
            if left:
                log.error("not_stopped_in_time", parts=sorted(task.get_name() for task in left))
                give_up()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _endless(name: str, part: Part) -> None:
    await part()
    raise PartEnded(f"{name} ended by itself")

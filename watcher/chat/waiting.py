"""Work that may take longer than an acknowledgement may."""

import asyncio
from collections.abc import Awaitable, Callable

from watcher.clients.slack import answers
from watcher.errors import Declined
from watcher.ports import Conflict, OutsideError
from watcher.ports_telling import Content, Reply

SOON_SECONDS = 1.5
"""Most of such work is done by then, and is its own answer."""


async def soon(work: Callable[[], Awaitable[Content]]) -> Reply:
    """Return the answer if it comes soon, else one that says that it follows, and the work."""
    task = asyncio.get_running_loop().create_task(_answer(work))
    try:
        await asyncio.wait({task}, timeout=SOON_SECONDS)
    except asyncio.CancelledError:
        task.cancel()  # nobody would wait for it, nor say what became of it
        raise
    if task.done():
        return Reply(answer=task.result())

    async def rest() -> Content:
        return await task

    return Reply(answer=answers.answer("Being looked at; the answer follows here."), then=rest)


async def _answer(work: Callable[[], Awaitable[Content]]) -> Content:
    """What it comes to, whichever way: nobody is left without an answer."""
    try:
        return await work()
    except (Declined, Conflict) as error:
        return answers.answer(f"Declined: {error}")
    except OutsideError as error:
        return answers.answer(f"Not done: {error}. Try again in a moment.")

"""The heartbeat on its way: a small signed POST to whoever tells when it does not come."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from watcher.clients.hooks import ANSWER_SECONDS, Hooks, Webhook
from watcher.core.beats import Beat
from watcher.ports import Clock

SCHEMA = "relayer.io/heartbeat/v1"


@asynccontextmanager
async def opened_heartbeat(
    hook: Webhook, *, clock: Clock, trust_env: bool = True, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[Callable[[Beat], Awaitable[None]]]:
    """Yield what sends beats to this receiver. Raise Refused for a bad CA file."""
    async with Hooks.opened(
        [hook], clock=clock, trust_env=trust_env, answer_seconds=answer_seconds
    ) as hooks:

        async def send(beat: Beat) -> None:
            said = {
                "schema": SCHEMA,
                "at": beat.at.isoformat(),
                "every_seconds": beat.every_seconds,
                "clusters": beat.clusters,
            }
            await hooks.send(hook, said, at=beat.at)

        yield send

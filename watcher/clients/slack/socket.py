"""Socket Mode: a websocket that we open, so that no port of ours needs to be reachable.

The library opens, watches and replaces the connection. It tries a used ticket for ever, though, and
keeps the token it began with (slackapi/python-slack-sdk#1446), so one that has not been connected
for a while is replaced as a whole.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from watcher.clients.slack.library_log import quiet_logger
from watcher.ports import OutsideError

log = structlog.get_logger()

PING_SECONDS = 5
"""A dead connection is noticed after about four of these, a closed one after one."""
LOST_SECONDS = 60.0
"""The library's own attempts are over by then, or will not succeed."""
CLOSE_SECONDS = 3.0
"""For Slack's goodbye: a process that ends does not wait for more."""


@dataclass(slots=True)
class Socket:
    app: AsyncApp
    app_token: Callable[[], str]
    """Asked at every new beginning; may raise Refused, and is asked again then."""
    api_url: str
    ping_seconds: float = PING_SECONDS
    lost_seconds: float = LOST_SECONDS
    _handler: AsyncSocketModeHandler | None = field(default=None, repr=False)

    async def run(self) -> None:
        """Listen for ever, whatever happens to the connection."""
        while True:
            try:
                await self._until_lost()
            except OutsideError as error:  # the token cannot be read: somebody has to mend it
                log.warning("slack_socket_without_token", cause=str(error))
                await asyncio.sleep(self.lost_seconds)
            else:
                log.warning("slack_socket_begins_anew", after_seconds=self.lost_seconds)

    async def is_connected(self) -> bool:
        """Whether events can come in now."""
        return self._handler is not None and await self._handler.client.is_connected()

    async def _until_lost(self) -> None:
        handler = AsyncSocketModeHandler(
            self.app,
            self.app_token(),
            logger=quiet_logger(),
            web_client=AsyncWebClient(
                base_url=self.api_url, logger=quiet_logger(), retry_handlers=[]
            ),
            ping_interval=self.ping_seconds,
        )
        self._handler = handler
        try:
            async with asyncio.TaskGroup() as group:
                # It returns when it is connected, which with a wrong token is never.
                connecting = group.create_task(
                    handler.connect_async()  # type: ignore[no-untyped-call] # theirs has no types
                )
                await self._lost(handler)
                connecting.cancel()
        finally:
            self._handler = None
            await _close(handler)

    async def _lost(self, handler: AsyncSocketModeHandler) -> None:
        """Return when it has not been connected for so long."""
        alone = 0.0
        while alone < self.lost_seconds:
            await asyncio.sleep(self.ping_seconds)
            alone = 0.0 if await handler.client.is_connected() else alone + self.ping_seconds


async def _close(handler: AsyncSocketModeHandler) -> None:
    """Close it, and wait for what the library lets run on."""
    client = handler.client
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await handler.close_async()  # type: ignore[no-untyped-call] # theirs has no types
    except (OSError, TimeoutError) as error:
        log.warning("slack_socket_not_closed", cause=str(error) or "no answer in time")
    left = [client.message_processor, client.current_session_monitor, client.message_receiver]
    running = [task for task in left if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await client.aiohttp_client_session.close()

"""Clicks and commands on their way in, by Socket Mode or HTTP, and what is answered.

The order is what counts: read, check, decide and save, acknowledge, then everything that may take
longer. Slack gives 3 s for the acknowledgement, and shows an error where none comes; so where
nothing is known to be saved the person is told so, and only then it is acknowledged.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from watcher.clients.slack import events
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.blocks import modal
from watcher.clients.slack.library_log import quiet_logger
from watcher.core.facts import Malformed
from watcher.ports import OutsideError, Store, Transient
from watcher.ports_telling import Content, Heard, Listener, Reply

log = structlog.get_logger()

DECIDE_SECONDS = 2.3
"""For deciding and saving; what is left of Slack's 3 s is for the way back."""
EXCUSE_SECONDS = 0.4
"""For telling that nothing was saved, before the acknowledgement says that all is well."""
LATER_SECONDS = 120.0
"""For work after the acknowledgement: reading a cluster and a release."""
MOST_AT_ONCE = 100
"""More clicks than this at the same time are answered with "later"."""

Body = dict[str, Any]
Decide = Callable[[Any], Awaitable[Reply]]
Read = Callable[[events.Payload], Heard]


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Joins bolt's routing with our listener."""

    api: SlackApi
    listener: Listener
    store: Store
    team: str
    app_id: str
    _under_way: int = 0
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    """Deliveries that are being decided; the same again waits, and then was seen before."""

    def bolt(self) -> AsyncApp:
        """Return the bolt app: routing only, no call of its own to Slack."""

        async def authorize(**_: Any) -> AuthorizeResult:
            # Without any token: bolt only routes, and asks Slack nothing when somebody clicks.
            return AuthorizeResult(enterprise_id=None, team_id=self.team)

        base_url, logger = self.api.client.base_url, quiet_logger()
        app = AsyncApp(
            logger=logger,
            authorize=authorize,
            client=AsyncWebClient(base_url=base_url, retry_handlers=[], logger=logger),
            # Proved before it comes here: by the socket, or by the door.
            request_verification_enabled=False,
        )
        anything = re.compile(".*", re.DOTALL)
        app.action(anything)(self._on_click)
        app.view(anything)(self._on_form)
        app.command(anything)(self._on_command)
        # What we never asked for is acknowledged too, or Slack would send it again and again.
        app.view_closed(anything)(self._on_nothing)
        app.shortcut(anything)(self._on_nothing)
        app.event(anything)(self._on_nothing)
        return app

    async def _on_nothing(self, ack: AsyncAck) -> None:
        await ack()

    async def _on_click(self, ack: AsyncAck, body: Body) -> None:
        await self._handle(ack, body, events.click, self.listener.clicked)

    async def _on_form(self, ack: AsyncAck, body: Body) -> None:
        await self._handle(ack, body, events.submitted, self.listener.submitted)

    async def _on_command(self, ack: AsyncAck, body: Body) -> None:
        await self._handle(ack, body, events.command, self.listener.commanded)

    async def _handle(self, ack: AsyncAck, body: Body, read: Read, decide: Decide) -> None:
        try:
            reply = await self._in_time(body, read, decide)
        except Exception as error:  # a bug of ours too: the person must not think that it counted
            await self._excuse(ack, body, _why(error))
            return
        await self._acknowledge(ack, body, reply)
        await self._afterwards(body, reply)

    async def _in_time(self, body: Body, read: Read, decide: Decide) -> Reply:
        if self._under_way >= MOST_AT_ONCE:
            raise Transient("too much is asked at this moment")
        self._under_way += 1
        try:
            async with asyncio.timeout(DECIDE_SECONDS):
                return await self.decided(body, read, decide)
        finally:
            self._under_way -= 1

    async def decided(self, body: Body, read: Read, decide: Decide) -> Reply:
        """Return the reply once what was decided is saved; nothing for what was seen before."""
        because = events.why_foreign(body, team=self.team, app=self.app_id)
        try:
            heard = read(body)
        except Malformed as error:
            log.warning("chat_malformed", cause=str(error))
            if because is None:
                return Reply()
            heard = events.anybody(body)
        if because is not None:
            log.warning("chat_foreign", cause=because)
            await self.listener.turned_away(heard, because)
            return Reply()
        async with self._turn(heard.delivery):
            if await self.store.handled(heard.delivery):
                return Reply()
            reply = await decide(heard)
            # A form that stays open was not dealt with: the same again must be refused again,
            # or it would close as if all were well.
            if not reply.errors:
                await self.store.set_handled(heard.delivery)
        return reply

    @asynccontextmanager
    async def _turn(self, delivery: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(delivery, asyncio.Lock())
        async with turn:
            yield

    async def _acknowledge(self, ack: AsyncAck, body: Body, reply: Reply) -> None:
        if _is_form(body) and reply.errors:
            await ack(response_action="errors", errors=dict(reply.errors))
        elif _is_form(body) and reply.view:
            await ack(response_action="update", view=dict(reply.view))
        elif "command" in body and reply.answer and reply.view is None:
            await ack(**reply.answer, response_type="ephemeral")
        else:
            await ack()

    async def _excuse(self, ack: AsyncAck, body: Body, because: str) -> None:
        """Tell that nothing is known to be saved, then acknowledge."""
        content = self.listener.excuse(because)
        if _is_form(body):
            await ack(response_action="update", view=modal("Not saved", content["blocks"]))
        elif "command" in body:
            await ack(**content, response_type="ephemeral")
        else:
            said = await self._told(body, content, seconds=EXCUSE_SECONDS)
            await ack()
            if not said:
                await self._told(body, content)

    async def _afterwards(self, body: Body, reply: Reply) -> None:
        """Say and do what was not for the acknowledgement; nothing of it decides anything."""
        if reply.view and not _is_form(body):
            await self._open(body, reply.view)
        if reply.answer and ("command" not in body or reply.view):
            await self._told(body, reply.answer)
        if reply.then:
            await self._told(body, await self._rest(reply.then))

    async def _open(self, body: Body, view: Content) -> None:
        try:
            await self.api.open_view(events.trigger(body), view)
        except OutsideError as error:
            log.warning("chat_form_not_opened", cause=str(error))
            excuse = self.listener.excuse(f"the form could not be opened: {error}")
            await self._told(body, excuse)

    async def _rest(self, then: Callable[[], Awaitable[Content]]) -> Content:
        """What the work comes to, whichever way: it was said that an answer follows."""
        try:
            async with asyncio.timeout(LATER_SECONDS):
                return await then()
        except Exception as error:
            return self.listener.excuse(_why(error))

    async def _told(self, body: Body, content: Content, *, seconds: float = LATER_SECONDS) -> bool:
        """Answer privately; a side channel, so it never fails. Return whether it is known to be
        said."""
        try:
            async with asyncio.timeout(seconds):
                await self._say(body, content)
        except (OutsideError, TimeoutError) as error:
            log.warning("chat_answer_not_said", cause=str(error) or "no answer in time")
            return False
        except Exception as error:  # a bug of ours; what was decided is saved
            log.error("chat_answer_crashed", exc_info=error)
            return False
        return True

    async def _say(self, body: Body, content: Content) -> None:
        if url := events.response_url(body):
            await self.api.respond(url, content)
        else:
            await self.api.whisper(_origin(body), events.anybody(body).user, content)


def _why(error: Exception) -> str:
    """Return what the person is told of it; and note it."""
    if isinstance(error, OutsideError | TimeoutError):
        said = str(error) or "there was no answer in time"
        log.warning("chat_not_saved", cause=said)
        return said
    log.error("chat_crashed", exc_info=error)
    return "an error inside Relayer; its log says more"


def _is_form(body: Body) -> bool:
    return body.get("type") == "view_submission"


def _origin(body: Body) -> str:
    """The channel that a modal was opened from, as it carries it; else the person's own."""
    try:
        carried = json.loads((body.get("view") or {}).get("private_metadata") or "{}")
    except ValueError:
        carried = {}
    found = carried.get("c") if isinstance(carried, dict) else ""
    return str(found or events.anybody(body).user)

"""A Slack with people in it: what they see, and what they do.

Looking waits until it is there (`message`, `ephemeral`, `view`) or takes what there is (`messages`,
`thread`, `ephemerals`). Doing builds an Interaction, delivers it, and says what the app answered.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from simulator.slack import modals, payloads
from simulator.slack.blocks import faults_of_view
from simulator.slack.hooks import Hooks
from simulator.slack.payloads import Interaction, Origin, SignedRequest
from simulator.slack.server import SlackServer
from simulator.slack.socket import Ack, Envelope, Link, OnAck, SocketMode
from simulator.slack.workspace import Channel, Json, Message, OpenView, User, Workspace

T = TypeVar("T")
PATIENCE_SECONDS = 5.0
"""How long looking waits, really, before it says that something is not there."""


class SlackDouble:
    """One workspace, its server and its people."""

    def __init__(self, workspace: Workspace, server: SlackServer) -> None:
        self.workspace, self.server = workspace, server
        self.faults, self.calls = server.faults, server.calls
        self._changes = asyncio.Event()
        workspace.changed = self._changed

    @classmethod
    @asynccontextmanager
    async def start(cls, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Self]:
        """Open it on a free port of 127.0.0.1; what waits is let go when it closes."""
        async with SlackServer(Workspace(clock)) as server:
            yield cls(server.workspace, server)

    @property
    def api_url(self) -> str:
        """`base_url` for AsyncWebClient."""
        return self.server.api_url

    @property
    def socket(self) -> SocketMode:
        return self.server.socket

    @property
    def hooks(self) -> Hooks:
        return self.server.hooks

    @property
    def bot_token(self) -> str:
        return self.workspace.bot_token

    @property
    def app_token(self) -> str:
        return self.workspace.app_token

    @property
    def signing_secret(self) -> str:
        return self.workspace.signing_secret

    @property
    def on_ack(self) -> OnAck | None:
        """Awaited when an ack arrives, before anything follows from it."""
        return self.socket.on_ack

    @on_ack.setter
    def on_ack(self, hook: OnAck | None) -> None:
        self.socket.on_ack = hook

    async def up(self) -> None:
        await self.server.up()

    async def down(self) -> None:
        """Nobody reaches Slack: connections are refused and open ones end."""
        await self.server.down()

    # What people see.

    def messages(self, channel: str | Channel, *, contains: str = "") -> list[Message]:
        """What stands in a channel, the oldest first, without the replies in threads."""
        return [
            message.seen()
            for message in self.workspace.channel(channel).messages.values()
            if not message.deleted
            and (not message.is_reply or message.broadcast)
            and contains in searched(message)
        ]

    def thread(self, channel: str | Channel, ts: str) -> list[Message]:
        """The replies to a message, the oldest first."""
        place = self.workspace.channel(channel)
        replies = (place.messages[reply] for reply in place.threads.get(ts, []))
        return [message.seen() for message in replies if not message.deleted]

    def ephemerals(self, user: str | User, *, contains: str = "") -> list[Message]:
        """What only this person saw, the oldest first."""
        who = self.workspace.user(user).id
        return [
            message.seen()
            for message in self.workspace.ephemerals
            if message.only_for == who and not message.deleted and contains in searched(message)
        ]

    def views(self, user: str | User) -> list[OpenView]:
        """The modals on somebody's screen, the topmost last."""
        who = self.workspace.user(user).id
        return [v for v in self.workspace.views.values() if v.user == who and not v.closed]

    async def message(self, channel: str | Channel, *, contains: str = "") -> Message:
        """The newest message that contains this in its text or blocks, as soon as there is one."""
        there = self.workspace.channel(channel)
        what = f"message with {contains!r} in #{there.name}"
        return (await self.until(lambda: self.messages(there, contains=contains), what))[-1]

    async def reply(self, channel: str | Channel, ts: str, *, contains: str = "") -> Message:
        """The newest reply that contains this, as soon as there is one."""

        def found() -> list[Message]:
            return [m for m in self.thread(channel, ts) if contains in searched(m)]

        return (await self.until(found, f"reply with {contains!r}"))[-1]

    async def ephemeral(self, user: str | User, *, contains: str = "") -> Message:
        """The newest message only for this person that contains this, as soon as there is one."""
        what = f"message with {contains!r} that only {user} sees"
        return (await self.until(lambda: self.ephemerals(user, contains=contains), what))[-1]

    async def view(self, user: str | User) -> OpenView:
        """The topmost modal on somebody's screen, as soon as there is one."""
        return (await self.until(lambda: self.views(user), f"a modal for {user}"))[-1]

    async def connected(self, links: int = 1) -> list[Link]:
        """The open connections, as soon as there are so many."""

        def found() -> list[Link]:
            there = [link for link in self.socket.links if link.is_open]
            return there if len(there) == links else []

        return await self.until(found, f"{links} open connections")

    async def until(
        self, found: Callable[[], T], what: str = "", *, seconds: float = PATIENCE_SECONDS
    ) -> T:
        """What `found` returns once it is true; asked again at each change. Raises TimeoutError."""
        try:
            async with asyncio.timeout(seconds):
                while not (thing := found()):
                    self._changes.clear()
                    await self._changes.wait()
                return thing
        except TimeoutError:
            said = [m.text for c in self.workspace.channels.values() for m in c.messages.values()]
            raise TimeoutError(f"not within {seconds} s: {what}; said was {said[-5:]}") from None

    # What people do.

    async def click(
        self,
        user: str | User,
        message: Message,
        action_id: str,
        *,
        block_id: str | None = None,
        value: str | None = None,
        team: str | None = None,
        app: str | None = None,
        retries: int = 0,
    ) -> Ack | None:
        """Press or choose something in a message; None if there was no ack in 3 s."""
        done = self.clicking(
            user, message, action_id, block_id=block_id, value=value, team=team, app=app
        )
        return await self.deliver(done, retries=retries)

    async def submit(
        self,
        view: OpenView,
        values: dict[str, Any] | None = None,
        *,
        team: str | None = None,
        app: str | None = None,
        retries: int = 0,
    ) -> Ack | None:
        """Fill in a modal by block and submit it; `Ack.errors` is what was refused."""
        done = self.submitting(view, values, team=team, app=app)
        return await self.deliver(done, retries=retries)

    async def dismiss(self, view: OpenView) -> Ack | None:
        """Close a modal; the app hears of it if it asked to."""
        view.closed = True
        self._changed()
        if not view.view.get("notify_on_close"):
            return None
        return await self.deliver(payloads.closing(self.workspace, view, origin=Origin()))

    async def command(
        self,
        user: str | User,
        command: str,
        text: str,
        channel: str | Channel,
        *,
        team: str | None = None,
        app: str | None = None,
        retries: int = 0,
    ) -> Ack | None:
        """Type a slash command; a text in its ack is shown to this person."""
        done = self.commanding(user, command, text, channel, team=team, app=app)
        return await self.deliver(done, retries=retries)

    async def event(self, happened: Json, *, retries: int = 0) -> Ack | None:
        """Something happens that the app subscribed to."""
        done = payloads.event(self.workspace, happened, origin=Origin())
        return await self.deliver(done, retries=retries)

    # The same in pieces: built once, delivered as one likes.

    def clicking(
        self,
        user: str | User,
        message: Message,
        action_id: str,
        *,
        block_id: str | None = None,
        value: str | None = None,
        team: str | None = None,
        app: str | None = None,
    ) -> Interaction:
        """A click on what was seen, even if the message has changed since; raises CannotDo."""
        who = self.workspace.user(user)
        pressed = payloads.action(
            self.workspace, message.blocks, action_id, block_id=block_id, value=value
        )
        origin = Origin(team, app)
        return payloads.click(self.workspace, self.hooks, who, message, pressed, origin=origin)

    def submitting(
        self,
        view: OpenView,
        values: dict[str, Any] | None = None,
        *,
        team: str | None = None,
        app: str | None = None,
    ) -> Interaction:
        """A filled modal; raises CannotDo for what Slack's own form would not let through."""
        return payloads.submission(self.workspace, view, values or {}, origin=Origin(team, app))

    def commanding(
        self,
        user: str | User,
        command: str,
        text: str,
        channel: str | Channel,
        *,
        team: str | None = None,
        app: str | None = None,
    ) -> Interaction:
        """A typed slash command."""
        who, place = self.workspace.user(user), self.workspace.channel(channel)
        origin = Origin(team, app)
        return payloads.command(
            self.workspace, self.hooks, who, command, text, place, origin=origin
        )

    async def send(
        self, interaction: Interaction, *, link: Link | None = None, attempt: int | None = None
    ) -> Envelope:
        """Send it over one connection without waiting; `settle` waits."""
        return await self.socket.send(
            interaction.type,
            interaction.payload,
            accepts_response_payload=interaction.accepts_response_payload,
            link=link,
            retry_attempt=attempt,
            retry_reason="timeout" if attempt else None,
        )

    async def settle(self, interaction: Interaction, envelope: Envelope) -> Ack | None:
        """Wait for the ack, and let happen what follows from it on the screen."""
        ack = await self.socket.wait(envelope)
        if ack:
            self.answered(interaction, ack)
        return ack

    async def deliver(
        self, interaction: Interaction, *, retries: int = 0, link: Link | None = None
    ) -> Ack | None:
        """Send it and wait; again in another envelope while there is no ack and a retry is left."""
        for attempt in range(retries + 1):
            envelope = await self.send(interaction, link=link, attempt=attempt or None)
            if ack := await self.settle(interaction, envelope):
                return ack
        return None

    async def deliver_often(
        self, interaction: Interaction, *, times: int = 2, together: bool = False
    ) -> list[Ack | None]:
        """Deliver the very same several times: one after the other, or all before any ack."""
        if not together:
            return [await self.deliver(interaction) for _ in range(times)]
        sent = [await self.send(interaction, attempt=n or None) for n in range(times)]
        return [await self.settle(interaction, envelope) for envelope in sent]

    async def deliver_http(
        self, interaction: Interaction, url: str, *, at: float | None = None, secret: str = ""
    ) -> Ack:
        """POST it, signed, to the app in HTTP mode; `Ack.status` is what the app answered."""
        request = self.http_request(interaction, at=at, secret=secret or None)
        envelope = self.socket.new(interaction.type, interaction.payload)
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.post(url, data=request.body, headers=request.headers) as answer,
        ):
            body = await answer.read()
        seconds = self.workspace.clock() - envelope.sent_at
        ack = Ack(envelope.id, seconds, _payload(body, answer.content_type), 0, answer.status)
        await self.socket.settle(envelope, ack)
        if envelope.failed:
            raise envelope.failed
        if ack.status == 200:
            self.answered(interaction, ack)
        return ack

    def answered(self, interaction: Interaction, ack: Ack) -> None:
        """What an ack's payload does on the screen; for HTTP mode tests call it themselves."""
        payload = ack.payload or {}
        if interaction.type == "slash_commands":
            said = interaction.payload
            self.hooks.command_answer(said["channel_id"], said["user_id"], payload)
        elif interaction.view and not interaction.view.closed:
            self._submitted(interaction.view, payload)

    def http_request(
        self, interaction: Interaction, *, at: float | None = None, secret: str | None = None
    ) -> SignedRequest:
        """The signed request of HTTP mode, for sending, altering or replaying."""
        when = self.workspace.clock() if at is None else at
        return payloads.signed(interaction, at=when, secret=secret or self.signing_secret)

    def _submitted(self, view: OpenView, payload: Json) -> None:
        match payload.get("response_action"):
            case "update" | "push" if faults_of_view(payload.get("view")):
                return  # "We had some trouble connecting": the modal stays as it is.
            case "update":
                modals.replace_view(self.workspace, view, payload["view"])
            case "push":
                modals.put_on_top(self.workspace, view, payload["view"])
            case "clear":
                for other in self.views(view.user):
                    other.closed = True
            case None:
                view.closed = True
        self._changed()

    def _changed(self) -> None:
        self._changes.set()


def searched(message: Message) -> str:
    """All that a person could find a message by: its text and every string in its blocks."""
    return "\n".join([message.text, *_strings(message.blocks)])


def _payload(body: bytes, content_type: str) -> Json | None:
    """What an answer over HTTP says, as the payload of an ack; text is a command's text."""
    if not body:
        return None
    if content_type != "application/json":
        return {"text": body.decode()}
    said: Json = msgspec.json.decode(body)
    return said


def _strings(thing: Any) -> list[str]:
    if isinstance(thing, str):
        return [thing]
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list):
        return [found for one in thing for found in _strings(one)]
    return []

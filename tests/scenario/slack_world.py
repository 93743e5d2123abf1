"""The world of `world.py` with a Slack beside it: people, two channels, and what stands in them."""

import asyncio
import hashlib
import hmac
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from simulator.slack import Ack, Channel, Message, SlackDouble
from simulator.slack.screen import render
from tests.scenario.world import CLUSTER, INFRA, World, world
from watcher.bootstrap import App
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Mode
from watcher.core.facts import PoolName
from watcher.core.letters import Route
from watcher.core.update import Policy, Update
from watcher.ports import Store
from watcher.settings import (
    PersonSettings,
    PoolSettings,
    Settings,
    SlackSettings,
    TokenSettings,
    WebhookSettings,
    WebSettings,
)

SPEED = 400.0
LONG = 40.0
"""Seconds: generous, since two tests share two cores with whatever else runs."""
TOLD = 20.0
"""Seconds until Slack is told: a message a second, and the pauses after an outage."""
SECRET = "what-the-receiver-of-webhooks-knows"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackWorld:
    made: World
    slack: SlackDouble
    channel: Channel
    spare: Channel
    """Where trouble with the other one is told, in settings of `with_fallback`."""
    settings: Settings

    def by(self, name: str) -> str:
        """Somebody's identity."""
        return f"slack:{self.slack.workspace.user(name).id}"

    def policy(self, *, soak_seconds: int = 0, more: Any = None, **approval: Any) -> Policy:
        """Ann and Bob may decide; `more` are settings of the policy beside its approval."""
        rules = ApprovalRules(approvers=("person:ann", "person:bob"), **approval)
        return Policy(approval=rules, soak_seconds=soak_seconds, **(more or {}))

    def with_policy(self, policy: Policy, mode: Mode = Mode.APPROVE, **modes: str) -> Settings:
        pools = (
            replace(pool, policy=policy, mode=mode, modes=modes) for pool in self.settings.pools
        )
        return replace(self.settings, pools=tuple(pools))

    def with_fallback(self, settings: Settings) -> Settings:
        """Updates go to the channel by a route, and trouble with it to the spare one."""
        slack = replace(settings.slack, channel=self.spare.id)
        route = Route(to=(f"slack:{self.channel.id}",), about=("update",))
        return replace(settings, slack=slack, routes=(route,))

    def cards(self, channel: Channel | None = None) -> list[Message]:
        """The messages about updates, the oldest first; their threads are closed."""
        found = self.slack.messages(channel or self.channel)
        return [m for m in found if not m.is_reply and m.user == self.slack.workspace.bot.id]

    async def reads(self, text: str, *, about: str = "", seconds: float = TOLD) -> Message:
        """The newest message whose first line has this, as soon as there is one."""

        def found() -> list[Message]:
            return [m for m in self.cards() if text in first_line(m) and about in self.shown(m)]

        try:
            return (await self.slack.until(found, seconds=seconds))[-1]
        except TimeoutError:
            there = [first_line(card) for card in self.cards()]
            raise AssertionError(f"nothing says {text!r}; there is {there}") from None

    async def shows(
        self, text: str, *, about: str = "", title: str = "", seconds: float = TOLD
    ) -> Message:
        """The newest message with this anywhere, as a person sees it, as soon as there is one."""

        def found() -> list[Message]:
            return [
                message
                for message in self.cards()
                if title in first_line(message)
                and all(one in self.shown(message) for one in (text, about))
            ]

        try:
            return (await self.slack.until(found, seconds=seconds))[-1]
        except TimeoutError:
            there = "\n".join(self.shown(card) for card in self.cards())
            raise AssertionError(f"nothing shows {text!r}; there is:\n{there}") from None

    async def reply(self, card: Message, text: str, *, seconds: float = TOLD) -> Message:
        """The reply in a message's thread with this text, as soon as there is one."""

        def found() -> list[Message]:
            thread = self.slack.thread(card.channel, card.ts)
            return [reply for reply in thread if text in self.shown(reply)]

        return (await self.slack.until(found, f"{text!r} in the thread", seconds=seconds))[-1]

    def shown(self, message: Message) -> str:
        """As a person sees it, each line of its own unbroken."""
        return render(message, self.slack.workspace, width=400)

    async def press(
        self, user: str, action: str, *, value: str | None = None, about: str = ""
    ) -> Ack:
        """Press or choose something in the newest message; there must be an answer in time."""
        message = [m for m in self.cards() if about in self.shown(m)][-1]
        ack = await self.slack.click(user, message, action, value=value)
        assert ack is not None, f"{action} by {user} was not acknowledged within 3 s"
        return ack

    async def told(self, user: str, text: str, *, seconds: float = TOLD) -> str:
        """What only this person reads, once there is something with this text."""

        def found() -> list[str]:
            seen = [self.shown(m) for m in self.slack.ephemerals(user)]
            return [one for one in seen if text in one]

        try:
            return (await self.slack.until(found, f"{text!r} for {user}", seconds=seconds))[-1]
        except TimeoutError:
            read = [message.text for message in self.slack.ephemerals(user)]
            raise AssertionError(f"{user} does not read {text!r}, but {read}") from None

    async def says(self, user: str, text: str) -> str:
        """Type `/relayer <text>` and return what is answered at once."""
        ack = await self.slack.command(user, "/relayer", text, self.channel)
        assert ack is not None, f"/relayer {text} was not acknowledged within 3 s"
        return str((ack.payload or {}).get("text", ""))

    def titles(self, card: Message) -> list[str]:
        """All that the first line of a message has said, in order, each once in a row."""
        said: list[str] = []
        for blocks in self._contents(card):
            line = str(blocks[0]["text"]["text"])
            said += [line] if said[-1:] != [line] else []
        return said

    def stands_once(self, text: str, *, taken_back: int = 0) -> Message:
        """The one message there is, which says this; nothing in its thread stands there twice."""
        (card,) = self.cards()
        assert text in first_line(card), first_line(card)
        assert self.slack.calls.count("chat.delete") == taken_back
        thread = [self.shown(m) for m in self.slack.thread(self.channel, card.ts)]
        assert [one for one, n in Counter(thread).items() if n > 1] == []
        return card

    def _contents(self, card: Message) -> Iterator[list[dict[str, Any]]]:
        for call in self.slack.calls.log:
            if call.error or call.args.get("channel") != card.channel:
                continue
            is_post = call.method == "chat.postMessage" and not call.args.get("thread_ts")
            if is_post or (call.method == "chat.update" and call.args.get("ts") == card.ts):
                yield call.args["blocks"]


@asynccontextmanager
async def slack_world(
    directory: Path, *, speed: float = SPEED, nodes: int = 2
) -> AsyncIterator[SlackWorld]:
    """Ann, Bob and Eve; the first two have tokens too. The pool asks, and takes no time to soak."""
    async with world(directory, speed=speed, nodes=nodes) as made, SlackDouble.start() as slack:
        for name in ("ann", "bob", "eve"):
            slack.workspace.add_user(name)
        channel, spare = (slack.workspace.add_channel(name) for name in ("os-updates", "spare"))
        yield SlackWorld(
            made=made,
            slack=slack,
            channel=channel,
            spare=spare,
            settings=_settings(directory, made.settings, slack, channel),
        )


def _settings(
    directory: Path, settings: Settings, slack: SlackDouble, channel: Channel
) -> Settings:
    files = {"bot": slack.bot_token, "app": slack.app_token}
    files |= {name: http_token(name) for name in ("ann", "bob")}
    for name, content in files.items():
        (directory / f"{name}-token").write_text(content)
    people = [
        PersonSettings(name=name, identities=(f"slack:{user.id}", f"token:{name}"))
        for name in ("ann", "bob")
        for user in [slack.workspace.user(name)]
    ]
    tokens = [
        TokenSettings(name=name, token_file=directory / f"{name}-token") for name in ("ann", "bob")
    ]
    rules = ApprovalRules(approvers=("person:ann", "person:bob"))
    pools = [replace(p, policy=replace(p.policy, approval=rules)) for p in settings.pools]
    return replace(
        settings,
        pools=tuple(pools),
        people=tuple(people),
        web=WebSettings(port=0, tokens=tuple(tokens)),
        slack=SlackSettings(
            bot_token_file=directory / "bot-token",
            app_token_file=directory / "app-token",
            api_url=slack.api_url,
            team=slack.workspace.team_id,
            app=slack.workspace.app_id,
            channel=channel.id,
        ),
    )


def http_token(name: str) -> str:
    return f"{name}-has-a-long-token"


def first_line(message: Message) -> str:
    """Its first line, which a phone shows."""
    first = message.blocks[0] if message.blocks else {}
    return str(first["text"]["text"]) if first.get("type") == "header" else message.text


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def all_told(store: Store, *, seconds: float = TOLD) -> None:
    """Wait until nothing is left to be said, or changed in what is said."""
    async with asyncio.timeout(seconds):
        while await store.outbox.marked(1):
            await asyncio.sleep(0.05)


async def update_of(
    app: App, pool: str, *states: str, after: str = "", seconds: float = LONG
) -> Update:
    """Wait until the newest update of a pool (other than `after`) is in one of the states."""
    seen: Update | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await app.store.history(CLUSTER, PoolName(pool), 1)
                seen = found[0].job if found and isinstance(found[0].job, Update) else None
                if seen and seen.id != after and seen.state in states:
                    return seen
                await asyncio.sleep(0.03)
    except TimeoutError:
        views = [str(view) for view in (await app.store.views()).values()]
        trail = [str(entry) for entry in await app.store.audit()]
        lines = [f"waited for {states} of {pool}, last seen: {seen}", *views, *trail]
        raise AssertionError("\n".join(lines)) from None


@dataclass(slots=True)
class Receiver:
    """Somebody's small service, which keeps what it gets."""

    url: str
    letters: list[dict[str, Any]] = field(default_factory=list)
    unsigned: int = 0

    def updates(self) -> list[dict[str, Any]]:
        return [letter for letter in self.letters if letter["kind"] == "update"]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """It counts what is not signed with SECRET, and answers 403."""
    made = Receiver("")

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if not _is_signed(request.headers.get("Relayer-Signature", ""), body):
            made.unsigned += 1
            return web.Response(status=403)
        made.letters.append(json.loads(body))
        return web.Response(status=204)

    server = web.Server(take, access_log=None)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/relayer"
    try:
        yield made
    finally:
        listener.close()
        await server.shutdown(timeout=1.0)
        await listener.wait_closed()


def with_webhook(settings: Settings, url: str, directory: Path) -> Settings:
    """Updates go there too."""
    secret = directory / "webhook-secret"
    secret.write_text(SECRET)
    route = Route(to=(settings.usual_place, "webhook:pager"))
    hook = WebhookSettings(name="pager", url=url, secret_file=secret)
    return replace(settings, webhooks=(hook,), routes=(route,))


def _is_signed(header: str, body: bytes) -> bool:
    """As docs/reference/webhook.md tells receivers to check it."""
    said = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    signed = f"{said.get('t', '')}.".encode() + body
    wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, said.get("v1", ""))


def infra_of(settings: Settings) -> PoolSettings:
    found = settings.pool(CLUSTER, INFRA)
    assert found is not None
    return found

"""Chat with everything behind it: people in a Slack, our receiver, and what they decide about.

The Slack double, Slack's own libraries and our listener are joined as the service joins them; the
pool and its cluster are those of `tests.scene`.
"""

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from structlog.testing import capture_logs

from simulator.slack import Ack, Message, SlackDouble
from tests.contract.stores import AnyStore
from tests.facts import INFRA, PROD, an_update, approved
from tests.scene import Scene
from watcher.chat.commands import Commands
from watcher.chat.deciding import ChatListener
from watcher.chat.places import Reading
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.receiver import Receiver
from watcher.clients.slack.sink import SlackSink
from watcher.clients.slack.socket import Socket
from watcher.clients.store.embedded import Server
from watcher.clients.store.memory_store import MemoryStore
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.approval import ApprovalRules
from watcher.core.facts import ClusterName, PoolName
from watcher.core.state import Surveyed
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.directory import SettingsDirectory
from watcher.people import People
from watcher.ports import AuditEntry, Change, Observer, Store
from watcher.ports_telling import (
    Click,
    Command,
    Content,
    Groups,
    Heard,
    Listener,
    Reply,
    Submitted,
)
from watcher.rights import Rights
from watcher.settings import ClusterSettings, PersonSettings, PoolSettings, Settings
from watcher.telling.cards import Cards

ANN, BOB, CAT, EVE = "U0ANN", "U0BOB", "U0CAT", "U0EVE"
"""Ann and Bob may decide; Cat may where a test says so; Eve may nothing."""
NAMES = {ANN: "ann", BOB: "bob", CAT: "cat", EVE: "eve"}
APPROVERS = (f"slack:{ANN}", f"slack:{BOB}")
TEAM, APP = "T0RELAYER", "A0RELAYER"
BOT_TOKEN, APP_TOKEN = "xoxb-100-200-relayer", "xapp-1-A0RELAYER-300-relayer"
SIGNING_SECRET = "relayer-double-signs-with-this"
PING_SECONDS = 0.05
_prefixes = itertools.count()


def a_policy(**said: Any) -> Policy:
    """Ann or Bob alone may approve, unless said otherwise."""
    windows = {name: said.pop(name) for name in ("windows", "blackouts") if name in said}
    return Policy(approval=ApprovalRules(**{"approvers": APPROVERS, **said}), **windows)


def asks(**said: Any) -> Update:
    """An update that waits for people."""
    return an_update(**{"state": UpdateState.AWAITING_APPROVAL, "policy": a_policy(), **said})


def is_approved(**said: Any) -> Update:
    return approved(asks(**{"state": UpdateState.SCHEDULED, **said}))


def with_places(settings: Settings, *more: tuple[str, str], policy: Policy) -> Settings:
    """With more pools, of more clusters."""
    pools = [PoolSettings(cluster=ClusterName(c), pool=PoolName(p), recipe="gpu") for c, p in more]
    clusters = dict.fromkeys((PROD, *(pool.cluster for pool in pools)))
    return replace(
        settings,
        clusters=tuple(ClusterSettings(name=name) for name in clusters),
        pools=(*settings.pools, *(replace(pool, policy=policy) for pool in pools)),
    )


def choice(message: Message, word: str) -> str:
    """The value of one of the choices of how long to put it off."""
    found: list[str] = [v for v in _values(message.blocks) if f'"c":"{word}"' in v]
    return found[0]


def _values(thing: Any) -> list[str]:
    if isinstance(thing, dict):
        own = [thing["value"]] if isinstance(thing.get("value"), str) else []
        return own + [v for one in thing.values() for v in _values(one)]
    return [v for one in thing for v in _values(one)] if isinstance(thing, list) else []


@dataclass
class Chat:
    """One replica of the service, in one workspace."""

    scene: Scene
    settings: Settings
    store: AnyStore
    slack: SlackDouble
    api: SlackApi
    people: People
    cards: Cards
    listener: Listener
    receiver: Receiver
    prefix: str = ""
    """Of its keys, where its store is in Redis."""
    logs: list[Any] = field(default_factory=list)
    """Every line of structlog; none may hold a secret."""

    async def put(self, update: Update) -> Update:
        await self.store.commit([Change(job=update, expected=0)], [])
        return update

    async def get(self, update_id: str = "u-1") -> Update:
        job = (await self.store.get(update_id)).job
        assert isinstance(job, Update)
        return job

    async def become(self, update: Update) -> None:
        """Something else than a person has changed it."""
        version = await self.version(update.id)
        due = None if update.is_ended else 0.0
        await self.store.commit([Change(job=update, expected=version, due_in_seconds=due)], [])

    async def version(self, update_id: str = "u-1") -> int:
        return (await self.store.get(update_id)).version

    async def card(self, update: Update) -> Message:
        """The message about the update, as people see it in #ops."""
        body = self.cards.card(await self.cards.facts(update))
        channel = self.slack.workspace.channel("ops").id
        ts = await SlackSink(self.api).post(
            f"slack:{channel}", body, nonce="0:x", sequence=1, thread="", broadcast=False
        )
        return self.slack.workspace.channel("ops").messages[ts].seen()

    async def asked(self, update: Update | None = None) -> Message:
        """An update that waits for people, and the message about it."""
        return await self.card(await self.put(update or asks()))

    async def refusals(self) -> list[AuditEntry]:
        return [e for e in await self.store.audit() if e.event.endswith("Declined")]

    def replica(self, store: AnyStore) -> "Chat":
        """Another one of the service, with its own connection to the same memory."""
        return joined(self.slack, self.api, store, self.scene, self.settings)

    async def audited(self) -> list[str]:
        return [entry.event for entry in await self.store.audit()]

    def reads(self, user: str = ANN) -> str:
        """All that only this person was told."""
        return "\n".join(message.text for message in self.slack.ephemerals(user))

    async def says(self, text: str, by: str = ANN) -> Ack:
        """Type `/relayer <text>`; there must be an ack."""
        ack = await self.slack.command(by, "/relayer", text, "ops")
        assert ack is not None, "no ack within 3 s"
        return ack

    async def told(self, text: str, by: str = ANN) -> str:
        """Type it, and return what is shown at once."""
        payload = (await self.says(text, by)).payload or {}
        assert payload.get("response_type") == "ephemeral", payload
        return str(payload["text"])

    def socket(self, **said: Any) -> Socket:
        return Socket(
            self.receiver.bolt(),
            **{
                "app_token": lambda: self.slack.app_token,
                "api_url": self.slack.api_url,
                "ping_seconds": PING_SECONDS,
                **said,
            },
        )

    @asynccontextmanager
    async def listening(self, *, links: int = 1, **said: Any) -> AsyncIterator[Socket]:
        """Connected by Socket Mode; `links`: connections that there are then, of all replicas."""
        socket = self.socket(**said)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(socket.run())
            await self.slack.connected(links)
            yield socket
            running.cancel()


def joined(
    slack: SlackDouble,
    api: SlackApi,
    store: AnyStore,
    scene: Scene,
    settings: Settings,
    *,
    wraps: Callable[[Listener], Listener] = lambda listener: listener,
    groups: Groups | None = None,
    surveyed: Callable[[], Sequence[Surveyed]] = lambda: (),
) -> Chat:
    """Join everything, as the service does at its start."""
    clock = scene.clock
    directory = SettingsDirectory(settings=settings, store=store, clock=clock, groups=groups or api)
    people = People(store=store, clock=clock, directory=directory)
    listener, cards = listener_of(store, scene, settings, people, surveyed)
    receiver = Receiver(api=api, listener=wraps(listener), store=store, team=TEAM, app_id=APP)
    return Chat(scene, settings, store, slack, api, people, cards, receiver.listener, receiver)


def listener_of(
    store: Store,
    scene: Scene,
    settings: Settings,
    people: People,
    surveyed: Callable[[], Sequence[Surveyed]] = lambda: (),
) -> tuple[ChatListener, Cards]:
    """What decides about clicks, without any Slack."""
    clock = scene.clock
    cards = Cards(settings, store, clock)
    planner = replace(scene.planner, settings=settings, store=store, people=people)
    common: dict[str, Any] = {
        "people": people,
        "planner": planner,
        "rights": Rights(settings=settings, store=store, directory=people.directory, clock=clock),
        "cards": cards,
        "reading": Reading(settings, store),
    }
    commands = Commands(store=store, clock=clock, surveyed=surveyed, **common)
    return ChatListener(command=commands, **common), cards


@dataclass
class Odd(Listener):
    """A listener to which something happens, once: `before` or `after` it has decided."""

    inner: Listener
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    async def _once(self, work: Callable[[], Awaitable[Reply]]) -> Reply:
        if self.before and not self.happened.is_set():
            self.happened.set()
            await self.before()
        reply = await work()
        if self.after and not self.happened.is_set():
            self.happened.set()
            await self.after()
        return reply

    async def clicked(self, click: Click) -> Reply:
        return await self._once(lambda: self.inner.clicked(click))

    async def submitted(self, form: Submitted) -> Reply:
        return await self._once(lambda: self.inner.submitted(form))

    async def commanded(self, command: Command) -> Reply:
        return await self._once(lambda: self.inner.commanded(command))

    async def turned_away(self, heard: Heard, because: str) -> None:
        await self.inner.turned_away(heard, because)

    def excuse(self, because: str) -> Content:
        return self.inner.excuse(because)


class Gate:
    """Makes a listener that decides about the first act when a test says so."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    def __call__(self, inner: Listener) -> Listener:
        return Odd(inner, before=self._wait)

    async def _wait(self) -> None:
        self.reached.set()
        await self.opened.wait()


class _Kept(logging.Handler):
    """What would be printed of other people's loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def no_secrets_logged() -> Iterator[list[Any]]:
    """What is logged meanwhile; it must not hold a token, a ticket or the signing secret."""
    root = _Kept()
    logging.getLogger().addHandler(root)
    try:
        with capture_logs() as logs:
            yield logs
    finally:
        logging.getLogger().removeHandler(root)
    said = repr((logs, root.said))
    for secret in (BOT_TOKEN, APP_TOKEN, SIGNING_SECRET):
        assert secret not in said, "a secret was logged"
    assert not re.search("ticket=[0-9a-f]", said), "a ticket was logged"


@asynccontextmanager
async def a_slack() -> AsyncIterator[tuple[SlackDouble, SlackApi]]:
    """A workspace with people and #ops, and our client for it."""
    async with SlackDouble.start() as slack:
        for user_id, name in NAMES.items():
            slack.workspace.add_user(name, id=user_id)
        slack.workspace.add_channel("ops")
        async with SlackApi.opened(lambda: slack.bot_token, api_url=slack.api_url) as api:
            yield slack, api


def settings_of_policy(policy: Policy) -> Settings:
    """One pool, without anything that a cluster or a builder would need."""
    pool = PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu", policy=policy)
    people = (
        PersonSettings(name="ann", identities=(f"slack:{ANN}", "slack:U0ANN2")),
        PersonSettings(name="cat", identities=(f"slack:{CAT}",)),
    )
    return Settings(pools=(pool,), clusters=(ClusterSettings(name=PROD),), people=people)


def settings_of(
    scene: Scene, *, people: tuple[PersonSettings, ...] = (), time_zone: str = "UTC"
) -> Settings:
    pools = tuple(replace(pool, time_zone=time_zone) for pool in scene.settings.pools)
    clusters = (ClusterSettings(name=PROD),)
    return replace(scene.settings, clusters=clusters, pools=pools, people=people)


@asynccontextmanager
async def redis_on(server: Server, scene: Scene, prefix: str) -> AsyncIterator[RedisStore]:
    """A client of its own on the server, on the clock of the scene."""
    client = from_url(server.url)
    try:
        yield RedisStore(client, prefix=prefix, clock=scene.clock)
    finally:
        await client.aclose()


@asynccontextmanager
async def a_chat(
    *,
    server: Server | None = None,
    people: tuple[PersonSettings, ...] = (),
    places: tuple[tuple[str, str], ...] = (),
    time_zone: str = "UTC",
    wraps: Callable[[Listener], Listener] = lambda listener: listener,
    looks: Callable[[Observer], Observer] = lambda observer: observer,
    surveyed: Callable[[], Sequence[Surveyed]] = lambda: (),
    **said: Any,
) -> AsyncIterator[Chat]:
    """Chat on a store in memory, or on this server; `said` goes to the scene."""
    async with AsyncExitStack() as stack:
        logs = stack.enter_context(no_secrets_logged())
        slack, api = await stack.enter_async_context(a_slack())
        scene = Scene(**{"policy": a_policy(), **said})
        store: AnyStore = MemoryStore(scene.clock)
        prefix = f"chat{next(_prefixes)}"
        if server is not None:
            store = await stack.enter_async_context(redis_on(server, scene, prefix))
        scene.store = store  # type: ignore[assignment]
        scene.configure(scene.policy)
        scene.planner = replace(scene.planner, observer=looks(scene.planner.observer))
        settings = settings_of(scene, people=people, time_zone=time_zone)
        if places:
            settings = with_places(settings, *places, policy=scene.policy)
        made = joined(slack, api, store, scene, settings, wraps=wraps, surveyed=surveyed)
        yield replace(made, prefix=prefix, logs=logs)

"""Telling people and hearing from them: the courier with its sinks, chat with its listener."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watcher.bootstrap.app import App
from watcher.bootstrap.clients import secret_of
from watcher.metrics import Metrics
from watcher.planning import Leadership
from watcher.ports import Clock, Sink
from watcher.service import Part
from watcher.settings import Settings
from watcher.telling.cards import Cards
from watcher.telling.courier import Courier
from watcher.telling.digesting import Digesting
from watcher.telling.fleet import Fleet
from watcher.telling.subjects import Subjects
from watcher.telling.updates import UpdateLetters

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncApp
    from starlette.routing import Route


@dataclass(slots=True)
class Telling:
    """What the service runs and serves of it."""

    parts: dict[str, Part] = field(default_factory=dict)
    routes: "list[Route]" = field(default_factory=list)
    """Doors in our own web server, for chat that comes by HTTP."""
    due_digests: Callable[[], Awaitable[Sequence[str]]] | None = None


async def open_telling(
    app: App, leadership: Leadership, metrics: Metrics, stack: AsyncExitStack
) -> Telling:
    """Join everything; nothing runs yet. Raise Refused for secrets that cannot be read."""
    settings, store = app.settings, app.store
    cards = Cards(settings, store, app.clock)
    fleet = Fleet(store, settings, app.clock, app.surveys.surveyed)
    digesting = Digesting(store, settings, app.clock)
    subjects = Subjects(
        store=store,
        updates=UpdateLetters(settings, cards),
        fleet=fleet.letters,
        digest=digesting.letters,
    )
    courier = Courier(
        outbox=store.outbox,
        sinks=await _sinks(app, stack),
        letters_of=subjects.letters_of,
        leadership=leadership,
        clock=app.clock,
        fallback=settings.usual_place,
        meter=metrics,
    )
    made = Telling(parts={"courier": courier.run}, due_digests=digesting.due)
    if app.slack is not None and settings.slack.mode != "none":
        _listen(app, cards, metrics, made)
    return made


async def _sinks(app: App, stack: AsyncExitStack) -> Mapping[str, Sink]:
    sinks: dict[str, Sink] = {}
    if app.slack is not None:
        from watcher.clients.slack.sink import SlackSink

        sinks["slack"] = SlackSink(app.slack)
    if app.settings.webhooks:
        sinks["webhook"] = await _webhooks(app.settings, app.clock, stack)
    return sinks


async def _webhooks(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Sink:
    from watcher.clients.webhook import Webhook, WebhookSink

    hooks = [
        Webhook(
            name=hook.name,
            url=hook.url,
            secret=secret_of(hook.secret_file, hook.secret_env, f"webhooks: {hook.name}"),
            ca_file=hook.ca_file,
        )
        for hook in settings.webhooks
    ]
    return await stack.enter_async_context(WebhookSink.opened(hooks, clock=clock))


def _listen(app: App, cards: Cards, metrics: Metrics, made: Telling) -> None:
    """Hear clicks and commands, in the way that the settings say."""
    from watcher.chat.commands import Commands
    from watcher.chat.deciding import ChatListener
    from watcher.chat.places import Reading
    from watcher.clients.slack.receiver import Receiver

    assert app.slack is not None, "only called with one"
    reading = Reading(app.settings, app.store)
    common = {
        "people": app.people,
        "planner": app.planner,
        "rights": app.rights,
        "cards": cards,
        "reading": reading,
    }
    commands = Commands(store=app.store, clock=app.clock, surveyed=app.surveys.surveyed, **common)  # type: ignore[arg-type] # by name
    listener = ChatListener(command=commands, meter=metrics, **common)  # type: ignore[arg-type] # by name
    said = app.settings.slack
    bolt = Receiver(
        api=app.slack, listener=listener, store=app.store, team=said.team, app_id=said.app
    ).bolt()
    if said.mode == "http":
        made.routes.append(_door(app, bolt))
        return
    from watcher.clients.slack.socket import Socket

    token = secret_of(said.app_token_file, said.app_token_env, "slack.app_token")
    made.parts["slack socket"] = Socket(bolt, token, said.api_url).run


def _door(app: App, bolt: "AsyncApp") -> "Route":
    from starlette.routing import Route

    from watcher.clients.slack.door import Door

    said = app.settings.slack
    secret = secret_of(said.signing_secret_file, said.signing_secret_env, "slack.signing_secret")
    return Route("/slack/events", Door(bolt, secret, app.clock).answer, methods=["POST"])

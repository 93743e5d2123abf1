"""From a click in Slack to its acknowledgement, the decision being durable in between.

The double of Slack speaks a real websocket; bolt, our receiver, people and a Redis with its
append-only file are the service's own. Fifty clicks a second, each a vote on an update of its own;
when an acknowledgement arrives the vote is looked for in Redis at that very moment.
"""

import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.letters import awaiting, chat_settings
from simulator.slack.double import SlackDouble
from watcher.chat.commands import Commands
from watcher.chat.deciding import ChatListener
from watcher.chat.places import Reading
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.others import render
from watcher.clients.slack.receiver import Receiver
from watcher.clients.slack.socket import Socket
from watcher.clients.store.embedded import embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.clock import SystemClock
from watcher.core.update import Update
from watcher.directory import SettingsDirectory
from watcher.people import People
from watcher.ports import Change
from watcher.rights import Rights
from watcher.telling.cards import Cards

CLICKS, A_SECOND = 1500, 50


def run() -> dict[str, Any]:
    """Milliseconds from sending the click to receiving its acknowledgement."""
    with tempfile.TemporaryDirectory() as directory:
        seconds, durable = asyncio.run(_measure(Path(directory)))
    ordered = sorted(seconds)
    return {
        "clicks": len(seconds),
        "clicks_per_second": A_SECOND,
        "durable_before_ack": durable,
        "not_durable_or_not_acked": CLICKS - durable,
        "p50_milliseconds": round(statistics.median(ordered) * 1000, 1),
        "p99_milliseconds": round(ordered[int(len(ordered) * 0.99) - 1] * 1000, 1),
        "max_milliseconds": round(ordered[-1] * 1000, 1),
    }


async def _measure(directory: Path) -> tuple[list[float], int]:
    async with (
        embedded(directory, alone=True) as server,
        SlackDouble.start() as slack,
        SlackApi.opened(lambda: slack.bot_token, api_url=slack.api_url) as api,
        asyncio.TaskGroup() as group,
    ):
        client = from_url(server.url)
        store = RedisStore(client)
        ann, channel = _people(slack)
        settings = chat_settings(channel.id, approver=f"slack:{ann.id}", pools=CLICKS)
        receiver = _receiver(slack, api, store, settings)
        socket = Socket(receiver.bolt(), lambda: slack.app_token, slack.api_url)
        listening = group.create_task(socket.run())
        await slack.connected()
        updates = [awaiting(settings, n) for n in range(CLICKS)]
        for update in updates:
            await store.commit([Change(job=update, expected=0, due_in_seconds=None)], [])
        found = await _click_all(slack, api, store, settings, ann.id, channel.id, updates)
        listening.cancel()
        await client.aclose()
    return found


def _people(slack: SlackDouble) -> tuple[Any, Any]:
    ann = slack.workspace.add_user("ann")
    return ann, slack.workspace.add_channel("bench-clicks", members=[ann.id])


def _receiver(slack: SlackDouble, api: SlackApi, store: RedisStore, settings: Any) -> Receiver:
    clock = SystemClock()
    directory = SettingsDirectory(settings=settings, store=store, clock=clock, groups=api)
    people = People(store=store, clock=clock, directory=directory)
    rights = Rights(settings=settings, store=store, directory=directory, clock=clock)
    cards, reading = Cards(settings, store, clock), Reading(settings, store)
    common: dict[str, Any] = {
        "people": people,
        "planner": None,  # no click asks for it
        "rights": rights,
        "cards": cards,
        "reading": reading,
    }
    commands = Commands(store=store, clock=clock, surveyed=lambda: (), **common)
    listener = ChatListener(command=commands, **common)
    team, app = slack.workspace.team_id, slack.workspace.app_id
    return Receiver(api=api, listener=listener, store=store, team=team, app_id=app)


async def _click_all(
    slack: SlackDouble,
    api: SlackApi,
    store: RedisStore,
    settings: Any,
    user: str,
    channel: str,
    updates: list[Update],
) -> tuple[list[float], int]:
    cards = Cards(settings, store, SystemClock())
    messages = []
    for update in updates:
        content = render(cards.card(await cards.facts(update)))
        await api.call("chat.postMessage", channel=channel, **content)
        messages.append(slack.messages(channel)[-1])
    seconds: list[float] = []
    durable = 0

    async def acked(envelope: Any, ack: Any) -> None:
        """Look into Redis before anything else happens."""
        nonlocal durable
        carried = json.loads(envelope.payload["actions"][0]["value"])
        job = (await store.get(carried["u"])).job
        durable += isinstance(job, Update) and len(job.votes) == 1

    async def one(number: int) -> None:
        ack = await slack.click(user, messages[number], "approve")
        if ack is not None:
            seconds.append(ack.seconds)

    slack.on_ack = acked

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(len(updates)):
            await asyncio.sleep(max(0.0, began + number / A_SECOND - loop.time()))
            group.create_task(one(number))
    return seconds, durable


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

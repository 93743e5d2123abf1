"""A thousand updates change their state every second for a minute: how old is what people read?

Real courier, cards, Slack client and Redis; the double of Slack in another process takes the calls.
A channel takes one message a second, and each update has two there (its card and the details in its
thread), so a letter is at best edited once every `letters in its channel` seconds: that much age
the rate limit forces. What is counted is how much older than that a card's state is.
"""

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.letters import awaiting, chat_settings
from bench.letters_courier import Running, couriering
from simulator.slack.double import SlackDouble
from watcher.clients.store.embedded import embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.clock import SystemClock
from watcher.core.update import Update
from watcher.ports import Change
from watcher.settings import Settings

UPDATES, CHANNELS, STORM_SECONDS = 1000, 100, 60
LETTERS = 2 * UPDATES // CHANNELS
"""In each channel: the age in seconds that one message a second forces."""


@dataclass(slots=True)
class Watch:
    """When each update came into each of its states, and which state its message shows."""

    changed: dict[str, list[float]] = field(default_factory=dict)
    late: float = 0.0

    def change(self, update_id: str, at: float) -> None:
        """Note a new state."""
        self.changed.setdefault(update_id, []).append(at)

    def look(self, update_id: str, shown: int, now: float) -> None:
        """The message shows state `shown`: the next one is as old as it has not been shown."""
        times = self.changed[update_id]
        if shown + 1 < len(times):
            self.late = max(self.late, now - times[shown + 1] - LETTERS)


def run() -> dict[str, Any]:
    """Seconds beyond what the rate limit forces, and memory late in the storm against early."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> dict[str, Any]:
    async with embedded(directory, alone=True) as server, SlackDouble.start() as slack:
        channels = [slack.workspace.add_channel(f"storm-{n}").id for n in range(CHANNELS)]
        settings = chat_settings(*channels, approver="token:ann", pools=UPDATES, nudges=False)
        client = from_url(server.url)
        with couriering(server.url, slack.api_url, slack.bot_token, UPDATES, *channels) as courier:
            found = await _storm(settings, RedisStore(client), slack, courier)
        await client.aclose()
    return found


async def _storm(
    settings: Settings, store: RedisStore, slack: SlackDouble, courier: Running
) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    watch, memory = Watch(), list[float]()
    updates = [awaiting(settings, number) for number in range(UPDATES)]
    await _change(store, watch, updates, 0)
    shown = shown_by(slack, settings)
    async with asyncio.timeout(120):
        # The first posts (card, details, the question) are not what is measured.
        while slack.calls.count("chat.postMessage") < 3 * UPDATES:
            await asyncio.sleep(0.5)
    for update in updates:
        watch.changed[update.id] = [loop.time()]
    began, calls, used = loop.time(), slack.calls.count("chat.update"), courier.cpu_seconds()
    for second in range(1, STORM_SECONDS + 1):
        await _change(store, watch, updates, second)
        if second % 5 == 0:
            _look(watch, shown(), loop.time())
        memory.append(courier.rss_mib())
        await asyncio.sleep(max(0.0, began + second - loop.time()))
    lasted = loop.time() - began
    return {
        "updates": UPDATES,
        "channels": CHANNELS,
        "forced_seconds": LETTERS,
        "late_seconds": round(watch.late, 2),
        "edits_per_second": round((slack.calls.count("chat.update") - calls) / lasted, 1),
        "changes_per_second": round(UPDATES * STORM_SECONDS / lasted),
        "courier_cpu_percent": round(100 * (courier.cpu_seconds() - used) / lasted),
        "courier_rss_mib": round(memory[-1], 1),
        "memory_growth_ratio": round(max(memory[-10:]) / max(memory[10:20]), 3),
    }


async def _change(store: RedisStore, watch: Watch, updates: list[Update], number: int) -> None:
    """Bring every update into its state of this number, some at a time."""
    loop = asyncio.get_running_loop()

    async def one(update: Update) -> None:
        job = in_state(update, number)
        await store.commit([Change(job=job, expected=number, due_in_seconds=None)], [])
        watch.change(update.id, loop.time())

    for at in range(0, len(updates), 25):
        await asyncio.gather(*(one(update) for update in updates[at : at + 25]))


def in_state(update: Update, number: int) -> Update:
    """The update in its next state, told by the sentence that the card shows."""
    return replace(update, because=f"state {number}.", changed_at=SystemClock().now())


def shown_by(slack: SlackDouble, settings: Settings) -> Callable[[], dict[str, int]]:
    """Return what tells which state each update's card shows now."""
    channels = [route.to[0].removeprefix("slack:") for route in settings.routes]

    def look() -> dict[str, int]:
        found = {}
        for channel in channels:
            for message in slack.messages(channel):
                text = json.dumps(message.blocks)
                if "state " in text and "decide:u-" in text:
                    update = "u-" + text.split("decide:u-")[1].split('"')[0]
                    found[update] = int(text.split("state ")[1].split(".")[0])
        return found

    return look


def _look(watch: Watch, shown: dict[str, int], now: float) -> None:
    for update_id, number in shown.items():
        watch.look(update_id, number, now)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

"""Slack is away for ten minutes while 500 updates go on changing: what happens when it returns?

Real courier, cards, Slack client and Redis. Every update has its message before; afterwards each
message must show its newest state, must not be there twice, and may have cost one call at most.
`RELAYER_BENCH_OUTAGE_SECONDS` makes the outage shorter for a quick look.
"""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from bench.letters import awaiting, chat_settings
from bench.letters_courier import couriering
from bench.letters_storm import in_state, shown_by
from simulator.slack.double import SlackDouble
from watcher.clients.store.embedded import embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.ports import Change
from watcher.settings import Settings

UPDATES, CHANNELS, ROUNDS = 500, 50, 10
OUTAGE_SECONDS = float(os.environ.get("RELAYER_BENCH_OUTAGE_SECONDS", "600"))
FIRST_POSTS = 3
"""Of each update: its card, the details in the thread, the question that wakes the approvers."""


def run() -> dict[str, Any]:
    """Messages that are wrong afterwards, and calls for each message since Slack returned."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_measure(Path(directory)))


async def _measure(directory: Path) -> dict[str, Any]:
    async with embedded(directory, alone=True) as server, SlackDouble.start() as slack:
        channels = [slack.workspace.add_channel(f"outage-{n}").id for n in range(CHANNELS)]
        settings = chat_settings(*channels, approver="token:ann", pools=UPDATES, nudges=False)
        client = from_url(server.url)
        store = RedisStore(client)
        with couriering(server.url, slack.api_url, slack.bot_token, UPDATES, *channels):
            await _before(settings, store, slack)
            await slack.down()
            await _changes(settings, store)
            await slack.up()
            found = await _after(settings, store, slack)
        await client.aclose()
    return found


async def _before(settings: Settings, store: RedisStore, slack: SlackDouble) -> None:
    for number in range(UPDATES):
        job = in_state(awaiting(settings, number), 0)
        await store.commit([Change(job=job, expected=0, due_in_seconds=None)], [])
    async with asyncio.timeout(300):
        while slack.calls.count("chat.postMessage") < FIRST_POSTS * UPDATES:
            await asyncio.sleep(0.2)
        while await store.outbox.marked(1):
            await asyncio.sleep(0.2)


async def _changes(settings: Settings, store: RedisStore) -> None:
    """Ten changes of each, spread over the outage."""
    for round_ in range(1, ROUNDS + 1):
        await asyncio.sleep(OUTAGE_SECONDS / ROUNDS)
        for number in range(UPDATES):
            job = in_state(awaiting(settings, number), round_)
            await store.commit([Change(job=job, expected=round_, due_in_seconds=None)], [])


async def _after(settings: Settings, store: RedisStore, slack: SlackDouble) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    slack.calls.log.clear()
    async with asyncio.timeout(600):
        while await store.outbox.marked(1):
            await asyncio.sleep(0.2)
    took = loop.time() - began
    shown = shown_by(slack, settings)()
    wrong = sum(shown.get(awaiting(settings, n).id) != ROUNDS for n in range(UPDATES))
    doubled = slack.calls.count("chat.postMessage") - FIRST_POSTS * UPDATES
    each: dict[tuple[str, str], int] = {}
    for call in slack.calls.log:
        key = (str(call.args.get("channel", "")), str(call.args.get("ts", "")))
        each[key] = each.get(key, 0) + 1
    return {
        "outage_seconds": OUTAGE_SECONDS,
        "pending_changes": UPDATES * ROUNDS,
        "messages": len(each),
        "wrong_messages": wrong + doubled,
        "calls_per_message": max(each.values(), default=0),
        "seconds_until_all_are_right": round(took, 1),
        "forced_seconds": 2 * UPDATES / CHANNELS,
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

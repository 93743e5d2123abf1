"""What tests of bad input share: clients that do not wait long, and where people look."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.scenario.world import INFRA, World
from watcher import shown
from watcher.bootstrap import App, Patience
from watcher.clients.kube.reflector import Pacing
from watcher.clients.registry import RegistrySettings
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.settings import Settings

SECONDS = 20.0
"""The longest anything here is waited for."""
IMPATIENT = Patience(
    cluster=Pacing(first_delay=0.1, max_delay=0.3, refused=0.3, absent=0.3),
    registry=RegistrySettings(
        read_seconds=0.4,
        call_seconds=3.0,
        attempts=2,
        backoff_seconds=0.05,
        backoff_budget_seconds=0.5,
    ),
)


def hasty(made: World, *, auto: bool = False) -> Settings:
    """The world's settings, looking at each pool all the time and building by `append` only."""
    said = made.with_policy(Policy(approval=ApprovalRules(auto=auto), soak_seconds=0))
    recipes = tuple(replace(recipe, builder="append") for recipe in said.recipes)
    return replace(said, recipes=recipes, work=replace(said.work, resync_seconds=0.3))


async def told(app: App, *words: str, pool: str = INFRA) -> str:
    """Wait until the pool's last look says all of these words; return the sentence."""

    def because(seen: shown.Row) -> str:
        return next(str(row["because"]) for row in seen["pools"] if row["pool"] == pool)

    return await _seen(app, words, because)


async def waits(app: App, update: str, *words: str) -> str:
    """Wait until an update under way says with all of these words what it waits for."""

    def waiting(seen: shown.Row) -> str:
        row = next((row for row in seen["active"] if row["id"] == update), None)
        return str(row["progress"].get("waiting", "")) if row else "it is not active"

    return await _seen(app, words, waiting)


async def _seen(app: App, words: Sequence[str], sentence: Callable[[shown.Row], str]) -> str:
    """Wait until a sentence of what `relayer status` and the page show has all of the words."""
    places = [(pool.cluster, pool.pool) for pool in app.settings.pools]
    said = ""
    try:
        async with asyncio.timeout(SECONDS):
            while not said or not all(word in said for word in words):
                said = sentence(await shown.status(app.store, places, now=app.clock.now()))
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited for {words}, what is shown: {said}") from None
    return said

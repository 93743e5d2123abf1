"""What tests of bad input share: clients that do not wait long, and where people look."""

import asyncio
from dataclasses import replace

from tests.scenario.world import CLUSTER, INFRA, World
from watcher.bootstrap import App, Patience
from watcher.clients.kube.reflector import Pacing
from watcher.clients.registry import RegistrySettings
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.settings import Settings

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


async def told(app: App, *words: str, pool: str = INFRA, seconds: float = 15.0) -> str:
    """Wait until the pool's view says all of these words; return the sentence."""
    said = ""
    try:
        async with asyncio.timeout(seconds):
            while not said or not all(word in said for word in words):
                view = (await app.store.views()).get(f"pool:{CLUSTER}/{pool}", {})
                said = str(view.get("because", ""))
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited for {words}, the view says: {said}") from None
    return said


async def waits(app: App, job: str, *words: str, seconds: float = 15.0) -> str:
    """Wait until a job under way says with all of these words what it waits for."""
    said = ""
    try:
        async with asyncio.timeout(seconds):
            while not said or not all(word in said for word in words):
                said = str((await app.store.progress(job)).get("waiting", ""))
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited for {words}, {job} says: {said}") from None
    return said

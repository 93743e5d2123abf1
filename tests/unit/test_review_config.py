"""Jobs that outlive what the configuration said when they were made."""

import asyncio

import pytest

from handlers.build import RunBuildHandler
from tests.facts import a_build
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.scene import ours
from watcher.bootstrap import read_recipe
from watcher.core.build import BuildState, RunBuild
from watcher.ports import Refused
from watcher.settings import Settings


async def test_a_build_whose_recipe_is_no_longer_configured_is_refused_by_name() -> None:
    """It waited for ever: a StopIteration never comes out of a thread."""
    store = FakeStore(FixedClock())
    run = RunBuildHandler([], lambda name: read_recipe(Settings(), name), store)
    async with asyncio.timeout(30):
        with pytest.raises(Refused, match="recipe gpu is not in the configuration"):
            await run(a_build(state=BuildState.BUILDING), RunBuild(), ours)

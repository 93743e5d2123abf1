"""The service and the server that it runs for itself."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.scenario.service import running, update_in
from tests.scenario.world import world
from watcher.bootstrap import serve
from watcher.cli.exits import Code, explain
from watcher.ports import Refused
from watcher.service import PartEnded


async def test_a_second_service_on_the_same_state_directory_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path) as made, running(made.settings):
        with pytest.raises(Refused, match="another relayer runs on the state directory"):
            await serve(made.settings)


async def test_a_service_whose_own_server_dies_ends_and_goes_on_when_started_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made:
        asked = ""

        async def until_its_server_dies() -> None:
            nonlocal asked
            async with running(made.settings) as app:
                asked = (await update_in(app, "awaiting-approval")).id
                pid = int((made.settings.state_dir / "store/server.pid").read_text())
                os.kill(pid, signal.SIGKILL)
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as seen:
            await until_its_server_dies()
        assert seen.group_contains(PartEnded, match="store server ended by itself")
        code, sentence = explain(seen.value)
        assert code is Code.UNREACHABLE, "not a fault of ours: starting again helps"
        assert "try again later" in sentence
        async with running(made.settings) as app:
            again = await update_in(app, "awaiting-approval")
            assert again.id == asked

"""The quickstart's commands that need a cluster, in their order, on the simulated one.

A command that shows something is asked again until it shows it, as a person would.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from simulator.signing import release_settings
from tests.release_world import nobody_at_home, relayer
from tests.repo.console import ROOT, Block, Command, Where, agrees, blocks
from tests.repo.reader import prepare
from tests.scenario.service import newest_update, running
from tests.scenario.world import QUICK, World, world
from watcher.bootstrap import App
from watcher.config import effective, load
from watcher.core.update import Policy

PAGE = ROOT / "docs/quickstart.md"
HOST = "registry.example.com"
PATIENCE = 20.0
_LOG = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\w+ *\] .*\n?", re.MULTILINE)
"""The service is in this process, and so its lines get between those of a command."""


def simulated() -> list[Block]:
    return [b for b in blocks(PAGE) if b.language == "console" and b.where is Where.SIMULATED]


@dataclass
class Terminal:
    """Where the reader types; the service runs beside it once it was started."""

    world: World
    stack: contextlib.AsyncExitStack
    app: App | None = None
    ran: list[str] = field(default_factory=list)

    async def type(self, command: Command) -> None:
        words = [await self._own(word) for word in command.words]
        assert words[0] == "relayer"
        self.ran.append(words[1])
        if words[1] == "run":
            settings = load(Path(words[words.index("-c") + 1]))
            self.app = await self.stack.enter_async_context(running(settings))
            return
        came = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not agrees(command.shown, came := await self._said(words[1:])):
                    assert words[1] not in ("approve", "stock"), repr(came)
                    await asyncio.sleep(0.1)
                return
        raise AssertionError(f"{command.text} at line {command.line} printed\n{came}")

    async def _said(self, words: list[str]) -> str:
        ran = await relayer(*words)
        return _LOG.sub("", ran.out)

    async def _own(self, word: str) -> str:
        """The id of the page's update is that of ours."""
        if not re.fullmatch(r"u-[0-9a-f]{8}", word):
            return word
        assert self.app
        update = await newest_update(self.app)
        assert update
        return update.id


@pytest.fixture
async def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Terminal]:
    """The page's own files, in a world where the page's registry is a simulated one."""
    nobody_at_home(tmp_path, monkeypatch)
    place = tmp_path / "reader"
    prepare(place, blocks(PAGE))
    async with world(tmp_path / "world", nodes=3) as made, contextlib.AsyncExitStack() as stack:
        config = place / "relayer.yaml"
        config.write_text(config.read_text().replace(HOST, made.registry.host))
        (place / "kubeconfig").write_text(json.dumps(made.api.kubeconfig()))
        (place / "auth.json").write_text("{}")
        (place / "token").write_text("a-token-of-some-length\n")
        said = load(config)
        quick = tuple(replace(p, policy=replace(p.policy, soak_seconds=0)) for p in said.pools)
        assert isinstance(quick[0].policy, Policy)
        said = replace(
            said,
            registry=replace(said.registry, plain_http=(made.registry.host,)),
            release=release_settings(),
            web=replace(said.web, port=0),
            work=QUICK,
            pools=quick,
        )
        config.write_text(effective(said))
        with contextlib.chdir(place):
            yield Terminal(made, stack)


async def test_from_nothing_to_an_approved_update_and_back(terminal: Terminal) -> None:
    for block in simulated():
        for command in block.commands():
            await terminal.type(command)
    asked = ["doctor", "doctor", "plan", "run", "status", "approve"]
    assert terminal.ran == [*asked, "status", "status", "drift", "stock", "status"]
    assert terminal.world.images() == {terminal.world.old.os_image}
    assert terminal.world.override_writes() == 2

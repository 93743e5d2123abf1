"""What only the store in Redis can get wrong: connections, permissions, settings, restarts."""

import asyncio
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis import exceptions

from tests.contract.stores import ManualClock, a_build, an_update, entry, put, redis_store, take
from watcher.clients.codec import UnreadableRecord
from watcher.clients.store.embedded import Server
from watcher.clients.store.redis_connect import check, from_url
from watcher.clients.store.redis_errors import translated
from watcher.clients.store.redis_store import RedisStore
from watcher.core.jobs import JobKind
from watcher.ports import OutsideError, Refused, Transient

REAL = pytest.mark.real("redis-server")
PASSWORD = "not-to-be-shown"


@asynccontextmanager
async def client_of(url: str, **options: Any) -> AsyncIterator[Any]:
    """A client that is closed whatever happens; Any because redis-py's commands are untyped."""
    client = from_url(url, **options)
    try:
        yield client
    finally:
        await client.aclose()


def raw(running: Server) -> AbstractAsyncContextManager[Any]:
    return client_of(running.url)


@asynccontextmanager
async def own_server(*options: str) -> AsyncIterator[Path]:
    """A redis-server with these options; yields the socket."""
    program = shutil.which("redis-server")
    assert program
    with tempfile.TemporaryDirectory(prefix="relayer-redis-") as directory:
        path = Path(directory) / "redis.sock"
        process = await asyncio.create_subprocess_exec(
            program,
            *("--port", "0", "--unixsocket", str(path), "--dir", directory, "--save", ""),
            *options,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(10):
                while not path.exists():
                    await asyncio.sleep(0.01)
            yield path
        finally:
            process.kill()
            await process.wait()


# --- what the server must be ----------------------------------------------------------------


async def test_the_embedded_server_keeps_what_it_is_given(running: Server) -> None:
    async with raw(running) as client:
        assert await check(client) == []


@REAL
async def test_a_redis_that_may_lose_records_is_refused_with_the_remedy() -> None:
    policy = ("--maxmemory-policy", "allkeys-lru")
    async with (
        own_server("--appendonly", "no", *policy) as path,
        client_of(f"unix://{path}") as client,
    ):
        with pytest.raises(Refused) as caught:
            await check(client)
        assert "`appendonly yes`" in str(caught.value)
        assert "`maxmemory-policy noeviction`" in str(caught.value)
        assert len(await check(client, allow_unsafe=True)) == 2


async def test_a_redis_that_is_too_old_is_refused(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b"redis_version:6.0.16\r\n"
        while commands := await reader.read(4000):
            for command in commands.split(b"*")[1:]:
                is_info = b"$4\r\nINFO\r\n" in command
                writer.write(b"$%d\r\n%s\r\n" % (len(said), said) if is_info else b"+OK\r\n")
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    async with server, client_of(f"unix://{tmp_path / 's'}") as client:
        with pytest.raises(Refused, match=r"6\.0\.16 is too old"):
            await check(client)


# --- connections ----------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_transient() -> None:
    async with client_of("unix:///nowhere/redis.sock") as client:
        with pytest.raises(Transient, match="does not answer"):
            await RedisStore(client).ping()


async def test_a_server_that_never_answers_is_transient_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        async with client_of(f"unix://{tmp_path / 's'}") as client:
            with pytest.raises(Transient, match="does not answer"):
                await RedisStore(client, answer_seconds=0.05).ping()


@REAL
async def test_a_wrong_password_is_refused_and_never_shown() -> None:
    async with own_server("--requirepass", PASSWORD) as path:
        for password in ("wrong-" + PASSWORD, None):
            async with client_of(f"unix://{path}", password=password) as client:
                with pytest.raises(Refused) as caught:
                    await RedisStore(client).ping()
                assert PASSWORD not in str(caught.value)
        async with client_of(f"unix://{path}", password=PASSWORD) as client:
            await RedisStore(client).ping()


@pytest.mark.parametrize(
    "url", [f"redis://:{PASSWORD}@host:port/", f"http://u:{PASSWORD}@host", f"{PASSWORD}", ""]
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(Refused, match=r"redis\.url") as caught:
        from_url(url)
    assert PASSWORD not in str(caught.value)


def test_a_ca_without_tls_is_refused() -> None:
    with pytest.raises(Refused, match="rediss"):
        from_url("redis://localhost", ca_file="/etc/ca.pem")


@REAL
async def test_tls_with_a_private_ca(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = {"cert-file": "cert.pem", "key-file": "key.pem", "ca-cert-file": "ca.pem"}
    files = [word for k, v in names.items() for word in (f"--tls-{k}", str(tmp_path / v))]
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", "--bind", "127.0.0.1")
    async with own_server(*options, *files):
        async with client_of(
            f"rediss://localhost:{port}", ca_file=str(tmp_path / "ca.pem")
        ) as trusting:
            await RedisStore(trusting).ping()
        async with client_of(
            f"rediss://localhost:{port}", ca_file=str(tmp_path / "other.pem")
        ) as other:
            with pytest.raises(Refused, match=r"redis\.ca_file"):
                await RedisStore(other).ping()


async def test_a_connection_that_was_cut_is_made_again(running: Server) -> None:
    async with redis_store(running, None) as store, raw(running) as other:
        await store.ping()
        await other.client_kill_filter(_type="normal", skipme=True)
        await store.ping()


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "means"),
    [
        (exceptions.ConnectionError("gone"), Transient),
        (exceptions.TimeoutError("slow"), Transient),
        (exceptions.BusyLoadingError("LOADING"), Transient),
        (exceptions.ReadOnlyError("READONLY"), Transient),
        (exceptions.ClusterDownError("CLUSTERDOWN"), Transient),
        (exceptions.OutOfMemoryError("above maxmemory"), Transient),
        (exceptions.ResponseError("MISCONF cannot write"), Transient),
        (exceptions.ResponseError("BUSY running a script"), Transient),
        (exceptions.MaxConnectionsError("Too many connections"), Transient),
        (ConnectionResetError("reset"), Transient),
        (exceptions.AuthenticationError("WRONGPASS"), Refused),
        (exceptions.NoPermissionError("NOPERM"), Refused),
        (exceptions.ResponseError("WRONGTYPE of key"), Refused),
        (exceptions.InvalidResponse("\x1b[2J" + "x" * 5000), Refused),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_errors_of_redis_say_what_to_do(raised: Exception, means: type[OutsideError]) -> None:
    with pytest.raises(means) as caught, translated():
        raise raised
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


async def test_a_key_of_somebody_else_is_refused(running: Server) -> None:
    async with redis_store(running, None, prefix="spoilt") as store, raw(running) as client:
        await client.set("{spoilt}:owner", "a string")
        with pytest.raises(Refused, match="WRONGTYPE"):
            await store.owner("build:k")


@REAL
async def test_memory_that_is_full_is_transient_and_nothing_is_half_written() -> None:
    options = ("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    async with own_server(*options) as path, client_of(f"unix://{path}") as client:
        store = RedisStore(client)
        with pytest.raises(Transient, match=r"OOM|maxmemory"):
            await put(store, a_build("b1"))
        assert await store.jobs(JobKind.BUILD, ended=False) == []
        assert await store.audit() == []


# --- scripts and keys -----------------------------------------------------------------------


async def test_scripts_that_the_server_forgot_are_sent_again(running: Server) -> None:
    async with redis_store(running, None) as store, raw(running) as client:
        await put(store, a_build("b1"))
        await client.script_flush()
        assert (await take(store)).job.id == "b1"


@REAL
async def test_a_flushed_server_is_a_new_store(clock: ManualClock) -> None:
    async with own_server() as path, client_of(f"unix://{path}") as client:
        store = RedisStore(client, clock=clock)
        job = an_update("u1", pool="infra")
        await put(store, job)
        leased = await take(store)
        await client.flushall()
        assert await store.jobs(JobKind.UPDATE, ended=False) == []
        assert await store.owner("update:east/infra") is None
        await put(store, job)
        assert (await store.get("u1")).version == 1
        with pytest.raises(OutsideError):
            await store.renew(leased, 10)


@REAL
async def test_all_keys_live_in_one_slot_of_a_cluster(clock: ManualClock) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if port > 55_000:
        port -= 10_000  # the cluster's bus listens 10,000 above
    options = ("--cluster-enabled", "yes", "--port", str(port), "--bind", "127.0.0.1")
    async with own_server(*options) as path, client_of(f"unix://{path}") as client:
        slot = await client.execute_command("CLUSTER", "KEYSLOT", "{relayer}")
        await client.execute_command("CLUSTER", "ADDSLOTS", slot)
        async with asyncio.timeout(10):
            while b"cluster_state:fail" in await client.execute_command("CLUSTER", "INFO"):
                await client.execute_command("CONFIG", "SET", "cluster-require-full-coverage", "no")
                await asyncio.sleep(0.05)
        store = RedisStore(client, clock=clock)
        await put(store, a_build("b1"))
        await put(store, an_update("u1", build="b1"))
        leased = await take(store)
        await store.add_log("b1", ["line"])
        await store.set_progress("b1", {"step": 1})
        await store.remember("east", "infra", "k", "why")
        await store.bury(leased, "why", entry(leased.job))
        assert await store.lead("a", 10)
        keys = await client.keys("*")
        assert {key.split(b":")[0] for key in keys} == {b"{relayer}"}


@REAL
async def test_the_documented_rights_are_enough() -> None:
    page = Path(__file__).parents[2] / "docs/decisions/0003-embedded-store.md"
    named = re.search(r"^`(\+@read .*)`\.$", page.read_text(), re.MULTILINE)
    assert named
    rights = ["~{relayer}*", *named[1].split()]
    async with own_server("--user", "relayer", "on", f">{PASSWORD}", *rights) as path:
        url = f"unix://relayer@{path}"
        async with client_of(url, password=PASSWORD) as client:
            await check(client, allow_unsafe=True)
            store = RedisStore(client)
            await put(store, a_build("b1"))
            await store.add_log("b1", ["line"])
            leased = await take(store)
            await store.renew(leased, 10)
            await store.wait_due(0.01)
            await store.bury(leased, "why", entry("b1"))
            assert await store.lead("a", 10)
            assert len(await store.audit()) == 2
        async with client_of(url, password=PASSWORD) as client:
            with pytest.raises(Refused, match="permissions"):
                await RedisStore(client, prefix="other").owner("build:k")


async def test_the_servers_clock_counts_unless_a_test_has_its_own(running: Server) -> None:
    async with redis_store(running, None) as store:
        await put(store, a_build("b1"), due_in_seconds=0.05)
        assert await store.claim("w", 10, list(JobKind)) is None
        async with asyncio.timeout(5):
            await store.wait_due(5)
        assert (await take(store)).job.id == "b1"


async def test_a_record_of_a_newer_release_is_left_to_it(
    running: Server, clock: ManualClock
) -> None:
    async with redis_store(running, clock, prefix="newer") as store, raw(running) as client:
        await put(store, a_build("b1"))
        await client.hset("{newer}:job:b1", "r", '{"v":2,"kind":"build","body":{}}')
        for read in (
            store.get("b1"),
            store.jobs(JobKind.BUILD, ended=False),
            take(store, lease_seconds=600),
        ):
            with pytest.raises(UnreadableRecord, match="newer"):
                await read
        assert await store.claim("w", 10, list(JobKind)) is None
        clock.forward(10)
        with pytest.raises(UnreadableRecord):
            await take(store)


async def test_logs_and_progress_go_after_a_month_and_records_stay(running: Server) -> None:
    async with redis_store(running, None, prefix="month") as store, raw(running) as client:
        await put(store, a_build("b1"))
        await store.add_log("b1", ["line"])
        await store.set_progress("b1", {"step": 1})
        month = 30 * 24 * 3600
        assert month - 60 < await client.ttl("{month}:log:b1") <= month
        assert month - 60 < await client.ttl("{month}:progress:b1") <= month
        assert await client.ttl("{month}:job:b1") == -1

"""The Redis of `--with redis`: its command and file, run by a real server, pass our own check."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError

from tests.contract.test_manifests_kustomize import rendered
from watcher.clients.store.redis_connect import check, from_url

pytestmark = pytest.mark.real("redis-server")


def laid_out(directory: Path, password: str | None) -> tuple[list[str], Path]:
    """The container's command with its volumes below `directory`; and the socket."""
    objects = rendered("highly-available", "redis")
    redis = next(one for one in objects if one["kind"] == "StatefulSet")["spec"]["template"]
    named = {one["metadata"]["name"]: one for one in objects if one["kind"] == "ConfigMap"}
    (container,) = redis["spec"]["containers"]
    for mount in container["volumeMounts"]:
        (directory / mount["mountPath"].strip("/")).mkdir(parents=True)
    socket = directory / "redis.sock"
    text = named["relayer-redis"]["data"]["redis.conf"]
    text = text.replace("dir /data", f"dir {directory}/data")
    beside = f"port 0\nunixsocket {socket}\n"
    (directory / "etc/redis-config/redis.conf").write_text(text + beside)
    if password is not None:
        (directory / "etc/redis-password/password").write_text(password)
    command = list(container["command"])
    for place in ("/etc/redis-config", "/etc/redis-password", "/run/redis"):
        command[-1] = command[-1].replace(place, f"{directory}{place}")
    return command, socket


@asynccontextmanager
async def running(password: str | None) -> AsyncIterator[tuple[Any, Path, Path]]:
    with tempfile.TemporaryDirectory(prefix="relayer-redis-") as made:
        directory = Path(made)
        command, socket = await asyncio.to_thread(laid_out, directory, password)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(10):
                while not socket.exists() and process.returncode is None:
                    await asyncio.sleep(0.01)
            yield process, socket, directory
        finally:
            if process.returncode is None:
                process.terminate()  # to `sh` it would be lost: it must have become the server
            async with asyncio.timeout(10):
                await process.wait()


async def test_it_keeps_what_it_is_given_and_wants_the_password() -> None:
    async with running("a-long-password") as (_, socket, directory):
        client = from_url(f"unix://{socket}", password="a-long-password")
        try:
            assert await check(client) == []
        finally:
            await client.aclose()
        stranger = from_url(f"unix://{socket}")
        try:
            with pytest.raises(AuthenticationError):
                await stranger.ping()
        finally:
            await stranger.aclose()
        written = directory / "run/redis/redis.conf"
        assert written.stat().st_mode & 0o077 == 0
        assert list((directory / "data").rglob("*.aof"))


async def test_it_ends_in_good_order() -> None:
    async with running("a-long-password") as (process, _, _):
        pass
    assert process.returncode == 0


@pytest.mark.parametrize("password", ["", None])
async def test_without_a_password_it_does_not_begin(password: str | None) -> None:
    async with running(password) as (process, _, _), asyncio.timeout(10):
        assert await process.wait() == 1

"""The service as processes of their own, to be killed and frozen; and the Redis they share."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from redis.asyncio import Redis

from tests.scenario.world import until
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.config import effective
from watcher.settings import RedisSettings, Settings


class Replica:
    """One `relayer run`."""

    def __init__(self, config: Path, log: Path) -> None:
        self._log = log.open("wb")
        command = [str(Path(sys.executable).with_name("relayer")), "run", "-c", str(config)]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self.log = log

    def kill(self) -> None:
        """As the kernel does when memory is short: no warning, no clean-up."""
        self.process.kill()
        self.process.wait(timeout=10)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> int:
        """As Kubernetes does; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(timeout=10)
        self._log.close()


@contextmanager
def replica(settings: Settings, directory: Path, name: str) -> Iterator[Replica]:
    """Start a replica; it is killed at the end if it still runs."""
    config = directory / f"{name}.yaml"
    # Replicas are pods: they share Redis, and nothing else.
    config.write_text(effective(replace(settings, state_dir=directory / f"state-{name}")))
    started = Replica(config, directory / f"{name}.log")
    try:
        yield started
    finally:
        started.close()


class Server:
    """A Redis with AOF on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.directory,
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)


@asynccontextmanager
async def shared_redis(directory: Path) -> AsyncIterator[tuple[Server, RedisStore, Redis]]:
    """A server for several replicas, and the test's own look into it."""
    server = Server(directory)
    client = from_url(server.url)
    store = RedisStore(client)
    try:
        await until(lambda: _accepts(server.port), what="redis")
        yield server, store, client
    finally:
        await client.aclose()
        server.kill()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def on(server: Server, settings: Settings) -> Settings:
    """The settings, with the shared store."""
    return replace(settings, redis=RedisSettings(url=server.url))


async def pause(seconds: float) -> None:
    """Let a real lease of another process run out; there is no clock to move in it."""
    await asyncio.sleep(seconds)

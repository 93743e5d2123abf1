"""A server of our own for those who run none: one process, one unix socket, AOF in the state dir.

Two locks make it safe to kill anything at any time. `owner.lock` is held by the process that runs
the server. `data.lock` is inherited by the server itself: as long as it is held, some server still
writes the files, whatever became of its owner. Choices: docs/decisions/0003-embedded-store.md.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from watcher.clients.store.embedded_files import (
    configuration,
    locked,
    private_directory,
    private_file,
    socket_path,
    tail,
    try_lock,
    write_private,
)
from watcher.clients.store.embedded_program import find_program
from watcher.clients.store.warnings import warn
from watcher.ports import Refused, Transient

START_SECONDS = 30.0
"""Reading an append-only file of some hundred MB takes seconds."""
STOP_SECONDS = 8.0
"""Below the 20 s that the service has to end."""
LOCK_SECONDS = 5.0
"""A command beside us may own the server for a moment."""
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server."""

    socket: Path
    process: asyncio.subprocess.Process | None
    """None: it belongs to another process of this host."""

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self.socket))}"

    async def ended(self) -> None:
        """Return when the server ended by itself; never if it is not ours to watch."""
        if self.process is None:
            await asyncio.Event().wait()
        else:
            await self.process.wait()


@asynccontextmanager
async def embedded(
    state_dir: Path,
    *,
    alone: bool = False,
    program: Path | None = None,
    lock_seconds: float = LOCK_SECONDS,
    stop_seconds: float = STOP_SECONDS,
) -> AsyncIterator[Server]:
    """Yield the state directory's server, started unless another process of this host runs it.

    `alone`: raise Refused if another process has it (a service must outlive its own server only).
    """
    directory = private_directory(state_dir)
    with locked(directory / "owner.lock") as owner:
        if not await _taken(owner, within=lock_seconds if alone else 0):
            if alone:
                raise Refused(
                    f"another relayer runs on the state directory {state_dir}: stop it, or give"
                    " this one its own state_dir, or set redis.url for several replicas"
                )
            yield Server(await _running(directory), None)
            return
        chosen = program or await find_program()
        async with _started(directory, chosen, stop_seconds) as server:
            yield server


def find_socket(state_dir: Path) -> Path | None:
    """Return where the server of this state directory listens; None if none does."""
    path = socket_path(state_dir.absolute() / "store")
    return path if path.exists() else None


@asynccontextmanager
async def _started(directory: Path, program: Path, stop_seconds: float) -> AsyncIterator[Server]:
    socket = socket_path(directory)
    with locked(directory / "data.lock") as data:
        await _end_leftover(directory, data, stop_seconds)
        socket.unlink(missing_ok=True)
        process = await _start(directory, program, data)
    try:
        await _came_up(process, directory)
        yield Server(socket, process)
    finally:
        await _stop(process, stop_seconds)


async def _end_leftover(directory: Path, data: int, stop_seconds: float) -> None:
    """End a server whose owner was killed. It ends by SIGTERM, which writes out everything."""
    if try_lock(data):
        return
    # Somebody has the file open and locked, and only a server of ours ever does: the pid is its.
    try:
        pid = int((directory / "server.pid").read_text())
    except (OSError, ValueError) as error:
        raise Refused(f"a server still works in {directory}, pid unknown: end it") from error
    warn("leftover_server", pid=pid, directory=str(directory))
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it ends just now
        except PermissionError as error:
            raise Refused(f"a server of another user works in {directory}: end {pid}") from error
        if await _taken(data, within=stop_seconds):
            return
    raise Refused(f"process {pid} works in {directory} and does not end: end it")


async def _taken(descriptor: int, *, within: float) -> bool:
    """Try to take the lock for at most `within` seconds: a lock sends no event."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not try_lock(descriptor):
        if loop.time() >= end:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def _start(directory: Path, program: Path, data: int) -> asyncio.subprocess.Process:
    write_private(directory / "redis.conf", configuration(directory))
    write_private(directory / "server.pid", "")
    with private_file(directory / "server.log") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                directory / "redis.conf",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": os.defpath},
                # Ctrl-C in a terminal is for us: the server ends after the last job was saved.
                start_new_session=True,
                umask=0o077,
                pass_fds=(data,),
            )
        except OSError as error:
            raise Refused(f"{program} cannot be started: {error.strerror}") from error
    write_private(directory / "server.pid", str(process.pid))
    return process


async def _came_up(process: asyncio.subprocess.Process, directory: Path) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _answers(socket_path(directory)):
                if process.returncode is not None:
                    raise Refused(f"the embedded server ended at once: {tail(directory)}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise Transient(
            f"the embedded server was not ready in {START_SECONDS:g} s: {tail(directory)}"
        ) from error


async def _running(directory: Path) -> Path:
    """Wait for the server that another process has just started, or has long been running."""
    socket = socket_path(directory)
    loop = asyncio.get_running_loop()
    end = loop.time() + LOCK_SECONDS
    while not await _answers(socket):
        if loop.time() >= end:
            raise Transient(f"another process has {directory}, but its server does not answer")
        await asyncio.sleep(_POLL_SECONDS)
    return socket


async def _answers(socket: Path) -> bool:
    """Whether the server takes commands: while it reads its file it answers with an error."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        await writer.drain()
        async with asyncio.timeout(1):
            return (await reader.readline()).startswith(b"+PONG")
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()


async def _stop(process: asyncio.subprocess.Process, stop_seconds: float) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(stop_seconds):
            await process.wait()
    except TimeoutError:
        warn("embedded_server_killed", pid=process.pid)
        process.kill()
        await process.wait()

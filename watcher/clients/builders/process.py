"""Runs one program: its output line by line, its end for certain.

Never a shell. The program gets a session of its own and a mark in its environment, so that it and
its children are found again by whoever comes after a crash: a pid alone may be another's by then.
"""

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watcher.clients.registry.errors import clean
from watcher.ports import Log, Refused, Transient

MARK = "RELAYER_WORK"
"""Environment variable with the work directory a process belongs to."""
_LINE_CHARACTERS = 500
"""As much of a line as the store keeps."""
_LINE_BYTES = 64 * 1024
_LAST_LINES = 20
_REAP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Its exit code; negative: the signal that killed it."""
    last_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run, and how."""

    argv: Sequence[str]
    work: Path
    """The directory it belongs to, also where it starts."""
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    timeout_seconds: float
    grace_seconds: float
    secrets: Sequence[str] = ()
    """Texts that must not appear in a line."""


async def run(program: Program, log: Log) -> Ended:
    """Run it to its end. Raise Refused if it is not there, Transient if it takes too long.

    Cancelling ends it and its children before the cancellation goes on.
    """
    process = await _spawn(program)
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        async with asyncio.timeout(program.timeout_seconds):
            assert process.stdout is not None
            async for raw in _lines(process.stdout):
                if line := told(raw, secrets=program.secrets):
                    last.append(line)
                    await log(line)
            return Ended(await process.wait(), tuple(last))
    except TimeoutError as error:
        what = " ".join(program.argv[:1])
        raise Transient(f"{what} was stopped after {program.timeout_seconds:g} s") from error
    finally:
        if process.returncode is None:
            await _stop(process, program)


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *program.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**program.environment, MARK: str(program.work)},
            cwd=program.work,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise Refused(
            f"{clean(program.argv[0])} cannot be started ({error.strerror}): install it, "
            "or choose another builder"
        ) from error


async def _stop(process: asyncio.subprocess.Process, program: Program) -> None:
    try:
        _signal_group(process.pid, signal.SIGTERM)
        await _ended(process, within_seconds=program.grace_seconds)
    finally:  # also when we are cancelled once more while it has its grace
        _signal_group(process.pid, signal.SIGKILL)
        await kill_all(program.work)
        await _ended(process, within_seconds=_REAP_SECONDS)
        await asyncio.sleep(0)  # the pipe is closed in the loop's next turn


async def _ended(process: asyncio.subprocess.Process, *, within_seconds: float) -> None:
    """Wait for its end, but no longer. What it still says is read and forgotten.

    Unread, it would keep a program that writes more than a pipe holds from ending, and asyncio
    from telling: for that the end of a process is also that of its pipe.
    """
    assert process.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await asyncio.gather(process.wait(), _drained(process.stdout))


async def _drained(stream: asyncio.StreamReader) -> None:
    while await stream.read(_LINE_BYTES):
        pass


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines as they come; of one that is too long its beginning."""
    rest, skipping = b"", False
    while chunk := await stream.read(_LINE_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if not skipping:
                yield line
            skipping = False
        if len(rest) > _LINE_BYTES:
            if not skipping:
                yield rest
            rest, skipping = b"", True
    if rest and not skipping:
        yield rest


def told(raw: bytes, *, secrets: Iterable[str] = ()) -> str:
    """A line made fit for people: no secrets, no control characters, bounded."""
    text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
    for secret in secrets:
        text = text.replace(secret, "***")
    # A progress bar draws over itself: only what stood there last counts.
    text = _COLOURS.sub("", text).rpartition("\r")[2]
    return clean(text, limit=_LINE_CHARACTERS)


def processes_of(work: Path) -> list[int]:
    """Running processes that belong to `work`: marked with it, or with their root inside it.

    What a RUN starts has the image's environment and no mark, but its root is in our storage.
    """
    mark = f"{MARK}={work}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                root = os.readlink(entry / "root")
                marked = mark in (entry / "environ").read_bytes().split(b"\0")
                if marked or Path(root).is_relative_to(work):
                    found.append(int(entry.name))
    return found


async def kill_all(work: Path) -> None:
    """SIGKILL whatever belongs to `work`, and wait until it is gone; raise Transient if it stays.

    Only for who owns `work`: it does not ask whose child a process is.
    """
    try:
        async with asyncio.timeout(_REAP_SECONDS):
            while found := processes_of(work):
                for pid in found:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise Transient(f"processes of an earlier build do not end: {found}") from error

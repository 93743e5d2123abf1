"""A worker is killed, or frozen, in the middle of a step: when does another take over, how often
does the step take effect? Our store beside streaq and rq at their best settings.

Killed: SIGKILL to every process of the worker; from there to the moment another one begins the
step. Frozen: SIGSTOP until another has finished the step, then SIGCONT: does the thawed one take
effect as well? The two libraries live in an environment of their own, made from a locked file.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis.asyncio import Redis

from tests.contract.stores import a_build
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.ports import Change

LEASE_SECONDS = 5.0
STEP_SECONDS = 6.0
"""Longer than the lease, so that it has to be renewed."""
TAKEN_OVER_WITHIN_SECONDS = 150.0
AFTER_THAW_SECONDS = STEP_SECONDS + 3
HERE = Path(__file__).parent
VENV = HERE.parent / ".venv-bench"
QUEUES = ("ours", "with_streaq", "with_rq")


@dataclass(frozen=True, slots=True)
class Mark:
    """One line that a worker left in Redis."""

    pid: int
    at: float


@dataclass(frozen=True, slots=True)
class Case:
    """One queue in a database of its own."""

    queue: str
    url: str
    client: Redis

    @property
    def command(self) -> list[str]:
        interpreter = sys.executable if self.queue == "ours" else str(VENV / "bin" / "python")
        program = str(HERE / "queues" / f"{self.queue}.py")
        return [interpreter, program, self.url, str(STEP_SECONDS), str(LEASE_SECONDS)]

    async def enqueue(self) -> None:
        if self.queue == "ours":
            store = RedisStore(self.client)
            await store.commit([Change(job=a_build("b1"), expected=0)], [])
            return
        process = await asyncio.create_subprocess_exec(*self.command, "enqueue", **_quiet())
        assert await process.wait() == 0, f"{self.queue} could not put a job"

    async def marks(self, name: str) -> list[Mark]:
        if self.queue == "ours" and name == "effects":
            # What took effect is what was committed: the audit says so.
            trail = await RedisStore(self.client).audit("b1")
            return [Mark(0, line.at.timestamp()) for line in trail if line.event == "BuildFailed"]
        execute: Any = self.client.execute_command  # untyped in redis-py
        found = await execute("LRANGE", name, 0, -1)
        return [Mark(int(pid), float(at)) for pid, at in (line.split() for line in found)]

    async def marked(self, name: str, count: int, *, within: float) -> list[Mark]:
        """Wait until there are as many marks; fewer if the time is over."""
        end = time.monotonic() + within
        while len(found := await self.marks(name)) < count and time.monotonic() < end:
            await asyncio.sleep(0.02)
        return found

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[int]:
        """A worker in a session of its own; every process of it is ended."""
        process = await asyncio.create_subprocess_exec(
            *self.command, **_quiet(), start_new_session=True, cwd=HERE.parent
        )
        try:
            yield process.pid
        finally:
            _signal(process.pid, signal.SIGKILL)
            await process.wait()


def _quiet() -> dict[str, Any]:
    # rq finds the step by the name of its module.
    path = os.pathsep.join((str(HERE.parent), str(HERE / "queues")))
    output = None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL
    return {"stdout": output, "stderr": output, "env": {**os.environ, "PYTHONPATH": path}}


def _signal(session: int, number: signal.Signals) -> None:
    """Send it to every process of the session: rq's workers fork into groups of their own."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                os.kill(int(stat.parent.name), number)
        except (OSError, IndexError):
            continue


async def _killed(case: Case) -> dict[str, Any]:
    await case.enqueue()
    async with case.worker() as first:
        await case.marked("begun", 1, within=30)
        async with case.worker():
            await asyncio.sleep(1.5)  # the other is up, the step is in its middle
            _signal(first, signal.SIGKILL)
            killed_at = time.time()
            begun = await case.marked("begun", 2, within=TAKEN_OVER_WITHIN_SECONDS)
            if len(begun) < 2:
                return {"takeover_seconds": None, "effects": len(await case.marks("effects"))}
            await case.marked("effects", 1, within=STEP_SECONDS + 10)
            await asyncio.sleep(1)
            return {
                "takeover_seconds": round(begun[1].at - killed_at, 2),
                "effects": len(await case.marks("effects")),
            }


async def _frozen(case: Case) -> dict[str, Any]:
    await case.enqueue()
    async with case.worker() as first:
        await case.marked("begun", 1, within=30)
        async with case.worker():
            await asyncio.sleep(1.5)
            _signal(first, signal.SIGSTOP)
            frozen_at = time.time()
            begun = await case.marked("begun", 2, within=TAKEN_OVER_WITHIN_SECONDS)
            await case.marked("effects", 1, within=STEP_SECONDS + 10)
            _signal(first, signal.SIGCONT)
            await case.marked("effects", 2, within=AFTER_THAW_SECONDS)
            return {
                "takeover_seconds": round(begun[1].at - frozen_at, 2) if begun[1:] else None,
                "effects": len(await case.marks("effects")),
            }


@asynccontextmanager
async def _server() -> AsyncIterator[str]:
    program = shutil.which("redis-server")
    assert program, "needs redis-server"
    with socket.socket() as probe, TemporaryDirectory(prefix="relayer-bench-") as directory:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        process = await asyncio.create_subprocess_exec(
            *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory),
            *("--save", "", "--appendonly", "yes"),
            stdout=subprocess.DEVNULL,
        )
        try:
            client = from_url(f"redis://127.0.0.1:{port}")
            end = time.monotonic() + 10
            while time.monotonic() < end:
                try:
                    await RedisStore(client).ping()
                    break
                except Exception:
                    await asyncio.sleep(0.02)
            await client.aclose()
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


async def _measured(base: str, queue: str, number: int, *, kill: bool) -> dict[str, Any]:
    url = f"{base}/{number}"
    client = from_url(url)
    try:
        case = Case(queue, url, client)
        return await (_killed(case) if kill else _frozen(case))
    finally:
        await client.aclose()


async def _measure(queues: tuple[str, ...]) -> dict[str, Any]:
    """All at once: they mostly wait, and one after the other takes minutes."""
    tasks: dict[tuple[str, bool], asyncio.Task[dict[str, Any]]] = {}
    async with _server() as base, asyncio.TaskGroup() as group:
        for number, (queue, kill) in enumerate((q, k) for q in queues for k in (True, False)):
            work = _measured(base, queue, number, kill=kill)
            tasks[queue, kill] = group.create_task(work)
    return {
        queue: {"killed": tasks[queue, True].result(), "frozen": tasks[queue, False].result()}
        for queue in queues
    }


def _environment() -> bool:
    """Make the libraries' environment; False where their packages cannot be had."""
    python = str(VENV / "bin" / "python")
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    install = [python, "-m", "pip", "install", "-q", "--require-hashes"]
    known = subprocess.run([python, "-c", "import rq, streaq"], stderr=subprocess.DEVNULL)
    if known.returncode == 0:
        return True
    made = subprocess.run([*install, "-r", str(HERE / "requirements.lock")], stdout=sys.stderr)
    return made.returncode == 0


def run() -> dict[str, Any]:
    queues = QUEUES if _environment() else QUEUES[:1]
    found = asyncio.run(_measure(queues))
    ours = found["ours"]
    taken_over = [ours[how]["takeover_seconds"] for how in ("killed", "frozen")]
    over = None if None in taken_over else round(max(taken_over) - LEASE_SECONDS, 2)
    return {
        "lease_seconds": LEASE_SECONDS,
        "over_lease_seconds": over,
        "double_effects": sum(max(0, ours[how]["effects"] - 1) for how in ("killed", "frozen")),
        "queues": found,
        "left_out": sorted(set(QUEUES) - set(queues)),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

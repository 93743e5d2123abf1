"""The embedded server's directory: private, locked, with a configuration that keeps everything."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from watcher.ports import Refused

SOCKET_BYTES = 100
"""Linux takes 107 bytes of path for a unix socket, macOS 103."""


def private_directory(state_dir: Path) -> Path:
    """Return the server's directory, made and closed to others; raise Refused."""
    directory = state_dir.absolute() / "store"
    for private in (directory, socket_path(directory).parent):
        try:
            private.mkdir(mode=0o700, parents=True, exist_ok=True)
            if private.is_symlink() or private.stat().st_uid != os.getuid():
                raise Refused(f"{private} belongs to another user: set another state_dir")
            private.chmod(0o700)
        except OSError as error:
            raise Refused(
                f"the state directory {state_dir} cannot be used ({error.strerror}):"
                " set state_dir to one that can be written"
            ) from error
    return directory


def socket_path(directory: Path) -> Path:
    """Return the socket's path; below a temporary directory of ours where it would be too long."""
    path = directory / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_BYTES:
        return path
    mark = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"relayer-{os.getuid()}-{mark}" / "redis.sock"


def private_file(path: Path) -> BinaryIO:
    """Open the file empty, for us alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def write_private(path: Path, text: str) -> None:
    with private_file(path) as file:
        file.write(text.encode())


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Open a lock file; whoever inherits the descriptor holds the lock as well."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock, or say that another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def configuration(directory: Path) -> str:
    """Return the server's configuration file."""
    options = {
        "port": "0",
        "unixsocket": str(socket_path(directory)),
        "unixsocketperm": "700",
        "dir": str(directory),
        "pidfile": str(directory / "server.pid"),
        "daemonize": "no",
        "databases": "1",
        "save": "",
        "appendonly": "yes",
        # Saved before anything is done: with `everysec` an answer can come before the disk has it.
        "appendfsync": "always",
        # Plain commands can be read by every Redis and Valkey; dumps only by their own family.
        "aof-use-rdb-preamble": "no",
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {_quoted(value)}\n" for name, value in options.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def tail(directory: Path) -> str:
    """Return the end of the server's log on one line, for the sentence of an error."""
    with (directory / "server.log").open("rb") as output:
        output.seek(max(0, output.seek(0, os.SEEK_END) - 400))
        text = output.read(400).decode("utf-8", "replace")
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())

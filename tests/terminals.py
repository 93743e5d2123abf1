"""A real terminal of some width for our program: what it draws there, escape codes and all."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

RELAYER = str(Path(sys.executable).with_name("relayer"))
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(
    *words: object, columns: int = 80, environment: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """Run `relayer` with stdout on a terminal; return what came there, and the exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    said = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")
    }
    running = subprocess.Popen(
        [RELAYER, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**said, "TERM": "xterm-256color", **(environment or {})},
    )
    os.close(theirs)
    drawn = b""
    try:
        while chunk := _read(ours):
            drawn += chunk
    finally:
        os.close(ours)
        code = running.wait(60)
    return drawn.decode().replace("\r\n", "\n"), code


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""


def bare(drawn: str) -> str:
    """What a person reads: without colours and moves."""
    return _CODES.sub("", drawn)

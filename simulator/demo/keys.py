"""Single key presses, where there is a terminal to press them on."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pressed() -> Iterator["asyncio.Queue[str]"]:
    """A queue of the keys pressed, one character each; always empty without a terminal.

    The terminal is put back as it was. Ctrl-C stays a signal.
    """
    keys: asyncio.Queue[str] = asyncio.Queue()
    if not (sys.stdin and sys.stdin.isatty()):
        yield keys
        return
    terminal = sys.stdin.fileno()
    loop = asyncio.get_running_loop()

    def read() -> None:
        typed = os.read(terminal, 64)
        if not typed:  # the terminal is gone
            loop.remove_reader(terminal)
        for key in typed.decode(errors="replace"):
            keys.put_nowait(key.lower())

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield keys
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)

"""Secrets from files and the environment: bounded, and never in an error's text."""

import os
from collections.abc import Mapping
from pathlib import Path

from watcher.ports import Refused

MOST_BYTES = 4096


def text_of(file: Path) -> str:
    """Return the beginning of a file as it is; raise Refused if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error


def read(
    file: Path | None, variable: str, *, what: str, environment: Mapping[str, str] | None = None
) -> str:
    """Return the secret; raise Refused, naming `what`, where it cannot be had or is no secret."""
    where = str(file) if file is not None else f"${variable}"
    if file is not None:
        try:
            text = text_of(file)
        except Refused as error:
            raise Refused(f"{what}: {error}") from error
    else:
        text = (os.environ if environment is None else environment).get(variable, "")
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Refused(f"{what}: {where} must hold one word of printable characters")
    return text

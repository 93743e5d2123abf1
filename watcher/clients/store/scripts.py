"""The scripts of the store: loaded once, called by their hash, sent again when Redis forgot them.

A script is one atomic step of Redis; that is why every change of the store is one.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from watcher.clients.store.cancelling import cancellable
from watcher.clients.store.redis_errors import translated

Argument = bytes | str | int


@cache
def _text(name: str) -> tuple[str, str]:
    """Return the script's source and its hash."""
    folder = files(__package__)
    source = "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
    # Not for security: it is the name under which Redis keeps a script.
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """Runs scripts on one prefix."""

    def __init__(self, client: Redis, tag: str) -> None:
        self._execute: Any = client.execute_command  # untyped in redis-py
        self._tag = tag

    async def run(self, name: str, *arguments: Argument) -> Any:
        """Run `<name>.lua`; raise Transient or Refused."""
        source, digest = _text(name)
        with translated():
            try:
                return await cancellable(self._execute("EVALSHA", digest, 1, self._tag, *arguments))
            except NoScriptError:  # a restarted or flushed server, or a replica that took over
                return await cancellable(self._execute("EVAL", source, 1, self._tag, *arguments))

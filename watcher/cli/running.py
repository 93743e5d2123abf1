"""How every command is carried out: settings, the work, errors as exit codes.

Imports little: what a command does not need must not cost it time.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from watcher.cli.exits import Code, explain
from watcher.cli.options import remote
from watcher.cli.output import tell

if TYPE_CHECKING:
    from watcher.cli.door import Door
    from watcher.settings import Settings

USUAL = Path("/etc/relayer/relayer.yaml")
"""Read if neither -c nor RELAYER_CONFIG names another."""


def settings_from(path: Path | None) -> "Settings":
    """Return the settings of the file, or the defaults where none is named. Raise ConfigError."""
    if path is None and not USUAL.exists():
        from watcher.settings import Settings

        return Settings()
    from watcher import config

    return config.load(path or USUAL)


def carry_out(
    ctx: typer.Context, path: Path | None, work: Callable[["Settings"], Awaitable[Code]]
) -> None:
    """Run a command's work to its end; leave with its code or that of its error."""
    from watcher import logs

    debug = is_debug(ctx)
    if os.environ.get("RELAYER_SERVER"):
        tell("RELAYER_SERVER is set; this command works here all the same, on this configuration")
    try:
        settings = settings_from(path)
        logs.configure("debug" if debug else "error", stream=sys.stderr)
        code = asyncio.run(_coroutine(work, settings))
    except Exception as error:
        code = failed(error, debug=debug)
    raise typer.Exit(code)


def ask(
    ctx: typer.Context, path: Path | None, work: Callable[["Door"], Awaitable[Code]]
) -> NoReturn:
    """Run a command's work at the service beside us, or at the one that --server names.

    Log lines are of no use here, and their library takes long to load.
    """
    there = remote.get()

    async def asked() -> Code:
        if there is not None:
            from watcher.cli.remote_door import remote_door

            async with remote_door(there) as far:
                return await work(far)
        from watcher.cli.local_door import local_door

        async with local_door(settings_from(path)) as near:
            return await work(near)

    carry_out_alone(ctx, asked)


def carry_out_alone(ctx: typer.Context, work: Callable[[], Awaitable[Code]]) -> NoReturn:
    """The same for work that reads the configuration itself, if it needs it."""
    debug = is_debug(ctx)
    try:
        if debug:
            from watcher import logs

            logs.configure("debug", stream=sys.stderr)
        code = asyncio.run(_awaited(work))
    except Exception as error:
        code = failed(error, debug=debug)
    raise typer.Exit(code)


async def _awaited(work: Callable[[], Awaitable[Code]]) -> Code:
    return await work()


async def _coroutine(work: Callable[["Settings"], Awaitable[Code]], settings: "Settings") -> Code:
    return await work(settings)


def is_debug(ctx: typer.Context) -> bool:
    """Whether tracebacks are wanted."""
    return bool(ctx.obj)


def failed(error: BaseException, *, debug: bool) -> Code:
    """Tell an error in one line, or with its traceback; return its code."""
    if debug:
        traceback.print_exception(error)
    code, sentence = explain(error)
    tell(sentence)
    return code

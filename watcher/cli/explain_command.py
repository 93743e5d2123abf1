"""The command `relayer explain` and its options."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import typer

from watcher.cli.options import Config, Files, Output, PoolName
from watcher.cli.output import Format

if TYPE_CHECKING:
    from watcher.cli.exits import Code
    from watcher.settings import Settings


def explain(
    ctx: typer.Context,
    pool: PoolName,
    files: Files = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show why a pool is decided about so.

    From the cluster's release over its signature, base, MachineConfigs and what runs to the
    decision, what stands in the way, and what happens next; each with who said so.
    """
    from watcher.cli import explain as work
    from watcher.cli import running

    paths = list(files or [])

    async def asked(settings: "Settings") -> "Code":
        if paths:
            return await work.of_files(settings, pool, paths, output)
        from watcher.cli.local_door import local_door

        async with local_door(settings) as door:
            return await work.live(door, pool, output)

    running.carry_out(ctx, config, asked)


COMMANDS: Mapping[str, Callable[..., None]] = {"explain": explain}

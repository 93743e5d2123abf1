"""The command `relayer drift` and its options."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from watcher.cli.exits import Code
from watcher.cli.options import Config, Files, Output, Watch
from watcher.cli.output import Format

if TYPE_CHECKING:
    from watcher.settings import Settings


def drift(
    ctx: typer.Context,
    files: Files = None,
    cluster: Annotated[
        str, typer.Option("--cluster", metavar="NAME", help="This one only.", show_default=False)
    ] = "",
    registry: Annotated[
        bool,
        typer.Option("--registry", help="With --from: ask registries and the update service too."),
    ] = False,
    watch: Watch = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show how far behind every pool is, why, and what it blocks.

    Of the configured clusters, or of files: then nothing is needed but these.
    """
    from watcher.cli import drift as work
    from watcher.cli import running

    paths = list(files or [])
    if watch:
        if paths:
            raise typer.BadParameter("--watch is of clusters: files do not change")
        from watcher.cli import watching

        running.ask(ctx, config, lambda d: watching.drift(d, output, cluster=cluster))
    if not paths:
        running.ask(ctx, config, lambda d: work.drift(d, output, cluster=cluster))
        return

    def asked(settings: "Settings") -> Awaitable[Code]:
        return work.of_files(settings, paths, output, cluster=cluster, registry=registry)

    if registry:
        running.carry_out(ctx, config, asked)
    else:
        # Nothing here writes log lines, and their library takes longer to load than this runs.
        running.carry_out_alone(ctx, lambda: asked(running.settings_from(config)))


COMMANDS: Mapping[str, Callable[..., None]] = {"drift": drift}

"""The command `relayer init` and its options."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher.cli.options import Output
from watcher.cli.output import Format

_NONE: Any = None


def init(
    ctx: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write; here, if left out.")
    ] = Path(),
    from_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--from-kubeconfig",
            metavar="FILE",
            help="Else KUBECONFIG or ~/.kube/config.",
            show_default=False,
        ),
    ] = None,
    contexts: Annotated[
        list[str],
        typer.Option(
            "--context", metavar="NAME", help="Of a cluster; repeatable.", show_default=False
        ),
    ] = _NONE,
    pools: Annotated[
        list[str],
        typer.Option(
            "--pool", metavar="POOL", help="To look after; repeatable.", show_default=False
        ),
    ] = _NONE,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="How it is called.")
    ] = "layered",
    target: Annotated[
        str,
        typer.Option(
            "--target", metavar="REPOSITORY", help="Where images are pushed.", show_default=False
        ),
    ] = "",
    approvers: Annotated[
        list[str],
        typer.Option(
            "--approver",
            metavar="WHO",
            help="token:ann, cli:ann …; repeatable.",
            show_default=False,
        ),
    ] = _NONE,
    registry_config: Annotated[
        Path | None,
        typer.Option("--registry-config", "-a", metavar="FILE", help="Logins.", show_default=False),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: take what is usual.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Write a configuration and a recipe.

    From the contexts of a kubeconfig and a few answers. Overwrites nothing, connects to nothing.
    """
    from watcher.cli import init as work
    from watcher.cli import running

    wanted = work.Wanted(
        kubeconfig=from_kubeconfig,
        contexts=tuple(contexts or ()),
        pools=tuple(pools or ()),
        recipe=recipe,
        target=target,
        approvers=tuple(approvers or ()),
        registry_config=registry_config,
        yes=yes,
    )
    running.carry_out_alone(ctx, lambda: work.init(directory, wanted, output))


COMMANDS: Mapping[str, Callable[..., None]] = {"init": init}

"""`relayer lint RECIPE`: its options. It needs no service, no cluster and no configuration."""

from typing import Annotated, Literal

import typer

from watcher.cli.options import Config, Output
from watcher.cli.output import Format

Sarif = Annotated[
    Literal["sarif"] | None,
    typer.Option(
        "--format",
        metavar="sarif",
        help="Print SARIF 2.1.0, for code scanning; in place of -o.",
        show_default=False,
    ),
]


def lint(
    ctx: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe of the configuration, a directory, or a Containerfile in its directory.",
        ),
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with 1 for warnings too, not only for errors.")
    ] = False,
    form: Sarif = None,
    release: Annotated[
        str,
        typer.Option(
            "--release",
            metavar="VERSION",
            help="Of the cluster, as 4.18.9 or 4.18: some rules depend on it.",
            show_default=False,
        ),
    ] = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Say what is wrong with a recipe.

    Each rule has a code; `# relayer:ignore CODE why` in the Containerfile silences one. Exit code 1
    if there is an error, 4 if the recipe cannot be read.
    """
    from watcher.cli import lint as work
    from watcher.cli import running

    asked = work.Asked(recipe=recipe, strict=strict, sarif=form is not None, release=release)
    running.carry_out_alone(ctx, lambda: work.lint(asked, config, output))


COMMANDS = {"lint": lint}

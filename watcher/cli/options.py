"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.output import Format

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="RELAYER_CONFIG",
        metavar="FILE",
        help="Configuration file; else /etc/relayer/relayer.yaml, if it is there.",
        show_default=False,
    ),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print the result.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; kept in the audit trail.")]
BoundTo = Annotated[
    str,
    typer.Option(
        "--binding",
        metavar="sha256:…",
        help="Decide only about exactly this (`binding` in JSON); refused if it has changed since.",
    ),
]
UpdateId = Annotated[str, typer.Argument(metavar="UPDATE", help="Id of an update, u-….")]
PoolName = Annotated[
    str, typer.Argument(metavar="POOL", help="cluster/pool, or pool if only one cluster has it.")
]
Until = Annotated[
    str,
    typer.Option(
        "--until",
        metavar="TIME",
        help="2h, 3d, tomorrow, monday 14:00, 2026-12-01 08:00; of one pool also next-window. "
        "Local time of the pools, unless an offset is given.",
        show_default=False,
    ),
]

"""Options and arguments that several commands share."""

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from watcher.cli.output import Format, colourless

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
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        metavar="PATH",
        help="A must-gather, or what `oc get clusterversion,mcp,mc,nodes -o yaml` printed; "
        "may be given several times. Nothing else is asked then.",
        show_default=False,
    ),
]
Output = Annotated[
    Format,
    typer.Option("--output", "-o", help="How to print the result; wide: with more columns."),
]
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


def _completed(names: str) -> Callable[[str], list[str]]:
    """Return what completes a word; loaded only when somebody presses Tab."""

    def complete(incomplete: str) -> list[str]:
        from watcher.cli import completing

        found: list[str] = getattr(completing, names)(incomplete)
        return found

    return complete


UpdateId = Annotated[
    str,
    typer.Argument(
        metavar="UPDATE", help="Id of an update, u-….", autocompletion=_completed("updates")
    ),
]
PoolName = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        help="cluster/pool, or pool if only one cluster has it.",
        autocompletion=_completed("pools"),
    ),
]
AnyPool = Annotated[
    str | None,
    typer.Argument(metavar="POOL", help="All, if left out.", autocompletion=_completed("pools")),
]
PoolOrId = Annotated[
    str | None,
    typer.Argument(
        metavar="POOL|ID",
        help="A pool's updates, or one job's audit trail.",
        autocompletion=_completed("pools_and_updates"),
    ),
]
AnyCluster = Annotated[
    str | None,
    typer.Argument(
        metavar="CLUSTER", help="Everything, if left out.", autocompletion=_completed("clusters")
    ),
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
Watch = Annotated[
    bool,
    typer.Option("--watch", "-w", help="Stay, and show what changes; piped: a line for each."),
]


class Remote(NamedTuple):
    """A running service, as --server and its companions name it."""

    url: str
    token_file: Path | None
    ca_file: Path | None


remote: ContextVar[Remote | None] = ContextVar("remote", default=None)
"""The service that is asked; None: the one beside us."""
_NO_COLOR = Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")]
_SERVER = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="RELAYER_SERVER",
        metavar="URL",
        help="Ask this running service, in place of the one beside us.",
        show_default=False,
    ),
]
_TOKEN_FILE = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="RELAYER_TOKEN_FILE",
        metavar="FILE",
        help="With --server: a file with the token that says who asks.",
        show_default=False,
    ),
]
_CA_FILE = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="RELAYER_CA_FILE",
        metavar="FILE",
        help="With --server: certificates that it may be signed by, in place of the system's.",
        show_default=False,
    ),
]


def coloured(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with --no-color."""

    def begin(no_color: bool) -> None:
        if no_color:
            colourless.set(True)

    return _with(command, begin, no_color=(_NO_COLOR, False))


def remotely(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options that name a running service."""

    def begin(server: str, token_file: Path | None, ca_file: Path | None) -> None:
        if not server and ca_file:
            raise typer.BadParameter("--ca-file is for --server")
        if server:
            remote.set(Remote(server, token_file, ca_file))

    more = {"server": (_SERVER, ""), "token_file": (_TOKEN_FILE, None), "ca_file": (_CA_FILE, None)}
    return _with(command, begin, **more)


def _with(
    command: Callable[..., None], begin: Callable[..., None], **more: tuple[Any, Any]
) -> Callable[..., None]:
    """Return the command with more options, which `begin` gets before it runs."""

    @functools.wraps(command)
    def both(*words: Any, **said: Any) -> None:
        begin(**{name: said.pop(name) for name in more})
        command(*words, **said)

    had = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in more.items()
    ]
    both.__signature__ = had.replace(  # type: ignore[attr-defined]
        parameters=[*had.parameters.values(), *added]
    )
    both.__annotations__ = {**command.__annotations__, **{n: k for n, (k, _) in more.items()}}
    return both

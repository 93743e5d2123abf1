"""The commands about silences, and their options. `app` has the others."""

from typing import Annotated

import typer

from watcher.cli.options import Config, Output, Until
from watcher.cli.output import Format

Scope = Annotated[
    str, typer.Argument(metavar="SCOPE", help="CLUSTER or CLUSTER/POOL; everywhere, if left out.")
]
Rule = Annotated[
    str, typer.Option("--rule", metavar="RULE", help="Of one alert rule; of all, if left out.")
]
Why = Annotated[str, typer.Option("--reason", "-r", help="Why; kept with the silence.")]


def silence(
    ctx: typer.Context,
    until: Until,
    reason: Why,
    scope: Scope = "",
    rule: Rule = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Hold back alerts for a while.

    Until --until, at most 30 days. Nothing but what is told changes.
    """
    from watcher.cli import running, silencing

    running.ask(
        ctx,
        config,
        lambda d: silencing.silence(d, scope, rule=rule, until=until, reason=reason, form=output),
    )


def unsilence(
    ctx: typer.Context,
    silence: Annotated[str, typer.Argument(metavar="SILENCE", help="Id of a silence, s-….")],
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Lift a silence."""
    from watcher.cli import running, silencing

    running.ask(ctx, config, lambda d: silencing.unsilence(d, silence, output))


def silences(ctx: typer.Context, config: Config = None, output: Output = Format.TABLE) -> None:
    """List silences in force."""
    from watcher.cli import running, silencing

    running.ask(ctx, config, lambda d: silencing.silences(d, output))


COMMANDS = (silence, unsilence, silences)

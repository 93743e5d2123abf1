"""The commands about when things may begin, and their options. `app` has the others."""

from typing import Annotated

import typer

from watcher.cli.options import (
    AnyCluster,
    AnyPool,
    BoundTo,
    Config,
    Output,
    PoolName,
    Reason,
    Until,
    UpdateId,
    Yes,
)
from watcher.cli.output import Format

Why = Annotated[str, typer.Option("--reason", "-r", help="Why; who finds it frozen reads it.")]


def freeze(
    ctx: typer.Context,
    reason: Why,
    cluster: AnyCluster = None,
    until: Until = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Let nothing begin, anywhere or in a cluster.

    Until --until, or until it is lifted. Rollouts that are under way go on.
    """
    from watcher.cli import freezing, running

    running.ask(
        ctx,
        config,
        lambda d: freezing.freeze(d, cluster, until=until, reason=reason, form=output),
    )


def unfreeze(
    ctx: typer.Context,
    cluster: AnyCluster = None,
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Lift the freeze of everything or a cluster.

    Only the one of exactly this scope; `relayer freezes` lists them.
    """
    from watcher.cli import freezing, running

    running.ask(ctx, config, lambda d: freezing.unfreeze(d, cluster, yes=yes, form=output))


def hold(
    ctx: typer.Context,
    pool: PoolName,
    until: Until = "",
    reason: Reason = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Let nothing begin on a pool.

    Until --until, or until it is lifted. A rollout that is under way goes on.
    """
    from watcher.cli import freezing, running

    running.ask(
        ctx, config, lambda d: freezing.hold(d, pool, until=until, reason=reason, form=output)
    )


def unhold(
    ctx: typer.Context,
    pool: PoolName,
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Lift the hold of a pool."""
    from watcher.cli import freezing, running

    running.ask(ctx, config, lambda d: freezing.unhold(d, pool, yes=yes, form=output))


def freezes(ctx: typer.Context, config: Config = None, output: Output = Format.TABLE) -> None:
    """List freezes and holds in force."""
    from watcher.cli import freezing, running

    running.ask(ctx, config, lambda d: freezing.freezes(d, output))


def snooze(
    ctx: typer.Context,
    update: UpdateId,
    until: Until,
    binding: BoundTo = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Put an update off.

    It neither reminds, expires nor begins before; an approval ends that.
    """
    from watcher.cli import deciding, running

    running.ask(
        ctx,
        config,
        lambda d: deciding.snooze(d, update, until=until, binding=binding, form=output),
    )


def windows(
    ctx: typer.Context,
    pool: AnyPool = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show when pools may be changed.

    Whether an update may begin now, every reason why not, and what is ahead. Asks no cluster.
    """
    from watcher.cli import running, timetables

    running.ask(ctx, config, lambda d: timetables.windows(d, pool, output))


COMMANDS = (freeze, unfreeze, hold, unhold, freezes, snooze, windows)

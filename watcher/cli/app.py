"""The commands and their options. Nothing heavy is imported here: `--help` must come at once."""

from pathlib import Path
from typing import Annotated

import typer

from watcher.cli import (
    doctor_commands,
    drift_command,
    lint_command,
    manifests,
    release_commands,
    silence_commands,
    timing_commands,
)
from watcher.cli.options import BoundTo, Config, Output, PoolName, Reason, UpdateId, Yes
from watcher.cli.output import Format

app = typer.Typer(
    name="relayer",
    help="Keeps layered RHCOS pools of OpenShift clusters on the release of their cluster.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 unreachable, 4 refused, "
    "5 declined, 6 not found.",
    no_args_is_help=True,
    rich_markup_mode=None,  # loading rich would double the time of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def common(
    ctx: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and log lines on stderr.")
    ] = False,
) -> None:
    """Remember what holds for every command."""
    ctx.obj = debug


@app.command()
def run(ctx: typer.Context, config: Config = None) -> None:
    """Run the service until told to stop."""
    from watcher.cli import running, serving

    running.carry_out(ctx, config, serving.run)


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def demo(ctx: typer.Context) -> None:
    """Tell the story on a simulated cluster."""
    from watcher.cli import serving

    serving.demo(ctx.args)


@app.command()
def status(ctx: typer.Context, config: Config = None, output: Output = Format.TABLE) -> None:
    """Show pools, active updates, recent ends."""
    from watcher.cli import looking, running

    running.carry_out(ctx, config, lambda s: looking.status(s, output))


@app.command()
def plan(
    ctx: typer.Context,
    pool: Annotated[str | None, typer.Argument(metavar="POOL", help="All, if left out.")] = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what would be done, and why.

    Names what stands in the way of applying it now. Changes nothing.
    """
    from watcher.cli import looking, running

    running.carry_out(ctx, config, lambda s: looking.plan(s, pool, output))


@app.command()
def rebuild(
    ctx: typer.Context,
    pool: PoolName,
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="Also onto an older base.")
    ] = False,
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Ask for an update of a pool now.

    Also of what was rejected or rolled back before. Its policy says who approves.
    """
    from watcher.cli import deciding, running

    running.carry_out(
        ctx,
        config,
        lambda s: deciding.rebuild(s, pool, allow_downgrade=allow_downgrade, yes=yes, form=output),
    )


@app.command()
def approve(
    ctx: typer.Context,
    update: UpdateId,
    reason: Reason = "",
    binding: BoundTo = "",
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Approve an update, as cli:<your user>."""
    _decide(ctx, "approve", update, reason, binding, yes, config, output)


@app.command()
def reject(
    ctx: typer.Context,
    update: UpdateId,
    reason: Reason = "",
    binding: BoundTo = "",
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Reject an update that has not begun.

    Its build is not proposed again by itself for that pool.
    """
    _decide(ctx, "reject", update, reason, binding, yes, config, output)


def _decide(
    ctx: typer.Context,
    what: str,
    update: str,
    reason: str,
    binding: str,
    yes: bool,
    config: Path | None,
    output: Format,
) -> None:
    from watcher.cli import deciding, running

    running.carry_out(
        ctx,
        config,
        lambda s: deciding.decide(
            s,
            "approve" if what == "approve" else "reject",
            update,
            reason=reason,
            binding=binding,
            yes=yes,
            form=output,
        ),
    )


@app.command()
def stock(
    ctx: typer.Context,
    pool: PoolName,
    yes: Yes = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Ask for the stock image on a pool.

    Our override is removed once that is approved, and the rollout is followed.
    """
    from watcher.cli import deciding, running

    running.carry_out(ctx, config, lambda s: deciding.stock(s, pool, yes=yes, form=output))


@app.command()
def history(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="POOL|ID", help="A pool's updates, or one job's audit trail."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500)] = 20,
    log: Annotated[bool, typer.Option("--log", help="With an id: the build's log too.")] = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show updates, or one job's audit trail."""
    from watcher.cli import looking, running

    running.carry_out(ctx, config, lambda s: looking.history(s, target, limit, log, output))


@app.command()
def dead(ctx: typer.Context, config: Config = None, output: Output = Format.TABLE) -> None:
    """Show dead letters: jobs set aside.

    Handling them crashed again and again; `relayer revive` tries once more.
    """
    from watcher.cli import looking, running

    running.carry_out(ctx, config, lambda s: looking.dead(s, output))


@app.command()
def revive(
    ctx: typer.Context,
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a dead letter.")],
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Bring a dead letter back into the queue."""
    from watcher.cli import deciding, running

    running.carry_out(ctx, config, lambda s: deciding.revive(s, job, output))


@app.command()
def cancel(
    ctx: typer.Context,
    build: Annotated[str, typer.Argument(metavar="BUILD", help="Id of a build.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the build.")] = "",
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Cancel a build that runs or waits.

    The updates that wait for it fail; their clusters are not touched.
    """
    from watcher.cli import deciding, running

    running.carry_out(ctx, config, lambda s: deciding.cancel(s, build, reason, output))


for command in (*timing_commands.COMMANDS, *silence_commands.COMMANDS):
    app.command()(command)


for name, answer in {
    **drift_command.COMMANDS,
    **lint_command.COMMANDS,
    **manifests.COMMANDS,
    **release_commands.COMMANDS,
}.items():
    app.command(name)(answer)


@app.command("check-config")
def check_config(ctx: typer.Context, config: Config = None, output: Output = Format.TABLE) -> None:
    """Check the configuration and print it.

    What holds in the end, defaults included, secrets hidden. Opens no connection.
    """
    from watcher.cli import running, serving

    try:
        code = serving.check_config(config, output)
    except Exception as error:
        code = running.failed(error, debug=running.is_debug(ctx))
    raise typer.Exit(code)


for subject, look in doctor_commands.COMMANDS.items():
    app.command(subject)(look)


@app.command()
def version(output: Output = Format.TABLE) -> None:
    """Print the version."""
    from watcher.cli import serving

    raise typer.Exit(serving.version(output))

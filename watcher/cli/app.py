"""The commands and their options. Nothing heavy is imported here: `--help` must come at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from watcher.cli import (
    doctor_commands,
    drift_command,
    explain_command,
    init_command,
    lint_command,
    manifests,
    release_commands,
    silence_commands,
    timing_commands,
)
from watcher.cli.options import (
    AnyPool,
    BoundTo,
    Config,
    Output,
    PoolName,
    PoolOrId,
    Reason,
    UpdateId,
    Watch,
    Yes,
    coloured,
    remotely,
)
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
def status(
    ctx: typer.Context,
    watch: Watch = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show pools, active updates, recent ends."""
    from watcher.cli import looking, running

    if watch:
        from watcher.cli import watching

        running.ask(ctx, config, lambda d: watching.status(d, output))
    running.ask(ctx, config, lambda d: looking.status(d, output))


@app.command()
def plan(
    ctx: typer.Context,
    pool: AnyPool = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show what would be done, and why.

    Names what stands in the way of applying it now. Changes nothing.
    """
    from watcher.cli import plans, running

    running.ask(ctx, config, lambda d: plans.plan(d, pool, output))


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

    running.ask(
        ctx,
        config,
        lambda d: deciding.rebuild(d, pool, allow_downgrade=allow_downgrade, yes=yes, form=output),
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

    running.ask(
        ctx,
        config,
        lambda d: deciding.decide(
            d,
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

    running.ask(ctx, config, lambda d: deciding.stock(d, pool, yes=yes, form=output))


@app.command()
def history(
    ctx: typer.Context,
    target: PoolOrId = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500)] = 20,
    log: Annotated[bool, typer.Option("--log", help="With an id: the build's log too.")] = False,
    watch: Watch = False,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Show updates, or one job's audit trail.

    With --watch and an id until its end; the exit code is that of the end.
    """
    from watcher.cli import looking, running

    if watch:
        if target is None or not looking.is_job(target):
            raise typer.BadParameter("--watch follows one update or build: name its id")
        from watcher.cli import watching

        running.ask(ctx, config, lambda d: watching.history(d, target, output))

    running.ask(ctx, config, lambda d: looking.history(d, target, limit, log, output))


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


more: dict[str, Callable[..., None]] = {
    **drift_command.COMMANDS,
    **explain_command.COMMANDS,
    **init_command.COMMANDS,
    **lint_command.COMMANDS,
    **manifests.COMMANDS,
    **release_commands.COMMANDS,
}
for name, answer in more.items():
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
def bundle(
    ctx: typer.Context,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Else relayer-bundle-<time>.tar.gz here.",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Write an archive for whoever helps.

    Version, configuration, status, drift, history, audit; without secrets.
    """
    from watcher.cli import bundle as work
    from watcher.cli import running

    running.carry_out(ctx, config, lambda s: work.bundle(s, to, output))


@app.command()
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="bash|zsh|fish", help="Whose script is printed."),
    ],
) -> None:
    """Print what completes commands in a shell.

    bash: `source <(relayer completion bash)` in ~/.bashrc.
    """
    from watcher.cli import completing

    typer.echo(completing.script(shell))


@app.command()
def version(output: Output = Format.TABLE) -> None:
    """Print the version."""
    from watcher.cli import serving

    raise typer.Exit(serving.version(output))


REMOTE = frozenset(
    {
        *("status", "drift", "plan", "history", "windows"),
        *("approve", "reject", "snooze", "rebuild", "stock"),
        *("freeze", "unfreeze", "hold", "unhold", "freezes"),
        *("silence", "unsilence", "silences"),
    }
)
"""Commands that a running service answers too."""
for made in app.registered_commands:
    named = made.name or getattr(made.callback, "__name__", "")
    if made.callback is not None and named not in ("run", "demo"):
        made.callback = coloured(remotely(made.callback) if named in REMOTE else made.callback)

"""`relayer doctor SUBJECT`: the options of all three subjects."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from watcher.cli.options import Config, Output
from watcher.cli.output import Format
from watcher.cli.release_commands import (
    CertificateAuthority,
    Cluster,
    IcspFile,
    IdmsFile,
    Insecure,
    Kubeconfig,
    RegistryConfig,
)

if TYPE_CHECKING:
    from watcher.cli import reach


def doctor(
    ctx: typer.Context,
    subject: Annotated[
        Literal["slack", "registry", "release"],
        typer.Argument(metavar="slack|registry|release", help="What is checked."),
    ],
    pool: Annotated[
        str,
        typer.Argument(
            metavar="POOL", help="Of registry and release: cluster/pool, or pool; else all."
        ),
    ] = "",
    post: Annotated[
        bool,
        typer.Option(
            "--post", help="Of slack: also post a test message to slack.channel, and delete it."
        ),
    ] = False,
    registry_config: RegistryConfig = None,
    certificate_authority: CertificateAuthority = None,
    insecure: Insecure = False,
    idms_file: IdmsFile = None,
    icsp_file: IcspFile = None,
    cluster: Cluster = "",
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Check what is set up outside.

    Tries each step that the service will need, and prints a line for each: it went well, or why
    not and what to do. slack: tokens, scopes, channels, groups and the way back. registry: what
    recipes make can be pushed and pulled. release: from the cluster's release to the bases of its
    pools. Needs no service, and changes nothing.
    """
    from watcher.cli import reach, running

    flags = reach.Flags.given(ctx.params)
    if subject == "slack":
        _slack(ctx, flags, pool, post, output)
        return
    if post:
        raise typer.BadParameter("--post is for `relayer doctor slack`")
    from watcher.cli import doctor_registry, doctor_release

    asked = doctor_release.Asked(pool=pool, flags=flags)
    work = doctor_registry.registry if subject == "registry" else doctor_release.release
    running.carry_out(ctx, config, lambda s: work(s, asked, output))


def _slack(ctx: typer.Context, flags: "reach.Flags", pool: str, post: bool, output: Format) -> None:
    from watcher.cli import doctor as work
    from watcher.cli import running
    from watcher.cli.reach import Flags

    if pool or flags != Flags(config=flags.config):
        raise typer.BadParameter("`relayer doctor slack` takes --post, -c and -o only")
    running.carry_out(ctx, flags.config, lambda s: work.slack(s, post=post, form=output))


COMMANDS = {"doctor": doctor}

"""The commands about releases and images, which work beside `oc` and need no service."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from watcher.cli.options import Config, Output
from watcher.cli.output import Format

RegistryConfig = Annotated[
    Path | None,
    typer.Option(
        "--registry-config",
        "-a",
        metavar="FILE",
        help="Logins; else registry.auth_file, else those of podman and docker.",
        show_default=False,
    ),
]
CertificateAuthority = Annotated[
    Path | None,
    typer.Option(
        "--certificate-authority",
        metavar="FILE",
        help="Certificates that registries may be signed by, beside the system's.",
        show_default=False,
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Check no certificate; speak plain HTTP if need be.")
]
FilterByOs = Annotated[
    str,
    typer.Option(
        "--filter-by-os",
        metavar="REGEX",
        help="Which entry of a list: os/architecture[/variant]; else linux and this machine's.",
        show_default=False,
    ),
]
IdmsFile = Annotated[
    Path | None,
    typer.Option(
        "--idms-file", metavar="FILE", help="Mirrors: ImageDigestMirrorSet.", show_default=False
    ),
]
IcspFile = Annotated[
    Path | None,
    typer.Option(
        "--icsp-file",
        metavar="FILE",
        help="Mirrors: ImageContentSourcePolicy (deprecated).",
        show_default=False,
    ),
]
Stream = Annotated[
    str,
    typer.Option(
        "--stream",
        metavar="STREAM",
        help="Which OS image: rhel-9, rhel-10, …; else the default one.",
        show_default=False,
    ),
]
Cluster = Annotated[
    str,
    typer.Option("--cluster", metavar="NAME", help="One of the configuration.", show_default=False),
]
Kubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="A cluster that is in no configuration; else KUBECONFIG or ~/.kube/config, if one "
        "is needed; for a version it only helps.",
        show_default=False,
    ),
]


def image_for(
    ctx: typer.Context,
    tag: Annotated[
        str, typer.Argument(metavar="TAG", help="A name in the release; else its OS image.")
    ] = "",
    release: Annotated[
        str,
        typer.Argument(
            metavar="RELEASE", help="A pullspec or a version; else the cluster's release."
        ),
    ] = "",
    stream: Stream = "",
    registry_config: RegistryConfig = None,
    certificate_authority: CertificateAuthority = None,
    insecure: Insecure = False,
    filter_by_os: FilterByOs = "",
    idms_file: IdmsFile = None,
    icsp_file: IcspFile = None,
    cluster: Cluster = "",
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Print which image a release names.

    As `oc adm release info --image-for`: the pullspec verbatim, whatever mirrors there are. With
    -o json also versions, architectures, and whether the release is genuine.
    """
    from watcher.cli import image_for as work
    from watcher.cli import reach, running

    flags = reach.Flags.given(ctx.params)
    running.carry_out_alone(
        ctx,
        lambda: work.image_for(
            work.question(tag, release, stream=stream, filter_by_os=filter_by_os, flags=flags),
            output,
        ),
    )


def lineage(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A pullspec.")],
    architecture: Annotated[
        str, typer.Option("--architecture", metavar="ARCH", help="amd64, arm64, ppc64le or s390x.")
    ] = "amd64",
    stream: Stream = "",
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Prove what the image claims by its layers.")
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
    """Print which base an image was built on.

    By its labels, else by its layers or version among the releases of the cluster, if there is one,
    and of the update graph. Exit code 6 if nobody knows.
    """
    from watcher.cli import lineage_of, reach, running

    flags = reach.Flags.given(ctx.params)
    asked = lineage_of.Question(
        image=image, architecture=architecture, stream=stream, thorough=thorough, flags=flags
    )
    running.carry_out_alone(ctx, lambda: lineage_of.lineage(asked, output))


def releases(
    ctx: typer.Context,
    cluster: Cluster = "",
    kubeconfig: Kubeconfig = None,
    config: Config = None,
    output: Output = Format.TABLE,
) -> None:
    """Print to which releases a cluster may go, and at which risk.

    As its ClusterVersion says: recommended ones, and those that the update service recommends under
    conditions only, with what is told of each risk.
    """
    from watcher.cli import offered, reach, running

    flags = reach.Flags(cluster=cluster, kubeconfig=kubeconfig, config=config)
    running.carry_out_alone(ctx, lambda: offered.releases(flags, output))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "image-for": image_for,
    "lineage": lineage,
    "releases": releases,
}

"""`relayer manifests`: its options. It needs no service, no cluster and no other tool."""

from pathlib import Path
from typing import Annotated, Any

import typer

from watcher.cli.options import Output
from watcher.cli.output import Format


def _option(name: str, text: str, metavar: str) -> Any:
    return typer.Option(name, help=text, metavar=metavar, show_default=False)


Image = Annotated[str, _option("--image", "The service's image, by digest.", "IMAGE@sha256:…")]
Overlay = Annotated[
    str,
    _option(
        "--overlay",
        "single (the default), highly-available, disconnected; watched: only the rights, for a "
        "cluster that a service elsewhere looks after.",
        "OVERLAY",
    ),
]
Components = Annotated[
    list[str],
    _option("--with", "route, redis, openshift-logins, disconnected. Repeatable.", "COMPONENT"),
]
Name = Annotated[str, _option("--name", "Of every object; relayer, if left out.", "NAME")]
Namespace = Annotated[str, _option("--namespace", "relayer, if left out.", "NAME")]
StorageClass = Annotated[
    str, _option("--storage-class", "The cluster's default, if left out.", "NAME")
]
StorageSize = Annotated[str, _option("--storage-size", "10Gi, if left out.", "SIZE")]
OwnConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Your relayer.yaml, checked.", show_default=False
    ),
]
Recipes = Annotated[
    list[str],
    _option("--recipe", "Mounted at /etc/relayer/recipes/NAME. Repeatable.", "NAME=DIRECTORY"),
]
RedisUrl = Annotated[str, _option("--redis-url", "Of highly-available, without a password.", "URL")]
RedisImage = Annotated[str, _option("--redis-image", "Of --with redis.", "IMAGE@sha256:…")]
Host = Annotated[str, _option("--host", "Of --with route.", "HOST")]
Env = Annotated[
    list[str], _option("--env", "HTTPS_PROXY=… and the like; no secrets. Repeatable.", "NAME=VALUE")
]
EgressPorts = Annotated[
    list[int],
    _option("--egress-port", "Of a registry or proxy on an unusual port. Repeatable.", "PORT"),
]
AllowTag = Annotated[bool, typer.Option("--allow-tag", help="Take images by tag too.")]
ValuesFile = Annotated[
    Path | None, _option("--values", "The same in YAML, with _ for -; options win.", "FILE")
]
To = Annotated[
    Path | None, _option("--to", "Write files there, in place of printing.", "DIRECTORY")
]
_NONE: Any = None


def manifests(
    ctx: typer.Context,
    image: Image = "",
    overlay: Overlay = "",
    components: Components = _NONE,
    name: Name = "",
    namespace: Namespace = "",
    storage_class: StorageClass = "",
    storage_size: StorageSize = "",
    config: OwnConfig = None,
    recipes: Recipes = _NONE,
    redis_url: RedisUrl = "",
    redis_image: RedisImage = "",
    host: Host = "",
    env: Env = _NONE,
    egress_ports: EgressPorts = _NONE,
    allow_tag: AllowTag = False,
    values: ValuesFile = None,
    to: To = None,
    output: Output = Format.TABLE,
) -> None:
    """Print what installs Relayer on a cluster.

    YAML for `oc apply -f -`; with -o json a List. Nothing is asked and nothing is changed.
    """
    chosen = {
        "image": image,
        "overlay": overlay,
        "components": components,
        "name": name,
        "namespace": namespace,
        "storage_class": storage_class,
        "storage_size": storage_size,
        "config": config,
        "recipes": recipes,
        "redis_url": redis_url,
        "redis_image": redis_image,
        "host": host,
        "env": env,
        "egress_ports": egress_ports,
        "allow_tag": allow_tag,
    }
    from watcher.cli import manifests_work as work
    from watcher.cli import running

    running.carry_out_alone(ctx, lambda: work.manifests(chosen, values, to, output))


COMMANDS = {"manifests": manifests}

"""Clusters, registries, builders and recipes: opened as the settings say."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from watcher import secrets
from watcher.ancestry import Graphs
from watcher.clients.counting import CallMeter, Uncounted
from watcher.clients.kube.cluster import KubeCluster
from watcher.core.facts import ClusterName
from watcher.core.recipe import Recipe
from watcher.linting import Heads
from watcher.ports import Builder, Clock, Refused, Signatures, Transient
from watcher.settings import ClusterSettings, Settings

if TYPE_CHECKING:
    from watcher.clients.access import ClusterAccess
    from watcher.clients.kube.credentials import Credentials as ClusterCredentials
    from watcher.clients.kube.reflector import Pacing
    from watcher.clients.registry import RegistrySettings as RegistryClientSettings
    from watcher.clients.slack.api import SlackApi

log = structlog.get_logger()
UNCOUNTED = Uncounted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the clients wait and how often they ask again. Empty: as fits the field."""

    cluster: "Pacing | None" = None
    registry: "RegistryClientSettings | None" = None
    """Times and limits; trust comes from the configuration."""


USUAL = Patience()


class Clusters(dict[ClusterName, KubeCluster]):
    """Clusters by name. An update may outlive its cluster's place in the configuration, and
    another replica may still have it: that is waited for and told, not a bug."""

    def __missing__(self, name: ClusterName) -> KubeCluster:
        raise Transient(f"cluster {name} is not in the configuration of this replica")


OnChange = Callable[[ClusterName, str, str], None]
"""Takes cluster, kind and object name."""


@dataclass(frozen=True, slots=True)
class Registries:
    access: "ClusterAccess"
    settings: "RegistryClientSettings"


async def open_clusters(
    settings: Settings,
    stack: AsyncExitStack,
    clock: Clock,
    on_change: OnChange | None,
    patience: Patience,
    meter: CallMeter = UNCOUNTED,
) -> Clusters:
    """Check every cluster's credentials; nothing is watched yet."""
    clusters = Clusters()
    for one in settings.clusters:
        cluster = KubeCluster(
            one.name,
            credentials=_credentials(one, clock),
            clock=clock,
            on_change=_told(one.name, on_change),
            pacing=patience.cluster,
            counted=partial(meter.api_called, one.name),
        )
        clusters[one.name] = await stack.enter_async_context(cluster)
    return clusters


def _told(cluster: ClusterName, on_change: OnChange | None) -> Callable[[str, str], None]:
    def tell(kind: str, name: str) -> None:
        if on_change:
            on_change(cluster, kind, name)

    return tell


def _credentials(one: ClusterSettings, clock: Clock) -> "ClusterCredentials":
    from watcher.clients.kube import credentials

    if one.in_cluster:
        return credentials.in_cluster(clock=clock)
    if one.url:
        return credentials.TokenFile(one.url, token_file=one.token_file, ca_file=one.ca_file)
    return credentials.from_kubeconfig(one.kubeconfig, context=one.context or None, clock=clock)


async def open_registries(
    settings: Settings,
    stack: AsyncExitStack,
    patience: Patience,
    clusters: Clusters,
    meter: CallMeter = UNCOUNTED,
) -> Registries:
    """Open them as configured; what clusters add is asked for when it is needed."""
    from watcher.clients import access, registries

    said = settings.registry
    tuned = registries.tuned(said, patience.registry)
    opened = registries.opened(said, patience.registry, counted=meter.registry_called)
    client, ways = await stack.enter_async_context(opened)
    return Registries(access.ClusterAccess(client, clusters, ways), tuned)


async def open_signatures(
    settings: Settings, stack: AsyncExitStack, clusters: Clusters, clock: Clock
) -> Signatures:
    """What says whether releases are genuine. Connections are made when a store is asked."""
    from watcher.clients.signatures import GpgSignatures, Gpgv, Stores

    stores = await stack.enter_async_context(Stores())
    return GpgSignatures(settings.release, clusters, gpgv=Gpgv(), stores=stores, clock=clock)


async def open_graphs(stack: AsyncExitStack) -> Graphs:
    """The update service, or services: each cluster names its own."""
    from watcher.clients.graph import GraphClient

    return await stack.enter_async_context(GraphClient.opened())


async def open_slack(
    settings: Settings, stack: AsyncExitStack, meter: CallMeter = UNCOUNTED
) -> "SlackApi | None":
    """The way to speak to Slack, if a token is configured. Raise Refused if it cannot be read."""
    said = settings.slack
    if not said.is_on:
        return None
    from watcher.clients.slack.api import SlackApi

    token = secret_of(said.bot_token_file, said.bot_token_env, "slack.bot_token")
    opened = SlackApi.opened(token, api_url=said.api_url, counted=meter.slack_called)
    return await stack.enter_async_context(opened)


def secret_of(file: Path | None, variable: str, what: str) -> Callable[[], str]:
    """Return what reads the secret anew each time; raise Refused if it cannot be read now."""

    def read() -> str:
        return secrets.read(file, variable, what=what)

    read()
    return read


async def find_builders(settings: Settings, registries: Registries) -> list[Builder]:
    """Return the builders that work here, in the order in which `auto` prefers them."""
    from watcher.clients.builders import Append, Buildah, BuildahSettings

    said = settings.buildah
    buildah = BuildahSettings(
        work=settings.state_dir / "builds",
        isolation=said.isolation,
        storage_driver=said.storage_driver,
        build_seconds=said.timeout_seconds,
    )
    builders: list[Builder] = [Append(registries.access)]
    try:
        builders.append(await Buildah.found(buildah, registries.settings, registries.access))
    except Refused as error:
        log.info("no_buildah", cause=str(error))
    return builders


def read_recipe(settings: Settings, name: str) -> tuple[Recipe, Path, str]:
    """Read a recipe from its directory. Blocking."""
    from watcher.clients.recipes import load_recipe

    try:
        said = settings.recipe(name)
    except KeyError as error:  # a job may outlive its recipe's place in the configuration
        raise Refused(f"recipe {name} is not in the configuration") from error
    recipe = load_recipe(
        said.path,
        name=said.name,
        target=said.target,
        containerfile=said.containerfile or None,
        build_args=said.build_args,
    )
    return recipe, said.path, said.builder


def read_heads(settings: Settings, name: str) -> Heads:
    """What reads the beginnings of the files of a recipe that was read before."""
    from watcher.clients.recipes import heads

    return heads(settings.recipe(name).path)

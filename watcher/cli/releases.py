"""A release by its version: what the cluster knows, then what the update graph does."""

from collections.abc import Iterator

from watcher.cli.exits import NotFound, Usage
from watcher.cli.reach import Reach
from watcher.clients.graph import GraphClient
from watcher.core import graph, mco
from watcher.core.cluster import ClusterVersion
from watcher.core.graph import Node
from watcher.errors import OutsideError, Refused, Transient

CHANNELS = ("stable", "fast", "candidate")
"""Where a version is looked for, beside the cluster's own channel; each holds the ones before."""


async def image_of(at: Reach, version: str, architecture: str = "") -> tuple[str, str]:
    """Return who knows the version, and its release image as they name it.

    `architecture`: as in the update graph; empty: the cluster's. Raise NotFound, Usage for what is
    no version, Refused or Transient if nobody can say.
    """
    cv = at.view.cluster_version if at.view else None
    known = next((image for said, image in _known(cv) if said == version), "")
    if known:
        return f"ClusterVersion of {at.name}", known
    channels = _channels(cv, version)
    wanted = architecture or graph.architecture_of(cv)
    where = f"ClusterVersion of {at.name}, " if cv else ""
    said = f"release {version} is not in {where}the update graph ({', '.join(channels)}; {wanted})"
    url = graph.service_of(cv, at.release.graph_url)
    found, error = await _in_graph(url, channels, wanted, version)
    if found is not None:
        return "the update graph", _image(found)
    if error is not None:
        kind = Transient if isinstance(error, Transient) else Refused
        raise kind(f"{said}: {error}; name the release by its pullspec")
    raise NotFound(f"{said}; name it by its pullspec")


async def _in_graph(
    url: str, channels: list[str], architecture: str, version: str
) -> tuple[Node | None, OutsideError | None]:
    """The release in the first channel that has it; else why one could not be asked, if so."""
    silent: OutsideError | None = None
    async with GraphClient.opened() as client:
        for channel in channels:
            try:
                seen = await client.graph(
                    url=url, channel=channel, architecture=architecture, version=version
                )
            except Transient as error:
                return None, error  # the next channel is at the same place
            except OutsideError as error:
                silent = error
                continue
            if node := seen.graph.node(version):
                return node, None
    return None, silent


def _image(node: Node) -> str:
    """By digest also where the graph names it by tag, if it tells the digest beside it."""
    name, at, _ = node.payload.partition("@")
    return f"{name}@{node.digest}" if node.digest and not at else node.payload


def _known(cv: ClusterVersion | None) -> Iterator[tuple[str, str]]:
    """Versions with their images, the desired one first: one version may have several images."""
    if cv is None:
        return
    yield cv.desired_version, cv.desired_image
    yield from ((entry.version, entry.image) for entry in cv.history)
    yield from ((offer.version, offer.image) for offer in cv.offered)


def _channels(cv: ClusterVersion | None, version: str) -> list[str]:
    try:
        major, minor = mco.minor_of(version)
    except ValueError as error:
        raise Usage(f"{version[:100]} is no version of a release") from error
    own = [cv.channel] if cv and cv.channel else []
    return list(dict.fromkeys([*own, *(f"{name}-{major}.{minor}" for name in CHANNELS)]))

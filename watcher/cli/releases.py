"""A release by its version: what the cluster knows, then what the update graph does."""

from collections.abc import Iterator

from watcher.cli.exits import NotFound
from watcher.cli.reach import Reach
from watcher.clients.graph import GraphClient
from watcher.core import graph, mco
from watcher.core.cluster import ClusterVersion
from watcher.errors import OutsideError, Transient

CHANNELS = ("stable", "fast", "candidate")
"""Where a version is looked for, beside the cluster's own channel; each holds the ones before."""


async def image_of(at: Reach, version: str, architecture: str = "") -> str:
    """Return the release image of a version; raise NotFound, or Transient if nobody can say."""
    cv = at.view.cluster_version if at.view else None
    known = next((image for said, image in _known(cv) if said == version), "")
    if known:
        return known
    url = at.release.graph_url or (cv.upstream if cv else "") or graph.PUBLIC
    wanted = architecture or graph.architecture_of(cv)
    silent: list[str] = []
    channels = _channels(cv, version)
    async with GraphClient.opened() as client:
        for channel in channels:
            try:
                seen = await client.graph(
                    url=url, channel=channel, architecture=wanted, version=version
                )
            except OutsideError as error:
                silent.append(str(error))
                if isinstance(error, Transient):
                    break  # the next channel is at the same place
                continue
            if node := seen.graph.node(version):
                return node.payload
    where = f"ClusterVersion of {at.name}, " if cv else ""
    said = f"release {version} is not in {where}the update graph ({', '.join(channels)}; {wanted})"
    if silent:
        raise Transient(f"{said}: {silent[-1]}; name the release by its pullspec")
    raise NotFound(f"{said}; name it by its pullspec")


def _known(cv: ClusterVersion | None) -> Iterator[tuple[str, str]]:
    """Versions with their images, the desired one first: one version may have several images."""
    if cv is None:
        return
    yield cv.desired_version, cv.desired_image
    yield from ((entry.version, entry.image) for entry in cv.history)
    yield from ((offer.version, offer.image) for offer in cv.offered)


def _channels(cv: ClusterVersion | None, version: str) -> list[str]:
    major, minor = mco.minor_of(version)
    own = [cv.channel] if cv and cv.channel else []
    return list(dict.fromkeys([*own, *(f"{name}-{major}.{minor}" for name in CHANNELS)]))

"""Releases with OS images, and an image that stands on one of them: for tests of lineages."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.facts import a_version, base_image, digest, image, release_image
from tests.fakes import FakeImages
from watcher.ancestry import Ancestors, Ancestry
from watcher.core.cluster import ClusterVersion, HistoryEntry, OfferedUpdate
from watcher.core.facts import ClusterName, Pullspec
from watcher.core.graph import Graph, Node, SeenGraph
from watcher.core.images import VERSION, ImageFacts, Payload
from watcher.ports import OutsideError, Refused

IT = image("the image in question")


class Counting(FakeImages):
    """Remembers which releases were read, and how many at the same time at most."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Pullspec] = []
        self.clusters: list[ClusterName] = []
        self.now = self.most_at_once = 0

    def seen_from(self, cluster: ClusterName) -> "Counting":
        self.clusters.append(cluster)
        return self

    async def payload(self, release: Pullspec) -> Payload:
        self.read.append(release)
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return await super().payload(release)


@dataclass
class FakeGraphs:
    """Channel → versions of its releases, or what happens when it is asked for."""

    channels: dict[str, Sequence[str] | OutsideError] = field(default_factory=dict)
    stale_because: str = ""
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> SeenGraph:
        self.asked.append((url, channel, architecture, version))
        found = self.channels.get(channel, Refused(f"no channel {channel}"))
        if isinstance(found, OutsideError):
            raise found
        nodes = [Node(version=v, payload=release_image(v)) for v in found]
        return SeenGraph(graph=Graph(nodes), stale_because=self.stale_because)


@dataclass
class World:
    images: Counting = field(default_factory=Counting)
    graphs: FakeGraphs = field(default_factory=FakeGraphs)

    def release(self, version: str, os_version: str = "", tag: str = "rhel-coreos") -> str:
        """A release with an OS image of two layers of its own; returns its version."""
        payload = self.images.payloads.get(release_image(version))
        tags = {**(payload.tags if payload else {}), tag: str(self.base(version, tag))}
        self.images.payloads[release_image(version)] = Payload(
            image=release_image(version), version=version, tags=tags
        )
        self.hold(self.base(version, tag), self.layers(version, tag), {VERSION: os_version})
        return version

    def base(self, version: str, tag: str = "rhel-coreos") -> Pullspec:
        return base_image(version if tag == "rhel-coreos" else f"{version} {tag}")

    def layers(self, version: str, tag: str = "rhel-coreos") -> tuple[str, str]:
        return "common", f"{tag} of {version}"

    def hold(self, of: Pullspec, layers: Sequence[str], labels: dict[str, str]) -> None:
        self.images.held[of] = ImageFacts(
            image=of,
            manifest_digest=digest(f"manifest of {of}"),
            os="linux",
            architecture="amd64",
            diff_ids=tuple(map(digest, layers)),
            labels=labels,
        )

    def made_on(self, version: str, tag: str = "rhel-coreos", **labels: str) -> None:
        """The image in question has the layers of a base, and one of its own."""
        self.hold(IT, (*self.layers(version, tag), "by hand"), labels)

    @property
    def read(self) -> list[str]:
        by_image = {image: payload.version for image, payload in self.images.payloads.items()}
        return [by_image.get(release, "gone") for release in self.images.read]

    async def of(
        self, cv: ClusterVersion | None = None, *, stream: str = "", thorough: bool = False
    ) -> Ancestors:
        ancestry = Ancestry(self.images, self.graphs)
        return await ancestry.of(IT, cluster_version=cv, stream=stream, thorough=thorough)


def cluster(*history: str, channel: str = "", offered: Sequence[str] = ()) -> ClusterVersion:
    had = [HistoryEntry(state="Completed", version=v, image=release_image(v)) for v in history]
    return a_version(
        history[0],
        history=tuple(had),
        channel=channel,
        offered=tuple(OfferedUpdate(version=v, image=release_image(v)) for v in offered),
    )


def z(minor: str, number: int) -> list[str]:
    return [f"{minor}.{patch}" for patch in range(number)]

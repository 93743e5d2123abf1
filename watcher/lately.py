"""Registries and update services for whoever asks often: what was said lately is not asked anew.

An image can be deleted and a tag can move, so answers of that kind are kept for ten minutes only,
and so that a registry that is away is not asked with each event, its failure for one. What a digest
names never changes: that is kept beneath, by whoever reads it.
"""

import copy
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from watcher.ancestry import Graphs
from watcher.core.facts import NO_CLUSTER, ClusterName, Digest, Pullspec
from watcher.core.graph import SeenGraph
from watcher.core.images import ImageFacts, Payload
from watcher.ports import Images, OutsideError

T = TypeVar("T")
KEPT_SECONDS = 600.0
FAILED_SECONDS = 60.0
KEPT = 4096
"""Answers: two for each override of a good many pools."""


class Lately:
    """Answers by what was asked, each with the moment from which on it is too old."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    async def ask(
        self, key: Hashable, call: Callable[[], Awaitable[T]], *, seconds: float = KEPT_SECONDS
    ) -> T:
        """Return what was answered in the last `seconds`, else what is answered now.

        Raise what the call raises, again and again while that is young enough.
        """
        until, kept = self._kept.get(key, (0.0, None))
        if self._monotonic() < until:
            if isinstance(kept, OutsideError):
                raise copy.copy(kept)  # one raised again and again would collect its tracebacks
            return kept  # type: ignore[return-value]  # the key says of which kind
        try:
            answer = await call()
        except OutsideError as error:
            self._keep(key, FAILED_SECONDS, error)
            raise
        if seconds:
            self._keep(key, seconds, answer)
        return answer

    def _keep(self, key: Hashable, seconds: float, answer: object) -> None:
        self._kept[key] = (self._monotonic() + seconds, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


class RecentImages:
    """`ports.Images`, asked through a memory; what is proven by a digest is kept beneath."""

    def __init__(self, images: Images, lately: Lately, cluster: ClusterName = NO_CLUSTER) -> None:
        self._images, self._lately, self._cluster = images, lately, cluster

    def seen_from(self, cluster: ClusterName) -> "RecentImages":
        """See `ports.Images`."""
        return RecentImages(self._images.seen_from(cluster), self._lately, cluster)

    async def payload(self, release: Pullspec) -> Payload:
        """See `ports.Images`."""
        key = (self._cluster, "payload", release)
        return await self._lately.ask(key, lambda: self._images.payload(release), seconds=0)

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        """See `ports.Images`."""
        key = (self._cluster, "facts", image, architecture)
        return await self._lately.ask(
            key, lambda: self._images.facts(image, architecture), seconds=0
        )

    async def exists(self, image: Pullspec) -> bool:
        """See `ports.Images`."""
        key = (self._cluster, "exists", image)
        return await self._lately.ask(key, lambda: self._images.exists(image))

    async def digest_of(self, reference: str) -> Digest:
        """See `ports.Images`."""
        key = (self._cluster, "digest", reference)
        return await self._lately.ask(key, lambda: self._images.digest_of(reference))

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """See `ports.Images`; never from memory: it is asked before something is applied."""
        await self._images.check_pullable(image, pull_secret)


class RecentGraphs:
    """`ancestry.Graphs`, asked through a memory."""

    def __init__(self, graphs: Graphs, lately: Lately) -> None:
        self._graphs, self._lately = graphs, lately

    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> SeenGraph:
        """See `ancestry.Graphs`."""

        async def ask() -> SeenGraph:
            return await self._graphs.graph(
                url=url, channel=channel, architecture=architecture, version=version
            )

        key = ("graph", url, channel, architecture, version)
        return await self._lately.ask(key, ask, seconds=0)

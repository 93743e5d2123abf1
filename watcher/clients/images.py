"""Registries as the product sees them: releases, image facts, and whether a node could pull.

What a digest names never changes, so what was read once is kept; nothing is kept for a tag.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from watcher.clients.registry import (
    LINUX_AMD64,
    Credentials,
    Manifest,
    Platform,
    RegistryClient,
    read_payload,
)
from watcher.core.facts import Pullspec
from watcher.core.images import ImageFacts, Payload
from watcher.ports import Refused

T = TypeVar("T")
KEPT = 256
"""Answers kept in memory: a release and two images for each of a good many pools."""


class RegistryImages:
    """`ports.Images` over the registry client."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    async def payload(self, release: Pullspec) -> Payload:
        """See `ports.Images`."""

        async def read() -> Payload:
            found = await read_payload(self._client, release)
            return Payload(image=release, version=found.version, tags=dict(found.images))

        return await self._once(("payload", release.digest), read)

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        """See `ports.Images`."""

        async def read() -> ImageFacts:
            return await self._facts(image, architecture)

        return await self._once(("facts", image, architecture), read)

    async def exists(self, image: Pullspec) -> bool:
        """Asked anew each time: an image can be deleted."""
        return await self._client.exists(image)

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """See `ports.Images`; every platform of an index is checked."""
        credentials = Credentials.parse(pull_secret, what="the cluster's pull secret")
        client = self._client.using(credentials)
        top = await client.manifest(image)
        for platform in _platforms(top):
            await client.readable(image, platform)

    async def _facts(self, image: Pullspec, architecture: str) -> ImageFacts:
        manifest = await self._client.platform_manifest(image, Platform("linux", architecture))
        config = await self._client.config_of(manifest)
        if config.architecture != architecture:
            raise Refused(f"{image} is for {config.architecture}, not for {architecture}")
        return ImageFacts(
            image=image,
            manifest_digest=manifest.digest,
            os=config.os,
            architecture=config.architecture,
            diff_ids=config.diff_ids,
            labels=config.labels,
            annotations=manifest.annotations,
            created=config.created.isoformat() if config.created else "",
        )

    async def _once(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        if key in self._kept:
            self._kept.move_to_end(key)
            kept: T = self._kept[key]
            return kept
        found = self._kept[key] = await read()
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def _platforms(top: Manifest) -> list[Platform]:
    if not top.is_index:
        return [LINUX_AMD64]  # not looked at: there is nothing to choose from
    return [entry.platform for entry in top.entries if entry.platform is not None]

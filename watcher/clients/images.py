"""Registries as the product sees them: releases, image facts, and whether a node could pull.

What a digest names never changes, so what was read once is kept: in memory, and in the store for
the next process. Nothing is kept for a tag. Who asks for what somebody is reading waits for that.
"""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, Self, TypeVar

from watcher.clients import image_records
from watcher.clients.access import Access
from watcher.clients.registry import (
    LINUX_AMD64,
    Credentials,
    Manifest,
    Platform,
    ReleasePayload,
    read_payload,
)
from watcher.clients.registry.errors import clean
from watcher.clients.registry.reader import choose
from watcher.core import streams
from watcher.core.facts import (
    NO_CLUSTER,
    ClusterName,
    Digest,
    Malformed,
    Pullspec,
    Repository,
    split_tag,
)
from watcher.core.images import ImageFacts, Payload
from watcher.ports import Memory, OutsideError, Refused

T = TypeVar("T")
MACHINE_OS_CONTENT = "machine-os-content"
"""In 4.12 the only tag that says the version of the OS."""
_LONGEST_PLATFORM = 60
"""Characters of an architecture or a platform that are told on."""
KEPT = 256
"""Answers kept in memory: a release and two images for each of a good many pools."""


@dataclass(slots=True)
class _Flight:
    """Somebody is reading it."""

    cluster: ClusterName
    over: asyncio.Event = field(default_factory=asyncio.Event)
    error: OutsideError | None = None


@dataclass(frozen=True, slots=True)
class _Form(Generic[T]):
    """How a kind of answer is written into the store."""

    write: Callable[[T], Mapping[str, object]]
    read: Callable[[Mapping[str, object]], T]
    """Raises ValueError for what is not the answer asked for, as we write it."""


@dataclass(slots=True)
class _Shared:
    """What all views of the registries have in common."""

    memory: Memory | None
    kept: OrderedDict[str, object] = field(default_factory=OrderedDict)
    flights: dict[str, _Flight] = field(default_factory=dict)


class RegistryImages:
    """`ports.Images` over the registry client."""

    def __init__(
        self,
        access: Access,
        memory: Memory | None = None,
        *,
        cluster: ClusterName = NO_CLUSTER,
    ) -> None:
        self._access = access
        self._cluster = cluster
        self._shared = _Shared(memory)

    def seen_from(self, cluster: ClusterName) -> Self:
        """See `ports.Images`; what was read from one cluster serves all: it has the digest."""
        view = type(self)(self._access, cluster=cluster)
        view._shared = self._shared
        return view

    async def payload(self, release: Pullspec) -> Payload:
        """See `ports.Images`."""

        async def read() -> Payload:
            client = await self._access.client(self._cluster)
            return payload_of(await read_payload(client, release))

        known = partial(image_records.payload, image=release)
        form = _Form(image_records.of_payload, known)
        return await self._once(f"payload:{release}", read, form)

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        """See `ports.Images`."""

        async def read() -> ImageFacts:
            return await self._facts(image, architecture)

        known = partial(image_records.facts, image=image, architecture=architecture)
        form = _Form(image_records.of_facts, known)
        return await self._once(f"image:{image}:{architecture}", read, form)

    async def exists(self, image: Pullspec) -> bool:
        """Asked anew each time: an image can be deleted."""
        return await (await self._access.client(self._cluster)).exists(image)

    async def digest_of(self, reference: str) -> Digest:
        """See `ports.Images`; asked anew each time: a tag can move."""
        try:
            name, tag = split_tag(reference)
            repository = Repository(name)
        except Malformed as error:
            raise Refused(f"not an image by tag: {clean(error)}") from error
        client = await self._access.client(self._cluster)
        return (await client.manifest((repository, tag or "latest"))).digest

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """See `ports.Images`; every platform of an index is checked."""
        credentials = Credentials.parse(pull_secret, what="the cluster's pull secret")
        client = (await self._access.as_nodes(self._cluster)).using(credentials)
        top = await client.manifest(image)
        for platform in _platforms(top):
            await client.readable(image, platform)

    async def _facts(self, image: Pullspec, architecture: str) -> ImageFacts:
        client = await self._access.client(self._cluster)
        top = await client.manifest(image)
        manifest = top
        if top.is_index:
            entry = choose(top, Platform("linux", architecture))
            manifest = await client.child(top, entry.descriptor)
        config = await client.config_of(manifest)
        if config.architecture != architecture:
            found = clean(config.architecture, limit=_LONGEST_PLATFORM)
            raise Refused(f"{image} is for {found}, not for {architecture}")
        return ImageFacts(
            image=image,
            manifest_digest=manifest.digest,
            os=config.os,
            architecture=config.architecture,
            diff_ids=config.diff_ids,
            labels=config.labels,
            annotations=manifest.annotations,
            created=config.created.isoformat() if config.created else "",
            platforms=_named(top) if top.is_index else (_told(config.platform),),
        )

    async def _once(self, key: str, read: Callable[[], Awaitable[T]], form: _Form[T]) -> T:
        """What is kept, or what one reader of all that ask for it at the same time reads."""
        shared = self._shared
        route = key
        while key not in shared.kept:
            flight = shared.flights.get(route)
            if flight is None:
                await self._fly(key, route, read, form)
                continue
            await flight.over.wait()
            if flight.error and flight.cluster == self._cluster:
                # A copy: one exception raised in many tasks would collect their tracebacks.
                raise copy.copy(flight.error)
            if flight.error:
                # Another cluster may have other logins and mirrors: its failure is not ours. Once
                # one has failed, no cluster waits for another.
                route = f"{key} {self._cluster}"
        shared.kept.move_to_end(key)
        found: T = shared.kept[key]  # type: ignore[assignment]  # the key says of which kind
        return found

    async def _fly(
        self, key: str, route: str, read: Callable[[], Awaitable[T]], form: _Form[T]
    ) -> None:
        shared = self._shared
        flight = shared.flights[route] = _Flight(self._cluster)
        try:
            found: T = await self._remembered(key, read, form)
            shared.kept[key] = found
        except OutsideError as error:
            flight.error = error
            raise
        finally:
            del shared.flights[route]
            flight.over.set()
        if len(shared.kept) > KEPT:
            shared.kept.popitem(last=False)

    async def _remembered(self, key: str, read: Callable[[], Awaitable[T]], form: _Form[T]) -> T:
        memory = self._shared.memory
        if memory is None:
            return await read()
        try:
            if said := await memory.kept(key):
                return form.read(said)
        except (OutsideError, ValueError):
            pass  # a store that is away, or a record that is none: the registry has it too
        found = await read()
        with suppress(OutsideError):  # too large, or the store is away: read again next time
            await memory.keep(key, form.write(found))
        return found


def payload_of(read: ReleasePayload) -> Payload:
    """Return what the product needs of a release: of annotations those of OS images only."""
    whole = Payload(
        image=read.image,
        version=read.version,
        tags=read.images,
        annotations=read.annotations,
        metadata=read.metadata,
    )
    kept = {*streams.candidates(whole), MACHINE_OS_CONTENT}
    said = {tag: noted for tag, noted in read.annotations.items() if tag in kept}
    return replace(whole, annotations=said)


def _named(index: Manifest) -> tuple[str, ...]:
    return tuple(_told(entry.platform or "unnamed") for entry in index.entries)


def _told(platform: Platform | str) -> str:
    return clean(platform, limit=_LONGEST_PLATFORM)


def _platforms(top: Manifest) -> list[Platform]:
    if not top.is_index:
        return [LINUX_AMD64]  # not looked at: there is nothing to choose from
    return [entry.platform for entry in top.entries if entry.platform is not None]

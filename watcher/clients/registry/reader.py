"""Reading from registries: manifests, configs and blobs, each checked against its digest.

A digest is checked before anybody sees a manifest or config. A blob is streamed, so its check comes
with its last byte: whoever uses the bytes before must be able to throw the result away.
Mirrors are asked before the source, without anybody noticing: what is read keeps the source's name.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

import httpx

from watcher.clients.registry.asking import Asking, next_chunk, until
from watcher.clients.registry.auth import Authoriser
from watcher.clients.registry.calls import Call
from watcher.clients.registry.checked import Checked
from watcher.clients.registry.errors import BadContent, NotFound, Tampered, TooLarge, clean
from watcher.clients.registry.model import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    LINUX_AMD64,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageConfig,
    IndexEntry,
    Manifest,
    Platform,
    read_config,
    read_manifest,
)
from watcher.clients.registry.places import ATTEMPTS_WITH_OTHERS, Failures, Places, Shared
from watcher.clients.registry.transport import Patience, Transport, check, read_all
from watcher.core.facts import Digest, Malformed, Pullspec, Repository, split_tag
from watcher.core.mirrors import Mirrors
from watcher.errors import OutsideError, Refused, Transient

T = TypeVar("T")

Ref = Pullspec | tuple[Repository, str]
"""An image by digest, or a repository with a tag. A tag is resolved, never kept."""

_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
OK = frozenset({200})
_HELD_BYTES = 16 * 1024 * 1024
"""So a bad mirror costs nobody anything. A release's last layer has about 13 MB."""
_DOWN: Shared[Transport] = Shared()
_DENIED: Shared[Authoriser] = Shared()


class Reader(Asking):
    """Reads with one set of credentials over a shared transport."""

    def __init__(
        self, transport: Transport, authoriser: Authoriser, mirrors: Mirrors | None = None
    ) -> None:
        super().__init__(transport, authoriser)
        self._places = Places(
            mirrors or Mirrors(), down=_DOWN.of(transport), denied=_DENIED.of(authoriser)
        )

    @property
    def direct(self) -> "Reader":
        """The same without mirrors: what was pushed is looked for where it was pushed."""
        return Reader(self._transport, self._auth)

    def places(self, repository: Repository, digest: Digest) -> tuple[Repository, ...]:
        """Where this content is looked for, in order; raise Refused where that is nowhere."""
        return self._places.of(repository, by_digest=True, content=digest)

    async def manifest(self, ref: Ref) -> Manifest:
        """The manifest or index; raise NotFound, Tampered, BadContent, TooLarge, Transient."""
        repository, reference = _split(ref)

        async def asked(place: Repository, patience: Patience) -> Manifest:
            return await self._manifest_at(place, repository, reference, patience)

        return await self._ask(repository, reference, asked)

    async def head(self, ref: Ref) -> Descriptor:
        """Digest, type and size as the registry states them, unchecked; raise NotFound."""
        repository, reference = _split(ref)

        async def asked(place: Repository, patience: Patience) -> Descriptor:
            stated = await self._stated(place, reference, patience)
            if stated is not None:
                return stated
            # Some registries leave the header out; the bytes say it too.
            found = await self._manifest_at(place, repository, reference, patience)
            return Descriptor(found.media_type, found.digest, len(found.raw))

        return await self._ask(repository, reference, asked)

    async def exists(self, ref: Ref) -> bool:
        """Whether the registry has it; raise Unauthorised where it hides that."""
        try:
            await self.head(ref)
        except NotFound:
            return False
        return True

    async def platform_manifest(self, ref: Ref, platform: Platform = LINUX_AMD64) -> Manifest:
        """The image manifest for a platform; of an index its entry, else the manifest itself.

        A plain manifest names no platform: whoever minds compares the config's.
        Raise NotFound naming the platforms there are.
        """
        return await self.image_of(await self.manifest(ref), platform)

    async def image_of(self, top: Manifest, platform: Platform = LINUX_AMD64) -> Manifest:
        """As `platform_manifest`, of a manifest that was read already."""
        return await self.child(top, choose(top, platform).descriptor) if top.is_index else top

    async def child(self, index: Manifest, entry: Descriptor) -> Manifest:
        """The image manifest of an index's entry."""
        manifest = await self.manifest(index.repository.at(entry.digest))
        if len(manifest.raw) != entry.size:
            raise Tampered(f"manifest {manifest.ref}: {entry.size} bytes in its index")
        if manifest.is_index:
            raise BadContent(f"index {index.ref} holds another index, which is not followed")
        return manifest

    async def config(self, ref: Ref, platform: Platform = LINUX_AMD64) -> ImageConfig:
        """The image's config for a platform; see `platform_manifest`."""
        return await self.config_of(await self.platform_manifest(ref, platform))

    async def config_of(self, manifest: Manifest) -> ImageConfig:
        """The config a manifest names; raise BadContent when the two do not fit together."""
        if manifest.config is None:
            raise BadContent(f"index {manifest.ref} has no config of its own")
        named, what = manifest.config, f"config of {manifest.ref}"
        raw = await self.small_blob(
            manifest.repository, named, limit=self._limits.config, name="config"
        )
        config = read_config(raw, what=what)
        if len(config.diff_ids) != len(manifest.layers):
            raise BadContent(
                f"{what}: {len(config.diff_ids)} diff_ids for {len(manifest.layers)} layers"
            )
        return config

    async def small_blob(
        self, repository: Repository, named: Descriptor, *, limit: int, name: str
    ) -> bytes:
        """A whole blob in memory; raise TooLarge naming the limit before anything is read."""
        if named.size > limit:
            raise TooLarge(
                f"{repository}@{named.digest}: {named.size} bytes, "
                f"larger than the {name} limit of {limit} bytes"
            )
        how = _How(self._transport.settings.call_seconds, bulk=False, held_bytes=limit)
        parts = self._blob(repository, named.digest, named.size, how)
        return b"".join([part async for part in parts])

    async def blob(
        self,
        repository: Repository,
        digest: Digest,
        *,
        size: int | None = None,
        holds: bool = True,
    ) -> AsyncGenerator[bytes, None]:
        """The blob's bytes as they come; close it (`aclosing`) when leaving early.

        Raise Tampered after the last byte when the whole is not what digest and size promise (or
        as soon as it is too long). An answer that breaks off is continued by Range, there or at the
        next place. With `holds`, what is small and has mirrors is given out only when it is proven.
        Who is given bad bytes may ask again: then another place comes first.
        """
        most = _HELD_BYTES if holds else 0
        how = _How(self._transport.settings.blob_seconds, bulk=True, held_bytes=most)
        async with aclosing(self._blob(repository, digest, size, how)) as parts:
            async for part in parts:
                yield part

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository, or a mirror of it, gives out this blob."""

        async def asked(place: Repository, patience: Patience) -> None:
            call = Call("HEAD", self._url(place, f"blobs/{digest}"))
            async with (
                self._within_call_time(call),
                self._send(call, place, patience=patience) as answer,
            ):
                await check(answer, allowed=OK)

        try:
            await self._ask(repository, digest, asked)
        except NotFound:
            return False
        return True

    async def readable(self, ref: Ref, platform: Platform = LINUX_AMD64) -> None:
        """Raise unless manifest and config can be read and every layer is given out."""
        manifest = await self.platform_manifest(ref, platform)
        await self.config_of(manifest)
        try:
            async with asyncio.TaskGroup() as group:
                for digest in {layer.digest for layer in manifest.layers}:
                    group.create_task(self._layer_exists(manifest, digest))
        except ExceptionGroup as problems:
            # One layer that cannot be had is enough; the others were cancelled.
            raise problems.exceptions[0] from None

    async def _layer_exists(self, manifest: Manifest, digest: Digest) -> None:
        if not await self.blob_exists(manifest.repository, digest):
            raise NotFound(f"{manifest.ref}: layer {digest} is not in {manifest.repository}")

    async def _ask(
        self,
        repository: Repository,
        reference: str,
        asked: Callable[[Repository, Patience], Awaitable[T]],
    ) -> T:
        """The answer of the first place that gives a good one; raise what all said.

        Tags are looked for by the rules for tags, all else by those for digests.
        """
        by_digest = reference.startswith("sha256:")
        content = Digest(reference) if by_digest else None
        places = self._places.of(repository, by_digest=by_digest, content=content)
        failures = Failures(repository, f"{'@' if by_digest else ':'}{reference}")
        for place in places:
            try:
                answer = await asked(place, self._patience(place, places))
            except OutsideError as error:
                failures.add(place, error)
                self._places.failed(place, error, content)
            else:
                self._places.worked(place)
                if not by_digest:
                    self._places.knew_tag(repository, place)
                return answer
        raise failures.joined()

    def _patience(self, place: Repository, places: tuple[Repository, ...]) -> Patience:
        """Less of it while there is somebody else to ask."""
        if place == places[-1]:
            return self._transport.patience()
        return self._transport.patience(attempts=ATTEMPTS_WITH_OTHERS)

    async def _blob(
        self, repository: Repository, digest: Digest, size: int | None, how: "_How"
    ) -> AsyncGenerator[bytes, None]:
        content = Checked(f"blob {repository}@{digest}", digest, size)
        places = self.places(repository, digest)
        left, failures = list(places), Failures(repository, f"@{digest}")
        holds = len(places) > 1 and size is not None and size <= how.held_bytes
        held: list[bytes] = []
        while left:
            place, began = left[0], content.length
            try:
                async with aclosing(self._rest(place, content, how, places)) as parts:
                    async for part in parts:
                        if holds:
                            held.append(part)
                        else:
                            yield part
                content.finish()
                break
            except OutsideError as error:
                failures.add(place, error)
                if isinstance(error, Tampered):
                    if content.length and not holds:
                        self._places.failed(place, error, digest)
                        raise failures.newest() from error  # the bad bytes are out already
                    content.restart()
                    held.clear()
                    if began:
                        continue  # its beginning was another's: now this one by itself
                self._places.failed(place, error, digest)
                del left[0]
        else:
            raise failures.joined()
        self._places.worked(place)
        for part in held:
            yield part

    async def _rest(
        self, place: Repository, content: Checked, how: "_How", places: tuple[Repository, ...]
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a blob that are still missing, from one place."""
        url = self._url(place, f"blobs/{content.digest}")
        deadline = asyncio.get_running_loop().time() + how.seconds
        patience = self._patience(place, places)
        while True:
            ranged = {"Range": f"bytes={content.length}-"} if content.length else {}
            call = Call("GET", url, ranged, bulk=how.bulk)
            try:
                async with AsyncExitStack() as stack:
                    async with until(deadline, content.what):
                        sent = self._send(call, place, patience=self._patience(place, places))
                        answer = await stack.enter_async_context(sent)
                        chunks = await content.continued(answer)
                    while chunk := await next_chunk(chunks, deadline, content.what):
                        if fresh := content.take(chunk):
                            yield fresh
                return
            except httpx.TransportError as error:
                if content.length == content.size:
                    return  # only the end of the answer is missing, nothing of the blob
                problem = Transient(
                    f"{content.what}: broke off after {content.length} bytes: {clean(error)}"
                )
            await self._transport.wait(problem, patience)

    async def _manifest_at(
        self, place: Repository, repository: Repository, reference: str, patience: Patience
    ) -> Manifest:
        """The manifest as one place gives it, under the name of the source."""
        call = self._manifest_call("GET", place, reference)
        async with (
            self._within_call_time(call),
            self._send(call, place, patience=patience) as answer,
        ):
            await check(answer, allowed=OK)
            raw = await read_all(call, answer, limit=self._limits.manifest, name="manifest")
            media_type = answer.headers.get("content-type", "")
            claimed = answer.headers.get("docker-content-digest")
        actual = f"sha256:{sha256(raw).hexdigest()}"
        for expected in (reference, claimed):
            if expected and expected.startswith("sha256:") and expected != actual:
                raise Tampered(
                    f"manifest {place}@{clean(expected)} failed verification: "
                    f"the registry sent {actual}"
                )
        return read_manifest(repository, media_type, raw)

    async def _stated(
        self, place: Repository, reference: str, patience: Patience
    ) -> Descriptor | None:
        """What one place says of a manifest; None where it does not say enough."""
        call = self._manifest_call("HEAD", place, reference)
        async with (
            self._within_call_time(call),
            self._send(call, place, patience=patience) as answer,
        ):
            await check(answer, allowed=OK)
            try:
                stated = Descriptor(
                    clean(answer.headers.get("content-type", "")),
                    Digest(answer.headers.get("docker-content-digest", "")),
                    int(answer.headers.get("content-length", "0")),
                )
            except (Malformed, ValueError):
                return None
        if reference.startswith("sha256:") and stated.digest != reference:
            raise Tampered(f"manifest {place}@{reference}: the registry calls it {stated.digest}")
        return stated

    def _manifest_call(self, method: str, repository: Repository, reference: str) -> Call:
        url = self._url(repository, f"manifests/{reference}")
        return Call(method, url, {"Accept": _ACCEPT})


@dataclass(frozen=True, slots=True)
class _How:
    """How a blob is read."""

    seconds: float
    """At each place, with all attempts there."""
    bulk: bool
    held_bytes: int
    """The largest blob that is kept back until it is proven."""


def choose(index: Manifest, platform: Platform) -> IndexEntry:
    """The entry for a platform; raise NotFound naming those there are."""
    for entry in index.entries:
        if entry.platform and _fits(entry.platform, platform):
            return entry
    there = clean(", ".join(str(entry.platform or "unnamed") for entry in index.entries[:20]))
    raise NotFound(f"index {index.ref} has nothing for {platform}; it has: {there or 'nothing'}")


def _fits(offered: Platform, asked: Platform) -> bool:
    return (offered.os, offered.architecture) == (asked.os, asked.architecture) and (
        asked.variant in (None, offered.variant)
    )


def _split(ref: Ref) -> tuple[Repository, str]:
    if isinstance(ref, Pullspec):
        return ref.repository, ref.digest
    return ref[0], checked_tag(*ref)


def checked_tag(repository: Repository, tag: str) -> str:
    """The tag itself; raise Refused for what is none, so that it cannot turn a path elsewhere."""
    try:
        _, found = split_tag(f"{repository}:{tag}")
    except Malformed as error:
        raise Refused(f"{repository}: {clean(error)}") from error
    if found != tag:
        raise Refused(f"{repository}: not a tag: {clean(tag)!r}")
    return tag

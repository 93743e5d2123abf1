"""Reading from registries: manifests, configs and blobs, each checked against its digest.

A digest is checked before anybody sees a manifest or config. A blob is streamed, so its check comes
with its last byte: whoever uses the bytes before must be able to throw the result away.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256

import httpx

from watcher.clients.registry.auth import Authoriser, Scope
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
from watcher.clients.registry.transport import Call, Transport, check, read_all
from watcher.core.facts import Digest, Malformed, Pullspec, Repository, split_tag
from watcher.ports import Refused, Transient

Ref = Pullspec | tuple[Repository, str]
"""An image by digest, or a repository with a tag. A tag is resolved, never kept."""

_ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))
OK = frozenset({200})


class Reader:
    """Reads with one set of credentials over a shared transport."""

    def __init__(self, transport: Transport, authoriser: Authoriser) -> None:
        self._transport = transport
        self._auth = authoriser
        self._limits = transport.settings.limits

    async def manifest(self, ref: Ref) -> Manifest:
        """The manifest or index; raise NotFound, Tampered, BadContent, TooLarge, Transient."""
        repository, reference = _split(ref)
        call = self._manifest_call("GET", repository, reference)
        async with self._within_call_time(call), self._send(call, repository) as answer:
            await check(answer, allowed=OK)
            raw = await read_all(call, answer, limit=self._limits.manifest, name="manifest")
            media_type = answer.headers.get("content-type", "")
            claimed = answer.headers.get("docker-content-digest")
        actual = f"sha256:{sha256(raw).hexdigest()}"
        for expected in (reference, claimed):
            if expected and expected.startswith("sha256:") and expected != actual:
                raise Tampered(
                    f"manifest {repository}@{clean(expected)} failed verification: "
                    f"the registry sent {actual}"
                )
        return read_manifest(repository, media_type, raw)

    async def head(self, ref: Ref) -> Descriptor:
        """Digest, type and size as the registry states them, unchecked; raise NotFound."""
        repository, reference = _split(ref)
        call = self._manifest_call("HEAD", repository, reference)
        async with self._within_call_time(call), self._send(call, repository) as answer:
            await check(answer, allowed=OK)
            try:
                return Descriptor(
                    clean(answer.headers.get("content-type", "")),
                    Digest(answer.headers.get("docker-content-digest", "")),
                    int(answer.headers.get("content-length", "0")),
                )
            except (Malformed, ValueError):
                pass
        # Some registries leave the header out; the bytes say it too.
        found = await self.manifest(ref)
        return Descriptor(found.media_type, found.digest, len(found.raw))

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
        top = await self.manifest(ref)
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
        call = Call("GET", self._url(repository, f"blobs/{named.digest}"))
        async with self._within_call_time(call):
            parts = [part async for part in self.blob(repository, named.digest, size=named.size)]
        return b"".join(parts)

    async def blob(
        self, repository: Repository, digest: Digest, *, size: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The blob's bytes as they come; close it (`aclosing`) when leaving early.

        Raise Tampered after the last byte when the whole is not what digest and size promise (or
        as soon as it is too long). An answer that breaks off is continued by Range.
        """
        content = Checked(f"blob {repository}@{digest}", digest, size)
        deadline = asyncio.get_running_loop().time() + self._transport.settings.blob_seconds
        patience = self._transport.patience()
        url = self._url(repository, f"blobs/{digest}")
        while True:
            ranged = {"Range": f"bytes={content.length}-"} if content.length else {}
            try:
                async with self._send(Call("GET", url, ranged), repository) as answer:
                    chunks = await content.continued(answer)
                    while chunk := await _next(chunks, deadline, content.what):
                        if fresh := content.take(chunk):
                            yield fresh
                break
            except httpx.TransportError as error:
                problem = Transient(
                    f"{content.what}: broke off after {content.length} bytes: {clean(error)}"
                )
            await self._transport.wait(problem, patience)
        content.finish()

    async def blob_exists(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository gives out this blob."""
        call = Call("HEAD", self._url(repository, f"blobs/{digest}"))
        async with self._within_call_time(call), self._send(call, repository) as answer:
            if answer.status_code == 404:
                return False
            await check(answer, allowed=OK)
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

    def _manifest_call(self, method: str, repository: Repository, reference: str) -> Call:
        url = self._url(repository, f"manifests/{reference}")
        return Call(method, url, {"Accept": _ACCEPT})

    def _url(self, repository: Repository, rest: str) -> httpx.URL:
        return self._transport.base(repository.host).join(f"{repository.path}/{rest}")

    @asynccontextmanager
    async def _send(
        self, call: Call, repository: Repository, scope: Scope | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer, logged in as the registry asks: a 401 is answered once."""
        scope = scope or frozenset({(repository.path, "pull")})
        patience = self._transport.patience()
        known = self._auth.header(repository, scope)
        async with self._transport.send(_with(call, known), patience=patience) as answer:
            if answer.status_code != 401 or not self._is_own(answer, repository):
                yield answer
                return
            header = await self._auth.answer(repository, scope, answer)
        async with self._transport.send(_with(call, header), patience=patience) as answer:
            yield answer

    def _is_own(self, answer: httpx.Response, repository: Repository) -> bool:
        """Whether the registry itself answered, not a host it redirected to."""
        return answer.request.url.netloc == self._transport.base(repository.host).netloc

    @asynccontextmanager
    async def _within_call_time(self, call: Call) -> AsyncIterator[None]:
        seconds = self._transport.settings.call_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise Transient(f"{call}: no complete answer within {seconds:g} s") from error


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


def _with(call: Call, header: str | None) -> Call:
    return replace(call, headers={**call.headers, "Authorization": header}) if header else call


async def _next(chunks: AsyncIterator[bytes], deadline: float, what: str) -> bytes:
    """The next chunk, empty at the end; the time the consumer takes counts too."""
    try:
        # Around each read only: a timeout over a `yield` would cancel the consumer.
        async with asyncio.timeout_at(deadline):
            return await anext(chunks, b"")
    except TimeoutError as error:
        raise Transient(f"{what}: not complete in time") from error

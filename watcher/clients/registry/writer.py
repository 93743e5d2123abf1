"""Writing to registries: blobs and manifests.

A blob in memory is sent in one piece (POST, PUT), others as a stream (POST, PATCH, PUT): then the
digest is checked on our side before the PUT that makes it exist.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from enum import StrEnum

import httpx

from watcher.clients.registry.checked import Checked
from watcher.clients.registry.errors import Tampered, TooLarge, Unauthorised, clean
from watcher.clients.registry.model import Descriptor, digest_of
from watcher.clients.registry.reader import Reader, checked_tag
from watcher.clients.registry.transport import Body, Call, Stream, check
from watcher.core.facts import Digest, Repository
from watcher.errors import OutsideError, Refused, Transient

_CREATED = frozenset({201})
_ACCEPTED = frozenset({202})
_ABANDON_SECONDS = 5.0
_STREAM = {"Content-Type": "application/octet-stream"}


class Carried(StrEnum):
    """How a blob came to a repository, from the cheapest on."""

    PRESENT = "present"
    MOUNTED = "mounted"
    COPIED = "copied"


class Writer(Reader):
    """Reads and writes with one set of credentials."""

    async def put_manifest(
        self, repository: Repository, reference: str, *, media_type: str, raw: bytes
    ) -> Digest:
        """Store a manifest by tag or digest and return its digest; doing it again changes nothing.

        Raise Refused when what it refers to is not in the repository.
        """
        digest = _checked_reference(repository, reference, raw)
        if len(raw) > self._limits.manifest:
            raise TooLarge(
                f"manifest of {len(raw)} bytes: the manifest limit is {self._limits.manifest}"
            )
        url = self._url(repository, f"manifests/{reference}")
        call = Call("PUT", url, {"Content-Type": media_type}, raw)
        async with self._within_call_time(call), self._pushing(call, repository) as answer:
            await check(answer, allowed=_CREATED)
            stored = answer.headers.get("docker-content-digest", digest)
        if stored != digest:
            raise Tampered(f"{repository} stored manifest {digest} as {clean(stored)}")
        return digest

    async def mount_blob(self, digest: Digest, *, source: Repository, target: Repository) -> bool:
        """Take a blob over from another repository of the same registry; False if it would not."""
        if source.host != target.host:
            return False
        start = self._url(target, "blobs/uploads/")
        url = start.copy_merge_params({"mount": digest, "from": source.path})
        scope = frozenset({(target.path, "pull,push"), (source.path, "pull")})
        call = Call("POST", url)
        async with self._within_call_time(call), self._send(call, target, scope) as answer:
            if answer.status_code == 404:
                return False  # some registries say so instead of opening an upload
            await check(answer, allowed=_CREATED | _ACCEPTED)
            if answer.status_code == 201:
                return True
            place = _location(answer)
        await self._abandon(target, place)
        return False

    async def upload_blob(
        self, repository: Repository, body: Body, *, digest: Digest, size: int | None = None
    ) -> None:
        """Store a blob, given as bytes or as what opens a stream of them; repeatable.

        Raise Tampered when the bytes are not those of `digest` and `size`; nothing is stored then.
        """
        what = f"blob {repository}@{digest}"
        if isinstance(body, bytes):
            whole = Checked(what, digest, size)
            whole.take(body)
            whole.finish()
        patience = self._transport.patience()
        while True:
            try:
                async with asyncio.timeout(self._transport.settings.blob_seconds):
                    return await self._upload(repository, body, digest, size)
            except TimeoutError as error:
                raise Transient(f"{what}: not sent in time") from error
            except Transient as problem:
                # An upload that broke off is begun anew: how much arrived is not known for sure.
                await self._transport.wait(problem, patience)

    async def try_upload(self, repository: Repository) -> None:
        """Begin an upload and cancel it: raise what stands in the way of pushing; store nothing.

        Raise Unauthorised where the login may not push there.
        """
        # Not repeated by itself: an upload whose answer got lost could not be cancelled.
        call = Call("POST", self._url(repository, "blobs/uploads/"), repeat=False)
        async with self._within_call_time(call), self._pushing(call, repository) as answer:
            await check(answer, allowed=_ACCEPTED)
            place = _location(answer)
        await self._abandon(repository, place)

    async def copy_blob(
        self,
        blob: Descriptor,
        *,
        source: Repository,
        target: Repository,
        reader: Reader | None = None,
    ) -> Carried:
        """Bring a blob to another repository by the cheapest way, streaming if it must be.

        `reader` reads the source where that needs other credentials than ours. The target itself is
        looked at and written to; the source may be had from its mirrors, also by mounting.
        """
        if await self.direct.blob_exists(target, blob.digest):
            return Carried.PRESENT
        origin = reader or self
        places = origin.places(source, blob.digest)
        for place in places:
            # It may be readable with other credentials only; then it is streamed.
            with suppress(Unauthorised):
                if await self.mount_blob(blob.digest, source=place, target=target):
                    return Carried.MOUNTED

        def opened() -> AsyncGenerator[bytes, None]:
            return origin.blob(source, blob.digest, size=blob.size, holds=False)

        for others in reversed(range(len(places))):
            try:
                await self.upload_blob(target, opened, digest=blob.digest, size=blob.size)
                break
            except Tampered:
                # Nothing was stored, and from now on another place is asked first.
                if not others:
                    raise
        return Carried.COPIED

    async def _upload(
        self, repository: Repository, body: Body, digest: Digest, size: int | None
    ) -> None:
        # None of the three is repeated by itself: `upload_blob` repeats the whole.
        call = Call("POST", self._url(repository, "blobs/uploads/"), repeat=False)
        async with self._pushing(call, repository) as answer:
            await check(answer, allowed=_ACCEPTED)
            place = _location(answer)
        try:
            if not isinstance(body, bytes):
                content = Checked(f"blob {repository}@{digest}", digest, size)
                place = await self._stream(repository, place, body, content)
                body = b""
            done = place.copy_merge_params({"digest": digest})
            call = Call("PUT", done, _STREAM, body, repeat=False)
            async with self._pushing(call, repository) as answer:
                await check(answer, allowed=_CREATED)
        except BaseException:
            await self._abandon(repository, place)
            raise

    async def _stream(
        self, repository: Repository, place: httpx.URL, opener: Stream, content: Checked
    ) -> httpx.URL:
        """Send a stream into an opened upload; return where the upload goes on."""

        async def counted() -> AsyncGenerator[bytes, None]:
            content.restart()  # a 401 makes us send it again
            async with aclosing(opener()) as chunks:
                async for chunk in chunks:
                    yield content.take(chunk)

        call = Call("PATCH", place, _STREAM, counted, size=content.size, repeat=False)
        async with self._pushing(call, repository) as answer:
            await check(answer, allowed=_ACCEPTED)
            place = _location(answer)
        content.finish()
        return place

    async def _abandon(self, repository: Repository, place: httpx.URL) -> None:
        """Tell the registry to forget an upload; it forgets by itself too, only later."""
        call = Call("DELETE", place, repeat=False)
        # Nothing hangs on it, and there is an error or an answer to get on with.
        with suppress(OutsideError, TimeoutError):
            async with asyncio.timeout(_ABANDON_SECONDS), self._pushing(call, repository):
                pass

    def _pushing(
        self, call: Call, repository: Repository
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """The answer, logged in to push; without any login at another host."""
        own = call.url.netloc == self._transport.base(repository.host).netloc
        scope = frozenset({(repository.path, "pull,push")})
        return self._send(call, repository, scope) if own else self._transport.send(call)


def _checked_reference(repository: Repository, reference: str, raw: bytes) -> Digest:
    digest = digest_of(raw)
    if reference.startswith("sha256:"):
        if reference != digest:
            raise Tampered(f"manifest {repository}@{clean(reference)}: the bytes have {digest}")
        return digest
    checked_tag(repository, reference)
    return digest


def _location(answer: httpx.Response) -> httpx.URL:
    """Where an upload goes on; it may be another host, which then gets no credentials."""
    try:
        # A user in the address would become a login that nobody gave us, instead of ours.
        named = answer.request.url.join(answer.headers["location"])
        place = named.copy_with(username=None, password=None)
    except (KeyError, httpx.InvalidURL) as error:
        host = clean(answer.request.url.host)
        raise Refused(f"{host} opened an upload without a usable Location") from error
    if place.scheme != "https" and answer.request.url.scheme == "https":
        raise Refused(f"{clean(place.host)}: an upload was moved from https to another scheme")
    return place

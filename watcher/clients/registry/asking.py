"""One registry asked: logged in as it wants, and within a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from watcher.clients.registry.auth import Authoriser, Scope
from watcher.clients.registry.calls import Call
from watcher.clients.registry.transport import Patience, Transport
from watcher.core.facts import Repository
from watcher.errors import Transient


class Asking:
    """What reading and writing have in common."""

    def __init__(self, transport: Transport, authoriser: Authoriser) -> None:
        self._transport = transport
        self._auth = authoriser
        self._limits = transport.settings.limits

    def _url(self, repository: Repository, rest: str) -> httpx.URL:
        return self._transport.base(repository.host).join(f"{repository.path}/{rest}")

    @asynccontextmanager
    async def _send(
        self,
        call: Call,
        repository: Repository,
        scope: Scope | None = None,
        *,
        patience: Patience | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """The answer, logged in as the registry asks: a 401 is answered once."""
        scope = scope or frozenset({(repository.path, "pull")})
        patience = patience or self._transport.patience()
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


def _with(call: Call, header: str | None) -> Call:
    return replace(call, headers={**call.headers, "Authorization": header}) if header else call


@asynccontextmanager
async def until(deadline: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as error:
        raise Transient(f"{what}: not complete in time") from error


async def next_chunk(chunks: AsyncIterator[bytes], deadline: float, what: str) -> bytes:
    """The next chunk, empty at the end; the time the consumer takes counts too."""
    # Around each read only: a timeout over a `yield` would cancel the consumer.
    async with until(deadline, what):
        return await anext(chunks, b"")

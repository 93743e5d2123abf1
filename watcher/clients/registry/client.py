"""The registry client: everything under one name, with its connections.

It holds no policy: which image, whose credentials and what follows from an error is the caller's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from watcher.clients.registry.auth import Authoriser
from watcher.clients.registry.credentials import Credentials
from watcher.clients.registry.model import LINUX_AMD64, Platform
from watcher.clients.registry.reader import Ref
from watcher.clients.registry.settings import RegistrySettings
from watcher.clients.registry.transport import Transport
from watcher.clients.registry.writer import Writer


class RegistryClient(Writer):
    """Reads and writes images with one set of credentials; open one with `opened`."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        authoriser = Authoriser(transport, credentials or Credentials(), monotonic=monotonic)
        super().__init__(transport, authoriser)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        settings: RegistrySettings | None = None,
        credentials: Credentials | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> AsyncIterator[Self]:
        """A client whose connections are closed at the end."""
        async with Transport(settings or RegistrySettings(), sleep=sleep) as transport:
            yield cls(transport, credentials, monotonic=monotonic)

    def using(self, credentials: Credentials) -> Self:
        """A client with other credentials on the same connections; it sees none of our tokens."""
        return type(self)(self._transport, credentials, monotonic=self._monotonic)

    async def pullable(
        self, ref: Ref, credentials: Credentials, platform: Platform = LINUX_AMD64
    ) -> None:
        """Raise unless someone with these credentials could pull the image."""
        await self.using(credentials).readable(ref, platform)

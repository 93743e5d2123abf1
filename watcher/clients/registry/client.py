"""The registry client: everything under one name, with its connections.

It holds no policy: which image, whose credentials and what follows from an error is the caller's.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Self

from watcher.clients.counting import Counted, uncounted
from watcher.clients.registry.auth import Authoriser
from watcher.clients.registry.credentials import Credentials
from watcher.clients.registry.model import LINUX_AMD64, Platform
from watcher.clients.registry.reader import Ref
from watcher.clients.registry.settings import RegistrySettings
from watcher.clients.registry.transport import Transport
from watcher.clients.registry.writer import Writer
from watcher.core.mirrors import Mirrors

NO_MIRRORS = Mirrors()


class RegistryClient(Writer):
    """Reads and writes images with one set of credentials; open one with `opened`."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials | None = None,
        *,
        mirrors: Mirrors = NO_MIRRORS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        authoriser = Authoriser(transport, credentials or Credentials(), monotonic=monotonic)
        super().__init__(transport, authoriser, mirrors)
        self._mirrors = mirrors
        self._monotonic = monotonic

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        settings: RegistrySettings | None = None,
        credentials: Credentials | None = None,
        *,
        mirrors: Mirrors = NO_MIRRORS,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        environ: Mapping[str, str] | None = None,
        counted: Counted = uncounted,
    ) -> AsyncIterator[Self]:
        """A client whose connections are closed at the end; `environ` names the proxies."""
        settings = settings or RegistrySettings()
        async with Transport(
            settings, sleep=sleep, monotonic=monotonic, environ=environ, counted=counted
        ) as transport:
            yield cls(transport, credentials, mirrors=mirrors, monotonic=monotonic)

    def using(
        self,
        credentials: Credentials | None = None,
        *,
        mirrors: Mirrors | None = None,
        trusted: Mapping[str, str] | None = None,
    ) -> Self:
        """A client on the same connections with other credentials, mirrors or authorities.

        `trusted` is host[:port] → PEM, beside what the settings name. None keeps what is. It sees
        none of our tokens: under another authority the same host may be another machine.
        """
        transport = self._transport if trusted is None else self._transport.trusting(trusted)
        return type(self)(
            transport,
            self._auth.credentials if credentials is None else credentials,
            mirrors=self._mirrors if mirrors is None else mirrors,
            monotonic=self._monotonic,
        )

    async def pullable(
        self, ref: Ref, credentials: Credentials, platform: Platform = LINUX_AMD64
    ) -> None:
        """Raise unless someone with these credentials could pull the image."""
        await self.using(credentials).readable(ref, platform)

"""A source with two mirrors, each a simulated registry that can be told to fail."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from simulator.registry import Access, Fault
from simulator.registry.images import MadeImage, base_image, push_to
from tests.registries import Running, simulated_registry
from watcher.clients.registry import Credentials, RegistryClient, RegistrySettings
from watcher.clients.registry.model import digest_of
from watcher.core.facts import Pullspec, Repository
from watcher.core.mirrors import MirrorRule, Mirrors

MANIFESTS, BLOBS = r"/v2/.*/manifests/.*", r"/v2/.*/blobs/sha256:.*"
SOURCE = Repository("source.invalid/ocp/base")
NOBODY = f"127.0.0.1:1/{SOURCE.path}"
IMAGE = base_image()
LAYER = IMAGE.layers[1]
LARGE = os.urandom(300_000)


@dataclass
class World:
    """Two mirrors, and the source as a third registry under its own name."""

    first: Running
    second: Running
    source: Running
    settings: RegistrySettings
    clients: AsyncExitStack
    pauses: list[float] = field(default_factory=list)

    @property
    def name(self) -> Repository:
        return self.source.repository(SOURCE.path)

    @property
    def ref(self) -> Pullspec:
        return self.name.at(IMAGE.digest)

    def at(self, running: Running) -> Repository:
        return running.repository(f"mirror/{SOURCE.path}")

    def rules(self, *, never: bool = False, tags: bool = False) -> Mirrors:
        mirrors = tuple(f"{one.host}/mirror" for one in (self.first, self.second))
        rule = MirrorRule(
            source=self.source.host,
            mirrors=mirrors,
            by_digest=not tags,
            never_contact_source=never,
        )
        return Mirrors((rule,))

    async def client(
        self, mirrors: Mirrors | None = None, credentials: Credentials | None = None, **more: object
    ) -> RegistryClient:
        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        return await self.clients.enter_async_context(
            RegistryClient.opened(
                replace(self.settings, **more),  # type: ignore[arg-type]
                credentials,
                mirrors=self.rules() if mirrors is None else mirrors,
                sleep=pause,
            )
        )


def fail(running: Running, kind: str, path: str = ".*", **more: object) -> None:
    assert running.simulated
    fault = Fault(kind, path=path, count=99)  # type: ignore[arg-type]
    running.simulated.faults.append(replace(fault, **more))  # type: ignore[arg-type]


def seen(running: Running, method: str = "GET", path: str = ".*") -> int:
    assert running.simulated
    return running.simulated.count(method, path)


async def fill(running: Running, path: str, image: MadeImage = IMAGE) -> None:
    await push_to(running.url, path, image, tag="x", credentials=running.credentials)
    assert running.simulated
    running.simulated.requests.clear()


@asynccontextmanager
async def a_world(access: Access | None = None) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        three = [
            await stack.enter_async_context(simulated_registry(access=given))
            for given in (access, None, None)
        ]
        hosts = frozenset(one.host for one in three)
        chosen = replace(three[0].settings, insecure_hosts=hosts | {"127.0.0.1:1"})
        world = World(three[0], three[1], three[2], chosen, stack)
        for one in three:
            await fill(one, SOURCE.path if one is world.source else f"mirror/{SOURCE.path}")
        yield world


async def read(
    client: RegistryClient, name: Repository, data: bytes, *, sized: bool = True
) -> bytes:
    size = len(data) if sized else None
    return b"".join([part async for part in client.blob(name, digest_of(data), size=size)])


async def put_blob(running: Running, data: bytes, path: str) -> None:
    async with RegistryClient.opened(running.settings) as client:
        await client.upload_blob(running.repository(path), data, digest=digest_of(data))
    assert running.simulated
    running.simulated.requests.clear()

"""A signature store over HTTP on a free port, that answers as it is told."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.facts import release_image
from tests.registries import PrivateCa
from watcher.clients.signatures import Stores
from watcher.clients.signatures.stores import Found, Patience
from watcher.core.facts import Digest

RELEASE = release_image("4.16.3")
PACKET = b"\xa3 a signature, by its first byte"
SYSTEM = ssl.create_default_context()
QUICK = Patience(connect_seconds=1.0, read_seconds=0.3, store_seconds=1.0, pause_seconds=0.0)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
FIRST = f"/signatures/sha256={RELEASE.digest[7:]}/signature-1"


class Store:
    """One store: a path answers what it is told to, any other 404."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def hold(self, *signatures: bytes | Answer, release: Digest = RELEASE.digest) -> None:
        for number, signature in enumerate(signatures, start=1):
            self.files[f"/signatures/sha256={release[7:]}/signature-{number}"] = signature

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.headers.append(dict(request.headers))
        found = self.files.get(request.path)
        if isinstance(found, bytes):
            return web.Response(body=found)
        return await found(request) if found else web.Response(status=404)


@asynccontextmanager
async def a_store(
    *signatures: bytes | Answer, tls: PrivateCa | None = None
) -> AsyncIterator[Store]:
    store = Store()
    store.hold(*signatures)
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", store.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    context = tls.server_context() if tls else None
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    store.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/signatures"
    try:
        yield store
    finally:
        await runner.cleanup()


async def fetch(url: str, **options: Any) -> Found:
    options = {"patience": QUICK, "use_proxy_environment": False, "trust": SYSTEM, **options}
    async with Stores(**options) as stores:
        return await stores.fetch(url, RELEASE.digest)


def answering(status: int, *, body: bytes = b"", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return answer

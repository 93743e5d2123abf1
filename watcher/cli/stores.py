"""The store of the service beside us. Apart, as a look at it needs little else to be loaded."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from watcher.cli.exits import NoService
from watcher.cli.output import tell

if TYPE_CHECKING:
    from watcher.ports import Store
    from watcher.settings import Settings


def quiet_logs() -> None:
    """Send log lines to stderr, errors only, unless somebody said otherwise."""
    import structlog

    if not structlog.is_configured():
        from watcher import logs

        logs.configure("error", stream=sys.stderr)


@asynccontextmanager
async def the_store(settings: "Settings") -> AsyncIterator["Store"]:
    """Open the store of the service; raise NoService where there has never been one."""
    if not settings.redis.url and not (settings.state_dir / "store").is_dir():
        raise NoService(
            f"no store in {settings.state_dir}: no service has run there. Start `relayer run`, "
            "name its configuration with -c, or a running service with --server"
        )
    from watcher.clients.store import warnings
    from watcher.clients.store.opening import opened

    warnings.teller.set(tell)
    async with opened(settings.redis, state_dir=settings.state_dir) as store:
        yield store

"""The registry client opened as the settings say: logins, mirrors, authorities, pace."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from watcher.clients.access import Ways
from watcher.clients.counting import Counted, uncounted
from watcher.clients.registry import RegistryClient, RegistrySettings
from watcher.clients.registry.logins import find_logins
from watcher.core.mirrors import Mirrors
from watcher.settings_registry import RegistrySettings as Said


def tuned(said: Said, patience: RegistrySettings | None = None) -> RegistrySettings:
    """Return how registries are reached; `patience` has times and limits, and nothing else."""
    return replace(
        patience or RegistrySettings(),
        ca_files=said.ca_files,
        certs_dirs=said.certs_dirs,
        insecure_hosts=frozenset(said.plain_http),
        requests_per_second=said.requests_per_second,
    )


async def configured(said: Said) -> Ways:
    """Read the auth file (or look for one as podman does) and the mirror files; raise Refused."""
    return await asyncio.to_thread(_configured, said)


def _configured(said: Said) -> Ways:
    logins = find_logins(said.auth_file, environ=os.environ, home=Path.home())
    return Ways(credentials=logins, mirrors=_mirrors(said))


def _mirrors(said: Said) -> Mirrors:
    if not said.mirror_files:
        return Mirrors()
    from watcher.clients.mirror_files import read_mirror_files  # loads a YAML parser

    return read_mirror_files(said.mirror_files)


@asynccontextmanager
async def opened(
    said: Said, patience: RegistrySettings | None = None, *, counted: Counted = uncounted
) -> AsyncIterator[tuple[RegistryClient, Ways]]:
    """The client, and the ways it was opened with."""
    ways = await configured(said)
    client = RegistryClient.opened(
        tuned(said, patience), ways.credentials, mirrors=ways.mirrors, counted=counted
    )
    async with client as one:
        yield one, ways

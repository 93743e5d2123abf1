"""Shell completion: the script, and the names of pools and updates where they are cheap to know.

What cannot be known at once is not completed; nothing is ever told at a prompt.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

SECONDS = 0.3
MOST_BYTES = 1 << 20


def script(shell: str) -> str:
    """Return typer's own script for the shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return get_completion_script(prog_name="relayer", complete_var="_RELAYER_COMPLETE", shell=shell)


def pools(incomplete: str) -> list[str]:
    """Pools of the configuration that begin so, with their cluster or without."""
    return _matching(_pools, incomplete)


def clusters(incomplete: str) -> list[str]:
    """Clusters of the configuration that begin so."""
    return _matching(lambda: [name.partition("/")[0] for name in _pools()], incomplete)


def updates(incomplete: str) -> list[str]:
    """Updates that have not ended."""
    return _matching(_updates, incomplete)


def pools_and_updates(incomplete: str) -> list[str]:
    """Either."""
    return _matching(lambda: [*_pools(), *_updates()], incomplete)


def _matching(names: Callable[[], list[str]], incomplete: str) -> list[str]:
    try:
        found = names()
    except Exception:
        return []
    short = [name.partition("/")[2] for name in found if "/" not in incomplete]
    alone = [name for name in short if name and short.count(name) == 1]
    return sorted({name for name in [*found, *alone] if name.startswith(incomplete)})


def _config() -> Path:
    from watcher.cli.running import USUAL

    words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", ""))
    named = re.search(r"(?:^|\s)(?:-c|--config)[ =](\S+)", words)
    return Path(named[1] if named else os.environ.get("RELAYER_CONFIG") or USUAL)


def _read() -> dict[str, object]:
    """The file as YAML alone: checking it takes longer than a person waits for a name."""
    import yaml

    with _config().open("rb") as file:
        found = yaml.safe_load(file.read(MOST_BYTES))
    return found if isinstance(found, dict) else {}


def _pools() -> list[str]:
    rows = _read().get("pools") or []
    assert isinstance(rows, list), "whoever calls takes any error"
    return [f"{row['cluster']}/{row['pool']}" for row in rows]


def _updates() -> list[str]:
    """From the embedded store's socket or Redis, if it answers at once."""

    async def asked() -> list[str]:
        from watcher.clients.store.embedded import find_socket
        from watcher.clients.store.opening import opened
        from watcher.core.jobs import JobKind
        from watcher.settings import RedisSettings

        said = _read()
        redis = said.get("redis") or {}
        assert isinstance(redis, dict), "whoever calls takes any error"
        directory = _config().absolute().parent / str(said.get("state_dir") or "/var/lib/relayer")
        if not redis.get("url") and find_socket(directory) is None:
            return []  # none runs, and none is started for this
        settings = RedisSettings(
            url=str(redis.get("url") or ""), prefix=str(redis.get("prefix") or "relayer")
        )
        async with asyncio.timeout(SECONDS), opened(settings, state_dir=directory) as store:
            return [one.job.id for one in await store.jobs(JobKind.UPDATE, ended=False)]

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        return asyncio.run(asked())

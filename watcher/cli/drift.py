"""`relayer drift`: the state of every pool, live or from files, in a table or as JSON.

The JSON's names are an interface: add, do not rename.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say, table, tell
from watcher.clock import SystemClock
from watcher.core.cluster import ClusterView
from watcher.core.state import Finding
from watcher.settings import Settings
from watcher.shown_drift import behind, cluster_row, urgency, why
from watcher.surveying import Offline, Surveyor


async def drift(
    settings: Settings, paths: Sequence[Path], form: Format, *, cluster: str, registry: bool
) -> Code:
    """Print every pool of the files, or of the configured clusters."""
    now = SystemClock().now()
    rows: list[dict[str, Any]] = []
    found: list[Finding] = []
    async with _views(settings, paths, cluster=cluster, registry=registry) as (surveyor, views):
        for view in views:
            for problem in view.problems:
                tell(problem)
            seen = await surveyor.survey(view, now=now)
            found += seen.findings
            rows.append(cluster_row(seen))
    if form is Format.JSON:
        output.as_json({"clusters": rows})
    else:
        _print(found)
    # Nothing seen is not nothing wrong. Of files it was told which of them are missing.
    return Code.OK if paths or all(row["pools"] for row in rows) else Code.UNREACHABLE


@asynccontextmanager
async def _views(
    settings: Settings, paths: Sequence[Path], *, cluster: str, registry: bool
) -> AsyncIterator[tuple[Surveyor, Sequence[ClusterView]]]:
    if paths:
        views = [v for v in _read(paths) if not cluster or v.cluster == cluster]
        if not any(view.pools for view in views):
            raise Usage("no cluster in these files: they need its clusterversion and mcp at least")
        if not registry:
            nobody = Offline()
            yield Surveyor(settings=settings, images=nobody, graphs=nobody), views
            return
    from watcher.bootstrap import surveying as opening  # loads every client there is

    if paths:
        async with opening.asking(settings) as surveyor:
            yield surveyor, views
        return
    chosen = [one for one in settings.clusters if not cluster or one.name == cluster]
    if not chosen:
        raise Usage("no cluster to look at: name files with --from, or a configuration with -c")
    async with opening.live(settings, [one.name for one in chosen]) as (surveyor, live):
        yield surveyor, live


def _read(paths: Sequence[Path]) -> Sequence[ClusterView]:
    from watcher.clients.dumps import read_dumps

    dumps = read_dumps(paths, now=SystemClock().now())
    for problem in dumps.problems:
        tell(problem)
    return dumps.views


def _print(found: Sequence[Finding]) -> None:
    ordered = sorted(found, key=urgency)
    table(
        ("POOL", "STATE", "NODES", "BEHIND", "WHY"),
        [
            (f"{one.cluster}/{one.pool}", one.state, one.nodes.total, behind(one.lag), why(one))
            for one in ordered
        ],
    )
    blocks = [(one, block) for one in ordered for block in one.blocks]
    if blocks:
        say()
        table(
            ("BLOCKS", "POOL", "WHY"),
            [(b.target, f"{o.cluster}/{o.pool}", b.why) for o, b in blocks],
        )

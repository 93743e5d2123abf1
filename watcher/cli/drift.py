"""`relayer drift`: the state of every pool, live or from files, in a table or as JSON.

The JSON's names are an interface: add, do not rename.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Format, say, table, tell
from watcher.clock import SystemClock
from watcher.core.cluster import ClusterView
from watcher.core.lag import Lag
from watcher.core.state import Finding, State
from watcher.settings import Settings
from watcher.surveying import Offline, Surveyor

QUIET = frozenset({State.STOCK, State.CURRENT, State.EMPTY})
"""States that nobody needs to do anything about; they come last."""


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
            findings = await surveyor.survey(view, now=now)
            found += findings
            rows.append(_cluster(view, findings))
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


def _cluster(view: ClusterView, findings: Sequence[Finding]) -> dict[str, Any]:
    cv = view.cluster_version
    return {
        "cluster": view.cluster,
        "version": cv.desired_version if cv else None,
        "release": cv.desired_image if cv else None,
        "stage": _stage(view),
        "problems": list(view.problems),
        "pools": [row(one) for one in findings],
    }


def _stage(view: ClusterView) -> str | None:
    from watcher.core.stages import stage_of

    return str(stage_of(view.cluster_version).kind) if view.cluster_version else None


def row(found: Finding) -> dict[str, Any]:
    """Return one pool as JSON."""
    override = found.override
    return {
        "pool": found.pool,
        "state": str(found.state),
        "flags": [
            {"flag": str(f.flag), "since": _iso(f.since), "said": f.said} for f in found.flags
        ],
        "sentence": found.sentence,
        "base": {
            "expected": found.base_expected or None,
            "actual": found.base_actual or None,
            "source": found.base_source or None,
        },
        "override": override
        and {
            "machineconfig": override.machineconfig,
            "image": override.image,
            "by": override.by,
        },
        "lag": {
            "releases": found.lag.releases,
            "minors": found.lag.minors,
            "days": found.lag.days,
            "said_by": str(found.lag.said_by),
        },
        "blocks": [{"target": block.target, "why": block.why} for block in found.blocks],
        "nodes": {
            "total": found.nodes.total,
            "updated": found.nodes.updated,
            "degraded": found.nodes.degraded,
        },
        "observed_at": _iso(found.observed_at),
        "evidence": dict(found.evidence),
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _print(found: Sequence[Finding]) -> None:
    ordered = sorted(found, key=lambda one: (one.state in QUIET, one.cluster, one.pool))
    table(
        ("POOL", "STATE", "NODES", "BEHIND", "WHY"),
        [
            (f"{one.cluster}/{one.pool}", one.state, one.nodes.total, _behind(one.lag), _why(one))
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


def _why(one: Finding) -> str:
    flags = ", ".join(str(raised.flag) for raised in one.flags)
    return f"{one.sentence} [{flags}]" if flags else one.sentence


def _behind(lag: Lag) -> str:
    parts = ((lag.minors, "minor"), (lag.releases, "release"), (lag.days, "day"))
    return ", ".join(f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in parts if n)

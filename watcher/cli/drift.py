"""`relayer drift`: the state of every pool, live or from files, as a table or as JSON.

The JSON's names are an interface: add, do not rename.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.cli import output
from watcher.cli.exits import Code, Usage
from watcher.cli.output import Column, Format, Part, minute, tabled, tell
from watcher.clock import SystemClock
from watcher.core.lag import Lag
from watcher.shown_drift import QUIET, behind, cluster_row

if TYPE_CHECKING:
    from watcher.cli.door import Door
    from watcher.core.cluster import ClusterView
    from watcher.settings import Settings
    from watcher.surveying import Surveyor

Row = dict[str, Any]
Views = Callable[[], Sequence["ClusterView"]]


async def of_files(
    settings: "Settings", paths: Sequence[Path], form: Format, *, cluster: str, registry: bool
) -> Code:
    """Print every pool of the files."""
    now = SystemClock().now()
    async with _of_files(settings, paths, cluster=cluster, registry=registry) as (surveyor, views):
        for view in views:
            for problem in view.problems:
                tell(problem)
        rows = [cluster_row(await surveyor.survey(view, now=now)) for view in views]
    _print({"clusters": rows}, form)
    return Code.OK  # it was told which objects are missing


async def drift(door: "Door", form: Format, *, cluster: str) -> Code:
    """Print every pool of the clusters as they are now."""
    seen = await door.drift(cluster)
    for one in seen["clusters"]:
        for problem in one["problems"]:
            tell(problem)
    _print(seen, form)
    return code_of(seen)


def code_of(seen: Row) -> Code:
    """Nothing seen is not nothing wrong."""
    return Code.OK if all(one["pools"] for one in seen["clusters"]) else Code.UNREACHABLE


@asynccontextmanager
async def _of_files(
    settings: "Settings", paths: Sequence[Path], *, cluster: str, registry: bool
) -> AsyncIterator[tuple["Surveyor", Sequence["ClusterView"]]]:
    views = [v for v in read(paths) if not cluster or v.cluster == cluster]
    if not any(view.pools or view.unreadable_pools for view in views):
        for problem in (problem for view in views for problem in view.problems):
            tell(problem)  # why not: they may be there, and unreadable
        raise Usage("no cluster in these files: they need its clusterversion and mcp at least")
    if not registry:
        from watcher.surveying import Offline, Surveyor

        nobody = Offline()
        yield Surveyor(settings=settings, images=nobody, graphs=nobody), views
        return
    from watcher.bootstrap import surveying as opening  # loads every client there is

    async with opening.asking(settings) as surveyor:
        yield surveyor, views


@asynccontextmanager
async def of_clusters(
    settings: "Settings", *, cluster: str
) -> AsyncIterator[tuple["Surveyor", Views]]:
    """The configured clusters, or one of them, as they are when asked. Raise Usage for none."""
    from watcher.bootstrap import surveying as opening
    from watcher.cli.stores import quiet_logs

    chosen = [one for one in settings.clusters if not cluster or one.name == cluster]
    if not chosen:
        raise Usage("no cluster to look at: name files with --from, or a configuration with -c")
    quiet_logs()
    async with opening.live(settings, [one.name for one in chosen]) as (surveyor, views):
        yield surveyor, views


def read(paths: Sequence[Path]) -> Sequence["ClusterView"]:
    """Return the clusters of must-gathers and of what `oc get` printed; tell what is wrong."""
    from watcher.clients.dumps import read_dumps

    dumps = read_dumps(paths, now=SystemClock().now())
    for problem in dumps.problems:
        tell(problem)
    return dumps.views


def _print(seen: Row, form: Format) -> None:
    if form.is_data:
        output.data(seen, form)
    else:
        output.parts(drift_parts(seen, form))


def drift_parts(seen: Row, form: Format) -> list[Part]:
    """Return the findings as people see them: what needs something first."""
    found = [
        {**pool, "cluster": one["cluster"], "version": one["version"]}
        for one in seen["clusters"]
        for pool in one["pools"]
    ]
    found.sort(key=lambda r: (r["state"] in QUIET, r["cluster"], r["pool"]))
    parts: list[Part] = [tabled(COLUMNS, found, form)]
    blocks = [{**block, "of": output.place(one)} for one in found for block in one["blocks"]]
    if blocks:
        parts.append(tabled(BLOCKS, blocks, form))
    return parts


def _behind(row: output.Row) -> str:
    said = row["lag"]
    return behind(Lag(releases=said["releases"], minors=said["minors"], days=said["days"]))


def why(row: output.Row) -> str:
    """Return the sentence of a finding, and its flags."""
    flags = ", ".join(one["flag"] for one in row["flags"])
    return f"{row['sentence']} [{flags}]" if flags else str(row["sentence"])


def _nodes(row: output.Row) -> str:
    said = row["nodes"]
    return f"{said['updated']} of {said['total']} updated, {said['degraded']} degraded"


COLUMNS = (
    Column("POOL", output.place),
    Column("STATE", lambda r: r["state"]),
    Column("NODES", lambda r: r["nodes"]["total"]),
    Column("BEHIND", _behind),
    Column("CLUSTER AT", lambda r: r["version"], wide=True),
    Column("OF THEM", _nodes, wide=True),
    Column("BASE", lambda r: r["base"]["actual"], wide=True),
    Column("SAID BY", lambda r: r["base"]["source"], wide=True),
    Column("EXPECTED BASE", lambda r: r["base"]["expected"], wide=True),
    Column("OVERRIDE", lambda r: (r["override"] or {}).get("machineconfig"), wide=True),
    Column("IMAGE", lambda r: (r["override"] or {}).get("image"), wide=True),
    Column("RECIPE", lambda r: r["evidence"].get("recipe"), wide=True),
    Column("SEEN (UTC)", lambda r: minute(r["observed_at"]), wide=True),
    Column("WHY", why),
)
BLOCKS = (
    Column("BLOCKS", lambda r: r["target"]),
    Column("POOL", lambda r: r["of"]),
    Column("WHY", lambda r: r["why"]),
)

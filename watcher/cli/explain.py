"""`relayer explain POOL`: the chain of evidence behind its decision and its finding, as a tree."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watcher.cli import evidence, output
from watcher.cli.exits import Code, NotFound, Usage
from watcher.cli.local_door import LocalDoor
from watcher.cli.output import Format, say, tell
from watcher.clock import SystemClock
from watcher.core import mco
from watcher.core.drift import Observation, RecipeBroken, Running, decide
from watcher.core.facts import PoolName
from watcher.core.genuine import Ruling
from watcher.core.lineage import Lineage
from watcher.core.release import UnknownBase, effective_stream
from watcher.shown_drift import pool_row

if TYPE_CHECKING:
    from watcher.core.cluster import ClusterView, Pool
    from watcher.core.survey import Known
    from watcher.settings import Settings

Row = dict[str, Any]
MARK = {True: "✓ ", False: "✗ ", None: ""}


async def live(door: LocalDoor, name: str, form: Format) -> Code:
    """Of a configured pool, as its cluster is now."""
    from watcher import shown
    from watcher.core.survey import Survey

    cluster, _, pool = (await door.place(name)).partition("/")
    app = await door.app({cluster})
    place = app.settings.pool(cluster, pool)
    assert place is not None, "it was found by its name"
    plan = await app.planner.plan(place.cluster, place.pool)
    view, now = app.clusters[place.cluster].view(), SystemClock().now()
    if plan.observation is None:
        raise NotFound(plan.decision.because)
    found = Survey(view.cluster).of(view, await app.surveys.surveyor.known(view), now=now)
    (calendar,) = (await door.windows(f"{cluster}/{pool}"))["pools"]
    active = (await shown.moving_rows(app.store, [plan.active]))[0] if plan.active else None
    known = evidence.Known(
        view=view,
        seen=plan.observation,
        decision=plan.decision,
        finding=next(pool_row(one) for one in found if one.pool == pool),
        configured=place,
        unmet=plan.unmet,
        active=active,
        calendar=calendar,
        now=now,
    )
    return _told(known, form)


async def of_files(settings: "Settings", name: str, paths: Sequence[Path], form: Format) -> Code:
    """As far as files of a cluster tell: nothing else is asked."""
    from watcher.bootstrap.clients import read_recipe
    from watcher.cli.drift import read
    from watcher.core.survey import Survey
    from watcher.surveying import Offline, Surveyor

    view, pool = _found(read(paths), name)
    for problem in view.problems:
        tell(problem)
    nobody, now = Offline(), SystemClock().now()
    surveyor = Surveyor(
        settings=settings,
        images=nobody,
        graphs=nobody,
        load_recipe=lambda recipe: read_recipe(settings, recipe)[0],
    )
    known = await surveyor.known(view)
    if known.release is None:
        raise Usage(f"{view.cluster}: its release cannot be read: {known.problem}")
    found = Survey(view.cluster).of(view, known, now=now)
    seen = _observed(view, pool, known)
    configured = settings.pool(view.cluster, pool.name)
    return _told(
        evidence.Known(
            view=view,
            seen=seen,
            # Files are of their own time: what they say is not too old to be explained.
            decision=decide(seen, now=seen.observed_at) if configured else None,
            finding=next(pool_row(one) for one in found if one.pool == pool.name),
            configured=configured,
            now=now,
        ),
        form,
    )


def _found(views: Sequence["ClusterView"], name: str) -> tuple["ClusterView", "Pool"]:
    cluster, slash, pool = name.rpartition("/")
    found = [
        (view, view.pools[PoolName(pool)])
        for view in views
        if PoolName(pool) in view.pools and (not slash or view.cluster == cluster)
    ]
    if len(found) == 1:
        return found[0]
    there = ", ".join(sorted(f"{v.cluster}/{p}" for v in views for p in v.pools)) or "none"
    if found:
        raise Usage(f"{name} is a pool of several clusters; say which: {there}")
    unreadable = [v.unreadable_pools[pool] for v in views if pool in v.unreadable_pools]
    if unreadable:
        raise NotFound("; ".join(unreadable))
    raise NotFound(f"no pool {name} is in these files; there is: {there}")


def _observed(view: "ClusterView", pool: "Pool", known: "Known") -> Observation:
    """What `observe` makes, of files alone."""
    assert known.release is not None, "checked by the caller"
    version, stream = known.release.desired.version, effective_stream(view, pool)
    won = mco.overriding(pool, view.machine_configs.values(), version=version)
    would_win = mco.winner_if_applied(view, pool, version=version)
    ours = mco.override_name(pool.name)
    owners = (one.meta.name for one in view.machine_os_configs.values() if one.pool == pool.name)
    return Observation(
        cluster=view.cluster,
        pool=pool,
        observed_at=view.observed_at,
        release=known.release,
        genuine=Ruling(told="not looked at: files hold no signatures"),
        base=known.bases.get(stream, UnknownBase("nobody says which it is")),
        recipe=known.recipes.get(pool.name, RecipeBroken("", "none is configured")),
        running=Running(
            machine_config=won.meta.name,
            image=won.os_image_url,
            ours=won.meta.name == ours,
            lineage=known.lineages.get(won.os_image_url, Lineage()),
        )
        if won
        else None,
        would_win=would_win.meta.name if would_win else "",
        our_name=ours,
        also_hit=mco.also_hit(view, pool, version=version),
        override=view.machine_configs.get(ours),
        owner=next(owners, ""),
    )


def _told(known: evidence.Known, form: Format) -> Code:
    chain = [one.row() for one in evidence.chain(known)]
    decision = known.decision
    if form.is_data:
        document = {
            "cluster": known.view.cluster,
            "pool": known.seen.pool.name,
            "observed_at": known.seen.observed_at.isoformat(),
            "decision": type(decision).__name__ if decision else None,
            "because": decision.because if decision else None,
            "update": known.active["id"] if known.active else None,
            "finding": known.finding,
            "chain": chain,
        }
        output.data(document, form)
        return Code.OK
    say(f"{known.view.cluster}/{known.seen.pool.name}")
    output.tree(list(tree(chain)))
    return Code.OK


def tree(chain: Sequence[Mapping[str, Any]], indent: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the lines of the chain: what stands before each, before its further lines, and it."""
    for number, step in enumerate(chain):
        is_last = number == len(chain) - 1
        by = f"  ({step['by']})" if step["by"] else ""
        below = indent + ("   " if is_last else "│  ")
        more = "│  " if step["steps"] else "   "
        text = f"{MARK[step['ok']]}{step['name']}: {step['said']}{by}"
        yield f"{indent}{'└─' if is_last else '├─'} ", below + more, text
        yield from tree(step["steps"], below)

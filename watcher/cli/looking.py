"""Commands that only look: status, plan, history, dead letters."""

import asyncio
from datetime import datetime

from watcher import shown
from watcher.bootstrap import open_app, watching
from watcher.cli import output
from watcher.cli.exits import Code, NotFound
from watcher.cli.freezing import print_freezes
from watcher.cli.output import Format, ago, minute, pairs, say, table, tell
from watcher.cli.session import only, pool_named, the_store
from watcher.clock import SystemClock
from watcher.core.build import Build
from watcher.core.jobs import JobKind
from watcher.ports import Store
from watcher.settings import Settings


async def status(settings: Settings, form: Format) -> Code:
    """The fleet at a glance."""
    now = SystemClock().now()
    places = [(p.cluster, p.pool) for p in settings.pools]
    async with the_store(settings) as store:
        seen = await shown.status(store, places, now=now, settings=settings)
    looks = [row["at"] for row in seen["pools"] if row["at"]]
    late = places and not any(_is_lately(at, now, settings.work.resync_seconds) for at in looks)
    if late:
        tell(f"no service seems to run: last look {ago(max(looks, default=''), now)}")
    if form is Format.JSON:
        output.as_json(seen)
    else:
        _print_status(seen, now)
    return Code.OK


def _is_lately(at: str, now: datetime, resync_seconds: float) -> bool:
    return (now - datetime.fromisoformat(at)).total_seconds() < 2 * resync_seconds + 30


def _print_status(seen: shown.Row, now: datetime) -> None:
    table(
        ("POOL", "MODE", "DECISION", "NODES", "LOOKED AT", "WHY"),
        [
            (
                *(_place(r), output.mode(r), r["decision"], r["nodes"]),
                *(ago(r["at"], now), r["because"]),
            )
            for r in seen["pools"]
        ],
    )
    if seen["freezes"]:
        say()
        print_freezes(seen["freezes"])
    if seen["active"]:
        say()
        table(
            (
                *("ACTIVE", "POOL", "CHANGE", "STATE", "SINCE"),
                *("NODES", "SCHEDULED FOR (UTC)", "WAITS FOR"),
            ),
            [
                (
                    *(r["id"], _place(r), r["change"], r["state"], ago(r["changed_at"], now)),
                    *(_nodes(r), minute(r["scheduled_for"]), _wait(r, now)),
                )
                for r in seen["active"]
            ],
        )
    if seen["recent"]:
        say()
        table(
            ("ENDED", "POOL", "STATE", "WHEN", "WHY"),
            [
                (r["id"], _place(r), r["state"], ago(r["changed_at"], now), _why(r))
                for r in seen["recent"]
            ],
        )
    if seen["dead_letters"]:
        say()
        say(f"{seen['dead_letters']} dead letter(s): `relayer dead` shows them")


def _place(row: shown.Row) -> str:
    return f"{row['cluster']}/{row['pool']}"


def _why(row: shown.Row) -> str:
    return str(row["ended_because"] or row["because"])


def _wait(row: shown.Row, now: datetime) -> str:
    waiting, snoozed = str(row["progress"].get("waiting", "")), _snoozed(row, now)
    return waiting if snoozed in waiting else "; ".join(filter(None, (snoozed, waiting)))


def _snoozed(row: shown.Row, now: datetime) -> str:
    until = row["snoozed_until"]
    if row["ended"] or not until or datetime.fromisoformat(until) <= now:
        return ""
    return f"snoozed by {row['snoozed_by']} until {minute(until)} UTC"


def _nodes(row: shown.Row) -> str:
    progress = row["progress"]
    return f"{progress.get('updated', 0)}/{progress['total']}" if progress.get("total") else ""


async def plan(settings: Settings, pool: str | None, form: Format) -> Code:
    """What would be done about one pool, or about all, and why; changes nothing."""
    chosen = [pool_named(settings, pool)] if pool else list(settings.pools)
    clusters = {one.cluster for one in chosen}
    async with open_app(only(settings, clusters)) as app, watching(app, *sorted(clusters)):
        plans = await asyncio.gather(*(app.planner.plan(p.cluster, p.pool) for p in chosen))
    rows = [shown.plan_row(one) for one in plans]
    if form is Format.JSON:
        output.as_json({"plans": rows})
        return Code.OK
    for number, row in enumerate(rows):
        if number:
            say()
        print_plan(row)
    return Code.OK


def print_plan(row: shown.Row) -> None:
    """Print one plan for people."""
    active = row["update"]
    pairs(
        [
            ("pool", _place(row)),
            ("decision", row["decision"]),
            ("why", row["because"]),
            ("release", row["release"]),
            ("runs", row["running"] or "the stock image"),
            ("base", row["base"]),
            ("recipe", row["recipe"]),
            ("recipe digest", row["recipe_digest"]),
            ("build key", row["build_key"]),
            ("active update", f"{active['id']} ({active['state']})" if active else ""),
            *(("in the way now", sentence) for sentence in row["unmet"]),
            *(("lint", sentence) for sentence in row["complaints"]),
        ]
    )


async def history(
    settings: Settings, target: str | None, limit: int, log: bool, form: Format
) -> Code:
    """Updates of a pool or of all, newest first; or the audit trail of one update or build."""
    async with the_store(settings) as store:
        if target and target.startswith(("u-", "b-")):
            return await _trail(store, target, log, form)
        if target:
            place = pool_named(settings, target)
            found = await store.history(place.cluster, place.pool, limit)
        else:
            found = await store.jobs(JobKind.UPDATE, ended=False)
            found += await store.jobs(JobKind.UPDATE, ended=True)
        rows = await shown.moving_rows(store, shown.updates_of(found)[:limit])
    if form is Format.JSON:
        output.as_json({"updates": rows})
        return Code.OK
    now = SystemClock().now()
    table(
        (
            *("UPDATE", "POOL", "CHANGE", "STATE", "CHANGED (UTC)", "SCHEDULED FOR (UTC)"),
            *("RELEASE", "APPROVED BY", "WHY"),
        ),
        [
            (
                *(r["id"], _place(r), r["change"], r["state"], minute(r["changed_at"])),
                *(minute(r["scheduled_for"]), r["release"], ", ".join(r["approval"]["by"])),
                "; ".join(filter(None, (_snoozed(r, now), _why(r)))),
            )
            for r in rows
        ],
    )
    return Code.OK


TRAIL = (
    *("id", "state", "because", "ended_because", "change", "scheduled_for", "snoozed_until"),
    *("snoozed_by", "release", "base", "image", "binding", "build"),
)
"""What stands above an audit trail, where there is such a thing."""


async def _trail(store: Store, job_id: str, log: bool, form: Format) -> Code:
    try:
        job = (await store.get(job_id)).job
    except KeyError:
        raise NotFound(f"no job {job_id}; `relayer history` lists updates") from None
    audit = [shown.audit_row(entry) for entry in await store.audit(job_id)]
    build = job.id if isinstance(job, Build) else job.build
    lines = await store.log(build) if log and build else []
    row = shown.job_row(job, {} if job.is_ended else await store.progress(job.id))
    if form is Format.JSON:
        output.as_json({**row, "audit": audit, "log": lines})
        return Code.OK
    pairs([(name.replace("_", " "), row.get(name, "")) for name in TRAIL])
    say()
    table(
        ("WHEN (UTC)", "EVENT", "STATE", "BY", "SURFACE", "BINDING", "DETAIL"),
        [
            (
                *(minute(e["at"]), e["event"], e["state"], e["by"], e["surface"]),
                *(e["binding"].removeprefix("sha256:")[:12], e["detail"]),
            )
            for e in audit
        ],
    )
    for line in lines:
        say(f"| {line}")
    return Code.OK


async def dead(settings: Settings, form: Format) -> Code:
    """Jobs set aside after they crashed again and again."""
    async with the_store(settings) as store:
        found = await store.dead()
    rows = [{**shown.job_row(stored.job), "buried_because": why} for stored, why in found]
    if form is Format.JSON:
        output.as_json({"dead": rows})
    else:
        table(("JOB", "STATE", "WHY"), [(r["id"], r["state"], r["buried_because"]) for r in rows])
    return Code.OK

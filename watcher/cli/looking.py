"""Commands that only look: status, history, dead letters."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from watcher.cli import output
from watcher.cli.door import Door
from watcher.cli.exits import Code
from watcher.cli.freezing import COLUMNS as FREEZES
from watcher.cli.output import (
    Column,
    Format,
    Pairs,
    Part,
    Row,
    Table,
    ago,
    minute,
    place,
    tabled,
    tell,
)
from watcher.clock import SystemClock

if TYPE_CHECKING:
    from watcher.settings import Settings


async def status(door: Door, form: Format) -> Code:
    """The fleet at a glance."""
    seen = await door.status()
    if doubt := door.doubt(seen):
        tell(doubt)
    if form.is_data:
        output.data(seen, form)
    else:
        output.parts(status_parts(seen, SystemClock().now(), form))
    return Code.OK


def status_parts(seen: Row, now: datetime, form: Format) -> list[Part]:
    """Return the fleet as people see it."""
    parts: list[Part] = [tabled(_pools(now), seen["pools"], form)]
    if seen["freezes"]:
        parts.append(tabled(FREEZES, seen["freezes"], form))
    if seen["active"]:
        parts.append(tabled(_active(now), seen["active"], form))
    if seen["recent"]:
        parts.append(tabled(_ended(now), seen["recent"], form))
    if seen["dead_letters"]:
        parts.append(f"{seen['dead_letters']} dead letter(s): `relayer dead` shows them")
    return parts


def _pools(now: datetime) -> tuple[Column, ...]:
    return (
        Column("POOL", place),
        Column("MODE", output.mode),
        Column("DECISION", lambda r: r["decision"]),
        Column("NODES", lambda r: r["nodes"]),
        Column("LOOKED AT", lambda r: ago(r["at"], now)),
        Column("RELEASE", lambda r: r["release"], wide=True),
        Column("UPDATE", lambda r: r["update"], wide=True),
        Column("IMAGE", lambda r: r["image"], wide=True),
        Column("BASE", lambda r: r["expected_base"], wide=True),
        Column("WHY", lambda r: r["because"]),
    )


def _active(now: datetime) -> tuple[Column, ...]:
    return (
        Column("ACTIVE", lambda r: r["id"]),
        Column("POOL", place),
        Column("CHANGE", lambda r: r["change"]),
        Column("STATE", lambda r: r["state"]),
        Column("SINCE", lambda r: ago(r["changed_at"], now)),
        Column("NODES", _nodes),
        Column("SCHEDULED FOR (UTC)", lambda r: minute(r["scheduled_for"])),
        *DETAILS,
        Column("WAITS FOR", lambda r: _wait(r, now)),
    )


def _ended(now: datetime) -> tuple[Column, ...]:
    return (
        Column("ENDED", lambda r: r["id"]),
        Column("POOL", place),
        Column("STATE", lambda r: r["state"]),
        Column("WHEN", lambda r: ago(r["changed_at"], now)),
        *DETAILS,
        Column("WHY", why),
    )


DETAILS = (
    Column("RELEASE", lambda r: r["release"], wide=True),
    Column("RECIPE", lambda r: r["recipe"], wide=True),
    Column("RECIPE DIGEST", lambda r: r["recipe_digest"], wide=True),
    Column("BASE", lambda r: r["base"], wide=True),
    Column("IMAGE", lambda r: r["image"], wide=True),
    Column("BUILD", lambda r: r["build"], wide=True),
    Column("CREATED (UTC)", lambda r: minute(r["created_at"]), wide=True),
    Column("EXPIRES (UTC)", lambda r: minute(r["expires_at"]), wide=True),
)
"""What -o wide adds about an update."""


def why(row: Row) -> str:
    """Why it ended, or is there."""
    return str(row["ended_because"] or row["because"])


def _wait(row: Row, now: datetime) -> str:
    waiting, snoozed = str(row["progress"].get("waiting", "")), _snoozed(row, now)
    return waiting if snoozed in waiting else "; ".join(filter(None, (snoozed, waiting)))


def _snoozed(row: Row, now: datetime) -> str:
    until = row["snoozed_until"]
    if row["ended"] or not until or datetime.fromisoformat(until) <= now:
        return ""
    return f"snoozed by {row['snoozed_by']} until {minute(until)} UTC"


def _nodes(row: Row) -> str:
    progress = row["progress"]
    return f"{progress.get('updated', 0)}/{progress['total']}" if progress.get("total") else ""


async def history(door: Door, target: str | None, limit: int, log: bool, form: Format) -> Code:
    """Updates of a pool or of all, newest first; or the audit trail of one update or build."""
    if target and is_job(target):
        row = await door.job(target, log=log)
        if form.is_data:
            output.data(row, form)
        else:
            output.parts(trail_parts(row, form))
            for line in row["log"]:
                output.say(f"| {line}")
        return Code.OK
    found = await door.updates(target, limit)
    if form.is_data:
        output.data(found, form)
    else:
        output.columns(_history(SystemClock().now()), found["updates"], form)
    return Code.OK


def is_job(target: str) -> bool:
    """Whether it is the id of an update or a build, and no pool."""
    return target.startswith(("u-", "b-")) and "/" not in target


def _history(now: datetime) -> tuple[Column, ...]:
    return (
        Column("UPDATE", lambda r: r["id"]),
        Column("POOL", place),
        Column("CHANGE", lambda r: r["change"]),
        Column("STATE", lambda r: r["state"]),
        Column("CHANGED (UTC)", lambda r: minute(r["changed_at"])),
        Column("SCHEDULED FOR (UTC)", lambda r: minute(r["scheduled_for"])),
        Column("RELEASE", lambda r: r["release"]),
        *(one for one in DETAILS if one.head != "RELEASE"),
        Column("APPROVED BY", lambda r: ", ".join(r["approval"]["by"])),
        Column("WHY", lambda r: "; ".join(filter(None, (_snoozed(r, now), why(r))))),
    )


TRAIL = (
    *("id", "state", "because", "ended_because", "change", "scheduled_for", "snoozed_until"),
    *("snoozed_by", "release", "base", "image", "binding", "build"),
)
"""What stands above an audit trail, where there is such a thing."""
TRAIL_WIDE = ("recipe", "recipe_digest", "build_key", "created_at", "changed_at", "expires_at")
EVENTS = (
    Column("WHEN (UTC)", lambda e: minute(e["at"])),
    Column("EVENT", lambda e: e["event"]),
    Column("STATE", lambda e: e["state"]),
    Column("BY", lambda e: e["by"]),
    Column("SURFACE", lambda e: e["surface"]),
    Column("BINDING", lambda e: e["binding"].removeprefix("sha256:")[:12]),
    Column("DETAIL", lambda e: e["detail"]),
)


def trail_parts(row: Row, form: Format) -> list[Part]:
    """Return one update or build as people see it, with its audit trail."""
    names = (*TRAIL, *(TRAIL_WIDE if form is Format.WIDE else ()))
    above: list[tuple[str, Any]] = [(name.replace("_", " "), row.get(name, "")) for name in names]
    trail = tabled(EVENTS, row["audit"], form)
    return [Pairs(above), trail if row["audit"] else "nothing was audited yet"]


async def dead(settings: "Settings", form: Format) -> Code:
    """Jobs set aside after they crashed again and again."""
    from watcher import shown
    from watcher.cli.stores import the_store

    async with the_store(settings) as store:
        found = await store.dead()
    rows = [{**shown.job_row(stored.job), "buried_because": why} for stored, why in found]
    if form.is_data:
        output.data({"dead": rows}, form)
        return Code.OK
    head = ("JOB", "STATE", "WHY")
    output.table(*Table(head, [(r["id"], r["state"], r["buried_because"]) for r in rows]))
    return Code.OK

"""The command that says when pools may be changed."""

from collections.abc import Iterator
from datetime import datetime

from watcher.cli import output
from watcher.cli.door import Door, Row
from watcher.cli.exits import Code
from watcher.cli.freezing import print_freezes
from watcher.cli.output import Format, ago, minute, pairs, say, table
from watcher.clock import SystemClock
from watcher.core.timing import short_duration
from watcher.core.windows import zone_of


async def windows(door: Door, pool: str | None, form: Format) -> Code:
    """Of one pool, or of each: whether an update may begin now, why not, and what is ahead."""
    found = await door.windows(pool)
    if form.is_data:
        output.data(found, form)
        return Code.OK
    now = SystemClock().now()
    for number, row in enumerate(found["pools"]):
        if number:
            say()
        _print(row, now, form)
    return Code.OK


def _print(row: Row, now: datetime, form: Format) -> None:
    zone = row["time_zone"]
    pairs(
        [
            ("pool", f"{row['cluster']}/{row['pool']}"),
            ("now", "an update may begin" if row["allowed"] else "nothing may begin"),
            *(("why not", sentence) for sentence in row["reasons"]),
            ("from", "" if row["allowed"] else _both(row["opens_at"], zone) or "nobody knows when"),
            ("mode", output.mode(row)),
            ("release", row["release"]),
            ("known since", _both(row["release_seen_at"], zone)),
            ("minimum age", _age(row)),
            *(("after", _after(one, now)) for one in row["after"]),
            ("last look", _look(row, now)),
            *(("in the way then", sentence) for sentence in row["unmet"]),
            ("active update", row["update"]),
            ("it waits for", row["waiting"]),
        ]
    )
    if not row["windows"]:
        say("no windows are configured: they keep nothing back")
    if row["openings"]:
        say()
        heads = (f"OPEN FROM ({zone})", "UNTIL", "FROM (UTC)", "UNTIL (UTC)")
        table(heads, [tuple(_opening(one, zone)) for one in row["openings"]])
    if row["blackouts"]:
        say()
        head = ("BLACKOUT FROM (UTC)", "UNTIL (UTC)", "WHY")
        table(head, [(_begin(b), minute(b["end"]), b["reason"]) for b in row["blackouts"]])
    if row["freezes"]:
        say()
        print_freezes(row["freezes"], form)


def _local(at: str | None, zone: str) -> str:
    if at is None:
        return ""
    return f"{datetime.fromisoformat(at).astimezone(zone_of(zone)):%a %Y-%m-%d %H:%M %Z}"


def _both(at: str | None, zone: str) -> str:
    local = f" ({_local(at, zone)})" if zone != "UTC" else ""
    return f"{minute(at)} UTC{local}" if at else ""


def _opening(row: Row, zone: str) -> Iterator[str]:
    yield _local(row["start"], zone)
    yield _local(row["end"], zone) or "it does not end"
    yield minute(row["start"])
    yield minute(row["end"])


def _begin(blackout: Row) -> str:
    return "in force" if blackout["in_force"] else minute(blackout["start"])


def _age(row: Row) -> str:
    if not row["min_age_seconds"]:
        return ""
    reached = f", reached {minute(row['old_enough_at'])} UTC" if row["old_enough_at"] else ""
    return short_duration(row["min_age_seconds"]) + reached


def _after(rule: Row, now: datetime) -> str:
    soak = f", well for {short_duration(rule['soak_seconds'])}" if rule["soak_seconds"] else ""
    update = (
        f"; its newest update {rule['update']} ({rule['update_release']}) is "
        if rule["update"]
        else ""
    )
    return f"{rule['place']}{soak}: {_look(rule, now)}{update}{rule['update_state']}"


def _look(row: Row, now: datetime) -> str:
    if not row["looked_at"]:
        return "not looked at yet"
    return f"{row['decision']}: {row['because']} ({ago(row['looked_at'], now)})"

"""When pools may be changed, as everybody is shown it: from the settings and the store alone.

No cluster is asked, so it answers while one is away. What an order rule waits for depends on other
pools; of those it shows what the last look and the newest update said.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from watcher.core import timing, windows
from watcher.core.order import After
from watcher.core.timing import Freeze, Timing
from watcher.core.update import Update
from watcher.core.update_events import Kind
from watcher.core.windows import Blackout, Period
from watcher.ports import Store
from watcher.settings import PoolSettings
from watcher.shown import Row, freeze_row, pool_row

OPENINGS = 5
"""How many windows ahead are shown."""
Views = Mapping[str, Mapping[str, Any]]


async def timetables(store: Store, pools: Sequence[PoolSettings], *, now: datetime) -> list[Row]:
    """Return for each pool whether an update may be begun now, why not, and what is ahead."""
    views, freezes = await asyncio.gather(store.views(), store.freezes())
    return [await _timetable(store, pool, views, freezes, now) for pool in pools]


async def _timetable(
    store: Store, pool: PoolSettings, views: Views, freezes: Sequence[Freeze], now: datetime
) -> Row:
    policy, look = pool.policy, _look(views, pool.cluster, pool.pool)
    active = await _active(store, pool)
    seen_at = await _release_seen_at(store, look, active, now)
    is_stock = active is not None and active.kind is Kind.STOCK
    said = Timing(
        windows=policy.windows,
        blackouts=policy.blackouts,
        min_age_seconds=0 if is_stock else policy.min_age_seconds,
        freezes=timing.in_force(freezes, pool.cluster, pool.pool, now=now),
        release_seen_at=seen_at,
        snoozed_until=active.snoozed_until if active else None,
        snoozed_by=active.snoozed_by if active else "",
    )
    verdict = timing.verdict(said, now=now)
    old_at = seen_at + timedelta(seconds=policy.min_age_seconds) if seen_at else None
    return {
        "cluster": pool.cluster,
        "pool": pool.pool,
        "at": now.isoformat(),
        "time_zone": pool.time_zone,
        "mode": str(pool.mode),
        "modes": {change: str(mode) for change, mode in pool.modes.items()},
        "allowed": verdict.allowed,
        "reasons": list(verdict.reasons),
        "opens_at": verdict.opens_at.isoformat() if verdict.opens_at else None,
        "when_closed": policy.when_closed,
        "windows": [asdict(window) for window in policy.windows],
        "openings": _openings(pool, now),
        "blackouts": [row for b in policy.blackouts if (row := _blackout_row(b, now))],
        "freezes": [freeze_row(one) for one in said.freezes],
        "min_age_seconds": policy.min_age_seconds,
        "release": look["release"],
        "release_seen_at": seen_at.isoformat() if seen_at else None,
        "old_enough_at": old_at.isoformat() if old_at else None,
        "after": await asyncio.gather(*(_after_row(store, views, rule) for rule in policy.after)),
        "looked_at": look["at"],
        "decision": look["decision"],
        "because": look["because"],
        "unmet": list(look["unmet"]),
        "update": active.id if active else "",
        "snoozed_until": said.snoozed_until.isoformat() if said.snoozed_until else None,
        "snoozed_by": said.snoozed_by,
        "waiting": str((await store.progress(active.id)).get("waiting", "")) if active else "",
    }


def _look(views: Views, cluster: str, pool: str) -> Row:
    return pool_row(views.get(f"pool:{cluster}/{pool}"), cluster, pool)


async def _active(store: Store, pool: PoolSettings) -> Update | None:
    """The pool's update that has not ended, if there is one."""
    newest = await store.history(pool.cluster, pool.pool, 1)
    job = newest[0].job if newest else None
    return job if isinstance(job, Update) and not job.is_ended else None


async def _release_seen_at(
    store: Store, look: Row, active: Update | None, now: datetime
) -> datetime | None:
    """When the release was first seen, as far as the last look or the update knows."""
    if said := look.get("release_seen_at"):
        return datetime.fromisoformat(str(said))
    if active is None:
        return None
    # Whoever proposed the update has looked, so that this finds a moment and sets none.
    return await store.first_seen(f"release:{active.target.release_image.digest}", now)


def _openings(pool: PoolSettings, now: datetime) -> list[Row]:
    policy = pool.policy
    if not policy.windows and not policy.blackouts:
        return []
    found = windows.openings(policy.windows, policy.blackouts, now=now, count=OPENINGS)
    return [_period_row(period, pool.time_zone) for period in found]


def _period_row(period: Period, zone_name: str) -> Row:
    zone, end = windows.zone_of(zone_name), period.end
    return {
        "start": period.start.isoformat(),
        "end": end.isoformat() if end else None,
        "local_start": period.start.astimezone(zone).isoformat(),
        "local_end": end.astimezone(zone).isoformat() if end else None,
    }


def _blackout_row(blackout: Blackout, now: datetime) -> Row | None:
    """A blackout that is in force or comes within the time that windows are looked for."""
    row = {**asdict(blackout), "in_force": True, "start": None, "end": None}
    if there := windows.blacked_out((blackout,), now=now):
        return {**row, "end": there[0][1].isoformat()}
    # What is open without windows is cut by the blackout alone.
    (free,) = windows.openings((), (blackout,), now=now, count=1)
    if free.end is None:
        return None
    ((_, end),) = windows.blacked_out((blackout,), now=free.end)
    return {**row, "in_force": False, "start": free.end.isoformat(), "end": end.isoformat()}


async def _after_row(store: Store, views: Views, rule: After) -> Row:
    """An order rule, and how the pool that goes first stood when it was last looked at."""
    cluster, _, pool = rule.place.partition("/")
    look = _look(views, cluster, pool)
    newest = await store.history(cluster, pool, 1)
    job = newest[0].job if newest else None
    return {
        "place": rule.place,
        "soak_seconds": rule.soak_seconds,
        "looked_at": look["at"],
        "decision": look["decision"],
        "because": look["because"],
        "release": look["release"],
        "update": job.id if job else "",
        "update_state": str(job.state) if job else "",
        "update_release": job.target.release_version if isinstance(job, Update) else "",
    }

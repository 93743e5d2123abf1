"""A scope as people name it: "" everywhere, `prod` one cluster, `prod/infra` one pool.

What the settings say of its pools, which moment a word like `tomorrow` means there, and the audit
of what was declined about it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from watcher.core import moments, timing
from watcher.core.timing import Freeze
from watcher.core.windows import zone_of
from watcher.engine import noted_of
from watcher.errors import Declined
from watcher.ports import Clock, Conflict, Store
from watcher.settings import PoolSettings, Settings


def pools_in(settings: Settings, scope: str) -> list[PoolSettings]:
    """Return the configured pools of a scope."""
    return [p for p in settings.pools if scope in ("", p.cluster, f"{p.cluster}/{p.pool}")]


def until(settings: Settings, scope: str, text: str, *, now: datetime) -> datetime:
    """Return the moment (UTC) that a text means there. Raise ValueError, with a sentence.

    Wall times are those of its pools where they share a zone, else UTC.
    """
    pools = pools_in(settings, scope)
    zones = {pool.time_zone for pool in pools}
    zone = zone_of(zones.pop() if len(zones) == 1 else "UTC")
    next_window: datetime | None = None
    if "/" in scope and pools:
        policy = pools[0].policy
        next_window = moments.next_window(policy.windows, policy.blackouts, now=now)
    return moments.parse_until(text, now=now, zone=zone, next_window=next_window)


def frozen_sentence(freeze: Freeze) -> str:
    """Return what a person is told who has just ordered it."""
    return f"{freeze.scope or 'everything'} is {timing.freeze_sentence(freeze)}"


async def lifted_sentence(store: Store, scope: str, *, now: datetime) -> str:
    """Return what a person is told who has just lifted it; a wider one may still be in force."""
    cluster, _, pool = scope.partition("/")
    left = timing.in_force(await store.freezes(), cluster, pool, now=now)
    still = "".join(f"; {frozen_sentence(one)}" for one in left) or ", and may go on"
    return f"{scope or 'everything'} is no longer {'held' if pool else 'frozen'}{still}"


@asynccontextmanager
async def declined_is_audited(
    store: Store, clock: Clock, what: str, scope: str, *, by: str, surface: str, job: str = ""
) -> AsyncIterator[None]:
    """Audit on its way out why something was declined, or came too late (Conflict).

    For decisions that do not do so themselves. `job`: what it was about, if it was one.
    """
    try:
        yield
    except (Declined, Conflict) as declined:
        said, now = str(declined), clock.now()
        entry = noted_of(
            scope, f"{what}Declined", by=by, now=now, detail=said, surface=surface, job=job
        )
        await store.audit_only(entry)
        raise

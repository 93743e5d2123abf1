"""A scope as people name it: "" everywhere, `prod` one cluster, `prod/infra` one pool.

What the settings say of its pools, which moment a word like `tomorrow` means there, and the audit
of what was declined about it.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from watcher.core import moments, silences, timing
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.core.windows import zone_of
from watcher.engine import noted_of
from watcher.errors import Declined
from watcher.ports import Clock, Conflict, Store
from watcher.settings import PoolSettings, Settings

_POOL = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def pools_in(settings: Settings, scope: str) -> list[PoolSettings]:
    """Return the configured pools of a scope."""
    return [p for p in settings.pools if scope in ("", p.cluster, f"{p.cluster}/{p.pool}")]


def clusters_of(settings: Settings) -> list[str]:
    """Return the names of the configured clusters."""
    return sorted({c.name for c in settings.clusters} | {p.cluster for p in settings.pools})


def why_no_place(settings: Settings, scope: str) -> str:
    """Return why a scope is none in which anything is told of; empty if it is one.

    Its pool need not be configured: there are alerts of pools without a recipe.
    """
    cluster, slash, pool = scope.partition("/")
    known = clusters_of(settings)
    if (cluster or slash) and cluster not in known:
        return f"no cluster is named {cluster[:60]!r}; there is: {', '.join(known) or 'none'}"
    return f"{pool[:60]!r} is no name of a pool" if slash and not _POOL.fullmatch(pool) else ""


def silenced_sentence(settings: Settings, silence: Silence) -> str:
    """Return what a person is told who has just ordered it."""
    scope = silence.scope
    said = f"{silence.id}: {silences.sentence(silence)}"
    if "/" in scope and not pools_in(settings, scope):
        said += f"; no recipe is configured for {scope}, so mind the spelling"
    return f"{scope or 'everywhere'}: {said}"


async def unsilenced_sentence(store: Store, silence: Silence, *, now: datetime) -> str:
    """Return what a person is told who has just lifted it; others may still hold it back."""
    cluster, _, pool = silence.scope.partition("/")
    left = silences.in_force(
        await store.silences(), rule=silence.rule, cluster=cluster, pool=pool, now=now
    )
    still = "".join(f"; {one.id}: {silences.sentence(one)}" for one in left)
    return f"{silence.id} is lifted" + (still or ", and what it held back is told again")


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

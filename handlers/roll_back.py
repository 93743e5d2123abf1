"""Put a pool back: stop the others, restore what was there, let it roll, wait until it is well.

A ladder: each call looks at the pool, does the first thing that is not yet done, and comes again.
So it can be killed at any rung. Only the deadline ends it without success: then a person is told
how the pool stands and what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from watcher import moving
from watcher.core import lineage, mco
from watcher.core.cluster import ClusterView, Pool
from watcher.core.facts import ClusterName
from watcher.core.rollout import (
    Expectation,
    Phase,
    Rollout,
    deadline,
    is_as_before,
    judge,
    last_moved,
    others_would_follow,
)
from watcher.core.update import Update
from watcher.core.update_events import Kind, RollBack, RolledBack, TakenOver, UndoFailed
from watcher.ports import Clock, Cluster, FieldConflict, Later, Refused, StillOurs, Store

Outcome = RolledBack | UndoFailed | TakenOver | Later


@dataclass(frozen=True, slots=True)
class RollBackHandler:
    clusters: Mapping[ClusterName, Cluster]
    store: Store
    clock: Clock
    poll_seconds: float

    async def __call__(self, update: Update, action: RollBack, still_ours: StillOurs) -> Outcome:
        """Do the next rung; return how it ended, or come again."""
        cluster = self.clusters[update.cluster]
        live, now = await cluster.fresh_view(), self.clock.now()
        pool = live.pools.get(update.pool)
        if pool is None:
            return UndoFailed(f"the pool {update.pool} is gone; nothing can be put back")
        if because := _taken_over(update, live, pool):
            return TakenOver(because)
        try:
            if await self._rung(update, cluster, live, pool, still_ours):
                return Later(0)
            await self._uncordon(cluster, pool, still_ours)
        except (FieldConflict, Refused) as error:
            return UndoFailed(f"{error}. {_what_to_do(update, pool)}")
        # Counts of the API server itself: a watch that lags still shows how well it was before.
        view = replace(live, nodes=cluster.view().nodes)
        outcome = await self._waited(update, view, pool, now)
        # Only now: a process that was dead for long must still put back what it can.
        if isinstance(outcome, Later) and now > _limit(update, pool):
            return UndoFailed(_what_to_do(update, pool))
        return outcome

    async def _rung(
        self,
        update: Update,
        cluster: Cluster,
        live: ClusterView,
        pool: Pool,
        still_ours: StillOurs,
    ) -> bool:
        """Do the first thing that is not yet done; False when nothing is left but waiting."""
        if await self._remembered(update, cluster, pool):
            return True
        restored = _is_restored(update, live)
        if not restored and not pool.paused and others_would_follow(cluster.view(), pool):
            await still_ours()
            await cluster.set_paused(pool, paused=True, annotations={lineage.PAUSED_FOR: update.id})
            return True
        if not restored:
            await still_ours()
            await self._restore(update, cluster)
            return True
        ours = pool.meta.annotations.get(lineage.PAUSED_FOR) == update.id
        if ours and _retargeted(update, live, pool):
            await still_ours()
            await cluster.set_paused(pool, paused=False, annotations={lineage.PAUSED_FOR: None})
            return True
        return False

    async def _remembered(self, update: Update, cluster: Cluster, pool: Pool) -> bool:
        """Note that this build, or the stock image, is not wanted: first, as it costs nothing."""
        key = update.target.build_key
        said = pool.meta.annotations
        if update.kind is Kind.STOCK:
            note: dict[str, str | None] = {lineage.STOCK_BY: None}
            if lineage.STOCK_BY not in said:
                return False
        else:
            note = {lineage.REFUSED_BUILDS: lineage.with_refused(said, key)}
            if key in lineage.refused_builds(said):
                return False
            why = f"{update.id} was rolled back: {update.ended_because}"[:500]
            await self.store.remember(update.cluster, update.pool, key, why)
        try:
            await cluster.annotate_pool(update.pool, note)
        except Refused:
            return False  # a note is no reason to leave the pool as it is
        return True

    async def _restore(self, update: Update, cluster: Cluster) -> None:
        name = mco.override_name(update.pool)
        if update.previous is None:
            await cluster.delete_override(name)
            return
        await cluster.apply_override(
            name=name,
            pool=update.pool,
            image=update.previous.image,
            annotations=dict(update.previous.annotations),
        )

    async def _uncordon(self, cluster: Cluster, pool: Pool, still_ours: StillOurs) -> None:
        """Free the nodes that MCO drained for the bad image, so that it sends them back."""
        for node in mco.nodes_of(cluster.view(), pool.name):
            if mco.left_cordoned(node, target=pool.spec_configuration):
                await still_ours()
                await cluster.uncordon(node.meta.name)

    async def _waited(
        self, update: Update, view: ClusterView, pool: Pool, now: datetime
    ) -> Outcome:
        seen = judge(view, pool, _expected(update), now=now)
        await moving.show(self.store, update.id, _progress(seen))
        if seen.phase is Phase.DONE and not pool.paused:
            return RolledBack()
        return Later(self.poll_seconds)


def _expected(update: Update) -> Expectation:
    return Expectation(
        image=update.previous.image if update.previous else "",
        override=mco.override_name(update.pool),
        began_at=update.changed_at,
        node_seconds=update.policy.node_seconds,
    )


def _limit(update: Update, pool: Pool) -> datetime:
    """Return when it is too late; nodes that were held up by a pause have their time after it."""
    expected = replace(_expected(update), began_at=last_moved(pool, since=update.changed_at))
    return deadline(pool, pool.machine_count, expected)


def _taken_over(update: Update, live: ClusterView, pool: Pool) -> str | None:
    """Return who-knows-whose image is there: neither ours nor the one that we would put back."""
    name = mco.override_name(update.pool)
    ours = live.machine_configs.get(name)
    now = ours.os_image_url if ours else ""
    put = "" if update.kind is Kind.STOCK else str(update.image)
    if now in (put, update.previous.image if update.previous else ""):
        return None
    paused = pool.paused and pool.meta.annotations.get(lineage.PAUSED_FOR) == update.id
    return (
        f"somebody changed {name} to {now or 'nothing'} while it was put back; "
        f"see `oc describe mcp {pool.name}`"
    ) + (", and unpause the pool when it is well" if paused else "")


def _is_restored(update: Update, view: ClusterView) -> bool:
    return is_as_before(update, view.machine_configs.get(mco.override_name(update.pool)))


def _retargeted(update: Update, view: ClusterView, pool: Pool) -> bool:
    """Whether MCO has rendered what was put back, so that unpausing sends nodes there."""
    rendered = view.machine_configs.get(pool.spec_configuration)
    if rendered is None:
        return False
    if update.previous is None:
        return mco.override_name(update.pool) not in pool.spec_sources
    return rendered.os_image_url == update.previous.image


def _progress(seen: Rollout) -> dict[str, object]:
    return {
        "phase": f"going back: {seen.phase}",
        "waiting": seen.sentence,
        "updated": seen.updated,
        "total": len(seen.nodes),
    }


def _what_to_do(update: Update, pool: Pool) -> str:
    name = mco.override_name(update.pool)
    put_back = f"restore {name} to {update.previous.image}" if update.previous else f"delete {name}"
    paused = " and unpause it" if pool.paused else ""
    return (
        f"The pool {pool.name} did not come back in time. See `oc describe mcp {pool.name}` and "
        f"the nodes that are not Done; {put_back} if that is not so yet{paused}"
    )

"""Hold a rollout up while its pool's windows are closed, where the policy says `pause`.

MCO starts no further node of a paused pool and finishes those under way. The pause carries the
update's id, as that of going back does, so that whoever goes on with the update knows it as ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.core import lineage
from watcher.core.cluster import Pool
from watcher.core.facts import ClusterName
from watcher.core.rollout import others_would_follow
from watcher.core.timing import Timing, in_force, verdict
from watcher.core.update import Update
from watcher.ports import Clock, Cluster, StillOurs, Store

PAUSE = "pause"


def is_paused_for(update: Update, pool: Pool) -> bool:
    """Whether the pool is paused, and by this update."""
    return pool.paused and pool.meta.annotations.get(lineage.PAUSED_FOR) == update.id


@dataclass(frozen=True, slots=True)
class Pauses:
    clusters: Mapping[ClusterName, Cluster]
    store: Store
    clock: Clock

    async def keep(self, update: Update, still_ours: StillOurs, *, finished: bool) -> bool:
        """Pause or unpause the pool as its windows say; return whether something was changed."""
        if update.policy.when_closed != PAUSE:
            return False
        cluster = self.clusters[update.cluster]
        seen = cluster.view().pools.get(update.pool)
        go_on = finished or await self._is_open(update)
        if seen is None or not self._must_act(update, seen, go_on=go_on):
            return False
        live = await cluster.fresh_view()
        pool = live.pools.get(update.pool)
        if pool is None or not self._must_act(update, pool, go_on=go_on):
            return False
        if not go_on and not others_would_follow(cluster.view(), pool):
            return False
        await still_ours()
        note = None if go_on else update.id
        await cluster.set_paused(pool, paused=not go_on, annotations={lineage.PAUSED_FOR: note})
        return True

    def _must_act(self, update: Update, pool: Pool, *, go_on: bool) -> bool:
        return is_paused_for(update, pool) if go_on else not pool.paused

    async def _is_open(self, update: Update) -> bool:
        now, policy = self.clock.now(), update.policy
        freezes = in_force(await self.store.freezes(), update.cluster, update.pool, now=now)
        said = Timing(windows=policy.windows, blackouts=policy.blackouts, freezes=freezes)
        return verdict(said, now=now).allowed

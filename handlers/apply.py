"""Put the approved image on the pool, or take ours away; everything is checked once more first.

Between the clearance and this moment the process may have been dead for days, so approval,
release, pool and override are read again. A repeat after a crash sees its own work and is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from watcher.core import lineage, mco
from watcher.core.cluster import ClusterView, MachineConfig
from watcher.core.facts import ClusterName
from watcher.core.rollout import is_as_before
from watcher.core.update import Update
from watcher.core.update_events import Applied, Apply, Kind, NotApplied, TakenOver
from watcher.ports import Cluster, FieldConflict, Refused, StillOurs
from watcher.scout import Scout

log = structlog.get_logger()

Outcome = Applied | NotApplied | TakenOver


@dataclass(frozen=True, slots=True)
class ApplyHandler:
    scout: Scout
    clusters: Mapping[ClusterName, Cluster]

    async def __call__(self, update: Update, action: Apply, still_ours: StillOurs) -> Outcome:
        """Change the cluster if all still holds; raise Transient where it is not known."""
        cluster = self.clusters[update.cluster]
        name = mco.override_name(update.pool)
        live = await cluster.fresh_view()
        ours = live.machine_configs.get(name)
        if _is_done(update, ours):
            await self._noted(update, cluster, live)
            return Applied()
        if not is_as_before(update, ours):
            now = ours.os_image_url if ours else "nothing"
            return TakenOver(f"somebody changed {name} to {now} after the update was cleared")
        unmet = await self._unmet(update, cluster)
        if unmet:
            return await self._not_applied(update, cluster, "not applied: " + "; ".join(unmet))
        await still_ours()
        try:
            if update.kind is Kind.STOCK:
                # First: without this note the next look would layer the pool again.
                await self._mark(update, cluster, live)
            await self._change(update, action, cluster, name)
        except FieldConflict as conflict:
            return await self._not_applied(update, cluster, str(conflict))
        except Refused as refusal:
            # Said no: the next attempt would read the same state. Nothing was written.
            return await self._not_applied(update, cluster, str(refusal))
        if update.kind is Kind.LAYERED:
            await self._noted(update, cluster, live)
        return Applied()

    async def _not_applied(self, update: Update, cluster: Cluster, because: str) -> NotApplied:
        """Take back the note of a wish that did not come true."""
        if update.kind is Kind.STOCK:
            try:
                await cluster.annotate_pool(update.pool, {lineage.STOCK_BY: None})
            except Refused as refusal:
                log.warning("note_not_taken_back", update=update.id, cause=str(refusal))
        return NotApplied(because)

    async def _noted(self, update: Update, cluster: Cluster, live: ClusterView) -> None:
        try:
            await self._mark(update, cluster, live)
        except Refused as refusal:
            # Nodes may be rolling already: following them matters more than a note.
            log.warning("note_not_written", update=update.id, cause=str(refusal))

    async def _unmet(self, update: Update, cluster: Cluster) -> list[str]:
        try:
            return (await self.scout.look(update, cluster, fresh=True)).unmet
        except Refused as refusal:
            return [str(refusal)]  # nothing was written yet, so giving up is still harmless

    async def _change(self, update: Update, action: Apply, cluster: Cluster, name: str) -> None:
        if update.kind is Kind.STOCK:
            await cluster.delete_override(name)
            return
        await cluster.apply_override(
            name=name,
            pool=update.pool,
            image=action.image,
            annotations=lineage.to_annotations(update),
        )

    async def _mark(self, update: Update, cluster: Cluster, live: ClusterView) -> None:
        """Keep on the pool, where it outlives Redis, what was decided about it.

        A person's wish for the stock image; and that a build once rolled back was wanted again.
        """
        pool = live.pools.get(update.pool)
        said = pool.meta.annotations if pool else {}
        key, stock = update.target.build_key, update.kind is Kind.STOCK
        wanted: dict[str, str | None] = {lineage.STOCK_BY: update.requested_by if stock else None}
        if key in lineage.refused_builds(said):
            wanted[lineage.REFUSED_BUILDS] = lineage.without_refused(said, key)
        if any(said.get(name) != value for name, value in wanted.items()):
            await cluster.annotate_pool(update.pool, wanted)


def _is_done(update: Update, ours: MachineConfig | None) -> bool:
    if update.kind is Kind.STOCK:
        return ours is None
    return (
        ours is not None
        and ours.os_image_url == update.image
        and ours.meta.annotations.get(lineage.UPDATE) == update.id
    )

"""Put the approved image on the pool, or take ours away; everything is checked once more first.

Between the clearance and this moment the process may have been dead for days, so approval,
release, pool and override are read again. A repeat after a crash sees its own work and is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher.core import lineage, mco
from watcher.core.cluster import MachineConfig
from watcher.core.facts import ClusterName
from watcher.core.update import Update
from watcher.core.update_events import Applied, Apply, Kind, NotApplied, TakenOver
from watcher.ports import Cluster, FieldConflict, Refused, StillOurs
from watcher.scout import Scout

Outcome = Applied | NotApplied | TakenOver


@dataclass(frozen=True, slots=True)
class ApplyHandler:
    scout: Scout
    clusters: Mapping[ClusterName, Cluster]

    async def __call__(self, update: Update, action: Apply, still_ours: StillOurs) -> Outcome:
        """Change the cluster if all still holds; raise Transient where it is not known."""
        cluster = self.clusters[update.cluster]
        name = mco.override_name(update.pool)
        ours = (await cluster.fresh_view()).machine_configs.get(name)
        if _is_done(update, ours):
            await self._mark(update, cluster)
            return Applied()
        if not _is_as_before(update, ours):
            now = ours.os_image_url if ours else "nothing"
            return TakenOver(f"somebody changed {name} to {now} after the update was cleared")
        _, unmet = await self.scout.look(update, cluster, fresh=True)
        if unmet:
            return NotApplied("not applied: " + "; ".join(unmet))
        await still_ours()
        try:
            await self._change(update, action, cluster, name)
        except FieldConflict as conflict:
            return NotApplied(str(conflict))
        except Refused as refusal:
            # Said no: the next attempt would read the same state. Nothing was written.
            return NotApplied(str(refusal))
        await self._mark(update, cluster)
        return Applied()

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

    async def _mark(self, update: Update, cluster: Cluster) -> None:
        """Keep a person's wish for the stock image on the pool, where it outlives Redis."""
        by = update.requested_by if update.kind is Kind.STOCK else None
        await cluster.annotate_pool(update.pool, {lineage.STOCK_BY: by})


def _is_done(update: Update, ours: MachineConfig | None) -> bool:
    if update.kind is Kind.STOCK:
        return ours is None
    return (
        ours is not None
        and ours.os_image_url == update.image
        and ours.meta.annotations.get(lineage.UPDATE) == update.id
    )


def _is_as_before(update: Update, ours: MachineConfig | None) -> bool:
    if update.previous is None or ours is None:
        return update.previous is None and ours is None
    return ours.os_image_url == update.previous.image

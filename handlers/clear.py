"""Wait until every precondition of an approved update holds, then clear it for applying."""

from collections.abc import Mapping
from dataclasses import dataclass

from watcher import moving
from watcher.core import preconditions
from watcher.core.cluster import OUR_PREFIX, MachineConfig
from watcher.core.facts import ClusterName
from watcher.core.update import Update
from watcher.core.update_events import Cleared, ClearForApply, Expired, Override
from watcher.ports import Clock, Cluster, Later, Refused, StillOurs, Store
from watcher.scout import Look, Scout


@dataclass(frozen=True, slots=True)
class ClearHandler:
    scout: Scout
    clusters: Mapping[ClusterName, Cluster]
    store: Store
    clock: Clock
    poll_seconds: float

    async def __call__(
        self, update: Update, action: ClearForApply, still_ours: StillOurs
    ) -> Cleared | Expired | Later:
        """Return the clearance with what must be put back to undo it, or wait telling why."""
        if update.expires_at is not None and self.clock.now() >= update.expires_at:
            return Expired()
        cluster = self.clusters[update.cluster]
        try:
            # The watches first: an API server is not asked every few seconds just to wait.
            look = await self.scout.look(update, cluster, fresh=False)
            if not look.unmet:
                look = await self.scout.look(update, cluster, fresh=True)
        except Refused as refusal:
            look = Look(None, [str(refusal)])
        base = preconditions.completed_base(look.seen) if look.seen else None
        if look.unmet or look.seen is None or base is None:
            await self._tell(update, look)
            return Later(self.poll_seconds)
        return Cleared(action.binding, base, _previous(look.seen.override))

    async def _tell(self, update: Update, look: Look) -> None:
        """Show what it waits for; whoever is told elsewhere hears when that changes."""
        # `now` would be another moment at every look.
        ahead = look.opens_at is not None and look.opens_at > self.clock.now()
        opens = look.opens_at.isoformat() if look.opens_at and ahead else ""
        await moving.show(
            self.store, update.id, {"waiting": "; ".join(look.unmet), "scheduled_for": opens}
        )


def _previous(override: MachineConfig | None) -> Override | None:
    """Return our override as it is now, so that it can be put back."""
    if override is None:
        return None
    kept = {k: v for k, v in override.meta.annotations.items() if k.startswith(OUR_PREFIX)}
    return Override(image=override.os_image_url, annotations=tuple(sorted(kept.items())))

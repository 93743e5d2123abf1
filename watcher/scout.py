"""Read afresh everything that decides whether an update may be applied at this moment."""

from dataclasses import dataclass
from datetime import datetime

from watcher.core import preconditions, timing
from watcher.core.drift import Observation
from watcher.core.preconditions import Scene
from watcher.core.update import Update
from watcher.core.update_events import Kind
from watcher.ports import Clock, Cluster, Images, Observer, Refused, Store, Unseen
from watcher.settings import Settings


@dataclass(frozen=True, slots=True)
class Look:
    seen: Observation | None
    unmet: list[str]
    """Every reason against applying now."""
    opens_at: datetime | None = None
    """When windows, freezes and the like allow it, as far as is known; None: nobody knows."""


@dataclass(frozen=True, slots=True)
class Scout:
    settings: Settings
    observer: Observer
    images: Images
    clock: Clock
    store: Store

    async def look(self, update: Update, cluster: Cluster, *, fresh: bool) -> Look:
        """Return what is seen and what is in the way. Raise Transient.

        Not `fresh`: from the watches and without asking the registry; cheap, for waiting.
        """
        seen = await self.observer.observe(update.cluster, update.pool, fresh=fresh)
        if isinstance(seen, Unseen):
            return Look(None, [seen.because])
        configured = self.settings.pool(update.cluster, update.pool)
        scene = Scene(
            update=update,
            seen=seen,
            policy=configured.policy_for(update.change) if configured else None,
            pull_problem=await self._pull_problem(update, cluster) if fresh else None,
            now=self.clock.now(),
            freezes=tuple(await self.store.freezes()),
        )
        said = preconditions.timing_in(scene, seen)
        opens_at = timing.verdict(said, now=scene.now).opens_at
        return Look(seen, preconditions.unmet(scene), opens_at)

    async def _pull_problem(self, update: Update, cluster: Cluster) -> str | None:
        """Return why nodes could not pull the image; a stock image is the release's own."""
        if update.kind is Kind.STOCK or update.image is None:
            return None
        try:
            images = self.images.seen_from(update.cluster)
            await images.check_pullable(update.image, await cluster.pull_secret())
        except Refused as refusal:
            return str(refusal)
        return None

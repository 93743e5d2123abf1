"""Read afresh everything that decides whether an update may be applied at this moment."""

from dataclasses import dataclass

from watcher.core import preconditions
from watcher.core.drift import Observation
from watcher.core.preconditions import Scene
from watcher.core.update import Update
from watcher.core.update_events import Kind
from watcher.ports import Clock, Cluster, Images, Observer, Refused, Unseen
from watcher.settings import Settings


@dataclass(frozen=True, slots=True)
class Scout:
    settings: Settings
    observer: Observer
    images: Images
    clock: Clock

    async def look(
        self, update: Update, cluster: Cluster, *, fresh: bool
    ) -> tuple[Observation | None, list[str]]:
        """Return what is seen and every reason against applying now. Raise Transient.

        Not `fresh`: from the watches and without asking the registry; cheap, for waiting.
        """
        seen = await self.observer.observe(update.cluster, update.pool, fresh=fresh)
        if isinstance(seen, Unseen):
            return None, [seen.because]
        configured = self.settings.pool(update.cluster, update.pool)
        scene = Scene(
            update=update,
            seen=seen,
            policy=configured.policy if configured else None,
            pull_problem=await self._pull_problem(update, cluster) if fresh else None,
            now=self.clock.now(),
        )
        return seen, preconditions.unmet(scene)

    async def _pull_problem(self, update: Update, cluster: Cluster) -> str | None:
        """Return why nodes could not pull the image; a stock image is the release's own."""
        if update.kind is Kind.STOCK or update.image is None:
            return None
        try:
            await self.images.check_pullable(update.image, await cluster.pull_secret())
        except Refused as refusal:
            return str(refusal)
        return None

"""Follow a rollout node by node, then watch the finished pool for a while."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from watcher import moving
from watcher.core import mco
from watcher.core.cluster import Pool
from watcher.core.drift import MAX_AGE
from watcher.core.facts import ClusterName
from watcher.core.rollout import Expectation, Phase, Rollout, expectation, judge, last_moved
from watcher.core.update import Update
from watcher.core.update_events import (
    FollowRollout,
    RolledOut,
    Soak,
    Soaked,
    TakenOver,
    WentWrong,
)
from watcher.engine import noted
from watcher.pausing import PAUSE, Pauses, is_paused_for
from watcher.ports import Clock, Cluster, Later, StillOurs, Store, Transient

STILL_PAUSED = "the pool is still paused, so unpause it when it is well"


@dataclass(frozen=True, slots=True)
class FollowHandler:
    clusters: Mapping[ClusterName, Cluster]
    store: Store
    clock: Clock
    poll_seconds: float
    pauses: Pauses

    async def follow(
        self, update: Update, action: FollowRollout, still_ours: StillOurs
    ) -> RolledOut | WentWrong | TakenOver | Later:
        """Return how the rollout ended, or wait. A late one is told, never cut off."""
        seen = await self._judged(update)
        failed = seen.phase in (Phase.DEGRADED, Phase.TAKEN_OVER)
        done = seen.phase is Phase.DONE
        if not failed and await self.pauses.keep(update, still_ours, finished=done):
            return Later(self.poll_seconds)
        match seen.phase:
            case Phase.DONE:
                return RolledOut()
            case Phase.DEGRADED:
                return WentWrong(seen.sentence)
            case Phase.TAKEN_OVER:
                return TakenOver(seen.sentence)
            case _:
                return Later(self.poll_seconds)

    async def soak(
        self, update: Update, action: Soak, still_ours: StillOurs
    ) -> Soaked | WentWrong | TakenOver | Later:
        """Return that the pool stayed well, or what went wrong after all nodes had the image."""
        seen = await self._judged(update)
        if seen.phase is Phase.DEGRADED:
            return WentWrong(f"after the rollout: {seen.sentence}")
        if seen.phase is Phase.TAKEN_OVER:
            return TakenOver(seen.sentence)
        until = update.changed_at + timedelta(seconds=update.policy.soak_seconds)
        left = (until - self.clock.now()).total_seconds()
        if left > 0:
            return Later(min(left, self.poll_seconds))
        # A node that fell over is not Degraded in MCO's words: it is only missed.
        return Soaked() if seen.phase is Phase.DONE else Later(self.poll_seconds)

    async def _judged(self, update: Update) -> Rollout:
        view = self.clusters[update.cluster].view()
        now = self.clock.now()
        pool = view.pools.get(update.pool)
        if pool is None and await self._is_gone(update):
            because = f"the pool {update.pool} was deleted; its nodes are in another pool now"
            return Rollout(phase=Phase.TAKEN_OVER, sentence=because)
        if pool is None or now - view.observed_at > MAX_AGE:
            # Often only because this process has just started: soon, and without backoff.
            raise Transient(
                f"{update.cluster}: the pool cannot be seen now",
                retry_after_seconds=self.poll_seconds,
            )
        expected = expectation(
            update, override=mco.override_name(update.pool), began_at=_began(update, pool, now)
        )
        seen = judge(view, pool, expected, now=now)
        if seen.phase is Phase.TAKEN_OVER and not await self._is_so(update, expected):
            # The watch has not brought our own change yet.
            seen = replace(seen, phase=Phase.RENDERING, sentence="the change is on its way")
        if seen.phase is Phase.TAKEN_OVER and is_paused_for(update, pool):
            seen = replace(seen, sentence=f"{seen.sentence}; {STILL_PAUSED}")
        if seen.phase is Phase.STALLED:
            await self._tell_once(update, seen, now)
        await moving.show(self.store, update.id, progress(seen, now))
        return seen

    async def _tell_once(self, update: Update, seen: Rollout, now: datetime) -> None:
        """A rollout that is late is for a person to look at; it is followed all the same."""
        if (await self.store.progress(update.id)).get("phase") == Phase.STALLED:
            return
        entry = noted(update, "Stalled", by="relayer", now=now, detail=seen.sentence)
        await self.store.audit_only(entry)

    async def _is_gone(self, update: Update) -> bool:
        """Whether the API server itself says that there is no such pool."""
        return update.pool not in (await self.clusters[update.cluster].fresh_view()).pools

    async def _is_so(self, update: Update, expected: Expectation) -> bool:
        """Whether the API server itself says that somebody took over."""
        live = await self.clusters[update.cluster].fresh_view()
        pool = live.pools.get(update.pool)
        if pool is None:
            raise Transient(f"{update.cluster}: the pool cannot be seen now")
        return judge(live, pool, expected, now=self.clock.now()).phase is Phase.TAKEN_OVER


def _began(update: Update, pool: Pool, now: datetime) -> datetime:
    """Return since when nodes have had their time; a pause between two windows is none."""
    if is_paused_for(update, pool):
        return now
    if update.policy.when_closed == PAUSE:
        return last_moved(pool, since=update.changed_at)
    return update.changed_at


def progress(seen: Rollout, now: datetime) -> dict[str, object]:
    """Return what people see move."""
    return {
        "phase": seen.phase,
        "waiting": seen.sentence,
        "updated": seen.updated,
        "total": len(seen.nodes),
        "nodes": [asdict(node) for node in seen.nodes],
        "at": now.isoformat(),
    }

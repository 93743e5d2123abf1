"""Ticks of the leader: resync and approvals that ran out. A tick only enqueues.

APScheduler in memory: on a shared job store it fires once per replica, and nothing here needs to
survive a restart, as every pool is looked at when a leader begins.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.planning import Planning
from watcher.ports import Clock, OutsideError, Store

log = structlog.get_logger()

EXPIRY_SECONDS = 60.0
"""How late an expiry may be noticed if the queue's own due time was lost."""


@dataclass(frozen=True, slots=True)
class Schedule:
    planning: Planning
    store: Store
    clock: Clock
    resync_seconds: float

    async def run(self) -> None:
        """Tick for ever."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        scheduler = AsyncIOScheduler(timezone="UTC")
        options = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        every = timedelta(seconds=self.resync_seconds).total_seconds()
        scheduler.add_job(self._resync, "interval", seconds=every, jitter=every / 10, **options)
        scheduler.add_job(self._expire, "interval", seconds=EXPIRY_SECONDS, **options)
        scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            scheduler.shutdown(wait=False)

    async def _resync(self) -> None:
        if self.planning.leadership.is_ours:
            self.planning.changed_all()

    async def _expire(self) -> None:
        if not self.planning.leadership.is_ours:
            return
        try:
            for stored in await self.store.jobs(JobKind.UPDATE, ended=False):
                job = stored.job
                if isinstance(job, Update) and job.expires_at and self._is_over(job):
                    await self.store.wake(job.id)
        except OutsideError as error:
            log.warning("expiry_not_looked_at", cause=str(error))

    def _is_over(self, job: Update) -> bool:
        return job.expires_at is not None and self.clock.now() >= job.expires_at

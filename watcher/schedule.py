"""Ticks of the leader: resync, approvals that ran out, and what people are told by the clock.

A tick only enqueues. APScheduler in memory: on a shared job store it fires once per replica, and
nothing here needs to survive a restart, as a leader that begins looks at everything.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from watcher.core.jobs import JobKind
from watcher.core.letters import FLEET
from watcher.core.update import Update
from watcher.planning import Planning
from watcher.ports import Clock, OutsideError, Store

log = structlog.get_logger()

EXPIRY_SECONDS = 60.0
"""How late an expiry may be noticed if the queue's own due time was lost."""
FLEET_SECONDS = 60.0
"""How late it may be told that a hold has lasted, if its own moment was lost."""
DIGEST_SECONDS = 30.0
"""How late a digest is: people set their clocks by it no closer than a minute."""
GROUPS_SECONDS = 240.0
"""Members of chat groups are believed for 5 min: a click need not wait for a look-up."""
GAINED_SECONDS = 5.0
"""How soon a new leader looks at all that is told: a third of its predecessor's lease."""

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    name: str
    every_seconds: float
    work: Work
    spread: float = 0.0
    """By which part of it a tick may come early or late, so that replicas do not come together."""


@dataclass(slots=True)
class Schedule:
    planning: Planning
    store: Store
    clock: Clock
    resync_seconds: float
    due_digests: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Subjects of the digests that are due."""
    refresh_groups: Work | None = None
    _was_ours: bool = False
    """Whether all that is told was marked since this replica leads."""

    async def run(self) -> None:
        """Tick for ever."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        scheduler = AsyncIOScheduler(timezone="UTC")
        for tick in self.ticks():
            scheduler.add_job(
                self.tick,
                "interval",
                args=[tick],
                seconds=tick.every_seconds,
                jitter=tick.every_seconds * tick.spread or None,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            scheduler.shutdown(wait=False)

    def ticks(self) -> list[Tick]:
        """Return what is done, and how often."""
        found = [
            Tick(
                name="resync", every_seconds=self.resync_seconds, work=self._resync, spread=1 / 10
            ),
            Tick(name="expiry", every_seconds=EXPIRY_SECONDS, work=self._expire),
            Tick(name="fleet", every_seconds=FLEET_SECONDS, work=self._mark_fleet),
            Tick(name="gained", every_seconds=GAINED_SECONDS, work=self._take_over),
        ]
        if self.due_digests:
            found.append(
                Tick(name="digests", every_seconds=DIGEST_SECONDS, work=self._mark_digests)
            )
        if self.refresh_groups:
            found.append(
                Tick(name="groups", every_seconds=GROUPS_SECONDS, work=self.refresh_groups)
            )
        return found

    async def tick(self, tick: Tick) -> None:
        """Do it if this replica leads; what fails outside is tried again at the next one."""
        if not self.planning.leadership.is_ours:
            self._was_ours = False
            return
        try:
            await tick.work()
        except OutsideError as error:
            log.warning("tick_failed", tick=tick.name, cause=str(error))

    async def _resync(self) -> None:
        self.planning.changed_all()

    async def _expire(self) -> None:
        for job in await self._active():
            if job.expires_at and self.clock.now() >= job.expires_at:
                await self.store.wake(job.id)

    async def _mark_fleet(self) -> None:
        await self.store.outbox.mark(FLEET)

    async def _mark_digests(self) -> None:
        assert self.due_digests is not None, "there is no such tick without"
        if subjects := await self.due_digests():
            await self.store.outbox.mark(*subjects)

    async def _take_over(self) -> None:
        """Mark all that is told once this replica leads: what its predecessor's courier had taken
        up and not delivered is marked, but what became due by time alone meanwhile is not."""
        if self._was_ours:
            return
        await self.store.outbox.mark(FLEET, *[update.id for update in await self._active()])
        self._was_ours = True

    async def _active(self) -> list[Update]:
        stored = await self.store.jobs(JobKind.UPDATE, ended=False)
        return [one.job for one in stored if isinstance(one.job, Update)]

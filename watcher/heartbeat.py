"""The dead man's switch: a sign of life that stops when this service no longer sees everything.

Nobody can tell by himself that he does not run, and a service that runs and sees nothing looks just
like one with nothing to tell. So the leader beats as long as the store answers and every configured
cluster was seen a moment ago; somebody else tells when the beats stop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from watcher.core.beats import Beat, unseen
from watcher.core.facts import ClusterName
from watcher.core.state import Surveyed
from watcher.errors import OutsideError
from watcher.planning import Leadership
from watcher.ports import Clock, Store
from watcher.settings_alerts import AlertSettings

log = structlog.get_logger()

LOOK_SECONDS = 5.0
"""How often it is looked at whether a beat is due: so soon a new leader takes it up, or one
that sees everything again."""


class BeatMeter(Protocol):
    """The figure of it; `watcher.metrics.Metrics` has one."""

    def beat(self, at: datetime) -> None:
        """Everything was seen at this moment."""


Send = Callable[[Beat], Awaitable[None]]
"""Raises OutsideError."""


@dataclass(slots=True, kw_only=True)
class Heartbeat:
    store: Store
    clock: Clock
    leadership: Leadership
    surveyed: Callable[[], Sequence[Surveyed]]
    clusters: Sequence[ClusterName]
    """Every configured one."""
    settings: AlertSettings
    meter: BeatMeter
    send: Send | None = None
    """None: only the figure is set."""
    _last_at: datetime | None = None
    _withheld: str = ""
    """Why there was no beat when one was last due; each change of it is logged."""
    _unsent: str = ""
    """Why the last one could not be sent."""

    async def run(self) -> None:
        """Beat while this replica leads and everything is seen, for ever."""
        pause = min(LOOK_SECONDS, self.settings.heartbeat.every_seconds)
        while True:
            await self._look()
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        if not self.leadership.is_ours:
            self._last_at, self._withheld, self._unsent = None, "", ""
            return
        if not self._is_due(self.clock.now()):
            return
        why = await self._unseen()
        if why != self._withheld:
            if why:
                log.warning("heartbeat_withheld", because=why)
            else:
                log.info("heartbeat_again", after=self._withheld)
            self._withheld = why
        if not why:
            await self._beat(self.clock.now())

    def _is_due(self, now: datetime) -> bool:
        if self._last_at is None or now < self._last_at:  # a clock that was put back
            return True
        return now - self._last_at >= timedelta(seconds=self.settings.heartbeat.every_seconds)

    async def _unseen(self) -> str:
        """Return what is not seen; empty if everything is. Without ages: those always change."""
        try:
            await self.store.ping()
        except OutsideError as error:
            return f"the store: {error}"
        blind, now = self.settings.blind_seconds, self.clock.now()
        # Whoever turned both off asks for no time; that it runs is said all the same.
        most = blind.critical if blind.warning is None else blind.warning
        away = unseen(self.surveyed(), self.clusters, most_seconds=most, now=now)
        return f"not seen of late: {', '.join(away)}" if away else ""

    async def _beat(self, now: datetime) -> None:
        self._last_at = now
        self.meter.beat(now)
        if self.send is None:
            return
        every, unsent = self.settings.heartbeat.every_seconds, ""
        try:
            await self.send(Beat(at=now, every_seconds=every, clusters=len(self.clusters)))
        except OutsideError as error:
            unsent = str(error)
        if unsent != self._unsent:
            if unsent:
                log.warning("heartbeat_not_sent", cause=unsent)
            else:
                log.info("heartbeat_sent_again", after=self._unsent)
            self._unsent = unsent

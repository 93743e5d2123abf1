"""Look at pools when something moved, and at all of them now and then; only the leader does.

A watch event only names a pool; the look reads everything again. Ten events in a moment are one
look, and a lost event costs one resync.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from watcher.core.facts import ClusterName, PoolName
from watcher.planner import Planner
from watcher.ports import Meter, OutsideError, Store

log = structlog.get_logger()

Place = tuple[ClusterName, PoolName]
LEADER_LEASE_SECONDS = 15.0
AGAIN_SECONDS = 30.0
"""A pool that could not be looked at is looked at again after this long."""
AT_ONCE = 8
"""Pools of one cluster looked at side by side. Another cluster's do not wait for them: its registry
may answer while this one's is away."""


@dataclass(slots=True)
class Leadership:
    """Whether this replica plans. Two at once do no harm: proposals are deduplicated."""

    store: Store
    replica: str
    meter: Meter | None = None
    monotonic: Callable[[], float] = time.monotonic
    _until: float = 0.0
    gained: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_ours(self) -> bool:
        return self.monotonic() < self._until

    async def run(self) -> None:
        """Take or prolong the leadership for ever; give it back when stopped."""
        try:
            while True:
                await self._prolong()
                await asyncio.sleep(LEADER_LEASE_SECONDS / 3)
        finally:
            self._until = 0.0
            await self._resign()

    async def _prolong(self) -> None:
        asked_at = self.monotonic()
        was_ours = self.is_ours
        try:
            ours = await self.store.lead(self.replica, LEADER_LEASE_SECONDS)
        except OutsideError as error:
            log.warning("leadership_unknown", cause=str(error))
            return
        self._until = asked_at + LEADER_LEASE_SECONDS if ours else 0.0
        if self.meter:
            self.meter.leading(ours)
        if ours and not was_ours:
            log.info("leading", replica=self.replica)
            self.gained.set()

    async def _resign(self) -> None:
        try:
            async with asyncio.timeout(2):
                await self.store.resign(self.replica)
        except (OutsideError, TimeoutError) as error:
            log.info("leadership_left_to_run_out", cause=str(error))


@dataclass(slots=True)
class Planning:
    planner: Planner
    leadership: Leadership
    places: Sequence[Place]
    """Every configured pool."""
    _dirty: set[Place] = field(default_factory=set)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: set[Place] = field(default_factory=set)
    """Looked at now, or next; what moves meanwhile is looked at again after that."""
    _turns: dict[ClusterName, asyncio.Semaphore] = field(default_factory=dict)

    def changed(self, cluster: ClusterName, kind: str, name: str) -> None:
        """Note that something of a cluster moved; nodes move often and decide nothing."""
        if kind == "Node":
            return
        for place in self.places:
            if place[0] == cluster and (kind != "MachineConfigPool" or place[1] == name):
                self._dirty.add(place)
        self._moved.set()

    def changed_cluster(self, cluster: ClusterName) -> None:
        """Everything about a cluster may look different now."""
        self._dirty.update(place for place in self.places if place[0] == cluster)
        self._moved.set()

    def changed_all(self) -> None:
        """A resync, or this replica has just become the leader."""
        self._dirty.update(self.places)
        self._moved.set()

    async def run(self) -> None:
        """Look at what moved, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._on_leading())
            while True:
                await self._moved.wait()
                self._moved.clear()
                batch = self._dirty - self._looking
                self._dirty &= self._looking
                if self.leadership.is_ours:
                    self._looking |= batch
                    group.create_task(self._look(sorted(batch)))
                else:
                    self._dirty.clear()

    async def _on_leading(self) -> None:
        while True:
            await self.leadership.gained.wait()
            self.leadership.gained.clear()
            self.changed_all()

    async def _look(self, batch: Sequence[Place]) -> None:
        async def one(place: Place) -> None:
            async with self._turns.setdefault(place[0], asyncio.Semaphore(AT_ONCE)):
                await self._look_at(place)
            self._looking.discard(place)
            if place in self._dirty:
                self._moved.set()

        async with asyncio.TaskGroup() as group:
            for place in batch:
                group.create_task(one(place))

    async def _look_at(self, place: Place) -> None:
        try:
            plan = await self.planner.pass_over(*place)
        except OutsideError as error:
            log.warning("look_failed", cluster=place[0], pool=place[1], cause=str(error))
            return self._later(place)
        except Exception as error:  # a bug of ours: one pool must not end the service for all
            log.error("look_crashed", cluster=place[0], pool=place[1], exc_info=error)
            return self._later(place)
        log.debug(
            "look",
            cluster=place[0],
            pool=place[1],
            decision=type(plan.decision).__name__,
            because=plan.decision.because,
        )

    def _later(self, place: Place) -> None:
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._again, place)

    def _again(self, place: Place) -> None:
        self._dirty.add(place)
        self._moved.set()

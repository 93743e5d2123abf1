"""The dead man's switch: who beats, when, and what stops it; hours pass in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from tests.facts import T0, seconds
from tests.fake_store import FakeStore
from tests.virtual_time import LoopClock, virtually
from watcher.core.beats import Beat, unseen
from watcher.core.facts import ClusterName
from watcher.core.stages import stage_of
from watcher.core.state import Surveyed
from watcher.heartbeat import LOOK_SECONDS, Heartbeat
from watcher.planning import LEADER_LEASE_SECONDS, Leadership
from watcher.ports import Refused, Transient
from watcher.settings_alerts import AlertSettings, HeartbeatSettings, Threshold

PROD, EDGE = ClusterName("prod"), ClusterName("edge")
EVERY = 60.0
SETTINGS = AlertSettings(heartbeat=HeartbeatSettings(every_seconds=EVERY))


class Store(FakeStore):
    """May be away, and a process that was killed says goodbye to nobody."""

    away: Exception | None = None

    async def ping(self) -> None:
        if self.away:
            raise self.away

    async def resign(self, replica: str) -> None:
        raise Transient("it was killed")


@dataclass
class World:
    """Two clusters that are seen all the time, until a test says otherwise."""

    store: Store = field(default_factory=lambda: Store(LoopClock()))
    clock: LoopClock = field(default_factory=LoopClock)
    last_seen: dict[ClusterName, datetime | None] = field(
        default_factory=lambda: {PROD: None, EDGE: None}
    )
    """None: just now."""
    beats: list[float] = field(default_factory=list)
    """When the figure was set, in seconds since the beginning."""
    sent: list[Beat] = field(default_factory=list)
    fails: Exception | None = None

    def surveyed(self) -> Sequence[Surveyed]:
        return [
            Surveyed(cluster=name, stage=stage_of(None), observed_at=at or self.clock.now())
            for name, at in self.last_seen.items()
        ]

    def beat(self, at: datetime) -> None:
        self.beats.append((at - T0).total_seconds())

    async def send(self, beat: Beat) -> None:
        self.sent.append(beat)
        if self.fails:
            raise self.fails

    def replica(self, name: str, settings: AlertSettings = SETTINGS) -> Callable[[], Any]:
        loop = asyncio.get_running_loop()
        leadership = Leadership(self.store, name, monotonic=loop.time)
        beating = Heartbeat(
            store=self.store,
            clock=self.clock,
            leadership=leadership,
            surveyed=self.surveyed,
            clusters=(PROD, EDGE),
            settings=settings,
            meter=self,
            send=self.send,
        )

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(leadership.run())
                group.create_task(beating.run())

        return run

    async def live(
        self, *acts: Callable[[], Any], settings: AlertSettings = SETTINGS, hours: float = 1 / 6
    ) -> None:
        """Let one replica live for a while, ten minutes, before each act and after the last."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.replica("one", settings)())
            await asyncio.sleep(hours * 3600)
            for act in acts:
                act()
                await asyncio.sleep(hours * 3600)
            task.cancel()

    def between(self, first: float, last: float) -> list[float]:
        return [at for at in self.beats if first <= at < last]


def played(play: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """The world after this was played in it."""

    async def work() -> World:
        world = World()
        await play(world)
        return world

    return virtually(work())


def withheld(logs: Sequence[Any]) -> list[str]:
    return [line["because"] for line in logs if line["event"] == "heartbeat_withheld"]


def said(logs: Sequence[Any]) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith("heartbeat")]


def test_the_leader_beats_while_everything_is_seen() -> None:
    with structlog.testing.capture_logs() as logs:
        world = played(lambda world: world.live())
    assert world.beats == [EVERY * number for number in range(11)]
    assert world.sent == [
        Beat(at=T0 + seconds(at), every_seconds=EVERY, clusters=2) for at in world.beats
    ]
    assert said(logs) == []


def test_without_a_receiver_the_figure_is_set() -> None:
    async def play(world: World) -> None:
        leadership = Leadership(world.store, "one", monotonic=asyncio.get_running_loop().time)
        await leadership._prolong()
        beating = Heartbeat(
            store=world.store,
            clock=world.clock,
            leadership=leadership,
            surveyed=world.surveyed,
            clusters=(PROD, EDGE),
            settings=SETTINGS,
            meter=world,
        )
        await beating._look()

    world = played(play)
    assert (world.beats, world.sent) == ([0.0], [])


def test_a_replica_that_does_not_lead_never_beats() -> None:
    async def play(world: World) -> None:
        assert await world.store.lead("other", 1e6)
        await world.live()

    assert played(play).beats == []


def test_a_cluster_that_is_not_seen_stops_the_beat_and_one_that_is_again_takes_it_up() -> None:
    async def play(world: World) -> None:
        await world.live(
            lambda: world.last_seen.update({EDGE: T0 + seconds(600)}),
            lambda: world.last_seen.update({EDGE: None}),
        )

    with structlog.testing.capture_logs() as logs:
        world = played(play)
    # For five minutes, `blind.warning`, what was seen last still counts.
    assert world.between(600, 900)
    assert world.between(905, 1200) == []
    (back, *_) = world.between(1200, 1800)
    assert back <= 1200 + LOOK_SECONDS
    assert said(logs) == ["heartbeat_withheld", "heartbeat_again"]
    assert withheld(logs) == ["not seen of late: edge"]


@pytest.mark.parametrize("missing", ["never read", "not surveyed at all"])
def test_a_cluster_that_was_never_seen_is_not_overlooked(missing: str) -> None:
    async def play(world: World) -> None:
        if missing == "never read":
            world.last_seen[EDGE] = T0.min.replace(tzinfo=T0.tzinfo)
        else:
            del world.last_seen[EDGE]
        await world.live()

    assert played(play).beats == []


def test_another_reason_is_logged_once_more() -> None:
    async def play(world: World) -> None:
        old = T0 - timedelta(days=1)
        world.last_seen[PROD] = old
        await world.live(lambda: world.last_seen.update({EDGE: old}))

    with structlog.testing.capture_logs() as logs:
        played(play)
    assert withheld(logs) == ["not seen of late: prod", "not seen of late: prod, edge"]


@pytest.mark.parametrize("error", [Transient("redis does not answer"), Refused("no password")])
def test_a_store_that_does_not_answer_stops_the_beat(error: Exception) -> None:
    async def play(world: World) -> None:
        def away() -> None:
            world.store.away = error

        await world.live(away)

    with structlog.testing.capture_logs() as logs:
        world = played(play)
    assert world.between(0, 600)
    assert world.between(605, 1200) == []
    assert said(logs) == ["heartbeat_withheld"]
    assert withheld(logs) == [f"the store: {error}"]


@pytest.mark.parametrize(
    ("blind", "age", "beats"),
    [
        (Threshold(warning=60, critical=120), 90, False),
        (Threshold(warning=None, critical=120), 90, True),
        (Threshold(warning=None, critical=120), 130, False),
        (Threshold(), 10**6, True),
    ],
)
def test_how_old_what_is_seen_may_be_is_the_threshold_of_blindness(
    blind: Threshold, age: float, beats: bool
) -> None:
    async def play(world: World) -> None:
        world.last_seen[PROD] = T0 - seconds(age)
        await world.live(settings=replace(SETTINGS, blind_seconds=blind), hours=1 / 3600)

    assert bool(played(play).beats) == beats


def test_a_receiver_that_does_not_answer_is_tried_again_and_logged_once() -> None:
    async def play(world: World) -> None:
        world.fails = Transient("heartbeat does not answer: ConnectError")

        def back() -> None:
            world.fails = None

        await world.live(back)

    with structlog.testing.capture_logs() as logs:
        world = played(play)
    assert len(world.sent) == len(world.beats) == 21
    assert said(logs) == ["heartbeat_not_sent", "heartbeat_sent_again"]


def test_when_the_leader_is_killed_the_other_replica_takes_up_the_beat() -> None:
    async def play(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.replica("one")())
            await asyncio.sleep(1)
            second = group.create_task(world.replica("two")())
            await asyncio.sleep(599)
            first.cancel()  # its lease is left to run out
            await asyncio.sleep(600)
            second.cancel()

    world = played(play)
    before, after = world.between(0, 600), world.between(600, 1200)
    assert len(before) == 10  # one of the two, never both
    assert after[0] <= 600 + LEADER_LEASE_SECONDS + LEADER_LEASE_SECONDS / 3 + LOOK_SECONDS
    assert len(after) >= 9


def test_a_clock_that_is_put_back_stops_nothing() -> None:
    async def play(world: World) -> None:
        class Back(LoopClock):
            def now(self) -> datetime:
                at = super().now()
                return at - timedelta(hours=3) if at > T0 + seconds(300) else at

        world.clock = Back()
        await world.live()

    assert len(played(play).beats) == 11


def test_a_cluster_seen_before_the_clock_was_put_back_is_not_seen() -> None:
    # Else it would seem to be seen for an hour, whatever became of it.
    seen = Surveyed(cluster=PROD, stage=stage_of(None), observed_at=T0 + timedelta(hours=1))
    assert unseen([seen], (PROD,), most_seconds=300.0, now=T0) == (PROD,)
    a_little = replace(seen, observed_at=T0 + timedelta(seconds=5))
    assert unseen([a_little], (PROD,), most_seconds=300.0, now=T0) == ()

"""Alerts of the real service, as a receiver hears of them: once, whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from simulator.apiserver.kinds import POOLS
from tests.contract.test_webhook import SECRET, Receiver, listening
from tests.scenario.replicas import Replica, Server, on, replica, shared_redis
from tests.scenario.service import running
from tests.scenario.slack_world import all_told
from tests.scenario.troubles import IMPATIENT
from tests.scenario.world import World, until, world
from watcher.clock import SystemClock
from watcher.core.letters import FLEET, Route
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.errors import OutsideError
from watcher.ports import AuditEntry, Store
from watcher.settings import Settings, WebhookSettings
from watcher.settings_alerts import AlertSettings, Threshold
from watcher.telling.fleet import CONCERNS, NOTICES

LONG = 30.0
"""Seconds; the lease of a leader that was killed runs for 15."""
BLIND_SECONDS = 4.0
CLOCK = SystemClock()
AUDIT = AuditEntry(at=CLOCK.now(), job="", event="Test", by="ann", state="")


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver got of notices."""

    receiver: Receiver

    def of(self, rule: str) -> list[dict[str, Any]]:
        """Its letters, as they came."""
        found = [letter for letter in self.receiver.bodies if letter["kind"] == "notice"]
        return [letter for letter in found if letter["notice"]["rule"] == rule]

    def last(self, rule: str) -> dict[str, Any]:
        """What stands of it; empty: nothing was told."""
        notice: dict[str, Any] = self.of(rule)[-1]["notice"] if self.of(rule) else {}
        return notice

    def names(self) -> dict[str, set[str]]:
        """Rule → ids of its messages: two are two messages for people."""
        rules = {letter["notice"]["rule"] for letter in self.receiver.bodies if "notice" in letter}
        return {rule: {letter["id"] for letter in self.of(rule)} for rule in rules}

    def stands(self, rule: str, *places: str) -> bool:
        said = self.last(rule)
        return bool(said) and said["over_at"] is None and set(said["places"]) == set(places)

    def is_over(self, rule: str) -> bool:
        return bool(self.last(rule)) and self.last(rule)["over_at"] is not None


def alerting(made: World, receiver: Receiver, settings: Settings) -> Settings:
    """Notices go to the receiver, without waiting."""
    secret = made.directory / "webhook-secret"
    secret.write_text(SECRET)
    return replace(
        settings,
        webhooks=(WebhookSettings(name="pager", url=receiver.url, secret_file=secret),),
        routes=(Route(to=("webhook:pager",), about=("notice",)),),
        alerts=AlertSettings(
            paused_seconds=Threshold(warning=0.0),
            blind_seconds=Threshold(warning=BLIND_SECONDS),
            wait_seconds={"paused": 0.0, "blind": 0.0},
        ),
    )


def pause(made: World, pool: str, *, paused: bool = True) -> None:
    """Somebody pauses a pool, or unpauses it."""
    version = made.api.store.get(POOLS, pool)
    document = made.api.store.copy_of(version)
    document["spec"]["paused"] = paused
    made.api.store.put(POOLS, version.key, document)


async def kept(store: Store, key: str, place: str) -> set[str]:
    """Rules of what is remembered of a place."""
    rows: Any = (await store.kept(key)).get(key.rpartition(":")[2], [])
    mine = [row for row in rows if row.get("place") == place or place in row.get("places", ())]
    return {str(row["cause"]).partition(":")[0] for row in mine}


async def until_kept(store: Store, key: str, place: str, rule: str) -> None:
    async with asyncio.timeout(LONG):
        while rule not in await kept(store, key, place):
            await asyncio.sleep(0.02)


async def looked_at(store: Store, condition: Callable[[], bool]) -> None:
    """Wait for what time alone brings about, looked at more often than each minute."""
    async with asyncio.timeout(LONG):
        while not condition():
            await store.outbox.mark(FLEET)
            await asyncio.sleep(0.2)


@asynccontextmanager
async def bookmarks(made: World) -> AsyncIterator[None]:
    """Have the API server say often that nothing moved, so that little time is a long time."""

    async def send() -> None:
        while True:
            made.api.send_bookmarks()
            await asyncio.sleep(0.2)

    sending = asyncio.get_running_loop().create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


# --- silences and partitions ---------------------------------------------------------------------


async def test_a_silence_holds_back_and_a_cluster_out_of_sight_ends_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as made, listening() as receiver:
        told = Told(receiver)
        said = alerting(made, receiver, made.settings)
        async with bookmarks(made), running(said, patience=IMPATIENT) as app:
            await _silenced(made, app.store, told)
            await _partitioned(made, app.store, told)
        # Another process, which has seen nothing of the cluster, knows what stands.
        async with bookmarks(made), running(said, patience=IMPATIENT) as app:
            await _healed(made, app.store, told)
        assert {rule: len(ids) for rule, ids in told.names().items()} == {"paused": 1, "blind": 1}


async def _silenced(made: World, store: Store, told: Told) -> None:
    now = CLOCK.now()
    silence = Silence(
        id="s-1",
        scope="prod",
        rule="paused",
        by="ann",
        because="a fair",
        at=now,
        until=now + timedelta(hours=1),
    )
    await store.silence(silence, AUDIT)
    pause(made, "worker")
    await until_kept(store, CONCERNS, "prod/worker", "paused")
    await all_told(store)
    assert (told.names(), await kept(store, NOTICES, "prod/worker")) == ({}, set())

    assert await store.unsilence("s-1", AUDIT)
    await until(lambda: told.stands("paused", "prod/worker"), what="the end of the silence")


async def _partitioned(made: World, store: Store, told: Told) -> None:
    await made.api.stop_listening()
    # The pool is well on the other side, which nobody knows.
    pause(made, "worker", paused=False)
    await looked_at(store, lambda: told.stands("blind", "prod/infra"))
    assert "prod is not seen" in told.last("blind")["title"]
    await store.outbox.mark(FLEET)
    await all_told(store)
    assert told.stands("paused", "prod/worker")


async def _healed(made: World, store: Store, told: Told) -> None:
    await store.outbox.mark(FLEET)
    await all_told(store)
    assert told.stands("paused", "prod/worker")
    assert told.stands("blind", "prod/infra")
    assert all(one["notice"]["over_at"] is None for one in told.of("paused"))

    await made.api.start_listening()
    await looked_at(store, lambda: told.is_over("blind"))
    await until(lambda: told.is_over("paused"), what="what was seen when it was back")


# --- replicas, and their Redis -------------------------------------------------------------------


@pytest.mark.real("redis-server")
async def test_two_replicas_a_killed_leader_and_a_restarted_redis_tell_once(tmp_path: Path) -> None:
    async with world(tmp_path) as made, shared_redis(tmp_path) as shared, listening() as receiver:
        server, store, _ = shared
        told = Told(receiver)
        said = alerting(made, receiver, on(server, made.settings))
        # No bookmarks here: what nobody moves is seen for long.
        alerts = replace(said.alerts, blind_seconds=Threshold(warning=3600.0))
        settings = replace(said, alerts=alerts)
        pause(made, "worker")
        with replica(settings, tmp_path, "a") as a, replica(settings, tmp_path, "b") as b:
            await until(lambda: told.stands("paused", "prod/worker"), seconds=LONG, what="paused")
            leader, other = (a, b) if _leads(a) else (b, a)
            assert _leads(leader)
            await until(lambda: _runs(other), seconds=LONG, what="the other replica")
            await all_told(store)
            assert len(told.of("paused")) == 1

            await _kept_and_not_told(made, store, told)
            leader.kill()
            await until(lambda: told.stands("frozen", "prod/infra"), seconds=LONG, what="frozen")
            await until(lambda: told.stands("paused", "prod/worker", "prod/master"), what="edit")
            await all_told(store)
            assert len(told.of("frozen")) == 1

            await _restarted(server, store)
            pause(made, "master", paused=False)
            await until(lambda: told.stands("paused", "prod/worker"), seconds=LONG, what="after it")
            await all_told(store)
            assert len(told.of("frozen")) == 1
            assert await store.unfreeze("prod", AUDIT)
            pause(made, "worker", paused=False)
            await until(lambda: told.is_over("frozen") and told.is_over("paused"), seconds=LONG)
            assert other.stop() == 0
        assert {rule: len(ids) for rule, ids in told.names().items()} == {"paused": 1, "frozen": 1}


async def _kept_and_not_told(made: World, store: Store, told: Told) -> None:
    """The leader has remembered a notice, and the receiver does not want it yet."""
    told.receiver.answers.append(_busy)
    pause(made, "master")
    await until(lambda: not told.receiver.answers, what="an edit that is put off")
    freeze = Freeze(scope="prod", by="ann", because="a fair", at=CLOCK.now(), until=None)
    await store.freeze(freeze, AUDIT)
    await until_kept(store, NOTICES, "prod/infra", "frozen")
    assert told.of("frozen") == []


async def _restarted(server: Server, store: Store) -> None:
    """Redis dies and comes back with what it had."""
    server.kill()
    server.start()
    async with asyncio.timeout(LONG):
        while True:
            try:
                return await store.ping()
            except OutsideError:
                await asyncio.sleep(0.05)


def _busy() -> web.StreamResponse:
    return web.Response(status=503, headers={"Retry-After": "600"})


def _leads(one: Replica) -> bool:
    return _logged(one, "leading")


def _runs(one: Replica) -> bool:
    return _logged(one, "ready")


def _logged(one: Replica, *events: str) -> bool:
    text = one.log.read_text()
    return any(event in text for event in events)

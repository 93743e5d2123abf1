"""The store in Redis: every change is one script, every time is the server's.

Measured against libraries in docs/decisions/0001-queue.md. What a script does is said in its file;
`prelude.lua` has the fields of a job.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from watcher.clients import codec
from watcher.clients.store.calls import ANSWER_SECONDS, Argument, Calls, answered
from watcher.clients.store.redis_kept import RedisKept
from watcher.clients.store.rows import (
    ENDED_SHOWN,
    LOG_KEPT_SECONDS,
    LOG_LINES,
    as_milliseconds,
    bounded_lines,
    check_changes,
    pool_key,
    row_of,
)
from watcher.core.jobs import Job, JobKind
from watcher.ports import (
    AuditEntry,
    Backlog,
    Change,
    Clock,
    Conflict,
    Leased,
    LeaseLost,
    Refused,
    Stored,
)

DECODED = 4 * ENDED_SHOWN
"""Records that are kept as jobs: those that ended and as many that have not; 7 KB each."""
UNREADABLE_SECONDS = 10.0
"""A job written by a newer release comes back after this: its own replica may take it."""


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a task knew when it last found nothing to do."""

    bell: bytes
    """The last ring that it may have heard."""
    kinds: tuple[JobKind, ...]


class RedisStore(RedisKept):
    """`watcher.ports.Store` on redis-py. The caller owns the client and closes it."""

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "relayer",
        clock: Clock | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`clock` replaces the server's time: for tests only, replicas share no other clock."""
        super().__init__(Calls(client, prefix, clock=clock, answer_seconds=answer_seconds))
        self._client = client
        self._answer_seconds = answer_seconds
        self._looked: WeakKeyDictionary[asyncio.Task[Any], _Looked] = WeakKeyDictionary()

    # --- records ----------------------------------------------------------------------------

    async def get(self, job_id: str) -> Stored:
        record, version = await self._redis.do("HMGET", self._redis.key(f"job:{job_id}"), "r", "v")
        if record is None:
            raise KeyError(job_id)
        return Stored(codec.decode(record), int(version))

    async def owner(self, dedupe_key: str) -> str | None:
        found = await self._redis.do("HGET", self._redis.key("owner"), dedupe_key)
        return found.decode() if found is not None else None

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        check_changes(changes)
        arguments: list[Argument] = [len(changes), len(audit)]
        for change in changes:
            arguments += _change(change)
        for entry in audit:
            arguments += (entry.job, codec.encode_entry(entry))
        answer = await self._redis.run("commit", *arguments)
        _raise_unless_ok(answer)
        return [int(version) for version in answer[1:]]

    async def jobs(self, kind: JobKind, *, ended: bool) -> list[Stored]:
        index = f"ended:{kind}" if ended else f"active:{kind}"
        return [stored for stored, _ in await self._list(index, ENDED_SHOWN if ended else 0)]

    async def history(self, cluster: str, pool: str, limit: int) -> list[Stored]:
        index = f"pool:{pool_key(cluster, pool)}"
        return [stored for stored, _ in await self._list(index, limit)] if limit > 0 else []

    async def _list(self, index: str, limit: int) -> list[tuple[Stored, str]]:
        rows = await self._redis.run("list", index, limit)
        return [
            (Stored(_decoded(record), int(version)), (because or b"").decode())
            for record, version, because in rows
        ]

    # --- queue ------------------------------------------------------------------------------

    async def claim(
        self, worker: str, lease_seconds: float, kinds: Sequence[JobKind]
    ) -> Leased | None:
        """`worker` is a name for people; the fence is what counts."""
        lease = as_milliseconds(lease_seconds)
        answer = await self._redis.run("claim", lease, worker, *kinds)
        if not answer[0]:
            if task := asyncio.current_task():
                self._looked[task] = _Looked(answer[1], tuple(kinds))
            return None
        job_id, record, version, fence, attempt = answer
        try:
            job = codec.decode(record)
        except codec.UnreadableRecord:
            await self._release(job_id.decode(), fence, due_in_seconds=UNREADABLE_SECONDS)
            raise
        return Leased(job, int(version), int(fence), int(attempt))

    async def renew(self, leased: Leased, lease_seconds: float) -> int:
        answer = await self._redis.run(
            "renew", leased.job.id, leased.fence, as_milliseconds(lease_seconds)
        )
        _raise_unless_ok(answer)
        return int(answer[1])

    async def release(self, leased: Leased, *, due_in_seconds: float, failed: bool) -> None:
        await self._release(
            leased.job.id, leased.fence, due_in_seconds=due_in_seconds, failed=failed
        )

    async def _release(
        self, job_id: str, fence: int, *, due_in_seconds: float, failed: bool = False
    ) -> None:
        due = as_milliseconds(due_in_seconds)
        answer = await self._redis.run("release", job_id, fence, due, "1" if failed else "")
        _raise_unless_ok(answer)

    async def bury(self, leased: Leased, because: str, audit: AuditEntry) -> None:
        """Raise Conflict if somebody changed the record meanwhile, LeaseLost as everywhere."""
        entry = codec.encode_entry(audit)
        answer = await self._redis.run(
            "bury", leased.job.id, leased.fence, leased.version, because, entry
        )
        _raise_unless_ok(answer)

    async def dead(self) -> list[tuple[Stored, str]]:
        return await self._list("dead", 0)

    async def revive(self, job_id: str, audit: AuditEntry) -> None:
        answer = await self._redis.run("revive", job_id, codec.encode_entry(audit))
        if answer[0] == b"absent":
            raise KeyError(job_id)

    async def wake(self, job_id: str) -> None:
        await self._redis.run("wake", job_id)

    async def wait_due(self, timeout_seconds: float) -> None:
        """To be called by the task whose `claim` found nothing: it waits for news since then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_seconds
        task = asyncio.current_task()
        looked = self._looked.get(task) if task else None
        if looked is None:
            looked = _Looked(b"$", tuple(JobKind))
        while (left := end - loop.time()) > 0:
            next_ms = int(await self._redis.run("next", *looked.kinds))
            if next_ms == 0:
                return
            longest = min(left * 1000, self._redis.longest_block_ms)
            block = min(longest, next_ms) if next_ms > 0 else longest
            if await self._redis.do(
                "XREAD",
                "BLOCK",
                max(1, round(block)),
                "STREAMS",
                self._redis.key("bell"),
                looked.bell,
            ):
                return

    async def backlog(self, now: datetime) -> Mapping[JobKind, Backlog]:
        """`now` does not count: when a job is due was said by the server's clock, as everywhere."""
        kinds = tuple(JobKind)
        told = await self._redis.run("backlog", *kinds)
        rows = (told[at : at + 4] for at in range(0, len(told), 4))
        return {
            kind: Backlog(
                waiting=int(waiting),
                due=int(due),
                leased=int(leased),
                oldest_due_seconds=int(oldest_ms) / 1000,
            )
            for kind, (waiting, due, leased, oldest_ms) in zip(kinds, rows, strict=True)
        }

    # --- what people read -------------------------------------------------------------------

    async def audit(self, job_id: str | None = None, limit: int = 1000) -> list[AuditEntry]:
        if limit <= 0 or job_id == "":
            return []
        found = await self._redis.run("trail", job_id or "", limit)
        return [codec.decode_entry(entry) for entry in found]

    async def trail(self, before: str, limit: int) -> list[tuple[str, AuditEntry]]:
        if limit <= 0:
            return []
        key, end = self._redis.key("audit"), f"({before}" if before else "+"
        found = await self._redis.do("XREVRANGE", key, end, "-", "COUNT", limit)
        return [(place.decode(), codec.decode_entry(said[b"e"])) for place, said in found]

    async def audit_only(self, entry: AuditEntry) -> None:
        await self._redis.run("note", entry.job, codec.encode_entry(entry))

    async def add_log(self, job_id: str, lines: Sequence[str]) -> None:
        if not lines:
            return
        key = self._redis.key(f"log:{job_id}")
        async with (
            answered(self._answer_seconds),
            self._client.pipeline(transaction=True) as pipe,
        ):
            pipe.rpush(key, *(line.encode() for line in bounded_lines(lines)))
            pipe.ltrim(key, -LOG_LINES, -1)
            pipe.expire(key, LOG_KEPT_SECONDS)
            pipe.incr(self._redis.key("revision"))
            await pipe.execute()

    async def log(self, job_id: str) -> list[str]:
        return [
            line.decode()
            for line in await self._redis.do("LRANGE", self._redis.key(f"log:{job_id}"), 0, -1)
        ]

    async def revision(self) -> int:
        return int(await self._redis.do("GET", self._redis.key("revision")) or 0)

    # --- leadership and health --------------------------------------------------------------

    async def lead(self, replica: str, lease_seconds: float) -> bool:
        lease = max(1, as_milliseconds(lease_seconds))
        return bool(await self._redis.run("lead", replica, lease))

    async def resign(self, replica: str) -> None:
        await self._redis.run("lead", replica, 0)

    async def ping(self) -> None:
        await self._redis.do("PING")


@lru_cache(maxsize=DECODED)
def _decoded(record: bytes) -> Job:
    """Lists are read again and again, by pages and scrapes, and hold mostly what they held before;
    to read a record costs 50 microseconds, to find it here one."""
    return codec.decode(record)


def _change(change: Change) -> tuple[bytes, bytes]:
    """Return what `commit.lua` must know of the change, and the record.

    One argument in place of thirteen: packing arguments is what a commit costs most.
    """
    row = row_of(change.job)
    due = change.due_in_seconds
    told = {
        "id": row.id,
        "k": row.kind,
        "expected": change.expected,
        "fence": "" if change.fence is None else change.fence,
        "due": "" if due is None else as_milliseconds(due),
        "keep": "1" if change.keep_lease else "",
        "e": "1" if row.ended else "",
        "key": row.dedupe_key,
        "owns": "1" if row.owns_key else "",
        "b": row.build,
        "pool": row.pool,
        "created": row.created_ms,
        "changed": row.changed_ms,
    }
    return codec.encode_values(told), codec.encode(change.job)


def _raise_unless_ok(answer: Sequence[Any]) -> None:
    """Turn a script's refusal into the port's error."""
    if answer[0] == b"ok":
        return
    name = answer[1].decode()
    match answer[0]:
        case b"lost":
            raise LeaseLost(f"the lease of {name} ended or somebody else has it")
        case b"conflict":
            raise Conflict(f"{name} was changed meanwhile: it is at version {answer[2]}")
        case b"taken":
            raise Conflict(f"{name} belongs to {answer[2].decode()}, which has not ended")
        case other:
            raise Refused(f"the store gave an answer nobody knows: {other!r}")

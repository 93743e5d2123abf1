"""The store in memory: for `relayer plan`, which must leave no trace, and for tests.

It keeps the same promises as the one in Redis and passes the same contract tests. No method awaits
between reading and writing, so within one event loop every change is one step.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from watcher.clients.store.memory_kept import MemoryKept
from watcher.clients.store.rows import (
    ENDED_SHOWN,
    LOG_LINES,
    Row,
    as_milliseconds,
    bounded_lines,
    check_changes,
    milliseconds,
    pool_key,
    row_of,
)
from watcher.core.jobs import Job, JobKind
from watcher.ports import AuditEntry, Backlog, Change, Clock, Conflict, Leased, LeaseLost, Stored

_Looked = tuple[asyncio.Event, tuple[JobKind, ...]]
"""The bell that a task waits for since it last found nothing to do, and the kinds it looked for."""
_NEVER = -1
"""Asked for during a lease: out of the queue."""


@dataclass(slots=True)
class _Entry:
    job: Job
    row: Row
    version: int = 0
    fence: int = 0
    attempts: int = 0
    lease_ends: int = 0
    asked: int | None = None
    """What was asked for while it was leased: a time, or `_NEVER`."""
    due: int | None = None
    """When it is next visible; None: not in the queue."""
    dead_because: str | None = None
    dead_at: int = 0

    @property
    def stored(self) -> Stored:
        return Stored(self.job, self.version)

    def earlier(self, at: int) -> int:
        return at if self.asked is None or self.asked == _NEVER else min(at, self.asked)


class MemoryStore(MemoryKept):
    """`watcher.ports.Store` that ends with the process."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._entries: dict[str, _Entry] = {}
        self._owners: dict[str, str] = {}
        self._logs: dict[str, list[str]] = {}
        self._leader: tuple[str, int] | None = None
        self._bell = asyncio.Event()
        self._looked: WeakKeyDictionary[
            asyncio.Task[Any], tuple[asyncio.Event, tuple[JobKind, ...]]
        ] = WeakKeyDictionary()

    # --- records ----------------------------------------------------------------------------

    async def get(self, job_id: str) -> Stored:
        return self._entries[job_id].stored

    async def owner(self, dedupe_key: str) -> str | None:
        return self._owners.get(dedupe_key)

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        check_changes(changes)
        rows = [row_of(change.job) for change in changes]
        self._check_versions(changes)
        self._check_keys(rows)
        for row in rows:
            if not row.owns_key and self._owners.get(row.dedupe_key) == row.id:
                del self._owners[row.dedupe_key]
        for change, row in zip(changes, rows, strict=True):
            self._write(change, row)
        ended = {row.id for row in rows if row.ended and row.kind == JobKind.BUILD}
        for entry in list(self._entries.values()):
            if entry.row.build in ended and not entry.row.ended:
                self._wake(entry)
        self._note(*audit)
        self._revision += 1
        self.outbox.mark_now(*(row.id for row in rows if row.kind == JobKind.UPDATE))
        return [change.expected + 1 for change in changes]

    def _check_versions(self, changes: Sequence[Change]) -> None:
        for change in changes:
            job_id = change.job.id
            entry = self._entries.get(job_id)
            if change.fence is not None and not self._holds(entry, change.fence):
                raise LeaseLost(f"the lease of {job_id} ended or somebody else has it")
            version = entry.version if entry else 0
            if version != change.expected:
                raise Conflict(f"{job_id} was changed meanwhile: it is at version {version}")

    def _check_keys(self, rows: Sequence[Row]) -> None:
        leaving = {row.id for row in rows if not row.owns_key}
        wanted: dict[str, str] = {}
        for row in rows:
            if not row.owns_key:
                continue
            owner = self._owners.get(row.dedupe_key)
            if (other := wanted.setdefault(row.dedupe_key, row.id)) != row.id:
                raise Conflict(f"{row.dedupe_key} belongs to {other}, which has not ended")
            # A build that is ready keeps its key until somebody builds the same again.
            taken = owner is not None and owner != row.id and owner not in leaving
            if taken and not self._has_ended(owner):
                raise Conflict(f"{row.dedupe_key} belongs to {owner}, which has not ended")

    def _has_ended(self, job_id: str | None) -> bool:
        entry = self._entries.get(job_id or "")
        return entry is not None and entry.row.ended

    def _write(self, change: Change, row: Row) -> None:
        entry = self._entries.setdefault(row.id, _Entry(change.job, row))
        self._requeue(entry, change)
        entry.job, entry.row = change.job, row
        entry.version = change.expected + 1
        entry.attempts = 0
        if row.ended:
            entry.dead_because = None
        if row.owns_key:
            self._owners[row.dedupe_key] = row.id

    def _requeue(self, entry: _Entry, change: Change) -> None:
        if change.keep_lease:
            return
        now = self._now()
        wait = None if change.due_in_seconds is None else as_milliseconds(change.due_in_seconds)
        if now < entry.lease_ends and change.fence is None:
            # Somebody works on it: two workers at once must not be, nor may this be forgotten.
            entry.asked = _NEVER if wait is None else entry.earlier(now + wait)
            entry.due = None if wait is None else entry.lease_ends
            return
        if wait is None:
            entry.due = None
        elif entry.dead_because is None:
            leased = now < entry.lease_ends
            self._enqueue(entry, entry.earlier(now + wait) if leased else now + wait)
        entry.lease_ends, entry.asked = 0, None

    async def jobs(self, kind: JobKind, *, ended: bool) -> list[Stored]:
        found = [e for e in self._entries.values() if e.row.kind == kind and e.row.ended == ended]
        if ended:
            found.sort(key=lambda e: (e.row.changed_ms, e.row.id), reverse=True)
            return [entry.stored for entry in found[:ENDED_SHOWN]]
        return [entry.stored for entry in sorted(found, key=_age, reverse=True)]

    async def history(self, cluster: str, pool: str, limit: int) -> list[Stored]:
        wanted = pool_key(cluster, pool)
        found = [entry for entry in self._entries.values() if entry.row.pool == wanted]
        return [entry.stored for entry in sorted(found, key=_age, reverse=True)[: max(0, limit)]]

    # --- queue ------------------------------------------------------------------------------

    async def claim(
        self, worker: str, lease_seconds: float, kinds: Sequence[JobKind]
    ) -> Leased | None:
        now = self._now()
        due = [
            (entry.due, entry.row.id)
            for entry in self._entries.values()
            if entry.due is not None and entry.due <= now and entry.row.kind in kinds
        ]
        if not due:
            if task := asyncio.current_task():
                self._looked[task] = (self._bell, tuple(kinds))
            return None
        entry = self._entries[min(due)[1]]
        entry.fence += 1
        entry.attempts += 1
        entry.lease_ends = entry.due = now + as_milliseconds(lease_seconds)
        entry.asked = None
        return Leased(entry.job, entry.version, entry.fence, entry.attempts)

    async def renew(self, leased: Leased, lease_seconds: float) -> int:
        entry = self._held(leased)
        entry.lease_ends = self._now() + as_milliseconds(lease_seconds)
        if entry.asked != _NEVER:
            entry.due = entry.lease_ends
        return entry.version

    async def release(self, leased: Leased, *, due_in_seconds: float, failed: bool) -> None:
        entry = self._held(leased)
        if not failed:
            entry.attempts = 0
        if entry.asked != _NEVER:
            self._enqueue(entry, entry.earlier(self._now() + as_milliseconds(due_in_seconds)))
        entry.lease_ends, entry.asked = 0, None

    async def bury(self, leased: Leased, because: str, audit: AuditEntry) -> None:
        """Raise Conflict if somebody changed the record meanwhile, LeaseLost as everywhere."""
        entry = self._held(leased)
        if entry.version != leased.version:
            raise Conflict(
                f"{leased.job.id} was changed meanwhile: it is at version {entry.version}"
            )
        entry.due, entry.lease_ends, entry.asked = None, 0, None
        entry.dead_because, entry.dead_at = because, self._now()
        self._note(audit)

    async def dead(self) -> list[tuple[Stored, str]]:
        """Newest first."""
        found = [entry for entry in self._entries.values() if entry.dead_because is not None]
        found.sort(key=lambda e: (e.dead_at, e.row.id), reverse=True)
        return [(entry.stored, entry.dead_because or "") for entry in found]

    async def revive(self, job_id: str, audit: AuditEntry) -> None:
        entry = self._entries[job_id]
        if entry.dead_because is None:
            raise KeyError(job_id)
        entry.dead_because, entry.attempts = None, 0
        self._enqueue(entry, self._now())
        self._note(audit)

    async def wake(self, job_id: str) -> None:
        if entry := self._entries.get(job_id):
            self._wake(entry)

    def _wake(self, entry: _Entry) -> None:
        """Due now; while it is leased this is kept for the moment the lease is given back."""
        now = self._now()
        if now < entry.lease_ends:
            if entry.asked != _NEVER:
                entry.asked = entry.earlier(now)
        elif entry.due is not None:
            self._enqueue(entry, min(entry.due, now))

    async def wait_due(self, timeout_seconds: float) -> None:
        """To be called by the task whose `claim` found nothing: it waits for news since then."""
        task = asyncio.current_task()
        unlooked = (self._bell, tuple(JobKind))
        bell, kinds = self._looked.get(task, unlooked) if task else unlooked
        waiting = (entry for entry in self._entries.values() if entry.row.kind in kinds)
        soon = [entry.due for entry in waiting if entry.due is not None]
        until_due = (min(soon) - self._now()) / 1000 if soon else timeout_seconds
        try:
            async with asyncio.timeout(max(0.0, min(timeout_seconds, until_due))):
                await bell.wait()
        except TimeoutError:
            return

    async def backlog(self, now: datetime) -> Mapping[JobKind, Backlog]:
        return {kind: self._backlog(kind, milliseconds(now)) for kind in JobKind}

    def _backlog(self, kind: JobKind, now: int) -> Backlog:
        queued = [
            (entry.due, entry.lease_ends)
            for entry in self._entries.values()
            if entry.row.kind == kind and entry.due is not None
        ]
        due = [at for at, _ in queued if at <= now]
        leased = sum(ends > now for _, ends in queued)
        return Backlog(
            waiting=len(queued) - leased,
            due=len(due),
            leased=leased,
            oldest_due_seconds=(now - min(due, default=now)) / 1000,
        )

    # --- what people read -------------------------------------------------------------------

    async def audit(self, job_id: str | None = None, limit: int = 1000) -> list[AuditEntry]:
        if limit <= 0 or job_id == "":
            return []
        return [e for e in self._audit if job_id is None or e.job == job_id][-limit:]

    async def trail(self, before: str, limit: int) -> list[tuple[str, AuditEntry]]:
        end = int(before.partition("-")[0]) - 1 if before else len(self._audit)
        start = max(0, min(end, len(self._audit)) - max(0, limit))
        shown = self._audit[start : max(0, end)]
        found = [(f"{at}-0", entry) for at, entry in enumerate(shown, start + 1)]
        return found[::-1]

    async def audit_only(self, entry: AuditEntry) -> None:
        self._note(entry)

    async def add_log(self, job_id: str, lines: Sequence[str]) -> None:
        if lines:
            kept = [*self._logs.get(job_id, ()), *bounded_lines(lines)]
            self._logs[job_id] = kept[-LOG_LINES:]
            self._revision += 1

    async def log(self, job_id: str) -> list[str]:
        return list(self._logs.get(job_id, ()))

    # --- leadership and health --------------------------------------------------------------

    async def lead(self, replica: str, lease_seconds: float) -> bool:
        now = self._now()
        if self._leader is not None and self._leader[0] != replica and now < self._leader[1]:
            return False
        self._leader = (replica, now + max(1, as_milliseconds(lease_seconds)))
        return True

    async def resign(self, replica: str) -> None:
        if self._leader is not None and self._leader[0] == replica:
            self._leader = None

    async def ping(self) -> None:
        return None

    # --- helpers ----------------------------------------------------------------------------

    def _holds(self, entry: _Entry | None, fence: int) -> bool:
        """A lease that ran out counts for nothing, even while nobody else has taken the job."""
        return entry is not None and entry.fence == fence and self._now() < entry.lease_ends

    def _held(self, leased: Leased) -> _Entry:
        entry = self._entries.get(leased.job.id)
        if entry is None or not self._holds(entry, leased.fence):
            raise LeaseLost(f"the lease of {leased.job.id} ended or somebody else has it")
        return entry

    def _enqueue(self, entry: _Entry, at: int) -> None:
        entry.due = at
        self._bell.set()
        self._bell = asyncio.Event()


def _age(entry: _Entry) -> tuple[int, str]:
    return (entry.row.created_ms, entry.row.id)

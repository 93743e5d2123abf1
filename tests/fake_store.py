"""The parts of `ports.Store` that unit tests need, in a dictionary and with a clock of the test's.

Small on purpose: what a store must keep is said by the contract tests, on the real ones.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from watcher.core.jobs import Job, JobKind, dedupe_key, kind_of, owns_key
from watcher.core.update import Update
from watcher.ports import (
    AuditEntry,
    Change,
    Clock,
    Conflict,
    Leased,
    LeaseLost,
    Stored,
)


@dataclass
class _Row:
    job: Job
    version: int
    due: float | None
    """None: not in the queue."""
    fence: int = 0
    attempts: int = 0
    leased_until: float = 0.0
    asked: float | None = None
    """When it shall be due after the lease, asked for by somebody else meanwhile."""
    dead: str = ""


@dataclass
class FakeStore:
    clock: Clock
    rows: dict[str, _Row] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    entries: list[AuditEntry] = field(default_factory=list)
    notes: dict[str, Mapping[str, object]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    shown: dict[str, Mapping[str, object]] = field(default_factory=dict)
    renewals: int = 0
    fails: dict[str, list[Exception]] = field(default_factory=dict)
    """Method name → what its next calls raise."""

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _maybe_fail(self, method: str) -> None:
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    def _held(self, leased: Leased) -> _Row:
        row = self.rows[leased.job.id]
        if row.fence != leased.fence or row.leased_until <= self._now():
            raise LeaseLost(f"the lease of {leased.job.id} is not ours")
        return row

    async def get(self, job_id: str) -> Stored:
        row = self.rows[job_id]
        return Stored(row.job, row.version)

    async def owner(self, dedupe_key: str) -> str | None:
        return self.owners.get(dedupe_key)

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        self._maybe_fail("commit")
        leaving = {c.job.id for c in changes if not owns_key(c.job)}
        for change in changes:
            row = self.rows.get(change.job.id)
            if change.fence is not None:
                self._held(Leased(change.job, 0, change.fence, 0))
            if (row.version if row else 0) != change.expected:
                raise Conflict(f"{change.job.id} was changed meanwhile")
            other = self.owners.get(dedupe_key(change.job))
            taken = other not in (None, change.job.id) and other not in leaving
            if owns_key(change.job) and taken and not self.rows[str(other)].job.is_ended:
                raise Conflict(f"{dedupe_key(change.job)} belongs to {other}")
        for change in sorted(changes, key=lambda c: owns_key(c.job)):
            self._write(change)
        self.entries += audit
        return [change.expected + 1 for change in changes]

    def _write(self, change: Change) -> None:
        job, key = change.job, dedupe_key(change.job)
        row = self.rows.get(job.id)
        delay = change.due_in_seconds
        due = None if delay is None else self._now() + delay
        if row is None:
            self.rows[job.id] = _Row(job, 1, due)
        else:
            is_held = row.leased_until > self._now()
            row.job, row.version, row.attempts = job, row.version + 1, 0
            if change.fence is None and is_held:
                row.asked = due
                row.due = None if due is None else row.due
            elif not change.keep_lease:
                row.due, row.leased_until, row.asked = due, 0.0, None
        if owns_key(job):
            self.owners[key] = job.id
        elif self.owners.get(key) == job.id:
            del self.owners[key]
        if job.is_ended and kind_of(job) is JobKind.BUILD:
            for other in self.rows.values():
                if isinstance(other.job, Update) and other.job.build == job.id and other.due:
                    other.due = self._now()

    async def claim(
        self, worker: str, lease_seconds: float, kinds: Sequence[JobKind]
    ) -> Leased | None:
        self._maybe_fail("claim")
        now = self._now()
        due = [
            row
            for row in self.rows.values()
            if row.due is not None and row.due <= now and kind_of(row.job) in kinds
        ]
        if not due:
            return None
        row = min(due, key=lambda r: r.due or 0.0)
        row.fence, row.attempts = row.fence + 1, row.attempts + 1
        row.due = row.leased_until = now + lease_seconds
        row.asked = None
        return Leased(row.job, row.version, row.fence, row.attempts)

    async def renew(self, leased: Leased, lease_seconds: float) -> int:
        self._maybe_fail("renew")
        row = self._held(leased)
        self.renewals += 1
        row.leased_until = self._now() + lease_seconds
        row.due = row.leased_until if row.due is not None else None
        return row.version

    async def release(self, leased: Leased, *, due_in_seconds: float, failed: bool) -> None:
        self._maybe_fail("release")
        row = self._held(leased)
        row.leased_until = 0.0
        row.attempts = row.attempts if failed else 0
        if row.due is not None:
            row.due = min(self._now() + due_in_seconds, row.asked or float("inf"))

    async def bury(self, leased: Leased, because: str, audit: AuditEntry) -> None:
        row = self._held(leased)
        row.dead, row.due, row.leased_until = because, None, 0.0
        self.entries.append(audit)

    async def dead(self) -> list[tuple[Stored, str]]:
        return [(Stored(r.job, r.version), r.dead) for r in self.rows.values() if r.dead]

    async def revive(self, job_id: str, audit: AuditEntry) -> None:
        row = self.rows[job_id]
        row.dead, row.due, row.attempts = "", self._now(), 0
        self.entries.append(audit)

    async def wake(self, job_id: str) -> None:
        row = self.rows[job_id]
        if row.due is not None and row.leased_until <= self._now():
            row.due = self._now()

    async def wait_due(self, timeout_seconds: float) -> None:
        await asyncio.sleep(timeout_seconds)

    async def jobs(self, kind: JobKind, *, ended: bool) -> list[Stored]:
        rows = [r for r in self.rows.values() if kind_of(r.job) is kind]
        return [Stored(r.job, r.version) for r in rows if r.job.is_ended is ended]

    async def history(self, cluster: str, pool: str, limit: int) -> list[Stored]:
        rows = [
            r
            for r in reversed(self.rows.values())
            if isinstance(r.job, Update) and (r.job.cluster, r.job.pool) == (cluster, pool)
        ]
        return [Stored(r.job, r.version) for r in rows[:limit]]

    async def audit(self, job_id: str | None = None, limit: int = 1000) -> list[AuditEntry]:
        return [e for e in self.entries if job_id in (None, e.job)][-limit:]

    async def audit_only(self, entry: AuditEntry) -> None:
        self._maybe_fail("audit_only")
        self.entries.append(entry)

    async def add_log(self, job_id: str, lines: Sequence[str]) -> None:
        self.lines.setdefault(job_id, []).extend(lines)

    async def log(self, job_id: str) -> list[str]:
        return self.lines.get(job_id, [])

    async def set_progress(self, job_id: str, progress: Mapping[str, object]) -> None:
        self.notes[job_id] = progress

    async def progress(self, job_id: str) -> Mapping[str, object]:
        return self.notes.get(job_id, {})

    async def remember(self, cluster: str, pool: str, key: str, because: str) -> None:
        self.refused.setdefault((cluster, pool), {})[key] = because

    async def remembered(self, cluster: str, pool: str) -> Mapping[str, str]:
        return self.refused.get((cluster, pool), {})

    async def forget(self, cluster: str, pool: str) -> None:
        self.refused.pop((cluster, pool), None)

    async def put_view(self, key: str, value: Mapping[str, object]) -> None:
        self.shown[key] = value

    async def views(self) -> Mapping[str, Mapping[str, object]]:
        return self.shown

    async def lead(self, replica: str, lease_seconds: float) -> bool:
        return True

    async def resign(self, replica: str) -> None: ...

    async def ping(self) -> None: ...

    # --- for tests ---

    def due_in(self, job_id: str) -> float | None:
        """Seconds until it is next looked at."""
        due = self.rows[job_id].due
        return None if due is None else round(due - self._now(), 3)

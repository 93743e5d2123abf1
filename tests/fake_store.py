"""The memory store, with what unit tests look at and bring about; the contract tests hold it."""

from collections.abc import Mapping, Sequence

from watcher.clients import codec
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.jobs import JobKind
from watcher.ports import AuditEntry, Change, Clock, Leased


class FakeStore(MemoryStore):
    """`MemoryStore`, open to a look inside, and to failures on order."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.rows = self._entries
        self.entries: list[AuditEntry] = self._audit
        self.renewals = 0
        self.fails: dict[str, list[Exception]] = {}
        """Method name → what its next calls raise."""

    @property
    def shown(self) -> Mapping[str, Mapping[str, object]]:
        """What people are shown of pools."""
        return {key: codec.decode_values(value) for key, value in self._views.items()}

    def due_in(self, job_id: str) -> float | None:
        """Seconds until it is next looked at."""
        due = self.rows[job_id].due
        return None if due is None else (due - self._now()) / 1000

    def _maybe_fail(self, method: str) -> None:
        if self.fails.get(method):
            raise self.fails[method].pop(0)

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        self._maybe_fail("commit")
        return await super().commit(changes, audit)

    async def renew(self, leased: Leased, lease_seconds: float) -> int:
        self.renewals += 1
        self._maybe_fail("renew")
        return await super().renew(leased, lease_seconds)

    async def claim(
        self, worker: str, lease_seconds: float, kinds: Sequence[JobKind]
    ) -> Leased | None:
        self._maybe_fail("claim")
        return await super().claim(worker, lease_seconds, kinds)

"""What the store in memory keeps beside jobs: snapshots, freezes, silences, what was seen."""

import re
from collections.abc import Mapping
from datetime import datetime

from watcher.clients import codec
from watcher.clients.store.memory_outbox import MemoryOutbox
from watcher.clients.store.rows import (
    HANDLED_SECONDS,
    SILENCE_SECONDS,
    SILENCES_KEPT,
    as_milliseconds,
    bounded_values,
    milliseconds,
    moment,
    pool_key,
    told_of,
    too_many_silences,
)
from watcher.core.letters import FLEET
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.ports import AuditEntry, Clock

_TIME = re.compile(rb'"at":"[^"]*"')


class MemoryKept:
    """The part of `MemoryStore` that knows nothing of jobs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.outbox = MemoryOutbox(clock)
        self._audit: list[AuditEntry] = []
        self._revision = 0
        self._progress: dict[str, bytes] = {}
        self._views: dict[str, bytes] = {}
        self._kept: dict[str, bytes] = {}
        self._pinned: dict[str, tuple[int, bytes]] = {}
        """Key → until when, and what."""
        self._not_again: dict[str, dict[str, str]] = {}
        self._first_seen: dict[str, int] = {}
        self._freezes: dict[str, bytes] = {}
        self._silences: dict[str, bytes] = {}
        self._silence_ends: dict[str, int] = {}
        self._handled: dict[str, int] = {}
        """Delivery → until when it is known."""

    # --- snapshots --------------------------------------------------------------------------

    async def set_progress(self, job_id: str, progress: Mapping[str, object]) -> None:
        new, old = bounded_values(f"progress of {job_id}", progress), self._progress.get(job_id)
        self._progress[job_id] = new
        self._shown_unless(old, new)

    async def progress(self, job_id: str) -> Mapping[str, object]:
        return codec.decode_values(self._progress.get(job_id, b"{}"))

    async def put_view(self, key: str, value: Mapping[str, object]) -> None:
        new, old = bounded_values(f"view {key}", value), self._views.get(key)
        self._views[key] = new
        self._shown_unless(old, new)
        if (names := told_of(key)) and (old is None or _picked(old, names) != _picked(new, names)):
            self.outbox.mark_now(FLEET)

    async def views(self) -> Mapping[str, Mapping[str, object]]:
        return {key: codec.decode_values(value) for key, value in self._views.items()}

    async def view(self, key: str) -> Mapping[str, object]:
        return codec.decode_values(self._views.get(key, b"{}"))

    async def keep(self, key: str, value: Mapping[str, object]) -> None:
        self._kept[key] = bounded_values(key, value)

    async def kept(self, key: str) -> Mapping[str, object]:
        return codec.decode_values(self._kept.get(key, b"{}"))

    async def pin(
        self, key: str, value: Mapping[str, object], for_seconds: float
    ) -> Mapping[str, object] | None:
        until, there = self._pinned.get(key, (0, b"{}"))
        if self._now() < until:
            return codec.decode_values(there)
        await self.repin(key, value, for_seconds)
        return None

    async def repin(self, key: str, value: Mapping[str, object], for_seconds: float) -> None:
        now, pinned = self._now(), bounded_values(key, value)
        self._pinned = {known: one for known, one in self._pinned.items() if now < one[0]}
        self._pinned[key] = (now + as_milliseconds(for_seconds), pinned)

    async def unpin(self, key: str) -> None:
        self._pinned.pop(key, None)

    # --- what was decided and seen before ---------------------------------------------------

    async def remember(self, cluster: str, pool: str, key: str, because: str) -> None:
        self._not_again.setdefault(pool_key(cluster, pool), {})[key] = because

    async def remembered(self, cluster: str, pool: str) -> Mapping[str, str]:
        return dict(self._not_again.get(pool_key(cluster, pool), {}))

    async def forget(self, cluster: str, pool: str) -> None:
        self._not_again.pop(pool_key(cluster, pool), None)

    async def first_seen(self, what: str, now: datetime) -> datetime:
        return moment(self._first_seen.setdefault(what, milliseconds(now)))

    async def handled(self, delivery: str) -> bool:
        return self._now() < self._handled.get(delivery, 0)

    async def set_handled(self, delivery: str) -> None:
        now = self._now()
        self._handled = {known: until for known, until in self._handled.items() if now < until}
        self._handled[delivery] = now + as_milliseconds(HANDLED_SECONDS)

    # --- freezes ----------------------------------------------------------------------------

    async def freeze(self, freeze: Freeze, audit: AuditEntry) -> None:
        self._freezes[freeze.scope] = codec.encode_freeze(freeze)
        self._note(audit)
        self.outbox.mark_now(FLEET)

    async def unfreeze(self, scope: str, audit: AuditEntry) -> bool:
        if self._freezes.pop(scope, None) is None:
            return False
        self._note(audit)
        self.outbox.mark_now(FLEET)
        return True

    async def freezes(self) -> list[Freeze]:
        """Raise UnreadableRecord rather than take one that cannot be read for none."""
        return [codec.decode_freeze(record, s) for s, record in sorted(self._freezes.items())]

    # --- silences ---------------------------------------------------------------------------

    async def silence(self, silence: Silence, audit: AuditEntry) -> None:
        record = codec.encode_silence(silence)
        self._drop_old_silences()
        known = self._silences.get(silence.id)
        if known == record:
            return  # a repeat: it is audited already
        if known is None and len(self._silences) >= SILENCES_KEPT:
            raise too_many_silences()
        self._silences[silence.id] = record
        self._silence_ends[silence.id] = milliseconds(silence.until)
        self._note(audit)
        self.outbox.mark_now(FLEET)

    async def unsilence(self, silence_id: str, audit: AuditEntry) -> bool:
        self._drop_old_silences()
        if self._silences.pop(silence_id, None) is None:
            return False
        self._silence_ends.pop(silence_id, None)
        self._note(audit)
        self.outbox.mark_now(FLEET)
        return True

    async def silences(self) -> list[Silence]:
        self._drop_old_silences()
        found = (codec.decode_silence(record) for _, record in sorted(self._silences.items()))
        return [silence for silence in found if silence is not None]

    def _drop_old_silences(self) -> None:
        before = self._now() - as_milliseconds(SILENCE_SECONDS)
        for silence_id in [one for one, end in self._silence_ends.items() if end <= before]:
            del self._silence_ends[silence_id], self._silences[silence_id]

    # --- what pages show -------------------------------------------------------------------

    async def revision(self) -> int:
        return self._revision

    def _note(self, *entries: AuditEntry) -> None:
        self._audit.extend(entries)
        self._revision += 1

    def _shown_unless(self, old: bytes | None, new: bytes) -> None:
        """When it was looked at is no news."""
        if old is None or _TIME.sub(b"", old, 1) != _TIME.sub(b"", new, 1):
            self._revision += 1

    # --- helpers ----------------------------------------------------------------------------

    def _now(self) -> int:
        return milliseconds(self._clock.now())


def _picked(view: bytes, names: tuple[str, ...]) -> dict[str, object]:
    value = codec.decode_values(view)
    return {name: value[name] for name in names if name in value}

"""What changed, worked out once for all who listen."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watcher import shown
from watcher.core.build import Build
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.web.face import Service

KEPT = 2000
"""Events that somebody who lost the connection can still have; a busy hour has fewer."""
Data = Mapping[str, Any]
Key = tuple[str, str]
"""Name of the event, and what it is about."""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Told:
    number: int
    kind: str
    data: Data


@dataclass(slots=True, kw_only=True)
class Changes:
    service: Service
    epoch: str
    """Of this process: numbers of another mean something else."""
    kept: int = KEPT
    last: int = 0
    """Number of the newest event."""
    revision: int = -1
    """Of the hub, when it was last looked."""
    _seen: Mapping[Key, Data] | None = None
    _told: deque[Told] = field(default_factory=deque)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def id(self, number: int) -> str:
        """Return the id of an event."""
        return f"{self.epoch}-{number}"

    def after(self, number: int) -> list[Told] | None:
        """Return the events after this one; None if they are no longer known, or were not yet."""
        if number > self.last or number < self.last - len(self._told):
            return None
        return [one for one in self._told if one.number > number]

    async def look(self, revision: int) -> None:
        """See what is another since the last look, unless somebody did for this revision."""
        async with self._lock:
            if revision <= self.revision and self._seen is not None:
                return
            now = await self._snapshot()
            before, self._seen, self.revision = self._seen, now, revision
            if before is None:
                return
            for key, data in now.items():
                if before.get(key) != data:
                    self._tell(key[0], data)
            for key, data in before.items():
                if key not in now and key[0] in ("freeze", "silence"):
                    self._tell(key[0], {**data, "lifted": True})
            # What moves beside these: progress, logs, votes, the audit trail.
            self._tell("changed", {"revision": revision})

    def _tell(self, kind: str, data: Data) -> None:
        self.last += 1
        self._told.append(Told(self.last, kind, data))
        while len(self._told) > self.kept:
            self._told.popleft()

    async def _snapshot(self) -> Mapping[Key, Data]:
        service = self.service
        store, now = service.store, service.clock.now()
        jobs = [one.job for kind in JobKind for one in await store.jobs(kind, ended=False)]
        jobs += [one.job for kind in JobKind for one in await store.jobs(kind, ended=True)]
        found: dict[Key, Data] = {}
        for job in reversed(jobs):  # the older first, as far as nobody can tell better
            about = _update(job) if isinstance(job, Update) else _build(job)
            found["update" if isinstance(job, Update) else "build", job.id] = about
        for row in await shown.freezes(store, now=now):
            found["freeze", row["scope"]] = {**_some(row, "scope", "by", "until"), "lifted": False}
        for row in await shown.silences(store, now=now):
            said = _some(row, "id", "scope", "rule", "by", "until")
            found["silence", row["id"]] = {**said, "lifted": False}
        for key, view in (await store.views()).items():
            if key.startswith("pool:"):
                found["look", key] = _some(view, "cluster", "pool", "decision", "because")
        return found | self._findings()

    def _findings(self) -> dict[Key, Data]:
        found: dict[Key, Data] = {}
        for seen in self.service.surveys.surveyed():
            found["cluster", seen.cluster] = {
                "cluster": seen.cluster,
                "version": seen.version or None,
                "problems": list(seen.problems),
            }
            for one in seen.findings:
                found["pool", f"{seen.cluster}/{one.pool}"] = {
                    "cluster": seen.cluster,
                    "pool": one.pool,
                    "state": str(one.state),
                    "flags": [str(raised.flag) for raised in one.flags],
                    "sentence": one.sentence,
                }
        return found


def as_event(id_: str, kind: str, data: Data) -> str:
    """Return one event as it is sent; JSON has no line breaks."""
    return f"id: {id_}\nevent: {kind}\ndata: {_encode(data).decode()}\n\n"


def _update(update: Update) -> Data:
    return {
        "id": update.id,
        "cluster": update.cluster,
        "pool": update.pool,
        "state": str(update.state),
        "changed_at": update.changed_at.isoformat(),
    }


def _build(build: Build) -> Data:
    return {
        "id": build.id,
        "recipe": build.recipe,
        "state": str(build.state),
        "changed_at": build.changed_at.isoformat(),
    }


def _some(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row.get(name) for name in names}

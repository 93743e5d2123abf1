"""The letters of the subject `fleet`: all that people are told beside updates.

What stands is remembered in the store, saved before anybody is told: after a crash the same
notices have the same names, so nothing is said twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog

from watcher.core import alerts, notices
from watcher.core.alerts import Facts, Limits
from watcher.core.letters import FLEET, About, Letters, Notice, Severity, Wanted
from watcher.core.notices import Concern, Memory, Standing, Terms
from watcher.core.silences import Silence
from watcher.core.state import Surveyed
from watcher.ports import Clock, Store
from watcher.settings import Settings
from watcher.telling import routing
from watcher.telling.gathering import Gathering

log = structlog.get_logger()

NOTICES = "notices"
CONCERNS = "notices:concerns"
BYTES = 60_000
"""Most of each of the two as JSON; the store takes 64 KiB. About 150 notices and 400 pools."""
STALE_LOOKS = 3
LEAST_STALE_SECONDS = 300.0
"""A look is old after three resyncs, and never sooner than this, however often they are."""
T = TypeVar("T", Concern, Standing)


def nothing_found() -> Sequence[Surveyed]:
    """Return no findings, for whoever has none."""
    return ()


@dataclass(frozen=True, slots=True)
class Fleet:
    store: Store
    settings: Settings
    clock: Clock
    surveyed: Callable[[], Sequence[Surveyed]] = nothing_found
    """What is known now of each configured cluster; cheap."""
    _places: dict[tuple[str, Severity], tuple[str, ...]] = field(default_factory=dict)
    """What routes say, which never changes."""

    async def letters(self) -> Letters:
        """Return what shall stand now, saved before. Raise what the store raises."""
        now, freezes = self.clock.now(), await self.store.freezes()
        silences = await self.store.silences()
        gathering = Gathering(store=self.store, settings=self.settings, surveyed=self.surveyed)
        facts = await gathering.facts(freezes, now)
        cases = alerts.cases(facts, self.limits)
        terms = self._terms(facts, silences, now)
        before = await self._remembered()
        memory = notices.standing(cases, before, terms, now=now)
        memory = Memory(
            concerns=_within(memory.concerns, "concerns"),
            notices=_within(memory.notices, "notices"),
        )
        await self._keep(before, memory)
        return Letters(
            wanted=await self._news(notices.letters(memory)),
            again_at=notices.again_at(cases, memory, terms, now=now),
        )

    @property
    def limits(self) -> Limits:
        return Limits(
            alerts=self.settings.alerts,
            hold_seconds=float(self.settings.notices.hold_seconds),
            stale_seconds=self._stale_seconds(),
        )

    def _terms(self, facts: Facts, silences: Sequence[Silence], now: datetime) -> Terms:
        limits = self.limits
        return Terms(
            to=self._to,
            silences=silences,
            escalations=self.settings.alerts.escalations,
            unseen={s.cluster: s.observed_at for s in facts.surveyed if limits.is_unseen(s, now)},
            unsurveyed=frozenset(s.cluster for s in facts.surveyed if s.asked_at is None),
            unreadable=frozenset(f"{s.cluster}/{p}" for s in facts.surveyed for p in s.unreadable),
        )

    async def _news(self, letters: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
        """Leave out what was over before it could be told: chat was away, and it is no news."""
        over = {w.key for w in letters if isinstance(w.body, Notice) and w.body.over_at}
        delivered = await self.store.outbox.delivered(FLEET) if over else {}
        return tuple(w for w in letters if w.key not in over or w.key in delivered)

    def _to(self, place: str, severity: Severity) -> tuple[str, ...]:
        key = (place, severity)
        if key not in self._places:
            cluster, _, pool = place.partition("/")
            self._places[key] = routing.places(
                self.settings.routes,
                cluster=cluster,
                pool=pool,
                severity=severity,
                about=About.NOTICE,
                default=self.settings.usual_place,
            )
        return self._places[key]

    def _stale_seconds(self) -> float:
        return max(STALE_LOOKS * self.settings.work.resync_seconds, LEAST_STALE_SECONDS)

    async def _remembered(self) -> Memory:
        told, concerned = await self.store.kept(NOTICES), await self.store.kept(CONCERNS)
        return Memory(
            concerns=_read(concerned, "concerns", Concern), notices=_read(told, "notices", Standing)
        )

    async def _keep(self, before: Memory, memory: Memory) -> None:
        # Concerns first: they name a notice that the process dies before remembering.
        if memory.concerns != before.concerns:
            await self.store.keep(CONCERNS, {"concerns": list(map(kept_row, memory.concerns))})
        if memory.notices != before.notices:
            await self.store.keep(NOTICES, {"notices": list(map(kept_row, memory.notices))})


def kept_row(row: Concern | Standing) -> dict[str, Any]:
    """Return what is kept of it: what is not as it is by default, so that more rows fit."""
    said = msgspec.to_builtins(row)
    return {f.name: said[f.name] for f in fields(row) if getattr(row, f.name) != f.default}


def _read(kept: Mapping[str, object], name: str, wanted: type[T]) -> tuple[T, ...]:
    """Return what can be read of it: another release may have written more, or less."""
    rows: Any = kept.get(name)
    found: list[T] = []
    for row in rows if isinstance(rows, list) else ():
        try:
            found.append(msgspec.convert(row, wanted))
        except msgspec.ValidationError as error:
            log.warning("notice_not_read", kept=name, cause=str(error)[:200])
    return tuple(found)


def _within(rows: Sequence[T], name: str) -> tuple[T, ...]:
    """Return as many as may be kept: those that may be lost are last."""
    size = 0
    kept: list[T] = []
    for row in rows:
        size += len(msgspec.json.encode(kept_row(row))) + 1
        if size > BYTES:
            log.warning("notices_too_many", kept=name, lost=len(rows) - len(kept))
            break
        kept.append(row)
    return tuple(kept)

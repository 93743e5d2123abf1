"""Which digests are due, and what they say; a digest is named by its local day, so it is one.

Whoever leads looks every 30 s; nothing is remembered but what was delivered. So a leader that was
down sends it when it is back, and a second leader finds it sent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core import digests, summary
from watcher.core.jobs import JobKind
from watcher.core.letters import About, Letters, Wanted
from watcher.core.summary import Facts, Period
from watcher.core.update import Update
from watcher.core.windows import zone_of
from watcher.ports import Clock, Store
from watcher.settings import DigestSettings, Settings
from watcher.telling.subjects import DIGEST

LATE = timedelta(hours=12)
"""A digest that could not be sent for this long is left out: the next one is near."""


@dataclass(frozen=True, slots=True)
class Digesting:
    store: Store
    settings: Settings
    clock: Clock

    async def due(self) -> list[str]:
        """Return the subjects to be marked: due, not too late, not delivered everywhere yet."""
        now, found = self.clock.now(), []
        for one in self.settings.digests:
            due = digests.last_due(one.times, now=now)
            if now - due > LATE:
                continue
            subject = f"{DIGEST}{one.name}:{digests.label(one.times, due)}"
            if await self._is_missing(subject, one):
                found.append(subject)
        return found

    async def letters(self, subject: str) -> Letters:
        """Return the digest for each of its places; nothing for one that is not due (any more)."""
        name, _, day = subject.removeprefix(DIGEST).rpartition(":")
        one = next((d for d in self.settings.digests if d.name == name), None)
        now = self.clock.now()
        due = digests.last_due(one.times, now=now) if one else now
        if one is None or digests.label(one.times, due) != day or now - due > LATE:
            return Letters()
        after = digests.last_due(one.times, now=due - timedelta.resolution)
        body = summary.digest(
            await self._facts(now),
            Period(after=after, until=due),
            title=f"{name[:1].upper()}{name[1:]} summary",
            day=day,
            clusters=one.clusters,
            zone=zone_of(one.times.timezone),
        )
        return Letters(
            wanted=tuple(
                Wanted(key=_key(place), place=place, about=About.DIGEST, body=body, once=True)
                for place in one.to
            ),
        )

    async def _is_missing(self, subject: str, one: DigestSettings) -> bool:
        delivered = await self.store.outbox.delivered(subject)
        letters = (delivered.get(_key(place)) for place in one.to)
        return any(letter is None or not (letter.sent or letter.gone) for letter in letters)

    async def _facts(self, now: datetime) -> Facts:
        views = await self.store.views()
        return Facts(
            views=[
                {
                    **views.get(f"pool:{p.cluster}/{p.pool}", {}),
                    "cluster": p.cluster,
                    "pool": p.pool,
                }
                for p in self.settings.pools
            ],
            active=await self._updates(ended=False),
            ended=await self._updates(ended=True),
            freezes=await self.store.freezes(),
            now=now,
        )

    async def _updates(self, *, ended: bool) -> list[Update]:
        stored = await self.store.jobs(JobKind.UPDATE, ended=ended)
        return [one.job for one in stored if isinstance(one.job, Update)]


def _key(place: str) -> str:
    return f"digest@{place}"

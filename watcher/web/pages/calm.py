"""What keeps things quiet: freezes and holds, silences, windows; made and lifted here."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import scopes, shown, timetable
from watcher.alert_rules import RULES
from watcher.core.silences import LONGEST
from watcher.settings import PoolSettings
from watcher.shown import Row
from watcher.web.callers import Caller
from watcher.web.pages.desk import Desk

PAGE = 25
"""Pools whose windows are worked out for one page."""
MOST_PLACES = 300
"""Pools that can be chosen from a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm(Desk):
    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/calm", self.calm)]

    async def calm(self, request: Request) -> Response:
        """`?text=` chooses pools, `?page=` from 1; `?pool=` names the one to be held."""
        asked = {name: request.query_params.get(name, "").strip() for name in ("text", "pool")}
        page = request.query_params.get("page", "1")

        async def make(caller: Caller) -> Mapping[str, Any]:
            return await self._model(asked, page)

        return await self.show(request, "calm.html", make, title="Calm", here="calm")

    async def _model(self, asked: Mapping[str, str], page: str) -> Mapping[str, Any]:
        now, store = self.service.clock.now(), self.service.store
        found = [p for p in self.settings.pools if _fits(p, asked["text"])]
        pages = max(1, -(-len(found) // PAGE))
        number = min(pages, max(1, int(page))) if page.isascii() and page.isdecimal() else 1
        chosen = self.settings.pool(*_parts(asked["pool"]))
        wanted = found[(number - 1) * PAGE : number * PAGE]
        freezes, silences, times = await asyncio.gather(
            shown.freezes(store, now=now),
            shown.silences(store, now=now),
            timetable.timetables(store, [*wanted, *([chosen] if chosen else [])], now=now),
        )
        return {
            "asked": asked,
            "wide": [row for row in freezes if not row["pool"]],
            "held": [row for row in freezes if row["pool"]],
            "silences": silences,
            "times": times[: len(wanted)],
            "chosen": times[-1] if chosen else None,
            "is_held": bool(chosen) and _held(freezes, asked["pool"]),
            "found": len(found),
            "total": len(self.settings.pools),
            "page": number,
            "pages": pages,
            "clusters": scopes.clusters_of(self.settings),
            "freezable": sorted({pool.cluster for pool in self.settings.pools}),
            "places": self._places(),
            "rules": RULES,
            "most_days": LONGEST.days,
        }

    def _places(self) -> Sequence[str]:
        """Pools by name, ours and others: there are alerts of both."""
        ours = {f"{p.cluster}/{p.pool}" for p in self.settings.pools}
        seen = {
            f"{one.cluster}/{found.pool}"
            for one in self.service.surveys.surveyed()
            for found in one.findings
        }
        return sorted(ours | seen)[:MOST_PLACES]


def _fits(pool: PoolSettings, text: str) -> bool:
    low = f"{pool.cluster}/{pool.pool}".lower()
    return all(word in low for word in text.lower().split())


def _parts(place: str) -> tuple[str, str]:
    cluster, _, pool = place.partition("/")
    return cluster, pool


def _held(freezes: Sequence[Row], place: str) -> bool:
    return any(row["scope"] == place for row in freezes)

"""The fleet: every pool of every cluster, ours or not, and what waits for whom."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown
from watcher.core.jobs import JobKind
from watcher.core.state import Surveyed
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.shown import Row
from watcher.shown_drift import age_sentence, is_stale
from watcher.web.callers import Caller
from watcher.web.pages.desk import Desk
from watcher.web.pages.fleet_rows import ORDERS, TILES, Place, PoolLine, lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet(Desk):
    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/", self.fleet)]

    async def fleet(self, request: Request) -> Response:
        """`?group=`, `?state=`, `?cluster=`, `?text=` choose; `?sort=` urgency, name or lag."""
        asked = {name: request.query_params.get(name, "") for name in FILTERS}

        async def make(caller: Caller) -> Mapping[str, Any]:
            return await self._model(asked)

        return await self.show(request, "fleet.html", make, title="Fleet", here="fleet")

    async def _model(self, asked: Mapping[str, str]) -> Mapping[str, Any]:
        now, surveyed = self.service.clock.now(), self.service.surveys.surveyed()
        updates, stuck = await self._updates()
        places: list[Place] = [(p.cluster, p.pool) for p in self.settings.pools]
        every = lines(surveyed, updates, stuck, places, now=now)
        sort = asked["sort"] if asked["sort"] in ORDERS else "urgency"
        found = sorted((one for one in every if _fits(one, asked)), key=ORDERS[sort])
        return {
            "lines": found,
            "total": len(every),
            "tiles": _tiles(every),
            "asked": asked,
            "sort": sort,
            "states": sorted({one.state for one in every}),
            "clusters": [_cluster(one, every, now) for one in surveyed],
            "is_filtered": any(asked[name] for name in FILTERS if name != "sort"),
            "freezes_on": await shown.freezes(self.service.store, now=now),
            "has_clusters": bool(self.service.clusters),
        }

    async def _updates(self) -> tuple[dict[Place, Row], dict[Place, Row]]:
        """Updates under way by pool, and the stuck ones among those that ended last."""
        store = self.service.store
        active, ended = await asyncio.gather(
            store.jobs(JobKind.UPDATE, ended=False), store.jobs(JobKind.UPDATE, ended=True)
        )
        rows = await shown.moving_rows(store, shown.updates_of(active))
        stuck: dict[Place, Row] = {
            (update.cluster, update.pool): shown.update_row(update)
            for update in _newest(shown.updates_of(ended))
            if update.state is UpdateState.STUCK
        }
        return {(row["cluster"], row["pool"]): row for row in rows}, stuck


FILTERS = ("group", "state", "cluster", "text", "sort")


def _newest(ended: Sequence[Update]) -> list[Update]:
    """The one of each pool that ended last; they come newest first."""
    found: dict[Place, Update] = {}
    for update in ended:
        found.setdefault((update.cluster, update.pool), update)
    return list(found.values())


def _fits(one: PoolLine, asked: Mapping[str, str]) -> bool:
    return (
        asked["group"] in ("", one.group)
        and asked["state"] in ("", one.state)
        and asked["cluster"] in ("", one.cluster)
        and one.says(asked["text"])
    )


def _tiles(every: Sequence[PoolLine]) -> list[Mapping[str, Any]]:
    return [
        {"group": str(group), "label": label, "count": sum(one.group is group for one in every)}
        for group, label in TILES
    ]


def _cluster(seen: Surveyed, every: Sequence[PoolLine], now: Any) -> Mapping[str, Any]:
    """A cluster's own line: where its upgrade stands, and whether we still see it."""
    return {
        "name": seen.cluster,
        "version": seen.version,
        "stage": str(seen.stage.kind) if seen.version else "",
        "stage_sentence": seen.stage.sentence,
        "problems": list(seen.problems),
        "age": age_sentence(seen, now=now),
        "observed_at": seen.observed_at if seen.observed_at.year > 1 else None,
        "is_stale": is_stale(seen, now=now),
        "pools": sum(one.cluster == seen.cluster for one in every),
        "blocks": [{"target": one.target, "why": one.why} for one in seen.said],
    }

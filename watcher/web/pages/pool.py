"""One pool: what runs where and why we think so, what is planned, and what has been."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown, timetable
from watcher.core import mco
from watcher.core.state import Surveyed
from watcher.settings import PoolSettings
from watcher.shown import Row
from watcher.shown_drift import age_sentence, cluster_row, is_stale
from watcher.web.callers import Caller
from watcher.web.pages.desk import Desk
from watcher.web.pages.fleet_rows import UNSEEN, lag_words, waits
from watcher.web.pages.nodes import node_row
from watcher.web.problems import Problem

HISTORY = 20
"""Updates in the timeline."""
NODES = 500
"""Nodes that are named; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPage(Desk):
    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/pools/{cluster}/{pool}", self.pool)]

    async def pool(self, request: Request) -> Response:
        """A pool that is configured, or that its cluster has; 404 for any other."""
        cluster, pool = request.path_params["cluster"], request.path_params["pool"]

        async def make(caller: Caller) -> Mapping[str, Any]:
            return await self._model(cluster, pool)

        return await self.show(request, "pool.html", make, title=f"{cluster}/{pool}", here="fleet")

    async def _model(self, cluster: str, pool: str) -> Mapping[str, Any]:
        now = self.service.clock.now()
        seen = next((s for s in self.service.surveys.surveyed() if s.cluster == cluster), None)
        found = _found(seen, pool)
        configured = self.settings.pool(cluster, pool)
        if configured is None and found is None:
            raise Problem(404, f"no pool {cluster}/{pool} is configured, and its cluster has none")
        store = self.service.store
        past, views, frozen = await asyncio.gather(
            store.history(cluster, pool, HISTORY), store.views(), shown.freezes(store, now=now)
        )
        updates = await shown.moving_rows(store, shown.updates_of(past))
        active = next((row for row in updates if not row["ended"]), None)
        return {
            "cluster": cluster,
            "pool": pool,
            "found": found,
            "state": found["state"] if found else UNSEEN,
            "sentence": found["sentence"] if found else "nobody has seen it yet",
            "lag": lag_words(found),
            "seen": seen and _cluster(seen, now),
            "configured": configured and _settings(configured),
            "look": shown.pool_row(views.get(f"pool:{cluster}/{pool}"), cluster, pool),
            "times": await self._times(configured),
            "freezes_on": [f for f in frozen if _concerns(f, cluster, pool)],
            "held": any(f["pool"] == pool and f["cluster"] == cluster for f in frozen),
            "updates": updates,
            "active": active,
            "waits": waits(active, now=now) if active else "",
            "lineage": _lineage(found, updates),
            **self._nodes(cluster, pool),
        }

    async def _times(self, configured: PoolSettings | None) -> Row | None:
        if configured is None:
            return None
        now, store = self.service.clock.now(), self.service.store
        (row,) = await timetable.timetables(store, [configured], now=now)
        return row

    def _nodes(self, cluster: str, pool: str) -> Mapping[str, Any]:
        """The pool's nodes, and how many of them have what."""
        named = {str(name): known for name, known in self.service.clusters.items()}
        known = named.get(cluster)
        if known is None:
            return {"nodes": [], "kinds": [], "more_nodes": 0}
        view = known.view()
        rows = [node_row(view, node) for node in mco.nodes_of(view, pool)]
        kinds = Counter((row["image"], row["os"], row["word"], row["tone"]) for row in rows)
        return {
            "nodes": rows[:NODES],
            "more_nodes": max(0, len(rows) - NODES),
            "kinds": [
                {"image": image, "os": os, "word": word, "tone": tone, "count": number}
                for (image, os, word, tone), number in kinds.most_common()
            ],
        }


def _found(seen: Surveyed | None, pool: str) -> Row | None:
    if seen is None:
        return None
    return next((row for row in cluster_row(seen)["pools"] if row["pool"] == pool), None)


def _cluster(seen: Surveyed, now: Any) -> Row:
    return {
        "version": seen.version,
        "stage_sentence": seen.stage.sentence,
        "age": age_sentence(seen, now=now),
        "is_stale": is_stale(seen, now=now),
        "observed_at": seen.observed_at if seen.observed_at.year > 1 else None,
        "problems": list(seen.problems),
    }


def _settings(pool: PoolSettings) -> Row:
    rules = pool.policy.approval
    return {
        "recipe": pool.recipe,
        "mode": str(pool.mode),
        "modes": dict(pool.modes),
        "approvers": list(rules.approvers),
        "quorum": rules.quorum,
        "two_person": rules.two_person,
    }


def _concerns(freeze: Row, cluster: str, pool: str) -> bool:
    return freeze["cluster"] in ("", cluster) and freeze["pool"] in ("", pool)


def _lineage(found: Row | None, updates: list[Row]) -> Row | None:
    """Where the image that runs comes from: the update that brought it, if it was one of ours."""
    override = found["override"] if found else None
    if not found or not override:
        return None
    mine = (row for row in updates if row["image"] and row["image"] == override["image"])
    update = next(mine, None)
    return {
        "image": override["image"],
        "base": found["base"]["actual"],
        "said_by": found["base"]["source"],
        "update": update,
    }

"""The fleet as a whole: status, findings, alerts that stand."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from watcher import shown
from watcher.shown_drift import cluster_row
from watcher.web.api import lists, rows
from watcher.web.api.operation import Asked, Operation
from watcher.web.api.updates import Name
from watcher.web.face import Face, as_json
from watcher.web.problems import Problem

NOTICES = "notices"
"""Where those that stand are kept (`telling.fleet`)."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class DriftFilter(msgspec.Struct, forbid_unknown_fields=True):
    cluster: Name | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet(Face):
    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        return [
            Operation(
                method="GET",
                path="/status",
                name="getStatus",
                says="The configured pools as they were last looked at, and what is going on.",
                act=self.status,
                answer=rows.Status,
            ),
            Operation(
                method="GET",
                path="/drift",
                name="getDrift",
                says="Every pool of every cluster, ours or not.",
                act=self.drift,
                query=DriftFilter,
                answer=rows.Drift,
                refusals=(404,),
            ),
            Operation(
                method="GET",
                path="/notices",
                name="listNotices",
                says="Alerts that stand, the newest first; those that ended within the day too.",
                act=self.notices,
                answer=lists.Notices,
            ),
        ]

    async def status(self, asked: Asked) -> Response:
        places = [(p.cluster, p.pool) for p in self.settings.pools]
        now, store = self.service.clock.now(), self.service.store
        return as_json(await shown.status(store, places, now=now, settings=self.settings))

    async def drift(self, asked: Asked) -> Response:
        named = asked.query.cluster
        seen = self.service.surveys.surveyed()
        found = [one for one in seen if named in (UNSET, one.cluster)]
        if named is not UNSET and not found:
            raise Problem(404, "no such cluster is configured; /api/v1/drift lists them all")
        return as_json({"clusters": [cluster_row(one) for one in found]})

    async def notices(self, asked: Asked) -> Response:
        kept = (await self.service.store.kept(NOTICES)).get("notices")
        told = kept if isinstance(kept, list) else []
        found: dict[tuple[str, str], shown.Row] = {}
        for one in told:
            if isinstance(one, Mapping) and (row := _notice_row(one)):
                # One cause is told at several places, and is one alert.
                there = found.setdefault((row["cause"], row["since"] or ""), row)
                there["places"] = sorted({*there["places"], *row["places"]})
        ordered = sorted(found.values(), key=lambda row: row["since"] or "", reverse=True)
        return as_json({"notices": ordered})


def _notice_row(kept: Mapping[str, Any]) -> shown.Row | None:
    """Return what can be read of a record; another release may have written more, or less."""
    texts = {name: _text(kept.get(name)) for name in ("cause", "title", "sentence", "silenced")}
    if not texts["cause"]:
        return None
    places = kept.get("places")
    return {
        **texts,
        "rule": _text(kept.get("rule")) or texts["cause"].partition(":")[0],
        "severity": _text(kept.get("severity")),
        "since": _moment(kept.get("since")),
        "over_at": _moment(kept.get("over_at")),
        "places": [str(one) for one in places] if isinstance(places, list) else [],
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: object) -> str | None:
    return value if isinstance(value, str) and _MOMENT.fullmatch(value) else None

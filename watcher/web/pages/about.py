"""This service itself: what it is, what it sees and holds, and what troubles it. No secrets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.core.facts import ClusterName
from watcher.core.jobs import JobKind
from watcher.ports import OutsideError
from watcher.settings import Settings
from watcher.shown import Row
from watcher.shown_drift import age_sentence, is_stale
from watcher.web.callers import Caller
from watcher.web.face import KnownCluster
from watcher.web.pages.desk import Desk

PING_SECONDS = 2.0
FRESH_SECONDS = 120
"""API servers send a bookmark about once a minute: a watch in step so lately is well."""
MOST_DEAD = 20
PAGES = (
    ("docs/architecture.md", "where each thing happens, and why there"),
    ("docs/approvals.md", "what is promised about decisions"),
    ("docs/states.md", "every state, and what to do about it"),
    ("docs/metrics.md", "every figure"),
    ("docs/reference/configuration.md", "every setting"),
    ("docs/reference/command-line.md", "every command"),
    ("docs/reference/http.md", "every request"),
    ("docs/reference/doctor.md", "what the doctor looks at"),
)
"""Of the repository; there is no copy of them here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About(Desk):
    ping_seconds: float = PING_SECONDS

    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/about", self.about)]

    async def about(self, request: Request) -> Response:
        return await self.show(request, "about.html", self._model, title="About", here="about")

    async def _model(self, caller: Caller) -> Mapping[str, Any]:
        store = await self._store()
        clusters = [self._cluster(name, known) for name, known in self.service.clusters.items()]
        problems = [*([store["problem"]] if store["problem"] else [])]
        for one in clusters:
            problems += [f"{one['name']}: {said}" for said in one["problems"]]
            problems += [one["age"]] if one["age"] else []
        if store["dead"]:
            problems.append(f"{len(store['dead'])} dead letters wait for `relayer revive`")
        return {
            "replica": self.service.replica,
            "leads": bool(self._figure("relayer_leader")),
            "store": store,
            "clusters": clusters,
            "problems": problems,
            "slack": _slack(self.settings),
            "hooks": [{"name": h.name, "host": _host(h.url)} for h in self.settings.webhooks],
            "letters": int(self._figure("relayer_messages_waiting")),
            "letters_seconds": int(self._figure("relayer_messages_waiting_seconds")),
            "calls": self._calls(),
            "beat": self._beat(),
            "open_pages": self.live.open,
            "most_open": self.live.most_open,
            "recipes": len(self.settings.recipes),
            "pools": len(self.settings.pools),
            "docs": PAGES,
        }

    async def _store(self) -> Row:
        """Whether it answers, and what waits in it; never how it is reached beyond the host."""
        said: Row = {
            "where": _store_place(self.settings),
            "problem": "",
            "queue": [],
            "dead": [],
        }
        store, now = self.service.store, self.service.clock.now()
        try:
            async with asyncio.timeout(self.ping_seconds):
                await store.ping()
                backlog, dead = await asyncio.gather(store.backlog(now), store.dead())
        except TimeoutError:
            return {**said, "problem": f"the store did not answer within {self.ping_seconds:.0f} s"}
        except OutsideError as error:
            return {**said, "problem": f"the store: {error}"}
        queue = [
            {
                "kind": str(kind),
                "waiting": backlog[kind].waiting,
                "due": backlog[kind].due,
                "leased": backlog[kind].leased,
                "oldest": backlog[kind].oldest_due_seconds,
            }
            for kind in JobKind
        ]
        ids = [{"id": stored.job.id, "because": why} for stored, why in dead[:MOST_DEAD]]
        return {**said, "queue": queue, "dead": ids}

    def _cluster(self, name: ClusterName, known: KnownCluster) -> Row:
        now = self.service.clock.now()
        seen = next((s for s in self.service.surveys.surveyed() if s.cluster == name), None)
        return {
            "name": str(name),
            "version": seen.version if seen else "",
            "observed_at": seen.observed_at if seen and seen.observed_at.year > 1 else None,
            "is_stale": seen is None or is_stale(seen, now=now),
            "age": age_sentence(seen, now=now) if seen else f"{name} was not read yet",
            "problems": list(known.problems),
            "watches": [_watch(kind, watch, now) for kind, watch in known.reflectors.items()],
        }

    def _figure(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0

    def _calls(self) -> Row:
        """Requests of this replica by outcome, since it began."""
        found: dict[str, dict[str, int]] = {}
        for family in self.metrics.registry.collect():
            whom = CALLED.get(family.name)
            for sample in family.samples if whom else ():
                of = found.setdefault(str(whom), {})
                outcome = sample.labels.get("outcome", "")
                of[outcome] = of.get(outcome, 0) + int(sample.value)
        return dict(found)

    def _beat(self) -> Row:
        said = self.settings.alerts.heartbeat
        at = self._figure("relayer_heartbeat_timestamp_seconds")
        return {
            "at": datetime.fromtimestamp(at, UTC) if at else None,
            "host": _host(said.url) if said.url else "",
            "every": said.every_seconds,
        }


CALLED = {
    "relayer_api_calls": "API servers",
    "relayer_registry_calls": "registries",
    "relayer_slack_calls": "Slack",
}


def _watch(kind: str, watch: Any, now: datetime) -> Row:
    """`state` is the reflector's own word, where it has one."""
    age = (now - watch.synced_at).total_seconds() if watch.synced_at else None
    state = str(getattr(watch, "state", "")) or ("synced" if age is not None else "starting")
    late = age is None or age > FRESH_SECONDS
    tone = "calm" if state == "absent" else "bad" if late or state == "forbidden" else "good"
    return {"kind": kind, "state": state, "at": watch.synced_at, "tone": tone}


def _slack(settings: Settings) -> Row:
    said = settings.slack
    return {"on": said.is_on, "mode": said.mode, "channel": said.channel}


def _host(url: str) -> str:
    """What of an address is no secret: paths and logins of webhooks often are."""
    parsed = urlsplit(url)
    return parsed.hostname or "somewhere"


def _store_place(settings: Settings) -> str:
    if not settings.redis.url:
        return "embedded, in the state directory"
    parsed = urlsplit(settings.redis.url)
    return f"{parsed.scheme} at {parsed.hostname}" if parsed.hostname else parsed.scheme

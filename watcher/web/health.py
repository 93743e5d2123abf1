"""For Kubernetes and Prometheus: alive, ready, figures. Never behind a token, so never a secret.

Alive: this process answers; a part that ends takes the process with it, so that is all there is
to ask. Ready: the store answers and every cluster was seen lately enough to act upon.
"""

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.core.drift import MAX_AGE
from watcher.core.sight import is_old
from watcher.metrics import CONTENT_TYPE, Metrics
from watcher.ports import OutsideError
from watcher.web.api import KnownCluster, Service, as_json

PING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    service: Service
    metrics: Metrics

    def routes(self) -> list[Route]:
        """Return the routes of probes and scrapes."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.scrape),
        ]

    async def healthz(self, request: Request) -> Response:
        return as_json({"status": "alive", "replica": self.service.replica})

    async def readyz(self, request: Request) -> Response:
        """200, or 503 with every reason as a sentence; problems that hold nothing up are listed."""
        reasons = [*await self._store()]
        problems: list[str] = []
        for name, cluster in self.service.clusters.items():
            why = self._unsynced(name, cluster)
            reasons += why
            problems += () if why else cluster.problems
        body = {"ready": not reasons, "reasons": reasons, "problems": problems}
        return as_json(body, status=503 if reasons else 200)

    async def scrape(self, request: Request) -> Response:
        now = self.service.clock.now()
        service = self.service
        text = await self.metrics.text(
            service.store, service.clusters, surveyed=service.surveys.surveyed(), now=now
        )
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def _store(self) -> list[str]:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.service.store.ping()
        except TimeoutError:
            return [f"the store did not answer within {PING_SECONDS:.0f} s"]
        except OutsideError as error:
            return [f"the store: {error}"]
        return []

    def _unsynced(self, name: str, cluster: KnownCluster) -> list[str]:
        seen = cluster.view().observed_at
        if not is_old(seen, now=self.service.clock.now(), most=MAX_AGE):
            return []
        return list(cluster.problems) or [f"cluster {name}: not read yet"]

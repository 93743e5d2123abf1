"""One cluster: everything about it watched, and the live reads and writes of `Live`.

The service holds one of these per cluster, runs it in its task group, and asks `view` whenever
it decides. Events only wake: what is true is what the view says.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, Self

from watcher.clients.counting import Counted, uncounted
from watcher.clients.kube.assembling import assemble
from watcher.clients.kube.cache import OnChange
from watcher.clients.kube.credentials import Credentials
from watcher.clients.kube.kinds import KINDS, POOL
from watcher.clients.kube.live import Live
from watcher.clients.kube.reflector import Pacing, Reflector, State
from watcher.clients.kube.reviews import KubeReviews
from watcher.clients.kube.session import Limits, Session
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName
from watcher.ports import Clock, Refused

NEVER = datetime.min.replace(tzinfo=UTC)
"""`observed_at` while a kind that must be known has never been read."""


def _ignore(kind: str, name: str) -> None:
    """Nobody wants to be woken."""


class KubeCluster(Live):
    """`async with KubeCluster(…) as cluster:` checks the credentials; `run` watches."""

    def __init__(
        self,
        name: ClusterName,
        *,
        credentials: Credentials,
        clock: Clock,
        on_change: OnChange = _ignore,
        pacing: Pacing | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        counted: Counted = uncounted,
    ) -> None:
        session = Session(
            name, credentials=credentials, limits=limits, monotonic=monotonic, counted=counted
        )
        super().__init__(session, clock=clock)
        self.reflectors: dict[str, Reflector[Any]] = {
            kind.title: Reflector(
                kind,
                session=session,
                clock=clock,
                on_change=on_change,
                pacing=pacing,
                sleep=sleep,
                monotonic=monotonic,
                draw=draw,
            )
            for kind in KINDS
        }
        """By the kind's title: states, times and counters, for readiness and metrics."""

    async def __aenter__(self) -> Self:
        """Raises Refused, with the next step, where the credentials cannot be used."""
        try:
            await self._session.__aenter__()
        except Refused as error:  # of several clusters, say which
            raise Refused(f"cluster {self.name}: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.__aexit__(kind, error, trace)

    @property
    def reviews(self) -> KubeReviews:
        """What this cluster says of people, for `web.auth.mode: openshift`."""
        return KubeReviews(self._session)

    async def run(self) -> NoReturn:
        """Watch every kind, for ever. An unreachable cluster is a state, not an error."""
        async with asyncio.TaskGroup() as group:
            for title, reflector in self.reflectors.items():
                group.create_task(reflector.run(), name=f"{self.name} {title}")
        raise AssertionError("a reflector ended by itself")

    async def synced(self) -> None:
        """Returns once every kind is known, absent or forbidden. Never, while it is unreachable."""
        for reflector in self.reflectors.values():
            await reflector.first_answer.wait()

    def view(self) -> ClusterView:
        """Everything known now, without copying. It does not change under its reader."""
        return assemble(
            self.name,
            {title: r.facts() for title, r in self.reflectors.items()},
            observed_at=min((_seen(r) for r in self.reflectors.values()), default=NEVER),
            unreadable_pools=self.reflectors[POOL.title].unreadable(),
            problems=self._lasting_problems(),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Every sentence there is, passing ones too: for people and readiness."""
        return tuple(s for r in self.reflectors.values() for s in r.problems())

    def _lasting_problems(self) -> tuple[str, ...]:
        """A broken connection is told by `observed_at`; here only what will not pass by itself."""
        return tuple(
            sentence
            for r in self.reflectors.values()
            for sentence in r.problems()
            if r.state is not State.FAILING or r.synced_at is None or sentence != r.problem
        )


def _seen(reflector: Reflector[Any]) -> datetime:
    """When this kind was last in step. A kind we can do without does not hold the others back:
    while it is forbidden, a problem says so; while it is absent, there is nothing to know."""
    unknown = reflector.state in (State.ABSENT, State.FORBIDDEN)
    if unknown and not reflector.kind.required:
        return datetime.max.replace(tzinfo=UTC)
    return reflector.synced_at or NEVER

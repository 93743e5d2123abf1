"""The facts that alerts are made from: what looks, findings, updates, builds and the queue say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from watcher.core.alerts import Facts, Failing, View
from watcher.core.build import Build, BuildState
from watcher.core.jobs import JobKind
from watcher.core.rollout import Phase
from watcher.core.state import Surveyed
from watcher.core.timing import Freeze
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.core.windows import blacked_out
from watcher.ports import Store
from watcher.settings import PoolSettings, Settings
from watcher.telling.updates import asked_at

S = UpdateState
MOVING = frozenset({S.APPLYING, S.ROLLING_OUT, S.SOAKING, S.ROLLING_BACK})
"""States in which a rollout can be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    store: Store
    settings: Settings
    surveyed: Callable[[], Sequence[Surveyed]]

    async def facts(self, freezes: Sequence[Freeze], now: datetime) -> Facts:
        """Return them as of now. Raise what the store raises."""
        active, ended = await self._updates(ended=False), await self._updates(ended=True)
        views = await self._views()
        newest = _newest(ended)
        return Facts(
            now=now,
            views=views,
            surveyed=self.surveyed(),
            freezes=freezes,
            blacked_out=self._blacked_out(now),
            active=active_by_place(active),
            ended={place: updates[0] for place, updates in newest.items()},
            asked=_asked(active, newest),
            late=await self._late(active),
            failing=self._failing(await self._builds(), views),
            queue={
                str(kind): seen.oldest_due_seconds
                for kind, seen in (await self.store.backlog(now)).items()
            },
        )

    async def _views(self) -> list[View]:
        """What was last seen of each configured pool; of one never looked at, its name."""
        views = await self.store.views()
        return [
            {**views.get(f"pool:{_place(p)}", {}), "cluster": p.cluster, "pool": p.pool}
            for p in self.settings.pools
        ]

    async def _updates(self, *, ended: bool) -> list[Update]:
        found = await self.store.jobs(JobKind.UPDATE, ended=ended)
        return [one.job for one in found if isinstance(one.job, Update)]

    async def _builds(self) -> list[Build]:
        found = await self.store.jobs(JobKind.BUILD, ended=True)
        return [one.job for one in found if isinstance(one.job, Build)]

    def _blacked_out(self, now: datetime) -> frozenset[str]:
        return frozenset(
            _place(pool)
            for pool in self.settings.pools
            if pool.policy.blackouts and blacked_out(pool.policy.blackouts, now=now)
        )

    async def _late(self, active: Iterable[Update]) -> Mapping[str, str]:
        late: dict[str, str] = {}
        for update in active:
            if update.state not in MOVING:
                continue
            progress = await self.store.progress(update.id)
            if progress.get("phase") == Phase.STALLED:
                late[_place(update)] = str(progress.get("waiting", ""))
        return late

    def _failing(self, builds: Sequence[Build], views: Sequence[View]) -> Mapping[str, Failing]:
        """Of each pool that needs an image: the builds for it that failed one after another."""
        chains = _chains(builds)
        found: dict[str, Failing] = {}
        for pool, view in zip(self.settings.pools, views, strict=True):
            if view.get("decision", "InStep") == "InStep":
                continue
            chain = chains.get((pool.recipe, str(view.get("expected_base", ""))))
            if chain and chain.failed:
                first, last = chain.failed[-1], chain.failed[0]
                found[_place(pool)] = Failing(
                    recipe=pool.recipe,
                    number=len(chain.failed),
                    build=last.id,
                    because=last.ended_because,
                    since=first.changed_at,
                )
        return found


def active_by_place(active: Iterable[Update]) -> Mapping[str, Update]:
    return {_place(update): update for update in active}


@dataclass(slots=True)
class _Chain:
    """Builds of one recipe on one base, newest first, down to the last that was ready."""

    failed: list[Build] = field(default_factory=list)
    is_closed: bool = False


def _chains(builds: Iterable[Build]) -> Mapping[tuple[str, str], _Chain]:
    """By recipe and base."""
    chains: dict[tuple[str, str], _Chain] = {}
    for build in builds:
        chain = chains.setdefault((build.recipe, str(build.base)), _Chain())
        if build.state is BuildState.FAILED and not chain.is_closed:
            chain.failed.append(build)
        else:
            chain.is_closed = True
    return chains


def _place(of: Update | PoolSettings) -> str:
    return f"{of.cluster}/{of.pool}"


def _newest(ended: Iterable[Update]) -> Mapping[str, list[Update]]:
    """The updates of each place that have ended, newest first."""
    found: dict[str, list[Update]] = {}
    for update in ended:
        found.setdefault(_place(update), []).append(update)
    return found


def _asked(
    active: Iterable[Update], ended: Mapping[str, Sequence[Update]]
) -> Mapping[str, datetime]:
    """Since when people have been asked, by place: an update that nobody decided about in its time
    is asked about anew, and they are asked all the while."""
    found: dict[str, datetime] = {}
    for update in active:
        asked = asked_at(update)
        if asked is None:
            continue
        if update.snoozed_until is None:
            for before in ended.get(_place(update), ()):
                first = dict(before.times).get(str(S.AWAITING_APPROVAL))
                if before.state is not S.EXPIRED or before.approval or first is None:
                    break
                asked = min(asked, first)
        found[_place(update)] = asked
    return found

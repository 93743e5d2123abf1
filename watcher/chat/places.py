"""What commands name: pools and updates. A name that fits several asks back."""

from dataclasses import dataclass

from watcher.core.facts import ClusterName, PoolName
from watcher.core.update import Update
from watcher.errors import Declined
from watcher.ports import Store
from watcher.settings import PoolSettings, Settings

SHOWN = 20
"""Pools that are named where none fits."""


@dataclass(frozen=True, slots=True)
class Place:
    cluster: ClusterName
    pool: PoolName

    def __str__(self) -> str:
        return f"{self.cluster}/{self.pool}"


@dataclass(frozen=True, slots=True)
class Reading:
    settings: Settings
    store: Store

    def place(self, name: str) -> Place:
        """Return the pool of this name; raise Declined, naming those that there are."""
        found = self.places(name)
        if len(found) == 1:
            return found[0]
        if found:
            said = ", ".join(map(str, found))
            raise Declined(f"{name} is a pool of several clusters; say which: {said}")
        pools = self.settings.pools
        known = ", ".join(_full(p) for p in pools[:SHOWN]) or "none"
        more = f" and {len(pools) - SHOWN} more" if len(pools) > SHOWN else ""
        named = name[:80] or "(none given)"
        raise Declined(f"no pool {named} is configured; there are: {known}{more}")

    def places(self, name: str) -> list[Place]:
        """Every pool that this name may mean."""
        pools = self.settings.pools
        return [Place(p.cluster, p.pool) for p in pools if name in (p.pool, _full(p))]

    def configured(self, place: Place) -> PoolSettings:
        """The settings of a pool that `place` has found."""
        found = self.settings.pool(place.cluster, place.pool)
        assert found is not None, f"{place} was found in the settings"
        return found

    def shown(self, cluster: str, pool: str) -> str:
        """The name that people use: with the cluster only where there are several."""
        return f"{cluster}/{pool}" if len(self.settings.clusters) > 1 else pool

    async def update(self, update_id: str) -> Update:
        """Raise KeyError if there is none."""
        job = (await self.store.get(update_id)).job
        if not isinstance(job, Update):
            raise KeyError(update_id)
        return job


def _full(place: PoolSettings) -> str:
    return f"{place.cluster}/{place.pool}"

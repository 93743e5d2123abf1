"""Every pool of every cluster surveyed: what had to be asked outside, then `core/survey`.

Works on a view alone where registries cannot be asked: what only they know stays unknown, and the
finding says so.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from watcher.ancestry import Ancestry, Graphs
from watcher.bases import architectures, base_of, lineage_of
from watcher.core import graph, mco, os_version
from watcher.core.blocks import unmapped
from watcher.core.cluster import ClusterVersion, ClusterView, MachineConfig, Pool
from watcher.core.drift import RecipeBroken, RecipeSeen
from watcher.core.facts import ClusterName, Malformed, Pullspec
from watcher.core.graph import Graph
from watcher.core.images import ImageFacts, Payload
from watcher.core.lag import Lag, lag
from watcher.core.lineage import Lineage
from watcher.core.recipe import Recipe
from watcher.core.release import Base, ReleaseState, UnknownBase, effective_stream, release_state
from watcher.core.state import Surveyed
from watcher.core.survey import Known, Survey
from watcher.ports import Images, OutsideError, Refused
from watcher.settings import Settings

LoadRecipe = Callable[[str], Recipe]


class Offline:
    """Registries that nobody may ask: for files of a cluster that is somewhere else."""

    def seen_from(self, cluster: ClusterName) -> "Offline":
        """See `ports.Images`."""
        return self

    async def payload(self, release: Pullspec) -> Payload:
        """See `ports.Images`."""
        raise Refused("registries are not asked for files; --registry asks them")

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        """See `ports.Images`."""
        raise Refused("registries are not asked for files; --registry asks them")

    async def exists(self, image: Pullspec) -> bool:
        """See `ports.Images`."""
        return True

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """See `ports.Images`."""

    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> graph.SeenGraph:
        """See `ancestry.Graphs`."""
        raise Refused("the update service is not asked for files; --registry asks it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyor:
    settings: Settings
    images: Images
    graphs: Graphs
    load_recipe: LoadRecipe | None = None
    """None: recipes are not compared."""

    async def survey(self, view: ClusterView, *, now: datetime) -> Surveyed:
        """Survey a cluster once. Raise nothing of the ports: it is part of a finding."""
        survey, known = Survey(view.cluster), await self.known(view)
        findings = survey.of(view, known, now=now)
        said = unmapped(view, survey.members())
        return Surveyed.of(view, findings, said, asked_at=now)

    async def known(self, view: ClusterView) -> Known:
        """Ask outside for all that the pools of a cluster need."""
        recipes = await self._recipes(view)
        if view.cluster_version is None:
            why = "; ".join(view.problems) or "there is no ClusterVersion"
            return Known(problem=why, recipes=recipes)
        if why := _without_sources(view):
            return Known(problem=why, recipes=recipes)
        try:
            release = release_state(view.cluster_version)
        except Malformed as error:
            why = f"ClusterVersion names its release wrongly: {error}"
            return Known(problem=why, recipes=recipes)
        bases = await self._bases(view, release)
        winners = _winners(view, release)
        # One for all: what did not answer one search is not waited for by the next.
        ancestry = Ancestry(self.images, self.graphs, graph_url=self.settings.release.graph_url)
        lineages: dict[str, Lineage] = {}
        # Ours first: what is written on them is known even where registries cannot be asked.
        for pool, won in sorted(winners, key=lambda one: not _is_ours(*one)):
            if won.os_image_url not in lineages:
                lineages[won.os_image_url] = await _lineage(ancestry, view, pool, won)
        return Known(
            release=release,
            bases=bases,
            lineages=lineages,
            recipes=recipes,
            lags=await self._lags(view, view.cluster_version, bases, winners, lineages),
            unpullable=await self._unpullable(view, lineages),
        )

    async def _unpullable(self, view: ClusterView, named: Iterable[str]) -> dict[str, str]:
        """Images that their registry says it does not have; what cannot be asked is not said."""
        images = self.images.seen_from(view.cluster)
        found: dict[str, str] = {}
        for name in named:
            try:
                if not await images.exists(Pullspec(name)):
                    found[name] = f"{name} is not in its registry"
            except (OutsideError, Malformed):
                continue
        return found

    async def _recipes(self, view: ClusterView) -> Mapping[str, RecipeSeen | RecipeBroken]:
        found: dict[str, RecipeSeen | RecipeBroken] = {}
        for pool in self.settings.pools:
            if pool.cluster != view.cluster or self.load_recipe is None:
                continue
            try:
                recipe = await asyncio.to_thread(self.load_recipe, pool.recipe)
                found[pool.pool] = RecipeSeen(name=pool.recipe, digest=recipe.digest, build_key="")
            except (Refused, Malformed) as error:
                found[pool.pool] = RecipeBroken(pool.recipe, str(error))
        return found

    async def _bases(
        self, view: ClusterView, release: ReleaseState
    ) -> dict[str, Base | UnknownBase]:
        images = self.images.seen_from(view.cluster)
        found: dict[str, Base | UnknownBase] = {}
        for pool in view.pools.values():
            stream = effective_stream(view, pool)
            if stream in found:
                continue
            try:
                found[stream] = await base_of(images, view, pool, release)
            except OutsideError as error:
                found[stream] = UnknownBase(str(error))
        return found

    async def _lags(
        self,
        view: ClusterView,
        cv: ClusterVersion,
        bases: Mapping[str, Base | UnknownBase],
        winners: list[tuple[Pool, MachineConfig]],
        lineages: Mapping[str, Lineage],
    ) -> dict[str, Lag]:
        if not winners:
            return {}
        seen = await self._graph(cv)
        found: dict[str, Lag] = {}
        for pool, won in winners:
            had, base = lineages[won.os_image_url], bases.get(effective_stream(view, pool))
            if isinstance(base, Base) and had.base == base.image.digest:
                found[pool.meta.name] = Lag(minors=0, releases=0, days=0)
            elif had.release_version:
                found[pool.meta.name] = lag(
                    had.release_version,
                    behind=cv.desired_version,
                    graph=seen,
                    cluster_version=cv,
                    built=await self._built(view, pool, won.os_image_url, had, base),
                )
        return found

    async def _graph(self, cv: ClusterVersion) -> Graph | None:
        if not cv.channel:
            return None
        try:
            seen = await self.graphs.graph(
                url=graph.service_of(cv, self.settings.release.graph_url),
                channel=cv.channel,
                architecture=graph.architecture_of(cv),
                version=cv.desired_version,
            )
        except OutsideError:
            return None  # the cluster's own list counts then, and the lag says that it does
        return seen.graph

    async def _built(
        self,
        view: ClusterView,
        pool: Pool,
        image: str,
        had: Lineage,
        base: Base | UnknownBase | None,
    ) -> tuple[os_version.OsVersion, os_version.OsVersion] | None:
        """Return the versions of the OS image that it has and of the one that it should have."""
        if not isinstance(base, Base):
            return None
        # Our own annotations do not say it; the image inherits it from its base.
        built = os_version.parse(had.os_version or await self._os_version(view, pool, image))
        if built is None:
            return None
        newest = os_version.parse(await self._os_version(view, pool, str(base.image)))
        return (built, newest) if newest else None

    async def _os_version(self, view: ClusterView, pool: Pool, image: str) -> str:
        images, architecture = self.images.seen_from(view.cluster), architectures(view, pool)[:1]
        try:
            facts = await images.facts(Pullspec(image), *architecture)
        except (OutsideError, Malformed):
            return ""
        return os_version.machine_os_of({}, facts.labels)


async def _lineage(
    ancestry: Ancestry, view: ClusterView, pool: Pool, won: MachineConfig
) -> Lineage:
    try:
        return await lineage_of(ancestry, view, pool, won, architectures(view, pool)[:1])
    except OutsideError:
        return Lineage()


def _without_sources(view: ClusterView) -> str:
    """Why nobody can know which images pools get; empty where MachineConfigs were read."""
    sources = {name for pool in view.pools.values() for name in pool.spec_sources}
    if view.machine_configs and (not sources or sources & view.machine_configs.keys()):
        return ""
    why = "no MachineConfig could be read, so nobody knows which image it gets"
    return "; ".join([why, *view.problems])


def _is_ours(pool: Pool, won: MachineConfig) -> bool:
    return won.meta.name == mco.override_name(pool.name)


def _winners(view: ClusterView, release: ReleaseState) -> list[tuple[Pool, MachineConfig]]:
    """Pools with the override that they get."""
    version = release.desired.version
    speaking = [mc for mc in view.machine_configs.values() if mc.os_image_url]
    pools = view.pools.values()
    found = ((pool, mco.overriding(pool, speaking, version=version)) for pool in pools)
    return [(pool, won) for pool, won in found if won is not None]

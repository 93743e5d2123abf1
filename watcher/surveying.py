"""Every pool of every cluster surveyed: what had to be asked outside, then `core/survey`.

Works on a view alone where registries cannot be asked: what only they know stays unknown, and the
finding says so.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from watcher.ancestry import Ancestry, Graphs
from watcher.bases import base_of, lineage_of, of_rendered, searched
from watcher.core import graph, image_mode, mco, os_version, tags
from watcher.core.blocks import unmapped
from watcher.core.classify import is_by_digest
from watcher.core.cluster import ClusterVersion, ClusterView, MachineConfig, MachineOsConfig, Pool
from watcher.core.drift import RecipeBroken, RecipeSeen
from watcher.core.facts import ClusterName, Digest, Malformed, Pullspec
from watcher.core.graph import Graph
from watcher.core.images import ImageFacts, Payload
from watcher.core.lag import Lag, lag
from watcher.core.lineage import Lineage
from watcher.core.recipe import Recipe
from watcher.core.release import Base, ReleaseState, UnknownBase, effective_stream, release_state
from watcher.core.state import Surveyed
from watcher.core.survey import Known, Survey
from watcher.lately import Lately, RecentGraphs, RecentImages
from watcher.ports import Images, Memory, OutsideError, Refused
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

    async def digest_of(self, reference: str) -> Digest:
        """See `ports.Images`."""
        raise Refused("registries are not asked for files; --registry asks them")

    async def check_pullable(self, image: Pullspec, pull_secret: bytes) -> None:
        """See `ports.Images`."""

    async def graph(
        self, *, url: str, channel: str, architecture: str, version: str = ""
    ) -> graph.SeenGraph:
        """See `ancestry.Graphs`."""
        raise Refused("the update service is not asked for files; --registry asks it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyor:
    """May be asked at every change: what registries and update services said lately is kept."""

    settings: Settings
    images: Images
    graphs: Graphs
    load_recipe: LoadRecipe | None = None
    """None: recipes are not compared."""
    memory: Memory | None = None
    """Where it is remembered what tags meant; None: nobody notices that one moved."""
    monotonic: Callable[[], float] = time.monotonic
    _images: RecentImages = field(init=False)
    _graphs: RecentGraphs = field(init=False)
    _ancestry: Ancestry = field(init=False)
    """One for all: what did not answer one search is not waited for by the next."""

    def __post_init__(self) -> None:
        lately, url = Lately(self.monotonic), self.settings.release.graph_url
        images, graphs = RecentImages(self.images, lately), RecentGraphs(self.graphs, lately)
        ancestry = Ancestry(images, graphs, graph_url=url, monotonic=self.monotonic)
        # Frozen: set here, once.
        for name, value in (("_images", images), ("_graphs", graphs), ("_ancestry", ancestry)):
            object.__setattr__(self, name, value)

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
        winners, platforms = _winners(view, release), _Platforms(view)
        lineages: dict[str, Lineage] = {}
        # Ours first: what is written on them is known even where registries cannot be asked.
        for pool, won in sorted(winners, key=lambda one: not _is_ours(*one)):
            if won.os_image_url not in lineages:
                lineages[won.os_image_url] = await self._lineage(view, pool, won, platforms)
        images = {pool.meta.name: won.os_image_url for pool, won in winners}
        unpullable = await self._unpullable(view, set(images.values()))
        images |= await self._had(view, bases, lineages, platforms)
        for pool, owner in _in_image_mode(view):
            image, base = owner.current_image, bases.get(effective_stream(view, pool))
            if image not in lineages:
                lineages[image] = await self._present(view, pool, owner, base, platforms)
            images[pool.meta.name] = image
        return Known(
            release=release,
            bases=bases,
            lineages=lineages,
            recipes=recipes,
            lags=await self._lags(view, view.cluster_version, bases, images, lineages, platforms),
            unpullable=unpullable,
            moved=await self._moved(view, winners),
        )

    async def _unpullable(self, view: ClusterView, named: Iterable[str]) -> dict[str, str]:
        """Images that their registry says it does not have; what cannot be asked is not said."""
        images = self._images.seen_from(view.cluster)

        async def why(name: str) -> tuple[str, str]:
            try:
                is_there = await images.exists(Pullspec(name))
            except (OutsideError, Malformed):
                return name, ""
            return name, "" if is_there else f"{name} is not in its registry"

        said = await asyncio.gather(*map(why, sorted(named)))
        return {name: what for name, what in said if what}

    async def _moved(
        self, view: ClusterView, winners: list[tuple[Pool, MachineConfig]]
    ) -> dict[str, str]:
        """MachineConfig → what the tag of its image means now, where that is something else."""
        if self.memory is None:
            return {}
        tagged = {won.meta.name: won for _, won in winners if not is_by_digest(won.os_image_url)}
        asked = [self._moved_one(self.memory, view, won) for _, won in sorted(tagged.items())]
        said = await asyncio.gather(*asked)
        return {name: what for name, what in zip(sorted(tagged), said, strict=True) if what}

    async def _moved_one(self, memory: Memory, view: ClusterView, won: MachineConfig) -> str:
        key, meta = f"tag:{view.cluster}/{won.meta.name}", won.meta
        try:
            digest = await self._images.seen_from(view.cluster).digest_of(won.os_image_url)
            now = tags.TagSeen(
                image=won.os_image_url,
                uid=meta.uid,
                generation=meta.generation,
                digest=digest,
                at=view.observed_at,
            )
            first = tags.from_values(await memory.kept(key))
            if first is None or not first.is_of_same(now):
                await memory.keep(key, tags.to_values(now))
                return ""
            return tags.moved(first, now)
        except OutsideError:
            return ""  # nobody knows now

    async def _recipes(self, view: ClusterView) -> Mapping[str, RecipeSeen | RecipeBroken]:
        mine = [pool for pool in self.settings.pools if pool.cluster == view.cluster]
        if self.load_recipe is None:
            return {}
        read = {
            name: await asyncio.to_thread(_read, self.load_recipe, name)
            for name in sorted({pool.recipe for pool in mine})
        }
        return {pool.pool: read[pool.recipe] for pool in mine}

    async def _bases(
        self, view: ClusterView, release: ReleaseState
    ) -> dict[str, Base | UnknownBase]:
        images = self._images.seen_from(view.cluster)
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
        images: Mapping[str, str],
        lineages: Mapping[str, Lineage],
        platforms: "_Platforms",
    ) -> dict[str, Lag]:
        """By pool; `images`: what each runs, where that is not the release's own."""
        if not images:
            return {}
        seen = await self._graph(cv)
        found: dict[str, Lag] = {}
        for name, image in images.items():
            had, base = lineages[image], bases.get(effective_stream(view, view.pools[name]))
            if isinstance(base, Base) and had.base == base.image.digest:
                found[name] = Lag(minors=0, releases=0, days=0)
            elif had.release_version:
                found[name] = lag(
                    had.release_version,
                    behind=cv.desired_version,
                    graph=seen,
                    cluster_version=cv,
                    built=await self._built(view.cluster, platforms.of(name), image, had, base),
                )
        return found

    async def _graph(self, cv: ClusterVersion) -> Graph | None:
        if not cv.channel:
            return None
        try:
            seen = await self._graphs.graph(
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
        cluster: ClusterName,
        architecture: str,
        image: str,
        had: Lineage,
        base: Base | UnknownBase | None,
    ) -> tuple[os_version.OsVersion, os_version.OsVersion] | None:
        """Return the versions of the OS image that it has and of the one that it should have."""
        if not isinstance(base, Base):
            return None
        # Our own annotations do not say it; the image inherits it from its base.
        version = had.os_version or await self._os_version(cluster, architecture, image)
        built = os_version.parse(version)
        if built is None:
            return None
        newest = os_version.parse(await self._os_version(cluster, architecture, str(base.image)))
        return (built, newest) if newest else None

    async def _os_version(self, cluster: ClusterName, architecture: str, image: str) -> str:
        images = self._images.seen_from(cluster)
        try:
            facts = await images.facts(Pullspec(image), architecture)
        except (OutsideError, Malformed):
            return ""
        return os_version.machine_os_of({}, facts.labels)

    async def _lineage(
        self, view: ClusterView, pool: Pool, won: MachineConfig, platforms: "_Platforms"
    ) -> Lineage:
        built_for = (platforms.of(pool.meta.name),)
        try:
            return await lineage_of(self._ancestry, view, pool, won, built_for)
        except OutsideError:
            return Lineage()

    async def _had(
        self,
        view: ClusterView,
        bases: Mapping[str, Base | UnknownBase],
        lineages: dict[str, Lineage],
        platforms: "_Platforms",
    ) -> dict[str, str]:
        """Pool → the image that its nodes had last, of those on their way. Adds its lineage."""
        images: dict[str, str] = {}
        for pool, rendered in _on_their_way(view):
            name, image = pool.meta.name, rendered.os_image_url
            if image not in lineages or lineages[image].base is None:
                base, arch = bases.get(effective_stream(view, pool)), platforms.of(name)
                found = await of_rendered(self._ancestry, view, pool, rendered, base, arch)
                lineages[image] = found
            images[name] = image
        return images

    async def _present(
        self,
        view: ClusterView,
        pool: Pool,
        owner: MachineOsConfig,
        base: Base | UnknownBase | None,
        platforms: "_Platforms",
    ) -> Lineage:
        """Where the image of a pool in image mode comes from: by the cluster's own objects, as its
        registry is often the cluster's too and nobody else's, else by its labels and layers."""
        arch, found = platforms.of(pool.meta.name), image_mode.lineage_by_build(view, owner)
        if found.base is None:
            found = await searched(self._ancestry, view, pool, owner.current_image, arch)
        if found.base is None or found.release_version:
            return found
        if isinstance(base, Base) and found.base == base.image.digest:
            return replace(found, release_version=base.release.version)
        named = str(found.base_image or "")
        of_base = Lineage()
        if named:
            of_base = await searched(self._ancestry, view, pool, named, arch)
        return replace(
            found,
            release_version=of_base.release_version,
            os_version=found.os_version or of_base.os_version,
        )


class _Platforms:
    """The architecture of each pool: of its nodes; where it has none yet, of any."""

    def __init__(self, view: ClusterView) -> None:
        member = mco.Membership(view.pools)
        self._of: dict[str | None, set[str]] = {}
        self._any: set[str] = set()
        for node in view.nodes.values():
            if node.architecture:
                self._of.setdefault(member.pool_of(node), set()).add(node.architecture)
                self._any.add(node.architecture)

    def of(self, pool: str) -> str:
        """Return the first by name."""
        return min(self._of.get(pool) or self._any, default="amd64")


def _read(load_recipe: LoadRecipe, name: str) -> RecipeSeen | RecipeBroken:
    try:
        return RecipeSeen(name=name, digest=load_recipe(name).digest, build_key="")
    except (Refused, Malformed) as error:
        return RecipeBroken(name, str(error))


def _in_image_mode(view: ClusterView) -> list[tuple[Pool, MachineOsConfig]]:
    """Pools with the owner of their image, once there is one."""
    owners = image_mode.owners(view).items()
    return [(view.pools[n], o) for n, o in owners if n in view.pools and o.current_image]


def _on_their_way(view: ClusterView) -> list[tuple[Pool, MachineConfig]]:
    """Pools with the rendered MachineConfig that their nodes had last, where they shall have
    another one; of those in image mode it is another image that counts."""
    owners, mcs = image_mode.owners(view), view.machine_configs
    found = ((p, mco.last_had(p, mcs)) for n, p in view.pools.items() if n not in owners)
    return [(pool, rendered) for pool, rendered in found if rendered is not None]


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
    winners = mco.Winners(view.machine_configs.values(), version=release.desired.version)
    found = ((pool, winners.overriding(pool)) for pool in view.pools.values())
    return [(pool, won) for pool, won in found if won is not None]

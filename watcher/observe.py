"""Put together all that decides about one pool: cluster, release, recipe and memory."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from watcher.ancestry import Ancestry
from watcher.bases import architectures, base_of, is_on, lineage_of, of_release
from watcher.core import genuine, lineage, mco
from watcher.core.cluster import ClusterView, Pool
from watcher.core.drift import MAX_AGE, Observation, RecipeBroken, RecipeSeen, Running
from watcher.core.facts import ClusterName, Digest, Malformed, PoolName
from watcher.core.genuine import Proof, Ruling, Verdict, Verify
from watcher.core.order import OtherPool
from watcher.core.recipe import Recipe, build_key
from watcher.core.release import (
    Base,
    ReleaseState,
    UnknownBase,
    release_state,
)
from watcher.core.sight import is_old
from watcher.core.update import Update
from watcher.core.update_events import Kind
from watcher.core.update_events import UpdateState as S
from watcher.linting import Linter
from watcher.naming import Naming
from watcher.ports import (
    Cluster,
    Images,
    Refused,
    Signatures,
    Store,
    Transient,
    Unseen,
)
from watcher.settings import Settings

OTHERS_REMEMBERED = 20
"""Updates of a pool that others follow that are looked through for the release in question."""
LoadRecipe = Callable[[str], Recipe]
"""Reads a configured recipe by name; blocking, raises Refused or Malformed."""


def platforms(architectures: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a build must be made for, given the nodes' architectures."""
    return tuple(f"linux/{architecture}" for architecture in architectures)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolObserver:
    settings: Settings
    clusters: Mapping[ClusterName, Cluster]
    images: Images
    signatures: Signatures
    ancestry: Ancestry
    load_recipe: LoadRecipe
    store: Store
    naming: Naming = field(default_factory=Naming)
    linter: Linter = field(default_factory=Linter)

    async def observe(
        self, cluster: ClusterName, pool: PoolName, *, fresh: bool = False
    ) -> Observation | Unseen:
        """See `ports.Observer`. Raise Transient if a release or image cannot be read just now."""
        configured = self.settings.pool(cluster, pool)
        if configured is None:
            return Unseen(f"{cluster}/{pool} is not in the configuration")
        source = self.clusters[cluster]
        view = source.view()
        if fresh:  # which leaves nodes and mirrors out
            view = replace(await source.fresh_view(), nodes=view.nodes, mirrors=view.mirrors)
        seen = view.pools.get(pool)
        if view.cluster_version is None or seen is None:
            return Unseen(_why_unseen(view, pool))
        try:
            release = release_state(view.cluster_version)
        except Malformed as error:
            return Unseen(f"ClusterVersion names its release wrongly: {error}")
        base = await base_of(self.images.seen_from(view.cluster), view, seen, release)
        ruling = await self._genuine(view, release, base, fresh=fresh)
        return await self._observation(view, seen, release, base, ruling, configured.recipe)

    async def _observation(
        self,
        view: ClusterView,
        pool: Pool,
        release: ReleaseState,
        base: Base | UnknownBase,
        ruling: Ruling,
        recipe: str,
    ) -> Observation:
        said = pool.meta.annotations
        version = release.desired.version
        would_win = mco.winner_if_applied(view, pool, version=version)
        owners = (c.meta.name for c in view.machine_os_configs.values() if c.pool == pool.name)
        built_for = architectures(view, pool)
        loaded = await self._loaded(recipe)
        mine = self._seen(recipe, loaded, base, built_for)
        return Observation(
            cluster=view.cluster,
            pool=pool,
            observed_at=view.observed_at,
            release=release,
            genuine=ruling,
            base=base,
            recipe=mine,
            running=of_release(await self._running(view, pool, version, built_for[:1]), base),
            would_win=would_win.meta.name if would_win else "",
            our_name=mco.override_name(pool.name),
            also_hit=mco.also_hit(view, pool, version=version),
            beneath=_beneath(view, pool, version),
            override=view.machine_configs.get(mco.override_name(pool.name)),
            owner=next(owners, ""),
            stock_by=said.get(lineage.STOCK_BY, ""),
            paused_for=said.get(lineage.PAUSED_FOR, "") if pool.paused else "",
            refused=await self._refused(view.cluster, pool),
            architectures=built_for,
            release_seen_at=await self.store.first_seen(
                f"release:{release.desired.image.digest}", view.observed_at
            ),
            others=await self._others(view, pool.name, release, mine),
            complaints=await self._complaints(view, pool, recipe, loaded, version),
        )

    async def _others(
        self,
        view: ClusterView,
        pool: PoolName,
        release: ReleaseState,
        recipe: RecipeSeen | RecipeBroken,
    ) -> tuple[OtherPool, ...]:
        """Look at the pools that this one comes after."""
        configured = self.settings.pool(view.cluster, pool)
        rules = configured.policy.after if configured else ()
        wanted, now = release.desired.image.digest, view.observed_at
        return tuple([await self._other(rule.place, wanted, now, recipe) for rule in rules])

    async def _other(
        self, place: str, wanted: Digest, now: datetime, recipe: RecipeSeen | RecipeBroken
    ) -> OtherPool:
        """`recipe`: the following pool's own; a canary of the same recipe must have it as it is."""
        cluster, _, name = place.partition("/")
        there = self.settings.pool(cluster, name)
        shared = recipe if there is not None and there.recipe == recipe.name else None
        same = shared.digest if isinstance(shared, RecipeSeen) else None
        done_at, failed = await self._went(cluster, name, wanted, same)
        nothing = OtherPool(
            place=place,
            release_digest=None,
            on_base=False,
            settled=False,
            since=None,
            done_at=done_at,
            failed=failed,
            problem="",
        )
        try:
            view = self.clusters[ClusterName(cluster)].view()
            pool = view.pools.get(PoolName(name))
            if view.cluster_version is None or pool is None:
                return replace(nothing, problem=_why_unseen(view, name))
            if is_old(view.observed_at, now=now, most=MAX_AGE):
                return replace(nothing, problem=f"{cluster} was not seen for too long")
            release = release_state(view.cluster_version)
            base = await base_of(self.images.seen_from(view.cluster), view, pool, release)
            architecture = architectures(view, pool)[:1]
            running = await self._running(view, pool, release.desired.version, architecture)
        except KeyError:
            return replace(nothing, problem=f"cluster {cluster} is not looked at here")
        except (Transient, Malformed) as error:
            return replace(nothing, problem=str(error))
        return replace(
            nothing,
            release_digest=release.desired.image.digest,
            on_base=self._has_taken(pool, cluster, running, base, release)
            and (same is None or running is None or running.lineage.recipe == same),
            settled=mco.is_settled(pool),
            since=_settled_since(pool),
        )

    def _has_taken(
        self,
        pool: Pool,
        cluster: str,
        running: Running | None,
        base: Base | UnknownBase,
        release: ReleaseState,
    ) -> bool:
        """Whether it runs the release as it shall: the stock image proves nothing about a layered
        one, where that is to come and nobody asked for the stock image."""
        layered = self.settings.pool(cluster, pool.name) is not None
        if running is None and layered and lineage.STOCK_BY not in pool.meta.annotations:
            return False
        return _has_base(running, base, release)

    async def _went(
        self, cluster: str, pool: str, wanted: Digest, recipe: Digest | None
    ) -> tuple[datetime | None, str]:
        """When an update of the pool to the wanted release (and recipe, where it is the same one)
        was done, or why the newest failed."""
        for stored in await self.store.history(cluster, pool, OTHERS_REMEMBERED):
            job = stored.job
            if not isinstance(job, Update) or job.target.release_image.digest != wanted:
                continue
            if recipe is not None and job.target.recipe_digest != recipe:
                continue
            if job.state is S.DONE and job.kind is Kind.LAYERED:
                return job.changed_at, ""
            if job.state in (S.ROLLING_BACK, S.ROLLED_BACK, S.STUCK, S.FAILED):
                return None, f"{job.id} is {job.state}: {job.ended_because}"
        return None, ""

    async def _genuine(
        self,
        view: ClusterView,
        release: ReleaseState,
        base: Base | UnknownBase,
        *,
        fresh: bool,
    ) -> Ruling:
        """What follows from the signatures of the release that the pool shall get."""
        setting = Verify(self.settings.release.verify)
        if setting is Verify.OFF:
            verdict = Verdict(proof=Proof.UNCHECKED, because="release.verify is off")
        else:
            image = release.desired.image
            verdict = await self.signatures.verdict(view.cluster, image, fresh=fresh)
            if verdict.proof is Proof.GOOD and isinstance(base, Base):
                where = self.images, view.cluster
                verdict = await self.naming.unless_named(*where, base, fresh=fresh) or verdict
        return genuine.ruling(
            setting,
            verdict,
            version=release.desired.version,
            taken_unverified=release.taken_unverified,
        )

    async def _loaded(self, name: str) -> Recipe | RecipeBroken:
        try:
            return await asyncio.to_thread(self.load_recipe, name)
        except (Refused, Malformed) as error:
            return RecipeBroken(name, str(error).removeprefix(f"recipe {name}: "))

    async def _complaints(
        self,
        view: ClusterView,
        pool: Pool,
        name: str,
        recipe: Recipe | RecipeBroken,
        version: str,
    ) -> tuple[str, ...]:
        if isinstance(recipe, RecipeBroken):
            return ()  # what is said of it is why it cannot be used
        file = self.settings.recipe(name).containerfile or "Containerfile"
        return await self.linter.sentences(view, pool, recipe, release=version, file=file)

    def _seen(
        self,
        name: str,
        recipe: Recipe | RecipeBroken,
        base: Base | UnknownBase,
        built_for: tuple[str, ...],
    ) -> RecipeSeen | RecipeBroken:
        if isinstance(recipe, RecipeBroken):
            return recipe
        key = ""
        if isinstance(base, Base):
            builder = self.settings.recipe(name).builder
            key = build_key(
                base=base.image.digest,
                recipe=recipe.digest,
                platforms=platforms(built_for),
                builder_options={"builder": builder, "target": str(recipe.target)},
            )
        return RecipeSeen(name=name, digest=recipe.digest, build_key=key)

    async def _running(
        self, view: ClusterView, pool: Pool, version: str, architecture: tuple[str, ...]
    ) -> Running | None:
        won = mco.overriding(pool, view.machine_configs.values(), version=version)
        if won is None:
            return None
        return Running(
            machine_config=won.meta.name,
            image=won.os_image_url,
            ours=won.meta.name == mco.override_name(pool.name),
            lineage=await lineage_of(self.ancestry, view, pool, won, architecture),
        )

    async def _refused(self, cluster: ClusterName, pool: Pool) -> Mapping[str, str]:
        on_cluster = dict.fromkeys(
            lineage.refused_builds(pool.meta.annotations), "that build was rolled back on this pool"
        )
        return {
            **await self._ended(cluster, pool),
            **on_cluster,
            **await self.store.remembered(cluster, pool.name),
        }

    async def _ended(self, cluster: ClusterName, pool: Pool) -> Mapping[str, str]:
        """What a person decided against by the pool's newest update: rejected, or taken over."""
        for stored in await self.store.history(cluster, pool.name, 1):
            job = stored.job
            if isinstance(job, Update) and job.state in (S.REJECTED, S.STUCK):
                return {job.target.build_key: f"{job.id} is {job.state}: {job.ended_because}"}
        return {}


def _has_base(running: Running | None, base: Base | UnknownBase, release: ReleaseState) -> bool:
    if running is None:  # the stock image comes with the release itself
        return release.completed
    return is_on(running, base)


def _settled_since(pool: Pool) -> datetime | None:
    return next((c.last_transition for c in pool.conditions if c.type == "Updated"), None)


def _beneath(view: ClusterView, pool: Pool, version: str) -> str:
    name = mco.override_name(pool.name)
    others = (mc for mc in view.machine_configs.values() if mc.meta.name != name)
    won = mco.overriding(pool, others, version=version)
    return won.meta.name if won else ""


def _why_unseen(view: ClusterView, pool: str) -> str:
    if view.problems:
        return "; ".join(view.problems)
    if view.cluster_version is None:
        return f"{view.cluster}: ClusterVersion `version` was not seen yet"
    known = ", ".join(sorted(view.pools)) or "none"
    return f"{view.cluster} has no MachineConfigPool {pool} (it has: {known})"

"""Decide what a pool needs, and say why. Every sentence here is read by people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watcher.core import mco
from watcher.core.cluster import MachineConfig, Pool
from watcher.core.facts import ClusterName, Digest, PoolName
from watcher.core.genuine import Ruling
from watcher.core.lineage import Lineage
from watcher.core.order import OtherPool
from watcher.core.release import Base, ReleaseState, UnknownBase
from watcher.core.sight import is_ahead, is_old

MAX_AGE = timedelta(minutes=10)
"""An older view is not acted upon. Ten minutes: the longest a watch may be silent, twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSeen:
    """The recipe as it is on disk now, and the build key it gives on the expected base."""

    name: str
    digest: Digest
    build_key: str


@dataclass(frozen=True, slots=True)
class RecipeBroken:
    name: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The override that the pool gets now, whoever wrote it."""

    machine_config: str
    image: str
    ours: bool
    lineage: Lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One pool at one moment, after all that is involved was read."""

    cluster: ClusterName
    pool: Pool
    observed_at: datetime
    release: ReleaseState
    genuine: Ruling
    """What follows from the signatures of the desired release."""
    base: Base | UnknownBase
    recipe: RecipeSeen | RecipeBroken
    running: Running | None
    """None: the pool runs the release's own image."""
    would_win: str
    """Which MachineConfig's image the pool would get if our override were there."""
    our_name: str
    also_hit: tuple[PoolName, ...] = ()
    """Other pools that inherit our override: they would change too, unasked."""
    beneath: str = ""
    """The MachineConfig whose image the pool would get without our override; empty: the stock."""
    override: MachineConfig | None = None
    """Our own MachineConfig as it is, whether it wins or not."""
    owner: str = ""
    """The MachineOSConfig that owns the pool's image, if there is one."""
    stock_by: str = ""
    """Who asked for the stock image, if somebody did."""
    paused_for: str = ""
    """The update of ours for which the pool was paused."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Build keys not to be proposed again, and why."""
    architectures: tuple[str, ...] = ("amd64",)
    release_seen_at: datetime | None = None
    """When anybody first saw the release that the cluster wants."""
    others: tuple[OtherPool, ...] = ()
    """Those that this pool comes after."""
    complaints: tuple[str, ...] = ()
    """What lint says of the recipe on this pool; advice."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The pool shall get the recipe's image on this base."""

    pool: PoolName
    base: Base
    recipe: RecipeSeen
    because: str
    downgrade_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Something is not as it should be, and nothing may be done now."""

    pool: PoolName
    because: str


@dataclass(frozen=True, slots=True)
class InStep:
    pool: PoolName
    because: str


Decision = Rebuild | Hold | InStep


@dataclass(frozen=True, slots=True)
class Asked:
    """A person asked for a rebuild by name: what was remembered against it no longer counts."""

    by: str
    downgrade: bool = False


def decide(seen: Observation, *, now: datetime, asked: Asked | None = None) -> Decision:
    """Return what one pool needs. Whether it may be applied now is said by `preconditions`."""
    pool = seen.pool.name
    if because := _cannot_tell(seen, now=now):
        return Hold(pool, because)
    assert isinstance(seen.base, Base), "checked by _cannot_tell"
    assert isinstance(seen.recipe, RecipeSeen), "checked by _cannot_tell"
    if because := _not_ours(seen):
        return Hold(pool, because)
    refused = seen.refused.get(seen.recipe.build_key)
    if refused and not asked and seen.running and _runs(seen.running, seen.recipe.build_key):
        return Hold(pool, f"runs a build that must not run here: {refused}")
    difference = _difference(seen, seen.base, seen.recipe)
    if not difference and not asked:
        if because := degraded(seen.pool):
            return Hold(pool, f"has the image it shall have, but {because}")
        return InStep(pool, f"runs {seen.recipe.name} on the base of {seen.base.release.version}")
    if seen.stock_by and not asked:
        return Hold(
            pool,
            f"{seen.stock_by} asked for the stock image; "
            f"`relayer rebuild {seen.cluster}/{pool}` layers it again",
        )
    if (because := _downgrade(seen, seen.base)) and not (asked and asked.downgrade):
        return Hold(pool, because)
    if refused and not asked:
        return Hold(pool, f"{refused}; `relayer rebuild {seen.cluster}/{pool}` tries it again")
    if asked:
        difference = f"{asked.by} asked for it" + (f"; {difference}" if difference else "")
    return Rebuild(
        pool, seen.base, seen.recipe, difference, downgrade_allowed=bool(asked and asked.downgrade)
    )


def _runs(running: Running, build_key: str) -> bool:
    return bool(build_key) and running.lineage.build_key == build_key


def _cannot_tell(seen: Observation, *, now: datetime) -> str | None:
    if seen.observed_at.year < now.year - 1:
        return "the cluster has not been read completely yet"
    if is_old(seen.observed_at, now=now, most=MAX_AGE):
        why = "too long ago to act on"
        if is_ahead(seen.observed_at, now=now):
            why = "which is still to come: the clock was put back"
        return f"last seen {seen.observed_at:%Y-%m-%d %H:%M} UTC, {why}"
    if isinstance(seen.base, UnknownBase):
        return seen.base.because
    if isinstance(seen.recipe, RecipeBroken):
        return f"recipe {seen.recipe.name} cannot be used: {seen.recipe.because}"
    return None


def _not_ours(seen: Observation) -> str | None:
    if seen.owner:
        return (
            f"MachineOSConfig {seen.owner} owns this pool's image (on-cluster layering); "
            "delete it, or take the pool out of Relayer's configuration"
        )
    if seen.pool.os_image_stream:
        return (
            f"the pool sets osImageStream {seen.pool.os_image_stream}, with which MCO refuses an "
            "override; remove spec.osImageStream from the pool"
        )
    if not seen.would_win:
        return (
            f"the pool does not select {seen.our_name}: its machineConfigSelector must take "
            f"{mco.ROLE}={seen.pool.name}"
        )
    if seen.would_win != seen.our_name:
        return (
            f"MachineConfig {seen.would_win} would win over {seen.our_name}; "
            "remove its osImageURL or rename it to sort before ours"
        )
    if seen.also_hit:
        return also_changes(seen)
    if seen.paused_for:
        return (
            f"the pool is still paused by Relayer for {seen.paused_for}; "
            "while that update is active it goes on by itself; if it has ended, unpause the pool"
        )
    return None


def not_stock(seen: Observation) -> str:
    """Return the sentence about what would come out from under our override."""
    return (
        f"without {seen.our_name} the pool gets the image of MachineConfig {seen.beneath}, "
        "not the stock image; remove its osImageURL first"
    )


def degraded(pool: Pool) -> str | None:
    """Return the sentence about a pool that MCO calls degraded, or None."""
    for kind in ("Degraded", "NodeDegraded", "RenderDegraded"):
        if pool.is_true(kind):
            return f"the pool is degraded: {pool.message(kind) or kind}"
    return None


def also_changes(seen: Observation) -> str:
    """Return the sentence about pools that would change without anybody having been asked."""
    return (
        f"{seen.our_name} would also change {', '.join(seen.also_hit)}, as they inherit it; "
        "give each a recipe of its own first"
    )


def _difference(seen: Observation, base: Base, recipe: RecipeSeen) -> str:
    """Return the sentence that says how the pool differs from what it should run, or ''."""
    running = seen.running
    if running is None:
        return f"runs the stock image, and {recipe.name} is configured for it"
    if running.lineage.base is None:
        return f"runs {running.image}, of which nobody knows the base"
    if running.lineage.base != base.image.digest:
        was = running.lineage.release_version or running.lineage.base.short
        return f"its base is that of {was}, the cluster's is that of {base.release.version}"
    if running.lineage.recipe != recipe.digest:
        return f"recipe {recipe.name} changed since its image was built"
    return ""


def _downgrade(seen: Observation, base: Base) -> str | None:
    had = seen.running.lineage.release_version if seen.running else ""
    if not had or not mco.is_older(base.release.version, than=had):
        return None
    return (
        f"runs the base of {had}, newer than {base.release.version}; "
        f"`relayer rebuild {seen.cluster}/{seen.pool.name} --allow-downgrade` goes back"
    )

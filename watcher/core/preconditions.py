"""What must hold at the very moment an update is applied. All are evaluated; each failure tells.

A list of small functions, each returning None or the sentence why not: people see all that is
in the way at once, not one at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from watcher.core import mco, order, timing
from watcher.core.drift import Observation, RecipeBroken, also_changes, degraded, not_stock
from watcher.core.facts import Digest
from watcher.core.release import Base, UnknownBase
from watcher.core.timing import Freeze, Timing
from watcher.core.update import Policy, Update, asked_by_person
from watcher.core.update_events import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An update, and everything freshly read that decides whether it may be applied now."""

    update: Update
    seen: Observation | None
    """None: there is no such pool in the cluster."""
    policy: Policy | None
    """What the configuration says now; None: the pool is no longer configured."""
    pull_problem: str | None
    """Why a node could not pull the image with the cluster's pull secret."""
    now: datetime
    freezes: tuple[Freeze, ...] = ()
    """All that are known, wherever."""


Precondition = Callable[[Scene, Observation], str | None]


def unmet(scene: Scene) -> list[str]:
    """Return every reason why the update may not be applied now; empty if it may."""
    if scene.seen is None:
        return [f"there is no MachineConfigPool {scene.update.pool} in {scene.update.cluster}"]
    found = [check(scene, scene.seen) for check in PRECONDITIONS]
    return [sentence for sentence in found if sentence]


def completed_base(seen: Observation) -> Digest | None:
    """Return the base of the release that the control plane has completed, if it has."""
    if seen.release.completed and isinstance(seen.base, Base):
        return seen.base.image.digest
    return None


def _release_completed(scene: Scene, seen: Observation) -> str | None:
    return None if seen.release.completed else f"the control plane: {seen.release.sentence}"


def _base_is_the_release_s(scene: Scene, seen: Observation) -> str | None:
    if isinstance(seen.base, UnknownBase):
        return seen.base.because
    base = completed_base(seen)
    if base is not None and base != scene.update.target.base.digest:
        return "its base is not that of the release the cluster runs now"
    return None


def _paused(seen: Observation) -> str | None:
    return "the pool is paused" if seen.pool.paused else None


def _degraded(seen: Observation) -> str | None:
    return degraded(seen.pool)


def _updating(seen: Observation) -> str | None:
    pool = seen.pool
    return (
        None
        if mco.is_at_target(pool)
        else f"the pool is updating ({pool.updated_count} of {pool.machine_count})"
    )


def _genuine(scene: Scene, seen: Observation) -> str | None:
    """What the pool gets is built on the release, so the release must be proven.

    Not asked of the stock image: that is the one the cluster itself took, and going back to it is
    the way out where a layered image is not trusted any more.
    """
    return None if scene.update.kind is Kind.STOCK else _unproven(seen)


def _unproven(seen: Observation) -> str | None:
    return seen.genuine.blocks or None


def _not_owned(scene: Scene, seen: Observation) -> str | None:
    return f"MachineOSConfig {seen.owner} owns the pool's image" if seen.owner else None


def _no_stream(scene: Scene, seen: Observation) -> str | None:
    if seen.pool.os_image_stream and scene.update.kind is Kind.LAYERED:
        return f"the pool sets osImageStream {seen.pool.os_image_stream}"
    return None


def _ours_would_win(scene: Scene, seen: Observation) -> str | None:
    if scene.update.kind is Kind.LAYERED and seen.would_win != seen.our_name:
        if not seen.would_win:
            return f"the pool does not select {seen.our_name}"
        return f"MachineConfig {seen.would_win} would win over {seen.our_name}"
    return None


def _stock_is_stock(scene: Scene, seen: Observation) -> str | None:
    return not_stock(seen) if seen.beneath and scene.update.kind is Kind.STOCK else None


def _alone(scene: Scene, seen: Observation) -> str | None:
    return also_changes(seen) if seen.also_hit else None


def _built_as_wanted(scene: Scene, seen: Observation) -> str | None:
    """What a person or the policy approved is bound to the recipe and to what it was built for."""
    target, recipe = scene.update.target, seen.recipe
    if scene.update.kind is Kind.STOCK:
        return None
    if isinstance(recipe, RecipeBroken):
        return f"recipe {recipe.name} cannot be used: {recipe.because}"
    if recipe.digest != target.recipe_digest:
        return f"recipe {recipe.name} changed since its image was built"
    same_base = isinstance(seen.base, Base) and seen.base.image.digest == target.base.digest
    if same_base and recipe.build_key != target.build_key:
        return "the pool's architectures or the builder changed since its image was built"
    return None


def _pullable(scene: Scene, seen: Observation) -> str | None:
    return f"nodes cannot pull the image: {scene.pull_problem}" if scene.pull_problem else None


def _not_a_downgrade(scene: Scene, seen: Observation) -> str | None:
    had = seen.running.lineage.release_version if seen.running else ""
    if not had or scene.update.downgrade_allowed or scene.update.kind is Kind.STOCK:
        return None
    if mco.is_older(scene.update.target.release_version, than=had):
        return f"it would go back from {had} to {scene.update.target.release_version}"
    return None


def _approval_valid(scene: Scene, seen: Observation) -> str | None:
    given = scene.update.approval
    if given is None or given.binding != scene.update.binding:
        return "there is no approval for exactly this"
    if scene.now >= given.until:
        return f"its approval was good until {given.until:%Y-%m-%d %H:%M} UTC"
    return None


def _policy_unchanged(scene: Scene, seen: Observation) -> str | None:
    if scene.policy is None:
        return "the pool is no longer in the configuration"
    by_hand = scene.update.kind is Kind.STOCK or scene.update.downgrade_allowed
    policy = asked_by_person(scene.policy) if by_hand else scene.policy
    if policy.digest() != scene.update.policy.digest():
        return "the policy of the pool changed since it was approved"
    return None


def timing_of(
    policy: Policy, seen: Observation, freezes: tuple[Freeze, ...], *, now: datetime
) -> Timing:
    """Return everything that says when an update of this pool may be begun."""
    return Timing(
        windows=policy.windows,
        blackouts=policy.blackouts,
        min_age_seconds=policy.min_age_seconds,
        freezes=timing.in_force(freezes, seen.cluster, seen.pool.name, now=now),
        release_seen_at=seen.release_seen_at,
    )


def timing_of_update(
    update: Update,
    freezes: tuple[Freeze, ...],
    *,
    release_seen_at: datetime | None,
    now: datetime,
) -> Timing:
    """Return the same for one update; the stock image is no release that must have aged."""
    policy = update.policy
    return Timing(
        windows=policy.windows,
        blackouts=policy.blackouts,
        min_age_seconds=0 if update.kind is Kind.STOCK else policy.min_age_seconds,
        freezes=timing.in_force(freezes, update.cluster, update.pool, now=now),
        release_seen_at=release_seen_at,
        snoozed_until=update.snoozed_until,
        snoozed_by=update.snoozed_by,
    )


def timing_in(scene: Scene, seen: Observation) -> Timing:
    """Return it for the scene's update."""
    seen_at = seen.release_seen_at
    return timing_of_update(scene.update, scene.freezes, release_seen_at=seen_at, now=scene.now)


def _closed(said: Timing, now: datetime) -> str | None:
    return "; ".join(timing.verdict(said, now=now).reasons) or None


def _in_order(scene: Scene, seen: Observation) -> str | None:
    """The pools that go first have gone, and stayed well."""
    if scene.update.kind is Kind.STOCK:
        return None
    target = scene.update.target
    return _others(scene.update.policy, seen, target.release_image.digest, scene.now)


def _others(policy: Policy, seen: Observation, release: Digest, now: datetime) -> str | None:
    others = {other.place: other for other in seen.others}
    version = seen.release.desired.version if seen.release.desired.image.digest == release else ""
    said = [
        order.waits_for(after, others[after.place], release=release, now=now, version=version)
        if after.place in others
        else f"{after.place} has to go first, and was not looked at"
        for after in policy.after
    ]
    return "; ".join(filter(None, said)) or None


PRECONDITIONS: tuple[Precondition, ...] = (
    _approval_valid,
    _policy_unchanged,
    _release_completed,
    _base_is_the_release_s,
    _genuine,
    _not_owned,
    _no_stream,
    _ours_would_win,
    _alone,
    _stock_is_stock,
    _built_as_wanted,
    _not_a_downgrade,
    lambda scene, seen: _degraded(seen),
    lambda scene, seen: _paused(seen),
    lambda scene, seen: _updating(seen),
    _pullable,
    _in_order,
    lambda scene, seen: _closed(timing_in(scene, seen), scene.now),
)


def standing_in_the_way(
    seen: Observation, policy: Policy, freezes: tuple[Freeze, ...], now: datetime
) -> list[str]:
    """Return what would keep any update of this pool from being applied now, for a plan."""
    found = [
        None if seen.release.completed else f"the control plane: {seen.release.sentence}",
        *(check(seen) for check in (_unproven, _paused, _degraded, _updating)),
        _others(policy, seen, seen.release.desired.image.digest, now),
        _closed(timing_of(policy, seen, freezes, now=now), now),
    ]
    return [sentence for sentence in found if sentence]

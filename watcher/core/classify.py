"""From what was seen of a pool to its one state: every pool, ours or not, live or from files.

The order of the questions is the rule: what decides about all others is asked first. MCO's rules
are in `mco`; docs/states.md says of each state what it means and what to do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from watcher.core import image_mode, mco
from watcher.core.cluster import MachineConfig, MachineOsBuild, Node, Pool
from watcher.core.drift import RecipeBroken, RecipeSeen, Running
from watcher.core.facts import (
    ClusterName,
    Malformed,
    PoolName,
    Pullspec,
    without_login,
    without_logins,
)
from watcher.core.lag import Lag
from watcher.core.release import Base, ReleaseState, UnknownBase
from watcher.core.stages import line
from watcher.core.state import Block, Finding, Flag, Nodes, Override, Raised, State

BY_US, BY_MCO, BY_SOMEBODY = "relayer", "machine-config-operator", "somebody"
DEGRADED = {
    "RenderDegraded": "its MachineConfig cannot be rendered",
    "NodeDegraded": "a node is degraded",
    "Degraded": "the pool is degraded",
}
"""Conditions, the most telling first: MCO's own summary `Degraded` often says nothing."""
CURRENT_IMAGE = mco.PREFIX + "currentImage"
_LONGEST_SENTENCE = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One pool, and all that is known about what it should run."""

    cluster: ClusterName
    pool: Pool
    observed_at: datetime
    release: ReleaseState | None = None
    """None: it could not be read; `problem` says why."""
    base: Base | UnknownBase | None = None
    recipe: RecipeSeen | RecipeBroken | None = None
    """None: none is configured for this pool."""
    running: Running | None = None
    """The override that wins; None: none does."""
    ours: MachineConfig | None = None
    """Our own MachineConfig, whether it wins or not."""
    beaten_by: str = ""
    """A generated MachineConfig that wins over overrides, as can be up to 4.20."""
    owner: str = ""
    """The MachineOSConfig of the pool."""
    build: MachineOsBuild | None = None
    """Its build that counts now, where builds are seen."""
    present: Running | None = None
    """The image that it has built last, and the nodes have."""
    had: Running | None = None
    """By the rendered MachineConfig that nodes had last, where the pool shall have another one."""
    nodes: tuple[Node, ...] = ()
    lag: Lag = field(default_factory=Lag)
    blocks: tuple[Block, ...] = ()
    unpullable: str = ""
    tag_moved: str = ""
    problem: str = ""


def classify(seen: Evidence) -> Finding:
    """Return the finding: exactly one state, with its sentence, and the flags beside it."""
    state, sentence = _state(seen)
    if state not in _WITHOUT_HAD and (still := _still(seen)):
        sentence = f"{sentence}, but {still}"
    if state not in _NEVER_BLOCKED and (hindered := _hindered(seen, state)):
        state, sentence = State.BLOCKED, f"{hindered}; {sentence}"
    # It is what nodes have that counts, not what lies under it or has not come to them yet.
    running, base = _present(seen), seen.base
    return Finding(
        cluster=seen.cluster,
        pool=seen.pool.name,
        state=state,
        sentence=line(without_logins(sentence), limit=_LONGEST_SENTENCE) or str(state),
        flags=tuple(_flags(seen)),
        base_expected=str(base.image) if isinstance(base, Base) else "",
        base_actual=_actual(running),
        base_source=str(running.lineage.said_by) if running else "",
        override=_override(seen),
        lag=seen.lag,
        blocks=seen.blocks,
        nodes=_nodes(seen.pool),
        observed_at=seen.observed_at,
        evidence={name: without_logins(said) for name, said in _evidence(seen) if said},
    )


_NEVER_BLOCKED = frozenset({State.EMPTY, State.PREBUILT_FROZEN, State.IMAGE_MODE, State.UNREADABLE})
"""What hinders a pool of which nobody knows where it shall go is told by its flags."""
_WITHOUT_HAD = frozenset({State.EMPTY, State.IMAGE_MODE, State.UNREADABLE})
_PENDING = frozenset(
    {State.BEHIND, State.AHEAD, State.RECIPE_CHANGED, State.MISSING, State.UNKNOWN_LINEAGE}
)
"""States in which the pool shall get another image."""


def unreadable(cluster: ClusterName, pool: str, *, why: str, observed_at: datetime) -> Finding:
    """Return the finding of a pool that is there and cannot be read, with the reason."""
    return Finding(
        cluster=cluster,
        pool=PoolName(pool),
        state=State.UNREADABLE,
        sentence=line(without_logins(why), limit=_LONGEST_SENTENCE),
        observed_at=observed_at,
    )


def _present(seen: Evidence) -> Running | None:
    return seen.had or seen.present or seen.running


def _still(seen: Evidence) -> str:
    """What nodes have where that is another base than the one spoken of; else empty."""
    if seen.had is None:
        return ""
    had, base = seen.had.lineage, seen.base
    if had.base is None:
        return f"its nodes still have {without_login(seen.had.image)}, whose base nobody knows"
    stock = base.image.digest if isinstance(base, Base) else None
    if had.base == (seen.running.lineage.base if seen.running else stock):
        return ""
    return f"its nodes still have the base of {had.release_version or had.base.short}"


def _state(seen: Evidence) -> tuple[State, str]:
    if seen.release is None or seen.problem:
        return State.UNREADABLE, seen.problem or "the cluster's release could not be read"
    if seen.pool.machine_count == 0 and not seen.nodes:
        return State.EMPTY, "the pool has no nodes"
    running = seen.running
    if seen.owner:
        return State.IMAGE_MODE, _image_mode(seen)
    if running and mco.is_prebuilt(running.machine_config, seen.pool.name):
        name = running.machine_config
        return State.PREBUILT_FROZEN, f"{name} was made at installation and may not be edited"
    if seen.ours and seen.ours.os_image_url and not (running and running.ours):
        return State.SHADOWED, _shadowed(seen, seen.ours.meta.name)
    if running is None:
        return _without_override(seen)
    if not is_by_digest(running.image):
        return (
            State.TAGGED,
            f"{running.machine_config} names its image by tag: {without_login(running.image)}",
        )
    if not running.ours:
        return State.FOREIGN, _foreign(seen, running)
    return _with_override(seen, running)


def _shadowed(seen: Evidence, ours: str) -> str:
    if winner := seen.running.machine_config if seen.running else seen.beaten_by:
        return f"{winner} wins over {ours}"
    return f"the pool does not select {ours}, so that it runs the stock image"


def _image_mode(seen: Evidence) -> str:
    said = f"MachineOSConfig {seen.owner} builds its image on the cluster"
    if build := image_mode.build_said(seen.pool, seen.build):
        said += f", and {build}"
    if seen.present:
        said += f"; as it is now, {_stands(seen, seen.present)}"
    if seen.running:
        # MCO builds on what the rendered MachineConfig names: an override under it is the base.
        name, where = seen.running.machine_config, _stands(seen, seen.running)
        said += f"; {name} keeps it on its own base whatever release comes: {where}"
    return said


def _without_override(seen: Evidence) -> tuple[State, str]:
    assert seen.release is not None, "asked before"
    if seen.recipe is None:
        return State.STOCK, f"follows the release ({seen.release.desired.version})"
    return (
        State.MISSING,
        f"recipe {seen.recipe.name} is configured, and the pool runs the stock image",
    )


def _foreign(seen: Evidence, running: Running) -> str:
    name, where = running.machine_config, _stands(seen, running)
    said = f"{name}, which is not Relayer's, sets the image: {where}"
    if seen.recipe:
        said += f"; recipe {seen.recipe.name} is configured, and has no override"
    return said


def _stands(seen: Evidence, running: Running) -> str:
    """A sentence about which base an override stands on."""
    lineage, base = running.lineage, seen.base
    if lineage.base is None:
        return f"nobody knows the base of {without_login(running.image)}"
    had = lineage.release_version or lineage.base.short
    if not isinstance(base, Base):
        why = base.because if isinstance(base, UnknownBase) else "the expected base is not known"
        return f"its base is that of {had}; {why}"
    wanted = base.release.version
    if lineage.base == base.image.digest:
        return f"its base is that of the release ({wanted})"
    if had == wanted:
        return f"its base is another image than the one that {wanted} names"
    return f"its base is that of {had}, the cluster's is that of {wanted}"


def _with_override(seen: Evidence, running: Running) -> tuple[State, str]:
    lineage, base, stands = running.lineage, seen.base, _stands(seen, running)
    if lineage.base is None:
        return State.UNKNOWN_LINEAGE, stands
    if not isinstance(base, Base):
        return State.UNREADABLE, stands
    wanted = base.release.version
    if lineage.base != base.image.digest:
        had = lineage.release_version
        is_ahead = bool(had) and mco.is_older(wanted, than=had)
        return (State.AHEAD if is_ahead else State.BEHIND), stands
    recipe = seen.recipe
    if isinstance(recipe, RecipeBroken):
        why = f"recipe {recipe.name} cannot be used: {recipe.because}"
        return State.UNREADABLE, f"{stands}, but {why}"
    if recipe is not None and lineage.recipe != recipe.digest:
        return State.RECIPE_CHANGED, f"recipe {recipe.name} changed since its image was built"
    return State.CURRENT, f"runs a layered image on the base of {wanted}"


def _hindered(seen: Evidence, state: State) -> str:
    """Why it is not where it should be; empty if it can go on, or has nowhere to go."""
    pool = seen.pool
    moving = not mco.is_at_target(pool)
    if not (moving or state in _PENDING or pool.is_true("RenderDegraded")):
        return ""
    for kind, said in DEGRADED.items():
        if pool.is_true(kind):
            message = line(pool.message(kind), limit=_LONGEST_SENTENCE // 2)
            return f"{said}: {message}" if message else said
    if pool.paused:
        return "the pool is paused"
    if moving:
        return f"the pool is updating ({pool.updated_count} of {pool.machine_count})"
    return ""


def _flags(seen: Evidence) -> Iterator[Raised]:
    pool = seen.pool
    if pool.paused:
        yield Raised(flag=Flag.PAUSED, since=mco.standing_since(pool))
    bad = [c for kind in DEGRADED for c in pool.conditions if c.type == kind and c.status == "True"]
    if bad:
        since = min((c.last_transition for c in bad if c.last_transition), default=None)
        said = next((text for c in bad if (text := c.message or c.reason)), "")
        yield Raised(flag=Flag.DEGRADED, since=since, said=line(without_logins(said)))
    if seen.unpullable:
        yield Raised(flag=Flag.UNPULLABLE, said=line(without_logins(seen.unpullable)))
    if mixed := _mixed(seen):
        yield Raised(flag=Flag.MIXED_NODES, said=line(without_logins(mixed)))
    if seen.tag_moved:
        yield Raised(flag=Flag.TAG_MOVED, said=line(without_logins(seen.tag_moved)))


def _mixed(seen: Evidence) -> str:
    """Nodes with another OS than the others, where they are not just on their way."""
    pool = seen.pool
    if not (mco.is_at_target(pool) or pool.paused or any(map(pool.is_true, DEGRADED))):
        return ""
    has = {(n.os_image, n.meta.annotations.get(CURRENT_IMAGE, "")) for n in seen.nodes}
    names = sorted({" ".join(filter(None, one)) for one in has if any(one)})
    if len(names) < 2:
        return ""
    return f"its nodes run {len(names)} different OS images: {', '.join(names)}"


def _evidence(seen: Evidence) -> Iterator[tuple[str, str]]:
    release, running, base = seen.release, _present(seen), seen.base
    yield "release", release.sentence if release else ""
    yield "base", f"{base.source}, stream {base.stream}" if isinstance(base, Base) else ""
    yield "lineage", (running.lineage.doubt or str(running.lineage.said_by)) if running else ""
    yield "recipe", seen.recipe.name if seen.recipe else ""
    yield "machineosconfig", seen.owner
    yield "machineosbuild", seen.build.meta.name if seen.build else ""
    has = seen.had or seen.present
    yield "image", without_login(has.image) if has else ""
    yield "rendered", seen.had.machine_config if seen.had else ""
    told = [c for c in seen.pool.conditions if c.status == "True"]
    yield "conditions", ", ".join(sorted(line(c.type, limit=60) for c in told)[:20])


def _override(seen: Evidence) -> Override | None:
    running = seen.running
    if running is None:
        return None
    prebuilt = mco.is_prebuilt(running.machine_config, seen.pool.name)
    by = BY_US if running.ours else BY_MCO if prebuilt else BY_SOMEBODY
    image = without_login(running.image)
    return Override(machineconfig=running.machine_config, image=image, by=by)


def _actual(running: Running | None) -> str:
    if running is None:
        return ""
    return str(running.lineage.base_image or running.lineage.base or "")


def is_by_digest(image: str) -> bool:
    """Whether an image is named so that it can be no other one tomorrow."""
    try:
        Pullspec(image)
    except Malformed:
        return False
    return True


def _nodes(pool: Pool) -> Nodes:
    return Nodes(total=pool.machine_count, updated=pool.updated_count, degraded=pool.degraded_count)

"""The chain of evidence behind the state of a pool and what is decided: facts in, steps out.

Each step says what is so, and who said it. Nothing is asked here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from watcher.core import mco, order
from watcher.core.cluster import ClusterView
from watcher.core.drift import Decision, Observation, RecipeBroken, also_changes, degraded
from watcher.core.lag import Lag
from watcher.core.lineage import SaidBy
from watcher.core.release import Base
from watcher.core.stages import line
from watcher.settings import PoolSettings
from watcher.shown_drift import behind

Row = dict[str, Any]
MOST_HISTORY = 3
"""Entries of the ClusterVersion's history that are shown."""
MOST_CONFIGS = 40
"""MachineConfigs that are named; a pool has some thirty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One link of the chain."""

    name: str
    said: str
    by: str = ""
    """Who said so; empty: it follows from what is below."""
    ok: bool | None = None
    """Of a precondition: whether it is met."""
    steps: tuple["Step", ...] = ()

    def row(self) -> Row:
        """Return it as JSON."""
        return {
            "name": self.name,
            "said": self.said,
            "by": self.by or None,
            "ok": self.ok,
            "steps": [one.row() for one in self.steps],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that the chain is made from."""

    view: ClusterView
    seen: Observation
    decision: Decision | None
    """None: nothing is decided about it, as no recipe is configured."""
    finding: Row
    """As `shown_drift.pool_row`."""
    configured: PoolSettings | None = None
    unmet: tuple[str, ...] = ()
    active: Row | None = None
    """Its update that has not ended, as `shown.update_row`."""
    calendar: Row | None = field(default=None)
    """As `timetable.timetables`; None: nobody knows the configuration."""
    now: datetime


def chain(known: Known) -> list[Step]:
    """Return the steps, from the cluster's release to what happens next."""
    made = [
        _cluster_version(known),
        _base(known),
        _machine_configs(known),
        _running(known),
        _recipe(known),
        Step(name="state", said=f"{known.finding['state']}: {known.finding['sentence']}"),
        _decision(known),
    ]
    if known.configured is not None:
        made += [_preconditions(known), _policy(known), Step(name="next", said=coming(known))]
    return made


def _cluster_version(known: Known) -> Step:
    release, cv = known.seen.release, known.view.cluster_version
    entries = cv.history[:MOST_HISTORY] if cv else ()
    history = tuple(
        Step(
            name=f"history[{number}]",
            said=f"{line(one.version)} {one.state}, {'verified' if one.verified else 'unverified'}",
            by="ClusterVersion",
        )
        for number, one in enumerate(entries)
    )
    return Step(
        name="release",
        said=release.sentence,
        by="ClusterVersion version",
        steps=(
            *history,
            Step(name="stage", said=str(release.stage)),
            Step(name="image", said=str(release.desired.image), by="status.desired"),
            _signature(known, "signature"),
        ),
    )


def _signature(known: Known, name: str) -> Step:
    genuine, is_known = known.seen.genuine, known.calendar is not None
    return Step(
        name=name,
        said=genuine.blocks or genuine.told,
        by="its signatures and the cluster's keys" if is_known else "",
        ok=not genuine.blocks if is_known else None,
    )


def _base(known: Known) -> Step:
    base = known.seen.base
    if not isinstance(base, Base):
        return Step(name="expected base", said=f"not known: {base.because}")
    return Step(
        name="expected base",
        said=str(base.image),
        by=base.source,
        steps=(
            Step(name="stream", said=base.stream, by="osImageStream, or the release's default"),
            Step(name="of release", said=base.release.version),
        ),
    )


def _machine_configs(known: Known) -> Step:
    seen, version = known.seen, known.seen.release.desired.version
    selector = seen.pool.machine_config_selector
    mine = [
        one
        for one in known.view.machine_configs.values()
        if mco.selects(selector, one.meta.labels) and not one.meta.name.startswith("rendered-")
    ]
    ordered = mco.merge_order(mine, version=version)
    won = mco.winner(seen.pool, mine, version=version)
    names = [one.meta.name for one in ordered]
    more = len(names) - MOST_CONFIGS
    rule = "by name" if mco.minor_of(version) < (4, 15) else "role worker first, then by name"
    steps = [
        Step(
            name="merge order",
            said=", ".join(names[:MOST_CONFIGS]) + (f" and {more} more" if more > 0 else ""),
            by=f"MCO of {version}: {rule}; the last that sets osImageURL wins",
        ),
        *(_speaks(one, won, version) for one in ordered if one.os_image_url),
    ]
    wins = f"{won.meta.name} wins" if won else "none names an image: the release's own is used"
    return Step(name="machine configs", said=f"{len(names)} selected; {wins}", steps=tuple(steps))


def _speaks(one: Any, won: Any, version: str) -> Step:
    is_ignored = mco.is_generated(one) and mco.minor_of(version) >= (4, 21)
    why = "generated, and ignored from 4.21 on" if is_ignored else "a later one wins"
    said = "wins: the last one" if won is one else why
    return Step(name=one.meta.name, said=f"osImageURL {line(one.os_image_url, limit=300)}; {said}")


def _running(known: Known) -> Step:
    running, finding = known.seen.running, known.finding
    if running is None:
        return Step(name="runs", said="the release's own image", by="no override is in force")
    of = running.lineage
    steps = [
        Step(
            name="base",
            said=str(of.base_image or of.base or "not known"),
            by="" if of.said_by is SaidBy.UNKNOWN else str(of.said_by),
        )
    ]
    if of.release_version:
        steps.append(Step(name="of release", said=line(of.release_version)))
    if of.doubt:
        steps.append(Step(name="doubt", said=line(of.doubt)))
    lag = finding["lag"]
    if far := behind(Lag(releases=lag["releases"], minors=lag["minors"], days=lag["days"])):
        steps.append(Step(name="behind", said=far, by=lag["said_by"]))
    by = "MachineConfig " + running.machine_config + (", ours" if running.ours else ", not ours")
    return Step(name="runs", said=line(running.image, limit=300), by=by, steps=tuple(steps))


def _recipe(known: Known) -> Step:
    recipe = known.seen.recipe
    if isinstance(recipe, RecipeBroken):
        named = f"{recipe.name}: " if recipe.name else ""
        return Step(name="recipe", said=f"{named}{recipe.because}")
    steps = [Step(name="digest", said=str(recipe.digest), by="the recipe's directory")]
    had = known.seen.running.lineage.recipe if known.seen.running else None
    if had:
        same = "the same" if had == recipe.digest else "another one"
        steps.append(Step(name="of what runs", said=f"{had} ({same})"))
    if recipe.build_key:
        steps.append(Step(name="build key", said=recipe.build_key))
    steps += [Step(name="lint", said=one, by="advice") for one in known.seen.complaints]
    return Step(name="recipe", said=recipe.name, by="the configuration", steps=tuple(steps))


def _decision(known: Known) -> Step:
    if known.decision is None:
        return Step(name="decision", said="none: no recipe is configured for this pool")
    return Step(name="decision", said=f"{type(known.decision).__name__}: {known.decision.because}")


def _preconditions(known: Known) -> Step:
    """Each that is looked at before an apply, with its value."""
    steps = list(_weighed(known))
    told = " ".join(one.said for one in steps)
    # Whatever else the planner found; there is one truth about that.
    steps += [Step(name="also", said=one, ok=False) for one in known.unmet if one not in told]
    bad = sum(one.ok is False for one in steps)
    said = f"{bad} of {len(steps)} not met" if bad else f"all {len(steps)} are met"
    return Step(name="preconditions", said=said, ok=not bad, steps=tuple(steps))


def _weighed(known: Known) -> Iterator[Step]:
    seen, pool = known.seen, known.seen.pool
    control = f"the control plane: {seen.release.sentence}"
    yield Step(name="release completed", said=control, ok=seen.release.completed)
    yield _signature(known, "release genuine")
    yield Step(
        name="not paused",
        said="the pool is paused" if pool.paused else "spec.paused is false",
        ok=not pool.paused,
    )
    bad = degraded(pool)
    yield Step(name="not degraded", said=bad or "no condition says so", ok=not bad)
    still = mco.is_at_target(pool)
    count = f"{pool.updated_count} of {pool.machine_count}"
    moving = f"nodes are updated: {count}" if still else f"the pool is updating ({count})"
    yield Step(name="not updating", said=moving, ok=still)
    owner = f"MachineOSConfig {seen.owner}" if seen.owner else "nobody"
    yield Step(name="owned by nobody else", said=owner, ok=not seen.owner)
    stream = pool.os_image_stream or "not set"
    yield Step(name="no osImageStream", said=stream, ok=not pool.os_image_stream)
    wins = seen.would_win == seen.our_name
    would = f"{seen.would_win or 'none'} would win, if {seen.our_name} were there"
    yield Step(name="ours would win", said=would, ok=wins)
    also = also_changes(seen) if seen.also_hit else "no other pool inherits it"
    yield Step(name="alone", said=also, ok=not seen.also_hit)
    yield from _ordered(known)
    if calendar := known.calendar:
        reasons = "; ".join(calendar["reasons"]) or "windows, blackouts, freezes, age: nothing"
        yield Step(name="may begin now", said=reasons, ok=calendar["allowed"])


def _ordered(known: Known) -> Iterator[Step]:
    seen = known.seen
    others = {other.place: other for other in seen.others}
    release = seen.release.desired
    for after in known.configured.policy.after if known.configured else ():
        there = others.get(after.place)
        why: str | None = "was not looked at"
        if there is not None:
            why = order.waits_for(
                after, there, release=release.image.digest, now=known.now, version=release.version
            )
        yield Step(name=f"after {after.place}", said=why or "has gone, and is well", ok=not why)


def _policy(known: Known) -> Step:
    assert known.configured is not None, "asked for configured pools only"
    policy, calendar = known.configured.policy, known.calendar or {}
    approval = policy.approval
    who = ", ".join(approval.approvers) or "anybody who may decide"
    votes = f"{max(1, approval.quorum)} vote(s) of {who}"
    asked = {
        "auto": "nobody: the policy itself says yes",
        "notify": "nobody: it is only told of",
    }
    mode = str(known.configured.mode)
    steps = [Step(name="who says yes", said=asked.get(mode, votes), by="the configuration")]
    for one in calendar.get("openings", [])[:2]:
        said = f"{one['start'][:16]} to {(one['end'] or 'for ever')[:16]} UTC"
        steps.append(Step(name="window", said=said.replace("T", " ")))
    steps += [
        Step(name="freeze", said=one["sentence"], by=one["by"])
        for one in calendar.get("freezes", [])
    ]
    steps += [
        Step(name="blackout", said=one["reason"] or "no reason is given")
        for one in calendar.get("blackouts", [])
        if one["in_force"]
    ]
    if calendar.get("old_enough_at"):
        said = f"reached {calendar['old_enough_at'][:16].replace('T', ' ')} UTC"
        steps.append(Step(name="minimum age", said=said))
    return Step(name="policy", said=f"mode {mode}", steps=tuple(steps))


def coming(known: Known) -> str:
    """Return what happens next, and when."""
    opens = (known.calendar or {}).get("opens_at")
    at = f", not before {opens[:16].replace('T', ' ')} UTC" if opens else ""
    if known.active:
        return _coming_of(known.active, at)
    mode = str(known.configured.mode) if known.configured else ""
    match type(known.decision).__name__:
        case "InStep":
            return "nothing; each change of the cluster, the recipe or the release is looked at"
        case "Rebuild" if mode == "notify":
            return "it is told of, and nothing else: `relayer rebuild` asks for an update"
        case "Rebuild":
            who = "then approved by the policy" if mode == "auto" else "then people are asked"
            return f"the service's next look proposes an update: it is built, {who}, applied{at}"
        case _:
            return "nothing until that changes; it is looked at again as soon as something moves"


def _coming_of(update: Row, at: str) -> str:
    waits = str(update["progress"].get("waiting", ""))
    said = f"; {waits}" if waits else ""
    match update["state"]:
        case "awaiting-approval":
            until = (update["expires_at"] or "")[:16].replace("T", " ")
            end = f" before {until} UTC" if until else ""
            return f"`relayer approve {update['id']}`{end}; it is applied after that{at}"
        case "scheduled":
            return f"{update['id']} is applied as soon as nothing stands in the way{at}{said}"
        case state:
            return f"{update['id']} is {state}{said}"

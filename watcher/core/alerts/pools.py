"""Rules about pools, ours or not, from what was found of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.alerts.model import (
    RANKS,
    Case,
    Facts,
    Limits,
    Rule,
    cause_of,
    counted,
    level,
    next_level,
    utc,
    worst,
)
from watcher.core.blocks import NEXT_PATCH, Target, target_of
from watcher.core.causes import same
from watcher.core.letters import Severity
from watcher.core.state import Block, Finding, Flag, Raised, State, Surveyed
from watcher.core.timing import Freeze, in_force, shown
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import UpdateState

ROLLING = frozenset(
    {UpdateState.APPLYING, UpdateState.ROLLING_OUT, UpdateState.SOAKING, UpdateState.ROLLING_BACK}
)
"""States of an update that changes its pool now; it tells of itself how that goes."""
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class _Of:
    """One pool, and what is known beside its finding."""

    facts: Facts
    limits: Limits
    surveyed: Surveyed
    finding: Finding
    place: str
    update: Update | None
    freezes: tuple[Freeze, ...]

    @property
    def is_rolling(self) -> bool:
        """Relayer is changing it, or has paused it for its window."""
        return self.update is not None and self.update.state in ROLLING

    def case(
        self,
        rule: Rule,
        severity: Severity,
        sentence: str,
        *,
        cause: str = "",
        what: str = "",
        at: datetime | None = None,
        wait: timedelta | None = None,
        is_quiet: bool = False,
        changes_at: datetime | None = None,
    ) -> Case:
        """By default one cause for its cluster, that holds since now."""
        return Case(
            rule=rule,
            place=self.place,
            cause=cause or cause_of(rule, self.finding.cluster),
            severity=severity,
            sentence=sentence,
            at=at or self.facts.now,
            wait=self.limits.wait(rule) if wait is None else wait,
            what=what,
            is_quiet=is_quiet,
            changes_at=changes_at,
        )

    def alike(self, rule: Rule, said: str) -> str:
        """Return a cause within the cluster, by its words."""
        cluster, pool = self.finding.cluster, self.finding.pool
        return cause_of(rule, f"{cluster} {same(said, cluster, pool)}")

    def flag(self, wanted: Flag) -> Raised | None:
        return next((one for one in self.finding.flags if one.flag is wanted), None)


def cases(facts: Facts, limits: Limits) -> Iterator[Case]:
    """Return what holds of every pool that was found; of one without nodes nothing does."""
    for surveyed in facts.surveyed:
        for finding in surveyed.findings:
            if finding.state is State.EMPTY:
                continue
            place = f"{finding.cluster}/{finding.pool}"
            freezes = facts.freezes and in_force(
                facts.freezes, finding.cluster, finding.pool, now=facts.now
            )
            active = facts.active.get(place)
            yield from _of_pool(
                _Of(facts, limits, surveyed, finding, place, active, tuple(freezes))
            )


def _of_pool(of: _Of) -> Iterator[Case]:
    if lag := _lag(of):
        yield lag
    if of.finding.blocks:
        yield from _blocks(of)
    if of.finding.flags:
        yield from _flags(of)


# --- lag -----------------------------------------------------------------------------------------


def _lag(of: _Of) -> Case | None:
    """One case, as bad as the worst of its three units, which the sentence names."""
    found, alerts = of.finding.lag, of.limits.alerts
    days = None if found.days is None else found.days * _DAY
    units = (
        ("release", found.releases, level(alerts.lag_releases, found.releases)),
        ("minor", found.minors, level(alerts.lag_minors, found.minors)),
        ("day", found.days, level(alerts.lag_seconds, days)),
    )
    levels = [severity for _, _, severity in units if severity]
    if not levels:
        return None
    severity = worst(levels)
    how_far = [_number(number, unit) for unit, number, _ in units if number]
    judged = [f"{unit}s" for unit, _, said in units if said is severity]
    release = of.surveyed.version or "its cluster"
    return of.case(
        Rule.LAG,
        _as_can_be_acted(of, severity),
        f"its OS image is {_listed(how_far)} behind that of {release}: {severity} by"
        f" {_listed(judged)}",
        what=of.surveyed.version,
        is_quiet=_is_on_its_way(of, severity),
    )


def _as_can_be_acted(of: _Of, severity: Severity) -> Severity:
    """Nobody shall act while it is frozen or held by a person: it is said, and wakes nobody. A
    blackout is nobody's decision about this lag, so it does not hide a critical one."""
    if of.freezes:
        return Severity.INFO
    is_out = of.place in of.facts.blacked_out
    return Severity.INFO if is_out and severity is Severity.WARNING else severity


def _is_on_its_way(of: _Of, severity: Severity) -> bool:
    """Its cluster is being upgraded, so that every pool lags for a while; or it is given its
    image, by us or because MCO rolls it; or an update for it waits, and tells so itself."""
    stage = of.surveyed.stage
    upgrading = bool(stage.target_version or stage.target_image) and not stage.completed
    waits = of.update is not None and of.update.state in NOT_BEGUN
    is_small = RANKS[severity] < RANKS[Severity.CRITICAL]
    stands = of.flag(Flag.PAUSED) or of.flag(Flag.DEGRADED)
    moves = of.finding.state is State.BLOCKED and not stands
    return upgrading or moves or of.is_rolling or (waits and is_small)


def _number(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


# --- what it blocks ------------------------------------------------------------------------------


def _blocks(of: _Of) -> Iterator[Case]:
    """What a pool keeps from happening; where that is only because it is paused or degraded, and
    no upgrade waits for it, those rules tell it."""
    patches, minors = [], []
    for block in of.finding.blocks:
        match target_of(block, of.surveyed.version):
            case Target.CERTIFICATES:
                yield from _certificate(of, block)
            case Target.PATCH:
                patches.append(block)
            case Target.MINOR if not _is_said_by_flag(of, block):
                minors.append(block)
            case Target.MINOR:
                pass
    if patches:
        # One that is under way and cannot complete is worse than one that nobody has asked for.
        begun = [block for block in patches if block.target != NEXT_PATCH]
        severity = Severity.CRITICAL if begun else Severity.WARNING
        why = (begun or patches)[0].why
        yield of.case(Rule.BLOCKS_PATCH, severity, why, is_quiet=of.is_rolling)
    if minors:
        yield of.case(Rule.BLOCKS_MINOR, Severity.WARNING, minors[0].why, what=minors[0].target)


def _is_said_by_flag(of: _Of, block: Block) -> bool:
    if block.why.endswith("it is still updating"):
        return True  # passes by itself; a rollout that does not end is told as such
    degraded = block.why.endswith("it is degraded") and of.flag(Flag.DEGRADED)
    paused = " is paused and " in block.why and of.flag(Flag.PAUSED)
    return bool(
        (degraded and of.limits.is_on(Rule.DEGRADED)) or (paused and of.limits.is_on(Rule.PAUSED))
    )


def _certificate(of: _Of, block: Block) -> Iterator[Case]:
    if block.until is None:
        return  # nobody knows when they end; that the pool is paused is told
    limit, now = of.limits.alerts.certificate_seconds, of.facts.now
    steps = ((limit.critical, Severity.CRITICAL), (limit.warning, Severity.WARNING))
    ends = utc(block.until)
    due = [(ends - timedelta(seconds=step), said) for step, said in steps if step is not None]
    reached = next((said for at, said in due if at <= now), None)
    if reached is not None:
        later = min((at for at, _ in due if at > now), default=None)
        yield of.case(Rule.CERTIFICATE, reached, block.why, changes_at=later)


# --- flags ---------------------------------------------------------------------------------------


def _flags(of: _Of) -> Iterator[Case]:
    if (raised := of.flag(Flag.UNPULLABLE)) is not None:
        cause = of.alike(Rule.UNPULLABLE, raised.said)
        yield of.case(Rule.UNPULLABLE, Severity.CRITICAL, raised.said, cause=cause)
    if (raised := of.flag(Flag.PAUSED)) is not None:
        yield from _paused(of, raised)
    if (raised := of.flag(Flag.DEGRADED)) is not None and not _is_worse(of):
        yield _degraded(of, raised)


def _is_worse(of: _Of) -> bool:
    """Whether the same is told as what no upgrade can pass."""
    return of.limits.is_on(Rule.BLOCKS_PATCH) and any(
        target_of(block, of.surveyed.version) is Target.PATCH
        and f"pool {of.finding.pool} is degraded" in block.why
        for block in of.finding.blocks
    )


def _paused(of: _Of, raised: Raised) -> Iterator[Case]:
    limit, now, quiet = of.limits.alerts.paused_seconds, of.facts.now, of.is_rolling
    blocks = [b.why for b in of.finding.blocks if " is paused and " in b.why]
    also = f"; {blocks[0]}" if blocks else ""
    if raised.since is None:
        sentence = f"it is paused, and nobody says since when{also}"
        for severity, wait in counted(limit, of.limits.wait(Rule.PAUSED)):
            yield of.case(Rule.PAUSED, severity, sentence, wait=wait, is_quiet=quiet)
        return
    since = min(utc(raised.since), now)
    if said := level(limit, (now - since).total_seconds()):
        yield of.case(
            Rule.PAUSED,
            said,
            f"it is paused since {shown(since)}{also}",
            at=since,
            is_quiet=quiet,
            changes_at=next_level(limit, since, now),
        )


def _degraded(of: _Of, raised: Raised) -> Case:
    since = of.facts.now if raised.since is None else min(utc(raised.since), of.facts.now)
    return of.case(
        Rule.DEGRADED,
        Severity.WARNING,
        f"it is degraded: {raised.said}" if raised.said else "it is degraded",
        cause=of.alike(Rule.DEGRADED, raised.said),
        at=since,
        is_quiet=of.is_rolling,
    )

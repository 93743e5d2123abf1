"""From the cases that hold now to the notices that stand: one for each cause and place. Pure.

A case is loud, or it keeps quiet: somebody silenced it, or it is held back by what is under way.
A quiet one keeps what was told of it and tells nothing anew, so that a silence loses no alert and
an update that is under way ends none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from watcher.core import silences
from watcher.core.alerts.model import RANKS, Case, Rule, rule_of, worst
from watcher.core.letters import Severity
from watcher.core.notices import concerns as lasting
from watcher.core.notices.concerns import Key
from watcher.core.notices.memory import (
    AGAIN,
    KEPT,
    MOST,
    RENEWED,
    UNSILENCED,
    WORSE,
    Concern,
    Memory,
    Standing,
    Terms,
)
from watcher.core.notices.titles import bounded, is_cut, sentence_of, title_of
from watcher.core.silences import Silence

if TYPE_CHECKING:
    from watcher.settings_alerts import AlertEscalation


def standing(cases: Iterable[Case], before: Memory, terms: Terms, *, now: datetime) -> Memory:
    """Return what stands now. A repeat with the same cases changes nothing."""
    known = [case for case in cases if not lasting.is_unknown(case.cause, case.place, terms)]
    concerns = lasting.concerns(known, lasting.begun_by(now, before.concerns), terms)
    round_ = _Round(
        before=_latest(before.notices, now),
        known={(concern.place, concern.cause): concern for concern in concerns},
        terms=terms,
        now=now,
    )
    groups = _by_cause([*known, *_unknown(before.notices, terms, now)])
    notices = {one.key: one for one in _carried(before.notices, groups, terms)}
    for group in groups.values():
        notices |= {one.key: one for one in round_.of_cause(group)}
    ended = [_ended(one, now) for one in before.notices if one.key not in notices]
    over = [one for one in ended if one.over_at and now - one.over_at < KEPT]
    return Memory(
        concerns=tuple(concerns),
        notices=tuple(sorted((*notices.values(), *over), key=_last_to_lose)[:MOST]),
    )


def again_at(
    cases: Iterable[Case], memory: Memory, terms: Terms, *, now: datetime
) -> datetime | None:
    """Return when this changes though nothing happens: something has lasted, a silence ends."""
    known = {(concern.place, concern.cause): concern for concern in memory.concerns}
    due = [silence.until for silence in terms.silences]
    for case in cases:
        concern = known.get((case.place, case.cause))
        due.append((concern.begun if concern else case.at) + case.wait)
        if case.changes_at is not None:
            due.append(case.changes_at)
    for notice in memory.notices:
        if notice.over_at is None and notice.loud_since is not None and not notice.escalated:
            due += [
                notice.loud_since + timedelta(seconds=step.after_seconds)
                for step in terms.escalations
            ]
    return min((at for at in due if at > now), default=None)


@dataclass(slots=True)
class _Judged:
    """A case, and what is known of it beside."""

    case: Case
    since: datetime
    is_ripe: bool
    """It has lasted as long as its rule wants."""
    silenced: str
    """By whom; empty: by nobody."""
    is_loud: bool
    """Neither silenced nor held back."""


@dataclass(slots=True)
class _Members:
    """What one place is told of one cause."""

    loud: list[_Judged]
    quiet: list[_Judged] = field(default_factory=list)
    """Silenced, or held back; told before."""

    @property
    def all(self) -> list[_Judged]:
        return [*self.loud, *self.quiet]


@dataclass(slots=True)
class _Round:
    """One computation."""

    before: Mapping[tuple[str, str], Standing]
    """By place and cause: what stands, or was over a moment ago."""
    known: Mapping[Key, Concern]
    terms: Terms
    now: datetime
    _silences: dict[Rule, list[Silence]] = field(default_factory=dict)
    """By rule."""
    _to: dict[tuple[str, Severity], tuple[str, ...]] = field(default_factory=dict)
    _heard: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _escalated: dict[str, list[str]] = field(default_factory=dict)
    """Cause → where it is told because it had lasted."""

    def __post_init__(self) -> None:
        for (to, cause), notice in self.before.items():
            if notice.escalated and notice.over_at is None:
                self._escalated.setdefault(cause, []).append(to)

    def of_cause(self, group: Sequence[Case]) -> list[Standing]:
        """Return the notices of one cause: where routes say, then where it is told too."""
        cause, made = group[0].cause, dict[str, Standing]()
        judged = [self._judged(case) for case in group]
        listening: dict[str, list[_Judged]] = {}
        for one in judged:
            for to in self._hears(one.case.place):
                listening.setdefault(to, []).append(one)
        for to, mine in listening.items():
            if notice := self._notice(to, cause, mine):
                made[to] = notice
        for to in self._told_too(cause, made):
            if to not in made and (notice := self._notice(to, cause, judged, always=True)):
                made[to] = replace(notice, escalated=True)
        return list(made.values())

    def _judged(self, case: Case) -> _Judged:
        concern = self.known.get((case.place, case.cause))
        begun, since = (concern.begun, concern.since) if concern else (case.at, case.at)
        silenced = self._silence_of(case)
        is_loud = not (silenced or case.is_quiet)
        return _Judged(case, since, self.now - begun >= case.wait, silenced, is_loud)

    # --- where -----------------------------------------------------------------------------------

    def _goes(self, case: Case, to: str) -> bool:
        """Whether news of this case as it is goes to a place."""
        key = (case.place, case.severity)
        if key not in self._to:
            self._to[key] = tuple(self.terms.to(case.place, case.severity))
        return to in self._to[key]

    def _hears(self, place: str) -> tuple[str, ...]:
        """Everybody who hears of a pool, whatever the severity: of what was told somewhere, its
        end is told there too, and that it is worse or better meanwhile."""
        if place not in self._heard:
            found = [to for severity in Severity for to in self.terms.to(place, severity)]
            self._heard[place] = tuple(dict.fromkeys(found))
        return self._heard[place]

    def _told_too(self, cause: str, made: Mapping[str, Standing]) -> dict[str, None]:
        """Places where it is told too: it has lasted, or was told there and goes on."""
        found = {
            to: None
            for step in self.terms.escalations
            if any(_is_due(one, step, self.now) for one in made.values())
            for to in step.to
        }
        return found | dict.fromkeys(self._escalated.get(cause, ()))

    # --- what ------------------------------------------------------------------------------------

    def _silence_of(self, case: Case) -> str:
        """By whom it is silenced; empty: by nobody."""
        if case.rule not in self._silences:
            self._silences[case.rule] = [
                one for one in self.terms.silences if one.rule in ("", case.rule)
            ]
        if not (known := self._silences[case.rule]):
            return ""
        cluster, _, pool = case.place.partition("/")
        found = silences.in_force(known, rule=case.rule, cluster=cluster, pool=pool, now=self.now)
        last = max(found, key=lambda one: one.until, default=None)
        return silences.sentence(last) if last else ""

    def _notice(
        self, to: str, cause: str, group: Sequence[_Judged], *, always: bool = False
    ) -> Standing | None:
        """Return the notice as it shall stand at a place, or None where none shall.

        `always`: whoever is told here is told whatever the severity, as it was told elsewhere.
        """
        was = self.before.get((to, cause))
        members = _Members([one for one in group if one.is_loud])
        mine = [one for one in members.loud if always or self._goes(one.case, to)]
        if was is not None and was.over_at is None:
            members.quiet = [one for one in group if not one.is_loud and _was_told(one.case, was)]
            stays = bool(members.loud or members.quiet)
        else:
            # What was over a moment ago is back, whether it has lasted or not.
            stays = bool(mine) if was else any(one.is_ripe for one in mine)
        if not stays:
            return None
        fresh = self._fresh(to, members, was)
        return self._said(was, members, fresh) if was else fresh

    def _fresh(self, to: str, members: _Members, was: Standing | None) -> Standing:
        """All pools with the cause, also those it is new to, so that an outage is told whole and
        not pool by pool."""
        ripe = [one for one in members.loud if one.is_ripe]
        # What has not lasted yet is named, and makes it no worse.
        severity = worst([one.case.severity for one in ripe or members.all])
        if was and not ripe:
            severity = min(severity, was.severity, key=RANKS.__getitem__)
        cases = [one.case for one in members.all]
        cases.sort(key=lambda case: (-_rank(case, severity), case.place))
        names = sorted({case.place for case in cases if case.place})
        return Standing(
            to=to,
            cause=cases[0].cause,
            title=title_of(cases[0], names),
            sentence=sentence_of(cases),
            places=bounded(names),
            severity=severity,
            since=min((one.since for one in ripe), default=self.now),
            said_at=self.now,
            silenced=_silenced(members),
            loud_since=self.now if members.loud else None,
            peak=severity,
        )

    def _said(self, was: Standing, members: _Members, fresh: Standing) -> Standing:
        """Return it as it goes on."""
        # A person's words are told as they are; those of programs have numbers that run.
        runs = rule_of(fresh.cause) is not Rule.FROZEN and was.over_at is None
        runs = runs and (was.places, was.severity) == (fresh.places, fresh.severity)
        is_good = was.sentence == fresh.sentence or (runs and self.now - was.said_at < RENEWED)
        kept = was if is_good else fresh
        after = replace(
            fresh,
            since=was.since,
            sentence=kept.sentence,
            said_at=kept.said_at,
            escalated=was.escalated,
            called_at=was.called_at,
            called=was.called,
        )
        if not members.loud:  # as it was, until somebody can be told again
            return replace(after, severity=was.severity, peak=was.peak, low_since=was.low_since)
        return self._called(was, after)

    def _called(self, was: Standing, after: Standing) -> Standing:
        """Call somebody anew where an edit alone would let them sleep; once for each rise."""
        if RANKS[after.severity] > RANKS[was.peak]:
            return replace(after, called_at=self.now, called=WORSE)
        low_since = None
        if RANKS[after.severity] < RANKS[was.peak]:
            low_since = was.low_since or self.now
            if self.now - low_since < AGAIN:
                after = replace(after, peak=was.peak, low_since=low_since)
        loud_since = was.loud_since or self.now
        if was.loud_since is None and was.silenced and was.over_at is None:
            return replace(after, loud_since=loud_since, called_at=self.now, called=UNSILENCED)
        return replace(after, loud_since=loud_since)


# --- what was before -----------------------------------------------------------------------------


def _latest(notices: Iterable[Standing], now: datetime) -> Mapping[tuple[str, str], Standing]:
    """The notice that something is again: one that stands, or was over a moment ago."""
    found: dict[tuple[str, str], Standing] = {}
    for one in notices:
        if one.over_at is not None and now - one.over_at >= AGAIN:
            continue
        other = found.setdefault((one.to, one.cause), one)
        if (one.over_at is None, one.since) > (other.over_at is None, other.since):
            found[one.to, one.cause] = one
    return found


def _unknown(notices: Iterable[Standing], terms: Terms, now: datetime) -> list[Case]:
    """What was told of clusters that are not seen now, as if it still held, and quiet."""
    if not (terms.unseen or terms.unsurveyed or terms.unreadable):
        return []
    return [
        Case(
            rule=rule,
            place=place,
            cause=notice.cause,
            severity=notice.severity,
            sentence=notice.sentence,
            at=notice.since,
            wait=timedelta(),
            is_quiet=True,
        )
        for notice in notices
        if notice.over_at is None and (rule := rule_of(notice.cause)) is not None
        for place in notice.places
        if lasting.is_unknown(notice.cause, place, terms)
    ]


def _carried(
    notices: Iterable[Standing], groups: dict[str, list[Case]], terms: Terms
) -> list[Standing]:
    """Return those of which nothing is seen now, exactly as they are, and take them out."""
    alone = {
        cause
        for cause, group in groups.items()
        if all(lasting.is_unknown(cause, case.place, terms) for case in group)
    }
    for cause in alone:
        del groups[cause]
    return [one for one in notices if one.cause in alone and one.over_at is None]


def _ended(notice: Standing, now: datetime) -> Standing:
    return notice if notice.over_at is not None else replace(notice, over_at=now)


def _last_to_lose(notice: Standing) -> tuple[bool, float, str]:
    """Order: what stands, oldest first; then what is over, newest first."""
    over = notice.over_at
    at = notice.since.timestamp() if over is None else -over.timestamp()
    return (over is not None, at, notice.key)


# --- small questions -----------------------------------------------------------------------------


def _by_cause(cases: Iterable[Case]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.cause, []).append(case)
    return groups


def _was_told(case: Case, notice: Standing) -> bool:
    return not case.place or case.place in notice.places or is_cut(notice.places)


def _rank(case: Case, severity: Severity) -> int:
    """What is as bad as the notice comes first; what is worse has not lasted yet."""
    return RANKS[case.severity] if RANKS[case.severity] <= RANKS[severity] else -1


def _silenced(members: _Members) -> str:
    """By whom; where only some of its pools are, which."""
    found = [one for one in members.quiet if one.silenced]
    if not found or not members.loud:
        return found[0].silenced if found else ""
    places = list(dict.fromkeys(one.case.place for one in found))
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return f"{places[0]}{more}: {found[0].silenced}"


def _is_due(notice: Standing, step: "AlertEscalation", now: datetime) -> bool:
    return (
        notice.over_at is None
        and notice.severity in step.severities
        and notice.loud_since is not None
        and now - notice.loud_since >= timedelta(seconds=step.after_seconds)
    )

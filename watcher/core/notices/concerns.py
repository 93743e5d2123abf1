"""How long each thing has been so: nothing is told before it has lasted. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from watcher.core.alerts.model import (
    FROM_FINDINGS,
    FROM_LOOKS,
    NEVER,
    Case,
    Rule,
    cluster_of,
    rule_of,
)
from watcher.core.notices.memory import Concern, Terms
from watcher.core.sight import is_ahead

Key = tuple[str, str]
"""Place and cause."""


def is_unknown(cause: str, place: str, terms: Terms) -> bool:
    """Whether what a cause is derived from is not seen, so that nobody knows if it still holds."""
    if not (terms.unseen or terms.unsurveyed or terms.unreadable):
        return False
    rule, cluster = rule_of(cause), cluster_of(place)
    if cluster in terms.unseen:
        return rule in FROM_FINDINGS or rule in FROM_LOOKS
    is_unfound = cluster in terms.unsurveyed or place in terms.unreadable
    return is_unfound and rule in FROM_FINDINGS


def begun_by(now: datetime, before: Iterable[Concern]) -> list[Concern]:
    """Return concerns as they are now: by a clock that was put back, those that would begin later
    begin anew, as they would otherwise wait for the time that was put back too."""
    return [replace(one, begun=now) if is_ahead(one.begun, now=now) else one for one in before]


def concerns(cases: Iterable[Case], before: Sequence[Concern], terms: Terms) -> list[Concern]:
    """Return since when it is so for each pool; what stopped in between began anew, but for what
    nobody could see in between."""
    found: dict[Key, Concern] = {}
    for one in _of_cases(cases, before):
        other = found.setdefault((one.place, one.cause), one)
        if one.since < other.since:  # two cases of one cause
            found[one.place, one.cause] = one
    for one in before:
        if is_unknown(one.cause, one.place, terms) and not _is_of_blindness(one, terms):
            found.setdefault((one.place, one.cause), one)
    return _first_of_each_cause_first(found.values())


def _of_cases(cases: Iterable[Case], before: Sequence[Concern]) -> Iterator[Concern]:
    known = {(concern.place, concern.cause): concern for concern in before}
    held: dict[str, datetime] = {}
    for one in before:
        if rule_of(one.cause) is Rule.HELD:
            held[one.place] = min(one.begun, held.get(one.place, one.begun))
    for case in cases:
        if case.is_quiet or case.rule is Rule.FROZEN:
            continue  # a freeze says itself since when
        was = known.get((case.place, case.cause))
        if was is not None and case.rule is not Rule.HELD:
            yield was
            continue
        since = was.since if was else case.at
        begun = held.get(case.place, since) if case.rule is Rule.HELD else since
        yield Concern(place=case.place, cause=case.cause, since=since, begun=begun)


def _is_of_blindness(concern: Concern, terms: Terms) -> bool:
    """Whether it began only as the cluster was not seen any more: that is what it came of."""
    seen = terms.unseen.get(cluster_of(concern.place))
    return seen is not None and seen.year >= NEVER and concern.begun > seen


def _first_of_each_cause_first(found: Iterable[Concern]) -> list[Concern]:
    """Order: what may be lost is last. One pool is enough for a cause to be told whole, so the
    oldest concern of each cause in each cluster stays longest."""
    rank: Counter[Key] = Counter()
    ranked = []
    for one in sorted(found, key=lambda c: (c.begun, c.place, c.cause)):
        key = (cluster_of(one.place), one.cause)
        ranked.append((rank[key], one))
        rank[key] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]

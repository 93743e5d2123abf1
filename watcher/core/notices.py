"""What people are told beside updates: causes that stand now, however many pools they concern.

A notice is the same by its cause, never by its words: one outage is one message at a place, a
changing number or duration makes no second one, and what comes back soon is the old one again.
So the registry that twenty pools wait for is told of once, and again only when it is over.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from watcher.core.causes import same
from watcher.core.letters import About, Notice, Severity, Wanted
from watcher.core.timing import Freeze, freeze_sentence, in_force, shown

AGAIN = timedelta(minutes=30)
"""What comes back within this is the same notice: a flapping cause only edits it. 30 min: six
looks, so that a cause which is there at every other look never gets a second message."""
KEPT = timedelta(days=1)
"""How long one that is over is still wanted: longer than chat is ever down."""
RENEWED = timedelta(minutes=30)
"""How often a sentence follows its changing numbers; each time is an edit in chat."""
MOST = 200
PLACES = 20
"""Pools that a notice names; how many more there are stands behind them."""
SENTENCE = 400
"""Most characters of a sentence."""
STALE_LOOKS = 3
"""Part of the time without a look for which this must have been seen: after the service was down
every look is old, and a moment later none is."""

View = Mapping[str, object]
To = Callable[[str, Severity], Iterable[str]]
"""The places that news about a pool (cluster/pool) of a severity go to."""


class Kind(StrEnum):
    HELD = "held"
    """A look says that something is not as it should be, and that nothing may be done."""
    BEHIND = "behind"
    """There is something to do, and the policy says that it is only told."""
    UNSEEN = "unseen"
    """Looks at the pool do not end. Whoever looks cannot tell that it does not, but the courier
    beside it can; that the whole service is down is for the alerts of a monitoring."""
    FROZEN = "frozen"


SEVERITIES: Mapping[Kind, Severity] = {
    # Never critical, however long it lasts: nodes go on running what they run. It is told every
    # day by the digest, and who shall be woken for an update is said by its escalations.
    Kind.HELD: Severity.WARNING,
    Kind.UNSEEN: Severity.WARNING,
    Kind.BEHIND: Severity.INFO,
    Kind.FROZEN: Severity.INFO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """A pool that something has to last for before it is told."""

    place: str
    """cluster/pool."""
    cause: str
    since: datetime
    """Since when it is concerned by this cause."""
    begun: datetime
    """Since when it waits to be told: a pool held for one thing after another is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A notice at one place, from when it is first told until a day after it is over."""

    to: str
    """`slack:C…` or `webhook:<name>`: each place is told of its own pools, and of their end."""
    cause: str
    title: str
    sentence: str
    places: tuple[str, ...]
    severity: Severity
    since: datetime
    """Names it together with `to` and `cause`, so it never changes."""
    said_at: datetime
    """When its sentence was taken."""
    over_at: datetime | None = None

    @property
    def key(self) -> str:
        """Its name within the subject `fleet`."""
        return f"notice:{self.cause}:{self.since.astimezone(UTC):%Y%m%dT%H%M%S}@{self.to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that is remembered from one computation to the next; what may be lost first is last."""

    concerns: tuple[Concern, ...] = ()
    notices: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Something about one pool, as of now."""

    kind: Kind
    place: str
    cause: str
    what: str
    """What the title needs beside the pools."""
    sentence: str
    at: datetime
    """Since when it is so, if it was not known before."""


def standing(
    views: Iterable[View],
    freezes: Sequence[Freeze],
    before: Memory,
    *,
    to: To,
    hold_seconds: float,
    stale_seconds: float,
    now: datetime,
) -> Memory:
    """Return what stands now. Views: of every configured pool, `cluster` and `pool` at least.

    `hold_seconds`: how long a pool must be held; `stale_seconds`: how old a look may be.
    """
    cases = [c for view in views for c in _cases(view, freezes, stale_seconds, now)]
    concerns = tuple(_concerns(cases, before.concerns))
    known = {(concern.place, concern.cause): concern for concern in concerns}
    waits = _waits(hold_seconds, stale_seconds)
    groups: dict[tuple[str, str], list[_Case]] = {}
    for case in cases:
        for place in dict.fromkeys(to(case.place, SEVERITIES[case.kind])):
            groups.setdefault((place, case.cause), []).append(case)
    notices: list[Standing] = []
    for (place, cause), group in groups.items():
        told = _told(before.notices, place, cause, now)
        since = [_since(case, known) for case in group if _is_ripe(case, known, waits, now)]
        if told or since:
            notices.append(_said(told, group, place, min(since, default=now), now))
    stand = {notice.key for notice in notices}
    ended = [_ended(one, now) for one in before.notices if one.key not in stand]
    over = [one for one in ended if one.over_at and now - one.over_at < KEPT]
    return Memory(
        concerns=tuple(sorted(concerns, key=lambda c: (c.begun, c.place, c.cause))),
        notices=tuple(sorted((*notices, *over), key=_last_to_lose)[:MOST]),
    )


def letters(memory: Memory) -> tuple[Wanted, ...]:
    """Return what shall stand where: one letter for each notice."""
    return tuple(
        Wanted(
            key=notice.key,
            place=notice.to,
            about=About.NOTICE,
            severity=notice.severity,
            body=Notice(
                cause=notice.cause,
                title=notice.title,
                sentence=notice.sentence,
                places=notice.places,
                severity=notice.severity,
                since=notice.since,
                over_at=notice.over_at,
            ),
        )
        for notice in memory.notices
    )


def again_at(
    memory: Memory,
    freezes: Iterable[Freeze],
    *,
    hold_seconds: float,
    stale_seconds: float,
    now: datetime,
) -> datetime | None:
    """Return when this changes though nothing happens: something has lasted, a freeze ends."""
    waits = _waits(hold_seconds, stale_seconds)
    due = [concern.begun + waits[_kind_of(concern.cause)] for concern in memory.concerns]
    due += [freeze.until.astimezone(UTC) for freeze in freezes if freeze.until is not None]
    return min((at for at in due if at > now), default=None)


# --- what is so now ------------------------------------------------------------------------------


def _cases(
    view: View, freezes: Sequence[Freeze], stale_seconds: float, now: datetime
) -> Iterator[_Case]:
    """Return all that there is to tell about one pool."""
    cluster, pool = _text(view, "cluster"), _text(view, "pool")
    place, at, because = f"{cluster}/{pool}", _at(view), _text(view, "because")
    seen_at = min(at or now, now)
    if _is_trouble(view):
        cause = _cause(Kind.HELD, same(because, cluster, pool))
        yield _Case(kind=Kind.HELD, place=place, cause=cause, what="", sentence=because, at=seen_at)
    elif view.get("only_told") is True:
        release = _text(view, "expected_release")
        yield _Case(
            kind=Kind.BEHIND,
            place=place,
            cause=_cause(Kind.BEHIND, f"{cluster} {release}"),
            what=release,
            sentence=f"{because}; its policy only tells of it: `relayer rebuild {place}` asks"
            " for it",
            at=seen_at,
        )
    if at is None or now - at > timedelta(seconds=stale_seconds):
        last = "it was never looked at" if at is None else f"no look has ended since {shown(at)}"
        yield _Case(
            kind=Kind.UNSEEN,
            place=place,
            cause=_cause(Kind.UNSEEN, ""),
            what="",
            sentence=f"{last}; the log of the leading replica says why",
            at=now,
        )
    for freeze in in_force(freezes, cluster, pool, now=now):
        yield _Case(
            kind=Kind.FROZEN,
            place=place,
            cause=_cause(Kind.FROZEN, freeze.scope),
            what=freeze.scope,
            sentence=freeze_sentence(freeze),
            at=min(freeze.at.astimezone(UTC), now),
        )


def _is_trouble(view: View) -> bool:
    """Whether a pool is held for something that a person shall do something about."""
    if view.get("decision") != "Hold" or _text(view, "stock_by"):
        return False  # stock: it runs what somebody wants it to run
    update = _text(view, "update")
    # Held for its own update (paused until the next window): the update's message tells of it.
    return not (update and update in _text(view, "because"))


def _text(view: View, name: str) -> str:
    value = view.get(name)
    return value if isinstance(value, str) else ""


def _at(view: View) -> datetime | None:
    try:
        at = datetime.fromisoformat(_text(view, "at"))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def _cause(kind: Kind, text: str) -> str:
    return f"{kind}:{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}"


def _kind_of(cause: str) -> Kind:
    return Kind(cause.partition(":")[0])


# --- how long it has been so ---------------------------------------------------------------------


def _waits(hold_seconds: float, stale_seconds: float) -> Mapping[Kind, timedelta]:
    return {
        Kind.HELD: timedelta(seconds=hold_seconds),
        Kind.UNSEEN: timedelta(seconds=stale_seconds / STALE_LOOKS),
    }


def _concerns(cases: Iterable[_Case], before: Sequence[Concern]) -> Iterator[Concern]:
    """Return since when it is so for each pool; what stopped in between began anew."""
    known = {(concern.place, concern.cause): concern for concern in before}
    held: dict[str, datetime] = {}
    for one in before:
        if _kind_of(one.cause) is Kind.HELD:
            held[one.place] = min(one.begun, held.get(one.place, one.begun))
    for case in cases:
        if case.kind not in (Kind.HELD, Kind.UNSEEN):
            continue
        was = known.get((case.place, case.cause))
        since = was.since if was else case.at
        begun = held.get(case.place, since) if case.kind is Kind.HELD else since
        yield Concern(place=case.place, cause=case.cause, since=since, begun=begun)


def _since(case: _Case, known: Mapping[tuple[str, str], Concern]) -> datetime:
    concern = known.get((case.place, case.cause))
    return concern.since if concern else case.at


def _is_ripe(
    case: _Case,
    known: Mapping[tuple[str, str], Concern],
    waits: Mapping[Kind, timedelta],
    now: datetime,
) -> bool:
    concern = known.get((case.place, case.cause))
    return concern is None or now - concern.begun >= waits[case.kind]


# --- what stands ---------------------------------------------------------------------------------


def _told(notices: Iterable[Standing], to: str, cause: str, now: datetime) -> Standing | None:
    """Return the notice that this is again: one that stands, or was over a moment ago."""
    mine = [
        one
        for one in notices
        if (one.to, one.cause) == (to, cause) and (one.over_at is None or now - one.over_at < AGAIN)
    ]
    return max(mine, key=lambda one: (one.over_at is None, one.since), default=None)


def _said(
    told: Standing | None, group: Sequence[_Case], to: str, since: datetime, now: datetime
) -> Standing:
    """Return the notice as it shall stand: all pools with the cause, also those it is new to, so
    that an outage is told whole and not pool by pool."""
    group = sorted(group, key=lambda case: case.place)
    first, names = group[0], [case.place for case in group]
    places = _bounded(names)
    fresh = Standing(
        to=to,
        cause=first.cause,
        title=_title(first, names),
        sentence=_sentence(group),
        places=places,
        severity=SEVERITIES[first.kind],
        since=since,
        said_at=now,
    )
    if told is None:
        return fresh
    # A person's words are told as they are; those of programs have numbers that run.
    runs = first.kind is not Kind.FROZEN and told.over_at is None and told.places == places
    is_good = told.sentence == fresh.sentence or (runs and now - told.said_at < RENEWED)
    kept = told if is_good else fresh
    return replace(fresh, since=told.since, sentence=kept.sentence, said_at=kept.said_at)


def _ended(notice: Standing, now: datetime) -> Standing:
    return notice if notice.over_at is not None else replace(notice, over_at=now)


def _last_to_lose(notice: Standing) -> tuple[bool, float, str]:
    """Order: what stands, oldest first; then what is over, newest first."""
    over = notice.over_at
    at = notice.since.timestamp() if over is None else -over.timestamp()
    return (over is not None, at, notice.key)


def _bounded(names: Sequence[str]) -> tuple[str, ...]:
    more = len(names) - PLACES
    return (*names[:PLACES], f"and {more} more") if more > 0 else tuple(names)


def _sentence(group: Sequence[_Case]) -> str:
    """Return why; where the words differ from pool to pool, those of the first."""
    first = group[0]
    alike = all(case.sentence == first.sentence for case in group)
    text = first.sentence if alike else f"for one, {first.place}: {first.sentence}"
    return text if len(text) <= SENTENCE else text[: SENTENCE - 1] + "…"


def _title(case: _Case, names: Sequence[str]) -> str:
    pools, are = _pools(names), "is" if len(names) == 1 else "are"
    match case.kind:
        case Kind.HELD:
            return f"{pools} {are} held"
        case Kind.UNSEEN:
            return f"{pools} {are} not looked at"
        case Kind.BEHIND:
            return f"{case.what or 'An update'} is there for {pools}"
        case Kind.FROZEN:
            word = "held" if "/" in case.what else "frozen"
            return f"{case.what or 'Everything'} is {word} by a person"


def _pools(names: Sequence[str]) -> str:
    clusters = {name.rpartition("/")[0] for name in names}
    if len(names) == 1:
        return names[0]
    return f"{len(names)} pools of " + (
        next(iter(clusters)) if len(clusters) == 1 else f"{len(clusters)} clusters"
    )

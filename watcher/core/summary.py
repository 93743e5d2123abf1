"""The digest of a day or a week: what is behind and why, who is waited for, what happened since.

It says once in a while what messages that are edited in place do not: how things stand by now.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from watcher.core.approval import CHAT, GROUP
from watcher.core.letters import Digest, DigestRow
from watcher.core.timing import Freeze, freeze_sentence
from watcher.core.update import Update, missing
from watcher.core.update_events import Kind
from watcher.core.update_events import UpdateState as S

ROWS = 100
"""Most rows of a part; a last one says how many more there are."""
TEXT = 300
"""Most characters of a row."""
IN_THE_WAY = 2
"""Sentences of what stands in the way of one update."""
BAD_ENDS: Mapping[S, str] = {
    S.FAILED: "failed",
    S.ROLLED_BACK: "rolled back",
    S.STUCK: "STUCK, a person is needed",
    S.EXPIRED: "expired",
    S.REJECTED: "rejected",
}
DOING: Mapping[S, str] = {
    S.WAITING_FOR_BUILD: "waits for its build",
    S.AWAITING_APPROVAL: "waits for approval",
    S.SCHEDULED: "is approved",
    S.APPLYING: "is being applied",
    S.ROLLING_OUT: "rolls out",
    S.SOAKING: "soaks",
    S.ROLLING_BACK: "goes back",
}

View = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that was read for a digest."""

    views: Sequence[View]
    """Of every configured pool; of one never looked at, `cluster` and `pool` only."""
    active: Sequence[Update]
    ended: Sequence[Update]
    freezes: Sequence[Freeze]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What is new in it; the moment it begins belongs to the one before."""

    after: datetime
    until: datetime


def digest(
    facts: Facts, period: Period, *, title: str, day: str, clusters: Sequence[str], zone: ZoneInfo
) -> Digest:
    """Return the digest of some clusters (patterns; empty: of all), with times of a zone."""
    active = [update for update in facts.active if _fits(clusters, update.cluster)]
    ended = [update for update in facts.ended if _fits(clusters, update.cluster)]
    ended = sorted((u for u in ended if _is_in(period, u)), key=lambda u: (u.changed_at, u.id))
    views = sorted((v for v in facts.views if _fits(clusters, _text(v, "cluster"))), key=_place)
    steady = [view for view in views if _is_in_step(view)]
    by_place = {f"{update.cluster}/{update.pool}": update for update in active}
    asked = [update for update in active if update.state is S.AWAITING_APPROVAL]
    return Digest(
        title=title,
        day=day,
        behind=_rows(_behind(v, by_place.get(_place(v))) for v in views if not _is_in_step(v)),
        waiting=_rows(_waiting(update, zone, facts.now) for update in sorted(asked, key=_asked_at)),
        done=_rows(_done(update, zone) for update in ended if update.state is S.DONE),
        failed=_rows(_failed(update, zone) for update in ended if update.state in BAD_ENDS),
        in_step=len(steady),
        frozen=tuple(_frozen(facts.freezes, clusters, facts.now))[:ROWS],
    )


def _fits(patterns: Sequence[str], cluster: str) -> bool:
    return not patterns or any(fnmatchcase(cluster, pattern) for pattern in patterns)


def _is_in(period: Period, update: Update) -> bool:
    return period.after < update.changed_at.astimezone(UTC) <= period.until


def _text(view: View, name: str) -> str:
    value = view.get(name)
    return value if isinstance(value, str) else ""


def _place(view: View) -> str:
    return f"{_text(view, 'cluster')}/{_text(view, 'pool')}"


def _is_in_step(view: View) -> bool:
    """Whether it runs what it should; what a person wants it to run is that too."""
    return view.get("decision") == "InStep" or bool(
        view.get("decision") == "Hold" and _text(view, "stock_by")
    )


def _behind(view: View, update: Update | None) -> DigestRow:
    why = _text(view, "because")
    if not view.get("decision"):
        why = "was not looked at yet"
    elif update is not None:
        why = _progress(view, update)
    elif view.get("only_told") is True:
        why += "; its policy only tells of it"
    return _row(_place(view), _moves(view), why, update.id if update else "")


def _progress(view: View, update: Update) -> str:
    doing = DOING.get(update.state, str(update.state))
    unmet = view.get("unmet")
    waits = update.state is S.SCHEDULED and isinstance(unmet, list) and unmet
    return "; ".join((doing, *map(str, unmet[:IN_THE_WAY]))) if waits else doing  # type: ignore[index]


def _moves(view: View) -> str:
    had, wanted = _text(view, "running_release"), _text(view, "expected_release")
    return _from_to(had or ("" if _text(view, "image") else "stock image"), wanted)


def _from_to(had: str, wanted: str) -> str:
    """Return `4.16.1 → 4.16.3`; only what is known of it."""
    return " → ".join(dict.fromkeys(filter(None, (had, wanted)))) if wanted else ""


def _moved(update: Update) -> str:
    if update.kind is Kind.STOCK:
        return "back to the stock image"
    said = update.background
    had = said.from_release or ("" if said.from_image else "stock image")
    return _from_to(had, update.target.release_version)


def _waiting(update: Update, zone: ZoneInfo, now: datetime) -> DigestRow:
    rules = update.policy.approval
    need = f"{missing(update)} of {rules.quorum} approvals missing"
    parts = [f"{need}{_by(rules.approvers)}", f"asked {_clock(_asked_at(update), zone)}"]
    if update.expires_at is not None:
        parts.append(f"expires {_clock(update.expires_at, zone)}")
    if update.snoozed_until is not None and now < update.snoozed_until:
        parts.append(f"snoozed until {_clock(update.snoozed_until, zone)}")
    return _row(_of(update), _moved(update), "; ".join(parts), update.id)


def _by(approvers: Sequence[str]) -> str:
    """Those from chat are counted: ids tell nobody anything, and a digest shall not wake them."""
    named = [one for one in approvers if not one.startswith((CHAT, GROUP))]
    if others := len(approvers) - len(named):
        named.append(f"{others} from Slack")
    return f", by {', '.join(named)}" if named else ""


def _asked_at(update: Update) -> datetime:
    return dict(update.times).get(S.AWAITING_APPROVAL, update.created_at)


def _done(update: Update, zone: ZoneInfo) -> DigestRow:
    return _row(_of(update), _moved(update), f"done {_clock(update.changed_at, zone)}", update.id)


def _failed(update: Update, zone: ZoneInfo) -> DigestRow:
    ended = f"{BAD_ENDS[update.state]} {_clock(update.changed_at, zone)}"
    why = f"{ended}: {update.ended_because}" if update.ended_because else ended
    return _row(_of(update), _moved(update), why, update.id)


def _frozen(freezes: Iterable[Freeze], clusters: Sequence[str], now: datetime) -> Iterator[str]:
    for freeze in freezes:
        cluster = freeze.scope.partition("/")[0]
        is_on = freeze.until is None or now < freeze.until.astimezone(UTC)
        if is_on and (not cluster or _fits(clusters, cluster)):
            yield _cut(f"{freeze.scope or 'everything'}: {freeze_sentence(freeze)}")


def _of(update: Update) -> str:
    return f"{update.cluster}/{update.pool}"


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def _row(place: str, moves: str, why: str, update: str) -> DigestRow:
    return DigestRow(place=place, text=_cut(": ".join(filter(None, (moves, why)))), update=update)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def _rows(rows: Iterable[DigestRow]) -> tuple[DigestRow, ...]:
    every = tuple(rows)
    more = len(every) - ROWS
    return (*every[:ROWS], DigestRow(place="…", text=f"and {more} more")) if more > 0 else every

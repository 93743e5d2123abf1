"""Every pool of every cluster as the fleet page has it: in one group, urgent ones first.

Made from the same rows as the API: findings (`shown_drift`), updates (`shown`) and looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from watcher.core.state import Flag, State, Surveyed
from watcher.shown import Row
from watcher.shown_drift import cluster_row, is_stale
from watcher.web.pages.rendering import count

Place = tuple[str, str]


class Group(StrEnum):
    """Each pool is in exactly one, the first that fits: so the tiles add up to the fleet."""

    UNSEEN = "unseen"
    NEEDS = "needs"
    APPROVAL = "approval"
    ROLLING = "rolling"
    BEHIND = "behind"
    CURRENT = "current"


ORDER = (
    Group.NEEDS,
    Group.APPROVAL,
    Group.UNSEEN,
    Group.BEHIND,
    Group.ROLLING,
    Group.CURRENT,
)
"""By urgency: what only people can mend comes first."""
TILES = (
    (Group.NEEDS, "Needs somebody"),
    (Group.APPROVAL, "Waits for approval"),
    (Group.ROLLING, "Rolling out"),
    (Group.BEHIND, "Behind"),
    (Group.CURRENT, "Current"),
    (Group.UNSEEN, "Unseen"),
)
ROLLOUT = frozenset({"applying", "rolling-out", "soaking", "rolling-back"})
ALARMING = frozenset({Flag.DEGRADED, Flag.UNPULLABLE})
QUIET = frozenset({State.STOCK, State.CURRENT, State.EMPTY, State.IMAGE_MODE})
ON_ITS_WAY = frozenset({State.BEHIND, State.AHEAD, State.RECIPE_CHANGED, State.MISSING})
NOTHING: Row = {"flags": [], "blocks": [], "nodes": None, "lag": {}}
"""Of a pool that nobody has seen."""
UNSEEN = "unseen"
"""Of a pool of which nothing is known yet; no `State`, as nobody has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLine:
    """One pool on the page."""

    cluster: str
    pool: str
    group: Group
    state: str
    sentence: str
    found: Row
    """As `shown_drift.pool_row`; empty where nothing is known."""
    update: Row | None
    """The update under way, as `shown.update_row`."""
    waits: str
    """What waits for whom; empty if nothing does."""

    @property
    def is_quiet(self) -> bool:
        return self.group is Group.CURRENT and not self.update and not self.found.get("flags")

    @property
    def lag(self) -> str:
        return lag_words(self.found)

    @property
    def lag_order(self) -> tuple[int, int, int]:
        lag = self.found.get("lag") or {}
        return (lag.get("minors") or 0, lag.get("releases") or 0, lag.get("days") or 0)

    @property
    def progress(self) -> tuple[int, int]:
        """Nodes that have it, and all; (0, 0) where no rollout moves."""
        said = self.update["progress"] if self.update else {}
        return (int(said.get("updated") or 0), int(said.get("total") or 0))

    def says(self, text: str) -> bool:
        """Whether a search for `text` means this one: each word must be somewhere."""
        flags = " ".join(flag["flag"] for flag in self.found.get("flags", ()))
        all_of_it = f"{self.cluster}/{self.pool} {self.state} {self.sentence} {flags} {self.waits}"
        low = all_of_it.lower()
        return all(word in low for word in text.lower().split())


def lines(
    surveyed: Sequence[Surveyed],
    updates: Mapping[Place, Row],
    stuck: Mapping[Place, Row],
    configured: Iterable[Place],
    *,
    now: datetime,
) -> list[PoolLine]:
    """Return a line for every pool, seen or only configured, in no order.

    `updates`: those under way; `stuck`: pools whose newest update needs a person.
    """
    made: dict[Place, PoolLine] = {}
    for seen in surveyed:
        stale = is_stale(seen, now=now)
        for row in cluster_row(seen)["pools"]:
            place: Place = (seen.cluster, row["pool"])
            made[place] = _line(place, row, stale, updates.get(place), stuck.get(place), now)
    known = {str(seen.cluster): seen for seen in surveyed}
    for one in configured:
        if one not in made:
            made[one] = _absent(one, known.get(one[0]), updates.get(one), now)
    return list(made.values())


def _line(
    place: Place, row: Row, stale: bool, update: Row | None, stuck: Row | None, now: datetime
) -> PoolLine:
    state = State(row["state"])
    if update is not None or state in QUIET:
        stuck = None  # somebody has seen to it since
    flags = {flag["flag"] for flag in row["flags"]}
    sentence = row["sentence"]
    if stuck is not None:
        sentence = f"the last update is stuck: {stuck['ended_because']}"
    return PoolLine(
        cluster=place[0],
        pool=place[1],
        group=_group(state, flags, stale, update, stuck),
        state=str(state),
        sentence=sentence,
        found=row,
        update=update,
        waits=waits(update, now=now) if update else "",
    )


def _group(
    state: State, flags: set[str], stale: bool, update: Row | None, stuck: Row | None
) -> Group:
    doing = update["state"] if update else ""
    if stale:
        return Group.UNSEEN
    if stuck is not None or flags & ALARMING:
        return Group.NEEDS
    if doing == "awaiting-approval":
        return Group.APPROVAL
    if doing in ROLLOUT:
        return Group.ROLLING
    if state in QUIET:
        return Group.CURRENT
    # A blocked pool without a flag that alarms is on its way or paused: somebody knows.
    return Group.BEHIND if state in ON_ITS_WAY or state is State.BLOCKED else Group.NEEDS


def _absent(place: Place, seen: Surveyed | None, update: Row | None, now: datetime) -> PoolLine:
    """A pool that is configured, and that nobody has seen."""
    unread = seen is None or is_stale(seen, now=now)
    return PoolLine(
        cluster=place[0],
        pool=place[1],
        group=Group.UNSEEN if unread else Group.NEEDS,
        state=UNSEEN,
        sentence=f"{place[0]} was not read yet" if unread else "the cluster has no such pool",
        found=NOTHING,
        update=update,
        waits=waits(update, now=now) if update else "",
    )


def waits(update: Row, *, now: datetime) -> str:
    """What an update waits for, and whom, in a few words."""
    said, approval = update["progress"], update["approval"]
    match update["state"]:
        case "awaiting-approval":
            asleep = update["snoozed_until"]
            if asleep and datetime.fromisoformat(asleep) > now:
                return f"asked again later, says {update['snoozed_by']}"
            who = ", ".join(approval["approvers"]) or "anybody who may decide"
            return f"{count(approval['missing'], 'approval')} of {who}"
        case "scheduled" if update["scheduled_for"]:
            at = datetime.fromisoformat(update["scheduled_for"])
            return f"begins {at:%a %d %b %H:%M} UTC" if at > now else "begins now"
        case _:
            return str(said.get("waiting") or "")


def lag_words(found: Row | None) -> str:
    """How far behind, as short as a table wants it; empty if it is not, or nobody knows."""
    lag = found["lag"] if found else {}
    parts = ((lag.get("minors"), "minor"), (lag.get("releases"), "release"))
    said = [count(number, unit) for number, unit in parts if number]
    return ", ".join([*said, *([f"{lag['days']} d"] if lag.get("days") else [])])


ORDERS: Mapping[str, Any] = {
    "urgency": lambda one: (
        ORDER.index(one.group),
        -len(one.found.get("blocks", ())),
        tuple(-part for part in one.lag_order),
        one.cluster,
        one.pool,
    ),
    "name": lambda one: (one.cluster, one.pool),
    "lag": lambda one: (tuple(-part for part in one.lag_order), one.cluster, one.pool),
}

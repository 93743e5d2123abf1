"""The parts of an update's page: its way so far, what changes, who has said what, its nodes.

Made from the same rows as the API; nothing is decided here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from watcher.core import approval, mco
from watcher.core.approval import GROUP
from watcher.core.cluster import ClusterView
from watcher.core.letters import Card
from watcher.core.update import Update
from watcher.core.update_events import Kind
from watcher.core.update_events import UpdateState as S
from watcher.shown import Row
from watcher.telling.state_line import lasted
from watcher.web.pages.nodes import node_row, told_row

PATH = (
    S.WAITING_FOR_BUILD,
    S.AWAITING_APPROVAL,
    S.SCHEDULED,
    S.APPLYING,
    S.ROLLING_OUT,
    S.SOAKING,
    S.DONE,
)
"""The way of an update that goes well."""
MOVING = frozenset({S.APPLYING, S.ROLLING_OUT, S.SOAKING, S.ROLLING_BACK})
"""While its nodes are looked at as they are now."""
MOST_LOG = 500
"""Lines of a build that are on the page; the newest."""
MOST_NODES = 500
RISKS: Mapping[str, tuple[str, str, str]] = {
    "patch": ("▲", "calm", "another version of the same minor release"),
    "minor": ("▲", "ask", "another minor release"),
    "recipe": ("▲", "calm", "the same release with another recipe"),
    "first": ("▲", "ask", "the first layer of this pool, as far as anybody knows"),
}
"""Kind of change → icon, tone and what it means. Of a stock image there is none."""
CHECKED = (
    "the digest in the registry is the one that the builder told",
    "it stands on the layers of exactly this base, and adds to them",
    "it is for the platforms that were ordered, and no others",
    "the labels that nodes and the MCO read are those of the base",
    "its own labels name this base, this recipe and this build",
)
"""What `core/verify.py` compares, in words."""


def steps(update: Update, *, now: datetime) -> list[Row]:
    """Every state that it has been in, with its time and how long it lasted, then those to come."""
    been = _been(update)
    ends = [at for _, at in been[1:]]
    rows: list[Row] = []
    for number, (state, at) in enumerate(been):
        is_last = number == len(been) - 1
        end = now if is_last else ends[number]
        rows.append(
            {
                "state": state,
                "at": at,
                "lasted": "" if is_last and update.is_ended else lasted(end - at),
                "is_now": is_last and not update.is_ended,
                "said": _said_of(update, state),
            }
        )
    ahead = {"at": None, "lasted": "", "is_now": False, "said": ""}
    return rows + [{"state": str(state), **ahead} for state in _to_come(update)]


def _been(update: Update) -> list[tuple[str, datetime]]:
    """Where it was, also of a record from before the times of states were kept."""
    been = list(update.times) or [(str(S.WAITING_FOR_BUILD), update.created_at)]
    if been[-1][0] != update.state:
        been.append((str(update.state), update.changed_at))
    return been


def _to_come(update: Update) -> Sequence[S]:
    if update.state is S.ROLLING_BACK:
        return (S.ROLLED_BACK,)
    if update.is_ended or update.state not in PATH:
        return ()
    return PATH[PATH.index(update.state) + 1 :]


def _said_of(update: Update, state: str) -> str:
    given = update.approval
    if state == S.SCHEDULED and given:
        return f"approved by {', '.join(given.by)}"
    if state == update.state and update.ended_because:
        return update.ended_because
    return ""


def changes(update: Update, card: Card) -> list[Row]:
    """What is one thing before and another after; what is the same says so."""
    said, target = update.background, update.target
    stock = update.kind is Kind.STOCK
    had = said.from_release or ("" if said.from_image else "stock image")
    rows = [
        ("Release", had, target.release_version, False),
        ("RHCOS", said.from_os_version, said.os_version, False),
        ("Base", said.from_base, str(target.base), True),
        (
            "Image",
            said.from_image or "stock image",
            "the stock image" if stock else card.image or "not built yet",
            True,
        ),
    ]
    if not stock:
        rows.append(("Recipe", said.from_recipe, str(target.recipe_digest), True))
    return [
        {
            "what": what,
            "before": before,
            "after": after,
            "is_digest": is_digest,
            "same": bool(before) and _plain(before) == _plain(after),
        }
        for what, before, after, is_digest in rows
    ]


def _plain(name: str) -> str:
    """The digest alone: the same image has other names at other places."""
    return name.rpartition("@")[2]


def votes(update: Update) -> list[Row]:
    """Every vote, with why it does not count, where it does not."""
    rules = update.policy.approval
    bound = update.binding if update.image else None
    rows = []
    for vote in update.votes:
        refused = approval.why_not(rules, vote.who)
        if vote.binding != bound:
            refused = "it is for something that has changed since"
        rows.append(
            {
                "by": vote.by,
                "person": vote.person,
                "at": vote.at,
                "reason": vote.reason,
                "surface": vote.surface,
                "refused": refused or "",
            }
        )
    return rows


def may_still(update: Update) -> list[str]:
    """Those of the approvers who have not voted; empty where nobody is named."""
    counted = _counted(update)
    names = {name for vote in counted for name in (vote.by, vote.who.one)}
    rules = update.policy.approval
    return [one for one in rules.approvers if one.startswith(GROUP) or one not in names]


def has_voted(update: Update, who: approval.Who) -> bool:
    """Whether a vote of this human counts already."""
    return who.one in {vote.who.one for vote in _counted(update)}


def _counted(update: Update) -> list[approval.Vote]:
    if update.image is None:
        return []
    rules, bound = update.policy.approval, update.binding
    return [v for v in update.votes if v.binding == bound and not approval.why_not(rules, v.who)]


def binding(update: Update) -> list[tuple[str, str]]:
    """What a yes is a yes to, part by part; empty while there is no image."""
    if update.image is None:
        return []
    said = update.binding
    return [
        ("image", str(said.image)),
        ("base", str(said.base)),
        ("recipe", str(said.recipe)),
        ("policy", str(said.policy)),
        ("all of them", str(said.digest())),
    ]


def nodes(update: Update, progress: Mapping[str, Any], view: ClusterView | None) -> Row:
    """Node by node: as it is now while the update moves, as it was told when it has ended."""
    told = progress.get("nodes")
    kept = told if isinstance(told, list) else []
    rows = [told_row(one) for one in kept if isinstance(one, Mapping)]  # type: ignore[arg-type] # JSON
    if view is not None and update.state in MOVING:
        rows = [_now(update, view, node_row(view, n)) for n in mco.nodes_of(view, update.pool)]
    return {
        "rows": rows[:MOST_NODES],
        "more": max(0, len(rows) - MOST_NODES),
        "updated": sum(bool(row["updated"]) for row in rows),
        "total": len(rows),
        "failed": sum(row["tone"] == "bad" for row in rows),
    }


def _now(update: Update, view: ClusterView, row: Row) -> Row:
    """A node as the update sees it: done with another image is not done."""
    has = str(row["image"])
    wanted = str(update.image or "")
    if update.kind is Kind.STOCK or update.state is S.ROLLING_BACK:
        return {**row, "updated": row["word"] == "in step"}
    updated = row["word"] == "in step" and _same(has, wanted)
    if row["word"] == "in step":
        word, tone = ("has it", "good") if updated else ("waiting", "busy")
        return {**row, "word": word, "tone": tone, "updated": updated}
    return {**row, "updated": False}


def _same(has: str, wanted: str) -> bool:
    return bool(wanted) and (has == wanted or _plain(has) == _plain(wanted))


def verification(build: Row | None) -> Row:
    """What was compared before anybody was asked, and what came of it."""
    state = build["state"] if build else ""
    wrong = str(build["ended_because"]) if build and state == "failed" else ""
    return {"state": state, "checked": CHECKED if state == "ready" else (), "wrong": wrong}


def log_lines(log: Sequence[str]) -> tuple[list[tuple[int, str]], int]:
    """The newest lines with their numbers, and how many older ones are not on the page."""
    hidden = max(0, len(log) - MOST_LOG)
    return [(n, line) for n, line in enumerate(log[hidden:], hidden + 1)], hidden

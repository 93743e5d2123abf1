"""What waits for people: for whoever looks, for others, and what somebody put off; oldest first."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.shown import Row
from watcher.telling import state_line
from watcher.web.callers import Caller
from watcher.web.pages import update_parts as parts
from watcher.web.pages.update import Deciding

MOST = 100
"""Updates on the page, the oldest; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals(Deciding):
    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/approvals", self.approvals)]

    async def approvals(self, request: Request) -> Response:
        return await self.show(
            request,
            "approvals.html",
            self._model,
            title="Approvals",
            here="approvals",
            sees=lambda caller: caller.identity,
        )

    async def _model(self, caller: Caller) -> Mapping[str, Any]:
        active = await self.service.store.jobs(JobKind.UPDATE, ended=False)
        waiting = sorted(
            (u for u in shown.updates_of(active) if _waits(u)),
            key=lambda update: (state_line.since(update), update.id),
        )
        rows = await asyncio.gather(*(self._row(one, caller) for one in waiting[:MOST]))
        mine = [row for row in rows if row["group"] == "mine"]
        return {
            "caller": caller.identity,
            "mine": mine,
            "others": [row for row in rows if row["group"] == "others"],
            "later_rows": [row for row in rows if row["group"] == "later"],
            "more": max(0, len(waiting) - MOST),
            "title": f"({len(mine)}) Approvals" if mine else "Approvals",
        }

    async def _row(self, update: Update, caller: Caller) -> Row:
        now = self.service.clock.now()
        facts, who = await asyncio.gather(self.cards.facts(update), self.who(caller, update))
        card, refused = self.cards.card(facts), self.why_not(caller, who, update)
        voted = parts.has_voted(update, who)
        row = shown.update_row(update, facts.progress)
        return {
            "update": row,
            "card": card,
            "since": state_line.since(update),
            "risk": parts.RISKS.get(update.change),
            "changes": parts.changes(update, card),
            "votes": parts.votes(update),
            "may_still": parts.may_still(update),
            "refused": refused,
            "voted": voted,
            "warnings": _warnings(row),
            "group": _group(bool(card.snoozed_until), may=not refused and not voted),
            "is_urgent": update.expires_at is not None
            and (update.expires_at - now).total_seconds() < URGENT_SECONDS,
        }


URGENT_SECONDS = 4 * 3600
"""Half a working day: whoever is asked has little time left."""


def _waits(update: Update) -> bool:
    rules = update.policy.approval
    return update.state is UpdateState.AWAITING_APPROVAL and not rules.auto


def _group(asleep: bool, *, may: bool) -> str:
    return "later" if asleep else "mine" if may else "others"


def _warnings(row: Row) -> Sequence[str]:
    """What should make somebody look twice, in a few words."""
    said = row["background"]
    found = [] if said["signature"] else ["signature unknown"]
    if said["complaints"]:
        found.append(f"{len(said['complaints'])} lint")
    return found

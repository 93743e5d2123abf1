"""One update: where it stands, what it changes, who has said what, and saying yes or no to it."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher import shown
from watcher.core import approval, timing
from watcher.core.approval import Who
from watcher.core.cluster import ClusterView
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import UpdateState
from watcher.shown import Row
from watcher.shown_drift import is_stale
from watcher.telling.cards import Cards, Facts
from watcher.web.callers import Caller, Role
from watcher.web.pages import update_parts as parts
from watcher.web.pages.desk import Desk
from watcher.web.problems import Problem

MOST_AUDIT = 200
_ID = re.compile(r"[a-z]-[0-9a-zA-Z-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding(Desk):
    """What pages about decisions share: who the caller is to the rules of a pool."""

    @property
    def cards(self) -> Cards:
        """What Slack's messages are made from too."""
        return Cards(self.settings, self.service.store, self.service.clock)

    async def who(self, caller: Caller, update: Update) -> Who:
        """The caller as the rules of the update's pool see her."""
        directory = self.service.people.directory
        return await directory.who(caller.identity, update.policy.approval.approvers)

    def why_not(self, caller: Caller, who: Who, update: Update) -> str:
        """Return why this caller may not decide; empty: she may. The API asks again."""
        if not caller.identity:
            return "log in to decide"
        if not caller.role.covers(Role.APPROVER):
            return f"{caller.identity} is {caller.role} here; deciding needs approver"
        return approval.why_not(update.policy.approval, who) or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatePage(Deciding):
    def routes(self) -> list[Route]:
        """Return the page's route."""
        return [Route("/updates/{id}", self.update)]

    async def update(self, request: Request) -> Response:
        """404 for what is no update, or is gone."""
        named = request.path_params["id"]

        async def make(caller: Caller) -> Mapping[str, Any]:
            return await self._model(await self._update(named), caller)

        # Whose buttons are shown depends on the pool's rules, so on who it is.
        return await self.show(
            request, "update.html", make, title="Update", sees=lambda caller: caller.identity
        )

    async def _update(self, named: str) -> Update:
        if _ID.fullmatch(named):
            try:
                job = (await self.service.store.get(named)).job
            except KeyError:
                job = None
            if isinstance(job, Update):
                return job
        raise Problem(404, "there is no such update")

    async def _model(self, update: Update, caller: Caller) -> Mapping[str, Any]:
        store, now = self.service.store, self.service.clock.now()
        row, facts, built, who = await asyncio.gather(
            shown.update_page(store, update),
            self.cards.facts(update),
            store.audit(update.build),
            self.who(caller, update),
        )
        card = self.cards.card(facts)
        lines, hidden = parts.log_lines(row["log"])
        return {
            "title": f"{update.cluster}/{update.pool} {update.target.release_version}",
            "update": row,
            "card": card,
            "risk": parts.RISKS.get(update.change),
            "steps": parts.steps(update, now=now),
            "changes": parts.changes(update, card),
            "binding": parts.binding(update),
            "votes": parts.votes(update),
            "may_still": parts.may_still(update),
            "asks": update.state is UpdateState.AWAITING_APPROVAL,
            "open": update.state in NOT_BEGUN,
            "refused": self.why_not(caller, who, update),
            "voted": parts.has_voted(update, who),
            "nodes": parts.nodes(update, row["progress"], self._view(update)),
            "verification": parts.verification(row["build_record"]),
            "log": lines,
            "hidden_lines": hidden,
            "built": [shown.audit_row(entry) for entry in built if update.build],
            "audit": row["audit"][-MOST_AUDIT:],
            "more_audit": max(0, len(row["audit"]) - MOST_AUDIT),
            "unseen": self._unseen(update),
            "freezes_on": _freezes(facts) if update.state in NOT_BEGUN else [],
        }

    def _view(self, update: Update) -> ClusterView | None:
        known = self.service.clusters.get(update.cluster)
        return known.view() if known else None

    def _unseen(self, update: Update) -> Row | None:
        """Since when the cluster is out of sight, if it is."""
        now = self.service.clock.now()
        for seen in self.service.surveys.surveyed():
            if seen.cluster == update.cluster and is_stale(seen, now=now):
                known = seen.observed_at.year > 1
                return {
                    "since": seen.observed_at if known else None,
                    "problems": list(seen.problems),
                }
        return None


def _freezes(facts: Facts) -> list[Row]:
    """What a person has ordered that keeps it from beginning."""
    update = facts.update
    there = timing.in_force(facts.freezes, update.cluster, update.pool, now=facts.now)
    return [shown.freeze_row(one) for one in there]

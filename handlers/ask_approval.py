"""Ask for an approval, or let the policy give it; the answer comes from outside, at any time."""

from dataclasses import dataclass

from watcher import moving
from watcher.core import approval
from watcher.core.update import Update, missing
from watcher.core.update_events import Approved, AskApproval, Expired
from watcher.ports import Clock, Later, StillOurs, Store


@dataclass(frozen=True, slots=True)
class AskApprovalHandler:
    store: Store
    clock: Clock

    async def __call__(
        self, update: Update, action: AskApproval, still_ours: StillOurs
    ) -> Approved | Expired | Later:
        """Return the policy's approval, the end of waiting, or wait until that end.

        A quorum is also looked for here: a vote may have been saved by a process that died
        before it could save what follows from it.
        """
        now = self.clock.now()
        assert update.expires_at is not None, f"{update.id} awaits approval without an end"
        if now >= update.expires_at:
            return Expired()
        rules = update.policy.approval
        if (
            approval.approve(rules, action.binding, update.votes, now=now, authors=update.authors)
            is not None
        ):
            return Approved(action.binding)
        short = missing(update)
        await moving.show(
            self.store,
            update.id,
            {
                "waiting": f"{short} more approval(s) needed",
                "votes": [vote.by for vote in update.votes],
                "quorum": rules.quorum,
                "expires_at": update.expires_at.isoformat(),
            },
        )
        return Later((update.expires_at - now).total_seconds())

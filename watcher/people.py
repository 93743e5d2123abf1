"""What people may do, from whichever surface: the command line, HTTP, chat.

Each decision is saved with its audit entry in one step, and a refused attempt is audited too.
Surfaces know who somebody is; who may do what is decided here and in the core only.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from watcher.core import approval
from watcher.core.build import Build, BuildFailed
from watcher.core.facts import Digest
from watcher.core.jobs import Job
from watcher.core.transition import IllegalTransition
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import Approved, Rejected, UpdateState, Voted
from watcher.engine import audit_entry, noted, step
from watcher.ports import Change, Clock, Conflict, Store, Stored

TRIES = 5
"""How often a decision is tried anew when the record changed under it."""


class Declined(Exception):
    """The decision was understood and does not count; the sentence says why. Nothing changed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    update: Update
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    store: Store
    clock: Clock

    async def approve(
        self, update_id: str, *, by: str, binding: Digest | None = None, reason: str = ""
    ) -> Outcome:
        """Count one vote, and release the update if the quorum is reached.

        `binding` is what the surface showed (`Binding.digest`); None: whatever it is now, for
        surfaces that show it in the same breath. Raise Declined, or KeyError if there is none.
        """
        for _ in range(TRIES):
            stored, update = await self._update(update_id)
            now = self.clock.now()
            await self._check(update, by, binding, "Approve", now)
            if by in approval.voters(update.policy.approval, update.binding, update.votes):
                return Outcome(update, f"{by} approved {update.id} already; it counts once")
            vote = approval.Vote(by=by, at=now, binding=update.binding, reason=reason[:500])
            events: list[Voted | Approved] = [Voted(vote)]
            after = await self._stepped(update, events[0], by, now)
            short = approval.missing(after.policy.approval, after.binding, after.votes)
            if not short:
                events.append(Approved(after.binding))
                after = await self._stepped(after, events[1], by, now)
            sentence = (
                f"{after.id} is approved by {', '.join(after.approval.by)}"
                if after.approval
                else f"counted; {short} more approval(s) needed"
            )
            if await self._saved(stored, after, events, by, now):
                return Outcome(after, sentence)
        raise Declined(f"{update_id} keeps changing; look at it again")

    async def reject(
        self, update_id: str, *, by: str, binding: Digest | None = None, reason: str = ""
    ) -> Outcome:
        """End an update that has not touched its cluster. Raise Declined or KeyError."""
        for _ in range(TRIES):
            stored, update = await self._update(update_id)
            now = self.clock.now()
            await self._check(update, by, binding, "Reject", now)
            reason = reason.strip()[:500]
            if update.policy.approval.reason_required and not reason:
                await self._decline(
                    update, by, "Reject", "this pool's policy asks for a reason: give one", now
                )
            event = Rejected(by, reason)
            after = await self._stepped(update, event, by, now)
            why = f"{by} rejected it {now:%Y-%m-%d %H:%M} UTC" + (f": {reason}" if reason else "")
            if await self._saved(stored, after, [event], by, now):
                # Only now: a decision that came too late must not count against the build. For
                # a crash in between, the observer reads the newest update too.
                await self.store.remember(update.cluster, update.pool, update.target.build_key, why)
                return Outcome(after, f"{after.id} is rejected; the cluster was not touched")
        raise Declined(f"{update_id} keeps changing; look at it again")

    async def cancel_build(self, build_id: str, *, by: str, reason: str = "") -> Build:
        """End a build that has not ended; whoever works on it stops at the next renewal.

        The updates that wait for it fail with this as their reason, their clusters untouched.
        Raise Declined, or KeyError if there is none.
        """
        because = f"cancelled by {by}" + (f": {reason.strip()[:500]}" if reason.strip() else "")
        for _ in range(TRIES):
            stored = await self.store.get(build_id)
            if not isinstance(stored.job, Build):
                raise KeyError(build_id)
            if stored.job.is_ended:
                raise Declined(f"{build_id} is {stored.job.state} already")
            now, event = self.clock.now(), BuildFailed(because)
            after = step(stored.job, event, now=now)
            change = Change(job=after, expected=stored.version, due_in_seconds=None)
            try:
                await self.store.commit([change], [audit_entry(after, event, by=by, now=now)])
            except Conflict:
                continue
            assert isinstance(after, Build)
            return after
        raise Declined(f"{build_id} keeps changing; look at it again")

    async def _update(self, update_id: str) -> tuple[Stored, Update]:
        stored = await self.store.get(update_id)
        if not isinstance(stored.job, Update):
            raise KeyError(update_id)
        return stored, stored.job

    async def _check(
        self, update: Update, by: str, binding: Digest | None, what: str, now: datetime
    ) -> None:
        """Raise Declined, audited, unless this identity may decide about exactly this now."""
        because = approval.why_not(update.policy.approval, by)
        if because is None and update.state not in NOT_BEGUN:
            because = f"{update.id} is {update.state} already" + (
                f": {update.ended_because}" if update.ended_because else ""
            )
        if because is None and what == "Approve" and update.state is UpdateState.SCHEDULED:
            because = f"{update.id} is approved already"
        if because is None and what == "Approve" and update.image is None:
            because = f"{update.id} has no image yet: its build is not ready"
        if (
            because is None
            and binding
            and (update.image is None or binding != update.binding.digest())
        ):
            because = "it has changed since it was shown; look at it again"
        if because is not None:
            await self._decline(update, by, what, because, now)

    async def _stepped(
        self, update: Update, event: Voted | Approved | Rejected, by: str, now: datetime
    ) -> Update:
        try:
            after = step(update, event, now=now)
        except IllegalTransition as error:
            await self._decline(update, by, type(event).__name__, error.because or str(error), now)
        assert isinstance(after, Update)
        return after

    async def _decline(
        self, update: Update, by: str, what: str, because: str, now: datetime
    ) -> NoReturn:
        entry = noted(update, f"{what}Declined", by=by[:200], now=now, detail=because)
        await self.store.audit_only(entry)
        raise Declined(because)

    async def _saved(
        self,
        stored: Stored,
        after: Job,
        events: list[Voted | Approved] | list[Rejected],
        by: str,
        now: datetime,
    ) -> bool:
        due = None if after.is_ended else 0.0
        change = Change(job=after, expected=stored.version, due_in_seconds=due)
        entries = [audit_entry(after, event, by=by, now=now) for event in events]
        try:
            await self.store.commit([change], entries)
        except Conflict:
            return False
        return True

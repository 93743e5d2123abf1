"""What people may do, from whichever surface: the command line, HTTP, chat.

Each decision is saved with its audit entry in one step, and a refused attempt is audited too.
Surfaces know who somebody is; who may do what is decided here and in the core only.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NoReturn

from watcher.alert_rules import RULES
from watcher.core import approval, update
from watcher.core.approval import GROUP, Who
from watcher.core.build import Build, BuildFailed
from watcher.core.facts import Digest
from watcher.core.silences import LONGEST, Silence
from watcher.core.timing import Freeze
from watcher.core.transition import IllegalTransition
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import Approved, Rejected, Snoozed, UpdateState, Voted
from watcher.engine import audit_entry, noted, noted_of, step
from watcher.errors import Declined
from watcher.ports import Change, Clock, Conflict, Directory, Store, Stored

TRIES = 5
"""How often a decision is tried anew when the record changed under it."""


class AsNamed:
    """The directory where nobody has a second identity and no group can be looked up."""

    async def who(self, by: str, approvers: Sequence[str]) -> Who:
        """See `ports.Directory`."""
        asked = (name for name in approvers if name.startswith(GROUP))
        return Who(by=by, unresolved=tuple(f"{name} cannot be looked up here" for name in asked))


_Decision = Voted | Approved | Rejected | Snoozed
_Step = tuple[Update, _Decision]
"""What led to which state."""


@dataclass(frozen=True, slots=True)
class Outcome:
    update: Update
    sentence: str


@dataclass(frozen=True, slots=True)
class _Said:
    """One attempt of one person to decide about one update as it stands."""

    what: str
    who: Who
    surface: str
    binding: Digest | None
    now: datetime

    @property
    def by(self) -> str:
        return self.who.by


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    store: Store
    clock: Clock
    directory: Directory = field(default_factory=AsNamed)

    async def approve(
        self,
        update_id: str,
        *,
        by: str,
        binding: Digest | None = None,
        reason: str = "",
        surface: str = "",
    ) -> Outcome:
        """Count one vote, and release the update if the quorum is reached.

        `binding` is what the surface showed (`Binding.digest`); None: whatever it is now, for
        surfaces that show it in the same breath. Raise Declined, or KeyError if there is none.
        """
        for _ in range(TRIES):
            stored, before = await self._update(update_id)
            said = await self._said(before, "Approve", by, surface, binding)
            await self._check(before, said)
            if said.who.one in _counted(before) or await self._voted(before, said):
                return Outcome(before, f"{by} approved {before.id} already; it counts once")
            vote = approval.Vote(
                by=by,
                at=said.now,
                binding=before.binding,
                reason=reason[:500],
                person=said.who.person,
                groups=said.who.groups,
                surface=surface,
            )
            voted = Voted(vote)
            after = await self._stepped(before, voted, said)
            steps: list[_Step] = [(after, voted)]
            if not (short := update.missing(after)):
                approved = Approved(after.binding)
                after = await self._stepped(after, approved, said)
                steps.append((after, approved))
            if await self._saved(stored, steps, said):
                return Outcome(after, _approved_sentence(after, short))
        raise Declined(f"{update_id} keeps changing; look at it again")

    async def reject(
        self,
        update_id: str,
        *,
        by: str,
        binding: Digest | None = None,
        reason: str = "",
        surface: str = "",
    ) -> Outcome:
        """End an update that has not touched its cluster. Raise Declined or KeyError."""
        for _ in range(TRIES):
            stored, before = await self._update(update_id)
            said = await self._said(before, "Reject", by, surface, binding)
            await self._check(before, said)
            reason = reason.strip()[:500]
            if before.policy.approval.reason_required and not reason:
                because = "this pool's policy asks for a reason: give one"
                await self._decline(before, said, because)
            event = Rejected(said.who, reason)
            after = await self._stepped(before, event, said)
            why = f"{by} rejected it {said.now:%Y-%m-%d %H:%M} UTC" + (f": {reason}" * bool(reason))
            if await self._saved(stored, [(after, event)], said):
                # Only now: a decision that came too late must not count against the build. For
                # a crash in between, the observer reads the newest update too.
                await self.store.remember(after.cluster, after.pool, after.target.build_key, why)
                return Outcome(after, f"{after.id} is rejected; the cluster was not touched")
        raise Declined(f"{update_id} keeps changing; look at it again")

    async def snooze(
        self,
        update_id: str,
        *,
        by: str,
        until: datetime,
        binding: Digest | None = None,
        surface: str = "",
    ) -> Outcome:
        """Put an update off: it neither reminds, expires nor begins before `until`.

        An approval ends it. Raise Declined or KeyError.
        """
        for _ in range(TRIES):
            stored, before = await self._update(update_id)
            said = await self._said(before, "Snooze", by, surface, binding)
            await self._check(before, said)
            event = Snoozed(said.who, until)
            after = await self._stepped(before, event, said)
            if await self._saved(stored, [(after, event)], said):
                return Outcome(after, f"{after.id} is put off until {until:%Y-%m-%d %H:%M} UTC")
        raise Declined(f"{update_id} keeps changing; look at it again")

    async def may(
        self, update_id: str, what: str, *, by: str, binding: Digest, surface: str
    ) -> Update:
        """Return the update if this identity could decide so about it now; decides nothing.

        Raise Declined, audited, or KeyError.
        """
        _, about = await self._update(update_id)
        await self._check(about, await self._said(about, what, by, surface, binding))
        return about

    async def may_replace(self, active: Stored | None, *, by: str) -> None:
        """Raise Declined if asking would end an update that this identity could not reject."""
        if active is None or not isinstance(active.job, Update):
            return
        rules = active.job.policy.approval
        who = await self.directory.who(by, rules.approvers)
        if because := approval.why_not(rules, who):
            raise Declined(f"it would take the place of {active.job.id}, and {because}")

    async def freeze(
        self, scope: str, *, by: str, because: str, until: datetime | None, surface: str = ""
    ) -> Freeze:
        """Let nothing begin in `scope` (everywhere, a cluster, a pool: held). Raise Declined."""
        now, reason = self.clock.now(), because.strip()[:500]
        if until is not None and until <= now:
            raise Declined(f"{until:%Y-%m-%d %H:%M} UTC is over already; nothing was frozen")
        made = Freeze(scope=scope, by=by, because=reason, at=now, until=until)
        detail = "; ".join(
            filter(None, (reason, f"until {until:%Y-%m-%d %H:%M} UTC" if until else ""))
        )
        what = "Held" if "/" in scope else "Frozen"
        entry = noted_of(scope, what, by=by, now=now, detail=detail, surface=surface)
        await self.store.freeze(made, entry)
        return made

    async def unfreeze(self, scope: str, *, by: str, surface: str = "") -> None:
        """Lift a freeze of exactly this scope. Raise Declined if there is none."""
        what = "Unheld" if "/" in scope else "Unfrozen"
        now = self.clock.now()
        entry = noted_of(scope, what, by=by, now=now, detail="", surface=surface)
        if not await self.store.unfreeze(scope, entry):
            known = await self.store.freezes()
            on = [f for f in known if f.until is None or now < f.until]
            there = ", ".join(f.scope or "everywhere" for f in on)
            raise Declined(
                f"{scope or 'everything'} is not {'held' if '/' in scope else 'frozen'}"
                + (f"; in force: {there}" if there else "")
            )

    async def silence(
        self, scope: str, *, rule: str, by: str, because: str, until: datetime, surface: str = ""
    ) -> Silence:
        """Hold back until then what is told of alerts in `scope`, of one rule or of all ("").

        `scope` as of a freeze; of a pool it need not be configured. Raise Declined.
        """
        now, reason = self.clock.now(), because.strip()[:500]
        if rule and rule not in RULES:
            raise Declined(f"no alert rule is called {rule[:60]}; there are: {', '.join(RULES)}")
        if not reason:
            raise Declined("say why: whoever wonders why nothing was told wants to know")
        if until <= now:
            raise Declined(f"{until:%Y-%m-%d %H:%M} UTC is over already; nothing was silenced")
        if until - now > LONGEST:
            raise Declined(
                f"a silence ends within {LONGEST.days} days; what shall be quiet for longer is"
                " turned off in the configuration: alerts.disabled"
            )
        made = Silence(
            id=f"s-{secrets.token_hex(4)}",
            scope=scope,
            rule=rule,
            by=by[:200],
            because=reason,
            at=now,
            until=until,
        )
        detail = _detail_of(made)
        await self.store.silence(
            made, noted_of(scope, "Silenced", by=by, now=now, detail=detail, surface=surface)
        )
        return made

    async def unsilence(self, silence: Silence, *, by: str, surface: str = "") -> None:
        """Lift one. Raise Declined if somebody has done so meanwhile."""
        now, detail = self.clock.now(), _detail_of(silence)
        entry = noted_of(
            silence.scope, "Unsilenced", by=by, now=now, detail=detail, surface=surface
        )
        if not await self.store.unsilence(silence.id, entry):
            raise Declined(f"{silence.id} is lifted already")

    async def cancel_build(
        self, build_id: str, *, by: str, reason: str = "", surface: str = ""
    ) -> Build:
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
            entry = replace(audit_entry(after, event, by=by, now=now), surface=surface)
            try:
                await self.store.commit([change], [entry])
            except Conflict:
                continue
            assert isinstance(after, Build)
            return after
        raise Declined(f"{build_id} keeps changing; look at it again")

    async def refused(
        self, update_id: str, what: str, *, by: str, because: str, surface: str
    ) -> None:
        """Audit an attempt that a surface turned away before it came to a decision."""
        try:
            _, found = await self._update(update_id)
        except KeyError:
            entry = noted_of(
                "", f"{what}Declined", by=by, now=self.clock.now(), detail=because, surface=surface
            )
        else:
            entry = noted(found, f"{what}Declined", by=by, now=self.clock.now(), detail=because)
        await self.store.audit_only(replace(entry, by=by[:200], surface=surface))

    async def _said(
        self, about: Update, what: str, by: str, surface: str, binding: Digest | None
    ) -> _Said:
        who = await self.directory.who(by, about.policy.approval.approvers)
        return _Said(what, who, surface, binding, self.clock.now())

    async def _voted(self, about: Update, said: _Said) -> bool:
        """Whether a vote that counts is of the same human, by what is known of voters today:
        the settings may not have known this person when it was given."""
        names = await asyncio.gather(*(self.directory.who(v.by, ()) for v in _counting(about)))
        return said.who.one in {who.one for who in names}

    async def _update(self, update_id: str) -> tuple[Stored, Update]:
        stored = await self.store.get(update_id)
        if not isinstance(stored.job, Update):
            raise KeyError(update_id)
        return stored, stored.job

    async def _check(self, about: Update, said: _Said) -> None:
        """Raise Declined, audited, unless this identity may decide about exactly this now."""
        because = approval.why_not(about.policy.approval, said.who) or _out_of_place(about, said)
        if because is not None:
            await self._decline(about, said, because)

    async def _stepped(self, about: Update, event: _Decision, said: _Said) -> Update:
        try:
            after = step(about, event, now=said.now)
        except IllegalTransition as error:
            await self._decline(about, said, error.because or str(error))
        assert isinstance(after, Update)
        return after

    async def _decline(self, about: Update, said: _Said, because: str) -> NoReturn:
        entry = noted(about, f"{said.what}Declined", by=said.by[:200], now=said.now, detail=because)
        await self.store.audit_only(
            replace(entry, surface=said.surface, binding=str(said.binding or ""))
        )
        raise Declined(because)

    async def _saved(self, stored: Stored, steps: Sequence[_Step], said: _Said) -> bool:
        """Save where the last step leads; each is audited with the state that it led to."""
        after = steps[-1][0]
        due = None if after.is_ended else 0.0
        change = Change(job=after, expected=stored.version, due_in_seconds=due)
        bound = str(after.binding.digest()) if after.image else ""
        entries = [
            replace(
                audit_entry(reached, event, by=said.by, now=said.now),
                surface=said.surface,
                binding=bound,
            )
            for reached, event in steps
        ]
        try:
            await self.store.commit([change], entries)
        except Conflict:
            return False
        return True


def _detail_of(silence: Silence) -> str:
    until = f"until {silence.until:%Y-%m-%d %H:%M} UTC"
    return "; ".join((silence.id, silence.rule or "every rule", silence.because, until))


def _counted(about: Update) -> set[str]:
    """What the people whose votes count already are counted under."""
    return {v.who.one for v in _counting(about)}


def _counting(about: Update) -> list[approval.Vote]:
    rules = about.policy.approval
    votes = (v for v in about.votes if v.binding == about.binding)
    return [v for v in votes if approval.why_not(rules, v.who) is None]


def _out_of_place(about: Update, said: _Said) -> str | None:
    """Return why nothing of this kind can be decided about the update as it stands."""
    if about.state not in NOT_BEGUN:
        ended = f": {about.ended_because}" if about.ended_because else ""
        return f"{about.id} is {about.state} already{ended}"
    if said.what == "Approve" and about.state is UpdateState.SCHEDULED:
        return f"{about.id} is approved already"
    if said.what in ("Approve", "Snooze") and about.image is None:
        return f"{about.id} has no image yet: its build is not ready"
    bound = about.binding.digest() if about.image else None
    if said.binding and said.binding != bound:
        return "it has changed since it was shown; look at it again"
    return None


def _approved_sentence(after: Update, short: int) -> str:
    if after.approval:
        return f"{after.id} is approved by {', '.join(after.approval.by)}"
    rules = after.policy.approval
    if approval.only_authors(rules, after.binding, after.votes, authors=after.authors):
        return "counted; somebody who neither asked for it nor wrote its recipe must approve too"
    return f"counted; {short} more approval(s) needed"

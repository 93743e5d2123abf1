"""Who may ask for something about a pool, beside deciding about an update.

A token or a shell on the service's host is a door that proves something: through it, whoever a
pool's policy lists may act, and everybody where it lists nobody. Chat proves only who somebody is:
from there one must be listed. A refused attempt is audited.
"""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

from watcher import scopes
from watcher.core import approval, timing
from watcher.core.approval import ApprovalRules
from watcher.core.silences import Silence
from watcher.engine import noted_of
from watcher.errors import Declined
from watcher.ports import Clock, Directory, Refused, Store
from watcher.settings import PoolSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    settings: Settings
    store: Store
    directory: Directory
    clock: Clock

    async def check(self, what: str, scope: str, *, by: str, surface: str) -> None:
        """Raise Declined, audited, unless this identity may do this in all of `scope`.

        `scope` as of a freeze: a pool, a cluster, or "" for everything. Whoever may decide about
        one of its pools may stop all of it (`Freeze`): stopping is the safe side. Whoever has
        stopped it may lift that again, so that no freeze is beyond everybody.
        """
        places = scopes.pools_in(self.settings, scope)
        if not places:
            where = f" in {scope}" if scope else ""
            await self._decline(what, scope, by, surface, f"no pool is configured{where}")
        refusals = await asyncio.gather(*(self._why_not(place, by) for place in places))
        own = what == "Unfreeze" and await self._is_own(scope, by)
        enough = any if what == "Freeze" or own else all
        if not enough(refusal is None for refusal in refusals):
            because = next(refusal for refusal in refusals if refusal is not None)
            await self._decline(what, scope, by, surface, because)

    async def check_freeze(self, scope: str, *, by: str, surface: str) -> None:
        """Raise Declined, audited, unless this identity may freeze `scope`.

        A freeze takes the place of one of the same scope. To end another's sooner is to lift it,
        and to make it longer would make it one's own to lift: both need what lifting needs.
        """
        await self.check("Freeze", scope, by=by, surface=surface)
        cluster, _, pool = scope.partition("/")
        try:
            known = await self.store.freezes()
        except Refused:  # one cannot be read: it may be this one, and is ordered anew
            return await self.check("Unfreeze", scope, by=by, surface=surface)
        there = timing.in_force(known, cluster, pool, now=self.clock.now())
        others = [f for f in there if f.scope == scope and not self._same_person(f.by, by)]
        places = scopes.pools_in(self.settings, scope)
        refusals = await asyncio.gather(*(self._why_not(place, by) for place in places))
        if others and any(refusals):
            because = (
                f"{scope or 'everything'} is {timing.freeze_sentence(others[0])} already; to "
                "change that one must be allowed to decide about all of its pools"
            )
            await self._decline("Freeze", scope, by, surface, because)

    async def check_silence(self, scope: str, *, by: str, surface: str) -> None:
        """Raise Declined, audited, unless this identity may silence alerts in `scope`.

        As for a freeze: whoever may decide about one of its pools. There are alerts of pools that
        nobody configured, too: about those decides whoever may in their cluster, and where nobody
        is listed at all, whoever came through a door that proves something.
        """
        if because := scopes.why_no_place(self.settings, scope):
            await self._decline("Silence", scope, by, surface, because)
        if because := await self._why_not_silence(scope, by):
            await self._decline("Silence", scope, by, surface, because)

    async def check_unsilence(self, silence_id: str, *, by: str, surface: str) -> Silence:
        """Return the silence, if this identity may lift it. Raise Declined, audited.

        Lifting is the safe side: whoever may silence the scope may, and always who silenced it.
        """
        known = {one.id: one for one in await self.store.silences()}
        silence = known.get(silence_id)
        if silence is None:
            ids = ", ".join(known) or "none"
            because = f"there is no silence {silence_id[:60]}; there is: {ids[:300]}"
            await self._decline("Unsilence", "", by, surface, because)
        because = await self._why_not_silence(silence.scope, by)
        if because and not self._same_person(silence.by, by):
            await self._decline("Unsilence", silence.scope, by, surface, because)
        return silence

    async def _why_not_silence(self, scope: str, by: str) -> str:
        """Return why this identity has no say there, empty if it has."""
        cluster = scope.partition("/")[0]
        places = scopes.pools_in(self.settings, scope) or scopes.pools_in(self.settings, cluster)
        if not places:
            return approval.why_not(ApprovalRules(), await self.directory.who(by, ())) or ""
        refusals = await asyncio.gather(*(self._why_not(place, by) for place in places))
        return (refusals[0] or "") if all(refusals) else ""

    async def _is_own(self, scope: str, by: str) -> bool:
        try:
            known = await self.store.freezes()
        except Refused:
            return False
        return any(f.scope == scope and self._same_person(f.by, by) for f in known)

    def _same_person(self, one: str, other: str) -> bool:
        person = self.settings.person_of(one)
        return one == other or bool(person and person == self.settings.person_of(other))

    async def _why_not(self, place: PoolSettings, by: str) -> str | None:
        rules = place.policy.approval
        return approval.why_not(rules, await self.directory.who(by, rules.approvers))

    async def _decline(
        self, what: str, scope: str, by: str, surface: str, because: str
    ) -> NoReturn:
        now = self.clock.now()
        entry = noted_of(scope, f"{what}Declined", by=by, now=now, detail=because, surface=surface)
        await self.store.audit_only(entry)
        raise Declined(because)

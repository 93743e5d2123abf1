"""Who somebody is beyond an identity: the person behind it, and the chat groups that have them.

Group members are looked up in chat, kept in the store for every replica and the command line, and
refreshed. What cannot be looked up, or was looked up too long ago, counts as "not a member".
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from watcher.core.approval import CHAT, GROUP, Who
from watcher.ports import Clock, Groups, OutsideError, Refused, Store
from watcher.settings import Settings

log = structlog.get_logger()

FRESH = timedelta(minutes=5)
"""Members known for less than this are believed without asking."""
OLDEST = timedelta(minutes=15)
"""Members known for longer are not believed, even while chat does not answer."""
LOOKUP_SECONDS = 1.2
"""A click must be answered within 3 s, its decision saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsDirectory:
    """`ports.Directory` from the settings' `people` and the members of chat groups."""

    settings: Settings
    store: Store
    clock: Clock
    groups: Groups | None = None
    """None: this process has no way to chat; it believes what the service looked up."""

    async def who(self, by: str, approvers: Sequence[str]) -> Who:
        """See `ports.Directory`."""
        person = self.settings.person_of(by)
        mine = {by, *self._identities(person)}
        chat = {name.removeprefix(CHAT) for name in mine if name.startswith(CHAT)}
        asked = [name for name in approvers if name.startswith(GROUP)]
        found: list[str] = []
        unresolved: list[str] = []
        if chat and asked:
            for group, members in zip(asked, await self._members(asked), strict=True):
                if isinstance(members, str):
                    unresolved.append(members)
                elif chat & members:
                    found.append(group)
        return Who(by=by, person=person, groups=tuple(found), unresolved=tuple(unresolved))

    async def refresh(self) -> None:
        """Look up every group that any pool asks, so that clicks need not wait for it."""
        rules = (pool.policy.approval for pool in self.settings.pools)
        for group in sorted({a for r in rules for a in r.approvers if a.startswith(GROUP)}):
            try:
                await self._looked_up(group)
            except OutsideError as error:
                log.warning("group_not_looked_up", group=group, cause=str(error))

    def _identities(self, person: str) -> tuple[str, ...]:
        return next((p.identities for p in self.settings.people if p.name == person), ())

    async def _members(self, groups: Sequence[str]) -> list[frozenset[str] | str]:
        async with asyncio.TaskGroup() as together:
            tasks = [together.create_task(self._of(group)) for group in groups]
        return [task.result() for task in tasks]

    async def _of(self, group: str) -> frozenset[str] | str:
        """The members, or the sentence why nobody knows them."""
        try:
            kept = await self.store.kept(f"group:{group}")
        except OutsideError as error:
            return f"{group} cannot be looked up: {error}"
        age = self._age(kept)
        if age is not None and age <= FRESH:
            return _read(kept)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return await self._looked_up(group)
        except Refused as refusal:  # there is no such group any more: what is kept is over
            return f"{group} cannot be looked up: {refusal}"
        except (OutsideError, TimeoutError) as error:
            if age is not None and age <= OLDEST:
                return _read(kept)
            return f"{group} cannot be looked up: {str(error) or 'no answer in time'}"

    async def _looked_up(self, group: str) -> frozenset[str]:
        if self.groups is None:
            raise OutsideError("only the service can, and it has not lately; is it running?")
        members = await self.groups.members(group.removeprefix(GROUP))
        now = self.clock.now().isoformat()
        try:
            await self.store.keep(f"group:{group}", {"at": now, "members": sorted(members)})
        except OutsideError as error:  # too large, or the store is away: the answer is as good
            log.warning("group_not_kept", group=group, cause=str(error))
        return members

    def _age(self, kept: Mapping[str, object]) -> timedelta | None:
        at = kept.get("at")
        if not isinstance(at, str):
            return None
        # A clock that was set back must not make old members look fresh for ever.
        age = self.clock.now() - datetime.fromisoformat(at)
        return age if age >= timedelta(seconds=-60) else None


def _read(kept: Mapping[str, object]) -> frozenset[str]:
    members = kept.get("members")
    return frozenset(str(m) for m in members) if isinstance(members, list) else frozenset()

"""Which letters a marked subject wants: an update, the fleet, a digest."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from watcher.core.letters import FLEET, Letters
from watcher.core.update import Update
from watcher.ports import Store
from watcher.telling.updates import UpdateLetters

DIGEST = "digest:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    store: Store
    updates: UpdateLetters
    fleet: Callable[[], Awaitable[Letters]]
    digest: Callable[[str], Awaitable[Letters]]

    async def letters_of(self, subject: str) -> Letters:
        """Return what it wants now; nothing of what is not there any more."""
        if subject == FLEET:
            return await self.fleet()
        if subject.startswith(DIGEST):
            return await self.digest(subject)
        try:
            job = (await self.store.get(subject)).job
        except KeyError:
            return Letters()
        return await self.updates.letters(job) if isinstance(job, Update) else Letters()

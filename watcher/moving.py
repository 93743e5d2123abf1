"""What people see move about a job, saved; and told on when more than the time has changed."""

from collections.abc import Mapping

from watcher.ports import Store

QUIET = frozenset({"at"})
"""Names of what changes at every look and tells nobody anything."""


async def show(store: Store, update_id: str, said: Mapping[str, object]) -> None:
    """Save the progress of an update, and mark its letters if a reader would see a difference."""
    before = await store.progress(update_id)
    await store.set_progress(update_id, said)
    if _loud(before) != _loud(said):
        await store.outbox.mark(update_id)


def _loud(said: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if name not in QUIET}

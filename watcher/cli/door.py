"""What commands ask and order, wherever the service is: beside us, or behind a URL.

Each answer is JSON, the same from either side: what `shown`, `shown_drift` and `timetable` make.
Errors are those of `watcher.errors` and `cli.exits`, so that exit codes are the same too.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

Row = dict[str, Any]
Decision = Literal["approve", "reject"]


class Door(Protocol):
    """Names of pools may be given without their cluster where one cluster has it."""

    async def place(self, pool: str) -> str:
        """Return `cluster/pool`. Raise Usage if the name fits several, NotFound if none."""

    async def status(self) -> Row:
        """The fleet: `shown.status`."""

    def doubt(self, seen: Row) -> str:
        """Return a sentence if what a status says may be of long ago; else empty."""

    async def drift(self, cluster: str) -> Row:
        """`clusters` with the findings of every pool, of one cluster if it is named."""

    async def plans(self, pool: str | None) -> Row:
        """`plans`: what would be done about one pool, or all. Changes nothing."""

    async def updates(self, pool: str | None, limit: int) -> Row:
        """`updates` of one pool, or all; newest first."""

    async def job(self, job_id: str, *, log: bool) -> Row:
        """One update or build, with `audit`, and with the lines of its build's `log` if wanted."""

    async def update(self, update_id: str) -> Row:
        """One update: `shown.update_row`. Raise NotFound, naming what comes near."""

    async def decide(self, what: Decision, update_id: str, *, binding: str, reason: str) -> Row:
        """Give one's vote about exactly what `binding` names: `sentence`, `update`."""

    async def snooze(self, update_id: str, *, binding: str, until: str) -> Row:
        """Put an update off: `sentence`, `update`."""

    async def rebuild(self, place: str, *, allow_downgrade: bool) -> Row:
        """Ask for an update: `update`."""

    async def stock(self, place: str) -> Row:
        """Ask for the stock image: `update`."""

    async def windows(self, pool: str | None) -> Row:
        """`pools`: when they may be changed, of one or all: `timetable.timetables`."""

    async def scope(self, cluster: str) -> str:
        """Return the name of a cluster with pools. Raise Usage for a pool, NotFound."""

    async def freezes(self) -> Row:
        """`freezes` and holds in force."""

    async def freeze(self, scope: str, *, until: str, reason: str) -> Row:
        """Let nothing begin in a scope (everything, a cluster, a pool): `sentence`, `freeze`."""

    async def unfreeze(self, scope: str) -> Row:
        """Lift the one of exactly this scope: `sentence`, `scope`."""

    async def silences(self) -> Row:
        """`silences` in force."""

    async def silence(self, scope: str, *, rule: str, until: str, reason: str) -> Row:
        """Keep alerts quiet for a while: `sentence`, `silence`."""

    async def unsilence(self, silence_id: str) -> Row:
        """Lift one: `sentence`, `silence`."""


def nearest_place(name: str, places: list[str], near: Callable[[str, list[str]], str]) -> str:
    """Return the one place that a name means. Raise Usage if it fits several, NotFound if none.

    `near`: a hint at what comes near.
    """
    from watcher.cli.exits import NotFound, Usage

    found = [one for one in places if name in (one, one.partition("/")[2])]
    if not found:
        raise NotFound(f"no pool {name} is configured{near(name, places)}")
    if len(found) > 1:
        raise Usage(f"{name} is a pool of several clusters; say which: {', '.join(found)}")
    return found[0]

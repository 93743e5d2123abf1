"""The beats of the dead man's switch: when one may be given, and what it says. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.facts import ClusterName
from watcher.core.sight import is_old
from watcher.core.state import Surveyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What is sent."""

    at: datetime
    every_seconds: float
    """When to expect the next one."""
    clusters: int
    """How many there are, each of them seen."""


def unseen(
    surveyed: Iterable[Surveyed],
    clusters: Sequence[ClusterName],
    *,
    most_seconds: float | None,
    now: datetime,
) -> tuple[ClusterName, ...]:
    """Return which of the configured clusters were not seen within this time; None: any time.

    What was seen in the future was seen before the clock was put back, and nobody knows when.
    """
    seen = {
        one.cluster
        for one in surveyed
        if most_seconds is None
        or not is_old(one.observed_at, now=now, most=timedelta(seconds=most_seconds))
    }
    return tuple(name for name in clusters if name not in seen)

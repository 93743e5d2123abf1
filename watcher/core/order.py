"""Which pool follows which: a release is taken somewhere else first, and has to do well there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from graphlib import CycleError, TopologicalSorter

from watcher.core.facts import Digest
from watcher.core.timing import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Another pool must have taken the same release first."""

    place: str
    """`cluster/pool`."""
    soak_seconds: int
    """How long it must have stayed well with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherPool:
    """What was seen of a pool that others follow."""

    place: str
    release_digest: Digest | None
    """The release its cluster wants."""
    on_base: bool
    """It runs the base of the release its cluster wants."""
    settled: bool
    """Updated, and neither updating nor degraded."""
    since: datetime | None
    """Since when it is settled."""
    done_at: datetime | None
    """When an update of it to the release in question was done, by our own records."""
    failed: str
    """Why its newest update to the release in question failed, was rolled back or got stuck."""
    problem: str
    """Why it cannot be seen."""


def waits_for(
    after: After, other: OtherPool, *, release: Digest, now: datetime, version: str = ""
) -> str | None:
    """Return why a release may not follow another pool yet, or None if it may.

    `version` is what people call the release.
    """
    assert other.place == after.place, f"{other.place} was looked at, not {after.place}"
    name = version or f"release {release.short}"
    if other.failed:
        return f"{after.place} failed with {name}: {other.failed}; nothing follows it"
    if other.problem:
        return f"{after.place} has to take {name} first, and cannot be seen: {other.problem}"
    if missing := _not_taken(other, release):
        return f"{after.place} has to take {name} first; {missing}"
    if not other.settled:
        return f"{after.place} has to be well with {name} first; it is updating or degraded"
    since = _well_since(other, release)
    if since is None:
        return f"{after.place} has {name}, but nobody knows since when"
    until = since + timedelta(seconds=after.soak_seconds)
    if now < until:
        return f"{after.place} has run it since {shown(since)}; it soaks until {shown(until)}"
    return None


def cycle(rules: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return places that wait in a circle, each for the next and the last for the first.

    `rules` says for each place which ones it comes after. Empty: there is no circle.
    """
    try:
        TopologicalSorter(rules).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]  # each comes before the next; the first is there twice
        return tuple(reversed(circle[1:]))
    return ()


def _not_taken(other: OtherPool, release: Digest) -> str | None:
    """Why the other pool neither has the release nor ever had it."""
    if other.release_digest != release:
        # Its cluster may have moved on: what it took, it took.
        return None if other.done_at is not None else "its cluster is on another release"
    if not other.on_base:  # a record does not help here: somebody took it back
        return "it does not run it yet" if other.done_at is None else "it no longer runs it"
    return None


def _well_since(other: OtherPool, release: Digest) -> datetime | None:
    """Since when it has been well with the release, as far as anybody knows."""
    known = [other.done_at]
    if other.release_digest == release:  # of a cluster that moved on it tells of something newer
        known.append(other.since)
    return max((at.astimezone(UTC) for at in known if at is not None), default=None)

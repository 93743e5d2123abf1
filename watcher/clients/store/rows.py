"""What both stores read off a job to keep queue, keys and indexes, and the bounds of the rest.

Kept in one place so that memory and Redis cannot drift apart.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watcher.clients import codec
from watcher.core.jobs import Job, JobKind, dedupe_key, kind_of, owns_key
from watcher.core.update import Update
from watcher.errors import Declined
from watcher.ports import Change, Conflict, Refused

ENDED_SHOWN = 500
"""How many ended jobs `jobs(ended=True)` returns: more than a page can show."""
LOG_KEPT_SECONDS = 30 * 24 * 3600
"""Logs and progress go 30 days after their last line; records and audit stay."""
LOG_LINES = 2000
LOG_CHARS = 500
"""Bounds of a build's log: 2,000 lines of 500 characters are at most 1 MB per build in memory."""
VALUES_BYTES = 64 * 1024
"""Bound of a progress or view snapshot; a pool of 500 nodes needs about 30 KB."""
HANDLED_SECONDS = 3600
"""How long a delivery from outside is known: whoever repeats one does so within minutes."""
SILENCES_KEPT = 500
"""More than anybody keeps in mind; what shall be quiet for good is a setting."""
SILENCE_SECONDS = 24 * 3600
"""How long after its end a silence is still told of: somebody asks why it was quiet last night."""
DELIVERED_SECONDS = 90 * 24 * 3600
"""How long it is known what stands where: longer than anybody scrolls back, or an update waits."""
"""The subject of all that concerns no single update."""
_TOLD = ("decision", "because", "paused", "only_told")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The indexed side of a job."""

    id: str
    kind: JobKind
    ended: bool
    dedupe_key: str
    owns_key: bool
    build: str
    """The build an update waits for; empty for builds."""
    pool: str
    """`cluster/pool` of an update, empty for builds. Pool names have no slash."""
    created_ms: int
    changed_ms: int


def row_of(job: Job) -> Row:
    """Return what the store must know about the job."""
    update = job if isinstance(job, Update) else None
    return Row(
        id=job.id,
        kind=kind_of(job),
        ended=job.is_ended,
        dedupe_key=dedupe_key(job),
        owns_key=owns_key(job),
        build=update.build if update else "",
        pool=pool_key(update.cluster, update.pool) if update else "",
        created_ms=milliseconds(job.created_at),
        changed_ms=milliseconds(job.changed_at),
    )


def pool_key(cluster: str, pool: str) -> str:
    return f"{cluster}/{pool}"


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970: the unit of every time inside the store."""
    return round(at.timestamp() * 1000)


def moment(at_milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_milliseconds)


def told_of(view: str) -> tuple[str, ...]:
    """Return the names of what people are told of in this view: of pools only."""
    return _TOLD if view.startswith("pool:") else ()


def as_milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def check_changes(changes: Sequence[Change]) -> None:
    """Raise ValueError for a commit that contradicts itself: a bug of the caller."""
    ids = [change.job.id for change in changes]
    if len(set(ids)) != len(ids):
        raise ValueError(f"one job twice in one commit: {ids}")
    for change in changes:
        if change.keep_lease and change.fence is None:
            raise ValueError(f"{change.job.id}: a lease can only be kept under its fence")


def bounded_lines(lines: Sequence[str]) -> list[str]:
    """Return the newest lines that fit, each cut, without what could steer a terminal."""
    return [_plain(line[:LOG_CHARS]) for line in lines[-LOG_LINES:]]


def _plain(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        " " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in line
    )


def bounded_values(what: str, values: Mapping[str, object]) -> bytes:
    """Return the values as JSON; raise Refused when they are too large to be a snapshot."""
    encoded = codec.encode_values(values)
    if len(encoded) > VALUES_BYTES:
        raise Refused(
            f"{what[:100]}: a snapshot of {len(encoded)} bytes is above the bound of"
            f" {VALUES_BYTES}: shorten it"
        )
    return encoded


def too_many_silences() -> Declined:
    """What a person is told who orders one more."""
    return Declined(
        f"{SILENCES_KEPT} silences are kept, and that is the bound; lift some, or turn the rule"
        " off in the configuration: alerts.disabled"
    )


def changed_meanwhile(subject: str, key: str, version: int) -> Conflict:
    """What a writer of a letter is told who had not read the newest."""
    return Conflict(f"{key} of {subject} was changed meanwhile: it is at version {version}")

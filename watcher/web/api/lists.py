"""What whole answers look like: rows in their frames."""

from typing import TypedDict

from watcher.web.api.rows import (
    Anything,
    AuditRow,
    BuildRow,
    FindingRow,
    FreezeRow,
    LookRow,
    Moment,
    SilenceRow,
    TimetableRow,
    UpdateRow,
)


class Updates(TypedDict):
    updates: list[UpdateRow]
    next: str | None


class Builds(TypedDict):
    builds: list[BuildRow]
    next: str | None


class AuditList(TypedDict):
    """A page may be shorter than asked for, even empty, while there is a `next`."""

    audit: list[AuditRow]
    next: str | None


class AuditExport(TypedDict):
    audit: list[AuditRow]
    cut: bool
    """There is more than one export may have: ask for the time before the last line."""


class Log(TypedDict):
    id: str
    lines: list[str]


class PoolPage(TypedDict):
    """One pool: `found` and `windows` are null where it is only configured, or only on its
    cluster."""

    cluster: str
    pool: str
    found: FindingRow | None
    look: LookRow
    windows: TimetableRow | None
    updates: list[UpdateRow]
    freezes: list[FreezeRow]


class DeadRow(TypedDict):
    id: str
    job: str
    cluster: str
    pool: str
    state: str
    because: str
    changed_at: Moment


class DeadLetters(TypedDict):
    dead_letters: list[DeadRow]
    next: str | None


class NoticeRow(TypedDict):
    """An alert that stands."""

    cause: str
    rule: str
    title: str
    sentence: str
    severity: str
    since: Moment | None
    over_at: Moment | None
    places: list[str]
    silenced: str


class Notices(TypedDict):
    notices: list[NoticeRow]


class Freezes(TypedDict):
    freezes: list[FreezeRow]


class Silences(TypedDict):
    silences: list[SilenceRow]


class Decided(TypedDict):
    sentence: str
    update: UpdateRow


class Proposed(TypedDict):
    update: UpdateRow


class Frozen(TypedDict):
    sentence: str
    freeze: FreezeRow


class Lifted(TypedDict):
    sentence: str
    scope: str


class Silenced(TypedDict):
    sentence: str
    silence: SilenceRow


class Cancelled(TypedDict):
    sentence: str
    build: BuildRow


class Revived(TypedDict):
    sentence: str
    id: str


Document = Anything
"""OpenAPI 3.1."""

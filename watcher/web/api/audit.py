"""The audit trail: page by page, and whole as a file."""

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal
from weakref import WeakSet

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from watcher import shown
from watcher.ports import AuditEntry
from watcher.web.api import lists, paging
from watcher.web.api.operation import CSV, JSON, Asked, Operation
from watcher.web.api.paging import Limit
from watcher.web.api.updates import Name
from watcher.web.face import Face
from watcher.web.problems import Problem
from watcher.web.seats import SeatedResponse

READ = 500
"""Entries that are read from the store at once: 150 KB."""
MOST_SCANNED = 10_000
"""Entries that one page looks through for those that fit; then the next page goes on."""
MOST_EXPORTED = 100_000
"""Lines of one export: 30 MB; whoever needs more asks by time."""
MOST_EXPORTS = 2
"""At once, of one replica."""
SKEW = timedelta(hours=1)
"""Lines stand in the order of being written; the clocks of replicas may differ by less."""
COLUMNS = (
    *("at", "event", "by", "cluster", "pool", "job", "state", "detail", "surface", "binding"),
)
_PLACE = re.compile(r"[1-9][0-9]{0,17}-[0-9]{1,18}")
_encode = msgspec.json.Encoder().encode
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Moment = Annotated[datetime, Meta(tz=True)]


class Filter(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    cluster: Name | UnsetType = UNSET
    pool: Name | UnsetType = UNSET
    job: Text | UnsetType = UNSET
    event: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET
    by: Text | UnsetType = UNSET
    since: Annotated[Moment, Meta(description="Not before this.")] | UnsetType = UNSET
    until: Annotated[Moment, Meta(description="Before this.")] | UnsetType = UNSET

    def fits(self, entry: AuditEntry) -> bool:
        """Whether it is wanted."""
        named = (
            (self.cluster, entry.cluster),
            (self.pool, entry.pool),
            (self.job, entry.job),
            (self.event, entry.event),
            (self.by, entry.by),
        )
        if not all(wanted in (UNSET, is_) for wanted, is_ in named):
            return False
        if isinstance(self.since, datetime) and entry.at < self.since:
            return False
        return not (isinstance(self.until, datetime) and entry.at >= self.until)

    def is_before_all(self, entry: AuditEntry) -> bool:
        """Whether nothing older can be wanted."""
        return isinstance(self.since, datetime) and entry.at + SKEW < self.since


class AuditQuery(Filter, kw_only=True):
    limit: Limit = paging.USUAL
    cursor: paging.Cursor | UnsetType = UNSET


class ExportQuery(Filter, kw_only=True):
    format: Literal["json", "csv"] = "json"


class _Seat:
    """Held by an export while it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Face):
    most_exported: int = MOST_EXPORTED
    _seats: "WeakSet[_Seat]" = field(default_factory=WeakSet)

    def operations(self) -> list[Operation]:
        """Return them in the order of the document."""
        return [
            Operation(
                method="GET",
                path="/audit",
                name="listAudit",
                says="The audit trail, newest first.",
                act=self.audit,
                query=AuditQuery,
                answer=lists.AuditList,
            ),
            Operation(
                method="GET",
                path="/audit/export",
                name="exportAudit",
                says="The audit trail as a file, newest first, at most 100,000 lines.",
                act=self.export,
                query=ExportQuery,
                answer=lists.AuditExport,
                kinds=(JSON, CSV),
            ),
        ]

    async def audit(self, asked: Asked) -> Response:
        query = asked.query
        before = _before(query)
        found: list[shown.Row] = []
        following: str | None = None
        scanned = 0
        async with aclosing(self._entries(before)) as entries:
            async for place, entry in entries:
                if query.is_before_all(entry):
                    break
                if len(found) == query.limit or scanned == MOST_SCANNED:
                    following = paging.cursor("audit", (before,))
                    break
                scanned, before = scanned + 1, place
                if query.fits(entry):
                    found.append(shown.audit_row(entry))
        return paging.answer(asked.request, "audit", found, following)

    async def export(self, asked: Asked) -> Response:
        """It begins once the store has answered, so that its being away is an error like others."""
        if len(self._seats) >= MOST_EXPORTS:
            raise Problem(
                503,
                f"{MOST_EXPORTS} exports are being written; ask again in a minute",
                {"Retry-After": "60"},
            )
        seat = _Seat()
        self._seats.add(seat)
        await self.service.store.trail("", 1)
        kind = asked.query.format
        rows = self._rows(asked.query)
        name = f'attachment; filename="relayer-audit.{kind}"'
        return SeatedResponse(
            seat,
            _as_csv(rows) if kind == "csv" else _as_json(rows),
            media_type=CSV if kind == "csv" else JSON,
            headers={"Content-Disposition": name},
        )

    async def _rows(self, query: Filter) -> AsyncIterator[shown.Row | None]:
        """The rows, and None where there are more than one export has."""
        written = 0
        async with aclosing(self._entries("")) as entries:
            async for _, entry in entries:
                if query.is_before_all(entry):
                    return
                if not query.fits(entry):
                    continue
                if written == self.most_exported:
                    yield None
                    return
                written += 1
                yield shown.audit_row(entry)

    async def _entries(self, before: str) -> AsyncGenerator[tuple[str, AuditEntry], None]:
        while page := await self.service.store.trail(before, READ):
            for one in page:
                yield one
            before = page[-1][0]


def _before(query: AuditQuery) -> str:
    if query.cursor is UNSET:
        return ""
    key = paging.read(str(query.cursor))
    if key is None or len(key) != 2 or key[0] != "audit" or not _PLACE.fullmatch(key[1]):
        raise Problem(422, "cursor: not one of this list; take `next` of the page before")
    return key[1]


async def _as_json(rows: AsyncIterator[shown.Row | None]) -> AsyncIterator[bytes]:
    parts, cut, begun = [b'{"audit":['], False, False
    async for row in rows:
        if row is None:
            cut = True
            continue
        parts += [b",\n" if begun else b"\n", _encode(row)]
        begun = True
        if len(parts) > 2 * READ:
            yield b"".join(parts)
            parts = []
    yield b"".join(parts) + (b'\n],"cut":true}\n' if cut else b'\n],"cut":false}\n')


async def _as_csv(rows: AsyncIterator[shown.Row | None]) -> AsyncIterator[bytes]:
    lines = [_line(COLUMNS)]
    async for row in rows:
        if row is None:
            why = "cut: there are more lines; ask for the time before the last one"
            lines.append(_line(["", "cut", "", "", "", "", "", why, "", ""]))
            continue
        lines.append(_line([shown.cell(row[column]) for column in COLUMNS]))
        if len(lines) > READ:
            yield "".join(lines).encode()
            lines = []
    yield "".join(lines).encode()


def _line(cells: Sequence[str]) -> str:
    made = io.StringIO()
    csv.writer(made, lineterminator="\r\n").writerow(cells)
    return made.getvalue()

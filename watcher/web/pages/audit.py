"""The audit trail: who decided what, when and from where; filtered, page by page, and exported."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from watcher import shown
from watcher.ports import AuditEntry
from watcher.shown import Row
from watcher.web.callers import Caller, Role
from watcher.web.pages.desk import LONGEST_QUERY, Desk, caller_of
from watcher.web.problems import Problem

MOST_READ = 10_000
"""Entries that are looked through: the newest. Of a hundred pools, about half a year."""
PAGE = 50
BATCH = 200
"""Rows of an export that are written at once."""
COLUMNS = (
    *("at", "event", "by", "surface", "cluster", "pool", "job", "state", "detail", "binding"),
)
FIRST_YEAR, LAST_YEAR = 2000, 2999
"""As in moments that people write; the day after the last of all would be none."""
FILTERS = ("pool", "by", "event", "from", "to", "job")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Desk):
    def routes(self) -> list[Route]:
        """Return the routes of the page and of its export."""
        return [
            Route("/audit", self.audit),
            Route("/audit.csv", self.as_csv),
            Route("/audit.json", self.as_json),
        ]

    async def audit(self, request: Request) -> Response:
        """`?pool=`, `?by=`, `?event=`, `?from=`, `?to=`, `?job=` choose; `?page=` from 1."""
        asked, page = _asked(request), request.query_params.get("page", "1")

        async def make(caller: Caller) -> Mapping[str, Any]:
            return await self._model(asked, page)

        return await self.show(request, "audit.html", make, title="Audit", here="audit")

    async def _model(self, asked: Mapping[str, str], page: str) -> Mapping[str, Any]:
        every = await self._read(asked["job"])
        problem, found = "", every
        try:
            found = chosen(every, asked)
        except ValueError as error:
            problem = str(error)
        pages = max(1, -(-len(found) // PAGE))
        number = min(pages, max(1, int(page))) if page.isascii() and page.isdecimal() else 1
        rows = found[(number - 1) * PAGE : number * PAGE]
        return {
            "rows": [shown.audit_row(entry) for entry in rows],
            "found": len(found),
            "total": len(every),
            "is_cut": len(every) >= MOST_READ,
            "events": sorted({entry.event for entry in every}),
            "asked": asked,
            "problem": problem,
            "page": number,
            "pages": pages,
            "is_filtered": any(asked.values()),
        }

    async def as_csv(self, request: Request) -> Response:
        """The rows that the page would show, as CSV with a head; newest first."""
        rows = await self._exported(request)
        return self._file(_csv(rows), "text/csv; charset=utf-8", "csv")

    async def as_json(self, request: Request) -> Response:
        """The same as JSON: `{"audit": [...]}`, each row as in the API."""
        rows = await self._exported(request)
        return self._file(_json(rows), "application/json", "json")

    async def _exported(self, request: Request) -> Sequence[AuditEntry]:
        await caller_of(self.access, request, Role.VIEWER)
        if len(request.url.query) > LONGEST_QUERY:
            raise Problem(414, f"the query is longer than {LONGEST_QUERY} characters")
        asked = _asked(request)
        try:
            return chosen(await self._read(asked["job"]), asked)
        except ValueError as error:
            raise Problem(422, str(error)) from error

    def _file(self, parts: AsyncIterator[bytes], kind: str, ending: str) -> Response:
        named = f"relayer-audit-{self.service.clock.now():%Y%m%d-%H%M%S}.{ending}"
        said = {"Content-Disposition": f'attachment; filename="{named}"'}
        return StreamingResponse(parts, media_type=kind, headers=said)

    async def _read(self, job: str) -> Sequence[AuditEntry]:
        """Newest first."""
        return (await self.service.store.audit(job[:80] or None, MOST_READ))[::-1]


def _asked(request: Request) -> Mapping[str, str]:
    return {name: request.query_params.get(name, "").strip() for name in FILTERS}


def chosen(entries: Iterable[AuditEntry], asked: Mapping[str, str]) -> list[AuditEntry]:
    """Return those that all filters fit, in their order. Raise ValueError for what is no day."""
    since, until = _day(asked.get("from", "")), _day(asked.get("to", ""))
    ends = until + timedelta(days=1) if until else None
    pool, by, event = (asked.get(name, "").lower() for name in ("pool", "by", "event"))
    tests: list[Callable[[AuditEntry], bool]] = [
        lambda entry: not pool or pool in f"{entry.cluster}/{entry.pool}".lower(),
        lambda entry: not by or by in entry.by.lower(),
        lambda entry: not event or event == entry.event.lower(),
        lambda entry: since is None or entry.at >= since,
        lambda entry: ends is None or entry.at < ends,
    ]
    return [entry for entry in entries if all(fits(entry) for fits in tests)]


def _day(text: str) -> datetime | None:
    """The first moment of a day in UTC."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise ValueError(day.year)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text[:20]!r} is no day: write it as 2026-11-24") from error


async def _csv(entries: Sequence[AuditEntry]) -> AsyncIterator[bytes]:
    yield (",".join(COLUMNS) + "\r\n").encode()
    for start in range(0, len(entries), BATCH):
        written = io.StringIO()
        lines = csv.writer(written)
        for entry in entries[start : start + BATCH]:
            row = shown.audit_row(entry)
            lines.writerow([shown.cell(row[name]) for name in COLUMNS])
        yield written.getvalue().encode()


async def _json(entries: Sequence[AuditEntry]) -> AsyncIterator[bytes]:
    yield b'{"audit":[\n'
    for start in range(0, len(entries), BATCH):
        rows: list[Row] = [shown.audit_row(e) for e in entries[start : start + BATCH]]
        lines = b",\n".join(_encode(row) for row in rows)
        yield (b",\n" if start else b"") + lines
    yield b"\n]}\n"

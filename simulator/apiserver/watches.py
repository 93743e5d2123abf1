"""Watches: the log of one kind as a stream of JSON lines.

A watcher has a position in the log. It takes what is new in one go, joins the already encoded
bytes and writes them at once, so tens of thousands of events a second are no trouble.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from simulator.apiserver import status
from simulator.apiserver.kinds import Kind, Kinds
from simulator.apiserver.selectors import FieldTest, LabelTest
from simulator.apiserver.store import Change, Store, Version

_HEAD = {
    what: b'{"type":"%s","object":' % what.encode()
    for what in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
}
_TAIL = b"}\n"
_MOST_AT_ONCE = 500
"""Events joined into one piece: 3 KB each make 1.5 MB, a bound for the memory of a slow reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What a client asked for."""

    kind: Kind
    namespace: str = ""
    label_test: LabelTest | None = None
    field_test: FieldTest | None = None
    revision: int = 0
    """0: first everything there is, then changes."""
    bookmarks: bool = False
    initial_events: bool = False
    """Mark the end of the initial objects by a bookmark (``sendInitialEvents``)."""
    timeout_seconds: float = 3600.0

    def sees(self, key: tuple[str, str]) -> bool:
        return (not self.namespace or key[0] == self.namespace) and (
            self.field_test is None or self.field_test(*key)
        )


class Bell:
    """Wakes all watchers after a write."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Until the next ring, or False after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Watches:
    """Streams the changes of one store."""

    def __init__(self, store: Store, kinds: Kinds, *, bookmark_seconds: float) -> None:
        self._store = store
        self._kinds = kinds
        self._bookmark_seconds = bookmark_seconds
        self._bell = Bell()
        self._bookmarks_asked = 0
        self._closed = False
        store.listen(lambda *_: self._bell.ring())

    def wake(self) -> None:
        """Have the watchers look again: kinds or history changed."""
        self._bell.ring()

    def send_bookmarks(self) -> None:
        """Have each watcher that asked for bookmarks get one now."""
        self._bookmarks_asked += 1
        self._bell.ring()

    def close(self) -> None:
        """End all streams, and refuse new ones until opened."""
        self._closed = True
        self._bell.ring()

    def open(self) -> None:
        self._closed = False

    def stream(self, asked: WatchRequest) -> AsyncIterator[bytes]:
        """Begin now, and yield pieces of whole lines until the timeout, an expired revision or
        the end of the server or the kind."""
        table = self._store.table(asked.kind)
        if 0 < asked.revision < table.compacted:
            return _only(_expired(asked.revision, table.compacted))
        first = self._initial(asked) if asked.revision == 0 else b""
        sent = asked.revision or self._store.revision
        position = table.appended - sum(1 for change in table.log if change.revision > sent)
        return self._follow(asked, first, sent, position, self._bookmarks_asked)

    async def _follow(
        self, asked: WatchRequest, first: bytes, sent: int, position: int, bookmarks_asked: int
    ) -> AsyncIterator[bytes]:
        if first:
            yield first
        table = self._store.table(asked.kind)
        clock = asyncio.get_running_loop().time
        end = clock() + asked.timeout_seconds
        next_bookmark = clock() + self._bookmark_seconds
        while not self._closed and self._kinds.serves(asked.kind):
            if position < table.appended - len(table.log):
                yield _expired(sent, table.compacted)
                return
            if news := _new(table.log, table.appended - position):
                position += len(news)
                sent = news[-1].revision
                if piece := b"".join(_line(asked, change) for change in news):
                    yield piece
                continue
            sent = max(sent, self._store.revision)
            if clock() >= next_bookmark or bookmarks_asked != self._bookmarks_asked:
                bookmarks_asked = self._bookmarks_asked
                next_bookmark = clock() + self._bookmark_seconds
                if asked.bookmarks:
                    yield _bookmark(asked.kind, sent)
            if clock() >= end:
                return
            await self._bell.wait(max(0.0, min(end, next_bookmark) - clock()))

    def _initial(self, asked: WatchRequest) -> bytes:
        page = self._store.page(
            asked.kind,
            namespace=asked.namespace,
            label_test=asked.label_test,
            field_test=asked.field_test,
        )
        lines = b"".join(_HEAD["ADDED"] + version.body + _TAIL for version in page.items)
        if asked.initial_events:
            lines += _bookmark(asked.kind, page.revision, initial=True)
        return lines


async def _only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def _new(log: deque[Change], behind: int) -> list[Change]:
    """The oldest of the ``behind`` newest changes, not more than fit into one piece."""
    start = len(log) - behind
    return list(islice(log, start, min(start + _MOST_AT_ONCE, len(log)))) if behind else []


def _line(asked: WatchRequest, change: Change) -> bytes:
    """The line of a change as this watcher sees it; empty if it does not concern it."""
    if not asked.sees(change.key):
        return b""
    what = change.type
    if test := asked.label_test:
        had = change.labels_before is not None and test(change.labels_before)
        has = what != "DELETED" and test(change.labels)
        if not had and not has:
            return b""
        what = "MODIFIED" if had and has else "ADDED" if has else "DELETED"
    return _HEAD[what] + change.body + _TAIL


def _bookmark(kind: Kind, revision: int, *, initial: bool = False) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return _HEAD["BOOKMARK"] + msgspec.json.encode(body) + _TAIL


def _expired(asked: int, oldest: int) -> bytes:
    """Of an expired watch the client learns in the stream; the HTTP answer was already 200."""
    return _HEAD["ERROR"] + msgspec.json.encode(status.too_old(asked, oldest).body()) + _TAIL


def encode_list(kind: Kind, items: list[Version], metadata: dict[str, object]) -> bytes:
    """A list object around the encoded items."""
    head = msgspec.json.encode(
        {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
    )
    return head[:-1] + b',"items":[' + b",".join(item.body for item in items) + b"]}"

"""One kind of one cluster, kept in step: list once, then watch, and go on for ever.

Ours, because the library's informer cannot take custom objects and reconnects without any delay
to a dead server. The order of things is client-go's: list in pages, watch from the list's version
with bookmarks, resume after each end from the last version seen, list again when the server says
410, and after we were blind. A failure of one kind is that kind's alone and never ends `run`.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from watcher.clients.kube import errors, wire
from watcher.clients.kube.cache import Cache, OnChange
from watcher.clients.kube.kinds import Kind
from watcher.clients.kube.listing import Listed, list_kind, malformed, name_of, request, selector
from watcher.clients.kube.session import Session
from watcher.ports import Clock, OutsideError, Refused, Transient

F = TypeVar("F")

_RAW_EVENT = msgspec.json.Decoder(wire.Event[msgspec.Raw])
_HEAD = msgspec.json.Decoder(wire.Head)


class State(StrEnum):
    STARTING = "starting"
    SYNCED = "synced"
    FAILING = "failing"
    """No connection at present; the facts are those last seen."""
    ABSENT = "absent"
    """The cluster does not serve this kind."""
    FORBIDDEN = "forbidden"
    """We may not read it, or are not let in at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How patient a reflector is. Times in seconds."""

    first_delay: float = 0.8
    max_delay: float = 30.0
    """First and longest delay after a failure, as in client-go; the real one is drawn below it."""
    least_delay: float = 0.1
    """Full jitter may draw 0; a dead server would then be asked in a loop."""
    longest_retry_after: float = 300.0
    """What we accept from a server that asks us to wait."""
    refused: float = 60.0
    """A missing right is added by a person."""
    absent: float = 300.0
    """A new kind appears with an upgrade or a feature gate."""
    silence: float = 150.0
    """API servers send a bookmark about once a minute; longer means a dead line."""
    blind: float = 60.0
    """Out of step for longer, all is listed anew and no watch resumed. Another API server takes
    over in seconds; what takes a minute may be etcd restored from a backup, which counts its
    versions anew: a watch resumed from ours would silently leave out what differs."""
    shortest_watch: float = 300.0
    longest_watch: float = 600.0
    """The server ends a watch after a random time between these: load spreads over servers."""
    steady: float = 10.0
    """A watch that lived this long was a good one: delays begin anew."""
    max_line_bytes: int = 32 * 1024 * 1024
    """etcd takes objects of 1.5 MiB; JSON may escape each byte sixfold."""


class Reflector(Generic[F]):
    """Keeps the facts of one kind. `run` it in a task group, read `facts` at any time."""

    def __init__(
        self,
        kind: Kind[F],
        *,
        session: Session,
        clock: Clock,
        on_change: OnChange,
        pacing: Pacing | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.kind = kind
        self.state = State.STARTING
        self.problem = ""
        """What keeps us from being in step; empty when nothing does."""
        self.synced_at: datetime | None = None
        """When the cache was last known to be in step with the API server. While a resumed watch
        repeats what happened meanwhile it stays what it was: nobody knows how much is to come."""
        self.lists = 0
        self.watches = 0
        self.events = 0
        self.first_answer = asyncio.Event()
        """Set once it is known what there is, or that it is absent or forbidden."""
        self._session = session
        self._clock = clock
        self._pacing = pacing or Pacing()
        self._sleep = sleep
        self._monotonic = monotonic
        self._draw = draw
        self._cache = Cache(kind, on_change=on_change)
        self._decoder = msgspec.json.Decoder(wire.Event[kind.struct])  # type: ignore[name-defined]
        self._api_version = kind.versions[0]
        self._version: str | None = None
        """resourceVersion of the last thing seen; None: list first."""
        self._failures = 0
        self._is_caught_up = False
        """A list, or a bookmark of this watch, has told that nothing is missing."""
        self._in_step_at = 0.0
        """When that was so last; monotonic."""

    def facts(self) -> Mapping[str, F]:
        """Name → fact, as last seen. The mapping does not change any more."""
        return self._cache.facts()

    def unreadable(self) -> Mapping[str, str]:
        """Name → why, a sentence: objects that are there and left out."""
        return self._cache.unreadable()

    def problems(self) -> tuple[str, ...]:
        """Sentences: what keeps this kind, or single objects of it, from being known."""
        own = (self.problem,) if self.problem else ()
        return own + self._cache.problems()

    async def run(self) -> NoReturn:
        """For ever. Raises nothing but cancellation (and what is a bug)."""
        while True:
            try:
                if self._version is None or self._is_blind():
                    await self._list()
                await self._watch()
            except OutsideError as error:
                await self._sleep(self._note(error))

    def _is_blind(self) -> bool:
        return self._monotonic() - self._in_step_at > self._pacing.blind

    async def _list(self) -> None:
        self.lists += 1
        untried = [self._api_version, *(v for v in self.kind.versions if v != self._api_version)]
        while True:
            try:
                listed = await list_kind(self._session, self.kind, version=untried[0])
                break
            except errors.NotFound:
                if len(untried) == 1:
                    raise
                del untried[0]
        self._api_version = untried[0]
        self._cache.replace(listed)
        self._version = listed.resource_version
        self._is_caught_up = True
        self._in_step()

    async def _watch(self) -> None:
        """One stream, to its end. Returns after a good one; raises OutsideError otherwise."""
        self.watches += 1
        pacing, ask = self._pacing, request(self._session, self.kind, "watch")
        spread = pacing.longest_watch - pacing.shortest_watch
        seconds = int(pacing.shortest_watch + spread * self._draw())
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(seconds),
            **selector(self.kind),
        }
        path = self.kind.path(self._api_version)
        started = self._monotonic()
        try:
            with await self._session.open(ask, path=path, query=query) as answer:
                self._good()
                # The server's own limit first; ours is for the server that forgot it.
                async with asyncio.timeout(seconds + pacing.silence):
                    await self._follow(answer.blocks(silence_seconds=pacing.silence), ask)
            if self._is_caught_up:  # and the server ended it in good order
                self._in_step_at = self._monotonic()
        except TimeoutError as error:
            # Nor does a server restored from a backup ever reach the version we wait for.
            self._version = None
            raise Transient(f"{ask}: silent for {pacing.silence:.0f} s, connecting anew") from error
        except OSError as error:
            raise errors.unreachable(ask, error, url=self._session.url) from error
        finally:
            self._is_caught_up = False
            lived = self._monotonic() - started
            if lived >= pacing.steady:
                self._failures = 0
        if lived < pacing.steady:
            raise Transient(f"{ask}: the server ended the watch after {lived:.0f} s")

    async def _follow(self, blocks: Any, ask: errors.Request) -> None:
        lines = Lines(limit_bytes=self._pacing.max_line_bytes, what=str(ask))
        heard_at = self._monotonic()
        async with contextlib.aclosing(blocks):
            try:
                async for block in blocks:
                    heard_at = self._since(heard_at)
                    whole = lines.feed(block)
                    if whole:
                        self._apply(whole, ask)
            except Spoiled:
                # What the lost line said is known only to a new list.
                self._version = None
                raise
        self._since(heard_at)

    def _since(self, heard_at: float) -> float:
        """Return now. Raise TimeoutError if we were stopped: what is read then may be as old."""
        now = self._monotonic()
        if now - heard_at > self._pacing.silence:
            raise TimeoutError
        return now

    def _apply(self, whole: memoryview, ask: errors.Request) -> None:
        """Whole lines. All are decoded in one call; the few odd ones make it fall back."""
        try:
            events = self._decoder.decode_lines(whole)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._apply_one_by_one(whole, ask)
        else:
            for event in events:
                self._take(event)
            self.events += len(events)
        if self._is_caught_up:
            self._in_step()

    def _take(self, event: wire.Event[Any]) -> None:
        meta: wire.MetaWire = event.object.metadata
        if event.type == "MODIFIED" or event.type == "ADDED":
            self._cache.put(meta.name, version=meta.resource_version, item=event.object)
        elif event.type == "DELETED":
            self._cache.remove(meta.name)
        elif event.type == "BOOKMARK":
            self._is_caught_up = True
        self._version = meta.resource_version or self._version

    def _apply_one_by_one(self, whole: memoryview, ask: errors.Request) -> None:
        for line in bytes(whole).splitlines():
            if not line.strip():
                continue
            try:
                event = wire.decoded(_RAW_EVENT, line)
                head = wire.decoded(_HEAD, event.object)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                why = errors.clean(str(error))
                raise Spoiled(f"{ask}: a line of the watch cannot be read ({why})") from error
            if event.type == "ERROR":
                raise errors.from_status(ask, bytes(event.object))
            if event.type == "BOOKMARK":
                self._is_caught_up = True
            else:
                self._take_odd(line, event)
                self.events += 1
            if head.metadata and head.metadata.resource_version:
                self._version = head.metadata.resource_version

    def _take_odd(self, line: bytes, event: wire.Event[msgspec.Raw]) -> None:
        try:
            self._take(wire.decoded(self._decoder, line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            name = name_of(event.object)
            if event.type == "DELETED":
                self._cache.remove(name)
            else:
                self._cache.reject(name, why=malformed(self.kind, name, error))

    def _in_step(self) -> None:
        self.synced_at = self._clock.now()
        self._in_step_at = self._monotonic()
        self._good()

    def _good(self) -> None:
        self.state, self.problem = State.SYNCED, ""
        self.first_answer.set()

    def _note(self, error: OutsideError) -> float:
        """Take an error down; returns how long to wait before the next attempt, in seconds."""
        self.problem = str(error)
        pacing = self._pacing
        match error:
            case errors.NotFound():
                return self._absent()
            case errors.Gone():
                self._version = None
            case Refused():
                self.state = State.FORBIDDEN
                self.first_answer.set()
                return pacing.refused
        self.state = State.FAILING
        ceiling = min(pacing.max_delay, pacing.first_delay * 2.0 ** min(self._failures, 16))
        self._failures += 1
        delay = pacing.least_delay + (ceiling - pacing.least_delay) * self._draw()
        asked = error.retry_after_seconds if isinstance(error, Transient) else None
        return max(delay, min(asked or 0.0, pacing.longest_retry_after))

    def _absent(self) -> float:
        self.state = State.ABSENT
        self.synced_at = self._clock.now()
        self._version = None
        self._cache.replace(Listed())
        self.first_answer.set()
        if self.kind.required:
            self.problem = (
                f"cluster {self._session.cluster} serves no {self.kind.title}"
                f" ({self.kind.resource}.{self.kind.group}): it is no OpenShift cluster with a"
                " machine-config operator, or its API server is still starting"
            )
            return self._pacing.max_delay
        self.problem = ""
        return self._pacing.absent


class Spoiled(Transient):
    """A line of a watch is lost to us: too long, or no JSON."""


class Lines:
    """Cuts blocks into whole lines. A line of many blocks is joined once, at its end."""

    def __init__(self, *, limit_bytes: int, what: str) -> None:
        self._limit = limit_bytes
        self._what = what
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> memoryview | None:
        """Everything up to the last line end so far. Raises Spoiled at a line over the limit."""
        cut = block.rfind(b"\n") + 1
        if self._parts or not cut:
            first = block.find(b"\n")
            if self._size + (first if cut else len(block)) > self._limit:
                raise Spoiled(
                    f"{self._what}: a line of more than {self._limit} bytes; an object this large"
                    " cannot come from etcd, look at what stands between us and the API server"
                )
        if not cut:
            self._parts.append(block)
            self._size += len(block)
            return None
        whole = memoryview(block)[:cut]
        if self._parts:
            whole = memoryview(b"".join([*self._parts, whole]))
        rest = block[cut:]
        self._parts = [rest] if rest else []
        self._size = len(rest)
        return whole

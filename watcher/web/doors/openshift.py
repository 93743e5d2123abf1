"""Tokens of OpenShift: one cluster says whose they are, and what that one may.

`get`, `update` and `approve` on `pools.relayer.io` are viewer, operator and approver. Answers are
believed for a short time; of a token only its digest is kept. No answer opens nothing.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec
import structlog

from watcher.core.approval import OPENSHIFT
from watcher.ports import Clock, OutsideError, Refused
from watcher.ports_reviews import Reviewed, Reviews
from watcher.settings_web import ReviewSettings, WebSettings
from watcher.web.callers import Role
from watcher.web.doors.entry import Entry, highest
from watcher.web.doors.tokens import digest_of
from watcher.web.problems import Problem

log = structlog.get_logger()

BELIEVED_SECONDS = 60.0
"""A yes: for so long a token or a right that was taken away still counts."""
REFUSED_SECONDS = 10.0
"""A no: somebody who was just given the right does not wait for long."""
ANSWER_SECONDS = 5.0
MOST_KEPT = 2048
"""Answers of each kind; the oldest ones are forgotten."""
MOST_ASKING = 8
"""Questions to the cluster at a time, so that guesses cannot flood it."""
LONGEST_TOKEN = 8192
VERBS: Mapping[Role, str] = {Role.VIEWER: "get", Role.OPERATOR: "update", Role.APPROVER: "approve"}

T = TypeVar("T")


@runtime_checkable
class Reviewing(Protocol):
    """A cluster that can be asked about people."""

    @property
    def reviews(self) -> Reviews: ...


def reviews_of(clusters: Mapping[Any, object], web: WebSettings) -> Reviews | None:
    """Return whom to ask, None if the mode asks nobody. Raise Refused if there is no such one."""
    if web.auth.mode != "openshift":
        return None
    named = web.auth.openshift.cluster
    known = {str(name): one for name, one in clusters.items()}
    found = known.get(named) if named else next(iter(known.values()), None)
    if found is None or (not named and len(known) > 1):
        raise Refused(f"web.auth.openshift.cluster: no cluster {named!r} to ask who somebody is")
    if not isinstance(found, Reviewing):
        raise Refused(f"web.auth.openshift.cluster: {named or 'it'} cannot be asked about people")
    return found.reviews


@dataclass(slots=True)
class _Slot(Generic[T]):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    answer: T | None = None
    until: float = float("-inf")


class Answers(Generic[T]):
    """What was answered lately; who asks what is being asked waits for the answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: OrderedDict[bytes, _Slot[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    async def get(self, key: bytes, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return the answer; a false one is believed for a shorter time. Raise what `ask` does."""
        slot = self._slots.setdefault(key, _Slot())
        self._slots.move_to_end(key)
        while len(self._slots) > MOST_KEPT:
            self._slots.popitem(last=False)
        async with slot.lock:
            now = self._clock.now().timestamp()
            if now >= slot.until:  # an old yes never stands in for no answer: this may raise
                slot.answer = await ask()
                slot.until = now + (BELIEVED_SECONDS if slot.answer else REFUSED_SECONDS)
            return slot.answer


class OpenShiftDoor:
    def __init__(self, said: ReviewSettings, reviews: Reviews, clock: Clock) -> None:
        self._said = said
        self._reviews = reviews
        self._people: Answers[Reviewed | None] = Answers(clock)
        self._rights: Answers[bool] = Answers(clock)
        self._asking = asyncio.Semaphore(MOST_ASKING)

    async def whose(self, token: str) -> Reviewed | None:
        """Return whose token it is, None if nobody's. Raise Problem 503 if nobody can say."""
        if not (token.isascii() and token.isprintable()) or len(token) > LONGEST_TOKEN:
            return None
        ask = self._reviews.whose

        async def asked() -> Reviewed | None:
            return await self._within(lambda: ask(token, audiences=self._said.audiences))

        return await self._people.get(digest_of(token), asked)

    async def entry(self, who: Reviewed, *, bound: str = "") -> Entry:
        """Return as what this one is let in. Raise Problem 503."""
        verdicts = await asyncio.gather(*(self._allows(who, verb) for verb in VERBS.values()))
        roles = (role for role, allowed in zip(VERBS, verdicts, strict=True) if allowed)
        return Entry(identity=OPENSHIFT + who.name, role=highest(roles), bound=bound)

    async def _allows(self, who: Reviewed, verb: str) -> bool:
        key = hashlib.sha256(verb.encode() + b"\0" + msgspec.json.encode(who)).digest()
        ask, where = self._reviews.allows, self._said.namespace

        async def asked() -> bool:
            return await self._within(lambda: ask(who, verb=verb, namespace=where))

        return bool(await self._rights.get(key, asked))

    async def _within(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._asking:
                return await ask()
        except (OutsideError, TimeoutError) as error:
            cause = str(error) or f"no answer within {ANSWER_SECONDS:.0f} s"
            log.warning("nobody_says_who_asks", cause=cause)
            raise Problem(
                503, "the cluster that says who you are does not answer", {"Retry-After": "5"}
            ) from error

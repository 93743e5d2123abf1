"""One question put to several places: mirrors and the source of an image.

A place that is down or says no is asked last for a while, so that not every question waits for it.
What is down is down for everybody on the same connections; a login or a certificate that did not do
is the asking client's own.
"""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from watcher.clients.registry.errors import Tampered, Unauthorised, Untrusted, clean
from watcher.core.facts import Digest, Repository
from watcher.core.mirrors import Mirrors
from watcher.errors import OutsideError, Refused, Transient

K = TypeVar("K", bound=object)

REMEMBERED_SECONDS = 60.0
"""Long enough for all requests of one image, short enough that nobody waits for a mirror's end."""
ATTEMPTS_WITH_OTHERS = 2
"""Attempts at a place while there is another to be asked: one may be bad luck."""
_MOST_KEPT = 1000
_MOST_TOLD = 6
"""Places named in an error; the characters of each reason are limited too."""
_REASON_CHARACTERS = 300


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class Troubles:
    """What failed lately."""

    def __init__(self, monotonic: Callable[[], float] = _loop_time) -> None:
        self._monotonic = monotonic
        self._until: dict[Hashable, float] = {}

    def note(self, what: Hashable) -> None:
        if len(self._until) >= _MOST_KEPT:
            now = self._monotonic()
            self._until = {what: until for what, until in self._until.items() if until > now}
        if len(self._until) < _MOST_KEPT:
            self._until[what] = self._monotonic() + REMEMBERED_SECONDS

    def forget(self, what: Hashable) -> None:
        self._until.pop(what, None)

    def has(self, what: Hashable) -> bool:
        until = self._until.get(what)
        return until is not None and self._monotonic() < until


class Shared(Generic[K]):
    """The troubles that belong to something, for as long as that lives."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[K, Troubles] = WeakKeyDictionary()

    def of(self, owner: K) -> Troubles:
        found = self._kept.get(owner)
        if found is None:
            found = self._kept[owner] = Troubles()
        return found


class Places:
    """Where one client looks for images."""

    def __init__(self, mirrors: Mirrors, *, down: Troubles, denied: Troubles) -> None:
        """`down` is shared by all on the same connections, `denied` by nobody else's login."""
        self._mirrors = mirrors
        self._down = down
        self._denied = denied
        self._knew_tag: dict[Repository, Repository] = {}

    def of(
        self, repository: Repository, *, by_digest: bool, content: Digest | None = None
    ) -> tuple[Repository, ...]:
        """The places to ask, in order; those that failed lately come last.

        Raise Refused where the source may not be asked and no mirror is left.
        """
        found = self._mirrors.places(repository, by_digest=by_digest)
        if by_digest and (knew := self._knew_tag.get(repository)):
            # First, as nodes take all of an image from where they found its tag.
            found = tuple(dict.fromkeys((knew, *found)))
        if not found:
            how = "digest" if by_digest else "tag"
            raise Refused(
                f"{repository}: a mirror set says NeverContactSource, and none names a mirror "
                f"that may be asked by {how}"
            )
        return tuple(sorted(found, key=lambda place: self._is_troubled(place, content)))

    def failed(self, place: Repository, error: OutsideError, content: Digest | None = None) -> None:
        """Remember what says more about the place than about what it was asked for."""
        if isinstance(error, Tampered):
            self._down.note((place, content))
        elif isinstance(error, Transient):
            self._down.note(place)
        elif isinstance(error, (Unauthorised, Untrusted)):
            self._denied.note(place)

    def knew_tag(self, repository: Repository, place: Repository) -> None:
        """A tag was read there: what it leads to is looked for there too."""
        if len(self._knew_tag) >= _MOST_KEPT:
            self._knew_tag.clear()
        self._knew_tag[repository] = place

    def worked(self, place: Repository) -> None:
        """It gave a good answer: what was remembered of it is past."""
        self._down.forget(place)
        self._denied.forget(place)

    def _is_troubled(self, place: Repository, content: Digest | None) -> bool:
        tampering = content is not None and self._down.has((place, content))
        return tampering or self._down.has(place) or self._denied.has(place)


class Failures:
    """What each place said to one question that none has answered yet."""

    def __init__(self, repository: Repository, reference: str) -> None:
        self._repository = repository
        self._reference = reference
        self._seen: list[tuple[Repository, OutsideError]] = []

    def add(self, place: Repository, error: OutsideError) -> None:
        self._seen.append((place, error))

    def newest(self) -> OutsideError:
        """The last error by itself, naming its place."""
        return self._told(self._seen[-1:])

    def joined(self) -> OutsideError:
        """Each place with its reason, in the class they agree on; of the source alone its own.

        Transient if one of them is, since then trying again can work.
        """
        return self._told(self._seen)

    def _told(self, seen: Sequence[tuple[Repository, OutsideError]]) -> OutsideError:
        place, first = seen[0]
        if len(seen) == 1 and place == self._repository:
            return first
        reasons = [
            f"{place}: {clean(error, limit=_REASON_CHARACTERS)}"
            for place, error in seen[:_MOST_TOLD]
        ]
        if more := len(seen) - len(reasons):
            reasons.append(f"and {more} more")
        text = f"{self._repository}{self._reference} could not be had: {'; '.join(reasons)}"
        passing = [error for _, error in seen if isinstance(error, Transient)]
        if passing:
            waits = [e.retry_after_seconds for e in passing if e.retry_after_seconds is not None]
            return Transient(text, retry_after_seconds=min(waits, default=None))
        if {type(error) for _, error in seen} == {type(first)}:
            return type(first)(text)
        return Refused(text)

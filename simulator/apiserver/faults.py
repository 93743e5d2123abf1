"""Troubles on order, and the list of what was asked.

A fault waits for the requests it describes and is used up after ``count`` of them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the access log."""

    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    user_agent: str

    @property
    def watch(self) -> bool:
        return self.query.get("watch") in ("1", "true")


@dataclass(slots=True, kw_only=True)
class Fault:
    """What shall go wrong, for which requests, how often."""

    code: int = 0
    """Answer with this instead of serving."""
    retry_after_seconds: int | None = None
    hang: bool = False
    """Take the request and never answer."""
    cut_after_bytes: int | None = None
    """Serve so many bytes of the body, then drop the connection."""
    drip_seconds: float = 0.0
    """Wait so long before each ``drip_bytes`` of the body."""
    drip_bytes: int = 64
    method: str = "*"
    path: str = "*"
    """Shell-style pattern of the path, such as ``*/machineconfigpools*``."""
    watch: bool | None = None
    """Only watches, or only other requests."""
    count: int | None = 1
    """None: until taken back."""
    used: int = field(default=0, init=False)

    @classmethod
    def too_many(cls, retry_after_seconds: int, *, path: str = "*", count: int | None = 1) -> Self:
        return cls(code=429, retry_after_seconds=retry_after_seconds, path=path, count=count)

    @property
    def shapes_body(self) -> bool:
        return self.cut_after_bytes is not None or self.drip_seconds > 0

    def meets(self, request: Request) -> bool:
        return (
            (self.count is None or self.used < self.count)
            and self.method in ("*", request.method)
            and fnmatchcase(request.path, self.path)
            and self.watch in (None, request.watch)
        )


class Faults:
    """The faults on order; the first that meets a request is used."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self._ordered.append(fault)
        return fault

    def clear(self) -> None:
        """Take all back. A request that hangs goes on hanging."""
        self._ordered.clear()

    def take(self, request: Request) -> Fault | None:
        for fault in self._ordered:
            if fault.meets(request):
                fault.used += 1
                return fault
        return None


class Denials:
    """Verbs on resources that authorisation refuses."""

    def __init__(self) -> None:
        self._denied: set[tuple[str, str]] = set()

    def deny(self, verbs: Iterable[str], plural: str) -> None:
        """Refuse these verbs (``list``, ``watch``, ``patch`` …; ``*`` is all)."""
        self._denied |= {(verb, plural) for verb in verbs}

    def allow(self, plural: str) -> None:
        self._denied = {one for one in self._denied if one[1] != plural}

    def denies(self, verb: str, plural: str) -> bool:
        return bool(self._denied & {(verb, plural), ("*", plural)})


class AccessLog:
    """The requests that arrived, newest last; the oldest fall off."""

    def __init__(self, limit: int = 20_000) -> None:
        self._seen: deque[Request] = deque(maxlen=limit)

    def add(self, request: Request) -> None:
        self._seen.append(request)

    def find(
        self, *, method: str = "*", path: str = "*", watch: bool | None = None
    ) -> list[Request]:
        wanted = Fault(method=method, path=path, watch=watch, count=None)
        return [request for request in self._seen if wanted.meets(request)]

    def clear(self) -> None:
        self._seen.clear()

"""What can go wrong with a registry, on order and for a number of requests."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["status", "redirect", "hang", "cut", "corrupt", "slow"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it came; the log is for assertions, so headers are kept whole."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(slots=True)
class Fault:
    """Happens to the next `count` requests that match."""

    kind: Kind
    method: str = "GET"
    path: str = ".*"
    """A regular expression for the whole path."""
    count: int = 1
    status: int = 503
    headers: tuple[tuple[str, str], ...] = ()
    """More headers of a `status` or `redirect` answer: Retry-After, Location …"""
    body: bytes = b""
    after: int = 0
    """`cut`, `corrupt`: how many bytes of the body are sent right before."""
    pause_seconds: float = 0.01
    """`slow`: before each piece of 1 KiB."""

    def fits(self, method: str, path: str) -> bool:
        return self.count > 0 and method == self.method and bool(re.fullmatch(self.path, path))


def take(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The first fault for this request, used up by one."""
    for fault in faults:
        if fault.fits(method, path):
            fault.count -= 1
            return fault
    return None

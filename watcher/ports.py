"""What the service needs from the outside world, in its own words.

Each port is small and speaks in domain values; no client library shows through.
An implementation raises only the errors below: an error's class says what to do about it.
"""

from datetime import datetime
from typing import Protocol


class OutsideError(Exception):
    """Something beyond this process failed."""


class Transient(OutsideError):
    """Trying the same thing again later can work: timeout, 429, 5xx, leader election."""

    def __init__(self, what: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_seconds = retry_after_seconds
        """What the other side named, if it did."""


class Refused(OutsideError):
    """The other side understood and said no (401, 403, 404, 422, a wrong digest): do not retry, tell."""


class Conflict(OutsideError):
    """Someone else changed it first: read again, decide again."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, aware."""

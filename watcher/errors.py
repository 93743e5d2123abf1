"""Errors that cross the inner borders. An error's class says what to do about it.

Apart from the ports, so that a command that only asks a registry need not load them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.config.text import Problem


class OutsideError(Exception):
    """Something beyond this process failed."""


class Transient(OutsideError):
    """Trying the same thing again later can work: timeout, 429, 5xx, leader election."""

    def __init__(self, what: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.retry_after_seconds = retry_after_seconds
        """What the other side named, if it did."""


class Refused(OutsideError):
    """The other side understood and said no (401, 403, 404, 422, a bad digest): tell, no retry."""


class Conflict(OutsideError):
    """Someone else changed it first: read again, decide again."""


class Declined(Exception):
    """The decision was understood and does not count; the sentence says why. Nothing changed."""


class ConfigError(Exception):
    """The configuration cannot be used; all of `problems` were found in one go."""

    def __init__(self, problems: "Iterable[Problem]") -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))

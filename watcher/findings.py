"""What a check of something outside came to: the lines of `relayer doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not checked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    what: str
    said: str
    passing: bool = False
    """With `failed`: the same may go well later, though nobody mends anything here."""

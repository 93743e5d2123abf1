"""Calls to the outside counted where they are made: a side channel that never raises.

Each client takes one `Counted` when it is made. What it is called with is bounded, so that it can
be a label: never an address, a path or a sentence.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from watcher.errors import Conflict, OutsideError, Refused


class Outcome(StrEnum):
    """What became of one call."""

    OK = "ok"
    LOGIN = "login"
    """It asked for a login (401): the usual first answer of a registry."""
    MISSING = "missing"
    """There is no such thing."""
    CONFLICT = "conflict"
    """What would be changed was changed meanwhile, or is somebody else's."""
    REFUSED = "refused"
    """The other side understood and said no: it is useless to ask the same again."""
    LIMITED = "limited"
    """The other side asked for a pause."""
    FAILED = "failed"
    """No answer, or one that says that it may work later."""


Counted = Callable[[str, Outcome], None]
"""Takes what was called (a verb, a registry, a method) and what became of it."""


def uncounted(what: str, outcome: Outcome) -> None:
    """Nobody wants to know."""


def outcome_of(error: OutsideError) -> Outcome:
    """Return what an error says about the call that raised it."""
    if isinstance(error, Conflict):
        return Outcome.CONFLICT
    return Outcome.REFUSED if isinstance(error, Refused) else Outcome.FAILED


_STATUSES = {
    401: Outcome.LOGIN,
    404: Outcome.MISSING,
    408: Outcome.FAILED,
    409: Outcome.CONFLICT,
    412: Outcome.CONFLICT,
    429: Outcome.LIMITED,
}


def outcome_of_status(status: int) -> Outcome:
    """Return what an HTTP status says; a redirect is an answer."""
    if status < 400:
        return Outcome.OK
    return Outcome.FAILED if status >= 500 else _STATUSES.get(status, Outcome.REFUSED)


class CallMeter(Protocol):
    """Figures of all calls; `watcher.metrics.Metrics` is one."""

    def api_called(self, cluster: str, verb: str, outcome: str) -> None:
        """A cluster's API server was asked; `verb` as in RBAC."""

    def registry_called(self, registry: str, outcome: str) -> None:
        """A registry was asked; ``host[:port]``."""

    def slack_called(self, method: str, outcome: str) -> None:
        """Slack's Web API was asked."""


class Uncounted:
    """A `CallMeter` that counts nothing."""

    def api_called(self, cluster: str, verb: str, outcome: str) -> None: ...
    def registry_called(self, registry: str, outcome: str) -> None: ...
    def slack_called(self, method: str, outcome: str) -> None: ...

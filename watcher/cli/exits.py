"""What an error means to whoever runs a command: one line, the next step, and an exit code.

The codes are an interface for scripts; docs/reference/exit-codes.md is compared with them by test.
"""

from collections.abc import Iterator
from enum import IntEnum

from watcher.errors import ConfigError, Conflict, Declined, OutsideError, Refused, Transient


class Code(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    DECLINED = 5
    NOT_FOUND = 6
    INTERRUPTED = 130


MEANING = {
    Code.OK: "done, or shown",
    Code.FAILED: "it ended badly, or a fault of Relayer's own",
    Code.USAGE: "wrong arguments, or a configuration that cannot be used",
    Code.UNREACHABLE: "something outside does not answer: store, cluster, registry; try again",
    Code.REFUSED: "the other side understood and said no: credentials, rights, files",
    Code.DECLINED: "a decision does not count, or there is nothing to decide; nothing changed",
    Code.NOT_FOUND: "no such update, build, pool, cluster, release, tag or base",
    Code.INTERRUPTED: "interrupted with Ctrl-C",
}


class NotFound(Exception):
    """What was named is not there; the sentence says what is."""


class NoService(Exception):
    """There is no store to ask: nothing has run here; the sentence says what to do."""


class Fault(Exception):
    """A service failed inside; its log says more."""


class Usage(Exception):
    """The arguments do not say one thing."""


def explain(error: BaseException) -> tuple[Code, str]:
    """Return the code and one line (a configuration: one line for each mistake)."""
    cause = next(_leaves(error))
    match cause:
        case ConfigError():
            return Code.USAGE, f"the configuration cannot be used\n{cause}"
        case Usage():
            return Code.USAGE, str(cause)
        case NotFound():
            return Code.NOT_FOUND, str(cause)
        case Declined() | Conflict():
            return Code.DECLINED, f"declined: {cause}"
        case Fault():
            return Code.FAILED, str(cause)
        case NoService():
            return Code.UNREACHABLE, str(cause)
        case Transient():
            return Code.UNREACHABLE, f"{cause}; try again later"
        case Refused() | OutsideError():
            return Code.REFUSED, str(cause)
        case OSError():
            place = f"{cause.filename}: " if cause.filename else ""
            return Code.REFUSED, f"{place}{cause.strerror or cause}"
        case _:
            name = type(cause).__name__
            return Code.FAILED, f"{name}: {cause} (a fault of Relayer's; --debug shows where)"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside groups: task groups wrap even a single one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error

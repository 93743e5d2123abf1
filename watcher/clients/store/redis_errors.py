"""What errors of Redis mean: again later, or no. The only place that knows redis-py's tree."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import redis.exceptions as theirs

from watcher.ports import Refused, Transient

_AGAIN = (
    "BUSY",  # another script runs too long
    "CLUSTERDOWN",
    "LOADING",  # reads its AOF after a start
    "MASTERDOWN",
    "MISCONF",  # cannot write to its disk
    "NOREPLICAS",
    "OOM",  # above maxmemory: an operator can give more
    "READONLY",  # a failover is going on
    "TRYAGAIN",
    "UNBLOCKED",
)

_CREDENTIALS = (
    theirs.AuthenticationError,
    theirs.AuthorizationError,
    theirs.AuthenticationWrongNumberOfArgsError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise Transient or Refused instead of what redis-py raises."""
    try:
        yield
    except (theirs.ConnectionError, theirs.TimeoutError, OSError) as error:
        raise _unreached(error) from error
    except theirs.NoPermissionError as error:
        raise Refused(
            f"redis forbids a command to our user ({_short(error)}): give it the permissions of"
            " docs/decisions/0003-embedded-store.md"
        ) from error
    except theirs.RedisError as error:
        raise _judged(error) from error


def _unreached(error: Exception) -> Transient | Refused:
    # redis-py wraps what happened while it connected into a ConnectionError.
    causes = list(_causes(error))
    if any(isinstance(cause, _CREDENTIALS) for cause in causes):
        return Refused(
            f"redis does not accept our credentials ({_short(error)}): check the user in redis.url"
            " and redis.password_file"
        )
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Refused(
            f"the certificate of redis is not trusted ({_short(error)}): set redis.ca_file"
        )
    return Transient(f"redis does not answer: {_short(error)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _judged(error: theirs.RedisError) -> Transient | Refused:
    again = (theirs.ClusterError, theirs.OutOfMemoryError, theirs.ReadOnlyError)
    if isinstance(error, again) or str(error).startswith(_AGAIN):
        return Transient(f"redis cannot do it now: {_short(error)}")
    return Refused(f"redis refused: {_short(error)}")


def _short(error: BaseException) -> str:
    text = "".join(char if char.isprintable() else " " for char in str(error))
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__

"""Log lines: JSON on stdout, one a finished step; no secret ever reaches them.

Events are names with key and value, so that they can be searched; times are UTC.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

_SECRET_WORDS = ("token", "password", "secret", "authorization", "auth")
_HIDDEN = "(hidden)"


def configure(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send our own lines, and other libraries' warnings, to `stream` (stdout by default)."""
    number = logging.getLevelNamesMapping()[level.upper()]
    out = stream or sys.stdout
    logging.basicConfig(level=max(number, logging.WARNING), stream=out, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _hide_secrets,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def _hide_secrets(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A last net: nothing is logged under a name that means a secret."""
    for key in event:
        if any(word in key.lower().split("_") for word in _SECRET_WORDS):
            event[key] = _HIDDEN
    return event

"""What Slack's libraries log, on its way into our own log: errors only, without secrets."""

import logging
import re

import structlog

log = structlog.get_logger()

_NAME = "relayer.slack.library"
_SECRETS = re.compile(r"(ticket=|xox[a-z]-|xapp-)[^&'\"\s]+")


class _IntoOurs(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """One line, no traceback: it is the network's weather nearly always."""
        said = _SECRETS.sub(r"\1…", record.getMessage())
        log.warning("slack_library", said=said[:500])


def quiet_logger() -> logging.Logger:
    """Return the logger to hand to the libraries; below ERROR they log what people say."""
    logger = logging.getLogger(_NAME)
    if not logger.handlers:
        logger.addHandler(_IntoOurs())
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        for library in ("slack_bolt", "slack_sdk"):  # some of bolt's have a name of their own
            theirs = logging.getLogger(library)
            theirs.addHandler(logging.NullHandler())
            theirs.propagate = False
    return logger

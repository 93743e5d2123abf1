"""Where warnings about the store go: log lines, unless a command tells them in its own way.

The library of log lines takes longer to load than a look at the store, so it is loaded only here.
"""

from collections.abc import Callable
from contextvars import ContextVar

teller: ContextVar[Callable[[str], None] | None] = ContextVar("teller", default=None)
"""Gets each warning as one line; None: it becomes a log line."""


def warn(event: str, **said: object) -> None:
    """Tell of something that is not as it should be, and stops nothing."""
    tell = teller.get()
    if tell is not None:
        tell(f"{event}: {', '.join(f'{name} {value}' for name, value in said.items())}")
        return
    import structlog

    structlog.get_logger().warning(event, **said)

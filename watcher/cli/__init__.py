"""The command line. Importing it costs nothing; each command loads what it needs when it runs."""

import sys
from collections.abc import Sequence
from contextvars import copy_context


def main(argv: Sequence[str] | None = None) -> int:
    """Run `relayer`; return its exit code (docs/reference/exit-codes.md)."""
    from watcher.cli.app import app

    try:
        # What options say of the whole run is kept in a context of its own.
        copy_context().run(app, args=None if argv is None else list(argv), prog_name="relayer")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("relayer: interrupted", file=sys.stderr)  # noqa: T201
        return 130
    return 0

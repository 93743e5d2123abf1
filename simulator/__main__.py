"""`python -m simulator`: the demo. `relayer demo` hands over to this.

Exit codes: 0 the story ended as it should (with --fail-node: the pool was put back), 1 it did not,
2 wrong arguments or a directory or port that cannot be used, 130 left by Ctrl-C, SIGTERM or `q`.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.demo.story import Screen

OK, WRONG, UNUSABLE, LEFT = 0, 1, 2, 130
LIVE_SPEED, LINES_SPEED, SLACK_SPEED = 50.0, 200.0, 100.0
"""Slack takes one message a second: faster, and it would hardly be told of the nodes."""
SLOWEST, FASTEST = 1.0, 1000.0
"""Faster than this the messages between the parts, not the cluster, would set the pace."""


class Unusable(Exception):
    """What was asked for cannot be had; the sentence says why and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    said = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Until the demo listens itself; by default they would leave a directory behind.
        signal.signal(number, signal.default_int_handler)
    try:
        _check_port(said.port)
        with _directory(said.keep) as directory:
            return asyncio.run(_run(said, directory))
    except Unusable as error:
        return _say(str(error), UNUSABLE)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _say("left", LEFT)
    except Exception as error:
        return _explained(error)


def _explained(error: Exception) -> int:
    """Say in one line what went wrong; a traceback only where it is a bug of ours."""
    from simulator.demo.story import DemoError, Left
    from watcher.ports import OutsideError

    causes = list(_causes(error))
    if any(isinstance(cause, Left) for cause in causes):
        return _say("left", LEFT)
    if any(isinstance(cause, BrokenPipeError) for cause in causes):
        # Whoever read our lines went away; the interpreter must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WRONG
    for cause in causes:
        if isinstance(cause, DemoError | OutsideError | OSError):
            return _say(f"{cause}; with --keep DIR there is a relayer.log to look at", WRONG)
    raise error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors within a group of task groups' errors."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
    else:
        yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relayer demo",
        description="One update from the upgrade of a simulated cluster to its last reboot. "
        "Needs no cluster, registry, Redis or container tools.",
        epilog="Exit codes: 0 it ended as it should, 1 it did not, 2 wrong arguments, port or "
        "directory, 130 left early.",
    )
    parser.add_argument("--yes", action="store_true", help="approve without asking anybody")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--fail-node",
        action="store_true",
        help="the first node to take the new image degrades; the pool is put back",
    )
    parser.add_argument(
        "--slack",
        action="store_true",
        help="people are asked in a simulated Slack and answer there; as lines",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="N",
        help=f"simulated seconds in a second (live: {LIVE_SPEED:.0f}, lines: {LINES_SPEED:.0f}, "
        f"with --slack: {SLACK_SPEED:.0f})",
    )
    parser.add_argument("--plain", action="store_true", help="lines even on a terminal")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the local page (default: a free one)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep state and logs in this new directory"
    )
    return parser


def _speed(text: str) -> float:
    speed = float(text)
    if not SLOWEST <= speed <= FASTEST:
        raise argparse.ArgumentTypeError(f"between {SLOWEST:.0f} and {FASTEST:.0f}")
    return speed


def _say(sentence: str, code: int) -> int:
    print(f"relayer demo: {sentence}", file=sys.stderr)  # noqa: T201
    return code


def _check_port(port: int) -> None:
    """Raise Unusable now rather than after the world was set up."""
    if not 0 <= port <= 65535:
        raise Unusable(f"port {port} does not exist; give one up to 65535, or 0 for a free one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Unusable(
                f"port {port} of 127.0.0.1 cannot be used ({error.strerror}); leave out --port for "
                "a free one"
            ) from error


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    try:
        if keep is None:
            temporary = tempfile.TemporaryDirectory(
                prefix="relayer-demo-", ignore_cleanup_errors=True
            )
        else:
            keep.mkdir(parents=True, exist_ok=True)
            if any(keep.iterdir()):
                raise Unusable(f"--keep: {keep} is not empty; name a new directory")
            (keep / "before").mkdir()  # seen to be writable
            (keep / "before").rmdir()
    except OSError as error:
        where = keep or tempfile.gettempdir()
        raise Unusable(f"directory {where} cannot be used: {error.strerror}") from error
    if keep is not None:
        yield keep.resolve()
        return
    with temporary as name:
        yield Path(name)


async def _run(said: argparse.Namespace, directory: Path) -> int:
    from simulator.demo import keys
    from simulator.demo.story import Options, play
    from watcher import logs

    # A message in Slack needs more lines than a small terminal has below the pools.
    is_live = not (said.json or said.plain or said.slack) and sys.stdout.isatty()
    usual = SLACK_SPEED if said.slack else LIVE_SPEED if is_live else LINES_SPEED
    options = Options(
        yes=said.yes,
        fail_node=said.fail_node,
        slack=said.slack,
        speed=said.speed or usual,
        port=said.port,
    )
    with ExitStack() as stack:
        logs.configure(stream=stack.enter_context((directory / "relayer.log").open("w")))
        screen = stack.enter_context(_screen(said, is_live=is_live))
        pressed = stack.enter_context(keys.pressed())
        outcome = await play(options, directory=directory, screen=screen, keys=pressed)
    return OK if not outcome.problems else WRONG


@contextmanager
def _screen(said: argparse.Namespace, *, is_live: bool) -> "Iterator[Screen]":
    from simulator.demo.lines import JsonLines, PlainLines
    from simulator.demo.live import LiveView

    if is_live:
        with LiveView(sys.stdout) as view:
            yield view
    else:
        yield JsonLines(sys.stdout) if said.json else PlainLines(sys.stdout)


if __name__ == "__main__":
    sys.exit(main())

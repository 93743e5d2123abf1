"""How long a person waits for `relayer --help`, beside Python's own start in the same run.

Medians of ten processes each, in turn, so that a busy moment of the machine hits both.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUNS = 10


def run() -> dict[str, Any]:
    """`help_seconds` is held against its bar; `python_seconds` is the floor below it."""
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [str(Path(sys.executable).with_name("relayer")), "--help"],
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():  # once unmeasured: the first start fills the page cache
        _seconds(command)
    for _ in range(RUNS):
        for name, command in commands.items():
            took[name].append(_seconds(command))
    middle = {name: statistics.median(times) for name, times in took.items()}
    return {
        "runs": RUNS,
        "help_seconds": round(middle["help"], 4),
        "python_seconds": round(middle["python"], 4),
        "over_python_seconds": round(middle["help"] - middle["python"], 4),
        "slowest_help_seconds": round(max(took["help"]), 4),
    }


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began

"""How long a person waits for `relayer --help` and `relayer status`, beside Python's own
start in the same run.

Medians of ten processes each, in turn, so that a busy moment of the machine hits both.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 10
CONFIG = """
state_dir: state
clusters: [{name: prod, url: "https://127.0.0.1:9", token_file: token}]
recipes: [{name: gpu, path: gpu, target: registry.example.com/os/gpu}]
pools: [{cluster: prod, pool: infra, recipe: gpu}]
"""


def run() -> dict[str, Any]:
    """`help_seconds` is held against its bar; `python_seconds` is the floor below it."""
    with tempfile.TemporaryDirectory(prefix="relayer-bench-") as made:
        (Path(made) / "relayer.yaml").write_text(CONFIG)
        return asyncio.run(_beside_a_store(Path(made) / "relayer.yaml"))


async def _beside_a_store(config: Path) -> dict[str, Any]:
    """`status` asks a store that runs already, as beside a service."""
    from watcher.bootstrap import open_store
    from watcher.config import load

    async with open_store(load(config)):
        return await asyncio.to_thread(_measured, config)


def _measured(config: Path) -> dict[str, Any]:
    relayer = str(Path(sys.executable).with_name("relayer"))
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "help": [relayer, "--help"],
        "status": [relayer, "status", "-c", str(config)],
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
        "status_seconds": round(middle["status"], 4),
        "slowest_help_seconds": round(max(took["help"]), 4),
    }


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    silent = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=silent, stderr=silent)
    return time.perf_counter() - began

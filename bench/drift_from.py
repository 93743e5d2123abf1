"""How long the dump of a large cluster takes to read, and how much memory, in its own process.

A must-gather of 200 nodes, 400 MachineConfigs with their Ignition bodies and 12 pools, as files and
as a compressed archive; and a list of 5,000 MachineConfigs, which is larger than memory may be.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.dumped import big_must_gather, cluster_version, machine_config, pool

NODES, MACHINE_CONFIGS, POOLS = 200, 400, 12
LISTED, LISTED_BODY = 5_000, 200_000


def run() -> dict[str, Any]:
    """Every figure of this part; each is of one process that reads and does nothing else."""
    with tempfile.TemporaryDirectory(prefix="relayer-bench-") as made:
        place = Path(made)
        size = big_must_gather(
            place / "dump", nodes=NODES, machine_configs=MACHINE_CONFIGS, pools=POOLS
        )
        archive = place / "dump.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
            packed.add(place / "dump" / "must-gather.local.1", "must-gather.local.1")
        figures = {"read_mb": round(size / 1e6, 1)}
        figures |= _figures("read", place / "dump")
        figures |= _figures("read_archive", archive)
        for name in ("yaml", "json"):
            listed = place / f"all.{name}"
            figures[f"read_list_{name}_mb"] = round(_write_list(listed) / 1e6, 1)
            figures |= _figures(f"read_list_{name}", listed)
            listed.unlink()
    return figures


def _figures(name: str, path: Path) -> dict[str, float]:
    runs = [_process([sys.executable, "-m", "bench.drift_from", str(path)]) for _ in range(3)]
    counts = {counts for _, _, counts in runs}
    assert counts in ({MACHINE_CONFIGS}, {LISTED}), counts
    return {
        f"{name}_seconds": round(min(seconds for seconds, _, _ in runs), 3),
        f"{name}_mib": round(max(mib for _, mib, _ in runs), 1),
        f"{name}_machine_configs": counts.pop(),
    }


def _write_list(path: Path) -> int:
    """As `oc get` prints it, without holding it: one item's text, 5,000 times."""
    from tests.dumped import Oc

    first = [cluster_version(), pool("worker")]
    item = machine_config("NAME", body=LISTED_BODY)
    text = Oc.yaml(*first, item) if path.suffix == ".yaml" else Oc.json(*first, item)
    mark = "\n- apiVersion" if path.suffix == ".yaml" else "\n        {\n"
    at = text.rindex(mark) + 1
    end = text.index("\nkind: List", at) + 1 if path.suffix == ".yaml" else text.rindex("    ],\n")
    begun, repeated, rest = text[:at], text[at:end], text[end:]
    with path.open("w") as file:
        file.write(begun)
        for number in range(LISTED):
            comma = "," if path.suffix == ".json" and number < LISTED - 1 else ""
            named = repeated.rstrip("\n").replace("NAME", f"mc-{number}", 1)
            file.write(f"{named}{comma}\n")
        file.write(rest)
    return path.stat().st_size


_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
said = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE).stdout
took = time.perf_counter() - began
rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([took, rss, int(said)]))
"""
"""Forked from a small process: the kernel counts what a child was forked from as its memory."""


def _process(argv: list[str]) -> tuple[float, float, int]:
    """Wall seconds and peak RSS in MiB of a whole process, and what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *argv]
    said = subprocess.run(launched, check=True, env=environment, stdout=subprocess.PIPE).stdout
    seconds, mib, count = json.loads(said)
    return seconds, mib, count


def _read(path: Path) -> int:
    from watcher.clients.dumps import read_dumps

    dumps = read_dumps([path], now=datetime.now(UTC))
    return sum(len(view.machine_configs) for view in dumps.views)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(_read(Path(sys.argv[1])))
    else:
        began = time.perf_counter()
        print(json.dumps(run() | {"bench_seconds": round(time.perf_counter() - began)}, indent=2))

"""What a first look costs: the whole command `relayer drift --from` on a large cluster's dump.

A must-gather of 200 nodes, 400 MachineConfigs with their Ignition bodies (0.2 to 1.5 MiB) and 12
pools, as files and as a compressed archive. Beside it what no reader can go below: Python's own
start, and the same bytes read, or inflated, and thrown away. And reading alone of a list of 5,000
MachineConfigs, which is larger than memory may be.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.dumped import Oc, big_must_gather, cluster_version, machine_config, pool

NODES, MACHINE_CONFIGS, POOLS = 200, 400, 12
LISTED, LISTED_BODY = 5_000, 200_000
RUNS = 3


def run() -> dict[str, Any]:
    """Seconds of the best of some processes, MiB of the worst."""
    with tempfile.TemporaryDirectory(prefix="relayer-bench-") as made:
        place = Path(made)
        dump, archive = place / "dump", place / "dump.tar.gz"
        size = big_must_gather(dump, nodes=NODES, machine_configs=MACHINE_CONFIGS, pools=POOLS)
        with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
            packed.add(dump / "must-gather.local.1", "must-gather.local.1")
        figures: dict[str, Any] = {"dump_mb": round(size / 1e6, 1)}
        figures |= _command("dump", dump)
        figures |= _command("archive", archive)
        figures |= _floors(dump, archive)
        figures |= _list(place / "all.yaml", Oc.yaml)
        figures |= _list(place / "all.json", Oc.json)
    return figures


def _command(name: str, path: Path) -> dict[str, float]:
    relayer = str(Path(sys.executable).with_name("relayer"))
    runs = [_process([relayer, "drift", "--from", str(path), "-o", "json"]) for _ in range(RUNS)]
    for _, _, said in runs:
        [cluster] = json.loads(said)["clusters"]
        counted = sum(one["nodes"]["total"] for one in cluster["pools"])
        assert (len(cluster["pools"]), counted) == (POOLS, NODES // POOLS * POOLS), cluster
    return _figures(name, runs)


def _figures(name: str, runs: list[tuple[float, float, str]]) -> dict[str, float]:
    return {
        f"{name}_seconds": round(min(seconds for seconds, _, _ in runs), 3),
        f"{name}_mib": round(max(mib for _, mib, _ in runs), 1),
    }


def _floors(dump: Path, archive: Path) -> dict[str, float]:
    """What nobody can be faster than; and libyaml alone on the same text, which we are."""
    python, *_ = min(_process([sys.executable, "-c", "pass"]) for _ in range(RUNS))
    wanted = sorted(dump.glob("**/cluster-scoped-resources/**/*.yaml"))
    began = time.perf_counter()
    size = sum(len(path.read_bytes()) for path in wanted)
    read = time.perf_counter() - began
    began = time.perf_counter()
    inflating = zlib.decompressobj(wbits=31)
    with archive.open("rb") as file:
        while chunk := file.read(256 * 1024):
            inflating.decompress(chunk)
    inflate = time.perf_counter() - began
    some = [path.read_bytes() for path in wanted[:: len(wanted) // 20]]
    began = time.perf_counter()
    for text in some:
        for _ in yaml.parse(text, Loader=yaml.CSafeLoader):
            pass
    parse = (time.perf_counter() - began) * size / sum(map(len, some))
    return {
        "python_seconds": round(python, 3),
        "read_alone_seconds": round(read, 3),
        "inflate_alone_seconds": round(inflate, 3),
        "libyaml_alone_seconds": round(parse, 1),
    }


def _list(path: Path, printed: Any) -> dict[str, float]:
    """Reading alone: what it makes of the list is not asked for."""
    form = path.suffix[1:]
    size = _write_list(path, printed)
    runs = [_process([sys.executable, "-m", "bench.drift_from", str(path)])]
    path.unlink()
    assert {int(said) for _, _, said in runs} == {LISTED}
    return {f"list_{form}_mb": round(size / 1e6, 1)} | _figures(f"list_{form}", runs)


def _write_list(path: Path, printed: Any) -> int:
    """As `oc get` prints it, without holding it: one item's text, 5,000 times."""
    first = [cluster_version(), pool("worker")]
    text = printed(*first, machine_config("NAME", body=LISTED_BODY))
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
said = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE, text=True).stdout
took = time.perf_counter() - began
rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([took, rss, said]))
"""
"""Forked from a small process: the kernel counts what a child was forked from as its memory."""


def _process(argv: list[str]) -> tuple[float, float, str]:
    """Wall seconds and peak RSS in MiB of a whole process, and what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *argv]
    said = subprocess.run(launched, check=True, env=environment, stdout=subprocess.PIPE).stdout
    seconds, mib, printed = json.loads(said)
    return seconds, mib, printed


def _read(path: Path) -> int:
    from watcher.clients.dumps import read_dumps

    dumps = read_dumps([path], now=datetime.now(UTC))
    return sum(len(view.machine_configs) for view in dumps.views)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(_read(Path(sys.argv[1])))
    else:
        print(json.dumps(run(), indent=2))

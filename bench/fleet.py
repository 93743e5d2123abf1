"""Memory and idle processor time of the whole service, watching 200 pools and 5,000 nodes.

The simulated cluster runs in another process and sends a node's status report 17 times a second:
5,000 kubelets, each every five minutes.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.world import Address, settings, world

POOLS, NODES, HEARTBEATS = 200, 5000, 17.0
SETTLE_SECONDS = 15.0
WATCHED_SECONDS = 30.0


def run() -> dict[str, Any]:
    """The service's own process; its embedded server is told apart."""
    with (
        world(pools=POOLS, nodes=NODES, heartbeats=HEARTBEATS) as address,
        tempfile.TemporaryDirectory() as directory,
    ):
        command = [sys.executable, "-m", "bench.fleet", address.api, address.registry, directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as service:
            assert service.stdout is not None
            service.stdout.readline()
            time.sleep(SETTLE_SECONDS)
            before, began = _cpu_seconds(service.pid), time.monotonic()
            time.sleep(WATCHED_SECONDS)
            used, lasted = _cpu_seconds(service.pid) - before, time.monotonic() - began
            rss = _rss_mib(service.pid)
            service.terminate()
            service.wait(timeout=30)
    return {
        "pools": POOLS,
        "nodes": NODES,
        "rss_mib": round(rss, 1),
        "idle_cpu_percent": round(100 * used / lasted, 2),
        "exit_code": service.returncode,
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks: float = float(fields[11]) + float(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell VmRSS")


def _service(address: Address, directory: Path) -> None:
    from watcher import logs
    from watcher.bootstrap import App, serve

    def ready(app: App, port: int) -> None:
        print("ready", flush=True)

    logs.configure("error")
    asyncio.run(serve(settings(address, directory, pools=POOLS), ready=ready))


if __name__ == "__main__":
    if len(sys.argv) == 4:
        _service(Address(sys.argv[1], sys.argv[2]), Path(sys.argv[3]))
    else:
        print(json.dumps(run(), indent=2))

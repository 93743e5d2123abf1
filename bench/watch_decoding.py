"""Watch events per second and memory: our reflector beside the library's own Watch.

50,000 events of a MachineConfigPool (about 3 KB each, as a cluster sends them: every event in an
HTTP chunk of its own) come over loopback from a server in a process of its own. Each reader is a
fresh process; its time runs from the request to the last event, its memory is the peak of the
process (`ru_maxrss`). The reflector is the one the service runs, with its session and cache, and
a consumer that looks at all facts ten times a second while events come. The Watch is the
library's blocking one on custom objects: the fastest way it offers to get objects with a resume.

Bars: at least 6 times the events per second, at most 0.7 times the peak memory.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EVENTS = 50_000
POOLS = 200
ROUNDS = 5
_STAMP = "2026-11-21T12:00:00Z"
_CONDITIONS = (
    "Updated",
    "Updating",
    "Degraded",
    "NodeDegraded",
    "RenderDegraded",
    "PinnedImageSetsDegraded",
)


def run() -> dict[str, Any]:
    """Each reader `ROUNDS` times in turn against the same server.

    Medians; the ratio of speeds is that of a round's two readers, so that a busy moment of the
    machine hits both.
    """
    seen: dict[str, list[dict[str, float]]] = {"relayer": [], "kubernetes": []}
    with _server() as port:
        for _ in range(ROUNDS):
            for reader, results in seen.items():
                results.append(_child(reader, port))
    middle = {
        reader: {
            key: round(statistics.median(r[key] for r in results), 1)
            for key in ("events_per_second", "peak_rss_mb")
        }
        for reader, results in seen.items()
    }
    ours, theirs = middle["relayer"], middle["kubernetes"]
    rounds = zip(seen["relayer"], seen["kubernetes"], strict=True)
    speed = statistics.median(
        our["events_per_second"] / t["events_per_second"] for our, t in rounds
    )
    memory = ours["peak_rss_mb"] / theirs["peak_rss_mb"]
    return {
        "events": EVENTS,
        "event_bytes": len(_event(0)),
        **middle,
        "speed_ratio": round(speed, 2),
        "memory_ratio": round(memory, 2),
        "bars": {"speed_ratio": ">= 6", "memory_ratio": "<= 0.7"},
        "met": speed >= 6 and memory <= 0.7,
    }


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "bench.watch_decoding", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


_LAUNCHER = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
"""Forked from a small process: the kernel counts what a child was forked from as its memory."""


def _child(reader: str, port: str) -> dict[str, float]:
    launched = [sys.executable, "-S", "-c", _LAUNCHER]
    command = [*launched, sys.executable, "-m", "bench.watch_decoding", reader, port]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _event(n: int) -> bytes:
    name = f"pool-{n % POOLS}"
    rendered = f"rendered-{name}-0123456789abcdef0123456789abcdef"
    fields: dict[str, Any] = {
        f"f:{key}": {} for key in ("type", "status", "reason", "message", "lastTransition")
    }
    thing = {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfigPool",
        "metadata": {
            "name": name,
            "uid": f"00000000-0000-0000-0000-{n % POOLS:012}",
            "resourceVersion": str(1000 + n),
            "generation": 3,
            "labels": {f"pools.operator.machineconfiguration.openshift.io/{name}": ""},
            "managedFields": [
                {
                    "manager": "machine-config-controller",
                    "operation": "Update",
                    "subresource": "status",
                    "time": _STAMP,
                    "fieldsV1": {f'k:{{"type":"{c}"}}': fields for c in _CONDITIONS},
                }
            ],
        },
        "spec": {
            "paused": False,
            "maxUnavailable": 1,
            "machineConfigSelector": {
                "matchExpressions": [
                    {
                        "key": "machineconfiguration.openshift.io/role",
                        "operator": "In",
                        "values": ["worker", name],
                    }
                ]
            },
            "nodeSelector": {"matchLabels": {f"node-role.kubernetes.io/{name}": ""}},
            "configuration": {
                "name": rendered,
                "source": [
                    {
                        "apiVersion": "machineconfiguration.openshift.io/v1",
                        "kind": "MachineConfig",
                        "name": source,
                    }
                    for source in ("00-worker", "01-worker-kubelet", f"99-{name}-registries")
                ],
            },
        },
        "status": {
            "observedGeneration": 3,
            "configuration": {"name": rendered},
            "machineCount": 25,
            "updatedMachineCount": n % 25,
            "readyMachineCount": n % 25,
            "unavailableMachineCount": 1,
            "degradedMachineCount": 0,
            "conditions": [
                {
                    "type": c,
                    "status": "False",
                    "reason": "",
                    "message": f"All nodes are updating to MachineConfig {rendered}",
                    "lastTransitionTime": _STAMP,
                }
                for c in _CONDITIONS
            ],
        },
    }
    return json.dumps({"type": "MODIFIED", "object": thing}, separators=(",", ":")).encode() + b"\n"


async def _serve() -> None:
    """An empty list, and a watch of `EVENTS` events. Encoded once: never the brake."""
    lines = [_event(n) for n in range(POOLS * 5)]
    burst = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
    empty = b'{"kind":"List","metadata":{"resourceVersion":"1"},"items":[]}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        if b"watch=" not in head.partition(b"\r\n")[0]:
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(empty), empty))
        else:
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(EVENTS // len(lines)):
                writer.write(burst)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def _relayer(port: str) -> float:
    """Seconds for all events through the service's own reflector."""
    from datetime import UTC, datetime

    from watcher.clients.kube.credentials import TokenFile
    from watcher.clients.kube.kinds import POOL
    from watcher.clients.kube.reflector import Reflector
    from watcher.clients.kube.session import Session

    class WallClock:
        def now(self) -> datetime:
            return datetime.now(UTC)

    arrived, last = 0, asyncio.Event()

    def on_change(kind: str, name: str) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == EVENTS:
            last.set()

    async def look() -> None:
        while True:
            await asyncio.sleep(0.1)
            reflector.facts()

    began = time.perf_counter()
    async with Session("bench", credentials=TokenFile(f"http://127.0.0.1:{port}")) as session:
        reflector = Reflector(POOL, session=session, clock=WallClock(), on_change=on_change)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (reflector.run(), look())]
            await last.wait()
            facts = reflector.facts()
            took = time.perf_counter() - began
            for task in tasks:
                task.cancel()
    assert len(facts) == POOLS
    return took


def _kubernetes(port: str) -> float:
    """Seconds for all events through `kubernetes.watch.Watch`."""
    from kubernetes import client, watch

    library: Any = watch

    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{port}"
    api = client.CustomObjectsApi(client.ApiClient(configuration))
    began = time.perf_counter()
    known: dict[str, Any] = {}
    stream = library.Watch().stream(
        api.list_cluster_custom_object,
        "machineconfiguration.openshift.io",
        "v1",
        "machineconfigpools",
        resource_version="1",
        timeout_seconds=300,
    )
    for count, event in enumerate(stream, start=1):
        known[event["object"]["metadata"]["name"]] = event["object"]
        if count == EVENTS:
            break
    took = time.perf_counter() - began
    assert len(known) == POOLS
    return took


def main(arguments: list[str]) -> None:
    match arguments:
        case ["serve"]:
            asyncio.run(_serve())
        case [("relayer" | "kubernetes") as reader, port]:
            took = asyncio.run(_relayer(port)) if reader == "relayer" else _kubernetes(port)
            # On Linux in KiB.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"events_per_second": EVENTS / took, "peak_rss_mb": peak}))
        case _:
            print(json.dumps(run(), indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])

"""How long it takes to say which OS image a release names, beside `oc adm release info`.

The release is as large as a real one: a last layer of 13 MB that inflates to 30 MB, its two files
first, in a docker-registry on this machine. `oc` is measured where the machine has it; else the
figures recorded for it on such a release count (0.69 s, 120 MiB).
"""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.payloads import big_release, sizes
from simulator.registry.images import base_image, push, release_image
from tests.registries import Running, real_registry, simulated_registry
from watcher.clients.access import Fixed
from watcher.clients.images import RegistryImages
from watcher.clients.registry import RegistryClient
from watcher.clients.store.embedded import embedded
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.facts import ClusterName, Pullspec

OC_SECONDS, OC_MIB = 0.69, 120.0
WARM_RUNS, COLD_RUNS, SECOND_RUNS = 9, 7, 50
POOLS, RELEASES = 100, 5
TAG = "rhel-coreos"


def run() -> dict[str, Any]:
    """Every figure of this part; seconds are medians."""
    if not shutil.which("docker-registry"):
        return {"skipped": "docker-registry is not installed"}
    return asyncio.run(_measure())


async def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="relayer-bench-") as directory:
        async with real_registry(Path(directory) / "registry") as registry:
            async with RegistryClient.opened(registry.settings) as client:
                release = await push(client, registry.repository("release"), big_release())
                oc_seconds, oc_mib = _oc(release)
                warm = [await _warm(client, release) for _ in range(WARM_RUNS)]
            cold = [_cold(release) for _ in range(COLD_RUNS)]
        second = await _second()
        storm = await _storm()
    cold_seconds = statistics.median(seconds for seconds, _ in cold)
    cold_mib = statistics.median(mib for _, mib in cold)
    return {
        "layer_mb": round(sizes().compressed / 1e6, 1),
        "inflated_mb": round(sizes().inflated / 1e6, 1),
        "oc_measured_here": bool(shutil.which("oc")),
        "oc_seconds": oc_seconds,
        "oc_mib": oc_mib,
        "warm_seconds": round(statistics.median(warm), 4),
        "warm_over_oc": round(statistics.median(warm) / oc_seconds, 4),
        "hash_alone_seconds": round(_hash_alone(), 4),
        "cold_seconds": round(cold_seconds, 4),
        "cold_over_oc": round(cold_seconds / oc_seconds, 4),
        "cold_mib": round(cold_mib, 1),
        "cold_rss_over_oc": round(cold_mib / oc_mib, 4),
        **second,
        **storm,
    }


def _oc(release: Pullspec) -> tuple[float, float]:
    if not shutil.which("oc"):
        return OC_SECONDS, OC_MIB
    argv = ["oc", "adm", "release", "info", "--insecure", f"--image-for={TAG}", release]
    runs = [_process(argv) for _ in range(COLD_RUNS)]
    return (
        statistics.median(seconds for seconds, _ in runs),
        statistics.median(mib for _, mib in runs),
    )


async def _warm(client: RegistryClient, release: Pullspec) -> float:
    """As the running service asks: connections are there, the answer is not known."""
    images = RegistryImages(Fixed(client))
    return await _took(lambda: images.payload(release))


def _hash_alone() -> float:
    """The physical limit: sha256 over the compressed layer."""
    import hashlib

    layer = big_release().layers[-1]
    began = time.perf_counter()
    hashlib.sha256(layer).digest()
    return time.perf_counter() - began


async def _second() -> dict[str, Any]:
    """The same question again: in this process, and in the next one, which has only Redis."""
    with tempfile.TemporaryDirectory(prefix="relayer-bench-") as state:
        async with (
            simulated_registry() as registry,
            RegistryClient.opened(registry.settings) as client,
            embedded(Path(state), alone=True) as server,
        ):
            release = await push(client, registry.repository("release"), big_release())
            connection = from_url(server.url)
            store = RedisStore(connection)
            images = RegistryImages(Fixed(client), store)
            await images.payload(release)
            assert registry.simulated is not None
            registry.simulated.requests.clear()
            same = [await _took(lambda: images.payload(release)) for _ in range(SECOND_RUNS)]
            after = [await _after_restart(client, store, release) for _ in range(SECOND_RUNS)]
            requests = len(registry.simulated.requests)
            await connection.aclose()
    return {
        "second_requests": requests,
        "second_milliseconds": round(statistics.median(same) * 1000, 4),
        "second_after_restart_milliseconds": round(statistics.median(after) * 1000, 4),
    }


async def _after_restart(client: RegistryClient, store: RedisStore, release: Pullspec) -> float:
    images = RegistryImages(Fixed(client), store)
    return await _took(lambda: images.payload(release))


def _cold(release: Pullspec) -> tuple[float, float]:
    relayer = str(Path(sys.executable).with_name("relayer"))
    return _process([relayer, "image-for", "--insecure", TAG, release])


_LAUNCHER = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
took = time.perf_counter() - began
print(json.dumps([took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""
"""Forked from a small process: the kernel counts what a child was forked from as its memory."""


def _process(argv: list[str]) -> tuple[float, float]:
    """Wall seconds and peak RSS in MiB of a program that must succeed."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    launched = [sys.executable, "-S", "-c", _LAUNCHER, *argv]
    said = subprocess.run(launched, check=True, env=environment, stdout=subprocess.PIPE).stdout
    seconds, mib = json.loads(said)
    return seconds, mib


async def _storm() -> dict[str, Any]:
    """Every pool of a fleet asks at once for the release of its cluster, and for its OS image."""
    async with simulated_registry() as registry:
        async with RegistryClient.opened(registry.settings) as client:
            pairs = [await _release(client, registry, number) for number in range(RELEASES)]
        assert registry.simulated is not None
        registry.simulated.requests.clear()
        async with RegistryClient.opened(registry.settings) as client:
            images = RegistryImages(Fixed(client))
            began = time.perf_counter()
            await asyncio.gather(
                *(
                    _resolve(images.seen_from(ClusterName(f"c{pool % 20}")), *pair)
                    for pool in range(POOLS)
                    for pair in pairs
                )
            )
            seconds = time.perf_counter() - began
        requests = len(registry.simulated.requests)
        connections = registry.simulated.most_connections
    # Of a release: manifest and last layer; of its OS image: manifest and config.
    blobs = RELEASES * 4
    return {
        "storm_seconds": round(seconds, 3),
        "storm_requests": requests,
        "storm_requests_over_blobs": round(requests / blobs, 3),
        "storm_connections": connections,
    }


async def _release(
    client: RegistryClient, registry: Running, number: int
) -> tuple[Pullspec, Pullspec]:
    base = await push(
        client, registry.repository("os"), base_image(f"418.94.20260101080{number}-0")
    )
    image = release_image(f"4.18.{number}", {TAG: str(base)})
    return await push(client, registry.repository("release"), image), base


async def _resolve(images: RegistryImages, release: Pullspec, base: Pullspec) -> None:
    assert (await images.payload(release)).tags[TAG] == base
    await images.facts(base)


async def _took(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

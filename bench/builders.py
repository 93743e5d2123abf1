"""How quick the builders are beside plain buildah, on a base of 500 MB in a local registry.

Every run builds other content, so nothing is answered from a cache of results; both sides push to
the same repositories of the same registry, in turns, and the medians are compared.
"""

import asyncio
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from simulator.registry.images import File, Files, base_image, push
from tests.builds import order_for, shell_layer, write_recipe
from tests.registries import Running, real_registry
from watcher.clients.access import Fixed, Ways
from watcher.clients.builders import Append, Buildah, BuildahSettings
from watcher.clients.images import RegistryImages
from watcher.clients.registry import RegistryClient
from watcher.core.facts import Pullspec
from watcher.core.images import BUILD_KEY
from watcher.core.verify import Expected, verify
from watcher.ports import BuildOrder

LAYERS, LAYER_BYTES = 5, 100 * 1024 * 1024
COLD_RUNS, WARM_RUNS = 3, 9
COPY = "FROM quay.io/x/rhcos:1\nCOPY motd /etc/motd\nLABEL team=storage\n"
RUN = "FROM quay.io/x/rhcos:1\nCOPY motd /etc/motd\nRUN echo made > /etc/made\n"


@dataclass
class Bench:
    directory: Path
    registry: Running
    client: RegistryClient
    base: Pullspec
    count: int = 0

    def order(self, containerfile: str) -> BuildOrder:
        """A recipe that was never built before."""
        self.count += 1
        recipe = write_recipe(
            self.directory / f"recipe-{self.count}", containerfile, {"motd": f"run {self.count}\n"}
        )
        target = self.registry.repository("layered")
        return order_for(recipe, self.base, target, build=f"b-{self.count}")


def big_layer(number: int) -> Files:
    """About half of it compresses away, as with a real one."""
    block = LAYER_BYTES // 20
    noise = random.Random(number)  # the same bytes each time
    return {
        f"usr/share/big/{number}-{part}": File(noise.randbytes(block) if part % 2 else bytes(block))
        for part in range(20)
    }


async def took(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def silent(line: str) -> None:
    pass


def bare(order: BuildOrder, storage: Path, conf: Path) -> None:
    """What a person would type, with the base replaced by hand."""
    text = order.recipe.containerfile.replace("quay.io/x/rhcos:1", order.base)
    file = storage.parent / "bare.Containerfile"
    file.write_text(text)
    argv = ["buildah", "--root", storage, "--runroot", f"{storage}-run", "--storage-driver"]
    argv += ["overlay"]
    env = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(conf)}
    build = ["build", "--pull-always", "--isolation", "chroot", "--timestamp", "0", "--tag", "x"]
    for step in (
        [*build, "--file", file, order.context],
        ["push", "x", f"docker://{order.target}:{order.tag}"],
    ):
        words = [str(word) for word in (*argv, *step)]
        subprocess.run(words, check=True, capture_output=True, env=env)


async def whole(builder: Buildah, images: RegistryImages, order: BuildOrder) -> None:
    """All that the service does for one build: derive, build, push, verify."""
    image = await builder.build(order, silent)
    expected = Expected(
        image=image,
        base=order.base,
        architecture="amd64",
        build_key=order.labels[BUILD_KEY],
        recipe=order.recipe.digest,
        labels=order.labels,
    )
    base, result = await asyncio.gather(images.facts(order.base), images.facts(image))
    if wrong := verify(base, result, expected=expected):
        raise RuntimeError("; ".join(wrong))


async def measure(bench: Bench) -> dict[str, object]:
    conf = bench.directory / "registries.conf"
    conf.write_text(f'[[registry]]\nlocation = "{bench.registry.host}"\ninsecure = true\n')
    warm = bench.directory / "warm"
    access = Fixed(bench.client, Ways(credentials=bench.registry.credentials))
    append, images = Append(access), RegistryImages(access)
    settings = BuildahSettings(work=bench.directory / "work")
    builder = await Buildah.found(settings, bench.registry.settings, access)

    async def in_storage(order: BuildOrder, storage: Path) -> None:
        await asyncio.to_thread(bare, order, storage, conf)

    cold = []
    for number in range(COLD_RUNS):
        storage = bench.directory / f"cold-{number}"
        cold.append(await took(in_storage(bench.order(COPY), storage)))
        await asyncio.to_thread(shutil.rmtree, storage)
    for warming in (in_storage(bench.order(COPY), warm), builder.build(bench.order(RUN), silent)):
        await took(warming)
    seconds: dict[str, list[float]] = {"append": [], "warm": [], "bare": [], "whole": []}
    for _ in range(WARM_RUNS):
        seconds["append"].append(await took(append.build(bench.order(COPY), silent)))
        seconds["warm"].append(await took(in_storage(bench.order(COPY), warm)))
        seconds["bare"].append(await took(in_storage(bench.order(RUN), warm)))
        seconds["whole"].append(await took(whole(builder, images, bench.order(RUN))))
    return report({"cold": cold, **seconds})


def report(seconds: dict[str, list[float]]) -> dict[str, object]:
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "append_faster_than_cold": middle["cold"] / middle["append"],
        "append_faster_than_warm": middle["warm"] / middle["append"],
        "buildah_over_bare": middle["whole"] / middle["bare"],
        "median_seconds": middle,
    }


async def _run() -> dict[str, object]:
    directory = Path(tempfile.mkdtemp(prefix="relayer-bench-"))
    try:
        async with (
            real_registry(directory / "registry") as registry,
            RegistryClient.opened(registry.settings, registry.credentials) as client,
        ):
            made = base_image(extra=[shell_layer(), *map(big_layer, range(LAYERS))])
            base = await push(client, registry.repository("rhcos"), made)
            return await measure(Bench(directory, registry, client, base))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run() -> dict[str, object]:
    """Seconds and ratios; needs buildah and docker-registry."""
    return asyncio.run(_run())


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))

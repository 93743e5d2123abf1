"""What the page on the wall costs: 500 pools, first shown, kept up to date, and looked at by 200.

The server is a process of its own, over its store in memory and played findings; the time in the
server, the size and the memory are of it, the first render and «visible» are of a real Chromium.
Without one those two are not measured, and count as missed.
"""

import asyncio
import gc
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.fleet import _rss_mib
from tests.contract.pages_fleet import a_finding, behind, ours, surveyed
from tests.contract.pages_site import PagesSite, pages_site, settings_of
from watcher.core.facts import ClusterName
from watcher.core.state import Block, Flag, Nodes, Raised, State, Surveyed
from watcher.core.timing import Freeze
from watcher.ports import AuditEntry
from watcher.settings import ClusterSettings

CLUSTERS, POOLS = 10, 500
LOOKS, CHANGES, OPEN = 40, 12, 200
PAUSE_SECONDS = 1.3
"""Between two changes: a page asks at most once a second."""
CHROMIUM = "chromium"


def run() -> dict[str, Any]:
    """Milliseconds, kilobytes and MiB."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench.pages", directory]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            try:
                return asyncio.run(_measure(url, server))
            finally:
                server.terminate()
                server.wait(timeout=30)


async def _measure(url: str, server: "subprocess.Popen[str]") -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        found = await _server(http, server)
        if shutil.which(CHROMIUM):
            found |= await _browser(url, server)
        found |= await _many(url, http, server)
    return {"pools": POOLS, **found}


def _change(server: "subprocess.Popen[str]") -> float:
    """Let a pool's finding or a freeze change, in turn; return the moment before, in ms."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("change\n")
    server.stdin.flush()
    return float(server.stdout.readline())


async def _server(http: httpx.AsyncClient, server: "subprocess.Popen[str]") -> dict[str, Any]:
    """Every look is after a change: nothing is taken from what was made before."""
    took, size = [], 0
    for _ in range(LOOKS):
        _change(server)
        began = time.perf_counter()
        answer = await http.get("/")
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
        size = len(answer.content)
    began = time.perf_counter()
    await http.get("/")
    again = (time.perf_counter() - began) * 1000
    took.sort()
    return {
        "server_median_milliseconds": round(statistics.median(took), 1),
        "server_p95_milliseconds": round(took[int(len(took) * 0.95)], 1),
        "unchanged_milliseconds": round(again, 1),
        "page_kilobytes": round(size / 1024, 1),
    }


async def _browser(url: str, server: "subprocess.Popen[str]") -> dict[str, Any]:
    from playwright.async_api import async_playwright

    paints, visible = [], []
    async with async_playwright() as playwright:
        program = shutil.which(CHROMIUM)
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(3):
            page = await (await browser.new_context()).new_page()
            await page.goto(url)
            paints.append(await page.evaluate(_PAINT))
        await page.wait_for_selector("#connection[data-state=live]")
        for number in range(CHANGES):
            await asyncio.sleep(PAUSE_SECONDS + 0.017 * number)
            waiting = asyncio.create_task(page.evaluate(_CHANGED))
            await asyncio.sleep(0.1)
            told = await asyncio.to_thread(_change, server)
            visible.append(await waiting - told)
        await browser.close()
    visible.sort()
    return {
        "first_render_milliseconds": round(statistics.median(paints), 1),
        "visible_median_milliseconds": round(statistics.median(visible), 1),
        "visible_worst_milliseconds": round(visible[-1], 1),
    }


_PAINT = """() => new Promise((seen) => {
  const look = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    paint ? seen(paint.startTime) : setTimeout(look, 10);
  };
  look();
})"""
_CHANGED = """() => new Promise((seen) => {
  const watched = new MutationObserver(() => {
    watched.disconnect();
    requestAnimationFrame(() => setTimeout(() => seen(Date.now())));
  });
  const all = { subtree: true, characterData: true, childList: true };
  watched.observe(document.querySelector("main"), all);
})"""


async def _many(
    url: str, http: httpx.AsyncClient, server: "subprocess.Popen[str]"
) -> dict[str, Any]:
    """Each page has its stream, and asks for its fragment when told, as the script does."""
    gc.collect()
    before = _rss_mib(server.pid)
    told: list[float] = []
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        limits = httpx.Limits(max_connections=2 * OPEN)
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=60, limits=limits)
        )
        pages = [group.create_task(_page(client, told)) for _ in range(OPEN)]
        for _ in range(6):
            await asyncio.sleep(2)
            _change(server)
        await asyncio.sleep(2)
        peak = _rss_mib(server.pid)
        for page in pages:
            page.cancel()
    return {
        "open_pages": OPEN,
        "fragments_fetched": len(told),
        "open_pages_rss_mib": round(peak - before, 1),
    }


async def _page(client: httpx.AsyncClient, told: list[float]) -> None:
    headers = {"relayer-fragment": "1"}
    async with client.stream("GET", "/events") as stream:
        async for line in stream.aiter_lines():
            if line == "event: changed":
                answer = await client.get("/", headers=headers)
                assert answer.status_code == 200, answer.status_code
                told.append(time.monotonic())


# --- the server ----------------------------------------------------------------------------------


def fleet(now: datetime) -> list[Surveyed]:
    """As a large fleet is on a working day: most in step, a fifth behind, some in trouble."""
    found = []
    for number in range(CLUSTERS):
        cluster = f"cluster-{number}"
        pools = [_pool(cluster, number * 50 + n) for n in range(POOLS // CLUSTERS)]
        found.append(surveyed(cluster, now, pools))
    return found


def _pool(cluster: str, number: int) -> Any:
    name, nodes = f"pool-{number:03}", Nodes(total=8, updated=8)
    override = ours(name)
    blocks = (Block(target="next minor", why="its kubelets would be two minors behind"),)
    if number % 5 == 1:
        return a_finding(
            cluster,
            name,
            State.BEHIND,
            override=override,
            nodes=nodes,
            blocks=blocks,
            **behind(2, 16),
        )
    if number % 20 == 3:
        flags = (Raised(flag=Flag.DEGRADED, said="node 3 failed to drain"),)
        part = Nodes(total=8, updated=3, degraded=1)
        return a_finding(cluster, name, State.BLOCKED, flags=flags, nodes=part, **behind(3, 40))
    if number % 25 == 7:
        return a_finding(cluster, name, State.FOREIGN, nodes=nodes)
    return a_finding(cluster, name, State.CURRENT, override=override, nodes=nodes)


async def _serve(directory: str) -> None:
    from watcher.web import serve_web

    now = datetime.now(UTC)
    base = settings_of(Path(directory), "127.0.0.1")
    names = [f"cluster-{n}" for n in range(CLUSTERS)]
    settings = replace(
        base, clusters=tuple(ClusterSettings(name=ClusterName(n)) for n in names), pools=()
    )
    opened = pages_site(Path(directory), now=now, found=fleet(now), settings=settings, story=False)
    async with opened as site, asyncio.TaskGroup() as group:
        serving = group.create_task(
            serve_web(site.app, "127.0.0.1", 0, lambda port: _say(f"http://127.0.0.1:{port}"))
        )
        await _play(site)
        serving.cancel()


async def _play(site: PagesSite) -> None:
    number = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        assert line == "change\n"
        number += 1
        told = time.time() * 1000
        if number % 2:
            await _freeze(site, number)
            _say(str(told))
            continue
        seen = site.service.played.played[ClusterName("cluster-3")]
        names: Sequence[str] = [one.pool for one in seen.findings]
        await site.service.played.put_pool(
            seen.cluster, names[number % len(names)], sentence=f"changed {number} times"
        )
        _say(str(told))


async def _freeze(site: PagesSite, number: int) -> None:
    """What another replica may have written: only the store knows of it."""
    now = site.service.clock.now()
    because = f"changed {number} times"
    freeze = Freeze(scope="cluster-1", by="token:ann", because=because, at=now, until=None)
    entry = AuditEntry(at=now, job="", event="Frozen", by="token:ann", state="")
    await site.service.store.freeze(freeze, entry)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_serve(sys.argv[1]))
    else:
        print(json.dumps(run(), indent=2))

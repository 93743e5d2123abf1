"""A real browser driven over its debugging port: just enough to click as a person would."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--remote-debugging-port=0",
)


@dataclass
class Page:
    socket: aiohttp.ClientWebSocketResponse
    number: int = 0
    complaints: list[str] = field(default_factory=list)
    """What the browser's console said: violations of the page's own policy among it."""

    async def send(self, method: str, **params: Any) -> Any:
        """Send one command and return its result, an empty one where it could not be done."""
        self.number += 1
        number = self.number
        await self.socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(20):
            while True:
                said = json.loads(await self.socket.receive_str())
                if said.get("method") == "Log.entryAdded":
                    self.complaints.append(said["params"]["entry"]["text"])
                if said.get("id") == number:
                    return said.get("result", {"result": {}})  # an error: the page is just loading

    async def run(self, script: str) -> Any:
        """Return the value of an expression on the page."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, script: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true on the page."""
        try:
            async with asyncio.timeout(seconds):
                # What the script names may not be there yet, or be replaced at this moment.
                while not await self.run(
                    f"(() => {{ try {{ return {script} }} catch {{ return false }} }})()"
                ):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{script}: {await self.run('document.body.innerText')}") from None


@asynccontextmanager
async def browser(url: str, directory: Path) -> AsyncIterator[Page]:
    """A headless Chromium with `url` open."""
    profile = f"--user-data-dir={directory}/browser"
    process = await asyncio.create_subprocess_exec(
        "chromium", *FLAGS, profile, url, stderr=asyncio.subprocess.PIPE
    )
    try:
        port = await _debugging_port(process)
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [p for p in await answer.json() if p["type"] == "page"]
            async with http.ws_connect(pages[0]["webSocketDebuggerUrl"]) as socket:
                page = Page(socket)
                await page.send("Log.enable")
                yield page
    finally:
        process.terminate()
        await process.communicate()


async def _debugging_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        async for line in process.stderr:
            if found := re.search(rb"ws://127\.0\.0\.1:([0-9]+)/", line):
                return int(found.group(1))
    raise AssertionError("the browser ended before it could be driven")

"""Pages in a real Chromium: watched for complaints and for requests to anybody else."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright

from tests.contract.page_rules import RULES

DESKTOP, PHONE = (1366, 900), (360, 740)
LIVE = "#connection[data-state=live]"
SCREENSHOTS = "RELAYER_SCREENSHOTS"
"""Names the directory where pictures of the pages are kept; else they go with the test."""


@dataclass
class Window:
    """One browser window of one reader."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    """What the console said, and requests to other hosts."""

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self._console(said.type, said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            self.complaints.append(f"asked {url}")

    async def open(self, path: str, *, token: str = "") -> None:
        """Open a page and wait until it is kept up to date."""
        await self.page.goto(self.url + path + (f"#token={token}" if token else ""))
        await self.page.wait_for_selector(LIVE)
        if token:
            await self.page.wait_for_selector("#caller:not([hidden])")

    async def broken_rules(self) -> list[str]:
        found: list[str] = await self.page.evaluate(RULES)
        return found

    async def shot(self, name: str, directory: Path) -> None:
        """Keep a picture of the whole page."""
        kept = Path(os.environ.get(SCREENSHOTS) or directory / "screenshots")
        await self.page.evaluate("scrollTo(0, 0)")
        await self.page.screenshot(path=kept / f"{name}.png", full_page=True)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's own browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def window(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: str = "light",
    **said: Any,
) -> AsyncIterator[Window]:
    """A window of a reader of its own: no cookies, nothing remembered."""
    viewport: Any = {"width": size[0], "height": size[1]}
    context = await browser.new_context(color_scheme=scheme, viewport=viewport, **said)  # type: ignore[arg-type]
    try:
        yield Window(await context.new_page(), url)
    finally:
        await context.close()

"""The fleet and pool pages in a real Chromium: drawn, kept up to date, used by keyboard, for all.

Pictures are kept in the directory that RELAYER_SCREENSHOTS names.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.contract.chromium import DESKTOP, PHONE, chromium, window
from tests.contract.pages_site import PagesSite, pages_site, settings_of
from tests.contract.pages_story import ROLLING, nodes
from tests.contract.site import ANN
from tests.contract.test_web_server import served
from tests.facts import PROD
from watcher.core.state import Surveyed
from watcher.settings import Settings

pytestmark = [pytest.mark.real("chromium"), pytest.mark.asyncio(loop_scope="module")]
PAGES = {
    "fleet": "/",
    "fleet-filtered": "/?group=needs&sort=name",
    "pool-stuck": "/pools/prod/storage",
    "pool-waiting": "/pools/prod/infra",
    "pool-rolling": "/pools/edge-oslo/worker",
    "pool-unseen": "/pools/new-dc/infra",
    "login": "/login",
    "missing": "/pools/prod/nope",
}
VISIBLE_SECONDS = 1.5
"""`make bench` has the real bar of 500 ms; here other tests run beside."""


@dataclass
class There:
    site: PagesSite
    url: str
    browser: Browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all: a window is a reader of its own."""
    async with chromium() as started:
        yield started


@asynccontextmanager
async def at(
    browser: Browser, directory: Path, settings: Settings | None = None
) -> AsyncIterator[There]:
    """A fleet in a server, as of now; with `settings`, nothing but what they name."""
    found: list[Surveyed] | None = [] if settings else None
    now = datetime.now(UTC)
    opened = pages_site(directory, now=now, settings=settings, found=found, story=not settings)
    async with opened as site, served(site.app) as url:
        yield There(site, url, browser)


@pytest_asyncio.fixture(loop_scope="module")
async def here(browser: Browser, tmp_path: Path) -> AsyncIterator[There]:
    async with at(browser, tmp_path) as made:
        yield made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_every_page_keeps_the_rules(
    here: There, tmp_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    broken: dict[str, list[str]] = {}
    kind = "phone" if size is PHONE else "desktop"
    async with (
        window(here.browser, here.url, size=size, scheme=scheme) as reader,
    ):
        for name, path in PAGES.items():
            await reader.open(path, token="" if name in ("missing", "login") else ANN)
            for summary in await reader.page.locator("main summary").all():
                await summary.click()
            if found := await reader.broken_rules():
                broken[name] = found
            await reader.shot(f"{name}-{scheme}-{kind}", tmp_path)
    assert broken == {}
    assert [c for c in reader.complaints if "404" not in c] == []


async def test_an_empty_page_keeps_the_rules_too(browser: Browser, tmp_path: Path) -> None:
    nothing = Settings(web=settings_of(tmp_path, "127.0.0.1").web)
    async with at(browser, tmp_path, nothing) as here, window(here.browser, here.url) as reader:
        await reader.open("/")
        assert "No cluster is configured" in await reader.page.inner_text("main")
        assert await reader.broken_rules() == []
        await reader.shot("fleet-empty-light-desktop", tmp_path)


async def test_a_change_is_seen_without_a_reload_and_nothing_else_is_touched(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/pools/edge-oslo/worker", token=ANN)
        page = reader.page
        await page.evaluate("window.kept = document.querySelector('#past-title')")
        await page.click("#each-node summary")
        await page.fill("#hold-reason", "half a sent")
        await page.evaluate("document.querySelector('#hold-reason').setSelectionRange(2, 6)")
        await page.evaluate("scrollTo(0, 250)")
        before = await page.evaluate("scrollY")
        await asyncio.sleep(0)
        began = time.monotonic()
        await here.site.service.store.set_progress(ROLLING, nodes(9))
        await expect(page.locator("main")).to_contain_text("9 of 12 nodes", timeout=10_000)
        assert time.monotonic() - began < VISIBLE_SECONDS
        assert await page.input_value("#hold-reason") == "half a sent"
        assert await page.evaluate("document.activeElement.id") == "hold-reason"
        assert await page.evaluate(
            "[document.activeElement.selectionStart, document.activeElement.selectionEnd]"
        ) == [2, 6]
        assert await page.evaluate("document.querySelector('#each-node').open")
        assert await page.evaluate("scrollY") == before
        assert await page.evaluate("window.kept.isConnected"), "only what differs is touched"
    assert reader.complaints == []


async def test_a_button_that_was_pressed_once_stays_so_when_something_else_changes(
    here: There,
) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/pools/prod/infra", token=ANN)
        page, store = reader.page, here.site.service.store
        await page.get_by_role("button", name="Approve").click()
        await expect(page.locator("button.main")).to_contain_text("will reboot: click again")
        view = {**await store.view("pool:prod/infra"), "because": "looked at again"}
        await store.put_view("pool:prod/infra", view)
        await expect(page.locator("main")).to_contain_text("looked at again")
        await expect(page.locator("button.main")).to_contain_text("will reboot: click again")


async def test_a_page_that_stays_open_for_days_can_still_decide(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/pools/prod/infra", token=ANN)
        page, store = reader.page, here.site.service.store
        gone = "document.querySelectorAll('[name=csrf]').forEach((one) => { one[{0}] = 'gone' })"
        await page.evaluate(gone.replace("{0}", "one.content === undefined ? 'value' : 'content'"))
        view = {**await store.view("pool:prod/infra"), "because": "looked at again"}
        await store.put_view("pool:prod/infra", view)
        await expect(page.locator("main")).to_contain_text("looked at again")
        await page.get_by_role("button", name="Approve").click()
        await page.locator("button.main").click()
        await expect(page.locator("#answer")).to_contain_text("it counts once")
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        await expect(page.locator("h1")).to_have_text("Log in")


async def test_a_change_of_findings_is_seen_in_all_windows(here: There) -> None:
    async with (
        window(here.browser, here.url) as one,
        window(here.browser, here.url) as other,
    ):
        for reader in (one, other):
            await reader.open("/")
        await here.site.service.played.put_pool(PROD, "worker", sentence="seen by everybody")
        for reader in (one, other):
            await expect(reader.page.locator("main")).to_contain_text("seen by everybody")


async def test_filters_search_and_sort_by_keyboard_alone(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/")
        page = reader.page
        row = page.locator(".fleet tbody tr")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("/")
        await page.keyboard.type("worker", delay=15)
        await expect(row).to_have_count(4)
        assert await page.evaluate("document.activeElement.id") == "text"
        assert page.url.endswith("?text=worker")
        await page.keyboard.press("Tab")
        await page.keyboard.type("lab")
        await expect(row).to_have_count(1)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        await page.keyboard.type("name")
        await expect(page.locator("#sort")).to_be_focused()
        await page.wait_for_url("**sort=name**")
        assert "cluster=lab" in page.url
        await page.reload()
        await expect(row).to_have_count(1)
        await page.get_by_role("link", name="show all").press("Enter")
        await expect(row).to_have_count(23)
        assert await page.input_value("#text") == ""
        await page.locator("#text").press_sequentially("telco")
        await expect(row).to_have_count(1)
        await page.get_by_role("link", name="show all").press("Enter")
        await expect(row).to_have_count(23)
        await expect(page.locator("#text")).to_have_value("")
        tile = page.locator(".tile", has_text="Waits for approval")
        await tile.press("Enter")
        await expect(row).to_have_count(2)
        await expect(tile).to_be_focused()
        await expect(tile).to_have_attribute("aria-current", "true")
    assert reader.complaints == []


async def test_filters_work_without_script(here: There) -> None:
    async with (
        window(here.browser, here.url, java_script_enabled=False) as reader,
    ):
        page = reader.page
        await page.goto(here.url)
        await page.fill("#text", "telco")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".fleet tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="telco").click()
        assert await page.title() == "prod/telco · Relayer"


async def test_a_pool_is_held_and_let_go_on_its_page(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/pools/prod/worker", token=ANN)
        page = reader.page
        await page.fill("#hold-reason", "a fair")
        await page.get_by_role("button", name="Hold").click()
        await expect(page.locator("#answer")).to_contain_text("held")
        await expect(page.locator("main")).to_contain_text("prod/worker is held by token:ann")
        await page.get_by_role("button", name="Let it go again").click()
        await expect(page.get_by_role("button", name="Hold")).to_be_visible()
    assert reader.complaints == []
    assert [f.scope for f in await here.site.service.store.freezes()] == [
        *("edge-oslo/realtime", "staging"),
    ]


async def test_a_theme_is_chosen_and_remembered(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/")
        page = reader.page
        paper = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(paper)
        await page.click("#theme")
        await page.click("#theme")
        assert await page.inner_text("#theme") == "Theme: dark"
        assert await page.evaluate(paper) != light
        await page.reload()
        assert await page.evaluate(paper) != light


async def test_a_server_that_goes_away_is_told_and_found_again(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        await reader.open("/")
        page = reader.page
        await page.route("**/*", lambda route: route.abort())
        here.site.app.state.live.close()
        await expect(page.locator("#connection")).to_contain_text("reconnecting since")
        await expect(page.locator("main")).to_contain_text("storage")
        await page.unroute("**/*")
        here.site.app.state.live.closed = False
        await expect(page.locator("#connection")).to_have_text("live", timeout=15_000)


async def test_a_token_that_is_not_known_lets_nobody_in_and_says_so(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        page = reader.page
        await page.goto(f"{here.url}/#token=not-a-token-at-all-0000")
        await expect(page.locator("#answer")).to_contain_text("not known")
        assert await page.evaluate("location.hash") == ""
        await expect(page.locator("#caller")).to_be_hidden()


async def test_a_person_logs_in_and_out(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        page = reader.page
        await reader.open("/")
        await page.get_by_role("link", name="Log in").click()
        await page.fill("#token", ANN)
        await page.keyboard.press("Enter")
        await expect(page.locator("#caller")).to_contain_text("token:ann")
        assert ANN not in await page.content()
        await page.get_by_role("button", name="Log out").click()
        await expect(page.locator("#caller")).to_be_hidden()
    assert reader.complaints == []


BROKEN = """<title></title><body><main><h1>a</h1><h3 id="a">b</h3></main><main id="a">
<input><button></button><a href="/"></a><img src=""><table><tr><th>x</th></tr></table>
<nav>x</nav><div tabindex="2" role="nonsense" aria-nonsense="1" aria-labelledby="nope">y</div>
<p style="color:#aaa;background:#fff">faint</p><div style="width:3000px">wide</div></main>"""
FOUND = (
    *("lang", "title", "one main", "skip link first", "heading order", "duplicate id", "label"),
    *("name", "alt", "scope", "navigation has a name", "tabindex above 0", "role", "aria name"),
    *("aria id", "contrast", "inline", "horizontal scroll", "too small", "landmarks"),
)


async def test_the_rules_find_what_is_wrong(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        viewport = '<meta name="viewport" content="width=device-width">'
        await reader.page.set_content(f"<!doctype html><html>{viewport}{BROKEN}</html>")
        broken = {said.partition(":")[0] for said in await reader.broken_rules()}
    assert set(FOUND) <= broken

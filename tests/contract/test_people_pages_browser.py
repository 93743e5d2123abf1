"""Pages of updates and people in a real Chromium: drawn, decided on, kept up to date, for all.

Pictures are kept in the directory that RELAYER_SCREENSHOTS names.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.contract import people_story as story
from tests.contract.chromium import DESKTOP, PHONE, SCREENSHOTS, chromium, window
from tests.contract.pages_site import PagesSite
from tests.contract.people_story import people_site
from tests.contract.site import ANN
from tests.contract.test_web_server import served
from tests.facts import image
from watcher.core.update import Update
from watcher.ports import AuditEntry, Change

pytestmark = [pytest.mark.real("chromium"), pytest.mark.asyncio(loop_scope="module")]
PAGES = {
    "update-rolling": f"/updates/{story.ROLLING}",
    "update-asked": f"/updates/{story.ASKED}",
    "update-failed": f"/updates/{story.FAILED}",
    "update-building": "/updates/u-first-1",
    "approvals": "/approvals",
    "audit": "/audit",
    "audit-nothing": "/audit?by=nobody-at-all",
    "calm": "/calm?pool=prod/infra",
    "about": "/about",
}


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


@pytest_asyncio.fixture(loop_scope="module")
async def here(browser: Browser, tmp_path: Path) -> AsyncIterator[There]:
    async with people_site(tmp_path, now=datetime.now(UTC)) as site, served(site.app) as url:
        yield There(site, url, browser)


SIZES = {"desktop": DESKTOP, "phone": PHONE}
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"


async def test_every_page_keeps_the_rules(here: There, tmp_path: Path) -> None:
    broken: dict[str, list[str]] = {}
    async with window(here.browser, here.url) as reader:
        page = reader.page
        await reader.open("/about", token=ANN)
        for name, path in PAGES.items():
            await reader.open(path)
            await page.evaluate(OPEN_ALL)
            # To take a picture leaves a mark on what can be typed into: rules first.
            for shoot in (False, True) if SCREENSHOTS in os.environ else (False,):
                for kind, (width, height) in SIZES.items():
                    await page.set_viewport_size({"width": width, "height": height})
                    for scheme in ("light", "dark"):
                        await page.emulate_media(color_scheme=scheme)
                        if shoot:
                            await reader.shot(f"{name}-{scheme}-{kind}", tmp_path)
                        elif found := await reader.broken_rules():
                            broken[f"{name} {scheme} {kind}"] = found
    assert broken == {}
    assert reader.complaints == []


async def _change(here: There, name: str, **said: object) -> Update:
    stored = await here.site.service.store.get(name)
    assert isinstance(stored.job, Update)
    after = replace(stored.job, **said)  # type: ignore[arg-type] # by name
    await here.site.service.store.commit([Change(job=after, expected=stored.version)], [])
    return after


async def test_a_stale_page_is_declined_with_the_sentence_and_shows_what_is_now(
    here: There,
) -> None:
    async with window(here.browser, here.url) as reader:
        page, answer = reader.page, reader.page.locator("#answer")
        await reader.open(f"/updates/{story.ASKED}", token=ANN)
        cut = "**/updates/**"
        await page.route("**/events", lambda route: route.abort())
        await page.route(cut, _only_posts)
        here.site.app.state.live.close()
        await expect(page.locator("#connection")).not_to_have_text("live")
        shown = await page.input_value("form[data-key^=decide] input[name=binding]")
        after = await _change(here, story.ASKED, image=image("something else"))
        approve = page.locator("button.main")
        await approve.click()
        await approve.click()
        await expect(answer).to_contain_text("it has changed since it was shown; look at it again")
        await page.unroute(cut)
        await page.evaluate("refresh()")
        await expect(page.locator(".changes")).to_contain_text(image("something else").digest[7:19])
        assert (
            await page.input_value("form[data-key^=decide] input[name=binding]")
            == str(after.binding.digest())
            != shown
        )
        now = (await here.site.service.store.get(story.ASKED)).job
        assert isinstance(now, Update)
        assert now.approval is None
        assert now.votes == after.votes, "nothing was counted"


async def _only_posts(route: Route) -> None:
    await (route.continue_() if route.request.method == "POST" else route.abort())


async def test_the_first_click_does_not_mean_what_has_changed_before_the_second(
    here: There,
) -> None:
    async with window(here.browser, here.url) as reader:
        page, approve = reader.page, reader.page.locator("button.main")
        await reader.open(f"/updates/{story.ASKED}", token=ANN)
        await approve.click()
        await expect(approve).to_contain_text("will reboot: click again")
        await _change(here, story.ASKED, image=image("something else"))
        await expect(page.locator(".changes")).to_contain_text(image("something else").digest[7:19])
        await approve.click()
        await expect(approve).to_contain_text("will reboot: click again")
        now = (await here.site.service.store.get(story.ASKED)).job
        assert isinstance(now, Update)
        assert now.approval is None
    assert reader.complaints == []


async def test_a_build_is_followed_while_it_is_read_at_its_end_and_left_alone_otherwise(
    here: There,
) -> None:
    store = here.site.service.store
    async with window(here.browser, here.url) as reader:
        page = reader.page
        await reader.open(f"/updates/{story.ASKED}")
        log = page.locator("#build-log")
        gap = "one => one.scrollHeight - one.scrollTop - one.clientHeight"
        assert await log.evaluate(gap) < 2, "a log is opened at its end"
        await store.add_log(story.BUILT, [f"and line {n}" for n in range(30)])
        await expect(log).to_contain_text("and line 29")
        assert await log.evaluate(gap) < 2
        await log.evaluate("one => { one.scrollTop = 200; }")
        await store.add_log(story.BUILT, ["the last of all"])
        await expect(log).to_contain_text("the last of all")
        assert await log.evaluate("one => one.scrollTop") == 200
        await log.focus()
        await page.keyboard.press("End")
        await expect(page.locator("#build-log:focus")).to_be_visible()
    assert reader.complaints == []


async def test_freezes_and_silences_are_made_and_lifted_on_the_page(here: There) -> None:
    store = here.site.service.store
    async with window(here.browser, here.url) as reader:
        page, answer = reader.page, reader.page.locator("#answer")
        await reader.open("/calm?pool=prod/worker", token=ANN)
        await page.click("#new-freeze summary")
        await page.select_option("#freeze-scope", "new-dc")
        freeze = page.locator("form[data-key='do freeze'] button")
        await freeze.click()
        assert [f.scope for f in await store.freezes()] == ["edge-oslo/realtime", "staging"], (
            "without a reason nothing is sent"
        )
        await page.fill("#freeze-reason", "a <b>move</b>")
        await page.fill("#freeze-until", "3h")
        await freeze.click()
        await freeze.click()
        await expect(answer).to_contain_text("new-dc is frozen")
        row = page.locator("tr[data-key='order new-dc']")
        await expect(row).to_contain_text("a <b>move</b>")
        await expect(row).to_contain_text("token:ann")
        await row.get_by_role("button").click()
        await row.get_by_role("button").click()
        await expect(row).to_have_count(0)

        await page.fill("#hold-reason", "a fair")
        await page.get_by_role("button", name="Hold", exact=True).click()
        await expect(page.locator("tr[data-key='order prod/worker']")).to_contain_text("a fair")
        await page.get_by_role("button", name="Let it go again").click()
        await expect(page.locator("tr[data-key='order prod/worker']")).to_have_count(0)

        await page.click("#new-silence summary")
        await page.select_option("#silence-scope", "prod")
        await page.select_option("#silence-rule", "")
        await page.fill("#silence-reason", "we know")
        await page.fill("#silence-until", "2h")
        await page.get_by_role("button", name="Silence").click()
        made = page.locator("tr[data-key^='silence ']", has_text="we know")
        await expect(made).to_contain_text("every alert")
        await made.get_by_role("button").click()
        await made.get_by_role("button").click()
        await expect(made).to_have_count(0)
    assert reader.complaints == []


async def test_the_trail_is_searched_and_exported_by_a_reader(here: There) -> None:
    async with window(here.browser, here.url) as reader:
        page = reader.page
        await reader.open("/audit", token=ANN)
        row = page.locator(".trail tbody tr")
        await page.keyboard.press("/")
        await page.keyboard.type("staging/infra", delay=10)
        await expect(row).to_have_count(3)
        await page.select_option("#event", "Proposed")
        await expect(row).to_have_count(2)
        assert "pool=staging%2Finfra" in page.url
        async with page.expect_download() as waiting:
            await page.get_by_role("link", name="CSV").click()
        kept = await (await waiting.value).path()
        assert len(kept.read_text().splitlines()) == 3
        await page.get_by_role("link", name="show all").click()
        await expect(page.locator(".found")).to_contain_text("30 entries")
    assert reader.complaints == []


EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def test_nothing_that_people_or_clusters_say_becomes_a_part_of_the_page(here: There) -> None:
    asked = await _change(here, story.ASKED)
    said = replace(asked.background, complaints=(EVIL,), signature=EVIL)
    vote = replace(asked.votes[0], reason=EVIL)
    await _change(here, story.ASKED, because=EVIL, background=said, votes=(vote,))
    await here.site.service.people.freeze("prod", by="token:ann", because=EVIL, until=None)
    async with window(here.browser, here.url) as reader:
        for path in (f"/updates/{story.ASKED}", "/approvals", "/audit", "/calm"):
            await reader.open(path, token=ANN)
            # Also what comes while the page is open, by another way into it.
            await here.site.service.store.add_log(story.BUILT, [f"{path} {EVIL}"])
            entry = AuditEntry(
                at=asked.created_at, job=story.ASKED, event="Noted", by=EVIL, state=""
            )
            await here.site.service.store.audit_only(replace(entry, detail=EVIL))
            await expect(reader.page.locator("main")).to_contain_text(EVIL)
            assert await reader.page.locator("main img, main script").count() == 0
            assert "owned" not in await reader.page.title()
    assert reader.complaints == []

"""Updates through the whole service, followed and decided on its pages in a real Chromium."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.contract.chromium import LIVE, Window, chromium, window
from tests.scenario.service import running, update_in
from tests.scenario.slack_world import free_port, http_token
from tests.scenario.world import CLUSTER, INFRA, World, world
from watcher.bootstrap import App
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.settings import Settings, TokenSettings, WebSettings

pytestmark = pytest.mark.real("chromium")
SPEED = 100.0
"""Slow enough for somebody to see nodes drain and reboot."""
EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@dataclass
class There:
    made: World
    app: App
    url: str


def settings_of(made: World, directory: Path, **rules: object) -> Settings:
    """Ann and Bob may decide about the pool, Eve has a token and no say there."""
    names = ("ann", "bob", "eve")
    for name in names:
        (directory / f"{name}-token").write_text(http_token(name))
    tokens = [TokenSettings(name=n, token_file=directory / f"{n}-token") for n in names]
    approvers = ("token:ann", "token:bob")
    policy = Policy(approval=ApprovalRules(approvers=approvers, **rules), soak_seconds=1)  # type: ignore[arg-type] # by name
    web = WebSettings(port=free_port(), tokens=tuple(tokens))
    return replace(made.with_policy(policy), web=web)


@asynccontextmanager
async def service(
    directory: Path, *, speed: float = SPEED, **rules: object
) -> AsyncIterator[There]:
    async with world(directory, speed=speed, nodes=2) as made:
        settings = settings_of(made, directory, **rules)
        async with running(settings) as app:
            yield There(made, app, f"http://127.0.0.1:{settings.web.port}")


async def log_in(reader: Window, name: str, *, path: str = "/") -> Page:
    """As a person does: type the token into the form."""
    page = reader.page
    await page.goto(f"{reader.url}/login?next={path}")
    await page.fill("#token", http_token(name))
    await page.keyboard.press("Enter")
    await page.wait_for_selector(LIVE)
    await expect(page.locator("#caller")).to_contain_text(f"token:{name}")
    return page


async def press(page: Page, button: Locator) -> None:
    """By keyboard alone: go there by Tab, and press it."""
    for _ in range(80):
        if await button.evaluate("one => one === document.activeElement"):
            break
        await page.keyboard.press("Tab")
    await expect(button).to_be_focused()
    await page.keyboard.press("Enter")


async def test_an_update_is_seen_opened_approved_and_followed_to_its_end_by_keyboard_alone(
    tmp_path: Path,
) -> None:
    async with (
        service(tmp_path) as there,
        chromium() as browser,
        window(browser, there.url) as reader,
    ):
        page = await log_in(reader, "ann")
        row = page.locator(".fleet tbody tr", has_text="infra")
        await expect(row).to_contain_text("awaiting approval", timeout=20_000)
        await page.evaluate("window.same = true")
        await press(page, row.get_by_role("link", name="awaiting approval"))
        await page.wait_for_url("**/updates/u-*")
        await page.wait_for_selector(LIVE)
        await page.evaluate("window.same = true")
        asked = await update_in(there.app, "awaiting-approval")
        main = page.locator("main")
        for part in (there.made.old.version, asked.target.base.digest[7:19], "build-log"):
            assert part in await main.inner_html()
        await expect(main).to_contain_text("1 approval missing")
        await expect(main).to_contain_text("May still vote: token:ann, token:bob")
        await expect(main).to_contain_text("The image is what was ordered")

        approve = page.locator("button.main")
        await press(page, approve)
        await expect(approve).to_contain_text("will reboot: click again")
        assert there.made.override_writes() == 0
        await page.keyboard.press("Enter")
        await expect(page.locator("#answer")).to_contain_text("is approved by token:ann")

        seen = await _followed(page)
        assert {"rolling out", "done"} <= set(seen["states"])
        assert set(seen["words"]) & {"draining", "working", "rebooting"}, seen
        done = await update_in(there.app, "done")
        assert done.approval is not None
        assert done.approval.by == ("token:ann",)
        assert there.made.images() == {str(done.image)}
        await expect(page.locator("#audit-title")).to_be_visible()
        await expect(main).to_contain_text("Soaked")
        assert await page.locator(".nodes li.good").count() == 2
        assert await page.locator("main form").count() == 0, "nothing is left to decide"
        assert await page.evaluate("window.same"), "it was never loaded anew"
        assert reader.complaints == []


async def _followed(page: Page) -> dict[str, list[str]]:
    """What the page showed on its way to `done`, watched in the page itself."""
    seen: dict[str, list[str]] = await page.evaluate(
        """() => new Promise((end, fail) => {
          const states = [], words = [];
          const note = (list, text) => { if (text && list.at(-1) !== text) list.push(text); };
          const look = () => {
            note(states, document.querySelector(".headline .tag").textContent);
            document.querySelectorAll(".nodes li b").forEach((one) => note(words, one.textContent));
            if (states.at(-1) === "done") { watch.disconnect(); end({ states, words }); }
          };
          const watch = new MutationObserver(look);
          watch.observe(document.querySelector("main"),
            { subtree: true, childList: true, characterData: true });
          setTimeout(() => fail(new Error("not done: " + states + words)), 25000);
          look();
        })"""
    )
    return seen


async def test_who_is_no_approver_is_told_so_and_what_is_rejected_says_why(tmp_path: Path) -> None:
    async with service(tmp_path, speed=400.0, reason_required=True) as there:
        asked = await update_in(there.app, "awaiting-approval")
        await there.app.store.add_log(asked.build, [f"STEP 9: {EVIL}"])
        async with (
            chromium() as browser,
            window(browser, there.url) as eve,
            window(browser, there.url) as bob,
        ):
            page = await log_in(eve, "eve", path=f"/updates/{asked.id}")
            main = page.locator("main")
            await expect(main).to_contain_text("token:eve is not an approver of this pool")
            assert await page.locator("main form").count() == 0
            await _insists(eve, f"/pools/{CLUSTER}/{INFRA}")

            page = await log_in(bob, "bob", path="/approvals")
            card = page.locator(f"[data-key='{asked.id}']")
            await expect(card.locator("button.main")).to_be_hidden()
            await card.locator("summary").click()
            await expect(card).to_contain_text("will drain and reboot")
            await card.locator("button.danger").click()
            await expect(page.locator("#answer")).to_contain_text("asks for a reason")
            assert await page.locator("#answer").get_attribute("class") == "bad"
            await card.locator("input[name=reason]").fill(EVIL)
            await card.locator("button.danger").click()
            await expect(page.locator("#answer")).to_contain_text("is rejected")
            await expect(page.locator("main")).to_contain_text("Nothing waits")

            await expect(main).to_contain_text(f"rejected by token:bob: {EVIL}")
            assert EVIL in await main.inner_text()
            await eve.open("/about")
            about = await eve.page.inner_text("main")
            for part in ("this replica plans", "ClusterVersion", "synced", "all told"):
                assert part in about, about
            assert http_token("eve") not in await eve.page.content()
            assert await eve.broken_rules() == []
            await eve.shot("about-live-light-desktop", tmp_path)
            for reader in (eve, bob):
                await reader.open(f"/audit?pool={INFRA}")
                assert await reader.page.locator("main img, main script").count() == 0
                assert "owned" not in await reader.page.title()
            await expect(eve.page.locator("main")).to_contain_text("ApproveDeclined")
        ended = await update_in(there.app, "rejected")
        assert ended.ended_because == f"rejected by token:bob: {EVIL}"
        assert there.made.override_writes() == 0
        assert bob.complaints == [REFUSED]
        assert eve.complaints == [REFUSED]


REFUSED = "error: Failed to load resource: the server responded with a status of 409 (Conflict)"


async def _insists(reader: Window, path: str) -> None:
    """The pool's page shows everybody with the role the buttons; the service says no."""
    await reader.page.goto(reader.url + path)
    await reader.page.wait_for_selector(LIVE)
    approve = reader.page.locator("button.main")
    await approve.click()
    await approve.click()
    answer = reader.page.locator("#answer")
    await expect(answer).to_contain_text("token:eve is not an approver of this pool")
    await reader.page.go_back()
    await reader.page.wait_for_selector(LIVE)

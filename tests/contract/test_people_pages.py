"""Inbox, audit, calm and about as the server makes them: what is on them, and for whom."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract import people_story as story
from tests.contract.pages_fleet import STAGING
from tests.contract.pages_site import PagesSite
from tests.contract.people_story import EVIL, HTML, change, page, people_site, text_of
from tests.contract.site import ANN, BOB, bearer
from tests.facts import T0
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.approval import ApprovalRules
from watcher.core.facts import PoolName
from watcher.core.update import Policy
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change, Transient
from watcher.settings import RedisSettings, Settings, SlackSettings, WebhookSettings
from watcher.settings_alerts import AlertSettings, HeartbeatSettings
from watcher.web.pages import about
from watcher.web.pages.approvals import MOST
from watcher.web.pages.audit import PAGE, chosen
from watcher.web.pages.calm import PAGE as POOLS


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[PagesSite]:
    async with people_site(tmp_path) as made:
        yield made


async def test_whatever_people_builds_and_clusters_say_is_text(here: PagesSite) -> None:
    asked = await change(here, story.ASKED)
    vote = replace(asked.votes[0], by=EVIL, person=EVIL, reason=EVIL, surface=EVIL)
    said = replace(asked.background, complaints=(EVIL,), signature=EVIL, from_os_version=EVIL)
    await change(
        here,
        story.ASKED,
        because=EVIL,
        requested_by=EVIL,
        votes=(vote,),
        background=said,
        snoozed_by=EVIL,
        snoozed_until=T0 + timedelta(hours=1),
    )
    store = here.service.store
    await store.add_log(story.BUILT, [EVIL])
    entry = AuditEntry(at=T0, job=story.ASKED, event=EVIL, by=EVIL, state=EVIL, detail=EVIL)
    await store.audit_only(replace(entry, cluster=EVIL, pool=EVIL, surface=EVIL))
    await here.service.people.freeze("prod", by=EVIL, because=EVIL, until=None)
    for path in (f"/updates/{story.ASKED}", "/approvals", "/audit", "/calm"):
        html = await page(here, path)
        assert "alert(1)" in html, path
        assert "<script>alert" not in html, path
        assert "<img src=x" not in html, path
    for query in (f"by={EVIL}", f"job={EVIL}", f"from={EVIL}", f"page={EVIL}"):
        assert "<script>alert" not in await page(here, f"/audit?{query}")
    for query in (f"text={EVIL}", f"pool={EVIL}", f"page={EVIL}"):
        assert "<script>alert" not in await page(here, f"/calm?{query}")


# --- the inbox ------------------------------------------------------------------------------------


def groups(html: str) -> dict[str, list[str]]:
    """Group → the updates in it, in their order."""
    sections = re.findall(r'<section class="inbox" data-key="(\w+)".*?</section>', html, re.DOTALL)
    parts = {
        name: html.partition(f'data-key="{name}"')[2].partition("</section>")[0]
        for name in sections
    }
    return {n: re.findall(r'<article[^>]+data-key="([^"]+)"', part) for n, part in parts.items()}


def card(html: str, key: str) -> str:
    """The text of one entry of the inbox."""
    found = re.search(rf'<article[^>]+data-key="{key}".*?</article>', html, re.DOTALL)
    assert found, key
    return text_of(f"<main>{found[0]}</main>")


async def test_the_inbox_has_what_waits_for_whom_oldest_first(here: PagesSite) -> None:
    assert groups(await page(here, "/approvals")) == {
        "mine": [story.ASKED, "u-gpu-1"],
        "others": ["u-infra-4-18-23"],
        "later": [story.LATER],
    }
    assert groups(await page(here, "/approvals", BOB))["mine"] == ["u-infra-4-18-23", "u-gpu-1"]
    assert "mine" not in groups(await page(here, "/approvals", None))


async def test_an_entry_says_age_risk_and_expiry_and_shows_before_it_asks(here: PagesSite) -> None:
    html = await page(here, "/approvals")
    said = card(html, story.ASKED)
    for part in (
        "patch",
        "1 lint",
        "asked 3 h ago",
        "awaiting 1 of 2",
        "expires in 3 h",
        "3 nodes",
    ):
        assert part in said, part
    for key in (story.ASKED, "u-gpu-1"):
        entry = html.partition(f'data-key="{key}"')[2].partition("</article>")[0]
        before, _, inside = entry.partition("<details")
        assert "/approve" not in before
        shown, _, _ = inside.partition("/approve")
        assert 'class="changes"' in shown, "what is asked stands before the button"
        assert "will drain and reboot" in shown


async def test_what_its_policy_decides_is_in_nobodys_inbox(here: PagesSite) -> None:
    await change(here, story.ASKED, policy=Policy(approval=ApprovalRules(auto=True)))
    assert story.ASKED not in await page(here, "/approvals")


async def test_an_inbox_of_many_is_bounded_and_the_oldest_stay(here: PagesSite) -> None:
    asked = await change(here, story.ASKED)
    for n in range(MOST):
        pool, name = PoolName(f"p{n}"), f"u-many-{n}"
        more = replace(asked, id=name, pool=pool, votes=(), times=(), changed_at=T0)
        await here.service.store.commit([Change(job=more, expected=0)], [])
    found = groups(await page(here, "/approvals"))
    assert sum(map(len, found.values())) == MOST
    assert found["mine"][0] == story.ASKED
    assert "And 4 newer ones." in await page(here, "/approvals")


async def test_little_time_left_is_told_apart(here: PagesSite) -> None:
    html = re.sub(r"<time[^>]*>", "", await page(here, "/approvals"))
    assert 'class="bad" data-i="▲">expires in 3 h' in html
    await change(here, story.ASKED, expires_at=T0 + timedelta(hours=5))
    assert 'class="bad" data-i="▲">expires' not in await page(here, "/approvals")


async def test_an_empty_inbox_says_so(here: PagesSite) -> None:
    for name in (story.ASKED, "u-gpu-1", "u-infra-4-18-23", story.LATER):
        await change(here, name, state=UpdateState.EXPIRED)
    assert "Nothing waits" in text_of(await page(here, "/approvals"))


# --- the audit trail ------------------------------------------------------------------------------


async def test_the_trail_is_filtered_by_pool_person_event_and_day(here: PagesSite) -> None:
    async def found(query: str) -> int:
        said = re.search(r"(\d+) entr", text_of(await page(here, f"/audit?{query}")))
        assert said
        return int(said[1])

    every = await here.service.store.audit()
    assert await found("") == len(every)
    for query, fits in {
        "pool=staging/infra": lambda e: (e.cluster, e.pool) == ("staging", "infra"),
        "by=TOKEN:EVE": lambda e: e.by == "token:eve",
        "event=frozen": lambda e: e.event == "Frozen",
        "from=2026-11-18": lambda e: f"{e.at:%Y-%m-%d}" >= "2026-11-18",
        "to=2026-11-15": lambda e: f"{e.at:%Y-%m-%d}" <= "2026-11-15",
        f"job={story.ROLLING}": lambda e: e.job == story.ROLLING,
        "pool=prod&by=eve": lambda e: e.by == "token:eve",
    }.items():
        wanted = sum(map(fits, every))
        assert 0 < wanted < len(every)
        assert await found(query) == wanted, query
    assert "'yesterday' is no day" in (await page(here, "/audit?from=yesterday")).replace(
        "&#39;", "'"
    )
    assert "Nothing fits" in await page(here, "/audit?by=nobody")


@pytest.mark.parametrize("query", ["to=9999-12-31", "from=0001-01-01", "to=1999-12-31"])
async def test_a_day_that_nobody_means_is_said_to_be_none(here: PagesSite, query: str) -> None:
    assert "is no day" in await page(here, f"/audit?{query}")
    assert (await here.http.get(f"/audit.csv?{query}")).status_code == 422


async def test_the_trail_has_pages(here: PagesSite) -> None:
    for n in range(PAGE * 2):
        said = AuditEntry(at=T0, job="", event="Frozen", by=f"token:x{n}", state="")
        await here.service.store.audit_only(said)
    first = await page(here, "/audit?event=Frozen")
    assert f"token:x{PAGE * 2 - 1} " in text_of(first), "newest first"
    assert first.count("<tr>") == PAGE + 1
    assert 'href="/audit?event=Frozen&amp;page=2"' in first
    last = await page(here, "/audit?event=Frozen&page=99")
    assert "page 3 of 3" in text_of(last)


async def test_what_is_exported_is_what_the_page_has(here: PagesSite) -> None:
    said = AuditEntry(at=T0, job="", event="Held", by="=HYPERLINK(1)", state="", detail='+1,"x"\n2')
    await here.service.store.audit_only(said)
    kept = [entry for entry in await here.service.store.audit() if entry.by != "relayer"]
    text = await here.http.get("/audit.csv?by=e", headers=bearer(ANN))
    assert text.headers["content-disposition"].startswith('attachment; filename="relayer-audit-')
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert rows[0]["detail"] == '\'+1,"x"\n2', "no cell is a formula"
    assert rows[0]["by"] == "'=HYPERLINK(1)"
    answer = await here.http.get("/audit.json?by=e", headers=bearer(ANN))
    assert len(answer.json()["audit"]) == len(rows)
    nothing = await here.http.get("/audit.json?by=nobody")
    assert nothing.json() == {"audit": []}
    assert {row["by"] for row in answer.json()["audit"]} >= {entry.by for entry in kept}
    assert (await here.http.get(f"/audit.csv?by={'x' * 600}")).status_code == 414
    bad = await here.http.get("/audit.csv?from=x")
    assert bad.status_code == 422


async def test_an_export_of_many_is_whole(here: PagesSite) -> None:
    for n in range(450):
        said = AuditEntry(at=T0, job="", event="Many", by="token:x", state="", detail=str(n))
        await here.service.store.audit_only(said)
    answer = await here.http.get("/audit.json?event=many")
    assert [row["detail"] for row in answer.json()["audit"]] == [str(n) for n in range(449, -1, -1)]


async def test_only_those_who_may_look_export(tmp_path: Path) -> None:
    async with people_site(tmp_path, host="192.0.2.7") as away:
        for path in ("/audit.csv", "/audit.json", "/audit", "/approvals", "/calm", "/about"):
            assert (await away.http.get(path)).status_code == 401, path
            assert (await away.http.get(path, headers=bearer(ANN))).status_code == 200, path
        assert (await away.http.get(f"/updates/{story.ASKED}")).status_code == 401


def test_a_day_ends_with_the_next() -> None:
    last = AuditEntry(at=T0.replace(hour=23, minute=59), job="", event="A", by="b", state="")
    assert chosen([last], {"from": "2026-11-18", "to": "2026-11-18"}) == [last]
    assert chosen([last], {"to": "2026-11-17"}) == []
    assert chosen([last], {"from": "2026-11-19"}) == []


# --- calm -----------------------------------------------------------------------------------------


async def test_what_is_in_force_says_who_why_and_until_when(here: PagesSite) -> None:
    text = text_of(await page(here, "/calm"))
    for part in (
        "staging the lab moves house token:ann 5 h ago",
        "edge-oslo/realtime a customer's demo token:bob",
        "lab unseen its switch is replaced token:ann",
        "prod/infra closed",
    ):
        assert part in text, part
    here.service.clock.advance(21 * 3600)
    text = text_of(await page(here, "/calm"))
    assert text.count("none in force") == 3, "what has ended is not in force"


async def test_forms_are_for_operators(here: PagesSite) -> None:
    mine = await page(here, "/calm?pool=prod/infra")
    for path in ("/freezes", "/silences", "/pools/prod/infra/hold", "/freezes?scope=staging"):
        assert f'data-post="/api/v1{path}"' in mine, path
    assert 'data-post="/api/v1/pools/edge-oslo/realtime/unhold"' in mine
    assert 'data-post="/api/v1/silences?id=s-1" data-method="DELETE"' in mine
    assert "data-post" not in await page(here, "/calm?pool=prod/infra", None)
    where = mine.partition('id="freeze-scope"')[2].partition("</select>")[0]
    assert "<option>prod</option>" in where
    assert "lab" not in where, "no pool of it is configured: the API would decline"


async def test_everywhere_is_never_what_is_chosen_by_itself(here: PagesSite) -> None:
    html = await page(here, "/calm")
    for name in ("scope", "rule"):
        for options in re.findall(rf'<select[^>]+name="{name}">(.*?)</select>', html, re.DOTALL):
            assert not options.lstrip().startswith('<option value=""')


async def test_every_reason_is_asked_for(here: PagesSite) -> None:
    html = await page(here, "/calm?pool=prod/infra")
    reasons = re.findall(r'<input[^>]+name="reason"[^>]*>', html)
    assert len(reasons) == 3
    assert all(" required" in one for one in reasons)


async def test_windows_of_many_pools_have_pages(here: PagesSite) -> None:
    pools = [
        replace(here.service.settings.pools[0], pool=PoolName(f"p{n:03}")) for n in range(POOLS + 5)
    ]
    route = next(r for r in here.app.routes if getattr(r, "path", "") == "/calm")
    desk = route.endpoint.__self__
    object.__setattr__(desk, "settings", replace(here.service.settings, pools=tuple(pools)))
    first = await page(here, "/calm")
    assert first.count('data-key="times ') == POOLS
    assert (await page(here, "/calm?page=2")).count('data-key="times ') == 5
    assert (await page(here, "/calm?text=p00")).count('data-key="times ') == 10


# --- about ----------------------------------------------------------------------------------------


async def test_about_says_how_the_service_stands(here: PagesSite) -> None:
    text = text_of(await page(here, "/about"))
    for part in (
        "replica-1",
        "5 clusters, 10 pools, 1 recipe",
        "lab was last seen 47 min ago",
        "new-dc was not read yet",
        "docs/reference/http.md",
    ):
        assert part in text, part
    here.metrics.leading(True)
    here.metrics.beat(T0)
    here.metrics.slack_called("chat.postMessage", "ok")
    await here.service.played.put_pool(STAGING, "infra", sentence="changed")
    text = text_of(await page(here, "/about"))
    assert "this replica plans" in text
    assert "Slack 1 ok" in text
    assert "Heartbeat just now" in text


def test_addresses_are_told_without_what_may_be_secret() -> None:
    secret = "s3cr3t-in-an-address"
    settings = Settings(
        redis=RedisSettings(url=f"rediss://user:{secret}@redis.example.com:6379/0"),
        webhooks=(WebhookSettings(name="x", url=f"https://u:{secret}@hook.example.com/{secret}"),),
        slack=SlackSettings(bot_token_env=secret, channel="C1"),
        alerts=AlertSettings(heartbeat=HeartbeatSettings(url=f"https://b.example.com/{secret}")),
    )
    said = (
        about._store_place(settings),
        about._host(settings.webhooks[0].url),
        about._host(settings.alerts.heartbeat.url),
        about._slack(settings),
    )
    assert secret not in str(said)
    assert said[:3] == ("rediss at redis.example.com", "hook.example.com", "b.example.com")


class AwayStore(MemoryStore):
    """It does not answer."""

    async def ping(self) -> None:
        raise Transient("connection refused")

    async def jobs(self, *args: object, **said: object) -> list[object]:  # type: ignore[override]
        raise Transient("connection refused")


class SilentStore(MemoryStore):
    """It never answers."""

    async def ping(self) -> None:
        await asyncio.Event().wait()


async def test_about_does_not_wait_for_a_store_that_never_answers(here: PagesSite) -> None:
    here.service.store = SilentStore(here.service.clock)
    desk = next(r for r in here.app.routes if getattr(r, "path", "") == "/about").endpoint.__self__
    object.__setattr__(desk, "ping_seconds", 0.01)
    async with asyncio.timeout(5):
        assert "the store did not answer within" in text_of(await page(here, "/about"))


async def test_without_its_store_about_still_says_so_and_others_wait(here: PagesSite) -> None:
    here.service.store = AwayStore(here.service.clock)
    assert "the store: connection refused" in text_of(await page(here, "/about"))
    answer = await here.http.get("/approvals", headers=HTML | bearer(ANN))
    assert answer.status_code == 503
    assert "This page tries again by itself" in answer.text

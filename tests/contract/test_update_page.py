"""The page of one update as the server makes it: what is on it, and for whom."""

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
from tests.contract.site import BOB
from tests.facts import T0, approved, image
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry
from watcher.web.pages import update_parts
from watcher.web.pages.update import MOST_AUDIT
from watcher.web.pages.update_parts import MOST_LOG, MOST_NODES


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[PagesSite]:
    async with people_site(tmp_path) as made:
        yield made


async def test_an_update_says_everything_that_a_decision_needs(here: PagesSite) -> None:
    text = text_of(await page(here, f"/updates/{story.ASKED}"))
    for part in (
        "infra in staging to 4.18.23",
        "its base is of 4.18.21, and the cluster completed 4.18.23",
        "3 nodes will drain and reboot, about 45 min",
        "Release 4.18.21 → 4.18.23",
        "RHCOS 418.94.202609041200-0 → 418.94.202611041200-0",
        "its signature is good",
        "RL012 line 3: rpm-ostree cleanup is missing",
        "The image is what was ordered",
        "Containerfile +2 −1",
        "+COPY chrony.conf /etc/chrony.conf",
        "-RUN rpm-ostree override replace kernel-5.14.0-503.rpm",
        "STEP 48/48: RUN install package number 48",
        "frozen by token:ann",
        "expires 2026-11-18 11:00 UTC",
        "BuildReady",
    ):
        assert part in text, part


async def test_its_way_has_times_and_what_is_to_come(here: PagesSite) -> None:
    text = text_of(await page(here, f"/updates/{story.ROLLING}")).partition("Its way")[2]
    order = (
        *("waiting for build 2026-11-18 05:00 UTC, 20m", "awaiting approval", "scheduled"),
        *("approved by token:ann", "applying", "rolling out", "so far", "soaking", "done"),
    )
    at = [text.find(part) for part in order]
    assert at == sorted(at), list(zip(order, at, strict=True))
    assert -1 not in at
    html = await page(here, f"/updates/{story.ROLLING}")
    assert re.search(r'<li class="now"[^>]+aria-current="step"', html)


async def test_a_record_without_times_has_a_way_too(here: PagesSite) -> None:
    now = T0 + timedelta(hours=1)
    old = await change(here, "u-old-3")
    assert [(s["state"], s["is_now"]) for s in update_parts.steps(old, now=now)] == [
        ("waiting-for-build", False),
        ("stuck", False),
    ]
    back = replace(old, state=UpdateState.ROLLING_BACK)
    assert update_parts.steps(back, now=now)[-1]["state"] == "rolled-back"


async def test_votes_say_whether_they_count_and_who_may_still(here: PagesSite) -> None:
    text = text_of(await page(here, f"/updates/{story.ASKED}"))
    assert "1 approval missing of 2. May still vote: token:ann, person:Kari Nordmann." in text
    assert "token:bob 14 min ago: looks good" in text
    assert re.search(r"token:ann .{0,40}does not count: it is for something that has changed", text)
    assert "looks good You have approved it" not in text


async def test_two_people_are_asked_for_where_the_author_voted(here: PagesSite) -> None:
    rules = ApprovalRules(two_person=True)
    asked = await change(here, story.ASKED, policy=Policy(approval=rules), authors=("token:bob",))
    vote = replace(asked.votes[0], binding=asked.binding)
    await change(here, story.ASKED, votes=(vote,))
    text = text_of(await page(here, f"/updates/{story.ASKED}"))
    assert "1 approval missing. Anybody who may decide can give it." in text
    assert "neither asked for it nor wrote its recipe (token:bob)" in text


async def test_nodes_are_told_one_by_one(here: PagesSite) -> None:
    text = text_of(await page(here, f"/updates/{story.ROLLING}"))
    assert "1 of 3 nodes" in text
    assert "staging-worker-0.example.com has it" in text
    assert "staging-worker-1.example.com working" in text
    assert "staging-worker-2.example.com waiting" in text
    await change(here, story.ROLLING, image=image("yet another"))
    assert "staging-worker-0.example.com waiting" in text_of(
        await page(here, f"/updates/{story.ROLLING}")
    ), "done with another image is not done"


async def test_of_an_update_that_ended_nodes_are_as_they_were_told(here: PagesSite) -> None:
    told = [
        {"name": "n-0", "state": "Done", "updated": True, "ready": True},
        {"name": "n-1", "state": "Degraded", "updated": False, "ready": True, "reason": EVIL},
        {"name": "n-2", "state": "Done", "updated": True, "ready": False},
        "nonsense",
    ]
    await here.service.store.set_progress("u-old-3", {"nodes": told, "updated": 2, "total": 3})
    html = await page(here, "/updates/u-old-3")
    for part in ("n-0 has it", "n-1 degraded", "n-2 has it, not ready", "2 in trouble"):
        assert part in text_of(html)
    assert "<script>alert" not in html
    assert "stuck; ask" not in text_of(html)


async def test_a_build_that_failed_says_why(here: PagesSite) -> None:
    text = text_of(await page(here, f"/updates/{story.FAILED}"))
    assert "The build failed: the image is not what was ordered" in text
    assert "label ostree.commit is missing" in text
    assert "exit status 77" in text
    assert "ask for a rebuild there" in text


async def test_a_long_log_is_bounded_and_says_so(here: PagesSite) -> None:
    await here.service.store.add_log(story.BUILT, [f"more {n}" for n in range(700)])
    html = await page(here, f"/updates/{story.ASKED}")
    assert html.count('data-key="line ') == MOST_LOG
    assert f"{748 - MOST_LOG} older lines are left out" in html
    assert "more 699" in html


async def test_many_nodes_and_entries_are_bounded_and_counted(here: PagesSite) -> None:
    rows = [{"name": f"n-{n}", "state": "Done", "updated": True, "ready": True} for n in range(620)]
    store = here.service.store
    await store.set_progress("u-old-3", {"nodes": rows})
    for n in range(MOST_AUDIT + 40):
        entry = AuditEntry(at=T0, job="u-old-3", event="Noted", by="x", state="", detail=f"no {n}.")
        await store.audit_only(entry)
    html = await page(here, "/updates/u-old-3")
    assert html.count('data-key="node ') == MOST_NODES
    assert "620 of 620 nodes" in text_of(html)
    assert f"And {620 - MOST_NODES} more." in text_of(html)
    assert "no 239." in text_of(html)
    assert "no 39." not in text_of(html)
    assert "/audit?job=u-old-3" in html


async def test_what_is_out_of_sight_is_said_to_be_of_then(here: PagesSite) -> None:
    path = f"/updates/{story.ROLLING}"
    assert "out of sight" not in await page(here, path)
    played = here.service.played
    seen = played.played[STAGING]
    await played.put(replace(seen, observed_at=T0 - timedelta(minutes=20), problems=("no route",)))
    text = text_of(await page(here, path))
    assert (
        "staging is out of sight; last seen 20 min ago. Nodes below are of then. no route" in text
    )


async def test_freezes_are_told_while_they_matter(here: PagesSite) -> None:
    assert "the lab moves house" in await page(here, f"/updates/{story.ASKED}")
    assert "the lab moves house" not in await page(here, f"/updates/{story.ROLLING}")


async def test_buttons_are_for_whoever_may_decide_and_others_are_told_why_not(
    here: PagesSite,
) -> None:
    path = f"/updates/{story.ASKED}"
    mine = await page(here, path)
    for what in ("approve", "reject", "snooze"):
        assert f"{path}/{what}" in mine
    bound = (await change(here, story.ASKED)).binding.digest()
    assert mine.count(f'name="binding" value="{bound}"') == 2
    nobody = await page(here, path, None)
    assert "/api/v1" not in nobody
    assert "/login?next=/updates/" in nobody
    rules = ApprovalRules(approvers=("token:bob",))
    await change(here, story.ASKED, policy=Policy(approval=rules))
    other = await page(here, path)
    assert "/api/v1" not in other
    assert "token:ann is not an approver of this pool (approvers: token:bob)" in text_of(other)
    assert f"{path}/approve" in await page(here, path, BOB), "what is made for one is not shared"


async def test_who_has_the_lesser_role_decides_nothing(here: PagesSite) -> None:
    from watcher.web.callers import Caller, Role
    from watcher.web.pages.update import Deciding

    route = next(r for r in here.app.routes if getattr(r, "path", "") == "/updates/{id}")
    desk: Deciding = route.endpoint.__self__
    asked = await change(here, story.ASKED)
    for role, refused in ((Role.VIEWER, True), (Role.OPERATOR, True), (Role.APPROVER, False)):
        caller = Caller(identity="token:ann", role=role)
        why = desk.why_not(caller, await desk.who(caller, asked), asked)
        assert bool(why) is refused, role


async def test_what_is_approved_can_still_be_rejected_and_what_runs_cannot(
    here: PagesSite,
) -> None:
    asked = await change(here, story.ASKED)
    await change(here, story.ASKED, state=UpdateState.SCHEDULED, approval=approved(asked).approval)
    html = await page(here, f"/updates/{story.ASKED}")
    assert f"{story.ASKED}/approve" not in html
    assert f"{story.ASKED}/reject" in html
    moving = await page(here, f"/updates/{story.ROLLING}")
    assert "data-post" not in moving
    assert 'data-key="decide"' not in moving, "nothing is left to decide, or to wait for"


async def test_no_update_is_an_error_in_words(here: PagesSite) -> None:
    for named in ("u-nope", story.BUILT, "..%2f..%2fetc", EVIL.replace("/", "")):
        answer = await here.http.get(f"/updates/{named}", headers=HTML)
        assert answer.status_code == 404, named
        assert "<script>alert" not in answer.text

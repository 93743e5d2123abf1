"""The API's lists, and what it does beside deciding."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.site import ANN, BOB, Site, bearer, site
from tests.contract.test_web_drift import found
from tests.facts import INFRA, PROD, T0, a_build, a_policy, an_update, image
from watcher.core.build import BuildState
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import JobKind
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change
from watcher.web.api import audit, pools

S = UpdateState


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def get(here: Site, path: str, **said: Any) -> Any:
    answer = await here.http.get(f"/api/v1/{path}", params=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pages(here: Site, path: str, name: str, **said: Any) -> list[list[Any]]:
    """Every page, followed by its cursor."""
    seen: list[list[Any]] = []
    page = await get(here, path, **said)
    seen.append(page[name])
    while page["next"] is not None:
        page = await get(here, path, **said, cursor=page["next"])
        seen.append(page[name])
    return seen


async def some_updates(here: Site, number: int) -> list[str]:
    """Updates of one pool each, by age; every other one has ended. Newest first."""
    for at in range(number):
        made = an_update(
            id=f"u-{at}",
            cluster=ClusterName("prod" if at % 2 else "stage"),
            pool=PoolName(f"p{at}"),
            created_at=T0 + timedelta(minutes=at),
            changed_at=T0 + timedelta(hours=number - at),
            state=S.FAILED if at % 2 else S.WAITING_FOR_BUILD,
        )
        await here.put(made)
    return [f"u-{at}" for at in reversed(range(number))]


# --- lists ---------------------------------------------------------------------------------------


async def test_updates_come_newest_first_whether_they_have_ended_or_not(here: Site) -> None:
    ids = await some_updates(here, 7)
    assert [row["id"] for row in (await get(here, "updates"))["updates"]] == ids


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
async def test_pages_have_each_row_once_though_others_come_meanwhile(
    here: Site, limit: int
) -> None:
    ids = await some_updates(here, 7)
    page = await get(here, "updates", limit=limit)
    seen = [row["id"] for row in page["updates"]]
    while page["next"]:
        newer = an_update(id=f"u-9{len(seen)}", pool=PoolName(f"n{len(seen)}"), created_at=T0)
        later = replace(newer, created_at=T0 + timedelta(days=1))
        await here.put(later)
        page = await get(here, "updates", limit=limit, cursor=page["next"])
        assert len(page["updates"]) <= limit
        seen += [row["id"] for row in page["updates"]]
    assert seen == ids


async def test_a_page_links_to_the_next_one(here: Site) -> None:
    await some_updates(here, 3)
    answer = await here.http.get("/api/v1/updates", params={"limit": 2, "cluster": "stage"})
    assert "link" not in answer.headers
    answer = await here.http.get("/api/v1/updates", params={"limit": 1, "cluster": "stage"})
    url, _, rel = answer.headers["link"].partition(">")
    assert rel == '; rel="next"'
    following = await here.http.get(url.removeprefix("<"))
    assert [row["id"] for row in following.json()["updates"]] == ["u-0"]


async def test_updates_are_chosen_by_cluster_pool_and_state(here: Site) -> None:
    await some_updates(here, 6)

    async def ids(**said: str) -> list[str]:
        return [row["id"] for row in (await get(here, "updates", **said))["updates"]]

    assert await ids(cluster="prod") == ["u-5", "u-3", "u-1"]
    assert await ids(pool="p2") == ["u-2"]
    assert await ids(state="waiting-for-build") == ["u-4", "u-2", "u-0"]
    assert await ids(cluster="prod", pool="p3") == ["u-3"]
    assert await ids(cluster="prod", pool="p3", state="done") == []


CURSORS = [
    "x",
    "a" * 300,
    "a" * 301,
    "WyJidWlsZHMiLCIxIiwiMiJd",
    "WzFd",
    "WyJhdWRpdCIsIm5vcGUiXQ",
    "-_-_",
    "ä",
    "",
]


@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize("path", ["updates", "audit", "dead-letters"])
async def test_a_cursor_of_something_else_is_refused(here: Site, path: str, cursor: str) -> None:
    await some_updates(here, 2)
    answer = await here.http.get(f"/api/v1/{path}", params={"cursor": cursor})
    assert answer.status_code == 422
    assert "cursor" in answer.json()["detail"]


async def test_builds_are_listed_and_told_of(here: Site) -> None:
    store = here.service.store
    for at in range(3):
        state = BuildState.QUEUED if at else BuildState.FAILED
        made = a_build(id=f"b-{at}", key=f"k{at}", created_at=T0 + timedelta(at), state=state)
        await store.commit([Change(job=made, expected=0)], [])
    await store.add_log("b-1", ["STEP 1"])
    assert await pages(here, "builds", "builds", limit=2) == [
        (await get(here, "builds"))["builds"][:2],
        (await get(here, "builds"))["builds"][2:],
    ]
    queued = (await get(here, "builds", state="queued", recipe="gpu"))["builds"]
    assert [row["id"] for row in queued] == ["b-2", "b-1"]
    assert (await get(here, "builds", recipe="other"))["builds"] == []
    assert (await get(here, "builds/b-1"))["state"] == "queued"
    assert await get(here, "builds/b-1/log") == {"id": "b-1", "lines": ["STEP 1"]}


async def test_the_log_of_an_update_is_that_of_its_build(here: Site) -> None:
    await here.put()
    await here.service.store.add_log("b-1", ["STEP 1", "STEP 2"])
    log = await get(here, "updates/u-1/log")
    assert log == {"id": "b-1", "lines": ["STEP 1", "STEP 2"]}


# --- one pool ------------------------------------------------------------------------------------


async def test_a_pool_has_all_about_it_in_one_answer(here: Site) -> None:
    await found(here)
    await here.service.planner.pass_over(PROD, INFRA)
    await here.post("pools/prod/infra/hold", reason="disks")
    seen = await get(here, "pools/prod/infra")
    assert seen["found"]["pool"] == "infra"
    assert seen["look"]["decision"] == "Rebuild"
    assert [row["state"] for row in seen["updates"]] == ["waiting-for-build"]
    assert [row["scope"] for row in seen["freezes"]] == ["prod/infra"]
    assert seen["windows"]["allowed"] is False


async def test_a_pool_before_its_first_look_is_there(here: Site) -> None:
    seen = await get(here, "pools/prod/infra")
    assert (seen["found"], seen["updates"], seen["look"]["decision"]) == (None, [], "")


async def test_the_history_of_a_pool_has_its_updates_only(here: Site) -> None:
    await some_updates(here, 4)
    for at in range(3):
        state = S.FAILED if at < 2 else S.WAITING_FOR_BUILD
        created = T0 + timedelta(minutes=at)
        await here.put(an_update(id=f"u-8{at}", state=state, created_at=created))
    found_there = await pages(here, "pools/prod/infra/history", "updates", limit=2)
    assert [[row["id"] for row in page] for page in found_there] == [["u-82", "u-81"], ["u-80"]]
    gone = (await get(here, "pools/stage/p0/history"))["updates"]
    assert [row["id"] for row in gone] == ["u-0"]
    assert (await here.http.get("/api/v1/pools/prod/nothing/history")).status_code == 404


async def test_a_plan_looks_now_and_changes_nothing(here: Site) -> None:
    plan = await get(here, "pools/prod/infra/plan")
    assert (plan["decision"], plan["base_release"]) == ("Rebuild", "4.16.3")
    assert await here.service.store.jobs(JobKind.UPDATE, ended=False) == []
    assert await here.audit() == []


async def test_looks_and_orders_are_rate_limited_by_caller(here: Site) -> None:
    async def ask(token: str | None) -> httpx.Response:
        return await here.http.get("/api/v1/pools/prod/infra/plan", headers=bearer(token))

    answers = [await ask(ANN) for _ in range(pools.PLAN_BURST + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert answers[-1].status_code == 429
    assert answers[-1].headers["retry-after"] == "6"
    assert "ask again in 6 s" in answers[-1].json()["detail"]
    assert (await ask(BOB)).status_code == 200
    here.service.clock.advance(6)
    assert [(await ask(ANN)).status_code for _ in range(2)] == [200, 429]

    orders = [await here.post("pools/prod/nothing/rebuild") for _ in range(pools.ASK_BURST + 1)]
    assert [answer.status_code for answer in orders] == [404] * pools.ASK_BURST + [429]
    assert (await here.post("pools/prod/nothing/stock")).status_code == 429


# --- audit ---------------------------------------------------------------------------------------


async def trail(here: Site, number: int) -> None:
    for at in range(number):
        entry = AuditEntry(
            at=T0 + timedelta(minutes=at),
            job=f"u-{at % 3}",
            event="Voted" if at % 2 else "Proposed",
            by="token:ann" if at % 2 else "relayer",
            state="scheduled",
            detail=f"line {at}",
            cluster="prod",
            pool="infra" if at % 2 else "worker",
        )
        await here.service.store.audit_only(entry)


async def test_the_audit_is_paged_newest_first(here: Site) -> None:
    await trail(here, 7)
    there = await pages(here, "audit", "audit", limit=3)
    lines = [row["detail"] for page in there for row in page]
    assert lines == [f"line {at}" for at in reversed(range(7))]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({"by": "token:ann"}, [7, 5, 3, 1]),
        ({"event": "Proposed", "job": "u-0"}, [6, 0]),
        ({"pool": "infra", "job": "u-1"}, [7, 1]),
        ({"cluster": "stage"}, []),
        ({"since": "2026-11-18T08:05:00Z"}, [7, 6, 5]),
        ({"until": "2026-11-18T08:02:00+00:00"}, [1, 0]),
        ({"since": "0001-01-01T00:00:00+14:00", "until": "2026-11-18T08:01:00Z"}, [0]),
        ({"until": "9999-12-31T23:59:59-14:00", "job": "u-0"}, [6, 3, 0]),
        ({"since": "2026-11-18T09:02:00+01:00", "until": "2026-11-18T08:04:00Z"}, [3, 2]),
    ],
)
async def test_the_audit_is_chosen_from(here: Site, said: dict[str, str], lines: list[int]) -> None:
    await trail(here, 8)
    wanted = [f"line {at}" for at in lines]
    assert [
        row["detail"] for page in await pages(here, "audit", "audit", **said) for row in page
    ] == wanted
    assert [row["detail"] for row in (await get(here, "audit/export", **said))["audit"]] == wanted


async def test_an_export_has_more_than_one_page_of_the_store(here: Site) -> None:
    number = 2 * audit.READ + 3
    await trail(here, number)
    whole = await get(here, "audit/export")
    assert (len(whole["audit"]), whole["cut"]) == (number, False)
    answer = await here.http.get("/api/v1/audit/export", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="relayer-audit.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["detail"] for row in rows] == [row["detail"] for row in whole["audit"]]


@pytest.mark.parametrize("reason", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'a "b", c\nd'])
async def test_no_line_of_an_export_is_a_formula(here: Site, reason: str) -> None:
    await here.service.store.audit_only(
        AuditEntry(at=T0, job="u-1", event="Voted", by="token:ann", state="x", detail=reason)
    )
    answer = await here.http.get("/api/v1/audit/export", params={"format": "csv"})
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["detail"] == (f"'{reason}" if reason[0] in "=+-@\t" else reason)
    assert (
        json.loads((await here.http.get("/api/v1/audit/export")).text)["audit"][0]["detail"]
        == reason
    )


# --- stopping and reviving -----------------------------------------------------------------------


async def waiting(here: Site) -> Update:
    """An update that waits for build b-1."""
    await here.service.store.commit([Change(job=a_build(), expected=0)], [])
    return await here.put(an_update(policy=a_policy(approvers=("token:ann",))))


async def test_a_build_is_cancelled_and_that_is_audited(here: Site) -> None:
    await waiting(here)
    answer = await here.post("builds/b-1/cancel", reason="wrong branch")
    assert answer.status_code == 200
    assert answer.json()["build"]["ended_because"] == "cancelled by token:ann: wrong branch"
    assert answer.json()["sentence"].startswith("b-1 is cancelled")
    again = await here.post("builds/b-1/cancel")
    assert (again.status_code, again.json()["detail"]) == (409, "b-1 is failed already")
    last = (await here.audit())[-1]
    assert (last.event, last.by, last.job, last.surface) == (
        *("CancelDeclined", "token:ann", "b-1", "http"),
    )


async def test_who_may_not_decide_about_a_pool_may_not_end_the_build_it_waits_for(
    tmp_path: Path,
) -> None:
    async with site(tmp_path, policy=a_policy(approvers=("token:ann",))) as here:
        await waiting(here)
        answer = await here.post("builds/b-1/cancel", BOB)
        assert answer.status_code == 409
        assert "token:bob is not an approver" in answer.json()["detail"]
        assert [entry.event for entry in await here.audit()] == ["CancelDeclined"]
        assert (await here.post("builds/b-1/cancel", ANN)).status_code == 200


async def buried(here: Site) -> None:
    await here.put(an_update(image=image("new")))
    leased = await here.service.store.claim("w", 60, [JobKind.UPDATE])
    assert leased is not None
    entry = AuditEntry(at=T0, job="u-1", event="Buried", by="relayer", state="x")
    await here.service.store.bury(leased, "KeyError", entry)


async def test_a_dead_letter_is_listed_and_revived(here: Site) -> None:
    await buried(here)
    (row,) = (await get(here, "dead-letters"))["dead_letters"]
    assert (row["id"], row["job"], row["because"]) == ("u-1", "update", "KeyError")
    answer = await here.post("dead-letters/u-1/revive")
    assert answer.json() == {"sentence": "u-1 is in the queue again", "id": "u-1"}
    assert (await get(here, "dead-letters"))["dead_letters"] == []
    last = (await here.audit())[-1]
    assert (last.event, last.by, last.surface) == ("Revived", "token:ann", "http")
    assert (await here.post("dead-letters/u-1/revive")).status_code == 404


async def test_who_may_not_decide_about_a_pool_may_not_revive_its_update(tmp_path: Path) -> None:
    async with site(tmp_path, policy=a_policy(approvers=("token:ann",))) as here:
        await buried(here)
        answer = await here.post("dead-letters/u-1/revive", BOB)
        assert answer.status_code == 409
        assert len(await here.service.store.dead()) == 1
        assert (await here.post("dead-letters/u-1/revive", ANN)).status_code == 200


# --- notices -------------------------------------------------------------------------------------

TOLD = {
    "to": "slack:C1",
    "cause": "held:prod",
    "title": "Held",
    "sentence": "prod/infra is held",
    "places": ["prod/infra"],
    "severity": "warning",
    "since": "2026-11-18T08:00:00Z",
    "said_at": "2026-11-18T08:00:00Z",
}


async def test_alerts_that_stand_are_listed_once_for_each_cause(here: Site) -> None:
    elsewhere = {**TOLD, "to": "webhook:x", "places": ["prod/worker"]}
    newer = {**TOLD, "cause": "stuck:u-1", "since": "2026-11-18T09:00:00Z"}
    await here.service.store.keep("notices", {"notices": [TOLD, elsewhere, newer]})
    rows = (await get(here, "notices"))["notices"]
    assert [row["cause"] for row in rows] == ["stuck:u-1", "held:prod"]
    assert rows[1]["places"] == ["prod/infra", "prod/worker"]
    assert (rows[1]["rule"], rows[1]["severity"]) == ("held", "warning")


@pytest.mark.parametrize(
    "kept", [None, "x", [], ["x", 1, None, {}, {"cause": 1}, {"cause": "a", "since": 5}]]
)
async def test_notices_of_another_release_are_read_as_far_as_they_go(
    here: Site, kept: object
) -> None:
    await here.service.store.keep("notices", {"notices": kept})
    rows = (await get(here, "notices"))["notices"]
    assert [row["cause"] for row in rows] in ([], ["a"])

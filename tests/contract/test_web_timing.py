"""HTTP about time: snoozing, freezing, holding, and when a pool may be changed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.contract.site import ANN, BOB, Site, bearer, site
from tests.facts import PROD, T0, a_policy, a_vote, an_update, digest
from watcher.core.approval import ApprovalRules
from watcher.core.changes import Mode
from watcher.core.update import Background, Policy
from watcher.core.update_events import UpdateState
from watcher.core.windows import Window
from watcher.settings import PersonSettings

S = UpdateState
SATURDAY = Window(days=("sat",), start="02:00", hours=4, timezone="Europe/Berlin")
ONLY_BOB = a_policy(approvers=("token:bob",))
HOLD, UNHOLD = "pools/prod/infra/hold", "pools/prod/infra/unhold"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


@pytest.fixture
async def bobs(tmp_path: Path) -> AsyncIterator[Site]:
    """Where Bob alone may decide."""
    async with site(tmp_path, policy=ONLY_BOB) as made:
        yield made


async def lift(here: Site, scope: str | None, token: str | None = ANN) -> httpx.Response:
    asked = {} if scope is None else {"scope": scope}
    return await here.http.delete("/api/v1/freezes", params=asked, headers=bearer(token))


async def frozen(here: Site) -> list[str]:
    rows = (await here.http.get("/api/v1/freezes")).json()["freezes"]
    return [row["scope"] for row in rows]


async def trail(here: Site) -> list[tuple[str, str, str]]:
    return [(e.event, e.by, e.surface) for e in await here.audit()]


def told(here: Site) -> float:
    """How many decisions were counted as declined."""
    found = here.metrics.registry.get_sample_value(
        "relayer_decisions_declined_total", {"surface": "http"}
    )
    return found or 0.0


# --- decisions -----------------------------------------------------------------------------------


async def test_decisions_are_kept_with_where_they_came_from_and_about_what(here: Site) -> None:
    update = await here.put()
    await here.decide("approve", update, binding=str(digest("stale")))
    await here.approve(update)
    seen = (await here.http.get(f"/api/v1/updates/{update.id}")).json()
    bound = update.binding.digest()
    assert [(e["event"], e["surface"], e["binding"]) for e in seen["audit"]] == [
        ("ApproveDeclined", "http", digest("stale")),
        ("Voted", "http", bound),
        ("Approved", "http", bound),
    ]
    assert [v["surface"] for v in seen["approval"]["votes"]] == ["http"]


async def test_two_tokens_of_one_person_are_one_vote(tmp_path: Path) -> None:
    both = PersonSettings(name="ann", identities=("token:ann", "token:bob"))
    async with site(tmp_path, people=(both,)) as here:
        update = await here.put(an_update(state=S.AWAITING_APPROVAL, policy=a_policy(quorum=2)))
        (vote,) = (await here.approve(update)).json()["update"]["approval"]["votes"]
        assert vote["person"] == "ann"
        assert "counts once" in (await here.approve(update, BOB)).json()["sentence"]
        assert (await here.now(update)).state is S.AWAITING_APPROVAL


async def test_a_declined_request_about_a_pool_is_audited_and_counted(here: Site) -> None:
    running = await here.put(an_update(state=S.ROLLING_OUT))
    for what in ("rebuild", "stock"):
        assert (await here.post(f"pools/prod/infra/{what}")).status_code == 409
    entries = await here.audit()
    assert [(e.event, e.by, e.cluster, e.pool, e.surface) for e in entries] == [
        ("RebuildDeclined", "token:ann", "prod", "infra", "http"),
        ("StockDeclined", "token:ann", "prod", "infra", "http"),
    ]
    assert all(entry.detail for entry in entries)
    assert told(here) == 2
    assert await here.now(running) == running


async def test_asking_for_the_stock_image_is_a_vote_over_http(here: Site) -> None:
    asked = (await here.post("pools/prod/infra/stock")).json()["update"]
    assert [v["surface"] for v in asked["approval"]["votes"]] == ["http"]


# --- snoozing ------------------------------------------------------------------------------------


async def test_a_snoozed_update_is_shown_with_who_and_until_when(tmp_path: Path) -> None:
    async with site(tmp_path, time_zone="Europe/Berlin") as here:
        update = await here.put()
        answer = await here.decide("snooze", update, until="tomorrow 14:00")
        assert answer.status_code == 200
        assert answer.json()["sentence"] == "u-1 is put off until 2026-11-19 13:00 UTC"
        (row,) = (await here.http.get("/api/v1/status")).json()["active"]
        assert row["snoozed_until"] == "2026-11-19T13:00:00+00:00"
        assert row["snoozed_by"] == "token:ann"
        assert await trail(here) == [("Snoozed", "token:ann", "http")]


async def test_until_the_next_window_is_that_of_the_update_s_pool(tmp_path: Path) -> None:
    async with site(tmp_path, policy=Policy(windows=(SATURDAY,))) as here:
        update = await here.put()
        answer = await here.decide("snooze", update, until="next-window")
        assert answer.json()["update"]["snoozed_until"] == "2026-11-21T01:00:00+00:00"


async def test_a_snooze_of_what_has_changed_since_is_declined(here: Site) -> None:
    update = await here.put()
    answer = await here.decide("snooze", update, until="2h", binding=str(digest("before")))
    assert answer.status_code == 409
    assert "changed since it was shown" in answer.json()["detail"]
    assert await here.now(update) == update
    assert await trail(here) == [("SnoozeDeclined", "token:ann", "http")]
    assert told(here) == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"until": "soon"}, "until: 'soon' is no moment"),
        ({"until": "2020-01-01"}, "is over already"),
        ({"until": ""}, "is no moment"),
        ({"until": "next-window"}, "no next window is known"),
        ({}, "missing required field `until`"),
        ({"until": "2h", "binding": "latest"}, "binding"),
        ({"until": "2h", "by": "token:bob"}, "unknown field"),
    ],
)
async def test_a_snooze_that_cannot_be_read_changes_nothing(
    here: Site, body: dict[str, object], sentence: str
) -> None:
    update = await here.put()
    answer = await here.decide("snooze", update, **body)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]
    assert await here.now(update) == update


# --- freezing ------------------------------------------------------------------------------------


async def test_a_freeze_of_a_cluster_comes_and_goes(here: Site) -> None:
    answer = await here.post("freezes", scope="prod", reason="audit week", until="3d")
    assert answer.status_code == 200
    sentence = "frozen by token:ann until 2026-11-21 08:00 UTC: audit week"
    assert answer.json()["sentence"] == f"prod is {sentence}"
    (row,) = (await here.http.get("/api/v1/status")).json()["freezes"]
    assert row == answer.json()["freeze"]
    assert (row["scope"], row["sentence"]) == ("prod", sentence)
    lifted = await lift(here, "prod", BOB)
    assert lifted.json()["sentence"] == "prod is no longer frozen, and may go on"
    assert await frozen(here) == []
    assert await trail(here) == [
        ("Frozen", "token:ann", "http"),
        ("Unfrozen", "token:bob", "http"),
    ]


async def test_lifting_one_freeze_leaves_the_wider_one_and_says_so(here: Site) -> None:
    await here.post("freezes", scope="", reason="all stop")
    await here.post("freezes", scope="prod", reason="audit")
    sentence = (await lift(here, "prod")).json()["sentence"]
    assert "prod is no longer frozen; everything is frozen by token:ann" in sentence
    assert await frozen(here) == [""]
    assert (await lift(here, "")).status_code == 200
    assert await frozen(here) == []


async def test_a_freeze_that_is_over_is_not_shown(here: Site) -> None:
    await here.post("freezes", scope="prod", reason="audit", until="2h")
    here.service.clock.advance(7199)
    assert await frozen(here) == ["prod"]
    here.service.clock.advance(1)
    assert await frozen(here) == []


async def test_a_pool_is_held_and_let_go_of(here: Site) -> None:
    answer = await here.post(HOLD, reason="disk swap")
    assert answer.json()["freeze"]["until"] is None
    assert await frozen(here) == ["prod/infra"]
    lifted = (await here.post(UNHOLD)).json()["sentence"]
    assert lifted == "prod/infra is no longer held, and may go on"
    assert await frozen(here) == []
    assert [e for e, _, _ in await trail(here)] == ["Held", "Unheld"]


async def test_lifting_what_is_not_there_is_declined_and_audited(here: Site) -> None:
    await here.post(HOLD)
    answer = await lift(here, "prod")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "prod is not frozen; in force: prod/infra"
    assert (await trail(here))[1:] == [("UnfreezeDeclined", "token:ann", "http")]
    assert told(here) == 1


async def test_who_may_not_decide_about_a_pool_may_not_stop_or_start_it(bobs: Site) -> None:
    for path, body in ((HOLD, {}), ("freezes", {"scope": "prod", "reason": "x"})):
        answer = await bobs.post(path, **body)
        assert answer.status_code == 409
        assert "token:ann is not an approver" in answer.json()["detail"]
    assert await frozen(bobs) == []
    assert (await bobs.post(HOLD, BOB)).status_code == 200
    assert (await bobs.post(UNHOLD)).status_code == 409
    assert (await bobs.post("freezes", BOB, scope="", reason="x")).status_code == 200
    assert (await lift(bobs, "")).status_code == 409
    assert await frozen(bobs) == ["", "prod/infra"]
    declined = [entry for entry in await trail(bobs) if entry[0].endswith("Declined")]
    assert [event for event, _, _ in declined] == [
        *("FreezeDeclined", "FreezeDeclined", "UnfreezeDeclined", "UnfreezeDeclined")
    ]
    assert {(by, surface) for _, by, surface in declined} == {("token:ann", "http")}
    assert told(bobs) == 4


@pytest.mark.parametrize("token", [None, "", "somebody-elses-long-token"])
async def test_without_a_known_token_nothing_is_stopped_or_started(
    here: Site, token: str | None
) -> None:
    await here.post("freezes", scope="prod", reason="audit")
    before = await here.audit()
    answers = [
        await here.post("freezes", token, scope="", reason="x"),
        await here.post(HOLD, token),
        await here.post(UNHOLD, token),
        await lift(here, "prod", token),
        await here.decide("snooze", await here.put(), token, until="2h"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert await frozen(here) == ["prod"]
    assert await here.audit() == before


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"reason": "x"}, 422, "missing required field `scope`"),
        ({"scope": "prod"}, 422, "missing required field `reason`"),
        ({"scope": "prod", "reason": " "}, 422, "say why"),
        ({"scope": "prod/infra", "reason": "x"}, 422, "a single pool is held"),
        ({"scope": "prdo", "reason": "x"}, 404, "no pool of such a cluster"),
        ({"scope": "prod", "reason": "x", "until": "soon"}, 422, "until: 'soon' is no moment"),
        ({"scope": "prod", "reason": "x", "until": "2020-01-01"}, 422, "over already"),
        ({"scope": "prod", "reason": "x", "until": "next-window"}, 422, "no next window"),
        ({"scope": "prod", "reason": "x", "by": "token:bob"}, 422, "unknown field"),
    ],
)
async def test_a_freeze_that_cannot_be_read_freezes_nothing(
    here: Site, body: dict[str, object], status: int, sentence: str
) -> None:
    answer = await here.post("freezes", **body)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    assert await frozen(here) == []


async def test_a_scope_that_got_lost_lifts_nothing(here: Site) -> None:
    await here.post("freezes", scope="", reason="all stop")
    assert (await lift(here, None)).status_code == 422
    assert (await lift(here, "prod/infra")).status_code == 422
    assert (await lift(here, "prdo")).status_code == 404
    assert await frozen(here) == [""]


@pytest.mark.parametrize("what", ["hold", "unhold", "windows"])
async def test_a_pool_that_is_not_configured_is_not_found(here: Site, what: str) -> None:
    path = f"/api/v1/pools/prod/nothing/{what}"
    method = "GET" if what == "windows" else "POST"
    answer = await here.http.request(method, path, headers=bearer(ANN))
    assert answer.status_code == 404


# --- reading -------------------------------------------------------------------------------------

READS = ("/api/v1/freezes", "/api/v1/pools/prod/infra/windows")


@pytest.mark.parametrize("path", READS)
async def test_reads_need_a_token_where_others_can_reach_us(tmp_path: Path, path: str) -> None:
    async with site(tmp_path, host="0.0.0.0") as here:
        assert (await here.http.get(path)).status_code == 401
        assert (await here.http.get(path, headers=bearer(ANN))).status_code == 200


async def test_the_windows_of_a_pool_say_why_not_now_and_when(tmp_path: Path) -> None:
    policy = Policy(windows=(SATURDAY,))
    async with site(tmp_path, policy=policy, time_zone="Europe/Berlin") as here:
        await here.post(HOLD, until="2026-12-01")
        row = (await here.http.get("/api/v1/pools/prod/infra/windows")).json()
        assert row["reasons"] == [
            "the next window opens 2026-11-21 01:00 UTC",
            "held by token:ann until 2026-12-01 08:00 UTC",
        ]
        assert (row["allowed"], row["opens_at"]) == (False, "2026-12-05T01:00:00+00:00")
        assert row["openings"][0]["local_start"] == "2026-11-21T02:00:00+01:00"


async def test_the_status_says_in_which_mode_a_pool_is(tmp_path: Path) -> None:
    async with site(tmp_path, mode=Mode.NOTIFY, modes={"patch": "auto"}) as here:
        (pool,) = (await here.http.get("/api/v1/status")).json()["pools"]
        assert (pool["mode"], pool["modes"]) == ("notify", {"patch": "auto"})


async def test_an_update_is_shown_with_all_that_people_decide_by(here: Site) -> None:
    rules = ApprovalRules(quorum=1, two_person=True)
    update = an_update(
        state=S.AWAITING_APPROVAL,
        policy=Policy(approval=rules),
        change="minor",
        authors=("token:ann",),
        times=(("awaiting-approval", T0),),
        background=Background(nodes=6, estimate_seconds=900, from_release="4.16.1"),
    )
    update = await here.put(replace(update, votes=(a_vote(update, "token:ann"),)))
    row = (await here.http.get(f"/api/v1/updates/{update.id}")).json()
    assert (row["change"], row["authors"]) == ("minor", ["token:ann"])
    assert row["times"] == [{"state": "awaiting-approval", "at": T0.isoformat()}]
    assert (row["background"]["nodes"], row["background"]["estimate_seconds"]) == (6, 900)
    # Ann's vote reaches the quorum, but she wrote the recipe.
    assert (row["approval"]["two_person"], row["approval"]["missing"]) == (True, 1)


async def test_a_scheduled_update_is_shown_with_its_moment_in_utc(here: Site) -> None:
    update = await here.put(an_update(state=S.SCHEDULED))
    at = "2026-11-21T02:00:00+01:00"
    await here.service.store.set_progress(update.id, {"scheduled_for": at})
    for path, name in (("status", "active"), ("updates", "updates")):
        (row,) = (await here.http.get(f"/api/v1/{path}")).json()[name]
        assert row["scheduled_for"] == "2026-11-21T01:00:00+00:00"
    begun = an_update(id="u-2", pool="other", state=S.APPLYING)
    await here.put(begun)
    await here.service.store.set_progress(begun.id, {"scheduled_for": at})
    row = (await here.http.get("/api/v1/updates/u-2")).json()
    assert row["scheduled_for"] is None


async def test_a_hold_is_in_the_way_of_what_is_planned(here: Site) -> None:
    await here.post(HOLD, reason="disk swap", until="2h")
    plan = await here.service.planner.plan(PROD, here.service.settings.pools[0].pool)
    assert any("held by token:ann" in sentence for sentence in plan.unmet)
    here.service.clock.advance(7200)
    plan = await here.service.planner.plan(PROD, here.service.settings.pools[0].pool)
    assert not any("held by" in sentence for sentence in plan.unmet)

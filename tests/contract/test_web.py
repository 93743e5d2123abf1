"""HTTP: who may see what, what a decision must carry, and what every answer has."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.site import ANN, BOB, Site, bearer, site
from tests.facts import PROD, a_build, a_policy, an_update, digest, image, seconds
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.ports import Change, Clock, Refused, Transient
from watcher.settings import TokenSettings, WebSettings
from watcher.web.access import Access

S = UpdateState


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


# --- decisions -----------------------------------------------------------------------------------


async def test_an_approval_with_the_shown_binding_schedules_the_update(here: Site) -> None:
    update = await here.put()
    answer = await here.approve(update)
    assert answer.status_code == 200
    assert answer.json()["sentence"] == "u-1 is approved by token:ann"
    assert answer.json()["update"]["approval"]["by"] == ["token:ann"]
    assert (await here.now(update)).state is S.SCHEDULED


async def test_a_rejection_keeps_its_reason(here: Site) -> None:
    update = await here.put()
    answer = await here.decide("reject", update, reason="not this week")
    assert answer.status_code == 200
    assert (await here.now(update)).ended_because == "rejected by token:ann: not this week"


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (None, "send a token"),
        ("somebody-elses-long-token", "not known"),
        ("", "send a token"),
        (ANN[:-1], "not known"),
        (f"{ANN} {BOB}", "not known"),
    ],
    ids=["none", "forged", "empty", "cut", "two"],
)
async def test_a_decision_without_a_known_token_changes_nothing(
    here: Site, token: str | None, sentence: str
) -> None:
    update = await here.put()
    for what in ("approve", "reject"):
        answer = await here.decide(what, update, token)
        assert answer.status_code == 401
        assert sentence in answer.json()["detail"]
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert await here.now(update) == update
    assert await here.audit() == []


async def test_a_stale_decision_is_declined_and_changes_nothing(here: Site) -> None:
    update = await here.put()
    shown_before = replace(update, image=image("older"))
    answer = await here.decide("approve", update, binding=str(shown_before.binding.digest()))
    assert answer.status_code == 409
    assert "changed since it was shown" in answer.json()["detail"]
    assert await here.now(update) == update
    assert [e.event for e in await here.audit()] == ["ApproveDeclined"]


async def test_a_late_decision_is_declined_and_changes_nothing(here: Site) -> None:
    update = await here.put()
    here.service.clock.advance(25 * 3600)
    answer = await here.approve(update)
    assert answer.status_code == 409
    assert "time to decide ended" in answer.json()["detail"]
    assert await here.now(update) == update


async def test_a_repeated_vote_counts_once(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        update = await here.put(an_update(state=S.AWAITING_APPROVAL, policy=a_policy(quorum=2)))
        assert "1 more" in (await here.approve(update)).json()["sentence"]
        again = await here.approve(update)
        assert "counts once" in again.json()["sentence"]
        assert len((await here.now(update)).votes) == 1
        assert "approved by" in (await here.approve(update, BOB)).json()["sentence"]


async def test_a_decision_after_the_end_is_declined(here: Site) -> None:
    update = await here.put()
    await here.decide("reject", update, BOB)
    answer = await here.approve(update)
    assert answer.status_code == 409
    assert "rejected already" in answer.json()["detail"]


async def test_somebody_who_is_no_approver_is_declined(here: Site) -> None:
    policy = a_policy(approvers=("token:bob",))
    update = await here.put(an_update(state=S.AWAITING_APPROVAL, policy=policy))
    answer = await here.approve(update)
    assert answer.status_code == 409
    assert "token:ann is not an approver" in answer.json()["detail"]
    assert await here.now(update) == update


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 422),
        (b'{"binding": "latest"}', 422),
        (b'{"binding": 1}', 422),
        (b'{"binding": "%s", "by": "token:bob"}' % digest("x").encode(), 422),
        (b"not json", 422),
        (b"\xff\xfe", 422),
        (b"[" * 5000, 422),
        (b'{"binding": "' + b"x" * 20_000 + b'"}', 413),
    ],
    ids=["none", "tag", "type", "unknown", "text", "bytes", "nested", "large"],
)
async def test_a_malformed_decision_is_refused(here: Site, body: bytes, status: int) -> None:
    update = await here.put()
    path = f"/api/v1/updates/{update.id}/approve"
    headers = {**bearer(ANN), "Content-Type": "application/json"}
    answer = await here.http.post(path, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await here.now(update) == update


async def test_a_form_of_another_site_is_no_decision(here: Site) -> None:
    update = await here.put()
    path = f"/api/v1/updates/{update.id}/approve"
    answer = await here.http.post(path, data={"binding": "x"}, headers=bearer(ANN))
    assert answer.status_code == 415
    assert await here.now(update) == update


@pytest.mark.parametrize("name", ["u-nothing", "b-1", "../../etc/passwd", "u-%00", "x" * 500])
async def test_a_decision_about_nothing_is_not_found(here: Site, name: str) -> None:
    await here.service.store.commit([Change(job=a_build(), expected=0)], [])
    body = {"binding": str(digest("x"))}
    answer = await here.http.post(f"/api/v1/updates/{name}/approve", json=body, headers=bearer(ANN))
    assert answer.status_code == 404


# --- asking --------------------------------------------------------------------------------------


async def test_a_rebuild_is_asked_for_by_name(here: Site) -> None:
    answer = await here.http.post("/api/v1/pools/prod/infra/rebuild", headers=bearer(ANN))
    assert answer.status_code == 202
    assert answer.json()["update"]["requested_by"] == "token:ann"


async def test_the_stock_image_is_asked_for_by_name(here: Site) -> None:
    answer = await here.http.post("/api/v1/pools/prod/infra/stock", json={}, headers=bearer(ANN))
    assert answer.status_code == 202
    assert answer.json()["update"]["kind"] == "stock"


async def test_asking_for_an_unknown_pool_is_not_found(here: Site) -> None:
    answer = await here.http.post("/api/v1/pools/prod/nothing/rebuild", headers=bearer(ANN))
    assert answer.status_code == 404


async def test_asking_without_a_token_changes_nothing(here: Site) -> None:
    for what in ("rebuild", "stock"):
        answer = await here.http.post(f"/api/v1/pools/prod/infra/{what}", json={})
        assert answer.status_code == 401
    assert await here.audit() == []


async def test_a_declined_request_says_why(here: Site) -> None:
    first = (await here.http.post("/api/v1/pools/prod/infra/stock", headers=bearer(ANN))).json()
    job = (await here.service.store.get(first["update"]["id"])).job
    version = (await here.service.store.get(job.id)).version
    assert isinstance(job, Update)
    begun = replace(job, state=S.ROLLING_OUT)
    await here.service.store.commit([Change(job=begun, expected=version)], [])
    answer = await here.http.post("/api/v1/pools/prod/infra/rebuild", headers=bearer(ANN))
    assert answer.status_code == 409
    assert "wait for its end" in answer.json()["detail"]


# --- reading -------------------------------------------------------------------------------------

READS = ("/api/v1/status", "/api/v1/updates", "/api/v1/updates/u-1")


@pytest.mark.parametrize("path", READS)
async def test_reads_are_open_on_loopback(here: Site, path: str) -> None:
    await here.put()
    assert (await here.http.get(path)).status_code == 200


@pytest.mark.parametrize("path", READS)
async def test_a_wrong_token_is_told_even_where_reads_are_open(here: Site, path: str) -> None:
    assert (await here.http.get(path, headers=bearer("wrong-wrong-wrong"))).status_code == 401


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "no-tokens"])
@pytest.mark.parametrize("path", READS)
async def test_reads_need_a_token_where_others_can_reach_us(
    tmp_path: Path, path: str, tokens: bool
) -> None:
    async with site(tmp_path, host="0.0.0.0", tokens=tokens) as here:
        await here.put()
        assert (await here.http.get(path)).status_code == 401
        assert (await here.http.get(path, headers=bearer(ANN))).status_code == (
            200 if tokens else 401
        )


async def test_another_name_for_loopback_is_refused(here: Site) -> None:
    answer = await here.http.get("/api/v1/status", headers={"Host": "evil.example.com:8080"})
    assert answer.status_code == 421
    assert (await here.http.get("/api/v1/status", headers={"Host": "localhost"})).status_code == 200


async def test_an_update_is_shown_with_progress_log_audit_and_binding(here: Site) -> None:
    update = await here.put()
    store = here.service.store
    await store.commit([Change(job=a_build(id=update.build), expected=0)], [])
    await store.add_log(update.build, ["STEP 1/2: FROM base"])
    await store.set_progress(update.id, {"waiting": "1 more approval(s) needed"})
    await here.decide("approve", update, binding=str(digest("stale")))
    seen = (await here.http.get(f"/api/v1/updates/{update.id}")).json()
    assert seen["binding"] == update.binding.digest()
    assert seen["progress"]["waiting"] == "1 more approval(s) needed"
    assert seen["log"] == ["STEP 1/2: FROM base"]
    assert seen["audit"][0]["event"] == "ApproveDeclined"
    assert seen["build_record"]["state"] == "queued"


async def test_the_status_shows_pools_before_their_first_look(here: Site) -> None:
    (pool,) = (await here.http.get("/api/v1/status")).json()["pools"]
    assert (pool["pool"], pool["decision"], pool["at"]) == ("infra", "", None)
    await here.service.planner.pass_over(PROD, here.service.settings.pools[0].pool)
    seen = (await here.http.get("/api/v1/status")).json()
    assert seen["pools"][0]["decision"] == "Rebuild"
    assert [u["state"] for u in seen["active"]] == ["waiting-for-build"]


# --- tokens --------------------------------------------------------------------------------------


async def test_a_rotated_token_is_read_again(here: Site) -> None:
    said = here.service.settings.web.tokens[0].token_file
    assert said is not None
    said.write_text("a-new-and-longer-token-of-ann\n")
    update = await here.put()
    assert (await here.approve(update, ANN)).status_code == 401
    assert (await here.approve(update, "a-new-and-longer-token-of-ann")).status_code == 200


async def test_a_token_file_that_vanished_lets_nobody_in(here: Site) -> None:
    said = here.service.settings.web.tokens[0].token_file
    assert said is not None
    said.unlink()
    update = await here.put()
    assert (await here.approve(update, ANN)).status_code == 401
    assert (await here.approve(update, "")).status_code == 401
    assert (await here.approve(update, BOB)).status_code == 200


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("short", "at least 16"),
        ("", "at least 16"),
        ("ä" * 20, "printable"),
    ],
    ids=["missing", "short", "empty", "not-ascii"],
)
def test_a_token_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    web = WebSettings(tokens=(TokenSettings(name="ann", token_file=tmp_path / "token"),))
    with pytest.raises(Refused, match=sentence):
        Access(web)


def test_two_names_for_one_token_stop_the_start() -> None:
    web = WebSettings(
        tokens=(TokenSettings(name="a", token_env="A"), TokenSettings(name="b", token_env="B"))
    )
    with pytest.raises(Refused, match="same token"):
        Access(web, {"A": ANN, "B": ANN})
    Access(web, {"A": ANN, "B": BOB})


# --- probes and figures --------------------------------------------------------------------------


async def test_alive_and_ready(here: Site) -> None:
    assert (await here.http.get("/healthz")).json()["status"] == "alive"
    answer = await here.http.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)


@pytest.mark.parametrize("minutes", [-11, 2], ids=["long ago", "by a clock that was put back"])
async def test_not_ready_while_a_cluster_was_not_seen_lately_and_why(
    here: Site, minutes: int
) -> None:
    cluster = here.service.clusters[PROD]
    cluster.observed_at = here.service.clock.now() + timedelta(minutes=minutes)
    answer = await here.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["cluster prod: not read yet"]
    cluster.problems = ("prod: the API server does not answer",)
    assert (await here.http.get("/readyz")).json()["reasons"] == [*cluster.problems]


async def test_a_problem_that_holds_nothing_up_is_shown_by_a_ready_service(here: Site) -> None:
    here.service.clusters[PROD].problems = ("prod: OSImageStream is forbidden",)
    answer = await here.http.get("/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (
        200,
        ["prod: OSImageStream is forbidden"],
    )


async def test_probes_and_figures_need_no_token(tmp_path: Path) -> None:
    async with site(tmp_path, host="0.0.0.0") as here:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await here.http.get(path)).status_code == 200


async def test_the_figures_say_how_things_stand(here: Site) -> None:
    update = await here.put()
    await here.service.planner.pass_over(PROD, here.service.settings.pools[0].pool)
    await here.approve(update, binding=str(digest("stale")))
    here.metrics.stepped(update)
    here.metrics.observe_step(update, 2.0)
    here.metrics.retried(update)
    here.metrics.leading(True)
    here.service.clusters[PROD].observed_at = here.service.clock.now() - seconds(42)
    text = (await here.http.get("/metrics")).text
    for line in (
        'relayer_jobs{kind="update",state="waiting-for-build"} 1.0',
        'relayer_jobs{kind="update",state="applying"} 0.0',
        'relayer_pool_decision{cluster="prod",pool="infra",decision="Rebuild"} 1.0',
        'relayer_pool_decision{cluster="prod",pool="infra",decision="Hold"} 0.0',
        'relayer_watch_age_seconds{cluster="prod",kind="MachineConfigPool"} 42.0',
        'relayer_transitions_total{kind="update",state="awaiting-approval"} 1.0',
        'relayer_retries_total{kind="update",state="awaiting-approval"} 1.0',
        'relayer_step_duration_seconds_sum{kind="update",state="awaiting-approval"} 2.0',
        'relayer_decisions_declined_total{surface="http"} 1.0',
        "relayer_dead_letters 0.0",
        "relayer_leader 1.0",
    ):
        assert line in text
    assert 'relayer_update_state_timestamp_seconds{cluster="prod",pool="infra",state=' in text
    assert "python_info" not in text


# --- every answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/static/page.js", "/healthz", "/nothing", "/static/..%2fapp.py"]
)
async def test_every_answer_has_the_security_headers(here: Site, path: str) -> None:
    answer = await here.http.get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_the_page_has_no_inline_script_and_asks_nobody_else(here: Site) -> None:
    page = (await here.http.get("/")).text
    files = [(await here.http.get(f"/static/{name}")).text for name in ("page.js", "page.css")]
    assert page.count("<script") == page.count('<script src="/static/') == 1
    for text in (page, *files):
        assert "style=" not in text
        assert "://" not in text
        assert "innerHTML" not in text
        assert "onclick" not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("DELETE", "/api/v1/status", 405), ("GET", "/static/x", 404)],
)
async def test_errors_are_problems(here: Site, method: str, path: str, status: int) -> None:
    answer = await here.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


class BrokenStore(MemoryStore):
    """Fails at every ping, by a bug or because it is away."""

    def __init__(self, clock: Clock, error: Exception) -> None:
        super().__init__(clock)
        self.error = error

    async def ping(self) -> None:
        raise self.error


async def test_a_fault_of_ours_tells_nothing_of_itself(here: Site) -> None:
    here.service.store = BrokenStore(here.service.clock, RuntimeError("secret detail"))
    answer = await here.http.get("/readyz")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text


async def test_not_ready_while_the_store_is_away_and_why(here: Site) -> None:
    here.service.store = BrokenStore(here.service.clock, Transient("no answer from redis"))
    answer = await here.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["the store: no answer from redis"]

"""The fleet and pool pages as the server makes them: what is on them, for whom, and how often."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.pages_site import PagesSite, pages_site, settings_of
from tests.contract.site import ANN, bearer
from tests.facts import PROD, T0
from watcher.core.state import State
from watcher.settings import Settings
from watcher.web.live import Live
from watcher.web.pages.desk import OF_NOW_SECONDS, Fragments

HTML = {"accept": "text/html"}
BARE = {"relayer-fragment": "1"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[PagesSite]:
    async with pages_site(tmp_path) as made:
        yield made


async def fleet(here: PagesSite, **query: str) -> str:
    answer = await here.http.get("/", params=query, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


def rows(page: str) -> list[str]:
    """`cluster/pool` of each row, in their order."""
    return re.findall(r'<tr data-key="([^"]+)"', page)


def row(page: str, place: str) -> str:
    """The text of one row."""
    found = re.search(rf'<tr data-key="{place}".*?</tr>', page, re.DOTALL)
    assert found, place
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


def tiles(page: str) -> dict[str, int]:
    found = re.findall(r'data-key="tile (\w+)".*?<b[^>]*>(\d+)</b>', page)
    return {group: int(number) for group, number in found}


# --- the fleet ------------------------------------------------------------------------------------


async def test_every_pool_of_every_cluster_is_there_once(here: PagesSite) -> None:
    page = await fleet(here)
    seen = here.service.surveys.surveyed()
    known = {f"{one.cluster}/{f.pool}" for one in seen for f in one.findings}
    assert sorted(rows(page)) == sorted(known | {"new-dc/infra"})
    assert {f.state for one in seen for f in one.findings} == set(State), "the fleet has them all"


async def test_tiles_add_up_and_each_leads_to_its_own(here: PagesSite) -> None:
    page = await fleet(here)
    assert sum(tiles(page).values()) == len(rows(page))
    for group, number in tiles(page).items():
        assert len(rows(await fleet(here, group=group))) == number, group


async def test_a_row_says_state_reason_lag_blocks_flags_nodes_and_what_is_under_way(
    here: PagesSite,
) -> None:
    page = await fleet(here)
    storage = row(page, "prod/storage")
    for part in ("blocked", "stuck: undoing failed", "degraded", "blocks next minor"):
        assert part in storage
    assert "1 minor, 3 releases, 41 d" in storage
    assert "2/6 1 degraded" in storage
    assert "rolling out 7 of 12 nodes" in row(page, "edge-oslo/worker")
    assert "awaiting approval 1 approval of token:ann, token:bob" in row(page, "prod/infra")
    assert "scheduled begins" in row(page, "edge-oslo/realtime")
    assert "building: step 3 of 4" in row(page, "staging/first")


async def test_urgent_ones_come_first_and_it_can_be_sorted_otherwise(here: PagesSite) -> None:
    assert rows(await fleet(here))[0] == "prod/storage"
    assert rows(await fleet(here))[-1].startswith("staging/")
    named = rows(await fleet(here, sort="name"))
    assert named == sorted(named)
    assert rows(await fleet(here, sort="lag"))[:2] == ["prod/storage", "edge-oslo/camera"]
    assert rows(await fleet(here, sort="nonsense")) == rows(await fleet(here))


async def test_filters_are_in_the_address_and_go_together(here: PagesSite) -> None:
    assert rows(await fleet(here, cluster="lab")) == ["lab/infra", "lab/worker"]
    assert rows(await fleet(here, state="behind", cluster="prod")) == [
        "prod/gpu-a100",
        "prod/infra",
    ]
    assert rows(await fleet(here, text="TAG telco")) == ["prod/telco"]
    page = await fleet(here, text="there is no such pool")
    assert rows(page) == []
    assert "No pool fits" in page


async def test_a_cluster_out_of_sight_says_since_when_and_why(here: PagesSite) -> None:
    page = await fleet(here)
    assert tiles(page)["unseen"] == 3
    assert re.search(r"lab</strong> is out of sight; last seen <time[^>]+>47 min ago", page)
    assert "the API server does not answer" in page
    assert "new-dc</strong> was not read yet" in page


async def test_nothing_configured_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(web=settings_of(tmp_path, "127.0.0.1").web)
    async with pages_site(tmp_path, found=[], settings=settings, story=False) as empty:
        page = await fleet(empty)
    assert "No cluster is configured" in page
    assert "relayer.yaml" in page


async def test_nothing_read_yet_is_told_from_nothing_there(tmp_path: Path) -> None:
    settings = replace(settings_of(tmp_path, "127.0.0.1"), pools=())
    async with pages_site(tmp_path, found=[], settings=settings, story=False) as early:
        assert "No pools yet" in await fleet(early)


async def test_what_clusters_say_is_text_and_never_markup(here: PagesSite) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    await here.service.played.put_pool(PROD, "infra", sentence=bad)
    for path in ("/", "/pools/prod/infra", f"/?text={bad}", f"/?group={bad}&sort={bad}"):
        page = (await here.http.get(path, headers=HTML)).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


# --- one pool -------------------------------------------------------------------------------------


async def test_a_pool_has_what_runs_why_and_what_was(here: PagesSite) -> None:
    answer = await here.http.get("/pools/prod/storage", headers=HTML)
    text = " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())
    for part in (
        "storage in prod",
        "99-storage-relayer-osimage by relayer",
        "said by our labels",
        "node prod-storage-2 failed to drain",
        "next minor its kubelets would be two minors behind",
        "the last update is stuck; ask for a rebuild",
        "Windows ahead",
        "failed to drain: a pod does not end",
        "undoing failed: the pool is paused by somebody",
        "4.18.23 is completed",
    ):
        assert part in text, part


async def test_a_pool_that_is_not_ours_is_only_watched(here: PagesSite) -> None:
    answer = await here.http.get("/pools/prod/legacy-fips", headers=HTML | bearer(ANN))
    assert answer.status_code == 200
    assert "it is only watched" in answer.text
    assert "data-post" not in answer.text


async def test_a_pool_that_nobody_has_seen_is_told_of(here: PagesSite) -> None:
    answer = await here.http.get("/pools/new-dc/infra", headers=HTML)
    assert "nobody has seen it yet" in answer.text


async def test_a_pool_that_is_not_there_is_an_error_in_words(here: PagesSite) -> None:
    answer = await here.http.get("/pools/prod/nope", headers=HTML)
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert "no pool prod/nope is configured" in answer.text
    program = await here.http.get("/pools/prod/nope")
    assert program.headers["content-type"] == "application/problem+json"


async def test_a_form_never_puts_what_is_typed_into_an_address(here: PagesSite) -> None:
    for path in ("/login", "/pools/prod/infra", "/pools/edge-oslo/realtime"):
        page = (await here.http.get(path, headers=HTML | bearer(ANN))).text
        forms = re.findall(r"<form[^>]*>", page)
        assert forms, path
        assert all('method="post"' in form for form in forms), path


async def test_buttons_are_for_those_who_may(here: PagesSite) -> None:
    seen = (await here.http.get("/pools/prod/infra", headers=HTML)).text
    assert "data-post" not in seen
    may = (await here.http.get("/pools/prod/infra", headers=HTML | bearer(ANN))).text
    for what in ("rebuild", "hold", "stock"):
        assert f'data-post="/api/v1/pools/prod/infra/{what}"' in may
    assert "/approve" in may
    held = (await here.http.get("/pools/edge-oslo/realtime", headers=HTML | bearer(ANN))).text
    assert "/realtime/unhold" in held


async def test_an_address_is_never_markup(here: PagesSite) -> None:
    answer = await here.http.get("/pools/prod/%3Cb%3E", headers=HTML)
    assert answer.status_code == 404
    assert "<b>" not in answer.text.partition("<main")[2]


# --- who sees it, and how often it is made --------------------------------------------------------


async def test_without_a_token_from_elsewhere_a_person_is_asked_for_one(tmp_path: Path) -> None:
    async with pages_site(tmp_path, host="192.0.2.7") as there:
        answer = await there.http.get("/", headers=HTML)
        assert answer.status_code == 401
        assert "prod" not in answer.text
        assert 'id="token-form"' in answer.text or "/login" in answer.text
        bare = await there.http.get("/", headers=BARE)
        assert bare.status_code == 401
        async with asyncio.timeout(5):
            assert (await there.http.get("/events")).status_code == 401
        assert (await there.http.get("/", headers=BARE | bearer(ANN))).status_code == 200


def fragments_of(here: PagesSite) -> Fragments:
    route = next(r for r in here.app.routes if getattr(r, "path", "") == "/")
    made: Fragments = route.endpoint.__self__.fragments
    return made


async def test_many_who_look_cost_one_render_for_each_change(here: PagesSite) -> None:
    made = fragments_of(here)
    for change in range(3):
        await here.service.played.put_pool(PROD, "infra", sentence=f"changed {change}")
        answers = await asyncio.gather(*(here.http.get("/", headers=BARE) for _ in range(50)))
        assert all(f"changed {change}" in answer.text for answer in answers)
        assert made.made == change + 1


async def test_the_page_and_its_fragment_are_the_same(here: PagesSite) -> None:
    bare = (await here.http.get("/", headers=BARE)).text
    assert "<html" not in bare
    assert bare in await fleet(here)


async def test_fragments_are_not_shared_between_roles_and_hold_nobodys_name(
    here: PagesSite,
) -> None:
    path = "/pools/prod/worker"
    mine = await here.http.get(path, headers=BARE | bearer(ANN))
    assert mine.headers["relayer-caller"] == "token:ann"
    other = await here.http.get(path, headers=BARE)
    assert "data-post" in mine.text
    assert "data-post" not in other.text
    assert other.headers["relayer-caller"] == ""


async def test_what_has_not_changed_is_not_sent_again(here: PagesSite) -> None:
    first = await here.http.get("/", headers=BARE)
    headers = BARE | {"if-none-match": first.headers["etag"]}
    assert (await here.http.get("/", headers=headers)).status_code == 304
    await here.service.store.put_view("pool:staging/x", {"because": "shown nowhere"})
    assert (await here.http.get("/", headers=headers)).status_code == 304
    await here.service.played.put_pool(PROD, "infra", sentence="another")
    assert (await here.http.get("/", headers=headers)).status_code == 200


async def test_only_fragments_are_compressed(here: PagesSite) -> None:
    packed = {"accept-encoding": "gzip"}
    whole = await here.http.get("/", headers=HTML | packed)
    assert "content-encoding" not in whole.headers, "it holds what is secret to one person"
    async with here.http.stream("GET", "/", headers=BARE | packed) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert gzip.decompress(raw).decode() in whole.text


async def test_ages_are_made_again_though_nothing_changed(here: PagesSite) -> None:
    assert "47 min ago" in await fleet(here)
    here.service.clock.advance(OF_NOW_SECONDS * 4)
    assert "49 min ago" in await fleet(here)


async def test_fragments_are_bounded() -> None:
    from watcher.web.pages.desk import Fragment

    async def make() -> Fragment:
        return Fragment("x" * 100, "", "")

    by_number, by_size = Fragments(most=3), Fragments(most_bytes=250)
    for kept in (by_number, by_size):
        for key in range(10):
            await kept.get(key, make)
    assert len(by_number._slots) == 3
    assert len(by_size._slots) == 2


async def test_a_fragment_that_fails_is_tried_again_and_takes_no_room() -> None:
    from watcher.web.pages.desk import Fragment

    async def fail() -> Fragment:
        raise RuntimeError("once")

    async def make() -> Fragment:
        return Fragment("good", "", "")

    kept = Fragments(most=3)
    for key in range(10):
        with pytest.raises(RuntimeError):
            await kept.get(key, fail)
    assert len(kept._slots) <= 3
    assert (await kept.get(9, make)).html == "good"


async def test_an_endless_query_is_refused(here: PagesSite) -> None:
    assert (await here.http.get("/", params={"text": "x" * 600})).status_code == 414


# --- the stream -----------------------------------------------------------------------------------


async def test_too_many_open_pages_are_told_to_ask_now_and_then(here: PagesSite) -> None:
    live: Live = here.app.state.live
    live.most_open = 1
    seat = live.seat()
    async with asyncio.timeout(5):
        answer = await here.http.get("/events")
    assert answer.status_code == 503
    assert "too many pages are open" in answer.json()["detail"]
    assert seat is not None


async def test_the_theme_is_remembered_by_a_cookie_and_nothing_else_of_it(here: PagesSite) -> None:
    dark = await here.http.get("/", headers=HTML | {"cookie": "relayer-theme=dark"})
    assert '<html lang="en" data-theme="dark">' in dark.text
    bad = await here.http.get("/", headers=HTML | {"cookie": 'relayer-theme="><b>'})
    assert '<html lang="en">' in bad.text


async def test_pages_speak_of_now() -> None:
    from watcher.web.pages.rendering import ago, moment, span

    assert [span(s) for s in (5, 61, 5399, 5400, 130000, -7200, -5)] == [
        *("just now", "1 min ago", "90 min ago", "2 h ago", "2 d ago", "in 2 h", "in a moment"),
    ]
    assert ago(None, T0) == "never"
    assert "2026-11-18 08:00 UTC" in moment(T0)

"""The API's bounds: on time, on how much at once, on how long an answer may get."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import Response

from tests.contract.site import Site, site
from tests.contract.test_api import trail
from tests.facts import T0
from tests.fakes import FixedClock
from tests.virtual_time import virtually
from watcher.ports import AuditEntry
from watcher.web.api import audit, operation, pools
from watcher.web.api.audit import Audit, ExportQuery
from watcher.web.api.operation import Asked
from watcher.web.api.pace import MOST_CALLERS, Pace
from watcher.web.api.pools import Looks
from watcher.web.callers import Caller
from watcher.web.problems import Problem


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


def asked(query: Any = None) -> Asked:
    return Asked(request=SimpleNamespace(), caller=Caller(), query=query, body=None)  # type: ignore[arg-type]


# --- looks ---------------------------------------------------------------------------------------


def slow_looks() -> Looks:
    """Looks that never end by themselves."""

    async def plan(*place: str) -> Any:
        await asyncio.sleep(1e9)

    def place(request: object) -> Any:
        return SimpleNamespace(cluster="prod", pool="infra")

    planner = SimpleNamespace(plan=plan)
    return Looks(SimpleNamespace(place=place, service=SimpleNamespace(planner=planner)))  # type: ignore[arg-type]


def test_a_look_that_takes_too_long_is_given_up() -> None:
    looks = slow_looks()

    async def look() -> float:
        with pytest.raises(Problem, match="its registries are slow") as raised:
            await looks.plan(asked())
        assert raised.value.status == 503
        return asyncio.get_running_loop().time()

    assert virtually(look()) == pools.PLAN_SECONDS
    assert looks.under_way == 0


def test_only_so_many_looks_are_made_at_once() -> None:
    looks = slow_looks()

    async def look() -> list[str]:
        some = [looks.plan(asked()) for _ in range(pools.MOST_PLANS + 1)]
        return [str(one) for one in await asyncio.gather(*some, return_exceptions=True)]

    answers = virtually(look())
    assert sum("are being looked at" in one for one in answers) == 1
    assert sum("did not end" in one for one in answers) == pools.MOST_PLANS


def test_an_act_that_takes_too_long_is_given_up() -> None:
    async def act(asked: Asked) -> Response:
        await asyncio.sleep(1e9)
        return Response()

    async def ask() -> float:
        with pytest.raises(Problem, match="ask again later") as raised:
            await operation._in_time(act(asked()))
        assert (raised.value.status, raised.value.headers) == (503, {"Retry-After": "30"})
        return asyncio.get_running_loop().time()

    assert virtually(ask()) == operation.ACT_SECONDS


# --- pace ----------------------------------------------------------------------------------------


def test_a_pace_forgets_who_has_not_asked_for_longest() -> None:
    clock = FixedClock()
    pace = Pace(clock=clock, seconds=10, burst=1)
    pace.check("first")
    with pytest.raises(Problem):
        pace.check("first")
    for number in range(MOST_CALLERS):
        pace.check(f"token:{number}")
    assert len(pace._free_at) == MOST_CALLERS
    pace.check("first")


def test_a_pace_gives_a_burst_again_after_a_while() -> None:
    clock = FixedClock()
    pace = Pace(clock=clock, seconds=10, burst=3)
    for _ in range(2):
        for _ in range(3):
            pace.check("ann")
        with pytest.raises(Problem) as raised:
            pace.check("ann")
        assert raised.value.headers == {"Retry-After": "10"}
        clock.advance(3600)


# --- exports -------------------------------------------------------------------------------------


def part(here: Site, **said: Any) -> Audit:
    api = here.app.state.api
    return Audit(
        service=here.service,
        settings=here.service.settings,
        access=api.access,
        metrics=here.metrics,
        **said,
    )


async def text_of(response: Any) -> str:
    return b"".join([chunk async for chunk in response.body_iterator]).decode()


@pytest.mark.parametrize("number", [3, 4, 9])
async def test_an_export_ends_somewhere_and_says_so(here: Site, number: int) -> None:
    await trail(here, number)
    exports, cut = part(here, most_exported=3), number > 3
    whole = json.loads(await text_of(await exports.export(asked(ExportQuery()))))
    assert (len(whole["audit"]), whole["cut"]) == (3, cut)
    text = await text_of(await exports.export(asked(ExportQuery(format="csv"))))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["event"] == "cut" for row in rows] == [False] * 3 + [True] * cut


async def test_only_so_many_exports_are_written_at_once(here: Site) -> None:
    exports = part(here)
    under_way = [await exports.export(asked(ExportQuery())) for _ in range(audit.MOST_EXPORTS)]
    with pytest.raises(Problem, match="exports are being written") as raised:
        await exports.export(asked(ExportQuery()))
    assert raised.value.status == 503
    under_way.pop()
    await exports.export(asked(ExportQuery()))


async def test_a_page_of_the_audit_looks_through_so_many_and_goes_on(here: Site) -> None:
    await trail(here, 2)
    other = AuditEntry(at=T0, job="", event="Looked", by="relayer", state="")
    for _ in range(audit.MOST_SCANNED):
        await here.service.store.audit_only(other)
    page = (await here.http.get("/api/v1/audit", params={"event": "Voted"})).json()
    assert page["audit"] == []
    said = {"event": "Voted", "cursor": page["next"]}
    page = (await here.http.get("/api/v1/audit", params=said)).json()
    assert [row["detail"] for row in page["audit"]] == ["line 1"]
    assert page["next"] is None

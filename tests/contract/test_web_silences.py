"""HTTP about silences: ordering, listing and lifting them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.site import ANN, BOB, Site, bearer, site
from tests.facts import a_policy
from watcher.alert_rules import RULES

RULE = RULES[0]
BODY: dict[str, Any] = {"scope": "prod", "rule": RULE, "reason": "disks", "until": "4h"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, policy=a_policy(approvers=("token:ann",))) as made:
        yield made


async def quiet(here: Site) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await here.http.get("/api/v1/silences")).json()["silences"]
    return rows


async def lift(here: Site, token: str | None = ANN, **named: str) -> httpx.Response:
    return await here.http.delete("/api/v1/silences", params=named, headers=bearer(token))


async def trail(here: Site) -> list[tuple[str, str, str]]:
    return [(entry.event, entry.by, entry.surface) for entry in await here.audit()]


def told(here: Site) -> float:
    """How many decisions were counted as declined."""
    found = here.metrics.registry.get_sample_value(
        "relayer_decisions_declined_total", {"surface": "http"}
    )
    return found or 0.0


async def test_a_silence_comes_is_listed_and_goes(here: Site) -> None:
    answer = await here.post("silences", **BODY)
    assert answer.status_code == 200
    row = answer.json()["silence"]
    assert await quiet(here) == [row]
    assert (row["scope"], row["rule"], row["by"]) == ("prod", RULE, "token:ann")
    assert row["until"] == "2026-11-18T12:00:00+00:00"
    answer = await lift(here, id=row["id"])
    assert answer.json() == {
        "sentence": f"{row['id']} is lifted, and what it held back is told again",
        "silence": row,
    }
    assert await quiet(here) == []
    assert await trail(here) == [
        ("Silenced", "token:ann", "http"),
        ("Unsilenced", "token:ann", "http"),
    ]


@pytest.mark.parametrize("scope", ["", "prod", "prod/infra", "prod/worker"])
async def test_every_place_can_be_silenced_those_without_a_recipe_too(
    here: Site, scope: str
) -> None:
    answer = await here.post("silences", **{**BODY, "scope": scope, "rule": ""})
    assert answer.status_code == 200
    assert [row["scope"] for row in await quiet(here)] == [scope]


@pytest.mark.parametrize(
    ("said", "status", "sentence"),
    [
        ({"scope": None}, 422, "scope"),
        ({"rule": None}, 422, "rule"),
        ({"until": None}, 422, "until"),
        ({"reason": None}, 422, "reason"),
        ({"by": "token:bob"}, 422, "unknown field"),
        ({"reason": " "}, 422, "reason: say why"),
        ({"rule": "weather"}, 422, "rule: there is: "),
        ({"until": "soon"}, 422, "until: 'soon' is no moment"),
        ({"until": ""}, 422, "until: "),
        ({"until": "2020-01-01"}, 422, "is over already"),
        ({"until": "31d"}, 409, "ends within 30 days"),
        ({"scope": "stage"}, 404, "scope: no cluster is named 'stage'"),
        ({"scope": "prod/../x"}, 404, "scope: '../x' is no name of a pool"),
    ],
)
async def test_what_cannot_be_silenced_is_said_and_changes_nothing(
    here: Site, said: dict[str, Any], status: int, sentence: str
) -> None:
    body = {key: value for key, value in {**BODY, **said}.items() if value is not None}
    answer = await here.post("silences", **body)
    assert (answer.status_code, await quiet(here)) == (status, [])
    assert sentence in answer.json()["detail"]
    assert [event for event, *_ in await trail(here)] == ["SilenceDeclined"] * (status == 409)


async def test_who_may_not_decide_there_neither_silences_nor_lifts(here: Site) -> None:
    made = (await here.post("silences", **BODY)).json()["silence"]
    answer = await here.post("silences", BOB, **BODY)
    assert answer.status_code == 409
    assert "token:bob is not an approver" in answer.json()["detail"]
    assert (await lift(here, BOB, id=made["id"])).status_code == 409
    assert await quiet(here) == [made]
    assert [event for event, *_ in await trail(here)] == [
        *("Silenced", "SilenceDeclined", "UnsilenceDeclined"),
    ]
    assert told(here) == 2


async def test_without_a_token_nothing_is_silenced_or_lifted(here: Site) -> None:
    made = (await here.post("silences", **BODY)).json()["silence"]
    assert (await here.post("silences", None, **BODY)).status_code == 401
    assert (await lift(here, None, id=made["id"])).status_code == 401
    assert await quiet(here) == [made]


async def test_reading_needs_a_token_where_others_reach_it(tmp_path: Path) -> None:
    async with site(tmp_path, host="0.0.0.0") as here:
        assert (await here.http.get("/api/v1/silences")).status_code == 401


async def test_lifting_names_one(here: Site) -> None:
    assert (await lift(here)).status_code == 422
    assert (await lift(here, id="")).status_code == 422
    answer = await lift(here, id="s-0")
    assert answer.status_code == 409
    assert "there is no silence s-0" in answer.json()["detail"]
    assert [event for event, *_ in await trail(here)] == ["UnsilenceDeclined"]
    assert told(here) == 1


async def test_what_is_declined_while_it_is_saved_is_audited_and_counted(here: Site) -> None:
    made = (await here.post("silences", **BODY)).json()["silence"]
    assert (await here.post("silences", **{**BODY, "until": "99d"})).status_code == 409
    assert told(here) == 1
    assert [row["id"] for row in await quiet(here)] == [made["id"]]

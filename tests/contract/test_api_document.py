"""The OpenAPI document: all that is served and nothing else, valid, and the page beside it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import Mount, Route

from tests.contract.api_schema import document
from tests.contract.site import ANN, Site, bearer, site
from watcher.web.api.openapi import PREFIX
from watcher.web.callers import Role

PAGE = Path(__file__).parents[2] / "docs/reference/http.md"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, host="192.0.2.7") as made:
        yield made


def told(of: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, there in of["paths"].items() for method in there}


async def test_the_document_has_every_route_and_no_other(here: Site) -> None:
    there = {
        (method, f"{mount.path}{route.path}")
        for mount in here.app.routes
        if isinstance(mount, Mount) and mount.path == PREFIX
        for route in mount.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert told(document(here.app.state.api)) == there
    assert len(there) > 30


async def test_it_is_served_and_the_same(here: Site) -> None:
    answer = await here.http.get(f"{PREFIX}/openapi.json", headers=bearer(ANN))
    assert answer.json() == document(here.app.state.api)
    assert answer.json()["openapi"] == "3.1.0"


async def test_it_is_valid_openapi(here: Site) -> None:
    made = document(here.app.state.api)
    schemathesis.openapi.from_dict(made).validate()
    for schema in made["components"]["schemas"].values():
        jsonschema_rs.meta.validate({**schema, "components": made["components"]})
    references = set(re.findall(r"#/components/(\w+)/(\w+)", str(made)))
    assert {
        (kind, name) for kind, name in references if name not in made["components"][kind]
    } == set()


async def test_a_name_is_had_once(here: Site) -> None:
    names = [operation.name for operation in here.app.state.api.operations]
    assert len(set(names)) == len(names)


async def test_what_changes_something_is_not_for_viewers(here: Site) -> None:
    for operation in here.app.state.api.operations:
        assert operation.changes == (operation.role is not Role.VIEWER), operation.name
        is_vote = operation.name in ("approveUpdate", "rejectUpdate", "snoozeUpdate")
        assert (operation.role is Role.APPROVER) == is_vote, operation.name


async def test_no_operation_answers_somebody_without_a_token(here: Site) -> None:
    for operation in here.app.state.api.operations:
        path = re.sub(r"{\w+}", "u-1", PREFIX + operation.path)
        answer = await here.http.request(operation.method, path, json={"x": 1})
        assert answer.status_code == 401, operation.name
    assert await here.audit() == []


async def test_the_page_has_every_operation_with_its_role(here: Site) -> None:
    rows = re.findall(r"^\| `(\w+) /api/v1([^`]+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    there = {(one.method, one.path, str(one.role)) for one in here.app.state.api.operations}
    assert set(rows) == there


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/nothing", 404, "openapi.json lists what there is"),
        ("GET", "/pools/prod", 404, "openapi.json lists what there is"),
        ("PUT", "/freezes", 405, "it takes DELETE, GET, HEAD, POST"),
        ("POST", "/status", 405, "it takes GET"),
        ("GET", "/status?x=1", 422, "unknown field `x`"),
        ("GET", "/updates?limit=0", 422, ">= 1"),
        ("GET", "/updates?limit=201", 422, "<= 200"),
        ("GET", "/updates?limit=1&limit=2", 422, "given twice"),
        ("GET", "/updates?state=happy", 422, "Invalid enum value"),
        ("GET", "/audit?since=yesterday", 422, "Invalid RFC3339"),
        ("GET", "/builds/b-1", 404, "/api/v1/builds lists them"),
        ("GET", "/updates/u-1/log", 404, "/api/v1/updates lists them"),
        ("GET", "/pools/prod/nothing", 404, "/api/v1/drift lists them"),
    ],
)
async def test_an_error_says_its_cause_and_the_next_step(
    here: Site, method: str, path: str, status: int, said: str
) -> None:
    answer = await here.http.request(method, PREFIX + path, headers=bearer(ANN))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


async def test_every_method_of_an_address_is_named(here: Site) -> None:
    answer = await here.http.request("PATCH", f"{PREFIX}/freezes", headers=bearer(ANN))
    allowed = {one.strip() for one in answer.headers["allow"].split(",")}
    assert allowed == {"GET", "HEAD", "POST", "DELETE"}

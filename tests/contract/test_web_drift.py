"""HTTP about drift: every pool of every cluster, as `relayer drift -o json` has it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.site import ANN, Site, bearer, site
from tests.facts import PROD
from watcher.shown_drift import cluster_row


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def found(here: Site) -> None:
    """Let the surveys of the site make one pass."""
    heard = asyncio.Event()

    async def hear(cluster: str) -> None:
        heard.set()

    here.service.surveys.listen(hear)
    here.service.surveys.changed_cluster(PROD)
    task = asyncio.create_task(here.service.surveys.run(PROD))
    await heard.wait()
    task.cancel()


async def test_it_is_the_json_of_the_command(here: Site) -> None:
    await found(here)
    answer = await here.http.get("/api/v1/drift")
    [seen] = here.service.surveys.surveyed()
    assert answer.json() == {"clusters": [cluster_row(seen)]}
    [cluster] = answer.json()["clusters"]
    assert [pool["pool"] for pool in cluster["pools"]] == ["infra"]
    assert (cluster["cluster"], cluster["version"]) == ("prod", "4.16.3")


async def test_a_cluster_that_was_not_surveyed_yet_is_there_without_pools(here: Site) -> None:
    answer = await here.http.get("/api/v1/drift")
    assert [row["pools"] for row in answer.json()["clusters"]] == [[]]


async def test_one_cluster_can_be_named(here: Site) -> None:
    named = await here.http.get("/api/v1/drift", params={"cluster": "prod"})
    assert [row["cluster"] for row in named.json()["clusters"]] == ["prod"]
    unknown = await here.http.get("/api/v1/drift", params={"cluster": "nope"})
    assert unknown.status_code == 404
    assert "/api/v1/drift lists them all" in unknown.json()["detail"]


async def test_from_elsewhere_it_needs_a_token(tmp_path: Path) -> None:
    async with site(tmp_path, host="192.0.2.7") as there:
        assert (await there.http.get("/api/v1/drift")).status_code == 401
        allowed = await there.http.get("/api/v1/drift", headers=bearer(ANN))
        assert allowed.status_code == 200

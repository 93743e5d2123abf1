"""Idempotency keys: what is sent twice counts once, whatever happened to the first answer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.site import ANN, BOB, Site, bearer, site
from tests.facts import a_build, a_policy, an_update
from watcher.clients.store.memory_store import MemoryStore
from watcher.core.jobs import JobKind
from watcher.core.timing import Freeze
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry, Change, Clock, Transient
from watcher.web.api.once import DOING_SECONDS, KEPT_SECONDS

KEY = "8d1f6a0c-7b1e-4a53"
HOLD = "pools/prod/infra/hold"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


async def post(
    here: Site, path: str, body: Any = None, *, key: str = KEY, token: str = ANN
) -> httpx.Response:
    headers = {**bearer(token), "Idempotency-Key": key}
    return await here.http.post(f"/api/v1/{path}", json=body or {}, headers=headers)


async def events(here: Site) -> list[str]:
    return [entry.event for entry in await here.audit()]


async def test_the_same_request_has_the_same_answer_and_is_done_once(here: Site) -> None:
    first = await post(here, HOLD, {"reason": "disks"})
    here.service.clock.advance(60)
    again = await post(here, HOLD, {"reason": "disks"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await events(here) == ["Held"]


async def test_an_order_that_was_accepted_is_not_ordered_again(here: Site) -> None:
    first = await post(here, "pools/prod/infra/rebuild")
    again = await post(here, "pools/prod/infra/rebuild")
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(await here.service.store.jobs(JobKind.UPDATE, ended=False)) == 1


async def test_what_was_declined_is_declined_again_and_audited_once(here: Site) -> None:
    first = await post(here, "pools/prod/infra/unhold")
    assert first.status_code == 409
    await here.post(HOLD)
    again = await post(here, "pools/prod/infra/unhold")
    assert (again.status_code, again.json()) == (409, first.json())
    assert again.headers["content-type"] == "application/problem+json"
    assert await events(here) == ["UnfreezeDeclined", "Held"]


async def test_lifting_takes_a_key_too(here: Site) -> None:
    await here.post("freezes", scope="prod", reason="x")
    headers = {**bearer(ANN), "Idempotency-Key": KEY}
    path = "/api/v1/freezes?scope=prod"
    first = await here.http.delete(path, headers=headers)
    again = await here.http.delete(path, headers=headers)
    assert (first.status_code, again.json()) == (200, first.json())
    other = await here.http.delete("/api/v1/freezes?scope=", headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("path", "body"), [(HOLD, {"reason": "other"}), ("pools/prod/infra/rebuild", {})]
)
async def test_a_key_is_for_one_request(here: Site, path: str, body: dict[str, str]) -> None:
    await post(here, HOLD, {"reason": "disks"})
    answer = await post(here, path, body)
    assert answer.status_code == 422
    assert "used for another request" in answer.json()["detail"]
    assert await events(here) == ["Held"]


async def test_a_body_that_says_the_same_in_other_spelling_is_the_same(here: Site) -> None:
    await post(here, HOLD, {"reason": "disks", "until": ""})
    headers = {**bearer(ANN), "Idempotency-Key": KEY, "Content-Type": "application/json"}
    again = await here.http.post(
        f"/api/v1/{HOLD}", content=b' { "reason":"d\\u0069sks"} ', headers=headers
    )
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_key_of_somebody_else_is_another_key(here: Site) -> None:
    await post(here, HOLD, {"reason": "disks"})
    answer = await post(here, HOLD, {"reason": "mine"}, token=BOB)
    assert answer.status_code == 200
    assert await events(here) == ["Held", "Held"]


async def test_after_a_day_a_key_is_free_again(here: Site) -> None:
    await post(here, HOLD)
    here.service.clock.advance(KEPT_SECONDS - 1)
    assert "idempotency-replayed" in (await post(here, HOLD)).headers
    here.service.clock.advance(2)
    assert "idempotency-replayed" not in (await post(here, HOLD)).headers


@pytest.mark.parametrize("key", ["", "short", "x" * 129, "with a space in it", "tab\tin the midst"])
async def test_a_key_that_is_none_is_refused_and_nothing_is_done(here: Site, key: str) -> None:
    answer = await post(here, HOLD, key=key)
    assert answer.status_code == 422
    assert "16 to 128" in answer.json()["detail"]
    assert await events(here) == []


async def test_without_a_token_a_key_tells_nothing(here: Site) -> None:
    await post(here, HOLD)
    assert (await post(here, HOLD, token="")).status_code == 401


# --- what goes wrong in the midst ----------------------------------------------------------------


class FragileStore(MemoryStore):
    """Holds a freeze up, fails it, or forgets answers, as a test says."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.holds_up = ""
        """`before` or `after` it is saved."""
        self.fails: set[str] = set()

    async def freeze(self, freeze: Freeze, audit: AuditEntry) -> None:
        await self._hold_up("before")
        if "freeze" in self.fails:
            raise Transient("no answer from redis")
        await super().freeze(freeze, audit)
        await self._hold_up("after")

    async def _hold_up(self, moment: str) -> None:
        if moment == self.holds_up:
            self.begun.set()
            await self.go.wait()

    async def repin(self, key: str, value: Mapping[str, object], for_seconds: float) -> None:
        if "repin" in self.fails and "status" in value:
            raise Transient("no answer from redis")
        await super().repin(key, value, for_seconds)


@pytest.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[tuple[Site, FragileStore]]:
    async with site(tmp_path, store_type=FragileStore) as made:
        assert isinstance(made.service.store, FragileStore)
        yield made, made.service.store


Fragile = tuple[Site, FragileStore]


async def test_while_the_first_is_in_progress_the_second_is_told_so(fragile: Fragile) -> None:
    here, store = fragile
    store.holds_up = "before"
    async with asyncio.TaskGroup() as group:
        first = group.create_task(post(here, HOLD))
        await store.begun.wait()
        second = await post(here, HOLD)
        assert second.status_code == 409
        assert "in progress" in second.json()["detail"]
        assert second.headers["retry-after"]
        store.go.set()
    assert first.result().status_code == 200
    assert (await post(here, HOLD)).json() == first.result().json()
    assert await events(here) == ["Held"]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_request_that_was_killed_is_carried_out_anew(fragile: Fragile, moment: str) -> None:
    here, store = fragile
    store.holds_up = moment
    killed = asyncio.get_running_loop().create_task(post(here, HOLD, {"reason": "disks"}))
    await store.begun.wait()
    killed.cancel()
    await asyncio.wait([killed])
    assert killed.cancelled()
    store.holds_up = ""
    assert (await post(here, HOLD, {"reason": "disks"})).status_code == 409
    here.service.clock.advance(DOING_SECONDS + 1)
    again = await post(here, HOLD, {"reason": "disks"})
    assert (again.status_code, "idempotency-replayed" in again.headers) == (200, False)
    assert [one.scope for one in await store.freezes()] == ["prod/infra"]


async def test_a_failure_of_ours_is_not_kept(fragile: Fragile) -> None:
    here, store = fragile
    store.fails = {"freeze"}
    assert (await post(here, HOLD)).status_code == 503
    store.fails = set()
    assert (await post(here, HOLD)).status_code == 200


async def test_what_cannot_be_remembered_is_answered_all_the_same(fragile: Fragile) -> None:
    here, store = fragile
    store.fails = {"repin"}
    assert (await post(here, HOLD)).status_code == 200
    assert await events(here) == ["Held"]


# --- what is done a second time, because the process died before it was remembered ---------------


@pytest.mark.parametrize(
    ("path", "status", "event"),
    [
        ("updates/u-1/approve", 200, "Voted"),
        ("updates/u-1/reject", 409, "Rejected"),
        ("updates/u-1/snooze", 200, ""),
        ("builds/b-1/cancel", 409, "BuildFailed"),
        ("pools/prod/infra/hold", 200, ""),
        ("pools/prod/infra/rebuild", 202, "Proposed"),
    ],
)
async def test_acts_can_be_repeated(here: Site, path: str, status: int, event: str) -> None:
    await here.service.store.commit([Change(job=a_build(), expected=0)], [])
    update = an_update(state=UpdateState.AWAITING_APPROVAL, policy=a_policy(quorum=2))
    body: dict[str, str] = {}
    if path.startswith("updates"):
        await here.put(update)
        body = {"binding": str(update.binding.digest())}
        body |= {"until": "3h"} if path.endswith("snooze") else {}
    first = await here.post(path, **body)
    assert first.status_code < 300, first.text
    again = await post(here, path, body)
    assert again.status_code == status
    if event:
        assert (await events(here)).count(event) == 1
    if "update" in again.json():
        assert again.json()["update"]["id"] == first.json()["update"]["id"]
    assert len(await here.service.store.freezes()) == path.endswith("hold")

"""The stream of changes: each named, none missed, nothing said that is not so, and bounded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.site import ANN, Site, bearer, site
from tests.contract.test_web_drift import found
from tests.facts import a_build, an_update
from watcher.core.update_events import UpdateState
from watcher.ports import Change
from watcher.web.api import changes, events

HOST = "192.0.2.7"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, host=HOST) as made:
        yield made


@dataclass
class Stream:
    """One open stream, as a client on a socket has it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    came: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        self.body += message.get("body", b"")
        self.came.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def events(self) -> list[tuple[str, str, Any]]:
        """Id, name and data of each."""
        seen = []
        for block in self.body.decode().split("\n\n"):
            said = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
            if "event" in said:
                seen.append((said["id"], said["event"], json.loads(said["data"])))
        return seen

    def named(self, *names: str) -> list[Any]:
        return [data for _, name, data in self.events if name in names]

    async def until(self, name: str, number: int = 1) -> None:
        """Wait until so many events of this name have come."""
        async with asyncio.timeout(10):
            while len(self.named(name)) < number:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def stream(here: Site, token: str | None = ANN, **headers: str) -> AsyncIterator[Stream]:
    made = Stream()
    said = {"host": HOST, **bearer(token), **{k.replace("_", "-"): v for k, v in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/api/v1/events",
        "raw_path": b"/api/v1/events",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": ("192.0.2.1", 1),
        "server": (HOST, 8080),
        "headers": [(k.lower().encode(), v.encode()) for k, v in said.items()],
    }
    task = asyncio.get_running_loop().create_task(here.app(scope, made.receive, made.send))
    async with asyncio.timeout(10):
        while not made.status:
            await made.came.wait()
            made.came.clear()
    try:
        yield made
    finally:
        made.gone.set()
        async with asyncio.timeout(10):
            await asyncio.wait([task])


async def test_it_begins_with_ready_and_says_what_is_another(here: Site) -> None:
    await here.put(an_update(id="u-0", state=UpdateState.FAILED))
    async with stream(here) as seen:
        await seen.until("ready")
        update = await here.put(an_update(state=UpdateState.AWAITING_APPROVAL))
        await seen.until("update")
        await here.approve(update)
        await seen.until("update", 2)
    assert seen.headers["content-type"].startswith("text/event-stream")
    first, second = seen.named("update")
    assert (first["id"], first["pool"], first["state"]) == ("u-1", "infra", "awaiting-approval")
    assert second["state"] == "scheduled"
    assert seen.named("changed")


async def test_each_kind_of_change_has_its_event(here: Site) -> None:
    async with stream(here) as seen:
        await seen.until("ready")
        await here.service.store.commit([Change(job=a_build(), expected=0)], [])
        await seen.until("build")
        await here.post("pools/prod/infra/hold", reason="disks")
        await seen.until("freeze")
        await here.post("pools/prod/infra/unhold")
        await seen.until("freeze", 2)
        await here.post("silences", scope="prod", rule="", reason="x", until="2h")
        await seen.until("silence")
        await found(here)
        await seen.until("pool")
    assert seen.named("build") == [
        {"id": "b-1", "recipe": "gpu", "state": "queued", "changed_at": "2026-11-18T08:00:00+00:00"}
    ]
    assert [(row["scope"], row["lifted"]) for row in seen.named("freeze")] == [
        ("prod/infra", False),
        ("prod/infra", True),
    ]
    assert seen.named("silence")[0]["scope"] == "prod"
    assert seen.named("pool")[0]["pool"] == "infra"


async def test_who_comes_back_has_what_was_missed_and_nothing_twice(here: Site) -> None:
    async with stream(here) as seen:
        await here.put(an_update(id="u-1"))
        await seen.until("changed")
    last = seen.events[-1][0]
    for number in (2, 3):
        job = an_update(id=f"u-{number}", state=UpdateState.FAILED)
        await here.put(job)
    async with stream(here, Last_Event_ID=last) as again:
        await again.until("update", 2)
    assert [row["id"] for row in again.named("update")] == ["u-2", "u-3"]
    assert again.named("ready", "reset") == []
    numbers = [int(id_.partition("-")[2]) for id_, *_ in (*seen.events[1:], *again.events)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    "last",
    ["00000000-0", "00000000-1", "nonsense", "-", "ffffffff-99999999999999999999", "x" * 300],
)
async def test_an_id_that_is_not_known_any_more_begins_with_reset(here: Site, last: str) -> None:
    async with stream(here, Last_Event_ID=last) as seen:
        await seen.until("reset")
    assert seen.named("ready") == []


async def test_an_id_of_the_future_begins_with_reset(here: Site) -> None:
    async with stream(here) as seen:
        await seen.until("ready")
    epoch = seen.events[0][0].partition("-")[0]
    async with stream(here, Last_Event_ID=f"{epoch}-999") as again:
        await again.until("reset")


async def test_only_so_many_events_are_kept(here: Site) -> None:
    told = changes.Changes(service=here.service, epoch="00000000", kept=3)
    await told.look(0)
    for number in range(1, 4):
        await here.put(an_update(id=f"u-{number}", state=UpdateState.FAILED))
        await told.look(number)
    assert told.last == 6
    assert [one.number for one in told.after(3) or []] == [4, 5, 6]
    assert told.after(2) is None
    assert told.after(7) is None


async def test_one_look_serves_all_who_listen(here: Site) -> None:
    told = changes.Changes(service=here.service, epoch="00000000")
    await told.look(1)
    update = await here.put()
    await asyncio.gather(*(told.look(2) for _ in range(5)))
    await here.service.store.commit([Change(job=replace(update, votes=()), expected=1)], [])
    await told.look(2)
    assert [(one.kind, one.number) for one in told.after(0) or []] == [
        ("update", 1),
        ("changed", 2),
    ]


async def test_there_is_a_bound_and_a_seat_is_free_again(here: Site) -> None:
    async with AsyncStreams(here, events.MOST_STREAMS):
        async with stream(here) as more:
            pass
        assert more.status == 503
        assert "retry-after" in more.headers
        assert json.loads(more.body)["detail"].endswith("or poll /api/v1/status")
    async with stream(here) as seen:
        await seen.until("ready")
    assert seen.status == 200


class AsyncStreams:
    """So many open streams."""

    def __init__(self, here: Site, number: int) -> None:
        self._open = [stream(here) for _ in range(number)]

    async def __aenter__(self) -> None:
        for one in self._open:
            assert (await one.__aenter__()).status == 200

    async def __aexit__(self, *error: object) -> None:
        for one in self._open:
            await one.__aexit__(None, None, None)


async def test_a_quiet_stream_says_that_it_is_there(here: Site) -> None:
    api = here.app.state.api
    said = events.Events(
        service=here.service,
        settings=here.service.settings,
        access=api.access,
        metrics=here.metrics,
        live=api.live,
        changes=changes.Changes(service=here.service, epoch="00000000"),
        heartbeat_seconds=0.01,
    )
    await said.changes.look(await api.live.fresh())
    texts = said._said("")
    assert "ready" in await anext(texts)
    async with asyncio.timeout(10):
        assert await anext(texts) == ": still here\n\n"
    await texts.aclose()  # type: ignore[attr-defined]


async def test_without_a_token_nobody_listens(here: Site) -> None:
    async with stream(here, None) as seen:
        pass
    assert seen.status == 401


async def test_it_ends_when_the_service_stops(here: Site) -> None:
    async with stream(here) as seen:
        await seen.until("ready")
        here.app.state.live.close()
    assert seen.status == 200


async def test_asking_for_its_headers_opens_no_stream(here: Site) -> None:
    answer = await here.http.head("/api/v1/events", headers=bearer(ANN))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert here.app.state.live.open == 0

"""The troubles that the simulated API server can make on order, and its doors."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trustme

from simulator.apiserver import ApiError, ApiServer, By, Fault
from simulator.apiserver.kinds import CONFIG_MAPS as CONFIG_MAP_KIND
from simulator.apiserver.kinds import OS_IMAGE_STREAMS
from tests.contract import api_server
from tests.contract.api_server import CONFIG_MAPS, MCO, POOLS, Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with api_server.simulated() as one:
        yield one


@pytest.fixture
def api(server: Server) -> ApiServer:
    assert server.simulator
    return server.simulator


def _fill(api: ApiServer, count: int, *, bulk: int = 10) -> None:
    for number in range(count):
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"map-{number:04}", "namespace": "default"},
            "data": {"x": "y" * bulk},
        }
        api.writer.create(CONFIG_MAP_KIND, document)


async def test_a_fault_is_used_up_after_its_count(server: Server, api: ApiServer) -> None:
    api.faults.add(Fault(code=500, path="*/configmaps", method="GET", count=2))
    codes = [(await server.http.get(CONFIG_MAPS)).status_code for _ in range(3)]
    assert codes == [500, 500, 200]
    assert (await server.http.get(POOLS)).status_code == 200


async def test_too_many_requests_name_their_delay(server: Server, api: ApiServer) -> None:
    api.faults.add(Fault.too_many(7))
    answer = await server.http.get(POOLS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["details"]["retryAfterSeconds"] == 7


async def test_a_hanging_server_never_answers(server: Server, api: ApiServer) -> None:
    api.faults.add(Fault(hang=True))
    with pytest.raises(httpx.ReadTimeout):
        await server.http.get(POOLS, timeout=0.1)
    assert (await server.http.get(POOLS)).status_code == 200


async def test_a_cut_answer_breaks_in_its_middle(server: Server, api: ApiServer) -> None:
    _fill(api, 20)
    api.faults.add(Fault(cut_after_bytes=500, watch=False))
    with pytest.raises(httpx.RemoteProtocolError):
        await server.http.get(CONFIG_MAPS)


async def test_a_cut_watch_breaks_inside_a_line(server: Server, api: ApiServer) -> None:
    _fill(api, 3)
    api.faults.add(Fault(cut_after_bytes=400, watch=True))
    seen = b""

    async def read() -> None:
        nonlocal seen
        async with server.http.stream("GET", CONFIG_MAPS, params={"watch": "true"}) as answer:
            async for piece in answer.aiter_raw():
                seen += piece

    with pytest.raises(httpx.RemoteProtocolError):
        await read()
    assert len(seen) == 400
    assert not seen.endswith(b"\n")


async def test_a_slow_answer_arrives_whole(server: Server, api: ApiServer) -> None:
    api.faults.add(Fault(drip_seconds=0.005, drip_bytes=20))
    pieces = 0
    body = b""
    async with server.http.stream("GET", POOLS) as answer:
        async for piece in answer.aiter_raw():
            pieces += 1
            body += piece
    assert pieces > 3
    assert json.loads(body)["items"] == []


async def test_a_stopped_server_refuses_and_comes_back_as_it_was(
    server: Server, api: ApiServer
) -> None:
    _fill(api, 1)
    async with server.watching(CONFIG_MAPS) as events:
        assert (await anext(events))["type"] == "ADDED"
        await api.stop_listening()
        with pytest.raises((StopAsyncIteration, httpx.HTTPError)):
            await anext(events)
    with pytest.raises(httpx.ConnectError):
        await server.http.get(POOLS)
    await api.start_listening()
    assert len((await server.get(CONFIG_MAPS))["items"]) == 1
    async with server.watching(CONFIG_MAPS) as events:
        assert (await anext(events))["type"] == "ADDED"


async def test_a_compacted_continue_token_is_gone(server: Server, api: ApiServer) -> None:
    _fill(api, 3)
    first = (await server.http.get(CONFIG_MAPS, params={"limit": "2"})).json()
    api.compact()
    query = {"limit": "2", "continue": first["metadata"]["continue"]}
    answer = await server.http.get(CONFIG_MAPS, params=query)
    assert (answer.status_code, answer.json()["reason"]) == (410, "Expired")


async def test_a_compacted_watch_is_told_in_its_stream(server: Server, api: ApiServer) -> None:
    old = api.store.revision
    _fill(api, 3)
    api.compact()
    async with server.watching(CONFIG_MAPS, resourceVersion=old) as events:
        told = [event async for event in events]
    (event,) = told
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert event["object"]["reason"] == "Expired"


async def test_a_watch_at_the_current_revision_outlives_a_compaction(
    server: Server, api: ApiServer
) -> None:
    _fill(api, 1)
    async with server.watching(CONFIG_MAPS, resourceVersion=api.store.revision) as events:
        api.compact()
        await server.create(CONFIG_MAPS, server.config_map("after"))
        assert (await anext(events))["type"] == "ADDED"


async def test_the_log_compacts_itself_beyond_its_limit() -> None:
    async with ApiServer.start(log_limit=5) as api, httpx.AsyncClient(base_url=api.url) as http:
        _fill(api, 10)
        query = {"watch": "1", "resourceVersion": "2", "timeoutSeconds": "1"}
        answer = await http.get(CONFIG_MAPS, params=query)
        assert json.loads(answer.text)["object"]["code"] == 410


async def test_bookmarks_come_only_to_those_who_asked(server: Server, api: ApiServer) -> None:
    query: dict[str, Any] = {"resourceVersion": api.store.revision, "timeoutSeconds": 1}

    async def watched(**more: Any) -> list[Any]:
        async with server.watching(CONFIG_MAPS, **query, **more) as events:
            await server.create(CONFIG_MAPS, server.config_map(f"o{len(more)}"))
            api.send_bookmarks()
            return [event async for event in events]

    assert {event["type"] for event in await watched()} == {"ADDED"}
    events = await watched(allowWatchBookmarks="true")
    assert events[-1]["type"] == "BOOKMARK"
    assert events[-1]["object"]["metadata"]["resourceVersion"] == str(api.store.revision)


async def test_initial_events_end_with_a_marked_bookmark(server: Server, api: ApiServer) -> None:
    _fill(api, 2)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    async with server.watching(CONFIG_MAPS, **query, allowWatchBookmarks="true") as events:
        seen = [await anext(events) for _ in range(3)]
    assert [event["type"] for event in seen] == ["ADDED", "ADDED", "BOOKMARK"]
    marks = seen[-1]["object"]["metadata"]["annotations"]
    assert marks == {"k8s.io/initial-events-end": "true"}


async def test_a_kind_can_be_away_and_come_back(server: Server, api: ApiServer) -> None:
    path = f"{MCO}/osimagestreams"
    async with asyncio.timeout(30), server.watching(path) as events:
        api.set_away(OS_IMAGE_STREAMS)
        assert [event async for event in events] == []
    answer = await server.http.get(path)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    names = {r["name"] for r in (await server.get(MCO))["resources"]}
    assert "osimagestreams" not in names
    api.set_away(OS_IMAGE_STREAMS, away=False)
    assert (await server.http.get(path)).status_code == 200


async def test_a_denied_verb_is_forbidden_in_the_words_of_a_real_server(
    server: Server, api: ApiServer
) -> None:
    api.denials.deny(["list", "watch"], "machineconfigpools")
    answer = await server.http.get(POOLS)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert answer.json()["message"] == (
        'machineconfigpools.machineconfiguration.openshift.io is forbidden: User "system:anonymous"'
        ' cannot list resource "machineconfigpools" in API group'
        ' "machineconfiguration.openshift.io" at the cluster scope'
    )
    assert (await server.http.get(POOLS, params={"watch": "1"})).status_code == 403
    assert (await server.http.get(f"{POOLS}/none")).status_code == 404
    api.denials.allow("machineconfigpools")
    assert (await server.http.get(POOLS)).status_code == 200


async def test_without_its_token_nobody_comes_in() -> None:
    async with ApiServer.start(tokens={"good": "system:serviceaccount:a:b"}) as api:
        for header, code in ((None, 401), ("Bearer bad", 401), ("Bearer good", 200)):
            headers = {"Authorization": header} if header else {}
            async with httpx.AsyncClient(base_url=api.url, headers=headers) as http:
                answer = await http.get(POOLS)
            assert answer.status_code == code
            assert answer.json()["kind"] == ("Status" if code == 401 else "MachineConfigPoolList")
        async with httpx.AsyncClient(base_url=api.url) as http:
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/apis")).status_code == 401


async def test_it_serves_https_under_a_private_ca() -> None:
    authority = trustme.CA()
    inside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(inside)
    outside = ssl.create_default_context()
    authority.configure_trust(outside)
    async with (
        ApiServer.start(ssl_context=inside) as api,
        httpx.AsyncClient(base_url=api.url, verify=outside) as http,
    ):
        assert (await http.get("/readyz")).text == "ok"


async def test_the_access_log_names_what_was_asked(server: Server, api: ApiServer) -> None:
    await server.http.get(POOLS, params={"limit": "5"})
    await server.apply(f"{POOLS}/x", "me", server.pool("x") | {"metadata": {"name": "x"}})
    (listed,) = api.requests.find(method="GET", path="*/machineconfigpools")
    assert (listed.query, listed.user_agent) == ({"limit": "5"}, "contract/1")
    (patched,) = api.requests.find(method="PATCH")
    assert patched.content_type == api_server.APPLY


async def test_writes_are_counted_by_manager(server: Server, api: ApiServer) -> None:
    made = await server.create(CONFIG_MAPS, server.config_map("n", a="1"))
    name = made["metadata"]["name"]
    api.writer.patch(
        CONFIG_MAP_KIND, ("default", name), lambda o: {**o, "data": {}}, By("controller")
    )
    assert api.store.writes[f"configmaps/{name}", "contract"] == 1
    assert api.store.writes[f"configmaps/{name}", "controller"] == 1
    with pytest.raises(ApiError):
        api.store.get(CONFIG_MAP_KIND, "none")


async def test_thousands_of_large_events_are_served_in_one_go(
    server: Server, api: ApiServer
) -> None:
    start = api.store.revision
    _fill(api, 3000, bulk=2800)
    async with asyncio.timeout(30), server.watching(CONFIG_MAPS, resourceVersion=start) as events:
        seen = [(await anext(events))["object"]["metadata"]["name"] for _ in range(3000)]
    assert seen == sorted(seen)

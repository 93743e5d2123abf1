"""The reflector against a server that misbehaves in ways the simulated one does not."""

import asyncio
import json
from dataclasses import replace

import pytest

from tests.contract.scripted_api import (
    ALERT,
    CALM,
    EXPIRED,
    ScriptedApi,
    Stream,
    bookmark,
    event,
    pool,
    until,
    watching,
)
from watcher.clients.kube.reflector import Lines, Spoiled, State


async def test_silence_is_noticed_and_all_is_listed_anew() -> None:
    first = Stream((event("ADDED", pool("infra", 11)),), then="silence")
    async with ScriptedApi.start(first) as api, watching(api.url, pacing=ALERT) as seen:
        await until(lambda: "infra" in seen.reflector.facts())
        api.list_version, api.items = 15, [pool("gpu", 14)]
        await until(lambda: len(api.watches) >= 2)
        assert [w["resourceVersion"] for w in api.watches[:2]] == ["10", "15"]
        assert list(seen.reflector.facts()) == ["gpu"]


async def test_a_silent_list_is_given_up() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        from watcher.clients.kube.session import Limits

        limits = Limits(connect_seconds=1.0, answer_seconds=0.1)
        async with watching(f"http://127.0.0.1:{port}", limits=limits) as seen:
            await until(lambda: seen.reflector.state is State.FAILING)
            assert "no answer" in seen.reflector.problem


async def test_410_twice_lists_twice_and_waits_longer() -> None:
    gone = Stream((EXPIRED,))
    good = Stream((event("ADDED", pool("infra", 12)),), then="silence")
    async with ScriptedApi.start(gone, gone, good) as api, watching(api.url) as seen:
        await until(lambda: "infra" in seen.reflector.facts())
        assert len(api.lists) == 3
        assert len(seen.time.slept) == 2
        assert all(delay >= 0.1 for delay in seen.time.slept)


async def test_410_for_ever_is_no_busy_loop() -> None:
    async with ScriptedApi.start(*[Stream((EXPIRED,))] * 40) as api, watching(api.url) as seen:
        await until(lambda: len(api.lists) >= 40)
        assert seen.time.passed > 200.0


async def test_streams_that_end_at_once_are_no_busy_loop() -> None:
    async with ScriptedApi.start(*[Stream()] * 40) as api, watching(api.url) as seen:
        await until(lambda: len(api.watches) >= 40)
        assert seen.time.passed > 200.0
        assert 1 < len(api.lists) <= 1 + seen.time.passed / CALM.blind


async def test_a_bookmark_without_a_name_advances_the_version() -> None:
    async with ScriptedApi.start(Stream((bookmark(20),))) as api, watching(api.url):
        await until(lambda: len(api.watches) >= 2)
        assert api.watches[1]["resourceVersion"] == "20"


async def test_a_cut_in_the_middle_of_a_line_loses_nothing() -> None:
    whole = event("ADDED", pool("infra", 11))
    half = event("ADDED", pool("gpu", 12))
    cut = Stream((whole, half[:30]), then="cut")
    async with (
        ScriptedApi.start(cut, Stream((half,), then="silence")) as api,
        watching(api.url) as seen,
    ):
        await until(lambda: set(seen.reflector.facts()) == {"infra", "gpu"})
        assert [w["resourceVersion"] for w in api.watches[:2]] == ["10", "11"]
        assert len(api.lists) == 1


async def test_a_line_that_is_no_json_leads_to_a_new_list() -> None:
    garbage = Stream((event("ADDED", pool("infra", 11)), b"<html>sorry</html>\n"))
    async with ScriptedApi.start(garbage) as api, watching(api.url) as seen:
        api.items = [pool("gpu", 13)]
        await until(lambda: len(api.lists) >= 2)
        await until(lambda: list(seen.reflector.facts()) == ["gpu"])


async def test_a_line_over_the_limit_is_told_and_does_not_fill_the_memory() -> None:
    long = Stream((b'{"type":"ADDED","object":{"x":"', *[b"y" * 65536] * 20), then="silence")
    pacing = replace(CALM, max_line_bytes=1_000_000)
    async with ScriptedApi.start(long) as api, watching(api.url, pacing=pacing) as seen:
        await until(lambda: len(api.lists) >= 2)
        assert any("a line of more than 1000000 bytes" in told for told in seen.problems)


async def test_a_line_of_several_megabytes_is_taken() -> None:
    big = pool("infra", 11)
    big["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "z" * 5_000_000
    }
    stream = Stream(
        (event("ADDED", big), event("MODIFIED", pool("infra", 12, paused=True))), "silence"
    )
    async with ScriptedApi.start(stream) as api, watching(api.url) as seen:
        await until(lambda: "infra" in seen.reflector.facts() and seen.reflector.events == 2)
        assert seen.reflector.facts()["infra"].paused


async def test_odd_and_good_lines_in_one_block_are_all_taken() -> None:
    bad = pool("bad", 12, paused="perhaps")
    block = b"".join(
        [
            event("ADDED", pool("infra", 11)),
            event("ADDED", bad),
            bookmark(20),
            event("ADDED", pool("gpu", 21)),
            event("DELETED", pool("infra", 22, paused="broken too")),
            event("SOMETHING", pool("new", 23)),
        ]
    )
    async with ScriptedApi.start(Stream((block,))) as api, watching(api.url) as seen:
        await until(lambda: len(api.watches) >= 2 and seen.reflector.state is State.SYNCED)
        assert list(seen.reflector.facts()) == ["gpu"]
        assert len(seen.reflector.problems()) == 1
        assert api.watches[1]["resourceVersion"] == "23"


async def test_an_error_event_is_an_error() -> None:
    broken = event("ERROR", {"kind": "Status", "code": 500, "message": "etcd is away"})
    async with ScriptedApi.start(Stream((broken,))) as api, watching(api.url) as seen:
        await until(lambda: "etcd is away" in seen.reflector.problem or len(api.watches) > 1)
        assert len(api.lists) == 1


async def test_both_time_limits_are_sent_and_kept() -> None:
    async with ScriptedApi.start() as api, watching(api.url):
        await until(lambda: api.watches)
        assert 300 <= int(api.watches[0]["timeoutSeconds"]) <= 600
        assert api.watches[0]["allowWatchBookmarks"] == "true"
    pacing = replace(CALM, silence=0.1, shortest_watch=0.0, longest_watch=0.0)
    # A server that forgot its own limit, and is never silent.
    async with ScriptedApi.start(Stream(then="beat")) as api, watching(api.url, pacing=pacing):
        await until(lambda: len(api.watches) >= 2)


async def test_a_list_that_is_none_is_told() -> None:
    async with ScriptedApi.start() as api:
        api.items = {"not": "a list"}  # type: ignore[assignment]
        async with watching(api.url) as seen:
            await until(lambda: seen.reflector.state is State.FAILING)
            assert "the answer is no list" in seen.reflector.problem


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_lines_are_whole_however_they_arrive(size: int) -> None:
    text = b"".join(json.dumps({"n": "x" * n}).encode() + b"\n" for n in range(50)) + b"rest"
    lines = Lines(limit_bytes=1000, what="test")
    found = b""
    for at in range(0, len(text), size):
        whole = lines.feed(text[at : at + size])
        if whole is not None:
            assert bytes(whole).endswith(b"\n")
            found += whole
    assert found + b"rest" == text


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_a_line_over_the_limit_is_refused_however_it_arrives(size: int) -> None:
    lines = Lines(limit_bytes=1000, what="test")
    text = b"x" * 1500 + b"\n" + b"y" * 400
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    with pytest.raises(Spoiled, match="more than 1000 bytes"):
        _ = [lines.feed(block) for block in blocks]

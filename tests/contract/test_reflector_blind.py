"""The reflector after it was cut off: what it then knows, and when it may say so again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from simulator.apiserver import ApiServer, Fault
from simulator.apiserver import kinds as served
from tests.contract.scripted_api import (
    CALM,
    START,
    ScriptedApi,
    Stream,
    bookmark,
    event,
    pool,
    until,
    watching,
)
from watcher.clients.kube.reflector import State

POOLS = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools"
LATER = CALM.blind + 1


def put(api: ApiServer, name: str) -> None:
    document = pool(name, 0)
    document["metadata"] = {"name": name}
    api.writer.create(served.POOLS, document)


@pytest.mark.parametrize("forgotten", [False, True], ids=["history kept", "history forgotten"])
async def test_after_a_partition_the_next_thing_is_a_full_list(forgotten: bool) -> None:
    """And until it succeeded, what is known is as old as the partition."""
    async with ApiServer.start() as api:
        put(api, "infra")
        put(api, "gpu")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            await api.stop_listening()
            api.writer.delete(served.POOLS, ("", "gpu"), {})
            put(api, "storage")
            if forgotten:
                api.compact()
            await until(lambda: seen.time.passed > LATER)
            assert seen.reflector.synced_at == START
            api.requests.clear()
            api.faults.add(Fault(code=503, path=POOLS, count=None))
            await api.start_listening()
            await until(lambda: len(api.requests.find(path=POOLS)) >= 3)
            assert (seen.reflector.synced_at, seen.reflector.state) == (START, State.FAILING)
            assert set(seen.reflector.facts()) == {"infra", "gpu"}, "as last seen"
            api.faults.clear()
            await until(lambda: set(seen.reflector.facts()) == {"infra", "storage"})
            assert [r.watch for r in api.requests.find(path=POOLS)][:4] == [False] * 4
            assert seen.reflector.synced_at > START + timedelta(seconds=LATER)


async def test_after_a_short_break_the_watch_is_resumed() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            await api.stop_listening()
            put(api, "gpu")
            await until(lambda: seen.time.slept)
            await api.start_listening()
            await until(lambda: len(seen.reflector.facts()) == 2)
            assert seen.time.passed < CALM.blind
            assert seen.reflector.lists == 1


@pytest.mark.parametrize(
    "end",
    [b"", bookmark(14), event("BOOKMARK", pool("", 14))],
    ids=["more may come", "a bookmark", "a whole object as bookmark"],
)
@pytest.mark.parametrize("odd", [False, True], ids=["good lines", "odd lines"])
async def test_what_a_resumed_watch_repeats_proves_nothing_before_a_bookmark(
    odd: bool, end: bytes
) -> None:
    repeated = event("ADDED", pool("bad", 11, paused="perhaps")) if odd else b""
    repeated += event("ADDED", pool("gpu", 12)) + end
    streams = Stream((event("ADDED", pool("infra", 10)),)), Stream((repeated,), then="silence")
    async with ScriptedApi.start(*streams) as api, watching(api.url) as seen:
        await until(lambda: len(seen.reflector.facts()) == 2)
        assert seen.time.now() > START
        assert seen.reflector.synced_at == (seen.time.now() if end else START)
        assert (seen.reflector.state, len(api.lists)) == (State.SYNCED, 1)


async def test_what_comes_after_a_bookmark_counts_again() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            seen.time.passed += 5
            put(api, "gpu")
            await until(lambda: seen.reflector.synced_at == START + timedelta(seconds=5))
            await api.stop_listening()
            await until(lambda: seen.time.slept)
            await api.start_listening()
            await until(lambda: len(api.requests.find(watch=True)) == 2)
            put(api, "storage")
            await until(lambda: len(seen.reflector.facts()) == 3)
            assert seen.reflector.synced_at == START + timedelta(seconds=5)
            api.send_bookmarks()
            await until(lambda: seen.reflector.synced_at == seen.time.now())
            seen.time.passed += 5
            put(api, "edge")
            await until(lambda: seen.reflector.synced_at == seen.time.now())
            assert seen.reflector.lists == 1


async def test_a_process_that_was_stopped_does_not_believe_what_lay_in_the_socket() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            seen.time.passed += 600
            put(api, "gpu")
            await until(lambda: seen.reflector.lists == 2 and seen.reflector.state is State.SYNCED)
            assert "silent for" in seen.problems[0]
            assert set(seen.reflector.facts()) == {"infra", "gpu"}


@pytest.mark.parametrize(("silent", "lists"), [(LATER, 1), (LATER * 3, 2)], ids=["minute", "long"])
async def test_a_watch_that_the_server_ended_in_good_order_is_resumed(
    silent: float, lists: int
) -> None:
    """Unless we were stopped meanwhile, and know of its end only now."""
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url, pacing=replace(CALM, silence=150.0)) as seen:
            await until(lambda: api.requests.find(watch=True))
            # The server has the request; that we follow its answer is shown by what comes through.
            seen.time.passed += 1
            api.send_bookmarks()
            await until(lambda: seen.reflector.synced_at == seen.time.now())
            seen.time.passed += silent
            await api.stop_listening()
            await until(lambda: seen.time.slept)
            await api.start_listening()
            await until(lambda: len(api.requests.find(watch=True)) == 2)
            assert seen.reflector.lists == lists


async def test_bookmarks_alone_keep_a_quiet_kind_from_being_listed_anew() -> None:
    async with ApiServer.start() as api:
        put(api, "infra")
        async with watching(api.url) as seen:
            await until(lambda: api.requests.find(watch=True))
            for _ in range(3):
                seen.time.passed += CALM.blind - 5
                api.send_bookmarks()
                await until(lambda: seen.reflector.synced_at == seen.time.now())
            api.faults.add(Fault(code=503, path=POOLS))
            await api.stop_listening()
            await api.start_listening()
            await until(lambda: len(api.requests.find(watch=True)) == 3)
            assert seen.reflector.lists == 1

"""Signatures from stores over real HTTP: numbering, limits, and stores that behave badly."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from tests.contract.signature_store import FIRST, PACKET, RELEASE, Answer, a_store, answering, fetch
from tests.registries import PrivateCa
from watcher.clients.signatures.gpgv import SIGNATURE_BYTES
from watcher.clients.signatures.stores import Found


async def test_signatures_are_numbered_from_1_and_a_404_ends_them() -> None:
    async with a_store(PACKET + b"1", PACKET + b"2") as store:
        assert await fetch(store.url) == Found(signatures=(PACKET + b"1", PACKET + b"2"))
        names = [path.removeprefix("/signatures/") for path in store.asked]
        assert names == [f"sha256={RELEASE.digest[7:]}/signature-{n}" for n in (1, 2, 3)]
        assert not {"Authorization", "Cookie"} & set(store.headers[0])
        assert store.headers[0]["Accept-Encoding"] == "identity"


async def test_a_store_without_an_end_is_left_after_10_signatures() -> None:
    async with a_store(*(PACKET + bytes([n]) for n in range(20))) as store:
        found = await fetch(store.url)
        assert len(found.signatures) == len(store.asked) == 10
        assert found.problem == ""


async def test_a_query_of_the_store_is_kept_and_never_told() -> None:
    async with a_store() as store:
        await fetch(f"{store.url}/?token=secret")
        assert store.asked == [f"{FIRST}?token=secret"]
        store.hold(answering(403))
        found = await fetch(f"{store.url}?token=secret")
        assert "answered 403" in found.problem
        assert "secret" not in found.problem


async def _hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits for this")


async def _drips(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(600):
        await answer.write(b"\xa3")
        await asyncio.sleep(0.1)
    return answer


async def _loops(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.path})


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(PACKET)
    assert request.transport is not None
    request.transport.close()
    return answer


TROUBLES = [
    pytest.param(answering(500), "answered 500", 2, id="500"),
    pytest.param(answering(429), "answered 429", 2, id="429"),
    pytest.param(answering(401), "answered 401", 1, id="401"),
    pytest.param(answering(403), "answered 403", 1, id="403"),
    pytest.param(answering(204), "answered 204", 1, id="204"),
    pytest.param(answering(200, body=b"<html>"), "no signature but something else", 1, id="HTML"),
    pytest.param(answering(200), "no signature but something else", 1, id="nothing"),
    pytest.param(
        answering(200, body=b"\xa3" * (SIGNATURE_BYTES + 1)), "larger than", 1, id="oversized"
    ),
    pytest.param(_hangs, "no answer in time", 2, id="hangs"),
    pytest.param(_drips, "did not answer within 1 s", 1, id="drips"),
    pytest.param(_breaks_off, "broke off", 2, id="breaks off"),
    pytest.param(
        answering(302, Location="http://198.51.100.7/x"), "is plain http", 1, id="to http"
    ),
    pytest.param(
        answering(302, Location="https://a:b@127.0.0.1/x"), "holds a login", 1, id="to a login"
    ),
    pytest.param(
        answering(302, Location="file:///etc/passwd"), "is not an https URL", 1, id="to a file"
    ),
    pytest.param(answering(302, Location="https://["), "redirected|connection", 1, id="to nowhere"),
    pytest.param(_loops, "more than 5 redirects", 6, id="loops"),
]


@pytest.mark.parametrize(("answer", "says", "requests"), TROUBLES)
async def test_a_store_in_trouble_is_told_and_what_it_had_is_kept(
    answer: Answer, says: str, requests: int
) -> None:
    async with a_store(answer) as store, asyncio.timeout(10):
        found = await fetch(store.url)
        assert found.signatures == ()
        assert says.split("|")[0] in found.problem or says.split("|")[-1] in found.problem
        assert len(store.asked) >= requests
    async with a_store(PACKET, answer) as store:
        assert (await fetch(store.url)).signatures == (PACKET,)


async def test_a_store_that_is_busy_once_is_asked_again() -> None:
    async with a_store() as store:

        async def busy_once(request: web.Request) -> web.Response:
            store.hold(PACKET)
            return web.Response(status=503)

        store.hold(busy_once)
        assert await fetch(store.url) == Found(signatures=(PACKET,))


async def test_a_store_that_refuses_connections_is_told() -> None:
    async with a_store() as store:
        url = store.url
    assert "no connection" in (await fetch(url)).problem


async def test_https_is_verified_and_never_goes_down_to_http(tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path)
    trust = ssl.create_default_context(cafile=str(ca.ca_file))
    async with a_store(PACKET) as plain, a_store(PACKET, tls=ca) as store:
        assert (await fetch(store.url, trust=trust)).signatures == (PACKET,)
        assert "no connection" in (await fetch(store.url)).problem, "nobody vouches for it"
        store.hold(answering(302, Location=plain.url))
        found = await fetch(store.url, trust=trust)
        assert "is plain http: not followed" in found.problem
        assert plain.asked == []
        elsewhere = store.url.replace("/signatures", FIRST.replace("-1", "-7"))
        store.files[FIRST.replace("-1", "-7")] = PACKET + b"moved"
        store.hold(answering(307, Location=elsewhere))
        assert (await fetch(store.url, trust=trust)).signatures == (PACKET + b"moved",)


@pytest.mark.parametrize("url", ["http://mirror.example.com/x", "file:///x", "https://u:p@h/"])
async def test_a_store_that_may_not_be_asked_is_not(url: str) -> None:
    found = await fetch(url)
    assert found.signatures == ()
    assert found.problem.endswith(", and is not asked")
    assert "u:p" not in found.problem

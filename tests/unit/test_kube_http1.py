"""Our small HTTP reader: every framing whole, every broken answer told, however it is cut."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.clients.kube import http1


async def answered(raw: bytes, cuts: list[int] | None = None) -> http1.Answer:
    """An answer that arrives in pieces cut at these places, and then ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        edges = [0, *sorted(cuts or []), len(raw)]
        for start, end in itertools.pairwise(edges):
            writer.write(raw[start:end])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await http1.get(
            http1.Endpoint(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"),
            target="/",
            headers={},
            connect_seconds=2,
            answer_seconds=2,
        )


async def whole(raw: bytes, cuts: list[int] | None = None, *, limit: int = 10**6) -> bytes:
    with await answered(raw, cuts) as answer:
        return await answer.body(limit_bytes=limit, silence_seconds=2)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(HEAD + b"Content-Length: 5\r\n\r\nhello", id="length"),
        pytest.param(HEAD + b"\r\nhello", id="until the end"),
        pytest.param(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", id="chunks"),
        pytest.param(CHUNKED + b"5;name=x\r\nhello\r\n0\r\nTrailer: y\r\n\r\n", id="extensions"),
        pytest.param(CHUNKED.upper() + b"5\r\nhello\r\n0\r\n\r\n", id="upper case"),
    ],
)
async def test_a_body_is_read_whole_in_every_framing(raw: bytes) -> None:
    assert await whole(raw) == b"hello"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "before an answer", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-", "before an answer", id="half a head"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP", id="ssh"),
        pytest.param(HEAD + b"Content-Length: x\r\n\r\n", "content-length", id="bad length"),
        pytest.param(HEAD + b"Content-Length: 9\r\n\r\nhello", "cut", id="cut by length"),
        pytest.param(CHUNKED + b"9\r\nhello", "cut", id="cut chunk"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n", "cut", id="no last chunk"),
        pytest.param(CHUNKED + b"-5\r\nhello\r\n", "without a size", id="negative"),
        pytest.param(CHUNKED + b"0x5\r\nhello\r\n", "without a size", id="prefix"),
        pytest.param(CHUNKED + b"\r\nhello\r\n", "without a size", id="empty size"),
        pytest.param(CHUNKED + b"5" * 2000, "without a size", id="endless size"),
        pytest.param(HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "head of more", id="long head"),
    ],
)
async def test_a_broken_answer_is_told(raw: bytes, says: str) -> None:
    with pytest.raises(http1.BrokenAnswer, match=says):
        await whole(raw)


async def test_a_body_over_the_limit_is_refused() -> None:
    with pytest.raises(http1.BrokenAnswer, match="more than 4 bytes"):
        await whole(HEAD + b"\r\nhello", limit=4)


async def test_a_line_break_cannot_be_smuggled_into_a_request() -> None:
    async with await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ValueError, match="line break"):
            await http1.get(
                http1.Endpoint(url=f"http://127.0.0.1:{port}"),
                target="/",
                headers={"Authorization": "Bearer a\r\nX: y"},
                connect_seconds=2,
                answer_seconds=2,
            )


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_chunks_are_joined_wherever_they_are_cut(
    payloads: list[bytes], data: st.DataObject
) -> None:
    raw = b"".join(b"%X\r\n%b\r\n" % (len(p), p) for p in payloads) + b"0\r\n\r\n"
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=12).map(sorted))
    chunks = http1._Chunks()
    edges = [0, *cuts, len(raw)]
    found = b""
    for start, end in itertools.pairwise(edges):
        if not chunks.ended:
            found += chunks.feed(raw[start:end])
    assert found == b"".join(payloads)
    assert chunks.ended

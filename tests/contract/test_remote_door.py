"""Commands against a running service: the same answers, exit codes and errors as beside it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme

from tests.contract.site import ANN, Site, site
from tests.contract.test_web_server import served
from tests.release_world import nobody_at_home
from watcher.cli import main
from watcher.cli.remote_door import RemoteDoor
from watcher.clients.service import Answered, BadUrl, ServiceClient
from watcher.errors import Refused, Transient
from watcher.web.api.pools import PLAN_BURST, PLAN_EVERY


@dataclass
class Far:
    """A shell somewhere else."""

    site: Site
    url: str
    token: Path
    capture: pytest.CaptureFixture[str]

    async def __call__(self, *words: str, code: int = 0, token: bool = True) -> tuple[str, str]:
        more = ["--server", self.url, *(["--token-file", str(self.token)] if token else [])]
        self.capture.readouterr()
        got = await asyncio.to_thread(main, [*words, *more])
        out, err = self.capture.readouterr()
        assert got == code, f"exit code {got}: {out}{err}"
        return out, err

    async def json(self, *words: str, code: int = 0) -> Any:
        return json.loads((await self(*words, "-o", "json", code=code))[0])


@pytest.fixture
async def far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Far]:
    nobody_at_home(tmp_path, monkeypatch)
    (tmp_path / "mine").write_text(f"{ANN}\n")
    async with site(tmp_path) as made, served(made.app) as url:
        yield Far(made, url, tmp_path / "mine", capsys)


async def test_from_status_to_approval(far: Far) -> None:
    update = await far.site.put()
    assert update.id in (await far("status"))[0]
    (row,) = (await far.json("history", "infra"))["updates"]
    out, _ = await far("approve", update.id, "--binding", row["binding"], "-r", "looked at it")
    assert out == f"{update.id} is approved by token:ann\n"
    trail = (await far.json("history", update.id))["audit"]
    assert [(e["event"], e["by"], e["surface"]) for e in trail][-1] == (
        *("Approved", "token:ann"),
        "http",
    )
    await far("approve", update.id, code=5)


async def test_looks_have_the_same_answers_as_over_http(far: Far) -> None:
    assert (await far.json("drift", code=3))["clusters"][0]["cluster"] == "prod"
    (plan,) = (await far.json("plan"))["plans"]
    assert (plan["cluster"], plan["pool"]) == ("prod", "infra")
    assert (await far.json("windows", "infra"))["pools"][0]["allowed"] is True
    assert (await far.json("silences")) == {"silences": []}
    assert "prod/infra" in (await far("plan", "infra"))[0]


async def test_freezes_and_silences(far: Far) -> None:
    await far("freeze", "prod", "--reason", "audit week")
    (frozen,) = (await far.json("freezes"))["freezes"]
    assert (frozen["scope"], frozen["by"]) == ("prod", "token:ann")
    await far("unfreeze", "prod")
    await far("unfreeze", "prod", code=5)
    await far("hold", "infra")
    assert (await far.json("unhold", "infra"))["scope"] == "prod/infra"
    made = await far.json("silence", "prod", "--until", "2h", "--reason", "known")
    await far("unsilence", made["silence"]["id"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("history", "u-404"), 6, "no such update"),
        (("approve", "u-404"), 6, "no such update"),
        (("plan", "prod/infro"), 6, "did you mean `prod/infra`"),
        (("hold", "infra", "--until", "yesterday"), 2, "until"),
        (("freeze", "mars", "--reason", "x"), 6, "no pool of such a cluster"),
    ],
)
async def test_errors_have_the_exit_codes_that_they_have_beside_it(
    far: Far, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in (await far(*words, code=code))[1]


async def test_who_is_not_known_is_refused_and_told_what_to_do(far: Far) -> None:
    update = await far.site.put()
    _, err = await far("approve", update.id, code=4, token=False)
    assert "--token-file" in err
    far.token.write_text("somebody-else-s-token")
    assert "--token-file" in (await far("freeze", "--reason", "x", code=4))[1]
    assert "somebody-else" not in err


async def test_a_service_that_is_not_there_is_unreachable(far: Far) -> None:
    far.url = "http://127.0.0.1:9"
    assert "does not answer" in (await far("status", code=3))[1]


# --- the credential goes to that host alone ------------------------------------------------------


@asynccontextmanager
async def answering(
    text: bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server with one answer; yields its URL and what it was sent."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(text)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", got


def answer(status: str, body: bytes = b"{}", *headers: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status}".encode(), b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


async def test_no_redirect_is_followed(far: Far) -> None:
    async with answering(answer("200 OK")) as (elsewhere, got):
        moved = answer("302 Found", b"", f"Location: {elsewhere}/api/v1/status".encode())
        async with answering(moved) as (far.url, _):
            assert "which is not followed" in (await far("status", code=4))[1]
    assert got == []


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (answer("200 OK", b"<html>"), 4, "no service of Relayer's"),
        (answer("200 OK", b"[" * 100_000), 4, "no service of Relayer's"),
        (answer("500 Oops", b"\x1b[2J"), 1, "500"),
        (answer("503 Busy", b'{"detail": "the store is away"}'), 3, "the store is away"),
        (b"nonsense", 3, "does not answer"),
    ],
)
async def test_what_is_no_answer_is_no_crash(far: Far, text: bytes, code: int, said: str) -> None:
    async with answering(text) as (far.url, _):
        out, err = await far("status", code=code)
    assert said in err
    assert "\x1b" not in out + err


async def test_certificates_are_verified_by_the_authority_that_is_named(
    far: Far, tmp_path: Path
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    body = json.dumps({"freezes": []}).encode()
    async with answering(answer("200 OK", body), tls) as (far.url, got):
        assert "--ca-file" in (await far("freezes", code=4))[1]
        assert got == []
        out, _ = await far("freezes", "--ca-file", str(tmp_path / "ca.pem"))
    assert out == "nothing is frozen or held\n"
    assert f"Bearer {ANN}".encode() in got[0]


@pytest.mark.parametrize(
    "url",
    [
        "relayer.example.com",
        "ftp://relayer.example.com",
        "https://",
        "https://x/?a=b",
        "https://me:hunter2@relayer.example.com",
        "https://relayer.example.com:port",
    ],
)
def test_a_url_that_is_none_is_named_and_no_password_repeated(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        ServiceClient.of(url, token_file=None, ca_file=None)
    assert "hunter2" not in str(raised.value)


def test_no_token_is_sent_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token")
    with pytest.raises(BadUrl, match="without TLS"):
        ServiceClient.of("http://10.0.0.1", token_file=tmp_path / "token", ca_file=None)
    made = ServiceClient.of("https://10.0.0.1", token_file=tmp_path / "token", ca_file=None)
    assert "a-token" not in repr(made)


@pytest.mark.parametrize("text", ["", "two words", "a\nb", "é"])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(Refused, match="token file"):
        ServiceClient.of("https://x", token_file=tmp_path / "token", ca_file=None)


class Paced(ServiceClient):
    """A service that wants a pause before each second look."""

    asked: ClassVar[list[str]] = []

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        if path == "/status":
            return {"pools": [{"cluster": "prod", "pool": f"p{number}"} for number in range(3)]}
        self.asked.append(path)
        if len(self.asked) % 2:
            return {"path": path}
        raise Answered(429, "too often", again_seconds=float(self.prefix or 0))


async def test_plans_of_many_pools_are_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    Paced.asked.clear()
    door = RemoteDoor(Paced(host="x", port=1, prefix="", tls=None, token=""))
    found = (await door.plans(None))["plans"]
    assert [row["path"] for row in found] == [f"/pools/prod/p{number}/plan" for number in range(3)]
    assert "asked again in 0 s" in capsys.readouterr().err


async def test_but_not_for_longer_than_somebody_waits() -> None:
    Paced.asked.clear()
    door = RemoteDoor(Paced(host="x", port=1, prefix="61", tls=None, token=""))
    with pytest.raises(Transient, match="too often"):
        await door.plans(None)


async def test_when_it_may_be_asked_again_is_read(far: Far) -> None:
    client = ServiceClient.of(far.url, token_file=far.token, ca_file=None)
    for _ in range(PLAN_BURST):
        await client.get("/pools/prod/infra/plan")
    with pytest.raises(Answered) as caught:
        await client.get("/pools/prod/infra/plan")
    assert (caught.value.status, caught.value.again_seconds) == (429, PLAN_EVERY)

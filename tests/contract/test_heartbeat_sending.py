"""The heartbeat against a real server: what arrives, and what is never told of it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from tests.contract.test_webhook import AT, SECRET, Receiver, checks, listening
from tests.registries import PrivateCa
from watcher.clients.beating import opened_heartbeat
from watcher.clients.hooks import Webhook
from watcher.clock import SystemClock
from watcher.core.beats import Beat
from watcher.ports import Refused, Transient

BEAT = Beat(at=AT, every_seconds=60.0, clusters=3)
HOOK = Webhook(name="", kind="heartbeat", url="", secret=lambda: SECRET)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as there:
        yield there


async def beat(hook: Webhook, *, times: int = 1, answer_seconds: float = 10.0) -> None:
    async with opened_heartbeat(
        hook, clock=SystemClock(), trust_env=False, answer_seconds=answer_seconds
    ) as send:
        for _ in range(times):
            await send(replace(BEAT, at=SystemClock().now()))


async def test_a_beat_is_small_and_signed_as_the_page_says(receiver: Receiver) -> None:
    await beat(replace(HOOK, url=receiver.url))
    ((headers, body),) = receiver.got
    said = json.loads(body)
    at = datetime.fromisoformat(said.pop("at"))
    assert said == {"schema": "relayer.io/heartbeat/v1", "every_seconds": 60.0, "clusters": 3}
    assert abs(SystemClock().now() - at) < timedelta(minutes=1)
    assert checks()(headers["Relayer-Signature"], body, SECRET)
    assert headers["Content-Type"] == "application/json"
    assert SECRET not in str((headers, body))


async def test_without_a_secret_it_is_not_signed(receiver: Receiver) -> None:
    await beat(replace(HOOK, url=receiver.url, secret=None))
    ((headers, _),) = receiver.got
    assert "Relayer-Signature" not in headers


async def test_over_tls_with_a_private_ca(tmp_path: Path) -> None:
    authority = PrivateCa.made_in(tmp_path)
    async with listening(authority.server_context()) as receiver:
        hook = replace(HOOK, url=receiver.url)
        with pytest.raises(Transient, match=r"^heartbeat does not answer: ConnectError$"):
            await beat(hook)
        await beat(replace(hook, ca_file=authority.ca_file))
    assert len(receiver.got) == 1


async def test_a_ca_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^heartbeat: CA file .*: No such file"):
        await beat(replace(HOOK, url="https://127.0.0.1:1/", ca_file=tmp_path / "absent"))


@pytest.mark.parametrize(("status", "error"), [(500, Transient), (429, Transient), (404, Refused)])
async def test_what_it_answers_is_told_without_the_address(
    receiver: Receiver, status: int, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [lambda: web.Response(status=status)]
    with pytest.raises(error, match=f"^heartbeat answered {status}$"):
        await beat(replace(HOOK, url=receiver.url))
    assert "s3cret-path" not in caplog.text
    assert SECRET not in caplog.text


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    away = {"Location": receiver.url + "/elsewhere"}
    receiver.answers = [lambda: web.Response(status=307, headers=away)]
    with pytest.raises(Refused, match="redirects are not followed"):
        await beat(replace(HOOK, url=receiver.url))
    assert len(receiver.got) == 1


async def test_a_receiver_that_hangs_or_never_stops_answering_is_not_waited_for(
    receiver: Receiver,
) -> None:
    hook = replace(HOOK, url=receiver.url)
    receiver.endless = (b"x" * 65536, 0.0)
    async with asyncio.timeout(5):
        await beat(hook, times=2)
    receiver.endless, receiver.held = None, asyncio.Event()
    async with asyncio.timeout(5):
        with pytest.raises(Transient, match="does not answer: TimeoutError"):
            await beat(hook, answer_seconds=0.1)


async def test_a_secret_that_cannot_be_read_now_is_one_that_may_be_later(
    receiver: Receiver,
) -> None:
    def unreadable() -> str:
        raise Refused("alerts.heartbeat: no such file")

    with pytest.raises(Transient, match="no such file"):
        await beat(replace(HOOK, url=receiver.url, secret=unreadable))
    assert receiver.got == []

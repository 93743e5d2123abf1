"""Webhooks against a real server: what arrives, what answers mean, and that the page says so."""

import asyncio
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.registries import PrivateCa
from watcher.clients.hooks import ANSWER_SECONDS, Webhook, signed
from watcher.clients.store.memory_outbox import MemoryOutbox
from watcher.clients.webhook import WebhookSink, content, payload
from watcher.clock import SystemClock
from watcher.core.letters import (
    About,
    Body,
    Card,
    Details,
    Diff,
    Digest,
    DigestRow,
    Letters,
    Notice,
    Nudge,
    Severity,
    VoteLine,
    Wanted,
)
from watcher.ports import Refused, Transient
from watcher.telling.courier import Courier

DOC = (Path(__file__).parents[2] / "docs/reference/webhook.md").read_text()
SECRET = "never-shown"
PLACE = "webhook:pager"
AT = datetime(2026, 11, 18, 8, 0, tzinfo=UTC)
CARD = Card(
    update="u-7f3a",
    cluster="prod",
    pool="infra",
    kind="layered",
    state="awaiting-approval",
    line="awaiting 1 of 2",
    severity=Severity.INFO,
    because="the base moved from 4.16.3 to 4.16.4",
    change="patch",
    release="4.16.4",
    from_release="4.16.3",
    os_version="416.94.202611170000-0",
    from_os_version="416.94.202611010000-0",
    image="registry.example.com/os/gpu@sha256:" + "a" * 64,
    from_image="registry.example.com/os/gpu@sha256:" + "b" * 64,
    base="quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + "c" * 64,
    signature="checked against the release's own list",
    complaints=("warning RL008, Containerfile line 4: dnf leaves its cache in the layer",),
    recipe="gpu",
    recipe_digest="sha256:" + "d" * 64,
    diff=Diff(known=True, lines=("Containerfile", "+RUN dnf -y install kmod"), summary="+1 −0"),
    nodes=6,
    estimate_seconds=5400,
    next_window="Sat 2026-11-21 02:00 CET",
    scheduled_for=datetime(2026, 11, 21, 1, 0, tzinfo=UTC),
    in_the_way=("the freeze of prod lasts until 2026-11-20 18:00 UTC",),
    requested_by="relayer",
    votes=(VoteLine(by="slack:U024BE7LH", at=AT - timedelta(minutes=5), reason="looks right"),),
    quorum=2,
    missing=1,
    approvers=("slack-group:S0614TZR7",),
    two_person=True,
    expires_at=datetime(2026, 11, 19, 8, 0, tzinfo=UTC),
    binding="sha256:" + "e" * 64,
    can_approve=True,
    can_reject=True,
    can_snooze=True,
    snooze_choices=(("1h", "1 hour"), ("tomorrow", "tomorrow 09:00")),
    several_clusters=True,
)
NOTICE = Notice(cause="held:prod", title="Behind and held", sentence="the pool is degraded")


@dataclass
class Receiver:
    """A server that keeps what comes and answers as told."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[Callable[[], web.StreamResponse]] = field(default_factory=list)
    """Used up one by one; then 204."""
    held: asyncio.Event | None = None
    endless: tuple[bytes, float] | None = None
    """A 200 whose body never ends: chunk and pause."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((dict(request.headers), await request.read()))
        if self.held:
            await self.held.wait()
        if self.endless:
            chunk, pause = self.endless
            answer = web.StreamResponse()
            await answer.prepare(request)
            while True:
                await answer.write(chunk)
                await asyncio.sleep(pause)
        if self.answers:
            return self.answers.pop(0)()
        return web.Response(status=204)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@asynccontextmanager
async def listening(trust: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if trust else 'http'}://127.0.0.1:{port}/hook/s3cret-path"
    try:
        yield receiver
    finally:
        if receiver.held:
            receiver.held.set()
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as there:
        yield there


def hook(receiver: Receiver, **more: Any) -> Webhook:
    return replace(Webhook(name="pager", url=receiver.url, secret=lambda: SECRET), **more)


@asynccontextmanager
async def sink_to(
    *hooks: Webhook, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[WebhookSink]:
    async with WebhookSink.opened(
        hooks, clock=SystemClock(), trust_env=False, answer_seconds=answer_seconds
    ) as sink:
        yield sink


async def post(sink: WebhookSink, body: Body = CARD, nonce: str = "1763452800:5f2c") -> str:
    return await sink.post(PLACE, body, nonce=nonce, sequence=1, thread="", broadcast=False)


# --- what arrives ---------------------------------------------------------------------------


async def test_post_and_edit_send_the_whole_letter_under_one_id(receiver: Receiver) -> None:
    async with sink_to(hook(receiver)) as sink:
        ref = await post(sink)
        await sink.edit(PLACE, ref, replace(CARD, line="done 14:02", state="done"), sequence=2)
    first, second = receiver.bodies
    assert (first["id"], first["kind"], first["subject"]) == (ref, "update", "u-7f3a")
    assert first["update"]["line"] == "awaiting 1 of 2"
    assert second["id"] == first["id"]
    assert second["update"]["state"] == "done"
    assert second["sequence"] > first["sequence"]
    deliveries = {headers["Relayer-Delivery"] for headers, _ in receiver.got}
    assert len(deliveries) == 2


@pytest.mark.parametrize(
    ("body", "kind", "severity", "subject"),
    [
        pytest.param(CARD, "update", "info", "u-7f3a", id="update"),
        pytest.param(
            Nudge(update="u1", cluster="prod", pool="infra", sentence="look"),
            *("nudge", "warning", "u1"),
            id="nudge",
        ),
        pytest.param(NOTICE, "notice", "warning", "held:prod", id="notice"),
        pytest.param(
            Digest(title="Today", day="2026-11-18", done=(DigestRow(place="p", text="t"),)),
            *("digest", "info", "2026-11-18"),
            id="digest",
        ),
    ],
)
async def test_each_kind_of_letter_says_what_it_is(
    receiver: Receiver, body: Body, kind: str, severity: str, subject: str
) -> None:
    async with sink_to(hook(receiver)) as sink:
        await post(sink, body)
    (said,) = receiver.bodies
    assert (said["kind"], said["severity"], said["subject"]) == (kind, severity, subject)
    assert said["schema"] == "relayer.io/notification/v1"
    assert isinstance(said[kind], dict)


async def test_details_are_not_sent_and_never_differ(receiver: Receiver) -> None:
    async with sink_to(hook(receiver)) as sink:
        assert await post(sink, Details(update="u1")) == "1763452800:5f2c"
        await sink.edit(PLACE, "1763452800:5f2c", Details(update="u1", build="b1"), sequence=2)
        assert sink.fingerprint(Details(update="u1")) == sink.fingerprint(Details(update="u2"))
    assert receiver.got == []


async def test_the_fingerprint_changes_exactly_with_what_is_said() -> None:
    async with sink_to() as sink:
        assert sink.fingerprint(CARD) == sink.fingerprint(replace(CARD))
        assert sink.fingerprint(CARD) != sink.fingerprint(replace(CARD, line="done"))


async def test_text_that_is_no_valid_unicode_is_said_nevertheless(receiver: Receiver) -> None:
    async with sink_to(hook(receiver)) as sink:
        await post(sink, replace(NOTICE, sentence="caf\ud800é"))
    assert receiver.bodies[0]["notice"]["sentence"] == "caf?é"


async def test_a_renewed_secret_is_used_at_once(receiver: Receiver) -> None:
    secrets = itertools.cycle(["old", "new"])
    async with sink_to(hook(receiver, secret=lambda: next(secrets))) as sink:
        await post(sink)
        await post(sink)
    for (headers, body), secret in zip(receiver.got, ("old", "new"), strict=True):
        assert checks()(headers["Relayer-Signature"], body, secret)


async def test_a_secret_that_cannot_be_read_is_waited_for(receiver: Receiver) -> None:
    def unreadable() -> str:
        raise Refused("the secret of pager: no such file")

    async with sink_to(hook(receiver, secret=unreadable)) as sink:
        with pytest.raises(Transient, match="no such file") as caught:
            await post(sink)
    assert caught.value.retry_after_seconds == 60
    assert receiver.got == []


# --- what answers mean ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_accepted(receiver: Receiver, status: int) -> None:
    receiver.answers = [lambda: web.Response(status=status)]
    async with sink_to(hook(receiver)) as sink:
        await post(sink)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_these_are_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [lambda: web.Response(status=status)]
    async with sink_to(hook(receiver)) as sink:
        with pytest.raises(Transient, match=f"^webhook pager answered {status}$") as caught:
            await post(sink)
    assert caught.value.retry_after_seconds is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
async def test_these_are_refusals(receiver: Receiver, status: int) -> None:
    receiver.answers = [lambda: web.Response(status=status)]
    async with sink_to(hook(receiver)) as sink:
        with pytest.raises(Refused, match=f"^webhook pager answered {status}$"):
            await post(sink)


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    away = {"Location": receiver.url + "/elsewhere"}
    receiver.answers = [lambda: web.Response(status=307, headers=away)]
    async with sink_to(hook(receiver)) as sink:
        with pytest.raises(Refused, match="redirects are not followed"):
            await post(sink)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param(format_datetime(AT + timedelta(seconds=90), usegmt=True), 90, id="date"),
        pytest.param(format_datetime(AT - timedelta(seconds=90), usegmt=True), 0, id="past"),
        pytest.param("soon", None, id="nonsense"),
        pytest.param("9" * 400, None, id="too much"),
    ],
)
async def test_retry_after_is_understood_in_both_forms(
    receiver: Receiver, said: str, seconds: float | None
) -> None:
    headers = {"Retry-After": said, "Date": format_datetime(AT, usegmt=True)}
    receiver.answers = [lambda: web.Response(status=429, headers=headers)]
    async with sink_to(hook(receiver)) as sink:
        with pytest.raises(Transient) as caught:
            await post(sink)
    assert caught.value.retry_after_seconds == seconds


async def test_nobody_there_is_tried_again_and_no_error_tells_the_address() -> None:
    async with listening() as receiver:
        gone = hook(receiver)
    async with sink_to(gone) as sink:
        with pytest.raises(Transient, match=r"^webhook pager does not answer: ConnectError$"):
            await post(sink)


@pytest.mark.parametrize(
    ("chunk", "pause"),
    [
        pytest.param(b"x" * 65536, 0.0, id="as fast as it can"),
        pytest.param(b"x", 0.01, id="drop by drop"),
    ],
)
async def test_an_endless_answer_is_not_waited_for(
    receiver: Receiver, chunk: bytes, pause: float
) -> None:
    receiver.endless = (chunk, pause)
    async with sink_to(hook(receiver), answer_seconds=0.5 if pause else 60) as sink:
        async with asyncio.timeout(5):
            await post(sink)
            await post(sink)  # over another connection
    assert len(receiver.got) == 2


async def test_no_answer_ends_in_time(receiver: Receiver) -> None:
    receiver.held = asyncio.Event()
    async with sink_to(hook(receiver), answer_seconds=0.2) as sink:
        with pytest.raises(Transient, match=r"^webhook pager does not answer: TimeoutError$"):
            await post(sink)


async def test_a_webhook_that_nobody_configured_is_refused() -> None:
    async with sink_to() as sink:
        with pytest.raises(Refused, match="webhook:pager is no webhook that is configured"):
            await post(sink)


async def test_certificates_are_verified_by_the_named_ca(tmp_path: Path) -> None:
    ca = PrivateCa.made_in(tmp_path)
    trust = ca.server_context()
    async with listening(trust) as receiver:
        async with sink_to(hook(receiver)) as sink:
            with pytest.raises(Transient, match="ConnectError"):
                await post(sink)
        async with sink_to(hook(receiver, ca_file=ca.ca_file)) as sink:
            await post(sink)
    assert len(receiver.got) == 1


async def test_a_ca_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"webhook pager: CA file .*none\.pem: No such file"):
        async with sink_to(hook(Receiver("https://x.invalid"), ca_file=tmp_path / "none.pem")):
            pass


async def test_nobody_can_be_asked_what_arrived(receiver: Receiver) -> None:
    async with sink_to(hook(receiver)) as sink:
        assert await sink.find(PLACE, "1763452800:5f2c", thread="") == ""
        await sink.take_back(PLACE, "1763452800:5f2c")
    assert receiver.got == []


# --- with the courier -----------------------------------------------------------------------


class Leads:
    is_ours = True


async def test_after_a_lost_answer_the_courier_sends_it_again_under_the_same_id(
    receiver: Receiver,
) -> None:
    letters = Letters(wanted=(Wanted(key="card", place=PLACE, about=About.UPDATE, body=CARD),))

    async def letters_of(subject: str) -> Letters:
        return letters

    def broken() -> web.StreamResponse:
        return web.Response(status=502)

    receiver.answers = [broken]
    outbox = MemoryOutbox(SystemClock())
    await outbox.mark("u-7f3a")
    async with sink_to(hook(receiver)) as sink:
        courier = Courier(
            outbox=outbox,
            sinks={"webhook": sink},
            letters_of=letters_of,
            leadership=Leads(),
            clock=SystemClock(),
        )
        task = asyncio.create_task(courier.run())
        async with asyncio.timeout(10):
            while await outbox.marked(1):
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    first, second = receiver.bodies
    assert first["id"] == second["id"]
    assert first["sequence"] < second["sequence"]


# --- the page -------------------------------------------------------------------------------


def checks() -> Callable[..., bool]:
    """The check of the page."""
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    room: dict[str, Any] = {}
    exec(code, room)
    found: Callable[..., bool] = room["is_from_relayer"]
    return found


def example() -> str:
    sent = payload(CARD, letter_id="1763452800:5f2c", sequence=7, at=AT)
    return json.dumps(sent, indent=2, ensure_ascii=False)


def test_the_example_of_the_page_is_what_is_sent() -> None:
    (shown,) = re.findall(r"```json\n(.*?)\n```", DOC, re.DOTALL)
    assert shown == example()


ALERT = Notice(
    cause="lag:0a1b2c3d4e5f",
    title="2 pools of prod are behind 4.16.9",
    sentence="for one, prod/gpu: its OS image is 6 releases behind that of 4.16.9: critical by"
    " releases",
    places=("prod/gpu", "prod/infra"),
    severity=Severity.CRITICAL,
    since=AT,
    rule="lag",
    silenced="prod/infra: alert lag is silenced by cli:ann until 2026-11-20 08:00 UTC: new nodes"
    " come",
    escalated=True,
)
CALL = Nudge(
    update="",
    cluster="",
    pool="",
    sentence="critical now: 2 pools of prod are behind 4.16.9: for one, prod/gpu: its OS image is 6"
    " releases behind",
    severity=Severity.CRITICAL,
    cause=ALERT.cause,
)


def test_the_alerts_of_the_page_are_what_is_sent() -> None:
    shown = re.findall(r"```jsonc\n(.*?)\n```", DOC, re.DOTALL)
    sent = [msgspec.json.decode(msgspec.json.encode(content(body))) for body in (ALERT, CALL)]
    assert [json.loads(one) for one in shown] == sent


def test_the_page_names_every_field_around_the_letter() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", DOC, re.MULTILINE))
    assert rows == {*json.loads(example()), "nudge", "notice", "digest"}


async def test_the_check_of_the_page_takes_what_is_sent(receiver: Receiver) -> None:
    async with sink_to(hook(receiver)) as sink:
        await post(sink)
    ((headers, body),) = receiver.got
    check = checks()
    assert check(headers["Relayer-Signature"], body, SECRET)
    assert not check(headers["Relayer-Signature"], body + b" ", SECRET)
    assert not check(headers["Relayer-Signature"], body, "another")
    assert not check("", body, SECRET)


def test_the_check_of_the_page_refuses_what_is_old() -> None:
    then = datetime.now(UTC) - timedelta(minutes=10)
    header = signed(b"{}", secret=SECRET, at=then)["Relayer-Signature"]
    assert not checks()(header, b"{}", SECRET)
    assert checks()(header, b"{}", SECRET, longest_ago=3600)

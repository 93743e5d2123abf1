"""`relayer doctor slack` against the Slack double, over HTTP and websockets, and its page."""

import asyncio
import json
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from simulator.slack import Message, SlackDouble, Workspace
from simulator.slack.screen import render
from tests.registries import PrivateCa
from tests.unit.test_slack_card import AWAITING
from watcher.chat.commands import HELP
from watcher.cli import doctor
from watcher.cli.exits import Code
from watcher.cli.output import Format
from watcher.clients.slack import answers, others
from watcher.clients.slack.api import SlackApi
from watcher.clients.slack.card import card
from watcher.clients.slack.checks import HELLO_SECONDS, Checks
from watcher.clients.slack.diagnosis import NEXT
from watcher.clients.slack.scopes import SCOPES
from watcher.config import load_text
from watcher.core.letters import Notice, Nudge, Severity
from watcher.findings import Finding, Level
from watcher.ports import Clock
from watcher.settings import Settings

PAGE = Path(__file__).parents[2] / "docs/slack.md"
CONFIG = """
clusters:
  - {{name: prod, in_cluster: true}}
recipes:
  - {{name: infra-os, path: recipe, target: registry.example.com/os/infra, authors: [person:ann]}}
people:
  - {{name: ann, identities: [slack:U0ANN0000, cli:ann]}}
slack:
  bot_token_file: {directory}/bot-token
  app_token_file: {directory}/app-token
  signing_secret_file: {directory}/signing-secret
  mode: {mode}
  api_url: {api_url}
  team: T0RELAYER
  app: A0RELAYER
  channel: C0OPS
{more}
pools:
  - cluster: prod
    pool: infra
    recipe: infra-os
    policy:
      approval:
        approvers: [{approvers}]
        quorum: {quorum}
        two_person: {two_person}
"""


@dataclass
class Setup:
    """A workspace in which all is well, until a test changes that; and a configuration."""

    slack: SlackDouble
    directory: Path
    said: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    """Another configuration altogether."""

    def configured(self) -> str:
        if self.text:
            return self.text
        usual = {"mode": "socket", "more": "", "quorum": 1, "two_person": "false"}
        usual |= {"directory": self.directory, "api_url": self.slack.api_url}
        usual |= {"approvers": "slack-group:S0OPS, person:ann"}
        return CONFIG.format(**usual | self.said)

    def settings(self) -> Settings:
        return load_text(self.configured())

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with SlackDouble.start() as slack:
        made = Setup(slack, tmp_path)
        there = slack.workspace
        there.add_user("ann", id="U0ANN0000")
        there.add_user("bob", id="U0BOB0000")
        there.add_channel("ops", id="C0OPS")
        there.add_usergroup("platform", ["ann", "bob"], id="S0OPS")
        there.scopes = list(SCOPES)
        made.write("bot-token", slack.bot_token + "\n")
        made.write("app-token", slack.app_token + "\n")
        made.write("signing-secret", slack.signing_secret + "\n")
        yield made


@dataclass(frozen=True)
class Report:
    code: Code
    rows: list[dict[str, str]]
    text: str

    def levels(self, what: str) -> list[str]:
        return [row["level"] for row in self.rows if row["what"] == what]

    def said(self, what: str) -> str:
        return "\n".join(row["said"] for row in self.rows if row["what"] == what)

    def bad(self) -> list[str]:
        return [row["what"] for row in self.rows if row["level"] == "failed"]

    def warned(self) -> list[str]:
        return [row["what"] for row in self.rows if row["level"] == "warning"]


Examine = Callable[..., Coroutine[Any, Any, Report]]


@pytest.fixture
def examine(setup: Setup, capsys: pytest.CaptureFixture[str]) -> Examine:
    """The command, in this process; its output never has a token in it."""

    async def run(*, post: bool = False) -> Report:
        code = await doctor.slack(setup.settings(), post=post, form=Format.JSON)
        text = capsys.readouterr().out
        for secret in ("bot-token", "app-token", "signing-secret"):
            held = setup.directory / secret
            assert (
                not held.exists()
                or not held.read_text().strip()
                or (held.read_text().strip() not in text)
            )
        rows = json.loads(text)
        assert rows["ok"] == (code is Code.OK)
        return Report(code, rows["checks"], text)

    return run


async def shell(setup: Setup, *words: str, **environment: str) -> tuple[int, str, str]:
    """`relayer doctor slack` as somebody types it."""
    (setup.directory / "relayer.yaml").write_text(setup.configured())
    program = str(Path(sys.executable).with_name("relayer"))
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    started = await asyncio.create_subprocess_exec(
        *(program, "doctor", "slack", "-c", str(setup.directory / "relayer.yaml"), *words),
        env=kept | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await started.communicate()
    return started.returncode or 0, out.decode(), err.decode()


@asynccontextmanager
async def server(
    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A server that is no Slack; yields its port."""
    made = web.Server(answer, access_log=None)
    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0, ssl=tls)
    yield int(listener.sockets[0].getsockname()[1])
    listener.close()
    await made.shutdown(1.0)


# --- all is well ----------------------------------------------------------------------------------


async def test_where_all_is_well_nothing_is_complained_of(setup: Setup, examine: Examine) -> None:
    report = await examine()
    assert (report.code, report.bad(), report.warned()) == (Code.OK, [], [])
    assert report.levels("app") == ["ok"]
    assert "2 members" in report.said("group S0OPS")
    assert "#ops (slack.channel)" in report.said("channel C0OPS")
    assert setup.slack.calls.count("chat.postMessage") == 0
    assert setup.slack.calls.unknown == []


async def test_the_trial_tells_each_step_and_leaves_nothing(setup: Setup, examine: Examine) -> None:
    report = await examine(post=True)
    assert report.code is Code.OK
    steps = [
        row["what"] for row in report.rows if row["what"] in {"post", "edit", "find", "delete"}
    ]
    assert steps == ["post", "edit", "find", "delete"]
    assert "bot token" in report.said("app")
    assert setup.slack.messages("ops") == []
    (message,) = setup.slack.workspace.channel("ops").messages.values()
    assert (message.edited, message.deleted) == (1, True)


async def test_people_get_one_line_for_each_check(setup: Setup) -> None:
    code, out, err = await shell(setup, "--post")
    assert (code, err) == (0, "")
    assert all(re.match(r"(ok|warning|failed|skipped) +\S.* — \S", row) for row in out.splitlines())
    assert setup.slack.bot_token not in out
    assert setup.slack.app_token not in out
    assert not (setup.directory / "state").exists()


async def test_the_connection_is_closed_again(setup: Setup, examine: Examine) -> None:
    report = await examine()
    assert "1 of 10 connections" in report.said("socket")
    await setup.slack.until(lambda: not setup.slack.socket.links)
    assert setup.slack.socket.opened == 1


# --- configuration and secrets --------------------------------------------------------------------


async def test_without_slack_in_it_the_configuration_cannot_be_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await doctor.slack(Settings(), post=True, form=Format.TABLE) is Code.USAGE
    assert "failed   configuration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "holds", "says"),
    [
        ("bot-token", None, "cannot be read"),
        ("bot-token", "", "must hold one word"),
        ("bot-token", "xapp-1-A0-1-abc", "holds an app token.*exchanged"),
        ("bot-token", "xoxp-1-2", "holds a user token.*put a bot token"),
        ("bot-token", "sesame", "holds something else"),
        ("app-token", None, "cannot be read"),
        ("app-token", "xoxb-1-2", "holds a bot token.*put an app token.*Basic Information"),
    ],
)
async def test_a_secret_that_cannot_be_one_is_named(
    setup: Setup, examine: Examine, name: str, holds: str | None, says: str
) -> None:
    if holds is None:
        (setup.directory / name).unlink()
    else:
        setup.write(name, holds)
    report = await examine()
    what, other = name.replace("-", " "), "socket" if name == "bot-token" else "bot"
    assert report.code is Code.REFUSED
    assert report.bad() == [what]
    assert re.search(says, report.said(what))
    assert report.levels(other) == ["ok"], "what does not depend on it is checked"


async def test_a_rotated_token_is_used_and_warned_of(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.bot_token = "xoxe.xoxb-1-rotated"
    setup.write("bot-token", "xoxe.xoxb-1-rotated")
    report = await examine()
    assert report.levels("bot token") == ["warning"]
    assert "12 h" in report.said("bot token")
    assert report.said("bot") != ""


async def test_the_signing_secret_is_looked_at_in_mode_http_only(
    setup: Setup, examine: Examine
) -> None:
    setup.write("signing-secret", setup.slack.bot_token)
    assert (await examine()).levels("signing secret") == []
    setup.said["mode"] = "http"
    report = await examine()
    assert report.bad() == ["signing secret"]
    assert "holds a bot token" in report.said("signing secret")
    assert report.levels("app token") == []


async def test_a_token_may_come_from_the_environment(setup: Setup) -> None:
    file = f"bot_token_file: {setup.directory}/bot-token"
    setup.text = setup.configured().replace(file, "bot_token_env: BOT")
    code, out, _ = await shell(setup, BOT=setup.slack.bot_token)
    assert code == 0
    assert "$BOT can be read" in out
    code, out, _ = await shell(setup)
    assert code == 4
    assert "$BOT" in out


# --- who we are -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["token_revoked", "invalid_auth", "account_inactive"])
async def test_a_token_that_opens_nothing_stops_only_what_needs_it(
    setup: Setup, examine: Examine, word: str
) -> None:
    setup.slack.faults.error(word, method="auth.test")
    report = await examine(post=True)
    assert (report.code, report.bad()) == (Code.REFUSED, ["bot"])
    assert report.said("bot").startswith(f"{word}: {NEXT[word][0]}")
    assert report.levels("socket") == ["ok"]
    assert report.levels("scopes, channels, groups") == ["skipped"]
    assert report.levels("posting") == ["skipped"]
    assert setup.slack.calls.count("conversations.info") == 0


async def test_the_token_of_another_workspace_is_refused(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.team_id = "T0OTHER"
    report = await examine()
    assert report.bad() == ["team"]
    assert "T0OTHER" in report.said("team")
    assert "T0RELAYER" in report.said("team")


async def test_the_app_token_of_another_app_is_found_by_the_greeting(
    setup: Setup, examine: Examine
) -> None:
    setup.slack.workspace.app_id = "A0OTHER"
    report = await examine()
    assert report.bad() == ["app"]
    assert "app token is of app A0OTHER" in report.said("app")


async def test_in_mode_http_only_a_posted_message_tells_the_app(
    setup: Setup, examine: Examine
) -> None:
    setup.said["mode"] = "http"
    setup.slack.workspace.app_id = "A0OTHER"
    report = await examine()
    assert (report.code, report.levels("app")) == (Code.OK, ["skipped"])
    assert "--post" in report.said("app")
    report = await examine(post=True)
    assert report.bad() == ["app"]
    assert "bot token is of app A0OTHER" in report.said("app")


@dataclass
class At:
    """A clock that is off by so much."""

    off: timedelta

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.mark.parametrize(
    ("seconds", "level", "says"),
    [
        (0, Level.OK, "less than a minute"),
        (-45, Level.OK, "less than a minute"),
        (200, Level.WARNING, "ahead of Slack's"),
        (-200, Level.WARNING, "behind Slack's"),
    ],
)
async def test_a_clock_that_is_off_is_told(
    setup: Setup, seconds: int, level: Level, says: str
) -> None:
    found = await found_by(setup, clock=At(timedelta(seconds=seconds)))
    (clock,) = [one for one in found if one.what == "clock"]
    assert clock.level is level
    assert says in clock.said


async def found_by(
    setup: Setup,
    *,
    post: bool = False,
    clock: Clock | None = None,
    api_url: str = "",
    hello_seconds: float = HELLO_SECONDS,
) -> list[Finding]:
    """What the checks find, asked with another clock or patience, or elsewhere, than usual."""
    slack, url = setup.slack, api_url or setup.slack.api_url
    async with (
        SlackApi.opened(lambda: slack.bot_token, api_url=url) as bot,
        SlackApi.opened(lambda: slack.app_token, api_url=url) as app,
    ):
        checks = Checks(
            settings=setup.settings(),
            clock=clock or At(timedelta()),
            bot=bot,
            app=app,
            hello_seconds=hello_seconds,
        )
        return [one async for one in checks.run(post=post)]


# --- scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_missing_scope_is_named_with_its_use(
    setup: Setup, examine: Examine, scope: str
) -> None:
    setup.slack.workspace.remove_scope(scope)
    report = await examine()
    private = scope.startswith("groups:")
    assert report.levels(f"scope {scope}") == ["warning" if private else "failed"]
    assert private or SCOPES[scope] in report.said(f"scope {scope}")
    assert report.code is (Code.OK if private else Code.REFUSED)


async def test_a_surplus_scope_is_a_warning(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.scopes.append("users:read")
    report = await examine()
    assert (report.code, report.warned()) == (Code.OK, ["scopes"])
    assert "users:read" in report.said("scopes")


async def test_scopes_for_what_is_not_used_need_not_be_granted(
    setup: Setup, examine: Examine
) -> None:
    setup.said |= {"approvers": "cli:root", "mode": "none"}
    setup.slack.workspace.remove_scope("usergroups:read", "commands")
    report = await examine()
    assert report.bad() == []
    assert report.levels("scope commands") == report.levels("scope usergroups:read") == ["warning"]


# --- channels -------------------------------------------------------------------------------------

ELSEWHERE = """
routes:
  - {to: [slack:C0ROUTE, slack:C0OPS]}
digests:
  - {name: morning, to: [slack:C0DIGEST], at: "08:30"}
defaults:
  policy:
    approval:
      escalate:
        - {after: 1h, to: slack:C0CHIEFS}
        - {after: 2h, to: slack:U0ANN0000}
"""


async def test_every_channel_that_is_named_anywhere_is_looked_at(
    setup: Setup, examine: Examine
) -> None:
    setup.said["more"] = ELSEWHERE
    for name in ("C0ROUTE", "C0DIGEST", "C0CHIEFS"):
        setup.slack.workspace.add_channel(name.lower(), id=name, bot=name == "C0DIGEST")
    report = await examine()
    assert report.bad() == ["channel C0ROUTE", "channel C0CHIEFS"]
    assert "(routes[0]); type there: /invite @relayer" in report.said("channel C0ROUTE")
    assert "escalation of prod/infra" in report.said("channel C0CHIEFS")
    assert "slack.channel, routes[0]" in report.said("channel C0OPS")
    assert "digest morning" in report.said("channel C0DIGEST")
    assert setup.slack.calls.count("conversations.info") == 4


async def test_an_archived_channel_is_refused(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.archive("ops")
    report = await examine()
    assert report.bad() == ["channel C0OPS"]
    assert "archived" in report.said("channel C0OPS")


async def test_a_channel_that_is_not_there_is_told_as_slack_tells_it(
    setup: Setup, examine: Examine
) -> None:
    del setup.slack.workspace.channels["C0OPS"]
    report = await examine()
    assert report.bad() == ["channel C0OPS"]
    assert "or it is private" in report.said("channel C0OPS")


@pytest.mark.parametrize("private", [False, True], ids=["public", "private"])
async def test_without_the_scope_of_its_kind_a_channel_cannot_be_checked(
    setup: Setup, examine: Examine, private: bool
) -> None:
    setup.slack.workspace.channel("ops").private = private
    scope = "groups:read" if private else "channels:read"
    setup.slack.workspace.remove_scope(scope)
    report = await examine()
    assert f"({scope})" in report.said("channel C0OPS")
    assert report.levels("channel C0OPS") == ["failed"]


async def test_a_direct_message_is_no_place_for_letters(setup: Setup, examine: Examine) -> None:
    setup.said["more"] = "routes:\n  - {to: [slack:D0ANN]}"
    report = await examine()
    assert report.warned() == ["channel D0ANN"]


# --- user groups and quorums ----------------------------------------------------------------------


async def test_a_group_that_does_not_exist_is_refused(setup: Setup, examine: Examine) -> None:
    setup.said["approvers"] = "slack-group:S0NOBODY"
    report = await examine()
    assert report.bad() == ["group S0NOBODY"]
    assert "approver of prod/infra" in report.said("group S0NOBODY")


async def test_a_disabled_group_is_refused(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.disable("S0OPS")
    report = await examine()
    assert report.bad() == ["group S0OPS"]
    assert report.said("group S0OPS").startswith("@platform (approver of prod/infra) is disabled")


async def test_a_group_only_named_for_escalation_is_looked_at_too(
    setup: Setup, examine: Examine
) -> None:
    setup.said |= {
        "approvers": "person:ann",
        "more": ELSEWHERE.replace("slack:U0ANN0000", "slack-group:S0X"),
    }
    for name in ("C0ROUTE", "C0DIGEST", "C0CHIEFS"):
        setup.slack.workspace.add_channel(name.lower(), id=name)
    report = await examine()
    assert report.bad() == ["group S0X"]


async def test_an_empty_group_is_a_warning(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.usergroup("S0OPS").members.clear()
    report = await examine()
    assert report.warned() == ["group S0OPS"]


@pytest.mark.parametrize(
    ("approvers", "quorum", "two_person", "members", "says"),
    [
        # Ann is named as a person and is a member too: she is one.
        ("slack-group:S0OPS, person:ann", 2, "false", ["U0ANN0000"], "only 1 may"),
        ("slack-group:S0OPS, person:ann", 2, "false", ["U0ANN0000", "U0BOB0000"], ""),
        ("slack-group:S0OPS", 3, "false", ["U0ANN0000", "U0BOB0000"], "3 must approve, and only 2"),
        ("slack-group:S0OPS", 1, "true", ["U0ANN0000"], "all who may approve wrote recipe"),
        ("slack-group:S0OPS", 1, "true", ["U0ANN0000", "U0BOB0000"], ""),
    ],
)
async def test_groups_with_too_few_people_for_a_pool_are_a_warning(
    setup: Setup,
    examine: Examine,
    approvers: str,
    quorum: int,
    two_person: str,
    members: list[str],
    says: str,
) -> None:
    setup.said |= {"approvers": approvers, "quorum": quorum, "two_person": two_person}
    setup.slack.workspace.usergroup("S0OPS").members[:] = members
    report = await examine()
    assert report.warned() == ["pool prod/infra"] * bool(says)
    assert says in report.said("pool prod/infra")


async def test_people_are_not_checked_and_that_is_said(setup: Setup, examine: Examine) -> None:
    report = await examine()
    assert report.levels("people") == ["skipped"]
    assert "slack:U0ANN0000" in report.said("people")
    assert "users:read" in report.said("people")
    setup.slack.workspace.scopes.append("users:read")
    await examine()
    assert setup.slack.calls.count("users.info") == 0


@pytest.mark.parametrize(
    ("approvers", "warned"),
    [
        ("", True),
        ("cli:root", True),
        ("person:ann", False),
        ("slack:U0ANN0000", False),
        ("slack-group:S0OPS", False),
    ],
)
async def test_a_pool_that_nobody_could_approve_from_slack_is_named(
    setup: Setup, examine: Examine, approvers: str, warned: bool
) -> None:
    setup.said["approvers"] = approvers
    report = await examine()
    assert report.levels("approvers") == ["warning"] * warned
    assert ("nobody can approve prod/infra from Slack" in report.said("approvers")) is warned


async def test_nobody_is_missed_where_nobody_is_asked(setup: Setup, examine: Examine) -> None:
    setup.said |= {"approvers": "cli:root", "more": "defaults: {policy: {mode: auto}}"}
    assert (await examine()).levels("approvers") == []
    setup.said |= {"approvers": "slack-group:S0OPS", "quorum": 3}
    assert (await examine()).warned() == []


# --- hearing --------------------------------------------------------------------------------------


async def test_the_wrong_app_token_is_told(setup: Setup, examine: Examine) -> None:
    setup.write("app-token", "xapp-1-A0RELAYER-1-old")
    report = await examine()
    assert report.bad() == ["socket"]
    assert "invalid_auth" in report.said("socket")


async def test_an_app_token_without_its_scope_is_told(setup: Setup, examine: Examine) -> None:
    async def lacking(request: web.BaseRequest) -> web.StreamResponse:
        said = {"ok": False, "error": "missing_scope", "needed": "connections:write"}
        return web.json_response(said)

    async with server(lacking) as port:
        url = f"http://127.0.0.1:{port}/api/"
        found = await found_by(setup, api_url=url)
    (socket,) = [one for one in found if one.what == "socket"]
    assert "generate an app-level token" in socket.said


@pytest.mark.parametrize("links", [9, 10])
async def test_the_last_connections_are_told(setup: Setup, links: int) -> None:
    """With nine others ours is the tenth; the eleventh is turned away."""
    async with AsyncExitStack() as stack:
        for _ in range(links):
            await stack.enter_async_context(connection(setup.slack))
        await setup.slack.connected(links)
        found = await found_by(setup)
    (socket,) = [one for one in found if one.what == "socket"]
    assert socket.level is (Level.WARNING if links == 9 else Level.FAILED)
    assert ("10 of 10" if links == 9 else "too_many_websockets") in socket.said


@asynccontextmanager
async def connection(slack: SlackDouble) -> AsyncIterator[None]:
    async with SlackApi.opened(lambda: slack.app_token, api_url=slack.api_url) as api:
        url = (await api.call("apps.connections.open"))["url"]
        assert api.client.session is not None
        async with api.client.session.ws_connect(url):
            yield


async def test_a_websocket_that_is_refused_is_told_without_its_ticket(
    setup: Setup, examine: Examine
) -> None:
    setup.slack.faults.refuse_links = True
    report = await examine()
    assert (report.code, report.bad()) == (Code.UNREACHABLE, ["socket"])
    assert "status 503" in report.said("socket")
    assert "ticket" not in report.text


async def speaks(setup: Setup, act: Callable[[web.WebSocketResponse], Awaitable[None]]) -> Finding:
    """What is found where the websocket is somebody else's."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/link":
            return web.json_response({"ok": True, "url": f"ws://{request.host}/link?ticket=secret"})
        link = web.WebSocketResponse()
        await link.prepare(request)
        await act(link)
        return link

    async with server(answer) as port:
        url = f"http://127.0.0.1:{port}/api/"
        found = await found_by(setup, api_url=url, hello_seconds=0.2)
    (socket,) = [one for one in found if one.what == "socket"]
    assert "secret" not in socket.said
    return socket


async def test_a_websocket_over_which_nothing_comes_is_told(setup: Setup) -> None:
    async def silent(link: web.WebSocketResponse) -> None:
        await link.receive()

    socket = await speaks(setup, silent)
    assert (socket.level, socket.passing) == (Level.FAILED, True)
    assert "nothing comes over the websocket within 0.2 s" in socket.said
    assert "let proxies and firewalls pass websockets to 127.0.0.1" in socket.said


@pytest.mark.parametrize("said", ["hi", "[]", ""])
async def test_a_websocket_that_is_not_slack_s_is_told(setup: Setup, said: str) -> None:
    async def other(link: web.WebSocketResponse) -> None:
        await (link.send_str(said) if said else link.close())

    assert (await speaks(setup, other)).level is Level.FAILED


async def test_socket_mode_that_is_off_is_told(setup: Setup) -> None:
    async def off(link: web.WebSocketResponse) -> None:
        await link.send_json({"type": "disconnect", "reason": "link_disabled"})

    socket = await speaks(setup, off)
    assert "switch it on at Settings, Socket Mode" in socket.said


async def test_in_mode_http_the_address_to_set_is_told(setup: Setup, examine: Examine) -> None:
    setup.said["mode"] = "http"
    report = await examine()
    assert (report.code, report.levels("listening")) == (Code.OK, ["skipped"])
    assert "/slack/events" in report.said("listening")
    assert setup.slack.socket.opened == 0


async def test_in_mode_none_that_is_said(setup: Setup, examine: Examine) -> None:
    setup.said |= {"mode": "none", "approvers": "cli:root"}
    report = await examine()
    assert report.levels("listening") == ["ok"]
    assert report.levels("approvers") == []


async def test_an_app_id_in_the_answer_of_auth_test_is_believed(setup: Setup) -> None:
    async def me(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"ok": True, "team_id": "T0RELAYER", "app_id": "A0OTHER"})

    async with server(me) as port:
        found = await found_by(setup, api_url=f"http://127.0.0.1:{port}/api/")
    said = {one.what: one for one in found}
    assert "bot token is of app A0OTHER" in said["app"].said
    assert said["bot"].level is Level.FAILED, "a person's token has no bot_id"
    assert said["scopes"].level is Level.SKIPPED


# --- the trial ------------------------------------------------------------------------------------


def steps(report: Report) -> dict[str, str]:
    names = ("post", "edit", "find", "delete", "edit, find, delete")
    return {row["what"]: row["level"] for row in report.rows if row["what"] in names}


@pytest.mark.parametrize(
    ("method", "failed"),
    [("chat.update", "edit"), ("conversations.history", "find")],
)
@pytest.mark.parametrize("kind", ["error", "close", "status", "lose"])
async def test_nothing_is_left_behind_when_a_step_fails(
    setup: Setup, examine: Examine, method: str, failed: str, kind: str
) -> None:
    if kind == "error":
        setup.slack.faults.error("missing_scope", method=method)
    else:
        # Several: aiohttp itself repeats a GET whose connection broke.
        getattr(setup.slack.faults, kind)(method=method, count=9)
    report = await examine(post=True)
    others = {"post": "ok", "edit": "ok", "find": "ok", "delete": "ok"}
    assert steps(report) == others | {failed: "failed"}
    assert report.code is (Code.REFUSED if kind == "error" else Code.UNREACHABLE)
    assert setup.slack.messages("ops") == []


@pytest.mark.parametrize("kind", ["lose", "close"])
async def test_a_message_whose_answer_got_lost_is_looked_for_and_deleted(
    setup: Setup, examine: Examine, kind: str
) -> None:
    getattr(setup.slack.faults, kind)(method="chat.postMessage")
    report = await examine(post=True)
    assert steps(report) == {"post": "failed", "find": "ok"} | (
        {"delete": "ok"} if kind == "lose" else {}
    )
    assert report.code is Code.UNREACHABLE
    assert setup.slack.messages("ops") == []


async def test_a_message_that_may_stand_there_is_told_if_it_cannot_be_looked_for(
    setup: Setup, examine: Examine
) -> None:
    setup.slack.faults.lose(method="chat.postMessage")
    setup.slack.faults.error("missing_scope", method="conversations.history")
    report = await examine(post=True)
    assert "may stand in C0OPS" in report.said("find")


async def test_what_was_surely_not_posted_is_not_looked_for(setup: Setup, examine: Examine) -> None:
    setup.slack.workspace.kick_bot("ops")
    report = await examine(post=True)
    assert report.bad() == ["channel C0OPS", "post"]
    assert steps(report) == {"post": "failed", "edit, find, delete": "skipped"}
    assert setup.slack.calls.count("conversations.history") == 0


@pytest.mark.parametrize("kind", ["lose", "close"])
async def test_deleting_is_tried_again(setup: Setup, examine: Examine, kind: str) -> None:
    getattr(setup.slack.faults, kind)(method="chat.delete", count=2)
    report = await examine(post=True)
    assert report.code is Code.OK
    assert setup.slack.messages("ops") == []


async def test_a_message_that_cannot_be_deleted_is_told(setup: Setup, examine: Examine) -> None:
    setup.slack.faults.status(500, method="chat.delete", count=3)
    report = await examine(post=True)
    assert report.bad() == ["delete"]
    assert "still stands in C0OPS: delete it by hand" in report.said("delete")


async def test_a_message_that_is_not_found_is_a_failure(setup: Setup, examine: Examine) -> None:
    held = setup.slack.faults.hold(method="conversations.history")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(examine(post=True))
        await held.arrived.wait()
        message = await setup.slack.message("ops")
        setup.slack.workspace.remove(message)
        held.released.set()
    report = task.result()
    assert steps(report) == {"post": "ok", "edit": "ok", "find": "failed", "delete": "ok"}
    assert report.code is Code.REFUSED


@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "conversations.history"])
async def test_somebody_s_control_c_leaves_nothing_behind(setup: Setup, method: str) -> None:
    held = setup.slack.faults.hold(method=method)
    task = asyncio.get_running_loop().create_task(found_by(setup, post=True))
    await held.arrived.wait()
    task.cancel()
    held.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert setup.slack.messages("ops") == []


# --- the way to Slack -----------------------------------------------------------------------------


async def test_a_slack_that_is_away_is_one_failure_and_worth_another_try(
    setup: Setup, examine: Examine
) -> None:
    await setup.slack.down()
    report = await examine(post=True)
    assert (report.code, report.bad()) == (Code.UNREACHABLE, ["bot"])
    assert f"no connection to 127.0.0.1:{setup.slack.server.port}" in report.said("bot")
    assert report.said("socket") == "no way to Slack"


@pytest.mark.parametrize(
    ("kind", "said", "code"),
    [
        ("status", "trouble of its own (status 500)", Code.UNREACHABLE),
        ("ratelimited", "ratelimited: Slack asks for a pause", Code.UNREACHABLE),
        ("close", "the connection broke", Code.UNREACHABLE),
    ],
)
async def test_trouble_of_slack_s_is_worth_another_try(
    setup: Setup, examine: Examine, kind: str, said: str, code: Code
) -> None:
    getattr(setup.slack.faults, kind)(method="auth.test")
    report = await examine()
    assert (report.code, report.bad()) == (code, ["bot"])
    assert said in report.said("bot")


async def test_a_word_that_nobody_knows_is_repeated_and_no_token_in_it(
    setup: Setup, examine: Examine
) -> None:
    setup.slack.faults.error(f"strange {setup.slack.bot_token}\x1b[31m", method="auth.test")
    report = await examine()
    assert "Slack says strange …" in report.said("bot")
    assert "\\u001b" not in report.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", "<html>"),
        ("text/plain", "welcome"),
        ("application/json", "[1]"),
        ("application/json", "{"),
    ],
)
async def test_a_wrong_api_url_is_told(
    setup: Setup, examine: Examine, kind: str, body: str
) -> None:
    async def other(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=body, content_type=kind)

    async with server(other) as port:
        setup.said["api_url"] = f"http://127.0.0.1:{port}/"
        report = await examine()
    assert report.code is Code.REFUSED
    assert "not Slack's API" in report.said("bot")
    assert "https://slack-gov.com/api/" in report.said("bot")


async def test_a_pause_without_slack_s_own_word_is_one_too(setup: Setup, examine: Examine) -> None:
    async def edge(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=429, text="<html>", content_type="text/html")

    async with server(edge) as port:
        setup.said["api_url"] = f"http://127.0.0.1:{port}/"
        report = await examine()
    assert report.code is Code.UNREACHABLE
    assert "ratelimited: Slack asks for a pause" in report.said("bot")


async def test_a_name_that_nobody_knows_is_told(setup: Setup, examine: Examine) -> None:
    setup.said["api_url"] = "https://slack.invalid/api/"
    report = await examine()
    assert report.code is Code.UNREACHABLE
    assert "no address is known for slack.invalid" in report.said("bot")


async def test_a_certificate_that_is_not_trusted_is_told_until_its_ca_is_named(
    setup: Setup, tmp_path: Path
) -> None:
    ca = PrivateCa.made_in(tmp_path / "ca")

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"ok": False, "error": "invalid_auth"})

    async with server(refuse, ca.server_context()) as port:
        setup.said["api_url"] = f"https://127.0.0.1:{port}/api/"
        code, out, _ = await shell(setup)
        assert code == 4
        assert "the certificate of 127.0.0.1 is not trusted here" in out
        assert "SSL_CERT_FILE" in out
        _, out, _ = await shell(setup, SSL_CERT_FILE=str(ca.ca_file))
        assert "invalid_auth" in out


async def test_a_proxy_that_does_not_answer_is_told(setup: Setup) -> None:
    async with server(nothing) as port:
        pass
    setup.said["api_url"] = "https://slack.invalid/api/"
    code, out, _ = await shell(setup, HTTPS_PROXY=f"http://me:sesame@127.0.0.1:{port}")
    assert code == 3
    assert "the proxy that HTTPS_PROXY or HTTP_PROXY names does not answer" in out
    assert "sesame" not in out


async def test_a_proxy_that_refuses_is_told_without_its_password(setup: Setup) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        setup.said["api_url"] = "https://slack.invalid/api/"
        code, out, _ = await shell(setup, HTTPS_PROXY=f"http://me:sesame@127.0.0.1:{port}")
    assert code == 4
    assert "refuses with status 407" in out
    assert "sesame" not in out


async def nothing(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


# --- the page -------------------------------------------------------------------------------------


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def rows(text: str) -> Iterable[list[str]]:
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_configuration_on_the_page_is_one_the_service_takes() -> None:
    first, *others = blocks("yaml")
    assert load_text(first).slack.is_on
    assert load_text(first).pools
    for other in others:
        load_text(whole(first, other))


def whole(first: str, other: str) -> str:
    """The first configuration with the keys of another one in the place of its own."""
    merged = yaml.safe_load(first) | yaml.safe_load(other)
    return str(yaml.safe_dump(merged))


def test_the_page_s_table_of_errors_is_that_of_the_code() -> None:
    _, _, part = PAGE.read_text().partition("## When it does not work")
    listed = {row[0].strip("` "): (row[1], row[2]) for row in rows(part)}
    assert {word: listed.get(word) for word in NEXT} == dict(NEXT)


async def test_the_output_on_the_page_is_what_is_printed(setup: Setup) -> None:
    shown = next(block for block in blocks("console") if "doctor slack --post" in block)
    shown = shown.split("\n", 1)[1]
    first = blocks("yaml")[0]
    there = setup.slack.workspace
    there.team_id, there.app_id, there.domain = "T024BE7LD", "A024BE7LF", "example"
    there.add_channel("openshift", id="C024BE91L")
    there.add_usergroup("platform", ["ann", "bob"], id="S0614TZR7")
    text = first.replace("/etc/relayer/slack", str(setup.directory))
    text = text.replace("  team:", f"  api_url: {setup.slack.api_url}\n  team:")
    setup.text = text
    code, out, _ = await shell(setup, "--post")
    assert code == 0
    assert out.replace(str(setup.directory), "/etc/relayer/slack") == shown


WHY = "for one, prod/gpu: its OS image is 6 releases behind that of 4.16.9: critical by releases"
LAG = Notice(
    cause="lag:1",
    title="2 pools of prod are behind 4.16.9",
    sentence=WHY,
    places=("prod/gpu", "prod/infra"),
    severity=Severity.CRITICAL,
    since=datetime(2026, 11, 25, 13, 30, tzinfo=UTC),
    rule="lag",
)
RISE = Nudge(
    update="",
    cluster="prod",
    pool="",
    sentence=f"critical now: {LAG.title}: {WHY}",
    severity=Severity.CRITICAL,
    cause=LAG.cause,
)


def test_the_pictures_on_the_page_are_what_slack_shows() -> None:
    there = Workspace(lambda: 0.0)
    there.add_user("ann", id="U024BE7LH")

    def shown(said: dict[str, Any]) -> str:
        message = Message("C0OPS", there.new_ts(), there.bot.id, said["text"], said["blocks"])
        return render(message, there) + "\n"

    alert = shown(others.render(LAG)) + f"  {shown(others.render(RISE))}"
    commands = shown(answers.bullets("/relayer", HELP))
    assert blocks("text") == [commands, shown(card(AWAITING)), alert]

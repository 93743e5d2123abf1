"""`relayer demo --slack`: what people read there, who may press what, and that it is checked."""

import signal
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest

from simulator.demo.slack import DemoSlack, demo_slack
from simulator.slack import Message
from tests.scenario import test_demo
from tests.scenario.test_demo import Demo

demo = test_demo.demo
"""The fixture."""
QUICK = ("--slack", "--speed", "300")


def _of_slack(lines: list[dict[str, Any]], event: str = "") -> list[dict[str, Any]]:
    return [one for one in lines if one["kind"] == "slack" and event in ("", one["event"])]


def test_an_approver_presses_the_button_and_one_message_tells_the_rest(demo: Demo) -> None:
    ran = demo.run("--json", *QUICK)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *lines, summary = test_demo.as_lines(ran.stdout)
    assert summary["result"] == "done"
    assert summary["updates"][0]["approved_by"].startswith("slack:U")
    assert summary["slack"]["messages"] == 1
    assert summary["slack"]["posted"] == 1 + len(_of_slack(lines, "Reply"))
    (posted,) = _of_slack(lines, "Posted")
    assert "awaiting 0 of 1" in posted["detail"]
    assert "[ Approve ]" in posted["detail"]
    last = _of_slack(lines, "Edited")[-1]["detail"]
    assert last.startswith("✅ infra: done")
    assert "[ Approve ]" not in last
    refused, counted = _of_slack(lines, "Whispered")
    assert (refused["id"], counted["id"]) == ("@eve", "@ann")
    assert "Only visible to you" in refused["detail"]
    assert "is not an approver" in refused["detail"]
    declined = [one for one in lines if one["event"] == "ApproveDeclined"]
    assert [one["kind"] for one in declined] == ["update"]


def test_a_rollback_is_read_in_the_message_and_called_out_in_its_thread(demo: Demo) -> None:
    ran = demo.run("--fail-node", "--json", *QUICK)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *lines, summary = test_demo.as_lines(ran.stdout)
    assert summary["result"] == "rolled-back"
    last = _of_slack(lines, "Edited")[-1]["detail"]
    assert "infra: rolled back" in last
    assert "no space left on device" in last
    assert summary["slack"]["messages"] == 1
    called = [one["detail"] for one in _of_slack(lines, "Reply") if "Degraded" in one["detail"]]
    assert any("rolled back" in one or "rolling back" in one for one in called)


def test_lines_show_the_message_as_people_see_it_until_a_signal(demo: Demo) -> None:
    command = demo.command("--yes", *QUICK)
    margin, seen = "  ┃ ", []
    with subprocess.Popen(
        command, env=demo.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            assert "\x1b" not in line
            if line.startswith(margin):
                seen.append(line.removeprefix(margin).rstrip())
            if "presses Approve" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 130
    assert seen[0].startswith("🙋 infra: awaiting")
    assert any("[ Approve ]  [ Reject ]" in line for line in seen)


@pytest.fixture
async def slack() -> AsyncIterator[DemoSlack]:
    """With one message about `u-1`, which says that it is done."""
    async with demo_slack() as made:
        await _say(made, "✅ infra: done 14:02")
        yield made


async def _say(slack: DemoSlack, title: str) -> Message:
    """As the service does."""
    from watcher.clients.slack.api import SlackApi
    from watcher.clients.slack.blocks import header, message, section

    double = slack.double
    said = message(title, [header(title), section("u-1")])
    async with SlackApi.opened(lambda: double.bot_token, api_url=double.api_url) as api:
        await api.call("chat.postMessage", channel=slack.channel.id, **said)
    return await double.message(slack.channel, contains="u-1")


async def test_one_message_in_its_last_state_is_what_is_asked_for(slack: DemoSlack) -> None:
    assert slack.lies("u-1", "done") == []


async def test_a_message_that_was_not_edited_is_noticed(slack: DemoSlack) -> None:
    (said,) = slack.lies("u-1", "rolled-back")
    assert said == "the message says '✅ infra: done 14:02', though the update is rolled-back"


async def test_what_is_said_twice_is_noticed(slack: DemoSlack) -> None:
    await _say(slack, "✅ infra: done 14:02")
    many, twice = slack.lies("u-1", "done")
    assert many == "2 messages in #os-updates tell of u-1, not one"
    assert twice.startswith("said 2 times: ✅ infra: done")


async def test_what_was_said_and_taken_back_is_noticed(slack: DemoSlack) -> None:
    slack.double.workspace.remove(await _say(slack, "⏳ infra: soaking"))
    assert slack.lies("u-1", "done") == ["2 messages were posted for the 1 that stand"]


async def test_silence_is_noticed() -> None:
    async with demo_slack() as slack:
        assert slack.lies("u-1", "done") == ["0 messages in #os-updates tell of u-1, not one"]

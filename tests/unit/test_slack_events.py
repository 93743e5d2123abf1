"""What Slack sends, read into our own values: whose it is, and when it is the same again."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.clients.slack import events
from watcher.core.facts import Malformed
from watcher.ports_telling import Click, Command, Submitted

Json = dict[str, Any]
TEAM, APP = "T1", "A1"


def a_click(**said: Any) -> Json:
    return {
        "type": "block_actions",
        "team": {"id": TEAM},
        "api_app_id": APP,
        "user": {"id": "U1", "team_id": TEAM},
        "trigger_id": "1.t",
        "channel": {"id": "C1"},
        "container": {"message_ts": "1.5", "channel_id": "C2"},
        "response_url": "https://hooks.slack.com/x",
        "actions": [{"action_id": "approve", "action_ts": "2.0", "value": "v"}],
        **said,
    }


def a_form(**said: Any) -> Json:
    view = {
        "id": "V1",
        "hash": "h",
        "callback_id": "reject",
        "private_metadata": "m",
        "state": {"values": {"reason": {"any": {"value": "no"}}, "empty": {"e": {"value": None}}}},
    }
    return {**a_click(), "type": "view_submission", "view": view, "actions": None, **said}


def a_command(**said: Any) -> Json:
    return {
        "command": "/relayer",
        "text": "help",
        "team_id": TEAM,
        "api_app_id": APP,
        "user_id": "U1",
        "channel_id": "C1",
        "trigger_id": "1.t",
        **said,
    }


def test_a_click_is_read() -> None:
    click = events.click(a_click())
    assert isinstance(click, Click)
    assert (click.user, click.channel, click.message) == ("U1", "C1", "1.5")
    assert (click.action, click.value) == ("approve", "v")


def test_of_a_choice_the_chosen_value_counts() -> None:
    action = {"action_id": "snooze", "selected_option": {"value": "4h"}, "value": "not this"}
    assert events.click(a_click(actions=[action])).value == "4h"


def test_a_form_is_read() -> None:
    form = events.submitted(a_form())
    assert isinstance(form, Submitted)
    assert (form.user, form.form, form.carried) == ("U1", "reject", "m")
    assert form.values == {"reason": "no", "empty": ""}


def test_a_command_is_read_up_to_a_length() -> None:
    command = events.command(a_command(text="x" * 9000))
    assert isinstance(command, Command)
    assert (command.user, command.channel, len(command.text)) == ("U1", "C1", 2000)


@pytest.mark.parametrize("actions", [None, [], [1], "approve", {}, [{}, {}]], ids=repr)
def test_a_click_without_exactly_one_action_is_none(actions: Any) -> None:
    with pytest.raises(Malformed):
        events.click(a_click(actions=actions))


@pytest.mark.parametrize("view", [None, [], "V1", {}], ids=repr)
def test_a_form_without_its_view_is_none(view: Any) -> None:
    with pytest.raises(Malformed):
        events.submitted(a_form(view=view))


# --- whose it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", [a_click(), a_form(), a_command()], ids=["click", "form", "command"]
)
def test_what_comes_from_our_workspace_to_our_app_is_ours(payload: Json) -> None:
    assert events.why_foreign(payload, team=TEAM, app=APP) is None


@pytest.mark.parametrize(
    "payload",
    [
        a_click(team={"id": "T2"}),
        a_click(team=None, team_id=TEAM),
        a_click(team="T1"),
        a_click(team={}),
        a_click(api_app_id="A2"),
        a_click(api_app_id=None),
        a_click(user={"id": "U1", "team_id": "T2"}),
        a_click(user={"id": "U1", "team_id": None}),
        a_form(team={"id": "T2"}),
        a_form(user={"id": "U1", "team_id": "T2"}),
        a_command(team_id="T2"),
        a_command(team_id=""),
        a_command(api_app_id=""),
        {},
    ],
    ids=repr,
)
def test_all_else_is_not(payload: Json) -> None:
    assert events.why_foreign(payload, team=TEAM, app=APP)


# --- the same again ------------------------------------------------------------------------------


def changed(payload: Json, *path: Any) -> Json:
    copy = deepcopy(payload)
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = "another"
    return copy


def test_the_same_payload_is_the_same_delivery() -> None:
    for payload in (a_click(), a_form(), a_command()):
        again = {**deepcopy(payload), "retry_attempt": 1, "is_enterprise_install": "false"}
        assert events.anybody(again) == events.anybody(payload)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (a_click(), ("trigger_id",)),
        (a_click(), ("user", "id")),
        (a_click(), ("team", "id")),
        (a_click(), ("actions", 0, "action_id")),
        (a_click(), ("actions", 0, "action_ts")),
        (a_form(), ("trigger_id",)),
        (a_form(), ("view", "id")),
        (a_form(), ("view", "hash")),
        (a_command(), ("trigger_id",)),
        (a_command(), ("user_id",)),
        (a_command(), ("command",)),
    ],
    ids=str,
)
def test_another_act_is_another_delivery(payload: Json, path: tuple[Any, ...]) -> None:
    other = events.anybody(changed(payload, *path))
    assert other.delivery != events.anybody(payload).delivery


NAMES = st.sampled_from(
    (
        *("team", "user", "id", "team_id", "api_app_id", "actions", "action_id", "value", "view"),
        *("state", "values", "container", "channel", "selected_option", "private_metadata", "text"),
    )
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, ANYTHING, max_size=8))
def test_whatever_comes_is_read_or_malformed(payload: Json) -> None:
    events.why_foreign(payload, team=TEAM, app=APP)
    events.anybody(payload)
    events.command(payload)
    events.trigger(payload)
    events.response_url(payload)
    for read in (events.click, events.submitted):
        try:
            read(payload)
        except Malformed:
            continue

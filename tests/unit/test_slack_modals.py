"""Forms and windows: what they ask, and what they carry."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_slack_card import ANN, AWAITING, BINDING, CARDS, HOSTILE, TEAM, whole
from tests.unit.test_slack_others import CASES, DETAILS
from tests.unit.test_slack_text import TEXTS, faults_of_view, mentions, same_as_snapshot
from watcher.clients.slack.modals import details_modal, failed, reject_modal, stock_modal
from watcher.core.letters import Card, Details

ASKED: dict[str, Any] = {
    "update": "u-1a2b3c4d",
    "binding": BINDING,
    "pool": "prod/infra",
    "reason_required": False,
    "channel": "C024BE91L",
    "ts": "1795615350.000100",
}
CLOSING = "its base is that of 4.16.9"


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("modal-reject", reject_modal(**ASKED)),
        ("modal-details", details_modal(DETAILS, AWAITING)),
        ("modal-stock", stock_modal(cluster="prod", pool="infra", sentence=CLOSING, channel="C1")),
        (
            "modal-failed",
            failed("u-1a2b3c4d was replaced at 14:02; `relayer status` shows by what"),
        ),
    ],
)
def test_each_window_looks_as_it_was_agreed(name: str, view: Any) -> None:
    assert faults_of_view(view) == []
    same_as_snapshot(name, view)


def test_a_rejection_knows_what_it_is_about_and_where_it_was_asked() -> None:
    view = reject_modal(**ASKED)
    assert json.loads(view["private_metadata"]) == {
        "u": "u-1a2b3c4d",
        "b": BINDING,
        "c": "C024BE91L",
        "t": "1795615350.000100",
    }
    assert view["callback_id"] == "reject"
    asked = view["blocks"][-1]
    assert (asked["block_id"], asked["element"]["action_id"]) == ("reason", "reason")
    assert asked["element"]["max_length"] == 500


@pytest.mark.parametrize("required", [True, False])
def test_a_reason_is_asked_for_as_the_policy_says(required: bool) -> None:
    view = reject_modal(**{**ASKED, "reason_required": required})
    assert view["blocks"][-1]["optional"] is not required


def test_going_back_to_stock_is_asked_about_one_pool() -> None:
    view = stock_modal(cluster="prod", pool="infra", sentence=CLOSING, channel="C1")
    assert view["callback_id"] == "stock"
    assert json.loads(view["private_metadata"]) == {"k": "prod", "p": "infra", "c": "C1"}


def test_a_window_names_who_may_decide_as_nobody_is_woken_by_it() -> None:
    shown = mentions(whole(details_modal(DETAILS, replace(AWAITING, approvers=(ANN, TEAM)))))
    assert shown[:2] == ["<@U024BE7LH>", "<!subteam^S0PLATFORM>"]


@settings(max_examples=40)
@given(TEXTS, TEXTS, st.booleans())
def test_slack_takes_every_form(said: str, other: str, required: bool) -> None:
    form = {"update": said, "binding": other, "pool": other, "channel": said, "ts": other}
    for view in (
        reject_modal(**form, reason_required=required),
        stock_modal(cluster=said, pool=other, sentence=said, channel=other),
        failed(said),
    ):
        assert faults_of_view(view) == []
        assert mentions(whole(view)) == []


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(max_examples=20)
@given(CARDS)
def test_slack_takes_every_window_of_details(asked: Card) -> None:
    assert faults_of_view(details_modal(DETAILS, asked)) == []


def test_slack_takes_a_window_of_hostile_details() -> None:
    hostile = CASES["details-hostile"]
    assert isinstance(hostile, Details)
    view = details_modal(hostile, HOSTILE)
    assert faults_of_view(view) == []
    assert mentions(whole(view)) == []

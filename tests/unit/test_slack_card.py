"""The message of one update: what it shows in each state, and what its buttons carry."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.facts import base_image, digest, image
from tests.unit.test_slack_text import (
    AT,
    NASTY,
    PEOPLE,
    TEXTS,
    WRITTEN,
    faults_of_message,
    live,
    mentions,
    same_as_snapshot,
    units,
)
from watcher.clients.slack.blocks import context, message, section
from watcher.clients.slack.card import card
from watcher.clients.slack.text import cut
from watcher.core.letters import Card, Diff, Severity, VoteLine
from watcher.core.update_events import UpdateState

ANN, BOB, TEAM = "slack:U024BE7LH", "slack:U0BOB0000", "slack-group:S0PLATFORM"
HOUR = timedelta(hours=1)
BINDING = digest("binding")

BUILDING = Card(
    update="u-1a2b3c4d",
    cluster="prod",
    pool="infra",
    kind="layered",
    state="waiting-for-build",
    line="building",
    severity=Severity.INFO,
    because="its base is that of 4.16.3, the cluster's is that of 4.16.9",
    change="patch",
    release="4.16.9",
    from_release="4.16.3",
    os_version="416.94.202611180221-0",
    from_os_version="416.94.202608151009-0",
    from_image=image("old"),
    base=base_image("4.16.9"),
    signature="signed by Red Hat (key 567E347AD0044ADE55BA8A5F199E2F91FD431D51)",
    recipe="infra-os",
    recipe_digest=digest("recipe"),
    nodes=6,
    next_window="Sat 2026-11-28 02:00 CET",
    requested_by="relayer",
    several_clusters=True,
)
AWAITING = replace(
    BUILDING,
    state="awaiting-approval",
    line="awaiting 1 of 2",
    severity=Severity.WARNING,
    image=image("new"),
    diff=Diff(known=True, summary="Containerfile +2 −1; motd changed"),
    estimate_seconds=7800,
    in_the_way=("the control plane: upgrading to 4.16.9: 82% complete",),
    votes=(VoteLine(by=ANN, at=AT, reason="read the errata"),),
    quorum=2,
    missing=1,
    approvers=(ANN, BOB, TEAM, "token:carl"),
    expires_at=AT + 24 * HOUR,
    binding=BINDING,
    can_approve=True,
    can_reject=True,
    can_snooze=True,
    snooze_choices=(
        ("1h", "1 hour"),
        ("4h", "4 hours"),
        ("tomorrow", "Until tomorrow 09:00"),
        ("next-window", "Until the next window"),
    ),
)
TWO_PERSON = replace(
    AWAITING,
    line="awaiting 1 more",
    quorum=1,
    two_person=True,
    requested_by=ANN,
    in_the_way=(),
    diff=Diff(known=False),
)
SCHEDULED = replace(
    AWAITING,
    state="scheduled",
    line="scheduled for Sat 02:00 CET",
    severity=Severity.INFO,
    scheduled_for=AT + 60 * HOUR,
    expires_at=AT + 7 * 24 * HOUR,
    votes=(*AWAITING.votes, VoteLine(by="token:carl", at=AT + HOUR)),
    missing=0,
    in_the_way=("the next window opens 2026-11-28 01:00 UTC",),
    can_approve=False,
)
SNOOZED = replace(
    AWAITING, line="snoozed by bob", snoozed_until=AT + 18 * HOUR, snoozed_by=BOB, in_the_way=()
)
ROLLING = replace(
    SCHEDULED,
    state="rolling-out",
    line="rolling out 2/6 nodes",
    scheduled_for=None,
    expires_at=None,
    in_the_way=(),
    can_reject=False,
    can_snooze=False,
    snooze_choices=(),
)
SOAKING = replace(ROLLING, state="soaking", line="soaking until 16:20 UTC")
DONE = replace(ROLLING, state="done", line="done 16:20 UTC, 6/6 nodes")
REJECTED = replace(
    ROLLING,
    state="rejected",
    line="rejected",
    ended_because=f"rejected by {BOB}: the `motd` is last year's",
    votes=AWAITING.votes,
    missing=1,
)
EXPIRED = replace(
    REJECTED,
    state="expired",
    line="expired",
    ended_because="nobody acted on it in time (2026-11-26 14:02:30+00:00)",
)
FAILED = replace(
    BUILDING,
    state="failed",
    line="failed before anything was touched",
    severity=Severity.WARNING,
    ended_because="its build b-77aa failed: buildah: exit 125: no space left on device",
)
ROLLED_BACK = replace(
    ROLLING,
    state="rolled-back",
    line="rolled back",
    severity=Severity.WARNING,
    ended_because="node infra-3 is degraded: failed to drain node: PDB db/quorum",
)
STUCK = replace(
    ROLLING,
    state="stuck",
    line="stuck: needs a person",
    severity=Severity.CRITICAL,
    ended_because="node infra-3 is degraded; undoing failed: the override was changed by admin",
)
STOCK = replace(
    AWAITING,
    kind="stock",
    because=f"{ANN} asked for the stock image",
    recipe="",
    recipe_digest="",
    change="",
    from_release="4.16.9",
    from_os_version=BUILDING.os_version,
    image=base_image("4.16.9"),
    requested_by=ANN,
    diff=None,
    votes=(),
    missing=2,
    several_clusters=False,
)
EVIL = " ".join(NASTY)
HOSTILE = replace(
    AWAITING,
    update="u-<!channel>",
    cluster="<!here>",
    pool="*p*` <@U024BE7LH>",
    line="`x` <!channel> :tada:",
    because=EVIL,
    ended_because=EVIL * 100,
    change="<!here>",
    release="*4*",
    from_release="<http://evil|4.16>",
    os_version="_x_",
    image="registry/<!here>@" + "🎉" * 4000,
    base="`",
    signature="@everyone signed it",
    recipe="~r~",
    recipe_digest="<!channel>",
    diff=Diff(known=True, summary=":tada: <@U024BE7LH>"),
    next_window="`<!here>`",
    in_the_way=(EVIL,) * 200,
    requested_by="slack:U024BE7LH> <!channel>",
    votes=(VoteLine(by="slack:<!here>", at=AT, reason=EVIL),) * 100,
    approvers=("<!subteam^S012345>", "slack:U1`*x*`"),
    binding="<!channel>",
    snooze_choices=(("<!here>", "<!here>"), ("x" * 200, "too long to carry")),
)
CASES = {
    "building": BUILDING,
    "awaiting-1-of-2": AWAITING,
    "awaiting-two-person": TWO_PERSON,
    "scheduled": SCHEDULED,
    "snoozed": SNOOZED,
    "rolling-out": ROLLING,
    "soaking": SOAKING,
    "done": DONE,
    "rejected": REJECTED,
    "expired": EXPIRED,
    "failed": FAILED,
    "rolled-back": ROLLED_BACK,
    "stuck": STUCK,
    "stock": STOCK,
    "hostile": HOSTILE,
}

TIMES = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
VOTES = st.builds(VoteLine, by=PEOPLE, at=TIMES, reason=WRITTEN)
DIFFS = st.none() | st.builds(
    Diff, known=st.booleans(), lines=st.lists(TEXTS, max_size=3).map(tuple), summary=TEXTS
)
MANY = st.sampled_from([1, 1, 1, 60])
"""How often each thing of a list is there."""


def lists(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A few things, or very many."""
    return st.builds(lambda few, times: tuple(few) * times, st.lists(of, max_size=3), MANY)


CARDS = st.builds(
    Card,
    update=TEXTS,
    cluster=TEXTS,
    pool=TEXTS,
    kind=st.sampled_from(["layered", "stock"]),
    state=st.sampled_from([*map(str, UpdateState), "another"]),
    line=TEXTS,
    severity=st.sampled_from(Severity),
    because=TEXTS,
    ended_because=TEXTS,
    change=TEXTS,
    release=TEXTS,
    from_release=TEXTS,
    os_version=TEXTS,
    from_os_version=TEXTS,
    image=TEXTS,
    from_image=TEXTS,
    base=TEXTS,
    signature=TEXTS,
    recipe=TEXTS,
    recipe_digest=TEXTS,
    diff=DIFFS,
    nodes=st.integers(0, 10_000),
    estimate_seconds=st.none() | st.integers(0, 10**7),
    next_window=TEXTS,
    scheduled_for=st.none() | TIMES,
    in_the_way=lists(WRITTEN) | st.tuples(TEXTS),
    requested_by=PEOPLE,
    votes=lists(VOTES),
    quorum=st.integers(1, 9),
    missing=st.integers(0, 9),
    approvers=lists(PEOPLE),
    two_person=st.booleans(),
    expires_at=st.none() | TIMES,
    snoozed_until=st.none() | TIMES,
    snoozed_by=PEOPLE,
    binding=TEXTS,
    can_approve=st.booleans(),
    can_reject=st.booleans(),
    can_snooze=st.booleans(),
    reason_required=st.booleans(),
    snooze_choices=lists(st.tuples(WRITTEN, WRITTEN)) | st.tuples(st.tuples(TEXTS, TEXTS)),
    several_clusters=st.booleans(),
)


def whole(said: Any) -> str:
    """All that is shown of a message or a window, in reading order."""
    found: list[str] = []

    def look(thing: Any) -> None:
        if isinstance(thing, list):
            for one in thing:
                look(one)
        elif isinstance(thing, dict):
            if isinstance(thing.get("text"), str):
                found.append(thing["text"])
            for one in thing.values():
                look(one)

    look(said)
    return "\n".join(found)


def buttons(said: Any) -> dict[str, Any]:
    """What can be pressed, by action_id."""
    rows = [block for block in said["blocks"] if block["type"] == "actions"]
    return {element["action_id"]: element for row in rows for element in row["elements"]}


def named(people: Iterable[str]) -> set[str]:
    """The mentions that these identities may become."""
    may = {"slack:U024BE7LH": "<@U024BE7LH>", "slack:W024BE7LH": "<@W024BE7LH>"}
    return {may[one] for one in people if one in may} | {
        "<!subteam^S012345>" for one in people if one == "slack-group:S012345"
    }


@pytest.mark.parametrize("name", CASES)
def test_each_state_looks_as_it_was_agreed(name: str) -> None:
    said = card(CASES[name])
    assert faults_of_message(said) == []
    same_as_snapshot(f"card-{name}", said)


def test_a_phone_shows_pool_state_and_versions_first() -> None:
    said = card(AWAITING)
    head, first = said["blocks"][:2]
    assert head["text"]["text"] == "🙋 prod/infra: awaiting 1 of 2"
    assert first["text"]["text"].startswith("*4.16.3 → 4.16.9*  ·  RHCOS 416.94.202608151009-0 →")
    assert said["text"].startswith("🙋 prod/infra: awaiting 1 of 2 — 4.16.3 → 4.16.9 — its base")


def test_the_cluster_is_named_in_the_head_only_where_there_are_several() -> None:
    said = card(replace(DONE, several_clusters=False))
    assert said["blocks"][0]["text"]["text"] == "✅ infra: done 16:20 UTC, 6/6 nodes"


@pytest.mark.parametrize("name", [name for name in CASES if name != "hostile"])
def test_full_pullspecs_can_be_copied(name: str) -> None:
    asked = CASES[name]
    for one in filter(None, (asked.image, asked.base, asked.from_image)):
        assert f"`{one}`" in whole(card(asked))


def test_buttons_carry_the_update_and_what_was_shown() -> None:
    pressed = buttons(card(AWAITING))
    assert list(pressed) == ["approve", "reject", "snooze", "details"]
    for name in ("approve", "reject", "details"):
        assert json.loads(pressed[name]["value"]) == {"u": "u-1a2b3c4d", "b": BINDING}
    assert [json.loads(option["value"]) for option in pressed["snooze"]["options"]] == [
        {"u": "u-1a2b3c4d", "b": BINDING, "c": word} for word, _ in AWAITING.snooze_choices
    ]
    assert card(AWAITING)["blocks"][-2]["block_id"] == "decide:u-1a2b3c4d"
    assert pressed["approve"]["style"] == "primary"
    assert pressed["reject"]["style"] == "danger"
    asked = pressed["approve"]["confirm"]["text"]["text"]
    assert asked == "6 nodes of prod/infra will be drained and rebooted onto release 4.16.9."


@pytest.mark.parametrize("may", ["approve", "reject", "snooze"])
def test_there_is_no_button_for_what_may_not_be_done(may: str) -> None:
    pressed = buttons(card(replace(AWAITING, **{f"can_{may}": False})))  # type: ignore[arg-type]
    assert set(pressed) == {"approve", "reject", "snooze", "details"} - {may}


def test_a_card_without_a_binding_carries_none() -> None:
    assert json.loads(buttons(card(BUILDING))["details"]["value"]) == {"u": "u-1a2b3c4d", "b": ""}


def test_a_value_too_long_for_a_button_is_left_out_whole() -> None:
    said = card(replace(AWAITING, update="u-" + "x" * 3000))
    assert buttons(said)["approve"]["value"] == ""
    assert "snooze" not in buttons(said)
    assert faults_of_message(said) == []


def test_nobody_is_woken_by_being_an_approver() -> None:
    said = whole(card(replace(AWAITING, votes=())))
    assert mentions(said) == []
    assert "May decide: `token:carl`, 3 more from Slack (see Details)" in said


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "*Approvals: 1 of 2*, 1 more needed by <!date"),
        ({"missing": 2, "votes": ()}, "*Approvals: 0 of 2*, 2 more needed by"),
        ({"two_person": True}, "Two-person rule: one of them must be somebody who neither asked"),
        (
            {"two_person": True, "quorum": 1},
            "*Approvals: 1 of 1*, 1 more needed by",
        ),
        (
            {"two_person": True, "quorum": 1},
            "Two-person rule: it now takes somebody who neither asked",
        ),
        ({}, "<@U024BE7LH> <!date^1795615350^"),
        ({}, ": read the errata"),
    ],
)
def test_what_is_missing_is_said(changes: dict[str, Any], shown: str) -> None:
    assert shown in whole(card(replace(AWAITING, **changes)))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "6 nodes, about 2h 10m"),
        ({"estimate_seconds": None, "nodes": 1}, "1 node, duration not known yet"),
        ({}, "Containerfile +2 −1; motd changed"),
        ({"diff": None}, "changes since the running image: not known"),
        ({"diff": Diff(known=False)}, "changes since the running image: not known"),
        ({"diff": Diff(known=True)}, "as in the running image"),
        ({"from_release": ""}, "*4.16.9*  ·  RHCOS"),
        ({"from_release": "4.16.9"}, "*4.16.9*  ·  RHCOS"),
        ({"release": "", "from_release": ""}, "*A new image*"),
        ({"kind": "stock"}, "*Back to the stock image of 4.16.3 → 4.16.9*"),
        ({"change": "first"}, "·  first layered image"),
    ],
)
def test_what_is_not_known_is_not_made_up(changes: dict[str, Any], shown: str) -> None:
    assert shown in whole(card(replace(AWAITING, **changes)))


def test_a_hostile_cluster_wakes_nobody_and_can_still_be_read() -> None:
    said = card(HOSTILE)
    assert mentions(whole(said)) == []
    assert "<!channel>" not in whole(said)
    assert "\n• … and" not in whole(said)
    assert "… and 1" in whole(said)


def test_whoever_a_card_names_is_named_in_its_sentences_too_and_nobody_else() -> None:
    because = f"{ANN} asked for it, not {BOB} and not x{ANN}; {ANN}"
    said = card(replace(AWAITING, requested_by=ANN, because=because))["blocks"][1]["text"]["text"]
    shown = f"<@U024BE7LH> asked for it, not {BOB} and not x{ANN}; <@U024BE7LH>"
    assert said.endswith(shown)


def test_whoever_rejected_it_is_named() -> None:
    assert "*Why:* rejected by <@U0BOB0000>: the `motd` is last" in whole(card(REJECTED))
    assert mentions(card(REJECTED)["text"]) == ["<@U0BOB0000>"]
    other = replace(REJECTED, state="failed", votes=(), requested_by="")
    assert mentions(whole(card(other))) == []


def test_a_message_of_too_many_blocks_says_how_many_are_missing() -> None:
    blocks = [section(f"part {number}") for number in range(60)]
    said = message("x", blocks, keep=[context("kept")])
    assert len(said["blocks"]) == 50
    assert said["blocks"][0] == blocks[0]
    assert said["blocks"][-2:] == [context("… and 12 more"), context("kept")]
    assert faults_of_message(said) == []


def test_a_message_of_too_many_characters_says_how_many_parts_are_missing() -> None:
    said = message("x", [section("x" * 3000) for _ in range(6)], keep=[context("kept")])
    assert said["blocks"][-2:] == [context("… and 3 more"), context("kept")]
    assert faults_of_message(said) == []


# What is generated is longer than hypothesis likes to print.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@settings(max_examples=50)
@given(CARDS)
@example(HOSTILE)
def test_whatever_a_card_says_slack_takes_it_and_nobody_else_is_named(asked: Card) -> None:
    said = card(asked)
    assert faults_of_message(said) == []
    people = [asked.requested_by, asked.snoozed_by, *(vote.by for vote in asked.votes)]
    assert set(mentions(whole(said))) <= named(people)
    assert json.dumps(card(replace(asked))) == json.dumps(said)
    assert "details" in buttons(said)


@given(TEXTS)
def test_the_state_is_seen_however_long_the_pools_name_is(pool: str) -> None:
    said = card(replace(AWAITING, pool=pool))
    assert ": awaiting 1 of 2" in said["blocks"][0]["text"]["text"]


def test_the_reader_of_markup_used_here_sees_it() -> None:
    for bad in ("*x*", "_x_", "a`*x*`", "`a`*x*", "<!channel>", ":x:", "`half", "``", "` x`"):
        assert set(live(bad)) & set("*_`<:"), bad
    assert live("ok `*x*`, (`_y_`) ```*z*```") == "ok □, (□) □"
    assert units(cut("🎉" * 10, 5)) == 5

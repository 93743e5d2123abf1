"""Who may approve what, and for how long."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import T0, digest, seconds
from watcher.core.approval import AUTO, ApprovalRules, Binding, Vote, approve, missing, why_not

RIGHT = Binding(
    update="u-1", image=digest("i"), base=digest("b"), recipe=digest("r"), policy=digest("p")
)
CHANGED: dict[str, Any] = {
    "update": "u-2",
    "image": digest("other"),
    "base": digest("other"),
    "recipe": digest("other"),
    "policy": digest("other"),
}


def vote(by: str, binding: Binding = RIGHT) -> Vote:
    return Vote(by=by, at=T0, binding=binding)


@pytest.mark.parametrize(
    ("by", "because"),
    [
        ("", "needs a name"),
        (AUTO, "only the policy itself"),
        ("eve", "eve is not an approver of this pool (approvers: ann, bob)"),
        ("ann", None),
    ],
    ids=["nobody", "the policy's own name", "somebody else", "an approver"],
)
def test_who_may_decide(by: str, because: str | None) -> None:
    said = why_not(ApprovalRules(approvers=("ann", "bob")), by)
    assert said == because if because is None else because in (said or "")


def test_without_a_list_of_approvers_whoever_passed_the_door_may() -> None:
    assert why_not(ApprovalRules(), "anybody") is None
    assert why_not(ApprovalRules(), AUTO) is not None


def test_the_same_person_counts_once() -> None:
    assert missing(ApprovalRules(quorum=2), RIGHT, [vote("ann"), vote("ann")]) == 1


def test_two_different_people_make_a_quorum_of_two() -> None:
    assert missing(ApprovalRules(quorum=2), RIGHT, [vote("ann"), vote("bob")]) == 0


@pytest.mark.parametrize("field", CHANGED)
def test_a_vote_for_anything_else_counts_nothing(field: str) -> None:
    stale = replace(RIGHT, **{field: CHANGED[field]})
    assert missing(ApprovalRules(), RIGHT, [vote("ann", stale)]) == 1


def test_a_vote_of_somebody_who_may_not_counts_nothing() -> None:
    rules = ApprovalRules(approvers=("ann",))
    assert missing(rules, RIGHT, [vote("eve"), vote(AUTO)]) == 1


@pytest.mark.parametrize("quorum", [0, -1])
def test_at_least_one_person_must_approve_whatever_the_quorum_says(quorum: int) -> None:
    assert missing(ApprovalRules(quorum=quorum), RIGHT, []) == 1


def test_an_approval_says_by_whom_and_until_when() -> None:
    given = approve(ApprovalRules(keep_seconds=60), RIGHT, [vote("ann")], now=T0)
    assert given is not None
    assert (given.by, given.binding, given.until) == (("ann",), RIGHT, T0 + seconds(60))


def test_without_the_quorum_there_is_no_approval() -> None:
    assert approve(ApprovalRules(quorum=2), RIGHT, [vote("ann")], now=T0) is None


def test_the_policy_approves_under_its_own_name() -> None:
    given = approve(ApprovalRules(auto=True), RIGHT, [vote("ann")], now=T0)
    assert given is not None
    assert given.by == (AUTO,)


@pytest.mark.parametrize("field", CHANGED)
def test_the_digest_of_a_binding_changes_with_each_of_its_parts(field: str) -> None:
    assert replace(RIGHT, **{field: CHANGED[field]}).digest() != RIGHT.digest()

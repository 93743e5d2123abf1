"""Who may approve what, and for how long."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import T0, digest, seconds
from watcher.core.approval import (
    AUTO,
    ApprovalRules,
    Binding,
    Vote,
    Who,
    approve,
    missing,
    voters,
    why_not,
)

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
    said = why_not(ApprovalRules(approvers=("ann", "bob")), Who(by=by))
    assert said == because if because is None else because in (said or "")


def test_without_a_list_of_approvers_whoever_passed_the_door_may() -> None:
    assert why_not(ApprovalRules(), Who(by="anybody")) is None
    assert why_not(ApprovalRules(), Who(by=AUTO)) is not None


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


# --- who somebody is, beyond an identity -------------------------------------------------------


def a_vote(by: str, **said: Any) -> Vote:
    return Vote(by=by, at=T0, binding=RIGHT, **said)


def test_two_identities_of_one_person_are_one_vote() -> None:
    rules = ApprovalRules(quorum=2)
    votes = [a_vote("token:ann", person="ann"), a_vote("cli:ann", person="ann")]
    assert voters(rules, RIGHT, votes) == ("token:ann",)
    assert missing(rules, RIGHT, votes) == 1


def test_a_person_named_among_the_approvers_counts_with_any_of_her_identities() -> None:
    rules = ApprovalRules(approvers=("person:ann",))
    assert why_not(rules, Who(by="slack:U1", person="ann")) is None
    assert why_not(rules, Who(by="slack:U1")) is not None
    assert why_not(rules, Who(by="slack:U1", person="bob")) is not None


def test_a_group_counts_as_it_was_found_when_the_vote_was_given() -> None:
    rules = ApprovalRules(approvers=("slack-group:S1",))
    assert voters(rules, RIGHT, [a_vote("slack:U1", groups=("slack-group:S1",))]) == ("slack:U1",)
    assert voters(rules, RIGHT, [a_vote("slack:U1", groups=("slack-group:S2",))]) == ()


def test_a_group_that_cannot_be_looked_up_is_a_no_that_says_so() -> None:
    rules = ApprovalRules(approvers=("slack-group:S1",))
    said = why_not(rules, Who(by="slack:U1", unresolved=("slack-group:S1 cannot be looked up",)))
    assert said is not None
    assert "cannot be looked up" in said


def test_nobody_decides_from_chat_where_no_approver_is_named() -> None:
    assert "names no approvers" in (why_not(ApprovalRules(), Who(by="slack:U1")) or "")
    assert why_not(ApprovalRules(), Who(by="token:ann")) is None


@pytest.mark.parametrize(
    ("authors", "votes", "short"),
    [
        ((), ["ann"], 0),
        (("ann",), [], 1),
        (("ann",), ["ann"], 1),
        (("ann",), ["ann", "bob"], 0),
        (("ann",), ["bob"], 0),
        (("ann", "bob"), ["ann", "bob"], 1),
    ],
    ids=["no author", "nobody", "the author alone", "both", "the other alone", "two authors"],
)
def test_who_asked_for_it_cannot_be_the_only_approver(
    authors: tuple[str, ...], votes: list[str], short: int
) -> None:
    rules = ApprovalRules(two_person=True)
    said = [a_vote(by) for by in votes]
    assert missing(rules, RIGHT, said, authors=authors) == short
    given = approve(rules, RIGHT, said, now=T0, authors=authors)
    assert (given is None) == bool(short)


def test_an_author_is_one_by_all_her_identities() -> None:
    rules = ApprovalRules(two_person=True)
    votes = [a_vote("slack:U1", person="ann")]
    assert missing(rules, RIGHT, votes, authors=("token:ann", "person:ann")) == 1


def test_without_the_rule_an_author_may_be_the_only_approver() -> None:
    assert missing(ApprovalRules(), RIGHT, [a_vote("ann")], authors=("ann",)) == 0

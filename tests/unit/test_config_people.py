"""Who may decide, as it is configured: identities, people, quorum, the two-person rule, asking."""

import pytest

from tests.unit.test_config import FLEET, problems
from watcher.config import load_text
from watcher.core.approval import ApprovalRules
from watcher.core.letters import Asking, Escalation
from watcher.settings import PersonSettings, PoolSettings, Settings

BEFORE = """
web:
  tokens:
    - {name: ann, token_env: A}
    - {name: bob, token_env: B}
slack: {bot_token_env: T, app_token_env: P, team: T024BE7LD, app: A024BE7LF, channel: C024BE91L}
people:
  - name: ann
    identities: [token:ann, cli:ann, slack:U024BE7LH]
"""
PLACE = "pools:\n  - cluster: prod\n    pool: p\n    recipe: gpu\n    policy: "
LINE = (BEFORE + FLEET + PLACE).count("\n") + 1
"""Of what stands behind PLACE."""


def settings(approval: str, *, more: str = "") -> Settings:
    return load_text(f"{BEFORE}{FLEET}{more}{PLACE}{{approval: {approval}}}")


def pool(approval: str) -> PoolSettings:
    return settings(approval).pools[0]


def mistakes(approval: str, *, before: str = BEFORE) -> list[str]:
    return problems(f"{before}{FLEET}{PLACE}{{approval: {approval}}}")


# --- identities ----------------------------------------------------------------------------------


def test_every_kind_of_identity_can_approve() -> None:
    listed = "token:bob, cli:root, slack:W024BE7LH, slack-group:S0614TZR7, person:ann"
    rules = pool(f"{{approvers: [{listed}], two_person: true}}").policy.approval
    assert rules == ApprovalRules(approvers=tuple(listed.split(", ")), two_person=True)


SHAPES = (
    "write it like token:ann, proxy:ann, openshift:ann, cli:root, slack:U024BE7LH,"
    " slack-group:S0614TZR7 or person:ann"
)


@pytest.mark.parametrize(
    "name",
    [
        "ann",
        "ldap:ann",
        "policy:auto",
        "slack:ann",
        "slack:C024BE91L",
        "slack:U0",
        "slack:U" + "A" * 21,
        "slack:U024BE7LH ",
        "slack-group:U024BE7LH",
        "slack-group:ops",
        "token:",
        "webhook:pager",
    ],
)
def test_what_is_no_identity_is_told_with_its_line(name: str) -> None:
    place = "pools[0].policy.approval.approvers[0]"
    assert mistakes(f"{{approvers: ['{name}']}}") == [
        f"f:{LINE}: {place}: {name!r} is no identity; {SHAPES}"
    ]


UNKNOWN = {
    "token": ("token:anne", "web.tokens has no `anne`; did you mean `token:ann`?"),
    "person": ("person:anna", "people has no `anna`; did you mean `person:ann`?"),
}


@pytest.mark.parametrize(("name", "told"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_approver_that_is_nobody_is_told_with_the_nearest_name(name: str, told: str) -> None:
    place = "pools[0].policy.approval.approvers[1]"
    assert mistakes(f"{{approvers: [cli:x, {name}]}}") == [f"f:{LINE}: {place}: {told}"]


@pytest.mark.parametrize("name", ["slack:U024BE7LH", "slack-group:S0614TZR7"])
@pytest.mark.parametrize(
    ("slack", "why"),
    [
        ("", "slack has no bot_token_file or bot_token_env"),
        (
            "slack: {bot_token_env: T, mode: none, team: T0, app: A0, channel: C0}",
            "slack.mode is none",
        ),
    ],
)
def test_an_approver_from_a_slack_that_nobody_hears_is_told(
    name: str, slack: str, why: str
) -> None:
    (told,) = mistakes(f"{{approvers: [{name}]}}", before=slack)
    assert told.endswith(f"approvers[0]: {why}, so `{name}` could never approve")


def test_auto_is_no_rule_of_approval_any_more() -> None:
    assert mistakes("{auto: true}") == [
        f"f:{LINE}: pools[0].policy.approval.auto: who says yes is policy.mode;"
        " use policy.mode: auto"
    ]


# --- people --------------------------------------------------------------------------------------


def test_people_have_their_identities() -> None:
    made = settings("{}")
    identities = ("token:ann", "cli:ann", "slack:U024BE7LH")
    assert made.people == (PersonSettings(name="ann", identities=identities),)
    assert made.person_of("cli:ann") == "ann"


PEOPLE_MISTAKES = {
    "twice": (
        "people:\n  - {name: a, identities: [cli:a]}\n  - {name: a, identities: [cli:b]}",
        "f:3: people[1]: `a` is there already, line 2",
    ),
    "one identity of two": (
        "people:\n  - {name: a, identities: [cli:a]}\n  - {name: b, identities: [cli:b, cli:a]}",
        "f:3: people[1].identities[1]: `cli:a` is an identity of a already, line 2",
    ),
    "one identity twice": (
        "people:\n  - {name: a, identities: [cli:a, cli:a]}",
        "f:2: people[0].identities[1]: `cli:a` is an identity of a already, line 2",
    ),
    "nobody's token": (
        "people:\n  - name: a\n    identities:\n      - token:a",
        "f:4: people[0].identities[0]: web.tokens has no `a`",
    ),
    "a group": (
        "people:\n  - {name: a, identities: ['slack-group:S0614TZR7']}",
        "f:2: people[0].identities[0]: 'slack-group:S0614TZR7' is no identity of one person;"
        " write it like token:ann, proxy:ann, openshift:ann, cli:root or slack:U024BE7LH",
    ),
    "a person": (
        "people:\n  - {name: a, identities: ['person:b']}",
        "f:2: people[0].identities[0]: 'person:b' is no identity of one person;"
        " write it like token:ann, proxy:ann, openshift:ann, cli:root or slack:U024BE7LH",
    ),
    "without identities": (
        "people:\n  - {name: a, identities: []}",
        "f:2: people[0].identities: needs at least one item (`- …` below it)",
    ),
    "author that is nobody": (
        "people: [{name: ann, identities: [cli:ann]}]\n"
        "recipes:\n  - {name: r, path: p, target: q.io/a/b, authors: [person:anne]}",
        "f:3: recipes[0].authors[0]: people has no `anne`; did you mean `person:ann`?",
    ),
    "author that is a group": (
        "recipes:\n  - {name: r, path: p, target: q.io/a/b, authors: ['slack-group:S0614TZR7']}",
        "f:2: recipes[0].authors[0]: 'slack-group:S0614TZR7' is no identity;"
        " write it like token:ann, proxy:ann, openshift:ann, cli:root, slack:U024BE7LH or"
        " person:ann",
    ),
}


@pytest.mark.parametrize(("said", "told"), PEOPLE_MISTAKES.values(), ids=PEOPLE_MISTAKES)
def test_a_mistake_about_people_is_told_with_its_line(said: str, told: str) -> None:
    assert problems(said) == [told]


# --- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "approval",
    [
        "{quorum: 5}",
        "{quorum: 2, approvers: [person:ann, token:bob]}",
        "{quorum: 2, approvers: [token:ann, token:bob]}",
        "{quorum: 9, approvers: [slack-group:S0614TZR7]}",
    ],
    ids=["whoever", "person", "tokens", "group"],
)
def test_a_quorum_that_may_be_reached_is_taken(approval: str) -> None:
    assert pool(approval).policy.approval.quorum > 1


def test_two_identities_of_one_person_count_once() -> None:
    assert mistakes("{quorum: 2, approvers: [token:ann, cli:ann]}") == [
        f"f:{LINE}: pools[0]: quorum is 2, but the 2 approvers are only 1 different person(s)"
    ]
    assert mistakes("{quorum: 3, approvers: [person:ann, 'slack:U024BE7LH', token:bob]}") == [
        f"f:{LINE}: pools[0]: quorum is 3, but the 3 approvers are only 2 different person(s)"
    ]


def test_a_quorum_of_nobody_is_told_once_where_it_is_written() -> None:
    common = "defaults:\n  policy:\n    approval:\n      quorum: 2\n      approvers: [cli:a]\n"
    one, other = (f"  - {{cluster: {name}, pool: p, recipe: gpu}}\n" for name in ("prod", "test"))
    assert problems(f"{common}{FLEET}pools:\n{one}{other}") == [
        "f:4: defaults.policy: quorum is 2, but only 1 approver(s) are listed"
    ]


# --- the two-person rule -------------------------------------------------------------------------

RECIPE = "recipes:\n  - {name: gpu, path: gpu, target: q.io/os/gpu, authors: [%s]}\n"


def two_person(authors: str, approvers: str, rule: str = "two_person: true") -> str:
    fleet = f"clusters: [{{name: prod}}]\n{RECIPE % authors}"
    return f"{BEFORE}{fleet}{PLACE}{{approval: {{{rule}, approvers: [{approvers}]}}}}"


@pytest.mark.parametrize(
    ("authors", "approvers"),
    [
        ("cli:root", "cli:root"),
        ("person:ann", "token:ann, slack:U024BE7LH"),
        ("token:ann", "person:ann"),
        ("token:ann, token:bob", "token:bob, cli:ann"),
    ],
)
def test_two_persons_that_are_all_authors_are_a_mistake(authors: str, approvers: str) -> None:
    (told,) = problems(two_person(authors, approvers))
    line = two_person(authors, approvers).count("\n") + 1
    assert told == (
        f"f:{line}: pools[0]: two_person, but every approver of prod/p is an author of recipe gpu:"
        " nobody could be the second"
    )


@pytest.mark.parametrize(
    ("authors", "approvers"),
    [
        ("cli:root", ""),
        ("", "cli:root"),
        ("person:ann", "person:ann, token:bob"),
        ("person:ann", "person:ann, slack-group:S0614TZR7"),
    ],
    ids=["whoever", "no author", "another", "a group"],
)
def test_two_persons_of_whom_one_may_be_another_are_none(authors: str, approvers: str) -> None:
    made = load_text(two_person(authors, approvers))
    assert made.pools[0].policy.approval.two_person
    assert made.recipes[0].authors == tuple(filter(None, authors.split(", ")))


def test_without_the_rule_authors_may_be_the_approvers() -> None:
    assert load_text(two_person("cli:root", "cli:root", "two_person: false")).pools


# --- asking --------------------------------------------------------------------------------------


def test_reminders_and_escalations_are_no_part_of_what_is_approved() -> None:
    escalate = "[{after: 8h, to: slack:C024BE91L}, {after: 9h, to: slack-group:S0614TZR7}]"
    made = pool(f"{{remind: [1h, 4h], escalate: {escalate}}}")
    told = (
        Escalation(after_seconds=8 * 3600, to="slack:C024BE91L"),
        Escalation(after_seconds=9 * 3600, to="slack-group:S0614TZR7"),
    )
    assert made.asking == Asking(remind_seconds=(3600, 4 * 3600), escalate=told)
    assert made.policy == pool("{}").policy


@pytest.mark.parametrize(
    ("approval", "seconds"),
    [
        ("{}", (12 * 3600,)),
        ("{ask: 3d}", (12 * 3600,)),
        ("{ask: 4h}", (2 * 3600,)),
        ("{ask: 1s}", ()),
        ("{remind: []}", ()),
        ("{ask: 4h, remind: []}", ()),
    ],
)
def test_who_writes_no_reminder_gets_one_in_time(approval: str, seconds: tuple[int, ...]) -> None:
    assert pool(approval).asking.remind_seconds == seconds


ASKING_MISTAKES = {
    "too late": (
        "{remind: [1h, 24h]}",
        "pools[0]: remind after 24h would come too late: an update waits for its decision for 24h"
        " (ask)",
    ),
    "too late for a short ask": (
        "{ask: 1h, escalate: [{after: 2h, to: 'slack:U024BE7LH'}]}",
        "pools[0]: escalate after 2h would come too late: an update waits for its decision for 1h"
        " (ask)",
    ),
    "not in order": (
        "{remind: [4h, 2h]}",
        "pools[0].policy.approval.remind: 2h does not come after 4h; each is counted from the"
        " asking, so write them in order",
    ),
    "twice": (
        "{remind: [2h, 120m]}",
        "pools[0].policy.approval.remind: 2h does not come after 2h; each is counted from the"
        " asking, so write them in order",
    ),
    "at once": (
        "{remind: [0s]}",
        "pools[0].policy.approval.remind[0]: expected a duration longer than 0",
    ),
    "no duration": (
        "{remind: [soon]}",
        "pools[0].policy.approval.remind[0]: 'soon' is no duration; write it like 90s, 10m, 24h or"
        " 7d",
    ),
    "no list": (
        "{remind: 12h}",
        "pools[0].policy.approval.remind: expected a list (`- …` below it, or [])",
    ),
    "to nobody": (
        "{escalate: [{after: 1h, to: ops}]}",
        "pools[0].policy.approval.escalate[0].to: 'ops' is no one to tell; write it like"
        " slack:C024BE91L, slack-group:S0614TZR7 or slack:U024BE7LH",
    ),
    "to a token": (
        "{escalate: [{after: 1h, to: token:ann}]}",
        "pools[0].policy.approval.escalate[0].to: 'token:ann' is no one to tell; write it like"
        " slack:C024BE91L, slack-group:S0614TZR7 or slack:U024BE7LH",
    ),
    "without a time": (
        "{escalate: [{to: 'slack:U024BE7LH'}]}",
        "pools[0].policy.approval.escalate[0].after: is required",
    ),
}


@pytest.mark.parametrize(("approval", "told"), ASKING_MISTAKES.values(), ids=ASKING_MISTAKES)
def test_a_mistake_about_asking_is_told_with_its_line(approval: str, told: str) -> None:
    assert mistakes(approval) == [f"f:{LINE}: {told}"]


def test_a_reminder_is_checked_against_the_pool_s_own_ask() -> None:
    common = "defaults:\n  policy:\n    approval: {remind: [2d], ask: 3d}\n"
    own = (
        "pools:\n  - cluster: prod\n    pool: p\n    recipe: gpu\n    policy: {approval: {ask: 1d}}"
    )
    (told,) = problems(f"{common}{FLEET}{own}")
    assert told == (
        "f:14: pools[0]: remind after 2d would come too late: an update waits for its decision"
        " for 24h (ask)"
    )


def test_a_key_without_a_value_says_nothing_about_the_line() -> None:
    common = "defaults:\n  policy:\n    approval: {remind: [2d], ask: 1d}\n"
    (told,) = problems(f"{common}{FLEET}{PLACE}{{approval: {{ask: }}}}")
    assert told.startswith("f:3: defaults.policy: remind after 2d would come too late")


def test_nobody_is_woken_in_a_slack_that_is_not_there() -> None:
    (told,) = mistakes("{escalate: [{after: 1h, to: 'slack:C024BE91L'}]}", before="")
    assert told.endswith(
        "escalate[0].to: slack has no bot_token_file or bot_token_env,"
        " so nothing could be said in `slack:C024BE91L`"
    )

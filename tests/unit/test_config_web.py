"""The configuration of the doors: what can be written, and what is told of a mistake."""

import pytest

from watcher.config import load_text
from watcher.config.effective import effective
from watcher.errors import ConfigError

FLEET = """
clusters: [{name: prod}, {name: edge}]
recipes: [{name: r, path: r, target: q.io/a/b}]
pools: [{cluster: prod, pool: infra, recipe: r}]
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as told:
        load_text(text, file="f")
    return [str(problem) for problem in told.value.problems]


def test_all_of_it_can_be_written_and_is_printed_as_it_was_meant() -> None:
    said = """
web:
  host: 0.0.0.0
  names: [Relayer.Example.com]
  tokens: [{name: ann, token_env: A, role: viewer}]
  auth:
    mode: proxy
    local: viewer
    session: 8h
    idle: 20m
    proxy:
      trusted: [10.0.0.5, "fd00::/8"]
      user_header: X-Auth-Request-User
      groups_header: X-Auth-Request-Groups
      groups: {platform team: approver, "cn=ops": operator}
      others: viewer
    openshift: {cluster: edge, audiences: [relayer], namespace: relayer}
"""
    settings = load_text(said + FLEET)
    assert load_text(effective(settings)) == settings
    web = settings.web
    assert (web.names, web.tokens[0].role) == (("relayer.example.com",), "viewer")
    assert (web.auth.session_seconds, web.auth.idle_seconds) == (28800, 1200)
    assert web.auth.proxy.groups == {"platform team": "approver", "cn=ops": "operator"}
    assert web.auth.openshift.audiences == ("relayer",)


def test_the_file_of_yesterday_means_what_it_meant() -> None:
    settings = load_text("web: {tokens: [{name: ann, token_env: A}]}")
    assert settings.web.auth.mode == "token"
    assert settings.web.tokens[0].role == "approver"


MISTAKES = {
    "none elsewhere": ("{host: 0.0.0.0, auth: {mode: none}}", "auth.mode none lets everybody in"),
    "unknown mode": ("{auth: {mode: ldap}}", "'token', 'none', 'proxy' or 'openshift'"),
    "local approver": ("{auth: {local: approver}}", "'viewer' or 'operator'"),
    "proxy of nobody": ("{auth: {mode: proxy, proxy: {others: viewer}}}", "needs proxy.trusted"),
    "proxy for nobody": (
        "{auth: {mode: proxy, proxy: {trusted: [10.0.0.5]}}}",
        "needs proxy.groups or proxy.others",
    ),
    "everybody": ('{auth: {proxy: {trusted: ["0.0.0.0/0"]}}}', "would believe everybody"),
    "everybody in v6": ('{auth: {proxy: {trusted: ["::/0"]}}}', "would believe everybody"),
    "host name": ("{auth: {proxy: {trusted: [oauth]}}}", "is no address or network"),
    "network with host": ("{auth: {proxy: {trusted: [10.0.0.5/8]}}}", "is no address or network"),
    "browsers' header": ("{auth: {proxy: {user_header: Cookie}}}", "comes from browsers too"),
    "no header": ('{auth: {proxy: {user_header: "X User"}}}', "expected the name of a header"),
    "one header": (
        "{auth: {proxy: {groups_header: x-forwarded-user}}}",
        "user_header and groups_header are one header",
    ),
    "unknown role": ("{auth: {proxy: {groups: {ops: admin}}}}", "'viewer', 'operator' or"),
    "group with comma": ('{auth: {proxy: {groups: {"a,b": viewer}}}}', "is no name"),
    "role of a token": ("{tokens: [{name: a, token_env: A, role: root}]}", "'viewer', 'operator'"),
    "long idle": ("{auth: {idle: 2h}}", "less than or equal to 3600"),
    "no session": ("{auth: {session: 0s}}", "greater than or equal to 60"),
    "name with port": ('{names: ["relayer:8080"]}', "without scheme and port"),
    "which cluster": (
        "{auth: {mode: openshift}}",
        "which cluster is asked; there is: edge, prod",
    ),
    "no such cluster": (
        "{auth: {mode: openshift, openshift: {cluster: prdo}}}",
        "no cluster is named `prdo`; did you mean `prod`?",
    ),
}


@pytest.mark.parametrize(("web", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told(web: str, told: str) -> None:
    found = mistakes(f"web: {web}\n{FLEET}")
    assert any(told in one for one in found), found


@pytest.mark.parametrize("who", ["proxy:ann", "openshift:ann"])
@pytest.mark.parametrize(
    "where",
    [
        "defaults: {policy: {approval: {approvers: [%s]}}}",
        "people: [{name: ann, identities: [%s]}]",
        "recipes: [{name: r, path: r, target: q.io/a/b, authors: [%s]}]",
    ],
    ids=["approvers", "people", "authors"],
)
def test_an_identity_of_another_mode_could_never_come(where: str, who: str) -> None:
    said = where % f'"{who}"'
    (told,) = mistakes(said)
    assert f"web.auth.mode is token, so nobody comes as `{who}`" in told
    mode = who.partition(":")[0]
    auth = {
        "proxy": "{mode: proxy, proxy: {trusted: [10.0.0.5], others: viewer}}",
        "openshift": "{mode: openshift}",
    }[mode]
    load_text(f"web: {{auth: {auth}}}\n{said}\nclusters: [{{name: prod}}]")


def test_nobody_can_be_listed_by_being_on_the_machine() -> None:
    (told,) = mistakes('defaults: {policy: {approval: {approvers: ["local:root"]}}}')
    assert "is no identity" in told

"""The page about security: what it claims names tests that are there, for every credential."""

import ast
import re

import pytest

from tests.repo.console import ROOT
from watcher.web.callers import Role

PAGE = (ROOT / "docs/security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
COULD = PAGE.partition("## What somebody could do with it")[2].partition("\n## Threats")[0]


def _in(path: str) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_each_test_that_the_page_names_is_there(path: str) -> None:
    assert {name for at, name in NAMED if at == path} - _in(path) == set()


def test_every_threat_names_what_stops_it_and_a_test() -> None:
    table = PAGE.partition("## Threats")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[2:]
    assert len(rows) >= 10
    assert [row for row in rows if "::test_" not in row[2]] == []


def test_of_every_credential_it_is_said_what_one_could_do() -> None:
    headings = re.findall(r"^### (.+)$", COULD, re.MULTILINE)
    assert headings == [
        "the password of Redis",
        "the token of a cluster",
        "the login that pushes",
        "the Slack bot token",
        "the Slack app token, or the signing secret",
        "a token of the HTTP API",
        "a node",
        "the recipe's repository",
        "a shell where the service runs",
    ]
    for text in re.split(r"^### .+$", COULD, flags=re.MULTILINE)[1:]:
        assert re.search(r"^Could|\| could \|", text, re.MULTILINE), text


def test_every_role_has_its_row() -> None:
    rows = re.findall(r"^\| (\w+) \| .+ \| .+ \|$", COULD, re.MULTILINE)[1:]
    assert rows == list(Role)


def test_every_setting_that_says_where_a_secret_is_is_among_what_we_hold() -> None:
    """A new kind of secret is no secret to this page."""
    settings = (ROOT / "config/default.yaml").read_text("utf-8")
    kinds = set(re.findall(r"\b(\w*(?:password|token|secret))_file\b", settings))
    words = {
        "password": "password of Redis",
        "token": "a token or kubeconfig for each cluster",
        "bot_token": "bot token",
        "app_token": "app token",
        "signing_secret": "signing secret",
        "secret": "secrets of webhooks",
    }
    assert kinds <= set(words)
    held = PAGE.partition("## What we hold")[2].partition("\n## ")[0]
    for kind in kinds:
        assert words[kind] in held, kind

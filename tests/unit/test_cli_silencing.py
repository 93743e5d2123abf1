"""`relayer silence`, `silences` and `unsilence`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.facts import an_update
from tests.unit.shell import CONFIG, ME, Shell, shell_in
from watcher.alert_rules import RULES
from watcher.core.update_events import UpdateState
from watcher.ports import AuditEntry

RULE = RULES[0]


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with shell_in(tmp_path, capsys) as made:
        made.put(an_update(id="u-0", pool="worker", state=UpdateState.DONE))  # a service has run
        yield made


def trail(shell: Shell) -> list[AuditEntry]:
    found: list[AuditEntry] = shell.store(lambda store: store.audit())
    return found


def quiet(shell: Shell) -> list[tuple[str, str]]:
    return [(row["scope"], row["rule"]) for row in shell.json("silences")["silences"]]


def test_a_silence_comes_is_listed_and_goes(shell: Shell) -> None:
    made = shell.json("silence", "prod", "--rule", RULE, "--until", "4h", "--reason", "disks")
    row = made["silence"]
    assert (row["scope"], row["rule"], row["by"], row["because"]) == ("prod", RULE, ME, "disks")
    ahead = datetime.fromisoformat(row["until"]) - datetime.now(UTC)
    assert round(ahead.total_seconds() / 3600) == 4
    assert made["sentence"].startswith(f"prod: {row['id']}: alert {RULE} is silenced by {ME}")
    out, _ = shell("silences")
    assert out.split("\n")[0].split() == ["SILENCE", "WHERE", "RULE", "BY", "UNTIL", "(UTC)", "WHY"]
    assert row["id"] in out
    assert "disks" in out
    out, _ = shell("unsilence", row["id"])
    assert out == f"{row['id']} is lifted, and what it held back is told again\n"
    assert shell("silences")[0] == "nothing is silenced\n"
    assert [(e.event, e.by, e.surface, e.cluster) for e in trail(shell)] == [
        ("Silenced", ME, "cli", "prod"),
        ("Unsilenced", ME, "cli", "prod"),
    ]


@pytest.mark.parametrize(
    ("named", "scope"),
    [
        ((), ""),
        (("prod",), "prod"),
        (("prod/infra",), "prod/infra"),
        (("infra",), "prod/infra"),
        (("test/no-recipe",), "test/no-recipe"),
    ],
)
def test_a_place_is_named_as_elsewhere(shell: Shell, named: tuple[str, ...], scope: str) -> None:
    out, _ = shell("silence", *named, "--until", "1h", "-r", "x")
    assert quiet(shell) == [(scope, "")]
    assert out.startswith(f"{scope or 'everywhere'}: s-")
    assert ("mind the spelling" in out) == (scope == "test/no-recipe")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("prod", "-r", " ", "--until", "1h"), 2, "--reason: say why"),
        (("prod", "-r", "x", "--until", "soon"), 2, "--until: 'soon' is no moment"),
        (("prod", "-r", "x", "--until", "2020-01-01"), 2, "is over already"),
        (("prod", "-r", "x", "--until", "31d"), 5, "ends within 30 days"),
        (("prod", "-r", "x", "--until", "1h", "--rule", RULE + "x"), 2, f"mean `{RULE}`?"),
        (("prdo", "-r", "x", "--until", "1h"), 6, "did you mean `prod`?"),
        (("prdo/infra", "-r", "x", "--until", "1h"), 6, "did you mean `prod`?"),
        (("prod/In fra", "-r", "x", "--until", "1h"), 6, "'In fra' is no name of a pool"),
        (("worker", "-r", "x", "--until", "1h"), 2, "a pool of several clusters"),
    ],
)
def test_what_cannot_be_silenced_is_said(
    shell: Shell, words: tuple[str, ...], code: int, sentence: str
) -> None:
    _, err = shell("silence", *words, code=code)
    assert sentence in err
    assert quiet(shell) == []


@pytest.mark.parametrize("words", [("prod", "-r", "x"), ("prod", "--until", "1h")])
def test_a_silence_always_has_an_end_and_a_reason(shell: Shell, words: tuple[str, ...]) -> None:
    _, err = shell("silence", *words, code=2)
    assert "Missing option" in err


def test_a_declined_one_is_audited(shell: Shell) -> None:
    shell("silence", "prod", "-r", "x", "--until", "31d", code=5)
    _, err = shell("unsilence", "s-0", code=5)
    assert "declined: there is no silence s-0; there is: none" in err
    assert [(e.event, e.by, e.surface) for e in trail(shell)] == [
        ("SilenceDeclined", ME, "cli"),
        ("UnsilenceDeclined", ME, "cli"),
    ]


def test_who_may_decide_about_no_pool_of_the_place_may_not_silence_it(shell: Shell) -> None:
    only = "policy: {approval: {approvers: [token:ann]}}"
    shell.config.write_text(
        CONFIG.replace("pool: infra, recipe: gpu}", f"pool: infra, recipe: gpu, {only}}}")
        + "web: {tokens: [{name: ann, token_env: ANN}]}\n"
    )
    _, err = shell("silence", "prod/infra", "-r", "x", "--until", "1h", code=5)
    assert f"{ME} is not an approver" in err
    shell("silence", "prod", "-r", "x", "--until", "1h")
    assert quiet(shell) == [("prod", "")]

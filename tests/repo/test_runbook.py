"""The runbook: a section for each alert rule and each way to be stuck, with every point in it."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.repo.console import ROOT
from tests.repo.rules import rules
from watcher.alert_rules import RULES

PAGE = (ROOT / "docs/runbook.md").read_text("utf-8")
ALERTS = PAGE.partition("\n## Alerts\n")[2].partition("\n## Stuck\n")[0]
STUCK = PAGE.partition("\n## Stuck\n")[2]
POINTS = ["See", "Why", "Check", "Do", "Escalate"]
SENTENCES = {
    "handlers/apply.py": ("TakenOver",),
    "handlers/follow.py": ("because",),
    "handlers/roll_back.py": ("UndoFailed", "_taken_over", "_what_to_do"),
    "watcher/core/rollout.py": ("_taken_over",),
}
"""File → where in it the sentences stand with which an update becomes stuck: an event that is made
with one, a variable, a function that returns one."""
ENDS = {"TakenOver", "UndoFailed"}
"""Events that lead to `stuck`; the table of transitions says so."""


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# --- alerts --------------------------------------------------------------------------------------


def test_every_rule_has_its_section_in_order() -> None:
    of_a_monitoring = {one["annotations"]["runbook"].partition("#")[2] for one in rules()}
    named = list(sections(ALERTS))
    assert named[: len(RULES)] == list(RULES)
    assert set(named) == {*RULES, *of_a_monitoring}
    assert len(named) == len(set(named))


@pytest.mark.parametrize("rule", sections(ALERTS))
def test_a_section_names_exactly_its_prometheus_rules(rule: str) -> None:
    theirs = {
        one["alert"] for one in rules() if one["annotations"]["runbook"].partition("#")[2] == rule
    }
    assert set(re.findall(r"`(Relayer[A-Za-z]+)`", sections(ALERTS)[rule])) == theirs


@pytest.mark.parametrize(
    ("name", "text"), [*sections(ALERTS).items(), *sections(STUCK).items()], ids=str
)
def test_a_section_says_every_point(name: str, text: str) -> None:
    assert re.findall(r"^- ([A-Z]\w+): \S", text, re.MULTILINE) == POINTS


# --- stuck ---------------------------------------------------------------------------------------


def skeleton(node: ast.expr) -> str:
    """A sentence as it is written in the code, `…` for what is put in; empty if it is none."""
    if isinstance(node, ast.BinOp):
        return skeleton(node.left)
    if isinstance(node, ast.IfExp):
        return skeleton(node.body)
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts = [
        part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "…"
        for part in node.values
    ]
    # What is quoted for a shell is filled in too.
    return re.sub(r"`[^`]*`", "…", "".join(parts))


def said(path: str, where: str) -> Iterator[str]:
    """Every sentence of a place of `SENTENCES`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[sentence]) if name == where:
                yield skeleton(sentence)
            case ast.Assign(targets=[ast.Name(id=name)], value=sentence) if name == where:
                yield skeleton(sentence)
            case ast.FunctionDef(name=name) if name == where:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and inner.value:
                        yield skeleton(inner.value)


def reasons() -> set[str]:
    found = {
        sentence
        for path, places in SENTENCES.items()
        for where in places
        for sentence in said(path, where)
    }
    return found - {""}


def test_every_reason_of_the_code_is_in_the_table_and_no_other() -> None:
    rows = re.findall(r"^\| \[`([^`]+)`.*?\]\(#([\w-]+)\) \| .+ \|$", STUCK, re.MULTILINE)
    assert {sentence for sentence, _ in rows} == reasons()
    assert [anchor.replace("-", " ").lower() for _, anchor in rows] == [
        name.lower() for name in sections(STUCK)
    ]


def test_nothing_else_makes_an_update_stuck() -> None:
    """Each place that makes such an event is one that the page was written from."""
    for path in (*(ROOT / "handlers").glob("*.py"), *(ROOT / "watcher").rglob("*.py")):
        text = path.read_text("utf-8")
        made = {
            node.func.id
            for node in (ast.walk(ast.parse(text)) if any(name in text for name in ENDS) else ())
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ENDS
        }
        assert not made or str(path.relative_to(ROOT)) in SENTENCES, path


def test_the_events_that_lead_there_are_those() -> None:
    from watcher.core.update import UPDATE_TRANSITIONS
    from watcher.core.update_events import UpdateState

    leading = {
        event.__name__
        for out in UPDATE_TRANSITIONS.values()
        for event, state in out.items()
        if state is UpdateState.STUCK
    }
    assert leading == ENDS

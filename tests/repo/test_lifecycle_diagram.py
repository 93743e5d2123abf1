"""docs/lifecycle.mmd is the tables, drawn."""

from tests.repo import render
from watcher.core.build import BUILD_TRANSITIONS
from watcher.core.update import UPDATE_TRANSITIONS


def test_the_diagram_is_that_of_the_tables() -> None:
    written = render.DIAGRAM.read_text(encoding="utf-8")
    assert written == render.lifecycle(), "write it anew: python -m tests.repo.render"


def test_every_event_of_the_tables_is_drawn() -> None:
    drawn = render.lifecycle()
    for table in (BUILD_TRANSITIONS.values(), UPDATE_TRANSITIONS.values()):
        for row in table:
            assert all(event.__name__ in drawn for event in row)


def test_no_identifier_holds_a_hyphen() -> None:
    """Mermaid would read it as the beginning of an arrow."""
    for line in render.lifecycle().splitlines():
        if " --> " in line:
            before, _, after = line.strip().partition(" --> ")
            assert "-" not in before + after.partition(":")[0]

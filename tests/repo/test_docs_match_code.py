"""What the pages say about the code is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
)
PATHS = re.compile(r"`((?:watcher|handlers|simulator|tests|bench|config|docs)/[\w./-]*\w)/?`")
LINKS = re.compile(r"\]\((?!https?://|#)([^)#]+)")
TARGETS = re.compile(r"(?:`|\$ )make ([a-z-]+)")


def _names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=_names(PAGES))
def test_every_file_a_page_names_is_there(page: Path) -> None:
    named = [ROOT / path for path in PATHS.findall(page.read_text())]
    named += [page.parent / link for link in LINKS.findall(page.read_text())]
    assert [str(path) for path in named if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_names(PAGES))
def test_every_make_target_a_page_names_is_in_the_makefile(page: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGETS.findall(page.read_text())) - known == set()


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.findall(r"^\$ (make \w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert first[:2] == ["make demo", "make test"]


def test_the_architecture_page_names_every_room() -> None:
    said = (ROOT / "docs/architecture.md").read_text()
    rooms = [p.name for p in (ROOT / "watcher").iterdir() if p.suffix == ".py" or p.is_dir()]
    hidden = {"__init__.py", "__pycache__", "py.typed"}
    assert [room for room in rooms if room not in hidden and room not in said] == []


def test_the_ci_calls_the_readme_s_test_command_and_the_checks() -> None:
    said = (ROOT / ".ci/run").read_text().splitlines()
    assert "make test" in said
    assert "make lint" in said


def test_the_readme_s_configuration_is_one_the_service_takes() -> None:
    from watcher.config import load_text

    text = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    assert load_text(text).pools[0].pool == "infra"


def test_every_real_program_a_test_needs_is_installed_where_that_is_possible() -> None:
    installed = (ROOT / "tests/install-real-parts").read_text()
    marks = re.compile(r"mark\.real\(([^)]*)\)")
    needed = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for arguments in marks.findall(path.read_text())
        for name in re.findall(r'"([\w-]+)"', arguments)
    }
    assert needed
    assert {name for name in needed if f"command -v {name} " not in installed} == set()

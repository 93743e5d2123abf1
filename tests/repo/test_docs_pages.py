"""The pages hang together: links lead to headings that are there, and no page is forgotten."""

import re
from pathlib import Path

import pytest

from tests.repo.console import PAGES, ROOT, blocks
from watcher.config import load_text

LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
UPSTREAM = re.compile(r"\]\(https://github\.com/openshift/[\w.-]+/(?:blob|tree)/[^)]+\)")
WIDEST = 140
"""Characters of a line of prose; tables, code and addresses are as long as they are."""


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """What links to its headings are, as GitHub makes them."""
    made: dict[str, int] = {}
    for title in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        made[plain] = made.get(plain, 0) + 1
    return set(made) | {f"{name}-{n}" for name, times in made.items() for n in range(1, times)}


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_to_headings_that_are_there(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), link
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), link


def test_every_page_is_linked_from_one_that_readers_begin_with() -> None:
    seen, new = set[Path](), {ROOT / "README.md"}
    while new:
        seen |= new
        new = {
            (page.parent / link.partition("#")[0]).resolve()
            for page in new
            if page.suffix == ".md"
            for link in LINK.findall(prose(page))
            if link.partition("#")[0]
        } - seen
    decisions = set((ROOT / "docs/decisions").glob("*.md"))  # linked as a folder
    assert set(PAGES) - seen - decisions == set()


def test_the_reference_lists_every_page_of_its_folder_and_names_what_compares_it() -> None:
    index = ROOT / "docs/reference/index.md"
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index.read_text("utf-8")))
    assert linked == {page.name for page in index.parent.glob("*.md")} - {"index.md"}
    rows = re.findall(r"^\| (.+?) \| (.+) \| (.*) \|$", index.read_text("utf-8"), re.MULTILINE)[2:]
    for what, _, by in rows:
        paths = re.findall(r"`(tests/[\w/]+\.py)`", by)
        assert paths or what == "words", what
        assert all((ROOT / path).exists() for path in paths)


def test_the_readme_begins_with_what_it_is_a_picture_and_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    (said, path), *_ = IMAGE.findall(text)
    before = text[: text.index("```console")]
    assert path == "docs/picture.svg"
    assert len(said) > 40, "who does not see it reads this"
    assert [line[:2] for line in before.splitlines() if line] == ["# ", "Ke", "!["]


def test_the_picture_is_our_own_asks_nobody_and_is_drawn_for_both_themes() -> None:
    svg = (ROOT / "docs/picture.svg").read_text("utf-8")
    assert "prefers-color-scheme: dark" in svg
    assert not re.search(r"href|url\(|@import|<script|<image|<foreignObject|data:", svg)
    assert set(re.findall(r"https?://[^\"'\s]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "<title" in svg
    assert "<desc" in svg
    assert len(svg) < 10_000


def test_the_faq_gives_its_sources() -> None:
    pools = (ROOT / "docs/faq.md").read_text("utf-8").partition("## Relayer")[0]
    assert len(UPSTREAM.findall(pools)) >= 6


@pytest.mark.parametrize(
    "block",
    [
        block
        for page in PAGES
        for block in blocks(page)
        if block.language == "yaml" and block.saved == "relayer.yaml"
    ],
    ids=lambda block: block.id,
)
def test_a_configuration_that_a_reader_saves_is_one_the_service_takes(block: object) -> None:
    load_text(block.text)  # type: ignore[attr-defined] # a Block


@pytest.mark.parametrize(
    "name",
    ["quickstart", "cookbook", "disconnected", "multi-arch", "security", "runbook", "faq"],
)
def test_prose_is_readable_in_an_editor(name: str) -> None:
    for line in prose(ROOT / f"docs/{name}.md").splitlines():
        assert len(line) <= WIDEST or line.startswith("|") or "https://" in line, line

"""What changed between two recipes, for an approver: bounded, and never a false "nothing"."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.build import RunBuildHandler
from tests.facts import a_build, a_recipe, digest, image
from tests.fake_store import FakeStore
from tests.fakes import FakeBuilder, FixedClock
from tests.scene import ours
from watcher.clients import codec
from watcher.clients.store.rows import VALUES_BYTES
from watcher.core.build import Built, RunBuild
from watcher.core.letters import Diff
from watcher.core.recipe import EntryKind, Recipe, RecipeEntry
from watcher.core.recipe_diff import (
    LINE,
    MOST_ENTRIES,
    MOST_LINES,
    MOST_TEXT,
    UNSEEN,
    diff,
    snapshot,
)


def a_file(path: str, content: str = "one", *, executable: bool = False) -> RecipeEntry:
    sha = digest(content).partition(":")[2]
    return RecipeEntry(path=path, kind=EntryKind.FILE, content=sha, executable=executable)


def recipe(
    text: str = "FROM base\n", *files: RecipeEntry, of: str = "", **build_args: str
) -> Recipe:
    said = digest(of or f"{text}{files}{build_args}")
    return replace(
        a_recipe(), containerfile=text, entries=files, build_args=build_args, digest=said
    )


def between(before: Recipe, after: Recipe) -> Diff:
    return diff(snapshot(before), snapshot(after))


# --- what changed ---------------------------------------------------------------------------------


def test_lines_that_came_and_went_are_told() -> None:
    found = between(recipe("FROM base\nRUN a\nRUN b\n"), recipe("FROM base\nRUN a\nRUN c\nRUN d\n"))
    assert found == Diff(
        known=True, lines=("-RUN b", "+RUN c", "+RUN d"), summary="Containerfile +2 −1"
    )


@pytest.mark.parametrize("line", ["-- a comment of SQL", "++ more", "@@ mail", "-", "+"])
def test_a_line_that_looks_like_a_head_of_a_diff_is_told_too(line: str) -> None:
    found = between(recipe("FROM base\n"), recipe(f"FROM base\n{line}\n"))
    assert (found.lines, found.summary) == ((f"+{line}",), "Containerfile +1 −0")
    back = between(recipe(f"FROM base\n{line}\n"), recipe("FROM base\n"))
    assert (back.lines, back.summary) == ((f"-{line}",), "Containerfile +0 −1")


def test_files_that_came_went_and_changed_are_told_by_name() -> None:
    before = recipe("", a_file("gone"), a_file("same"), a_file("other"))
    after = recipe("", a_file("new"), a_file("same"), a_file("other", "two"))
    found = between(before, after)
    assert found.lines == ("new added", "gone removed", "other changed")
    assert found.summary == "new added; gone removed; other changed"


def test_a_file_that_became_executable_has_changed() -> None:
    found = between(recipe("", a_file("run")), recipe("", a_file("run", executable=True)))
    assert found.summary == "run changed"


def test_a_link_to_somewhere_else_has_changed() -> None:
    link = RecipeEntry(path="etc/link", kind=EntryKind.SYMLINK, content="a")
    found = between(recipe("", link), recipe("", replace(link, content="b")))
    assert found.summary == "etc/link changed"


def test_changed_arguments_are_told_without_their_values() -> None:
    found = between(recipe(VERSION="1"), recipe(VERSION="hunter2"))
    assert (found.lines, found.summary) == (("build args changed",), "build args changed")


def test_all_that_changed_is_in_one_summary() -> None:
    before = recipe("FROM base\n", a_file("motd"), A="1")
    after = recipe("FROM base\nRUN x\n", a_file("motd", "two"), A="2")
    assert between(before, after).summary == "Containerfile +1 −0; motd changed; build args changed"


def test_more_than_five_files_are_counted() -> None:
    found = between(recipe(""), recipe("", *(a_file(f"f{n}") for n in range(8))))
    assert found.summary.endswith("f4 added; 3 more files")
    assert len(found.lines) == 8


def test_of_two_that_are_the_same_it_says_so() -> None:
    assert between(recipe(), recipe()) == Diff(known=True, summary="no difference")


@pytest.mark.parametrize(("before", "after"), [({}, snapshot(recipe())), (snapshot(recipe()), {})])
def test_without_one_of_them_nothing_is_claimed(
    before: dict[str, object], after: dict[str, object]
) -> None:
    assert diff(before, after) == Diff(known=False)


def test_line_ends_alone_are_no_change_of_a_line_but_of_the_recipe() -> None:
    found = between(recipe("FROM base\n"), recipe("FROM base\r\n"))
    assert (found.lines, found.summary) == ((), UNSEEN)


# --- bounds ---------------------------------------------------------------------------------------


def test_a_long_diff_is_cut_and_says_so() -> None:
    found = between(recipe(""), recipe("x\n" * (MOST_LINES + 5)))
    assert len(found.lines) == MOST_LINES + 1
    assert found.lines[-1] == "… and 5 more lines"


def test_a_long_line_is_cut() -> None:
    assert len(between(recipe(""), recipe("x" * 1000)).lines[0]) == LINE


def test_a_change_behind_what_is_kept_of_the_text_is_no_nothing() -> None:
    long = "x" * MOST_TEXT
    assert between(recipe(long + "\na"), recipe(long + "\nb")).summary == UNSEEN


def test_a_change_behind_the_files_that_are_kept_is_no_nothing() -> None:
    many = [a_file(f"f{n:04}") for n in range(MOST_ENTRIES)]
    found = between(recipe("", *many, a_file("z")), recipe("", *many, a_file("z", "two")))
    assert found.summary == UNSEEN


def test_of_more_files_than_are_kept_the_rest_is_counted() -> None:
    many = [a_file(f"f{n:04}") for n in range(MOST_ENTRIES + 7)]
    kept = snapshot(recipe("", *many))
    files = kept["files"]
    assert isinstance(files, list)
    assert len(files) + int(str(kept["more_files"])) == MOST_ENTRIES + 7


HUGE = recipe(
    "x" * 100_000,
    *(a_file("deep/" * 80 + f"f{n}") for n in range(5000)),
    **{f"ARG{n}": "y" * 5000 for n in range(500)},
)


def test_what_is_kept_of_the_largest_recipe_fits_into_the_store() -> None:
    assert len(codec.encode_values(snapshot(HUGE))) < VALUES_BYTES


async def built(recipe: Recipe, store: FakeStore) -> object:
    builder = FakeBuilder(gives=image("new"))
    build = a_build(recipe_digest=recipe.digest)

    def load(name: str) -> tuple[Recipe, object, str]:
        return recipe, None, "auto"

    handler = RunBuildHandler([builder], load, store)  # type: ignore[arg-type] # no directory
    return await handler(build, RunBuild(), ours)


async def test_a_build_keeps_what_the_next_one_is_compared_with() -> None:
    store = FakeStore(FixedClock())
    assert await built(recipe("FROM base"), store) == Built(image("new"))
    kept = await store.kept(f"recipe:{recipe('FROM base').digest}")
    assert kept == snapshot(recipe("FROM base"))


async def test_a_recipe_that_cannot_be_kept_is_built_all_the_same() -> None:
    """Four bytes each: no bound in characters holds in every language."""
    store, large = FakeStore(FixedClock()), recipe("🚀" * MOST_TEXT)
    assert await built(large, store) == Built(image("new"))
    assert await store.kept(f"recipe:{large.digest}") == {}
    assert any("not kept for comparison" in line for line in await store.log("b-1"))


# --- always ---------------------------------------------------------------------------------------

lines = st.lists(st.sampled_from(["FROM a", "RUN b", "--- c", "+++ d", "@@ e", "", "-f"]))
entries = st.lists(
    st.builds(a_file, st.sampled_from("abcdef"), st.sampled_from(["one", "two"])),
    max_size=5,
    unique_by=lambda entry: entry.path,
)


@given(lines, lines, entries, entries)
def test_it_says_no_difference_exactly_where_there_is_none(
    old: list[str], new: list[str], had: list[RecipeEntry], has: list[RecipeEntry]
) -> None:
    before, after = recipe("\n".join(old), *had), recipe("\n".join(new), *has)
    found = between(before, after)
    is_same = before.containerfile == after.containerfile and set(had) == set(has)
    if is_same and before.digest == after.digest:
        assert found.summary == "no difference"
    if not is_same:
        assert found.summary != "no difference"


@given(lines, lines)
def test_every_line_that_is_more_or_less_is_counted(old: list[str], new: list[str]) -> None:
    found = between(recipe("\n".join([*old, "x"])), recipe("\n".join([*new, "x"])))
    added = sum(line.startswith("+") for line in found.lines)
    removed = sum(line.startswith("-") for line in found.lines)
    assert added - removed == len(new) - len(old)

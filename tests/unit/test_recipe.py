"""The digest of a recipe, the key of a build, and links that lead out."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.facts import Digest, Malformed, Repository
from watcher.core.recipe import (
    EntryKind,
    RecipeEntry,
    build_key,
    leaves_directory,
    recipe_digest,
)

TARGET = Repository("registry.example.com/team/layered")
FILE = RecipeEntry(path="a", kind=EntryKind.FILE, content="1" * 64)
A, B = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)

entries = st.lists(
    st.builds(
        RecipeEntry,
        path=st.text("ab/é", min_size=1, max_size=4),
        kind=st.sampled_from(EntryKind),
        content=st.text("01", max_size=2),
        executable=st.booleans(),
    ),
    unique_by=lambda entry: entry.path,
    max_size=5,
)


def digest(
    listed: list[RecipeEntry] | None = None,
    *,
    text: str = "FROM a\n",
    args: dict[str, str] | None = None,
    target: Repository = TARGET,
) -> Digest:
    return recipe_digest(
        containerfile=text, entries=listed or [], build_args=args or {}, target=target
    )


@given(entries, st.randoms())
def test_the_order_of_listing_does_not_change_the_digest(
    listed: list[RecipeEntry], random: object
) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest(shuffled) == digest(listed)


@given(entries, entries)
def test_different_listings_have_different_digests(
    one: list[RecipeEntry], other: list[RecipeEntry]
) -> None:
    def by_path(listed: list[RecipeEntry]) -> list[RecipeEntry]:
        return sorted(listed, key=lambda entry: entry.path)

    assert (digest(one) == digest(other)) == (by_path(one) == by_path(other))


@pytest.mark.parametrize(
    "changed",
    [
        digest(text="FROM a\r\n"),
        digest(args={"A": "1"}),
        digest(target=Repository("registry.example.com/team/other")),
        digest([FILE]),
    ],
    ids=["text", "build argument", "target", "file"],
)
def test_whatever_makes_the_recipe_is_in_its_digest(changed: Digest) -> None:
    assert changed != digest()


def test_the_digest_is_the_same_today_as_when_it_was_recorded() -> None:
    # Records and approvals hold these: another way to compute it would rebuild every pool.
    assert digest([FILE], args={"b": "2", "a": "1"}) == Digest(
        "sha256:61cd672e5c53d4e6d8334f33c12ecf1df7285f39359b8c9fd0e61752d03b8e45"
    )
    assert (
        build_key(
            base=A, recipe=B, platforms=["linux/amd64"], builder_options={"builder": "append"}
        )
        == "de13074d28c3017a8bef35d43a089eb867f53cdbfee115bd05f4edc56237371a"
    )


def test_a_path_listed_twice_is_refused() -> None:
    with pytest.raises(Malformed, match="listed twice"):
        digest([FILE, FILE])


def test_modes_are_what_a_checkout_keeps() -> None:
    assert [
        RecipeEntry(path="a", kind=kind, executable=executable).mode
        for kind, executable in [
            (EntryKind.FILE, False),
            (EntryKind.FILE, True),
            (EntryKind.DIRECTORY, False),
            (EntryKind.SYMLINK, False),
        ]
    ] == [0o644, 0o755, 0o755, 0o777]


def test_the_build_key_depends_on_all_its_parts_and_not_on_their_order() -> None:
    def key(
        base: Digest = A,
        recipe: Digest = B,
        platforms: tuple[str, ...] = ("linux/amd64", "linux/arm64"),
        options: dict[str, str] | None = None,
    ) -> str:
        return build_key(
            base=base, recipe=recipe, platforms=platforms, builder_options=options or {"a": "1"}
        )

    assert key() == key(platforms=("linux/arm64", "linux/amd64", "linux/arm64"))
    others = [
        key(base=B),
        key(recipe=A),
        key(base=B, recipe=A),
        key(platforms=("linux/amd64",)),
        key(options={"a": "2"}),
        key(options={"b": "1"}),
    ]
    assert len({key(), *others}) == 7


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"]),
        st.lists(st.sampled_from(["..", ".", "a", "b", "d", "e", "no"]), min_size=1, max_size=6),
        min_size=1,
    )
)
def test_a_link_that_is_let_through_stays_inside_for_the_file_system_too(
    parts: dict[str, list[str]],
) -> None:
    links = {path: "/".join(target) for path, target in parts.items()}
    with TemporaryDirectory() as made:
        root = Path(made).resolve()
        (root / "d" / "e").mkdir(parents=True)
        for path, target in links.items():
            (root / path).symlink_to(target)
        for path in links:
            if not leaves_directory(path, links=links):
                assert (root / path).resolve().is_relative_to(root)


@pytest.mark.parametrize(
    ("links", "leaving"),
    [
        ({"a": "b"}, []),
        ({"a": "missing/file"}, []),
        ({"a": "/etc/passwd"}, ["a"]),
        ({"a": ".."}, ["a"]),
        ({"a": "x/../../b"}, ["a"]),
        ({"d/a": "../b"}, []),
        ({"d/a": "../../b"}, ["d/a"]),
        ({"d/up": "..", "d/x": "up/../y"}, ["d/x"]),
        ({"up": "d/e", "x": "up/../../y"}, []),
        ({"out": "/", "x": "out/etc"}, ["out", "x"]),
        ({"a": "b", "b": "a"}, ["a", "b"]),
        ({"d": ".", "d2": "d/d/d/d"}, []),
    ],
)
def test_links_that_lead_out_are_found(links: dict[str, str], leaving: list[str]) -> None:
    assert [link for link in links if leaves_directory(link, links=links)] == leaving

"""Recipes for tests of lint: a Containerfile, and files that are only names, sizes and heads."""

from collections.abc import Mapping
from typing import Any

from tests.facts import digest
from watcher.core.facts import Repository
from watcher.core.lint import Complaint, lint
from watcher.core.recipe import EntryKind, Recipe, RecipeEntry

BASE = f"FROM quay.io/openshift-release-dev/ocp-v4.0-art-dev@{digest('base')}\n"
"""Line 1 of most texts: a base that nothing is to be said about."""


def a_recipe(
    text: str,
    *files: str,
    sizes: Mapping[str, int] | None = None,
    args: dict[str, str] | None = None,
) -> Recipe:
    folders = {path[:at] for path in files for at, char in enumerate(path) if char == "/"}
    entries = [RecipeEntry(path=path, kind=EntryKind.DIRECTORY) for path in folders]
    for path in files:
        size = (sizes or {}).get(path, 10)
        entries.append(
            RecipeEntry(path=path, kind=EntryKind.FILE, content="0" * 64, size_bytes=size)
        )
    return Recipe(
        name="gpu",
        containerfile=text,
        digest=digest("recipe"),
        target=Repository("registry.example.com/os/gpu"),
        build_args=args or {},
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
    )


def complaints(text: str, *files: str, **more: Any) -> tuple[Complaint, ...]:
    """What lint says of a text with these files."""
    of_recipe = {name: more.pop(name) for name in ("sizes", "args") if name in more}
    return lint(a_recipe(text, *files, **of_recipe), **more)


def lines(code: str, text: str, *files: str, **more: Any) -> list[int]:
    """The lines at which one rule complains."""
    return [one.line for one in complaints(text, *files, **more) if one.code == code]


def codes(found: tuple[Complaint, ...]) -> set[str]:
    return {one.code for one in found}

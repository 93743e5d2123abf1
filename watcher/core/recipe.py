"""A recipe: what turns a base into a layered image, and the digests that say when it changed.

The digest must be the same on every machine that has the same files, so owners, times and all
permission bits but "executable" stay out of it: a checkout keeps none of these either. Builders
must therefore give files the modes that :attr:`RecipeEntry.mode` says.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from watcher.core.facts import Digest, Malformed, Repository

_MOST_LINKS = 40
"""As the kernel's limit for links followed in one path (path_resolution(7))."""


class EntryKind(StrEnum):
    FILE = "file"
    SYMLINK = "symlink"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeEntry:
    path: str
    """Below the recipe directory, with `/`, never empty, without `.` and `..`."""
    kind: EntryKind
    content: str = ""
    """The sha256 of a file, the target of a link, empty for a directory."""
    executable: bool = False
    size_bytes: int = 0

    @property
    def mode(self) -> int:
        """The permission bits of this entry in an image, unless --chmod says otherwise."""
        if self.kind is EntryKind.SYMLINK:
            return 0o777
        return 0o755 if self.executable or self.kind is EntryKind.DIRECTORY else 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    containerfile: str
    """Its text, line ends as in the file."""
    digest: Digest
    target: Repository
    build_args: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[RecipeEntry, ...] = ()
    """What COPY can reach, sorted by path; the ignored is left out."""


def recipe_digest(
    *,
    containerfile: str,
    entries: Iterable[RecipeEntry],
    build_args: Mapping[str, str],
    target: Repository,
) -> Digest:
    """The digest over everything that makes the recipe, in whatever order it was listed.

    The name is not part of it: two recipes of equal content share their builds.
    Raise Malformed if a path is listed twice.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    for before, after in pairwise(ordered):
        if before.path == after.path:
            raise Malformed(f"listed twice in a recipe: {after.path[:200]!r}")
    listing = [[e.path, e.kind.value, e.content, e.executable] for e in ordered]
    return Digest(
        "sha256:"
        + _hash(["relayer-recipe/1", containerfile, listing, sorted(build_args.items()), target])
    )


def build_key(
    *,
    base: Digest,
    recipe: Digest,
    platforms: Iterable[str],
    builder_options: Mapping[str, str],
) -> str:
    """64 hex characters that name a build: whoever wants the same key waits for the same build."""
    return _hash(
        [
            "relayer-build/1",
            base,
            recipe,
            sorted(set(platforms)),
            sorted(builder_options.items()),
        ]
    )


def _hash(value: object) -> str:
    # JSON keeps the parts apart: ("a", "bc") and ("ab", "c") must not be the same.
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def leaves_directory(link: str, *, links: Mapping[str, str]) -> bool:
    """True if the link at path `link` leads out of the recipe directory.

    `links`: target by path of every link in it, because a target can pass through others:
    `a/up -> ..` is harmless, `a/x -> up/../y` beside it is not. A loop counts as leaving.
    """
    here: list[str] = []
    ahead = link.split("/")[::-1]
    followed = 0
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        target = links.get("/".join([*here, part]))
        if target is None:
            here.append(part)
            continue
        followed += 1
        if followed > _MOST_LINKS or target.startswith("/"):
            return True
        ahead.extend(target.split("/")[::-1])
    return False

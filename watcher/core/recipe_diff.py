"""What changed between two recipes, for the eyes of an approver.

A snapshot of each recipe is kept when it is built; the running image's recipe is compared with the
new one. All of it is bounded: people read a summary, the rest is in their repository.
"""

import difflib
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain

from watcher.core.letters import Diff
from watcher.core.recipe import Recipe

MOST_TEXT = 24_000
"""Characters of a Containerfile that are kept: ten times a long one."""
MOST_ENTRIES = 200
"""Files that are kept by name; more are only counted."""
MOST_LINES = 60
"""Lines of a diff."""
LINE = 200
MOST_FILE_TEXT = 20_000
"""Characters of all names and contents of files; with the rest it stays below the store's bound."""
UNSEEN = "differs, but in nothing that is kept for a comparison"


def snapshot(recipe: Recipe) -> dict[str, object]:
    """Return what is kept of a recipe, as JSON values."""
    files = [[e.path[:300], e.content[:300], e.executable] for e in recipe.entries]
    sizes = accumulate(len(e.path[:300]) + len(e.content[:300]) for e in recipe.entries)
    kept = files[: min(MOST_ENTRIES, sum(size <= MOST_FILE_TEXT for size in sizes))]
    args = list(recipe.build_args.items())[:20]
    return {
        "digest": recipe.digest,
        "containerfile": recipe.containerfile[:MOST_TEXT],
        "files": kept,
        "more_files": len(files) - len(kept),
        "args": {name[:LINE]: value[:LINE] for name, value in args},
    }


def diff(before: Mapping[str, object], after: Mapping[str, object]) -> Diff:
    """Return the difference of two snapshots; unknown where one of them is not there."""
    if not before or not after:
        return Diff(known=False)
    old, new = _lines(before), _lines(after)
    # Two lines of head; a line of the file begins with + or -, whatever comes behind.
    said = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
    changed = [line[:LINE] for line in said if not line.startswith("@@")]
    added = sum(line.startswith("+") for line in changed)
    parts = [f"Containerfile +{added} −{len(changed) - added}"] if changed else []
    files = list(_files(before, after))
    args = ["build args changed"] if before.get("args") != after.get("args") else []
    parts += [f"{path} {what}" for path, what in files[:5]]
    parts += [f"{len(files) - 5} more files"] * (len(files) > 5)
    lines = chain(changed, (f"{path} {what}" for path, what in files), args)
    same = "no difference" if before.get("digest") == after.get("digest") else UNSEEN
    return Diff(
        known=True,
        lines=tuple(_bounded(list(lines))),
        summary="; ".join([*parts, *args]) or same,
    )


def _lines(said: Mapping[str, object]) -> list[str]:
    return str(said.get("containerfile", "")).splitlines()


def _files(before: Mapping[str, object], after: Mapping[str, object]) -> Sequence[tuple[str, str]]:
    old, new = _by_path(before), _by_path(after)
    return [
        *((path, "added") for path in sorted(new.keys() - old.keys())),
        *((path, "removed") for path in sorted(old.keys() - new.keys())),
        *((path, "changed") for path in sorted(old.keys() & new.keys()) if old[path] != new[path]),
    ]


def _by_path(said: Mapping[str, object]) -> dict[str, object]:
    files = said.get("files")
    if not isinstance(files, list):
        return {}
    return {str(one[0]): one[1:] for one in files if isinstance(one, list) and one}


def _bounded(lines: list[str]) -> list[str]:
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[:MOST_LINES], f"… and {len(lines) - MOST_LINES} more lines"]

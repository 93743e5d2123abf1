"""The page about releases: every case of bad input that was ordered, each with tests that exist."""

import re
from pathlib import Path

from tests.repo.test_bad_input_is_tested import existing, named, rows

PAGE = (Path(__file__).parents[2] / "docs/releases.md").read_text()
ORDERED = {
    *("truncated blob", "oversized blob", "gzip and zstd bombs", "duplicate tags"),
    "too many layers or platforms",
    *("wrong digest: manifest", "wrong digest: child of an index", "wrong digest: config"),
    *("wrong digest: layer behind the files", "tar entries with `..`, links, devices"),
    *("image-references that is no JSON, or of another kind", "manifest list without our platform"),
    *("token endpoint that loops", "token endpoint that answers HTML", "clock skew on tokens"),
    *("registry that hangs mid-blob", "auth file with broken base64"),
    *("signature by another key", "signature for another digest"),
    "unknown JSON fields in a signature",
}


def cases() -> list[list[str]]:
    return rows(PAGE.partition("## Limits")[2])


def test_every_case_that_was_ordered_has_a_row_with_tests() -> None:
    found = {row[0]: named(row[2]) for row in cases()}
    assert set(found) == ORDERED
    assert [case for case, tests in found.items() if not tests] == []


def test_every_test_that_the_page_names_exists() -> None:
    assert named(PAGE) - existing() == set()


def test_every_flag_and_setting_that_the_page_names_exists() -> None:
    root = Path(__file__).parents[2]
    commands = (root / "watcher/cli/release_commands.py").read_text()
    flags = set(re.findall(r"`(--[a-z-]+)`", PAGE))
    assert {f for f in flags if f'"{f}"' not in commands} == set()
    default = (root / "config/default.yaml").read_text()
    settings = set(re.findall(r"`(?:release|registry)\.([a-z_]+)`", PAGE))
    assert {s for s in settings if not re.search(rf"\b{s}:", default)} == set()

"""A tag that means something else than when it was first seen."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.facts import T0, digest
from watcher.core.tags import TagSeen, from_values, moved, to_values

FIRST = TagSeen(
    image="registry.example.com/os/gpu:latest",
    uid="u",
    generation=1,
    digest=digest("first"),
    at=T0,
)
NOW = replace(FIRST, digest=digest("second"), at=T0 + timedelta(days=3))


def test_another_digest_is_told_with_both_and_since_when() -> None:
    said = moved(FIRST, NOW)
    for part in (NOW.image, NOW.digest.short, FIRST.digest.short, f"{T0:%Y-%m-%d}"):
        assert part in said


@pytest.mark.parametrize(
    "first",
    [
        None,
        replace(FIRST, digest=NOW.digest),
        replace(FIRST, uid="another"),
        replace(FIRST, generation=2),
        replace(FIRST, image="registry.example.com/os/gpu:v1"),
    ],
)
def test_of_another_machineconfig_or_the_same_digest_nothing_is_told(first: TagSeen | None) -> None:
    assert moved(first, NOW) == ""


def test_it_is_kept_as_json() -> None:
    assert from_values(json.loads(json.dumps(to_values(FIRST)))) == FIRST


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"digest": "x"},
        {**to_values(FIRST), "digest": "x"},
        {**to_values(FIRST), "at": 3},
        {**to_values(FIRST), "generation": None},
    ],
)
def test_what_was_not_kept_by_us_is_nothing(said: dict[str, Any]) -> None:
    assert from_values(said) is None

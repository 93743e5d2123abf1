"""Which pool follows which: not before the other has the release, is well and has soaked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.facts import Digest
from watcher.core.order import After, OtherPool, cycle, waits_for

RELEASE, NEWER = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
T0 = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
AFTER = After(place="prod/canary", soak_seconds=24 * 3600)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WELL = OtherPool(
    place="prod/canary",
    release_digest=RELEASE,
    on_base=True,
    settled=True,
    since=T0 - DAY,
    done_at=None,
    failed="",
    problem="",
)
BEHIND = replace(WELL, on_base=False)
DONE = replace(WELL, done_at=T0 - DAY, since=T0 - DAY - HOUR)
MOVED_ON = replace(DONE, release_digest=NEWER, since=T0 - HOUR)

CASES: dict[str, tuple[OtherPool, str | None]] = {
    "it runs it and has soaked": (WELL, None),
    "by our records it was done, and has soaked": (DONE, None),
    "it soaks": (
        replace(WELL, since=T0 - HOUR),
        "prod/canary has run it since 2026-11-24 09:00 UTC; it soaks until 2026-11-25 09:00 UTC",
    ),
    "it soaks from when it was done": (
        replace(DONE, done_at=T0 - HOUR),
        "prod/canary has run it since 2026-11-24 09:00 UTC; it soaks until 2026-11-25 09:00 UTC",
    ),
    "it was done, but was not well since": (
        replace(DONE, since=T0 - HOUR),
        "prod/canary has run it since 2026-11-24 09:00 UTC; it soaks until 2026-11-25 09:00 UTC",
    ),
    "it was done, and nobody knows since when it is well": (replace(DONE, since=None), None),
    "its cluster is not there yet": (
        replace(WELL, release_digest=NEWER),
        "prod/canary has to take 4.18.10 first; its cluster is on another release",
    ),
    "nobody knows where its cluster is": (
        replace(WELL, release_digest=None),
        "prod/canary has to take 4.18.10 first; its cluster is on another release",
    ),
    "it does not run it yet": (
        BEHIND,
        "prod/canary has to take 4.18.10 first; it does not run it yet",
    ),
    "it does not run it any more": (
        replace(DONE, on_base=False),
        "prod/canary has to take 4.18.10 first; it no longer runs it",
    ),
    "its cluster has moved on since": (MOVED_ON, None),
    "its cluster has moved on and its pool is behind": (replace(MOVED_ON, on_base=False), None),
    "its cluster has moved on within the soak": (
        replace(MOVED_ON, done_at=T0 - 2 * HOUR),
        "prod/canary has run it since 2026-11-24 08:00 UTC; it soaks until 2026-11-25 08:00 UTC",
    ),
    "its cluster has moved on, and it is not well": (
        replace(MOVED_ON, settled=False),
        "prod/canary has to be well with 4.18.10 first; it is updating or degraded",
    ),
    "it is not well": (
        replace(WELL, settled=False, since=None),
        "prod/canary has to be well with 4.18.10 first; it is updating or degraded",
    ),
    "it was done and is not well": (
        replace(DONE, settled=False),
        "prod/canary has to be well with 4.18.10 first; it is updating or degraded",
    ),
    "nobody knows since when": (
        replace(WELL, since=None),
        "prod/canary has 4.18.10, but nobody knows since when",
    ),
    "it failed": (
        replace(BEHIND, failed="node w-1 is degraded"),
        "prod/canary failed with 4.18.10: node w-1 is degraded; nothing follows it",
    ),
    "it failed, whatever it runs now": (
        replace(DONE, failed="node w-1 is degraded"),
        "prod/canary failed with 4.18.10: node w-1 is degraded; nothing follows it",
    ),
    "it failed and cannot be seen": (
        replace(WELL, failed="node w-1 is degraded", problem="no answer"),
        "prod/canary failed with 4.18.10: node w-1 is degraded; nothing follows it",
    ),
    "it cannot be seen": (
        replace(DONE, problem="no answer"),
        "prod/canary has to take 4.18.10 first, and cannot be seen: no answer",
    ),
}


@pytest.mark.parametrize(("other", "sentence"), CASES.values(), ids=CASES)
def test_a_release_follows_another_pool_that_is_well_with_it(
    other: OtherPool, sentence: str | None
) -> None:
    assert waits_for(AFTER, other, release=RELEASE, now=T0, version="4.18.10") == sentence


def test_the_soak_is_over_at_its_end_and_not_before() -> None:
    assert waits_for(AFTER, WELL, release=RELEASE, now=T0) is None
    assert waits_for(AFTER, WELL, release=RELEASE, now=T0 - timedelta.resolution) is not None


def test_without_a_soak_it_follows_at_once() -> None:
    now = replace(WELL, since=T0)
    assert waits_for(replace(AFTER, soak_seconds=0), now, release=RELEASE, now=T0) is None


def test_a_release_without_a_version_is_called_by_its_digest() -> None:
    said = waits_for(AFTER, BEHIND, release=RELEASE, now=T0)
    assert said == ("prod/canary has to take release 111111111111 first; it does not run it yet")


def test_the_facts_of_another_place_are_not_taken_for_it() -> None:
    with pytest.raises(AssertionError, match="prod/other was looked at, not prod/canary"):
        waits_for(AFTER, replace(WELL, place="prod/other"), release=RELEASE, now=T0)


moments = st.integers(-3000, 0).map(lambda minutes: T0 + timedelta(minutes=minutes))


@given(
    st.builds(
        OtherPool,
        place=st.just("prod/canary"),
        release_digest=st.sampled_from([RELEASE, NEWER, None]),
        on_base=st.booleans(),
        settled=st.booleans(),
        since=st.one_of(st.none(), moments),
        done_at=st.one_of(st.none(), moments),
        failed=st.sampled_from(["", "", "it broke"]),
        problem=st.sampled_from(["", "", "no answer"]),
    )
)
def test_nothing_follows_a_pool_that_is_not_well_or_has_not_soaked(other: OtherPool) -> None:
    if waits_for(AFTER, other, release=RELEASE, now=T0) is None:
        assert other.settled
        assert not other.failed
        assert not other.problem
        has_it = other.release_digest == RELEASE and other.on_base
        assert has_it or (other.done_at is not None and other.release_digest != RELEASE)
        assert any(at is not None and at <= T0 - DAY for at in (other.since, other.done_at))
        assert other.done_at is None or other.done_at <= T0 - DAY


@pytest.mark.parametrize(
    ("rules", "circle"),
    [
        ({}, ()),
        ({"a/p": ["b/p", "c/p"], "b/p": ["c/p"]}, ()),
        ({"a/p": ["a/p"]}, ("a/p",)),
        ({"a/p": ["b/p"], "b/p": ["c/p"], "c/p": ["a/p"]}, ("a/p", "b/p", "c/p")),
        ({"x/p": ["a/p"], "a/p": ["y/p", "b/p"], "b/p": ["a/p"]}, ("a/p", "b/p")),
    ],
    ids=["no rules", "a triangle is none", "itself", "three", "with others before and after"],
)
def test_a_circle_of_pools_that_wait_for_each_other_is_found(
    rules: dict[str, list[str]], circle: tuple[str, ...]
) -> None:
    found = cycle(rules)
    assert sorted(found) == sorted(circle)


places = st.sampled_from("abcdef")


@given(st.dictionaries(places, st.lists(places, max_size=3)))
def test_what_is_found_is_a_circle_and_none_is_overlooked(rules: dict[str, list[str]]) -> None:
    found = cycle(rules)
    for place, following in pairwise((*found, *found[:1])):
        assert following in rules[place]
    reached = {place: set(after) for place, after in rules.items()}
    for _ in rules:
        for waits in reached.values():
            waits |= {far for near in tuple(waits) for far in reached.get(near, ())}
    assert bool(found) == any(place in waits for place, waits in reached.items())

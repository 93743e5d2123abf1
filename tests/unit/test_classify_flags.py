"""Flags beside a state, and that any evidence at all gives one state and a sentence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import (
    OURS,
    RECIPE_DIGEST,
    T0,
    a_base,
    a_machine_config,
    a_node,
    a_pool,
    a_release,
    conditions,
    digest,
    image,
)
from tests.unit.test_classify import BY_TAG, FROZEN, MINE, RECIPE, UPDATING, WAITING, of, seen
from watcher.core.classify import CURRENT_IMAGE, Evidence, classify
from watcher.core.cluster import Condition, Meta, Node, Pool
from watcher.core.drift import RecipeBroken, Running
from watcher.core.lineage import Lineage
from watcher.core.release import UnknownBase
from watcher.core.state import Flag, State


def told(kind: str, status: str, minutes: int, message: str = "") -> Condition:
    at = T0 + timedelta(minutes=minutes)
    return Condition(type=kind, status=status, message=message, last_transition=at)


def nodes(*os_images: str, images: tuple[str, ...] = ()) -> tuple[Node, ...]:
    made = [replace(a_node(f"n{n}"), os_image=os) for n, os in enumerate(os_images)]
    more = [
        Node(meta=Meta(name=f"m{n}", annotations={CURRENT_IMAGE: one}))
        for n, one in enumerate(images)
    ]
    return (*made, *more)


def flags(**said: Any) -> dict[Flag, tuple[int | None, str]]:
    """Flag → minutes after T0, and what is said."""
    return {
        raised.flag: (
            None if raised.since is None else int((raised.since - T0).total_seconds() // 60),
            raised.said,
        )
        for raised in of(**said).flags
    }


def test_a_pool_in_step_has_no_flag() -> None:
    assert flags() == {}


@pytest.mark.parametrize(
    ("known", "since"),
    [
        ((told("Updated", "True", 1), told("Updating", "False", 2)), None),
        ((told("Updated", "False", 9), told("Updating", "False", 2)), 9),
        ((told("Updated", "False", 1), told("Updating", "False", 5)), 5),
        ((told("Updated", "False", 1), told("Updating", "True", 5)), None),
        ((told("Updated", "False", 1),), None),
        ((), None),
        (WAITING, None),
    ],
)
def test_since_when_a_pool_is_paused_is_said_where_its_conditions_tell(
    known: tuple[Condition, ...], since: int | None
) -> None:
    assert flags(pool=a_pool(paused=True, conditions=known)) == {Flag.PAUSED: (since, "")}


def test_degraded_is_told_since_its_first_condition_with_the_most_telling_message() -> None:
    known = (told("Degraded", "True", 7), told("NodeDegraded", "True", 5, "disk\nfull"))
    assert flags(pool=a_pool(conditions=known)) == {Flag.DEGRADED: (5, "disk full")}
    assert flags(pool=a_pool(conditions=(told("Degraded", "False", 7),))) == {}
    assert flags(pool=a_pool(conditions=conditions(Degraded="True"))) == {Flag.DEGRADED: (None, "")}


@pytest.mark.parametrize(
    ("pool", "there", "mixed"),
    [
        (a_pool(), nodes("os 1", "os 1"), False),
        (a_pool(), nodes("os 1", "os 2"), True),
        (a_pool(), nodes("os 1", ""), False),
        (a_pool(), nodes(images=("a", "b")), True),
        (a_pool(conditions=UPDATING), nodes("os 1", "os 2"), False),
        (a_pool(conditions=WAITING, paused=True), nodes("os 1", "os 2"), True),
        (
            a_pool(conditions=conditions(Updating="True", NodeDegraded="True")),
            nodes("os 1", "os 2"),
            True,
        ),
    ],
)
def test_nodes_on_several_images_are_told_unless_they_are_on_their_way(
    pool: Pool, there: tuple[Node, ...], mixed: bool
) -> None:
    assert (Flag.MIXED_NODES in flags(pool=pool, nodes=there)) is mixed


def test_an_image_that_cannot_be_pulled_and_a_tag_that_moved_are_told() -> None:
    assert flags(unpullable="not there", tag_moved="means another") == {
        Flag.UNPULLABLE: (None, "not there"),
        Flag.TAG_MOVED: (None, "means another"),
    }


def test_every_flag_has_a_test_above() -> None:
    assert set(Flag) == {
        *flags(pool=a_pool(paused=True, conditions=conditions(Degraded="True"))),
        *flags(nodes=nodes("os 1", "os 2"), unpullable="x", tag_moved="y"),
    }


def test_flags_are_told_whatever_the_state_is() -> None:
    pool = a_pool(nodes=0, paused=True, conditions=conditions(Degraded="True"))
    assert (of(pool=pool).state, [f.flag for f in of(pool=pool).flags]) == (
        State.EMPTY,
        [Flag.PAUSED, Flag.DEGRADED],
    )


# --- for any evidence ----------------------------------------------------------------------------

texts = st.text(max_size=30) | st.sampled_from(
    ["4.16.3", "4.16.9", "4.16.1", "", "a\nb", "\x1b[1m"]
)
kinds = st.sampled_from(
    ["Updated", "Updating", "Degraded", "NodeDegraded", "RenderDegraded", "Building", "Odd"]
)
some_conditions = st.lists(
    st.builds(
        Condition,
        type=kinds,
        status=st.sampled_from(["True", "False", "Unknown", ""]),
        message=texts | st.just("long " * 1000),
        last_transition=st.none() | st.just(T0),
    ),
    max_size=6,
).map(tuple)
pools = st.builds(
    lambda nodes, **said: a_pool(nodes=nodes, **said),
    nodes=st.integers(0, 2),
    paused=st.booleans(),
    conditions=some_conditions,
    spec_configuration=st.sampled_from(["", "rendered-infra-1", "rendered-infra-2"]),
)
lineages = st.builds(
    Lineage,
    base=st.none() | st.sampled_from([a_base().image.digest, digest("old")]),
    recipe=st.none() | st.just(RECIPE_DIGEST),
    release_version=texts,
)
overrides = st.builds(
    Running,
    machine_config=st.sampled_from([OURS, "50-by-hand", FROZEN]),
    image=texts | st.sampled_from([BY_TAG, str(image("x"))]),
    ours=st.booleans(),
    lineage=lineages,
)
any_evidence = st.builds(
    seen,
    pool=pools,
    release=st.none() | st.just(a_release()),
    base=st.none() | st.just(a_base()) | st.builds(UnknownBase, texts),
    recipe=st.none() | st.just(RECIPE) | st.builds(RecipeBroken, texts, texts),
    running=st.none() | overrides,
    ours=st.none() | st.just(MINE) | st.just(a_machine_config(OURS)),
    owner=st.just("") | texts,
    beaten_by=texts,
    nodes=st.just(()) | st.just(nodes("os 1", "os \x00 2")),
    unpullable=texts,
    tag_moved=texts,
    problem=st.just("") | texts,
)


@settings(max_examples=100, deadline=None)
@given(any_evidence)
def test_any_evidence_has_one_state_and_a_sentence_of_one_line(evidence: Evidence) -> None:
    found = classify(evidence)
    assert isinstance(found.state, State)
    said = [found.sentence, *(raised.said for raised in found.flags)]
    assert found.sentence
    assert all(text.isprintable() and len(text) <= 600 for text in said)
    assert len({raised.flag for raised in found.flags}) == len(found.flags)
    assert classify(evidence) == found

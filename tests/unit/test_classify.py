"""One state for each pool, whatever is seen of it: the table, the precedence, and the flags."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import (
    INFRA,
    OURS,
    PROD,
    RECIPE_DIGEST,
    T0,
    a_base,
    a_lineage,
    a_machine_config,
    a_node,
    a_pool,
    a_release,
    conditions,
    digest,
    image,
    running,
)
from watcher.core import mco
from watcher.core.classify import CURRENT_IMAGE, Evidence, classify
from watcher.core.cluster import Condition, Meta, Node, Pool
from watcher.core.drift import RecipeBroken, RecipeSeen, Running
from watcher.core.lineage import Lineage, SaidBy
from watcher.core.release import UnknownBase
from watcher.core.state import Finding, Flag, State

RECIPE = RecipeSeen(name="gpu", digest=RECIPE_DIGEST, build_key="")
MINE = a_machine_config(OURS, os_image_url=str(image("mine")))
FOREIGN = running(ours=False)
NOBODY_KNOWS = Lineage()
BY_TAG = "registry.example.com/os/gpu:latest"
FROZEN = mco.PREBUILT + INFRA
UPDATING = conditions(Updated="False", Updating="True", Degraded="False")
WAITING = conditions(Updated="False", Updating="False", Degraded="False")


def seen(**said: Any) -> Evidence:
    """A pool in step with its cluster and its recipe."""
    default: dict[str, Any] = {
        "cluster": PROD,
        "pool": a_pool(),
        "observed_at": T0,
        "release": a_release(),
        "base": a_base(),
        "recipe": RECIPE,
        "running": running(),
        "ours": MINE,
    }
    return Evidence(**{**default, **said})


def of(**said: Any) -> Finding:
    return classify(seen(**said))


CASES: dict[str, tuple[dict[str, Any], State, str]] = {
    "stock": (
        {"running": None, "ours": None, "recipe": None},
        State.STOCK,
        "follows the release (4.16.3)",
    ),
    "current": ({}, State.CURRENT, "runs a layered image on the base of 4.16.3"),
    "current, and no recipe any more": ({"recipe": None}, State.CURRENT, "layered image"),
    "behind": (
        {"running": running("4.16.1")},
        State.BEHIND,
        "its base is that of 4.16.1, the cluster's is that of 4.16.3",
    ),
    "behind, and the recipe cannot be read": (
        {"running": running("4.16.1"), "recipe": RecipeBroken("gpu", "no file")},
        State.BEHIND,
        "4.16.1",
    ),
    "behind the same version's other image": (
        {"running": running(lineage=replace(a_lineage(), base=digest("single arch")))},
        State.BEHIND,
        "its base is another image than the one that 4.16.3 names",
    ),
    "behind, of a base without a release": (
        {"running": running(lineage=replace(a_lineage("4.16.1"), release_version=""))},
        State.BEHIND,
        "the cluster's is that of 4.16.3",
    ),
    "ahead": (
        {"running": running("4.16.9")},
        State.AHEAD,
        "its base is that of 4.16.9, the cluster's is that of 4.16.3",
    ),
    "recipe changed": (
        {"recipe": replace(RECIPE, digest=digest("another"))},
        State.RECIPE_CHANGED,
        "recipe gpu changed since its image was built",
    ),
    "unknown lineage": (
        {"running": running(lineage=NOBODY_KNOWS)},
        State.UNKNOWN_LINEAGE,
        "nobody knows the base of",
    ),
    "tagged": ({"running": running(image=BY_TAG)}, State.TAGGED, f"by tag: {BY_TAG}"),
    "tagged by somebody": (
        {"running": running(ours=False, image=BY_TAG), "ours": None, "recipe": None},
        State.TAGGED,
        "50-by-hand names its image by tag",
    ),
    "missing": (
        {"running": None, "ours": None},
        State.MISSING,
        "recipe gpu is configured, and the pool runs the stock image",
    ),
    "missing, and the recipe cannot be read": (
        {"running": None, "ours": None, "recipe": RecipeBroken("gpu", "no file")},
        State.MISSING,
        "recipe gpu",
    ),
    "shadowed": ({"running": FOREIGN}, State.SHADOWED, f"50-by-hand wins over {OURS}"),
    "shadowed by a generated one": (
        {"running": None, "beaten_by": "99-zzz-generated"},
        State.SHADOWED,
        f"99-zzz-generated wins over {OURS}",
    ),
    "shadowed by nobody": (
        {"running": None},
        State.SHADOWED,
        f"the pool does not select {OURS}",
    ),
    "foreign": (
        {"running": FOREIGN, "ours": None, "recipe": None},
        State.FOREIGN,
        "50-by-hand, which is not Relayer's, sets the image: its base is that of the release",
    ),
    "foreign on an old base": (
        {"running": running("4.16.1", ours=False), "ours": None, "recipe": None},
        State.FOREIGN,
        "its base is that of 4.16.1, the cluster's is that of 4.16.3",
    ),
    "foreign of nobody knows what": (
        {"running": running(ours=False, lineage=NOBODY_KNOWS), "ours": None, "recipe": None},
        State.FOREIGN,
        "nobody knows the base",
    ),
    "foreign, and the base cannot be read": (
        {"running": FOREIGN, "ours": None, "recipe": None, "base": UnknownBase("no registry")},
        State.FOREIGN,
        "its base is that of 4.16.3; no registry",
    ),
    "foreign in the place of ours": (
        {"running": FOREIGN, "ours": None},
        State.FOREIGN,
        "recipe gpu is configured, and has no override",
    ),
    "image mode": (
        {"owner": "moc", "running": None, "ours": None, "recipe": None},
        State.IMAGE_MODE,
        "MachineOSConfig moc builds its image on the cluster",
    ),
    "image mode, its build failed": (
        {
            "owner": "moc",
            "running": None,
            "ours": None,
            "pool": a_pool(conditions=conditions(BuildFailed="True", Degraded="True")),
        },
        State.IMAGE_MODE,
        "and its build failed",
    ),
    "image mode over a stale override": (
        {"owner": "moc", "running": running("4.16.1")},
        State.IMAGE_MODE,
        f"{OURS} keeps it on its own base whatever release comes: its base is that of 4.16.1",
    ),
    "frozen": (
        {"running": running(ours=False, machine_config=FROZEN), "ours": None},
        State.PREBUILT_FROZEN,
        f"{FROZEN} was made at installation",
    ),
    "another pool's frozen one": (
        {
            "running": running(ours=False, machine_config=mco.PREBUILT + "worker"),
            "ours": None,
        },
        State.FOREIGN,
        "10-prebuilt",
    ),
    "empty": ({"pool": a_pool(nodes=0)}, State.EMPTY, "no nodes"),
    "not empty, as nodes were seen": (
        {"pool": a_pool(nodes=0), "nodes": (a_node("n", "infra"),)},
        State.CURRENT,
        "",
    ),
    "no release": ({"release": None}, State.UNREADABLE, "could not be read"),
    "a problem": ({"problem": "forbidden"}, State.UNREADABLE, "forbidden"),
    "no base": (
        {"base": UnknownBase("no registry")},
        State.UNREADABLE,
        "its base is that of 4.16.3; no registry",
    ),
    "no base, and nobody says why": ({"base": None}, State.UNREADABLE, "is not known"),
    "the recipe cannot be read": (
        {"recipe": RecipeBroken("gpu", "no file")},
        State.UNREADABLE,
        "recipe gpu cannot be used: no file",
    ),
    "paused and behind": (
        {"pool": a_pool(paused=True), "running": running("4.16.1")},
        State.BLOCKED,
        "the pool is paused; its base is that of 4.16.1",
    ),
    "paused in the midst": (
        {"pool": a_pool(paused=True, conditions=WAITING)},
        State.BLOCKED,
        "the pool is paused; runs a layered",
    ),
    "paused with nowhere to go": ({"pool": a_pool(paused=True)}, State.CURRENT, ""),
    "updating": (
        {"pool": a_pool(conditions=UPDATING, updated_count=1)},
        State.BLOCKED,
        "the pool is updating (1 of 3)",
    ),
    "stock and updating": (
        {"pool": a_pool(conditions=UPDATING), "running": None, "ours": None, "recipe": None},
        State.BLOCKED,
        "follows the release",
    ),
    "rendered anew, and MCO did not look yet": (
        {"pool": a_pool(spec_configuration="rendered-infra-2")},
        State.BLOCKED,
        "updating",
    ),
    "degraded on its way": (
        {
            "pool": a_pool(
                conditions=conditions(
                    Updated="False", Updating="True", Degraded="True", NodeDegraded="True:disk full"
                )
            )
        },
        State.BLOCKED,
        "a node is degraded: disk full",
    ),
    "degraded with nowhere to go": (
        {"pool": a_pool(conditions=conditions(Updated="True", Degraded="True:of images"))},
        State.CURRENT,
        "",
    ),
    "not to be rendered": (
        {
            "pool": a_pool(
                conditions=conditions(
                    Updated="True", Degraded="True", RenderDegraded="True:conflict"
                )
            )
        },
        State.BLOCKED,
        "its MachineConfig cannot be rendered: conflict",
    ),
    "paused and unreadable": (
        {"pool": a_pool(paused=True, conditions=WAITING), "problem": "forbidden"},
        State.BLOCKED,
        "the pool is paused; forbidden",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pool_has_one_state(case: str) -> None:
    said, state, sentence = CASES[case]
    found = of(**said)
    assert (found.state, sentence in found.sentence) == (state, True), found.sentence


def test_the_table_has_every_state() -> None:
    assert {state for _, state, _ in CASES.values()} == set(State)


FIRST_TO_LAST: list[tuple[State, dict[str, Any]]] = [
    (State.EMPTY, {"pool": a_pool(nodes=0, paused=True, conditions=WAITING)}),
    (State.IMAGE_MODE, {"owner": "moc"}),
    (State.PREBUILT_FROZEN, {"running": running(ours=False, machine_config=FROZEN)}),
    (State.BLOCKED, {"pool": a_pool(paused=True, conditions=WAITING)}),
    (State.SHADOWED, {"running": running(ours=False, image=BY_TAG)}),
    (State.TAGGED, {"running": running(image=BY_TAG)}),
    (State.UNKNOWN_LINEAGE, {"running": running(lineage=NOBODY_KNOWS)}),
    (State.UNREADABLE, {"base": UnknownBase("no registry")}),
    (State.BEHIND, {"running": running("4.16.1")}),
    (State.RECIPE_CHANGED, {"recipe": replace(RECIPE, digest=digest("another"))}),
]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (one, other)
        for one, other in itertools.combinations(FIRST_TO_LAST, 2)
        if not one[1].keys() & other[1].keys()
    ],
    ids=lambda pair: str(pair[0]),
)
def test_of_two_states_the_one_that_decides_more_counts(
    first: tuple[State, dict[str, Any]], second: tuple[State, dict[str, Any]]
) -> None:
    assert of(**second[1]).state is second[0]
    assert of(**second[1], **first[1]).state is first[0]


# --- flags ---------------------------------------------------------------------------------------


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


# --- what else a finding says --------------------------------------------------------------------


def test_who_made_the_override_is_said() -> None:
    by = {name: of(running=one).override for name, one in OVERRIDES.items()}
    assert {name: one and one.by for name, one in by.items()} == {
        "ours": "relayer",
        "foreign": "somebody",
        "frozen": "machine-config-operator",
        "none": None,
    }


OVERRIDES: dict[str, Running | None] = {
    "ours": running(),
    "foreign": FOREIGN,
    "frozen": running(ours=False, machine_config=FROZEN),
    "none": None,
}


def test_the_bases_and_who_said_so_are_told() -> None:
    lineage = replace(a_lineage("4.16.1"), said_by=SaidBy.LAYERS)
    found = of(running=running(lineage=lineage))
    assert found.base_expected == str(a_base().image)
    assert (found.base_actual, found.base_source) == (str(lineage.base), "layers")
    assert found.evidence["base"] == "payload, stream rhel-9"


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

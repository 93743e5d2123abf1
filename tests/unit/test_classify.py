"""One state for each pool, whatever is seen of it: the table, the precedence, and the flags."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

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
from watcher.core.classify import Evidence, classify
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
        State.UNREADABLE,
        "forbidden",
    ),
    "degraded and unreadable": (
        {
            "pool": a_pool(conditions=conditions(Updated="True", Degraded="True:of images")),
            "base": UnknownBase("no registry"),
        },
        State.UNREADABLE,
        "its base is that of 4.16.3; no registry",
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


NEVER_BLOCKED = {State.EMPTY, State.IMAGE_MODE, State.PREBUILT_FROZEN, State.UNREADABLE}


@pytest.mark.parametrize(("state", "said"), FIRST_TO_LAST, ids=lambda one: str(one))
def test_blocked_comes_over_all_but_those_that_have_nowhere_to_go(
    state: State, said: dict[str, Any]
) -> None:
    found = of(**{"pool": a_pool(paused=True, conditions=WAITING), **said})
    assert found.state is (state if state in NEVER_BLOCKED else State.BLOCKED)
    if state is not State.EMPTY:
        assert [raised.flag for raised in found.flags] == [Flag.PAUSED]


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

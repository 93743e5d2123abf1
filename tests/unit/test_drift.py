"""Every decision, with the sentence that people read."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.facts import (
    OURS,
    RECIPE_DIGEST,
    T0,
    a_base,
    a_lineage,
    a_pool,
    an_observation,
    base_image,
    digest,
    running,
    seconds,
)
from watcher.core.drift import (
    MAX_AGE,
    Asked,
    Decision,
    Hold,
    InStep,
    Observation,
    Rebuild,
    RecipeBroken,
    RecipeSeen,
    decide,
)
from watcher.core.lineage import Lineage
from watcher.core.release import UnknownBase
from watcher.core.sight import SKEW

ANN = Asked("ann")
OLD = running("4.16.1")
KEY = "key of 4.16.3"


def decided(asked: Asked | None = None, **said: Any) -> Decision:
    return decide(an_observation(**said), now=T0, asked=asked)


@pytest.mark.parametrize(
    ("said", "because"),
    [
        (
            {"observed_at": T0 - MAX_AGE - seconds(1)},
            "last seen 2026-11-18 07:49 UTC, too long ago to act on",
        ),
        (
            {"observed_at": T0 + SKEW + seconds(1)},
            "last seen 2026-11-18 08:01 UTC, which is still to come: the clock was put back",
        ),
        ({"base": UnknownBase("release x cannot be read")}, "release x cannot be read"),
        (
            {"recipe": RecipeBroken("gpu", "Containerfile:3: two bases")},
            "recipe gpu cannot be used: Containerfile:3: two bases",
        ),
        (
            {"owner": "infra-layers"},
            "MachineOSConfig infra-layers owns this pool's image (on-cluster layering); "
            "delete it, or take the pool out of Relayer's configuration",
        ),
        (
            {"pool": a_pool(os_image_stream="rhel-10")},
            "the pool sets osImageStream rhel-10, with which MCO refuses an override; "
            "remove spec.osImageStream from the pool",
        ),
        (
            {"would_win": "99-zz"},
            f"MachineConfig 99-zz would win over {OURS}; "
            "remove its osImageURL or rename it to sort before ours",
        ),
        (
            {"would_win": ""},
            f"the pool does not select {OURS}: its machineConfigSelector must take "
            "machineconfiguration.openshift.io/role=infra",
        ),
        (
            {"paused_for": "u-9"},
            "the pool is still paused by Relayer for u-9; "
            "while that update is active it goes on by itself; if it has ended, unpause the pool",
        ),
    ],
    ids=[
        "seen too long ago",
        "seen in the future",
        "base unknown",
        "recipe broken",
        "owned by on-cluster layering",
        "stream on the pool",
        "another would win",
        "pool does not select ours",
        "still paused by us",
    ],
)
@pytest.mark.parametrize("asked", [None, ANN], ids=["by itself", "asked by a person"])
def test_what_keeps_a_pool_from_anything(
    said: dict[str, Any], because: str, asked: Asked | None
) -> None:
    """Not even a person's request goes past these."""
    assert decided(asked, running=OLD, **said) == Hold(a_pool().name, because)


@pytest.mark.parametrize("observed_at", [T0 - MAX_AGE, T0 + SKEW])
def test_a_view_that_is_just_young_enough_is_acted_upon(observed_at: datetime) -> None:
    assert isinstance(decided(observed_at=observed_at), InStep)


def test_a_pool_on_its_base_and_recipe_is_in_step() -> None:
    assert decided() == InStep(a_pool().name, "runs gpu on the base of 4.16.3")


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"running": None}, "runs the stock image, and gpu is configured for it"),
        (
            {"running": running(lineage=Lineage(), image="example.com/by-hand:1")},
            "runs example.com/by-hand:1, of which nobody knows the base",
        ),
        ({"running": OLD}, "its base is that of 4.16.1, the cluster's is that of 4.16.3"),
        (
            {"running": running(lineage=replace(a_lineage("4.16.1"), release_version=""))},
            f"its base is that of {base_image('4.16.1').digest.short}, "
            "the cluster's is that of 4.16.3",
        ),
        (
            {"recipe": RecipeSeen(name="gpu", digest=digest("new"), build_key="k2")},
            "recipe gpu changed since its image was built",
        ),
    ],
    ids=["stock", "unknown base", "old base", "old base by its digest", "recipe changed"],
)
def test_a_pool_that_differs_is_rebuilt(said: dict[str, Any], because: str) -> None:
    found = decided(**said)
    assert isinstance(found, Rebuild)
    assert found.because == because
    assert found.base == a_base()
    assert not found.downgrade_allowed


def test_what_runs_though_it_was_rolled_back_is_told() -> None:
    """The new release's build is the very one that runs, yet it must not: somebody put it back."""
    found = decided(refused={KEY: "u-1 was rolled back: node-1"})
    assert found == Hold(
        a_pool().name, "runs a build that must not run here: u-1 was rolled back: node-1"
    )


def test_a_build_that_was_refused_is_not_proposed_again() -> None:
    found = decided(running=OLD, refused={KEY: "ann rejected it"})
    assert found == Hold(
        a_pool().name, "ann rejected it; `relayer rebuild prod/infra` tries it again"
    )


def test_a_refused_build_does_not_keep_another_one_back() -> None:
    assert isinstance(decided(running=OLD, refused={"another key": "no"}), Rebuild)


def test_a_person_may_ask_for_a_refused_build() -> None:
    found = decided(ANN, running=OLD, refused={KEY: "ann rejected it"})
    assert isinstance(found, Rebuild)
    assert found.because.startswith("ann asked for it; its base is that of 4.16.1")


def test_a_person_may_ask_though_the_pool_is_in_step() -> None:
    found = decided(ANN)
    assert isinstance(found, Rebuild)
    assert found.because == "ann asked for it"


def test_a_wish_for_the_stock_image_stands() -> None:
    found = decided(running=None, stock_by="bob")
    assert found == Hold(
        a_pool().name,
        "bob asked for the stock image; `relayer rebuild prod/infra` layers it again",
    )
    assert isinstance(decided(ANN, running=None, stock_by="bob"), Rebuild)


NEWER = running("4.17.0")


def test_a_downgrade_is_held_and_told() -> None:
    found = decided(running=NEWER)
    assert found == Hold(
        a_pool().name,
        "runs the base of 4.17.0, newer than 4.16.3; "
        "`relayer rebuild prod/infra --allow-downgrade` goes back",
    )


@pytest.mark.parametrize(("asked", "allowed"), [(ANN, False), (Asked("ann", downgrade=True), True)])
def test_a_downgrade_needs_a_person_who_names_it(asked: Asked, allowed: bool) -> None:
    found = decided(asked, running=NEWER)
    assert isinstance(found, Rebuild) is allowed
    if isinstance(found, Rebuild):
        assert found.downgrade_allowed


def test_a_hand_made_image_with_the_right_labels_is_in_step() -> None:
    by_hand = running(ours=False, lineage=replace(a_lineage(), release_version=""))
    assert isinstance(decided(running=by_hand), InStep)


def test_the_decision_says_what_shall_be_built() -> None:
    seen: Observation = an_observation(running=OLD)
    found = decide(seen, now=T0)
    assert isinstance(found, Rebuild)
    assert found.recipe == RecipeSeen(name="gpu", digest=RECIPE_DIGEST, build_key=KEY)

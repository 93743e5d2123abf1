"""Pools that a MachineOSConfig builds on the cluster: their build, their image, and the trap."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import (
    INFRA,
    OURS,
    a_base,
    a_lineage,
    a_machine_config,
    a_pool,
    a_view,
    base_image,
    conditions,
    image,
    running,
)
from tests.unit.test_classify import of
from watcher.core.cluster import MachineOsBuild, MachineOsConfig, Meta
from watcher.core.image_mode import build_said, current_build, lineage_by_build, owners
from watcher.core.lineage import Lineage, SaidBy
from watcher.core.state import State

BUILT = str(image("built on the cluster"))
OWNER = MachineOsConfig(
    meta=Meta(name="layers"), pool=INFRA, current_image=BUILT, current_build="layers-2"
)


def build(name: str = "layers-2", **said: Any) -> MachineOsBuild:
    default: dict[str, Any] = {
        "meta": Meta(name=name),
        "os_config": "layers",
        "machine_config": "rendered-infra-1",
        "image": BUILT,
    }
    return MachineOsBuild(**{**default, **said})


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"Prepared": "True"}, "its build is about to begin"),
        ({"Prepared": "True", "Building": "True"}, "it is being built"),
        ({"Prepared": "False", "Building": "False", "Succeeded": "True"}, "it is built"),
        ({"Building": "True", "Failed": "True:no\nspace"}, "its build failed: no space"),
        ({"Interrupted": "True:evicted"}, "its build broke off: evicted"),
        ({"Failed": "True", "Succeeded": "True"}, "its build failed"),
        ({"Failed": "False", "Odd": "True"}, "its build waits"),
        ({}, "its build waits"),
    ],
)
def test_the_build_says_how_it_stands(known: dict[str, str], said: str) -> None:
    pool = a_pool(conditions=conditions(BuildFailed="True"))  # of the build before
    assert build_said(pool, build(conditions=conditions(**known))) == said


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"BuildFailed": "True", "Building": "True"}, "its build failed"),
        ({"BuildInterrupted": "True"}, "its build broke off"),
        ({"Building": "True", "BuildSuccess": "False"}, "it is being built"),
        ({"BuildPending": "True"}, "its build waits"),
        ({"BuildSuccess": "True"}, "it is built"),
        ({}, ""),
    ],
)
def test_without_a_build_the_pool_says_it(known: dict[str, str], said: str) -> None:
    assert build_said(a_pool(conditions=conditions(**known)), None) == said


def test_the_build_that_counts_is_the_one_its_owner_names_else_that_of_the_pools_config() -> None:
    pool = a_pool(spec_configuration="rendered-infra-1")
    one, two = build("layers-1", machine_config="rendered-infra-0"), build()
    foreign = build("other-1", os_config="other")
    there = {b.meta.name: b for b in (one, two, foreign)}
    view = replace(a_view(), machine_os_builds=there)
    assert current_build(view, pool, replace(OWNER, current_build="layers-1")) is one
    assert current_build(view, pool, replace(OWNER, current_build="other-1")) is two
    assert current_build(view, pool, replace(OWNER, current_build="")) is two
    gone = replace(view, machine_os_builds={"layers-1": one})
    assert current_build(gone, pool, OWNER) is None
    unfinished = replace(view, machine_os_builds={"x": build("x", machine_config="")})
    assert current_build(unfinished, replace(pool, spec_configuration=""), OWNER) is None


def test_the_base_is_the_image_of_the_rendered_machineconfig_that_was_built() -> None:
    rendered = a_machine_config("rendered-infra-1", os_image_url=str(base_image("4.16.1")))
    view = replace(
        a_view(machine_configs=(rendered,)), machine_os_builds={"a": build(image="x"), "b": build()}
    )
    found = lineage_by_build(view, OWNER)
    assert (found.base, found.said_by) == (base_image("4.16.1").digest, SaidBy.RENDERED)
    nothing = Lineage()
    unfinished = replace(view, machine_os_builds={"a": build(image="")})
    assert lineage_by_build(unfinished, replace(OWNER, current_image="")) == nothing
    assert lineage_by_build(view, replace(OWNER, current_image=str(image("other")))) == nothing
    assert lineage_by_build(replace(view, machine_configs={}), OWNER) == nothing
    by_tag = replace(rendered, os_image_url="registry.example.com/os:latest")
    tagged = replace(view, machine_configs={"rendered-infra-1": by_tag})
    assert lineage_by_build(tagged, OWNER) == nothing


def test_a_pool_has_the_first_of_two_owners() -> None:
    second = replace(OWNER, meta=Meta(name="more"))
    view = replace(a_view(), machine_os_configs={"layers": OWNER, "more": second})
    assert owners(view) == {INFRA: OWNER}


# --- what is told --------------------------------------------------------------------------------


def present(version: str) -> Any:
    return running(version, ours=False, machine_config="layers", image=BUILT)


def test_the_sentence_has_the_build_and_the_base_of_the_image_as_it_is() -> None:
    found = of(
        owner="layers",
        running=None,
        ours=None,
        build=build(conditions=conditions(Building="True")),
        present=present("4.16.1"),
    )
    assert found.state is State.IMAGE_MODE
    assert found.sentence == (
        "MachineOSConfig layers builds its image on the cluster, and it is being built; as it is "
        "now, its base is that of 4.16.1, the cluster's is that of 4.16.3"
    )
    assert found.base_actual == str(a_lineage("4.16.1").base)
    assert found.override is None
    assert (found.evidence["machineosbuild"], found.evidence["image"]) == ("layers-2", BUILT)


def test_an_override_under_it_is_told_beside_the_image_as_it_is() -> None:
    found = of(owner="layers", running=running("4.16.1"), build=build(), present=present("4.16.1"))
    assert "as it is now, its base is that of 4.16.1" in found.sentence
    assert f"{OURS} keeps it on its own base whatever release comes" in found.sentence
    assert found.override is not None
    assert found.override.machineconfig == OURS


def test_the_base_that_counts_is_that_of_the_image_the_nodes_have() -> None:
    found = of(owner="layers", running=running("4.16.1"), present=present("4.16.3"))
    assert found.base_actual == str(a_base().image.digest)

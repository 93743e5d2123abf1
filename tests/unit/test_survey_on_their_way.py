"""What is told of a pool whose nodes do not have yet what it shall have: what they do have."""

from dataclasses import replace
from typing import Any

import pytest

from tests.facts import (
    OURS,
    PROD,
    RECIPE_DIGEST,
    T0,
    a_base,
    a_machine_config,
    a_node,
    a_pool,
    a_release,
    a_version,
    a_view,
    base_image,
    conditions,
    digest,
    generated,
    image,
)
from tests.fakes import FakeImages, NoGraphs
from watcher.core import lineage, mco
from watcher.core.cluster import ClusterView, MachineConfig, MachineOsConfig, Meta, OsImageUrls
from watcher.core.facts import Pullspec
from watcher.core.images import BASE_DIGEST, RELEASE, VERSION, ImageFacts
from watcher.core.lag import Lag
from watcher.core.lineage import SaidBy, from_rendered
from watcher.core.state import Finding, State
from watcher.core.survey import Known, Survey
from watcher.settings import Settings
from watcher.surveying import Offline, Surveyor

OLD, NEW = "4.16.3", "4.18.9"
LAYERED = str(image("layered"))
URLS = OsImageUrls(release_version=NEW, base_image=str(base_image(NEW)))
STOOD_STILL = conditions(Updated="False", Updating="False", Degraded="False")
CV = a_version(NEW, before=OLD)


def rendered(number: int, url: str, version: str = OLD, **more: str) -> MachineConfig:
    said = {mco.GENERATED_BY: "hash", mco.RENDERED_BY_RELEASE: version, **more}
    return a_machine_config(f"rendered-infra-{number}", "", url, **said)


FIRST = rendered(1, str(base_image(OLD)))
SECOND = rendered(2, str(base_image(NEW)), NEW)
OVER = {mco.OVERRIDDEN: "true"}


def ours(version: str = NEW, url: str = LAYERED) -> MachineConfig:
    said = {
        lineage.BASE: base_image(version).digest,
        lineage.RELEASE: version,
        lineage.RECIPE: RECIPE_DIGEST,
        lineage.IMAGE: url,
    }
    return a_machine_config(OURS, "infra", url, **said)


def on_its_way(**said: Any) -> Any:
    """The pool, paused before its nodes got the second rendered configuration."""
    default: dict[str, Any] = {
        "paused": True,
        "conditions": STOOD_STILL,
        "spec_configuration": "rendered-infra-2",
        "spec_sources": ("00-worker",),
        "updated_count": 0,
    }
    return a_pool(**{**default, **said})


def view(*more: MachineConfig, pool: Any = None, **said: Any) -> ClusterView:
    return a_view(
        **{
            "pools": (pool or on_its_way(),),
            "machine_configs": (a_machine_config("00-worker", "worker"), *more),
            "nodes": {"n": a_node("n", "worker", "infra", has="rendered-infra-1")},
            "cluster_version": CV,
            "os_image_urls": URLS,
            **said,
        }
    )


async def survey(seen: ClusterView, images: FakeImages | None = None) -> Finding:
    offline = Offline()
    surveyor = Surveyor(
        settings=Settings(),
        images=images or offline,
        graphs=NoGraphs() if images else offline,
    )
    [found] = (await surveyor.survey(seen, now=T0)).findings
    return found


async def test_a_paused_stock_pool_lags_by_what_its_nodes_have() -> None:
    """The commonest drift there is, and no override has a part in it."""
    found = await survey(view(FIRST, SECOND))
    assert found.state is State.BLOCKED
    assert found.sentence == (
        "the pool is paused; follows the release (4.18.9),"
        " but its nodes still have the base of 4.16.3"
    )
    assert (found.lag.minors, found.lag.releases) == (2, 1)
    assert (found.base_actual, found.base_source) == (
        str(base_image(OLD)),
        "rendered MachineConfig",
    )
    assert found.override is None
    assert found.evidence["rendered"] == "rendered-infra-1"


async def test_a_paused_pool_lags_though_its_override_is_on_the_new_base() -> None:
    over = rendered(2, LAYERED, NEW, **OVER)
    found = await survey(view(FIRST, over, ours()))
    assert found.state is State.BLOCKED
    assert "layered image on the base of 4.18.9, but its nodes still have the base of 4.16.3" in (
        found.sentence
    )
    assert (found.lag.minors, found.base_actual) == (2, str(base_image(OLD)))
    assert found.override is not None
    assert found.override.image == LAYERED


async def test_what_cannot_be_rendered_does_not_reach_nodes_whatever_the_pool_says() -> None:
    """MCO leaves the pool at its old target, and `Updated` with it."""
    said = conditions(Updated="True", Updating="False", RenderDegraded="True:conflict")
    pool = on_its_way(paused=False, conditions=said, spec_configuration="rendered-infra-1")
    found = await survey(view(FIRST, ours(), pool=pool))
    assert (found.state, found.lag.minors) == (State.BLOCKED, 2)


async def test_days_are_from_the_image_that_nodes_have_to_the_one_of_the_release() -> None:
    images, built = FakeImages(), {OLD: "416.94.202407081958-0", NEW: "418.94.202502100215-0"}
    for version, said in built.items():
        base = base_image(version)
        images.held[base] = facts_of(base, {VERSION: said})
    found = await survey(view(FIRST, SECOND), images)
    assert found.lag.days == 217


def facts_of(base: Pullspec, labels: dict[str, str]) -> ImageFacts:
    return ImageFacts(
        image=base,
        manifest_digest=base.digest,
        os="linux",
        architecture="amd64",
        diff_ids=(digest("layer"),),
        labels=labels,
    )


async def test_an_override_that_nodes_still_have_is_known_by_its_labels_or_not_at_all() -> None:
    """What a rendered MachineConfig says of its release is not said of an override's base."""
    before = str(image("layered before"))
    seen = view(rendered(1, before, **OVER), rendered(2, LAYERED, NEW, **OVER), ours())
    found = await survey(seen)
    assert (found.lag, found.base_actual) == (Lag(), "")
    assert f"still have {before}, whose base nobody knows" in found.sentence
    images = FakeImages()
    claimed = {RELEASE: OLD, BASE_DIGEST: base_image(OLD).digest}
    images.held[Pullspec(before)] = facts_of(Pullspec(before), claimed)
    found = await survey(seen, images)
    assert (found.lag.minors, "the base of 4.16.3" in found.sentence) == (2, True)


async def test_a_rendered_config_that_says_no_version_is_looked_up() -> None:
    seen = view(rendered(1, str(base_image(OLD)), "c4a08067821f"), SECOND)
    found = await survey(seen)
    assert found.lag == Lag()
    assert f"still have the base of {base_image(OLD).digest.short}" in found.sentence
    images, base = FakeImages(), base_image(OLD)
    images.held[base] = facts_of(base, {RELEASE: OLD, BASE_DIGEST: base.digest})
    found = await survey(seen, images)
    assert (found.lag.minors, "the base of 4.16.3" in found.sentence) == (2, True)


async def test_another_configuration_on_the_same_base_is_no_lag() -> None:
    """One base may be in several releases: here the one that rendered it is older."""
    found = await survey(view(rendered(1, str(base_image(NEW))), SECOND))
    assert (found.state, found.lag.releases, found.lag.days) == (State.BLOCKED, 0, 0)
    assert found.sentence == "the pool is paused; follows the release (4.18.9)"


async def test_a_base_that_the_release_names_is_of_that_release() -> None:
    found = await survey(view(rendered(1, str(base_image(NEW)), "4.18.8"), SECOND, ours(OLD)))
    assert found.sentence.endswith("but its nodes still have the base of 4.18.9")


AT_TARGET = a_pool(
    spec_configuration="rendered-infra-1",
    spec_sources=("00-worker",),
)


@pytest.mark.parametrize(
    "seen",
    [
        view(SECOND),
        view(replace(FIRST, os_image_url=""), SECOND),
        view(FIRST, SECOND, pool=AT_TARGET),
        view(FIRST, SECOND, pool=on_its_way(machine_count=0), nodes={}),
    ],
    ids=["not read", "names no image", "at its target", "without nodes"],
)
async def test_where_no_rendered_config_tells_it_is_as_if_there_were_none(
    seen: ClusterView,
) -> None:
    found = await survey(seen)
    assert (found.lag, found.base_actual, "still" in found.sentence) == (Lag(), "", False)


async def test_without_what_nodes_had_the_override_counts() -> None:
    found = await survey(view(SECOND, ours()))
    assert (found.lag.releases, found.base_source) == (0, "our labels")


@pytest.mark.parametrize("built", [LAYERED, ""])
async def test_of_a_pool_in_image_mode_the_built_image_counts(built: str) -> None:
    owner = MachineOsConfig(meta=Meta(name="layers"), pool="infra", current_image=built)
    found = await survey(view(FIRST, SECOND, machine_os_configs={"layers": owner}))
    assert (found.state, found.base_actual, found.lag) == (State.IMAGE_MODE, "", Lag())


def test_a_rendered_config_that_is_read_later_is_seen_by_a_survey_that_goes_on() -> None:
    known = Known(release=a_release(NEW), bases={"rhel-9": a_base(NEW)})
    goes_on, first = Survey(PROD), view(SECOND)
    assert goes_on.of(first, known, now=T0)[0].base_actual == ""
    mcs = {**first.machine_configs, FIRST.meta.name: FIRST}
    found = goes_on.of(replace(first, machine_configs=mcs), known, now=T0)[0]
    assert found.base_actual == str(base_image(OLD))


def test_only_a_stock_image_is_of_the_release_that_rendered_it() -> None:
    stock = from_rendered(FIRST)
    assert (stock.base, stock.release_version) == (base_image(OLD).digest, OLD)
    assert (stock.said_by, stock.stock) == (SaidBy.RENDERED, True)
    assert from_rendered(rendered(1, LAYERED, **OVER)).base is None
    assert from_rendered(rendered(1, "registry.example.com/os:latest")).base is None
    assert from_rendered(generated("rendered-infra-1", "", LAYERED)).release_version == ""

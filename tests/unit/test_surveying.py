"""What a survey asks outside, and what it says where nobody answers."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.facts import (
    INFRA,
    OURS,
    PROD,
    T0,
    a_machine_config,
    a_pool,
    a_version,
    a_view,
    an_update,
    base_image,
    digest,
    image,
    our_override,
)
from tests.fakes import FakeImages, NoGraphs
from watcher.core import mco
from watcher.core.cluster import (
    ClusterView,
    MachineConfig,
    MachineOsBuild,
    MachineOsConfig,
    Meta,
    OsImageUrls,
)
from watcher.core.facts import Digest, Malformed, Pullspec
from watcher.core.images import BASE_DIGEST, RELEASE, ImageFacts
from watcher.core.lag import Lag
from watcher.core.recipe import Recipe
from watcher.core.state import Finding, Flag, State
from watcher.core.update_events import UpdateState
from watcher.ports import Refused, Transient
from watcher.settings import PoolSettings, Settings
from watcher.surveying import Offline, Surveyor

MINE = our_override(an_update(state=UpdateState.DONE))
URLS = OsImageUrls(release_version="4.16.3", base_image=str(base_image("4.16.3")))
CONFIGURED = Settings(pools=(PoolSettings(cluster=PROD, pool=INFRA, recipe="gpu"),))


@dataclass
class Registry(Offline):
    """Says whether images are there; None: it does not answer."""

    there: bool | None

    def seen_from(self, cluster: Any) -> "Registry":
        return self

    async def exists(self, image: Pullspec) -> bool:
        if self.there is None:
            raise Transient("the registry does not answer")
        return self.there


def view(*machine_configs: MachineConfig, **said: Any) -> ClusterView:
    mcs = machine_configs or (a_machine_config("00-infra"),)
    pool = a_pool(spec_sources=tuple(mc.meta.name for mc in mcs))
    return a_view(**{"pools": (pool,), "machine_configs": mcs, "os_image_urls": URLS, **said})


async def survey(seen: ClusterView, images: Offline | None = None, **how: Any) -> Finding:
    asked = images or Offline()
    settings = how.pop("settings", Settings())
    surveyor = Surveyor(settings=settings, images=asked, graphs=asked, **how)
    [finding] = (await surveyor.survey(seen, now=T0)).findings
    return finding


def recipe(of: Digest) -> Recipe:
    return Recipe(
        name="gpu", containerfile="", digest=of, target=an_update().target.base.repository
    )


async def test_what_is_written_on_our_override_is_enough_without_a_registry() -> None:
    found = await survey(view(MINE))
    assert (found.state, found.base_source) == (State.CURRENT, "our labels")
    assert (found.lag.releases, found.lag.days) == (0, 0)


async def test_annotations_of_another_image_are_worth_nothing() -> None:
    edited = replace(MINE, os_image_url=str(image("edited by hand")))
    assert (await survey(view(edited))).state is State.UNKNOWN_LINEAGE


async def test_without_a_base_the_sentence_says_who_was_not_asked() -> None:
    found = await survey(view(MINE, os_image_urls=None))
    assert found.state is State.UNREADABLE
    assert "--registry" in found.sentence


async def test_an_old_base_is_behind_by_what_the_cluster_itself_knows() -> None:
    newer = a_version("4.16.5", before="4.16.3")
    urls = replace(URLS, release_version="4.16.5", base_image=str(base_image("4.16.5")))
    found = await survey(view(MINE, cluster_version=newer, os_image_urls=urls))
    assert (found.state, found.lag.releases, found.lag.minors) == (State.BEHIND, 1, 0)
    assert found.lag.said_by == "ClusterVersion"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"cluster_version": None}, "no ClusterVersion"),
        ({"cluster_version": None, "problems": ("forbidden",)}, "forbidden"),
        ({"machine_configs": ()}, "no MachineConfig could be read"),
        ({"machine_configs": (), "problems": ("forbidden",)}, "forbidden"),
        ({"machine_configs": (a_machine_config("rendered-infra-1", ""),)}, "no MachineConfig"),
        ({"cluster_version": a_version(desired_image="x:latest")}, "names its release wrongly"),
    ],
)
async def test_what_could_not_be_read_is_said(said: dict[str, Any], why: str) -> None:
    found = await survey(view(**said))
    assert (found.state, why in found.sentence) == (State.UNREADABLE, True), found.sentence


@pytest.mark.parametrize(("there", "flags"), [(True, []), (False, [Flag.UNPULLABLE]), (None, [])])
async def test_an_image_that_is_gone_is_told_and_a_silent_registry_is_not(
    there: bool | None, flags: list[Flag]
) -> None:
    found = await survey(view(MINE), Registry(there))
    assert [raised.flag for raised in found.flags] == flags


async def test_an_image_without_a_digest_is_not_asked_for() -> None:
    by_tag = a_machine_config(OURS, os_image_url="registry.example.com/os/gpu:latest")
    found = await survey(view(by_tag), Registry(False))
    assert (found.state, found.flags) == (State.TAGGED, ())


@pytest.mark.parametrize(
    ("digest", "state"),
    [
        (an_update().target.recipe_digest, State.CURRENT),
        (image("another").digest, State.RECIPE_CHANGED),
    ],
)
async def test_the_recipe_is_compared_where_it_can_be_read(digest: Digest, state: State) -> None:
    how: dict[str, Any] = {"settings": CONFIGURED, "load_recipe": lambda name: recipe(digest)}
    assert (await survey(view(MINE), **how)).state is state
    assert (await survey(view(), **how)).state is State.MISSING


@pytest.mark.parametrize("error", [Refused("no file"), Malformed("no file")])
async def test_a_recipe_that_cannot_be_read_is_said(error: Exception) -> None:
    def fails(name: str) -> Recipe:
        raise error

    found = await survey(view(MINE), settings=CONFIGURED, load_recipe=fails)
    assert found.state is State.UNREADABLE
    assert "recipe gpu cannot be used: no file" in found.sentence


async def test_the_same_image_under_two_names_has_the_lineage_that_ours_tells() -> None:
    other = a_machine_config("99-a-by-hand", "gpu", MINE.os_image_url)
    pools = (a_pool("gpu"), a_pool())
    seen = view(other, MINE, pools=pools)
    seen = replace(seen, pools={p.meta.name: replace(p, spec_sources=()) for p in pools})
    asked = Offline()
    surveyor = Surveyor(settings=Settings(), images=asked, graphs=asked)
    found = (await surveyor.survey(seen, now=T0)).findings
    assert [one.base_source for one in found] == ["our labels", "our labels"]
    assert mco.override_name(INFRA) == OURS


# --- tags that move -------------------------------------------------------------------------------

TAG = "registry.example.com/os/gpu:latest"
TAGGED = a_machine_config("50-x", INFRA, TAG)


@dataclass
class Memory:
    kept_: dict[str, Any] = field(default_factory=dict)
    fails: bool = False

    async def keep(self, key: str, value: Any) -> None:
        self._maybe_fail()
        self.kept_[key] = dict(value)

    async def kept(self, key: str) -> Any:
        self._maybe_fail()
        return self.kept_.get(key, {})

    def _maybe_fail(self) -> None:
        if self.fails:
            raise Transient("the store is away")


async def flagged(seen: ClusterView, images: FakeImages, memory: Memory | None) -> bool:
    """A new surveyor each time: what was asked lately is not what is remembered."""
    surveyor = Surveyor(settings=Settings(), images=images, graphs=NoGraphs(), memory=memory)
    [found] = (await surveyor.survey(seen, now=T0)).findings
    assert found.state is State.TAGGED
    return Flag.TAG_MOVED in {raised.flag for raised in found.flags}


async def test_a_tag_that_moved_since_it_was_first_seen_is_told() -> None:
    images, memory = FakeImages(tags={TAG: digest("first")}), Memory()
    assert not await flagged(view(TAGGED), images, memory)
    assert not await flagged(view(TAGGED), images, memory)
    images.tags[TAG] = digest("second")
    assert await flagged(view(TAGGED), images, memory)
    assert await flagged(view(TAGGED), images, memory)
    assert not await flagged(view(TAGGED), images, None)
    # Written anew: nodes get what it means now.
    edited = replace(TAGGED, meta=replace(TAGGED.meta, generation=7))
    assert not await flagged(view(edited), images, memory)


async def test_what_nobody_can_say_now_is_no_move() -> None:
    images, memory = FakeImages(tags={TAG: digest("first")}), Memory()
    assert not await flagged(view(TAGGED), images, memory)
    images.tags.clear()
    assert not await flagged(view(TAGGED), images, memory)
    images.tags[TAG] = digest("second")
    memory.fails = True
    assert not await flagged(view(TAGGED), images, memory)


# --- asked once -----------------------------------------------------------------------------------


@dataclass
class Asked(FakeImages):
    """Counts what a registry would be asked."""

    requests: list[str] = field(default_factory=list)

    async def exists(self, image: Pullspec) -> bool:
        self.requests.append(f"exists {image}")
        return await super().exists(image)

    async def facts(self, image: Pullspec, architecture: str = "amd64") -> ImageFacts:
        self.requests.append(f"facts {image}")
        return await super().facts(image, architecture)

    async def digest_of(self, reference: str) -> Digest:
        self.requests.append(f"tag {reference}")
        return await super().digest_of(reference)


async def test_a_second_look_asks_nothing_that_is_known() -> None:
    foreign = a_machine_config("50-x", "other", str(image("foreign")))
    tagged = a_machine_config("60-x", "third", TAG)
    names = ("infra", "other", "third")
    pools = tuple(replace(a_pool(name), spec_sources=()) for name in names)
    seen = view(MINE, foreign, tagged, pools=pools)
    images, time = Asked(tags={TAG: digest("t")}), [0.0]
    surveyor = Surveyor(
        settings=Settings(),
        images=images,
        graphs=NoGraphs(),
        memory=Memory(),
        monotonic=lambda: time[0],
    )
    first = await surveyor.known(seen)
    asked = list(images.requests)
    assert {one.partition(" ")[0] for one in asked} == {"exists", "facts", "tag"}
    assert await surveyor.known(seen) == first
    assert images.requests == asked
    time[0] = 700.0
    await surveyor.known(seen)
    assert {one.partition(" ")[0] for one in images.requests[len(asked) :]} >= {"exists", "tag"}


# --- image mode -----------------------------------------------------------------------------------


async def test_the_image_of_a_pool_in_image_mode_has_a_lag_of_its_own() -> None:
    """Its registry is the cluster's own, which nobody else can ask."""
    built = str(image("built"))
    owner = MachineOsConfig(
        meta=Meta(name="layers"), pool=INFRA, current_image=built, current_build="layers-1"
    )
    rendered = a_machine_config("rendered-infra-1", "", str(base_image("4.16.1")))
    made = MachineOsBuild(
        meta=Meta(name="layers-1"),
        os_config="layers",
        machine_config="rendered-infra-1",
        image=built,
    )
    seen = view(
        a_machine_config("00-infra"),
        rendered,
        machine_os_configs={"layers": owner},
        machine_os_builds={"layers-1": made},
    )
    found = await survey(seen)
    assert (found.state, found.base_source) == (State.IMAGE_MODE, "rendered MachineConfig")
    assert found.lag == Lag()
    images = FakeImages()
    base = base_image("4.16.1")
    images.held[base] = ImageFacts(
        image=base,
        manifest_digest=base.digest,
        os="linux",
        architecture="amd64",
        diff_ids=(digest("layer"),),
        labels={RELEASE: "4.16.1", BASE_DIGEST: base.digest},
    )
    surveyor = Surveyor(settings=Settings(), images=images, graphs=NoGraphs())
    [found] = (await surveyor.survey(seen, now=T0)).findings
    assert "its base is that of 4.16.1, the cluster's is that of 4.16.3" in found.sentence
    assert (found.lag.minors, found.lag.releases) == (0, 1)
    current = replace(rendered, os_image_url=str(base_image("4.16.3")))
    in_step = replace(seen, machine_configs={**seen.machine_configs, "rendered-infra-1": current})
    asked = Asked()
    surveyor = Surveyor(settings=Settings(), images=asked, graphs=NoGraphs())
    [found] = (await surveyor.survey(in_step, now=T0)).findings
    assert (found.lag.releases, found.lag.days) == (0, 0)
    assert "its base is that of the release (4.16.3)" in found.sentence
    assert asked.requests == []  # the base that it should have is known

"""Building, verifying, waiting for a build, and asking."""

from dataclasses import replace
from pathlib import Path

import pytest

from handlers.ask_approval import AskApprovalHandler
from handlers.await_build import BACKSTOP_SECONDS, AwaitBuildHandler
from handlers.build import RunBuildHandler, labels
from handlers.verify import VerifyHandler
from tests.facts import (
    INFRA,
    PROD,
    T0,
    a_build,
    a_policy,
    a_recipe,
    a_vote,
    an_update,
    base_image,
    digest,
    image,
)
from tests.fake_store import FakeStore
from tests.fakes import FakeBuilder, FakeImages, FixedClock
from tests.scene import ours
from watcher.core import images
from watcher.core.build import BuildFailed, BuildState, Built, RunBuild, Verified, VerifyImage
from watcher.core.images import ImageFacts
from watcher.core.update import Update
from watcher.core.update_events import (
    Approved,
    AskApproval,
    AwaitBuild,
    BuildReady,
    Expired,
    Failed,
    UpdateState,
)
from watcher.ports import Change, Later, Refused, Transient

NEW = image("new")
BUILDING = a_build(state=BuildState.BUILDING)


def run(*builders: FakeBuilder, store: FakeStore, wanted: str = "auto") -> RunBuildHandler:
    return RunBuildHandler(builders, lambda name: (a_recipe(), Path("gpu"), wanted), store)


async def test_a_build_orders_what_was_decided(store: FakeStore) -> None:
    builder = FakeBuilder(gives=NEW, lines=45)
    assert await run(builder, store=store)(BUILDING, RunBuild(), ours) == Built(NEW)
    (order,) = builder.orders
    assert (order.base, order.target) == (BUILDING.base, BUILDING.target)
    assert order.labels == labels(BUILDING)
    assert order.tag.endswith(BUILDING.key[:20])
    assert builder.cleaned == ["b-1"], "what a crashed attempt left is in the way"
    assert len(await store.log("b-1")) == 46


async def test_the_base_is_read_as_the_cluster_that_wanted_it_would(store: FakeStore) -> None:
    builder = FakeBuilder(gives=NEW)
    await run(builder, store=store)(replace(BUILDING, cluster=PROD), RunBuild(), ours)
    assert builder.orders[0].cluster == PROD


async def test_the_output_of_a_build_that_fails_is_kept(store: FakeStore) -> None:
    builder = FakeBuilder(lines=3, fails=[Transient("the registry is away")])
    with pytest.raises(Transient):
        await run(builder, store=store)(BUILDING, RunBuild(), ours)
    assert (await store.log("b-1"))[-1] == "line 2"


async def test_a_recipe_that_changed_while_the_build_waited_is_not_built(store: FakeStore) -> None:
    builder = FakeBuilder(gives=NEW)
    stale = replace(BUILDING, recipe_digest=digest("before"))
    outcome = await run(builder, store=store)(stale, RunBuild(), ours)
    assert outcome == BuildFailed("recipe gpu changed while the build waited")
    assert builder.orders == []


async def test_the_first_builder_that_can_is_taken(store: FakeStore) -> None:
    append = FakeBuilder(refusals=["Containerfile:2: RUN"])
    buildah = FakeBuilder(name="buildah", gives=NEW)
    assert await run(append, buildah, store=store)(BUILDING, RunBuild(), ours) == Built(NEW)


@pytest.mark.parametrize(
    ("wanted", "because"),
    [
        ("auto", "recipe gpu cannot be built: append: Containerfile:2: RUN"),
        ("append", "append: Containerfile:2: RUN"),
        ("podman", "there is no builder 'podman'"),
    ],
)
async def test_without_a_builder_that_can_each_reason_is_told(
    store: FakeStore, wanted: str, because: str
) -> None:
    append = FakeBuilder(refusals=["Containerfile:2: RUN"])
    with pytest.raises(Refused, match=because):
        await run(append, store=store, wanted=wanted)(BUILDING, RunBuild(), ours)


# --- verify ---


def facts(of: str, layers: str, **labelled: str) -> ImageFacts:
    return ImageFacts(
        image=base_image("4.16.3") if of == "base" else NEW,
        manifest_digest=digest(f"manifest {of}"),
        os="linux",
        architecture="amd64",
        diff_ids=tuple(digest(layer) for layer in layers),
        labels=labelled,
    )


@pytest.mark.parametrize(
    ("layers", "is_good"), [("abc", True), ("xab", False)], ids=["on its base", "on another base"]
)
async def test_a_build_is_verified_by_what_the_registry_says(layers: str, is_good: bool) -> None:
    said = {
        images.BASE_DIGEST: str(BUILDING.base.digest),
        images.BUILD_KEY: BUILDING.key,
        images.RECIPE: str(BUILDING.recipe_digest),
    }
    base, made = facts("base", "ab"), replace(facts("new", layers), labels=said)
    handler = VerifyHandler(FakeImages(held={base.image: base, NEW: made}))
    outcome = await handler(BUILDING, VerifyImage(NEW), ours)
    if is_good:
        assert outcome == Verified(NEW.digest)
    else:
        assert isinstance(outcome, BuildFailed)
        assert "stands on another base" in outcome.because


# --- waiting for the build ---


async def awaited(store: FakeStore, state: BuildState | None) -> object:
    if state is not None:
        build = a_build(state=state, image=NEW if state is BuildState.READY else None)
        build = replace(build, ended_because="no space" if state is BuildState.FAILED else "")
        await store.commit([Change(job=build, expected=0)], [])
    return await AwaitBuildHandler(store)(an_update(), AwaitBuild(), ours)


async def test_a_ready_build_gives_its_image(store: FakeStore) -> None:
    assert await awaited(store, BuildState.READY) == BuildReady(NEW)


async def test_a_failed_build_is_remembered_against_the_pool(store: FakeStore) -> None:
    assert await awaited(store, BuildState.FAILED) == Failed("build b-1 failed: no space")
    assert await store.remembered(PROD, INFRA) == {"key of 4.16.3": "build b-1 failed: no space"}


async def test_a_build_that_goes_on_is_waited_for(store: FakeStore) -> None:
    assert await awaited(store, BuildState.BUILDING) == Later(BACKSTOP_SECONDS)
    assert (await store.progress("u-1"))["build_state"] == "building"


async def test_a_build_that_is_gone_ends_the_update_but_is_not_held_against_it(
    store: FakeStore,
) -> None:
    assert await awaited(store, None) == Failed("its build b-1 is gone from the store")
    assert await store.remembered(PROD, INFRA) == {}


# --- asking ---


async def answer(store: FakeStore, clock: FixedClock, update: Update) -> object:
    return await AskApprovalHandler(store, clock)(update, AskApproval(update.binding), ours)


ASKED = an_update(state=UpdateState.AWAITING_APPROVAL)


async def test_asking_waits_until_the_time_is_over(store: FakeStore, clock: FixedClock) -> None:
    assert await answer(store, clock, ASKED) == Later(24 * 3600)
    assert (await store.progress("u-1"))["waiting"] == "1 more approval(s) needed"
    clock.advance(24 * 3600)
    assert await answer(store, clock, ASKED) == Expired()


async def test_the_policy_approves_without_asking(store: FakeStore, clock: FixedClock) -> None:
    auto = replace(ASKED, policy=a_policy(auto=True))
    assert await answer(store, clock, auto) == Approved(auto.binding)


async def test_votes_that_were_saved_by_a_process_that_died_are_counted(
    store: FakeStore, clock: FixedClock
) -> None:
    voted = replace(ASKED, votes=(a_vote(ASKED, "ann", T0),))
    assert await answer(store, clock, voted) == Approved(ASKED.binding)

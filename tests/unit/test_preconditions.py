"""What must hold at the moment of an apply: all of it is evaluated, each failure is a sentence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.facts import (
    OURS,
    RECIPE_DIGEST,
    T0,
    a_policy,
    a_pool,
    a_release,
    a_target,
    an_observation,
    an_update,
    approved,
    conditions,
    digest,
    image,
    release_image,
    running,
    seconds,
)
from watcher.core import preconditions
from watcher.core.drift import Observation, RecipeBroken, RecipeSeen
from watcher.core.facts import PoolName
from watcher.core.genuine import Ruling
from watcher.core.order import After, OtherPool
from watcher.core.preconditions import PRECONDITIONS, Scene, completed_base, unmet
from watcher.core.release import UnknownBase
from watcher.core.timing import Freeze
from watcher.core.update import Policy, Update, asked_by_person
from watcher.core.update_events import Kind, UpdateState
from watcher.core.windows import Blackout, Window

SCHEDULED = UpdateState.SCHEDULED
UPDATE = an_update(state=SCHEDULED)
SEEN = an_observation(running=running("4.16.1"))
LATER = Window(days=("thu",), start="02:00", hours=2.0)
NEVER = Window(days=(), start="02:00", hours=2.0)


def scene(*, update: Update = UPDATE, seen: Observation | None = SEEN, **said: Any) -> Scene:
    default: dict[str, Any] = {"policy": update.policy, "pull_problem": None, "now": T0}
    return Scene(update=update, seen=seen, **{**default, **said})


def with_policy(**said: Any) -> Update:
    return an_update(state=SCHEDULED, policy=replace(a_policy(), **said))


def windowed(*windows: Window) -> Update:
    return with_policy(windows=windows)


FROZEN = Freeze(scope="", by="ann", because="change freeze", at=T0, until=None)
CANARY = OtherPool(
    place="prod/canary",
    release_digest=release_image("4.16.3").digest,
    on_base=False,
    settled=True,
    since=None,
    done_at=None,
    failed="",
    problem="",
)
FOLLOWING = with_policy(after=(After(place="prod/canary", soak_seconds=0),))


def pool(**said: Any) -> Observation:
    return replace(SEEN, pool=a_pool(**said))


DEGRADED = conditions(Updated="True", Updating="False", NodeDegraded="True:node-1 is broken")
RENDERING = conditions(Updated="True", Updating="False", RenderDegraded="True:two images")
UPDATING = conditions(Updated="False", Updating="True")
UNPROVEN = replace(SEEN, genuine=Ruling(blocks="release 4.16.3 is not proven genuine", told="no"))
UNLAYERED = an_update(state=SCHEDULED, kind=Kind.STOCK)
ALONE = [
    (scene(), None),
    (scene(seen=None), "there is no MachineConfigPool infra in prod"),
    (scene(update=replace(UPDATE, approval=None)), "there is no approval for exactly this"),
    (scene(update=replace(UPDATE, image=image("x"))), "there is no approval for exactly this"),
    (
        scene(now=T0 + timedelta(days=7)),
        "its approval was good until 2026-11-25 08:00 UTC",
    ),
    (scene(policy=None), "the pool is no longer in the configuration"),
    (
        scene(policy=a_policy(quorum=2)),
        "the policy of the pool changed since it was approved",
    ),
    (
        scene(seen=replace(SEEN, release=a_release(completed=False))),
        "the control plane: upgrading to 4.16.3",
    ),
    (
        scene(seen=replace(SEEN, base=an_observation("4.16.9").base)),
        "its base is not that of the release the cluster runs now",
    ),
    (
        scene(seen=replace(SEEN, base=UnknownBase("the payload has no tag"))),
        "the payload has no tag",
    ),
    (scene(seen=UNPROVEN), "release 4.16.3 is not proven genuine"),
    (scene(seen=replace(SEEN, owner="layers")), "MachineOSConfig layers owns the pool's image"),
    (scene(seen=pool(os_image_stream="rhel-10")), "the pool sets osImageStream rhel-10"),
    (scene(seen=replace(SEEN, would_win="99-zz")), f"MachineConfig 99-zz would win over {OURS}"),
    (scene(seen=replace(SEEN, would_win="")), f"the pool does not select {OURS}"),
    (
        scene(seen=replace(SEEN, running=running("4.17.0"))),
        "it would go back from 4.17.0 to 4.16.3",
    ),
    (scene(seen=pool(conditions=DEGRADED)), "the pool is degraded: node-1 is broken"),
    (scene(seen=pool(conditions=RENDERING)), "the pool is degraded: two images"),
    (scene(seen=pool(paused=True)), "the pool is paused"),
    (scene(seen=pool(conditions=UPDATING, updated_count=1)), "the pool is updating (1 of 3)"),
    (scene(seen=pool(observed_generation=0)), "the pool is updating (3 of 3)"),
    (scene(seen=pool(spec_configuration="rendered-new")), "the pool is updating (3 of 3)"),
    (scene(pull_problem="401"), "nodes cannot pull the image: 401"),
    (
        scene(seen=replace(SEEN, also_hit=(PoolName("gpu"), PoolName("edge")))),
        f"{OURS} would also change gpu, edge, as they inherit it; "
        "give each a recipe of its own first",
    ),
    (
        scene(update=UNLAYERED, seen=replace(SEEN, beneath="50-by-hand")),
        f"without {OURS} the pool gets the image of MachineConfig 50-by-hand, "
        "not the stock image; remove its osImageURL first",
    ),
    (
        scene(seen=replace(SEEN, recipe=RecipeBroken("gpu", "line 3"))),
        "recipe gpu cannot be used: line 3",
    ),
    (
        scene(seen=replace(SEEN, recipe=RecipeSeen(name="gpu", digest=digest("x"), build_key="x"))),
        "recipe gpu changed since its image was built",
    ),
    (
        scene(
            seen=replace(SEEN, recipe=RecipeSeen(name="gpu", digest=RECIPE_DIGEST, build_key="x"))
        ),
        "the pool's architectures or the builder changed since its image was built",
    ),
    (
        scene(update=FOLLOWING, seen=replace(SEEN, others=(CANARY,))),
        "prod/canary has to take 4.16.3 first; it does not run it yet",
    ),
    (
        scene(update=FOLLOWING),
        "prod/canary has to go first, and was not looked at",
    ),
    (
        scene(freezes=(FROZEN,)),
        "frozen by ann until somebody ends it: change freeze",
    ),
    (
        scene(freezes=(replace(FROZEN, scope="prod/infra"),)),
        "held by ann until somebody ends it: change freeze",
    ),
    (
        scene(update=with_policy(min_age_seconds=86400), seen=replace(SEEN, release_seen_at=T0)),
        "release first seen 2026-11-18 08:00 UTC; this policy waits 1d",
    ),
    (
        scene(update=with_policy(blackouts=(Blackout(first="11-10", last="11-20"),))),
        "blackout until 2026-11-21 00:00 UTC",
    ),
    (
        scene(update=replace(UPDATE, snoozed_until=T0 + seconds(60), snoozed_by="slack:U1")),
        "snoozed by slack:U1 until 2026-11-18 08:01 UTC",
    ),
    (scene(update=windowed(LATER)), "the next window opens 2026-11-19 02:00 UTC"),
    (scene(update=windowed(NEVER)), "no window opens within 400 days"),
]


@pytest.mark.parametrize(
    ("scene", "because"), ALONE, ids=[because or "nothing" for _, because in ALONE]
)
def test_what_stands_in_the_way_alone(scene: Scene, because: str | None) -> None:
    assert unmet(scene) == ([] if because is None else [because])


def test_all_that_stands_in_the_way_is_told_at_once() -> None:
    seen = replace(
        pool(paused=True, conditions=DEGRADED), owner="layers", release=a_release(completed=False)
    )
    said = unmet(scene(seen=seen, pull_problem="401"))
    assert len(said) == 5
    assert {"the pool is paused", "nodes cannot pull the image: 401"} <= set(said)


def test_an_approval_for_what_it_was_before_is_worth_nothing() -> None:
    moved = replace(UPDATE, target=replace(a_target(), base=image("another base")))
    assert "there is no approval for exactly this" in unmet(scene(update=moved))


def test_a_downgrade_by_name_may_pass() -> None:
    update = approved(replace(UPDATE, downgrade_allowed=True))
    assert unmet(scene(update=update, seen=replace(SEEN, running=running("4.17.0")))) == []


def test_an_open_window_lets_it_pass() -> None:
    update = windowed(Window(days=("wed",), start="07:00", hours=2.0))
    assert unmet(scene(update=update)) == []
    assert unmet(scene(update=update, now=T0 + seconds(3600))) != []


STOCK = an_update(state=SCHEDULED, kind=Kind.STOCK, policy=asked_by_person(a_policy(auto=True)))


@pytest.mark.parametrize(
    "seen",
    [
        SEEN,
        pool(os_image_stream="rhel-10"),
        replace(SEEN, would_win="99-zz"),
        replace(SEEN, running=running("4.17.0")),
        UNPROVEN,
    ],
    ids=[
        "well",
        "a stream on the pool",
        "another would win",
        "a newer one runs",
        "the release is not proven genuine",
    ],
)
def test_taking_our_override_away_needs_less(seen: Observation) -> None:
    assert unmet(scene(update=STOCK, seen=seen, policy=a_policy(auto=True))) == []


def test_a_stock_request_is_not_undone_by_an_automatic_policy() -> None:
    """People approve what a person asks for; the configured policy stays the one it was."""
    assert unmet(scene(update=STOCK, policy=a_policy(auto=True, quorum=2))) == [
        "the policy of the pool changed since it was approved"
    ]


def test_a_freeze_of_another_cluster_or_pool_is_none_of_this_one() -> None:
    others = ("stage", "prod/worker", "stage/infra")
    assert unmet(scene(freezes=tuple(replace(FROZEN, scope=scope) for scope in others))) == []


def test_a_freeze_that_is_over_holds_nothing_up() -> None:
    assert unmet(scene(freezes=(replace(FROZEN, until=T0),))) == []


def test_a_canary_that_failed_lets_nothing_follow() -> None:
    failed = replace(CANARY, failed="u-9 is rolled-back: node-1 is Degraded")
    said = unmet(scene(update=FOLLOWING, seen=replace(SEEN, others=(failed,))))
    assert said == [
        "prod/canary failed with 4.16.3: u-9 is rolled-back: node-1 is Degraded; nothing follows it"
    ]


def test_a_canary_that_soaked_long_enough_lets_the_others_follow() -> None:
    rule = After(place="prod/canary", soak_seconds=3600)
    well = replace(CANARY, on_base=True, since=T0 - seconds(3600))
    update = with_policy(after=(rule,))
    assert unmet(scene(update=update, seen=replace(SEEN, others=(well,)))) == []
    later = replace(well, since=T0 - seconds(3599))
    assert len(unmet(scene(update=update, seen=replace(SEEN, others=(later,))))) == 1


def test_neither_age_nor_order_hold_up_a_return_to_the_stock_image() -> None:
    policy = asked_by_person(
        replace(a_policy(), min_age_seconds=86400, after=FOLLOWING.policy.after)
    )
    update = an_update(state=SCHEDULED, kind=Kind.STOCK, policy=policy)
    assert unmet(scene(update=update, seen=replace(SEEN, release_seen_at=T0))) == []


def test_only_a_completed_release_has_a_base_to_apply() -> None:
    assert completed_base(SEEN) == a_target().base.digest
    assert completed_base(replace(SEEN, release=a_release(completed=False))) is None
    assert completed_base(replace(SEEN, base=UnknownBase("x"))) is None


def test_a_plan_tells_what_would_stand_in_the_way() -> None:
    seen = replace(pool(paused=True), release=a_release(completed=False), genuine=UNPROVEN.genuine)
    said = preconditions.standing_in_the_way(seen, Policy(windows=(LATER,)), (), T0)
    assert said == [
        "the control plane: upgrading to 4.16.3",
        "release 4.16.3 is not proven genuine",
        "the pool is paused",
        "the next window opens 2026-11-19 02:00 UTC",
    ]
    assert preconditions.standing_in_the_way(SEEN, Policy(), (), T0) == []


def test_no_precondition_is_without_a_test() -> None:
    """Each of them is the only one that speaks in at least one of the scenes above."""
    spoken = {
        number
        for one, because in ALONE
        if because and one.seen is not None
        for number, check in enumerate(PRECONDITIONS)
        if check(one, one.seen)
    }
    assert spoken == set(range(len(PRECONDITIONS)))

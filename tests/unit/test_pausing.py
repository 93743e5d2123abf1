"""A rollout whose window closes: the pool is held up by a pause of ours, and only of ours."""

from dataclasses import replace

import pytest

from tests.facts import INFRA, OURS, PROD, conditions, our_override
from tests.scene import Scene
from tests.unit.test_handlers_rollout import OLD, WAIT, applied, climbed, followed, soaked
from watcher.core import lineage
from watcher.core.timing import Freeze
from watcher.core.update import Policy, Update, step
from watcher.core.update_events import (
    FollowRollout,
    RolledBack,
    RolledOut,
    TakenOver,
    WentWrong,
)
from watcher.core.windows import DAYS, Blackout, Window
from watcher.ports import AuditEntry, Conflict, LeaseLost

HOUR = 3600.0
MORNING = Window(days=DAYS, start="06:00", hours=3.0)
"""Open at T0 (08:00), until 09:00; next on the following day."""
UNTIL_NEXT = 21 * HOUR
"""From its end to its next beginning."""
PAUSES = Policy(windows=(MORNING,), when_closed="pause")
ANY_TIME = Policy(when_closed="pause")


async def under_way(policy: Policy = PAUSES, *, done: int = 0) -> tuple[Scene, Update]:
    """Some nodes have it, one takes it, the others were not told yet."""
    scene = Scene(policy=policy)
    update = await applied(scene)
    scene.cluster.render()
    for number in range(done):
        scene.cluster.take(f"node-{number}")
    scene.cluster.begin(f"node-{done}")
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == []
    return scene, update


async def held_up(*, done: int = 0) -> tuple[Scene, Update]:
    """Its window has closed, and the pool is paused."""
    scene, update = await under_way(done=done)
    scene.clock.advance(HOUR)
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == ["pause"]
    return scene, update


def noted(scene: Scene) -> str | None:
    return scene.cluster.pools["infra"].meta.annotations.get(lineage.PAUSED_FOR)


def is_paused(scene: Scene) -> bool:
    return scene.cluster.pools["infra"].paused


async def freeze(scene: Scene, scope: str) -> None:
    entry = AuditEntry(at=scene.clock.now(), job="", event="Frozen", by="ann", state="")
    made = Freeze(scope=scope, by="ann", because="", at=scene.clock.now(), until=None)
    await scene.store.freeze(made, entry)


# --- windows ------------------------------------------------------------------------------------


async def test_while_its_window_is_open_nothing_is_paused() -> None:
    scene, update = await under_way()
    scene.clock.advance(HOUR - 1)
    await followed(scene, update)
    assert scene.cluster.writes == []


async def test_when_its_window_closes_the_pool_is_paused_once_in_its_name() -> None:
    scene, update = await held_up()
    assert noted(scene) == update.id
    for _ in range(3):
        assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == ["pause"]


async def test_nodes_under_way_finish_while_it_is_paused() -> None:
    scene, update = await held_up()
    scene.cluster.take("node-0")
    assert await followed(scene, update) == WAIT
    assert (await scene.store.progress(update.id))["updated"] == 1
    assert scene.cluster.writes == ["pause"]


async def test_when_its_window_opens_the_pool_goes_on() -> None:
    scene, update = await held_up()
    scene.clock.advance(UNTIL_NEXT)
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == ["pause", "unpause"]
    assert (is_paused(scene), noted(scene)) == (False, None)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause", "unpause"]


async def test_a_second_closing_pauses_a_second_time() -> None:
    scene, update = await held_up()
    for seconds_ahead in (UNTIL_NEXT, 3 * HOUR):
        scene.clock.advance(seconds_ahead)
        await followed(scene, update)
    assert scene.cluster.writes == ["pause", "unpause", "pause"]


async def test_a_rollout_that_ends_while_paused_is_unpaused_before_it_is_done() -> None:
    scene, update = await held_up()
    scene.cluster.take("node-0", "node-1", "node-2")
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == ["pause", "unpause"]
    assert await followed(scene, update) == RolledOut()


async def test_without_a_node_left_to_begin_nothing_is_paused() -> None:
    scene, update = await under_way(done=2)
    scene.clock.advance(HOUR)
    await followed(scene, update)
    assert scene.cluster.writes == []


async def test_a_window_that_closes_before_mco_has_rendered_still_keeps_nodes_from_beginning() -> (
    None
):
    scene = Scene(policy=PAUSES)
    update = await applied(scene)
    scene.clock.advance(HOUR)
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == [], "no node would begin before it is rendered"
    scene.cluster.render()
    assert await followed(scene, update) == WAIT
    assert scene.cluster.writes == ["pause"]


async def test_where_the_policy_says_finish_nothing_is_ever_paused() -> None:
    scene, update = await under_way(replace(PAUSES, when_closed="finish"))
    scene.clock.advance(HOUR)
    await followed(scene, update)
    assert scene.cluster.writes == []


async def test_a_blackout_holds_it_up_too() -> None:
    tomorrow = Blackout(first="2026-11-19", last="2026-11-19")
    scene, update = await under_way(replace(ANY_TIME, blackouts=(tomorrow,)))
    for seconds_ahead in (16 * HOUR, 24 * HOUR):
        scene.clock.advance(seconds_ahead)
        await followed(scene, update)
    assert scene.cluster.writes == ["pause", "unpause"]


async def test_what_soaks_is_not_paused() -> None:
    scene, update = await under_way()
    scene.cluster.take("node-0", "node-1", "node-2")
    scene.clock.advance(HOUR)
    await soaked(scene, step(update, RolledOut(), now=scene.clock.now()))
    assert scene.cluster.writes == []


# --- freezes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["", PROD, f"{PROD}/{INFRA}"])
async def test_a_freeze_holds_a_rollout_up_until_it_is_lifted(scope: str) -> None:
    scene, update = await under_way(ANY_TIME)
    await freeze(scene, scope)
    await followed(scene, update)
    assert (scene.cluster.writes, noted(scene)) == (["pause"], update.id)
    entry = AuditEntry(at=scene.clock.now(), job="", event="Unfrozen", by="ann", state="")
    await scene.store.unfreeze(scope, entry)
    await followed(scene, update)
    assert (scene.cluster.writes, noted(scene)) == (["pause", "unpause"], None)


async def test_a_freeze_elsewhere_does_not() -> None:
    scene, update = await under_way(ANY_TIME)
    for scope in ("stage", f"{PROD}/gpu"):
        await freeze(scene, scope)
    await followed(scene, update)
    assert scene.cluster.writes == []


async def test_where_the_policy_says_finish_a_freeze_stops_no_rollout() -> None:
    scene, update = await under_way(Policy())
    await freeze(scene, "")
    await followed(scene, update)
    assert scene.cluster.writes == []


# --- killed, overtaken, and a watch that lags -----------------------------------------------------


async def test_killed_right_after_the_pause_it_pauses_no_second_time() -> None:
    scene, update = await under_way()
    scene.clock.advance(HOUR)
    scene.cluster.after_write = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await followed(scene, update)
    assert await followed(scene, update) == WAIT
    assert (scene.cluster.writes, noted(scene)) == (["pause"], update.id)


async def test_killed_right_after_it_goes_on_it_goes_on_once() -> None:
    scene, update = await held_up()
    scene.clock.advance(UNTIL_NEXT)
    scene.cluster.after_write = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await followed(scene, update)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause", "unpause"]


async def test_killed_after_the_last_unpause_it_is_done() -> None:
    scene, update = await held_up()
    scene.cluster.take("node-0", "node-1", "node-2")
    scene.cluster.after_write = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await followed(scene, update)
    assert await followed(scene, update) == RolledOut()
    assert scene.cluster.writes == ["pause", "unpause"]


@pytest.mark.parametrize("closes", [True, False], ids=["before pausing", "before unpausing"])
async def test_who_has_lost_the_job_touches_no_pool(closes: bool) -> None:
    async def lost() -> None:
        raise LeaseLost("another worker has it")

    scene, update = await (under_way() if closes else held_up())
    scene.clock.advance(HOUR if closes else UNTIL_NEXT)
    before = list(scene.cluster.writes)
    with pytest.raises(LeaseLost):
        await scene.follow.follow(update, FollowRollout(update.image), lost)  # type: ignore[arg-type]
    assert scene.cluster.writes == before


async def test_a_pool_that_changed_meanwhile_is_read_again() -> None:
    scene, update = await under_way()
    scene.clock.advance(HOUR)
    scene.cluster.fails["set_paused"] = [Conflict("it was changed")]
    with pytest.raises(Conflict):
        await followed(scene, update)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause"]


async def test_a_watch_that_has_not_brought_our_pause_yet_leads_to_no_second_one() -> None:
    scene, update = await under_way()
    scene.clock.advance(HOUR)
    scene.cluster.lag()
    await followed(scene, update)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause"]


async def test_a_watch_that_has_not_brought_the_unpause_yet_leads_to_no_second_one() -> None:
    scene, update = await held_up()
    scene.clock.advance(UNTIL_NEXT)
    scene.cluster.lag()
    await followed(scene, update)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause", "unpause"]


async def test_waiting_asks_the_api_server_nothing() -> None:
    scene, update = await held_up()
    scene.cluster.fails["fresh_view"] = [AssertionError("it was asked")]
    assert await followed(scene, update) == WAIT


# --- somebody else's pause ------------------------------------------------------------------------


@pytest.mark.parametrize("note", [None, "u-other"], ids=["a person's", "another update's"])
async def test_a_pool_that_somebody_else_paused_is_never_unpaused(note: str | None) -> None:
    scene, update = await under_way()
    it = scene.cluster.pools["infra"]
    said = {lineage.PAUSED_FOR: note} if note else {}
    scene.cluster.edit_pool(paused=True, meta=replace(it.meta, annotations=said))
    for seconds_ahead in (HOUR, UNTIL_NEXT):
        scene.clock.advance(seconds_ahead)
        await followed(scene, update)
    scene.cluster.take("node-0", "node-1", "node-2")
    assert await followed(scene, update) == RolledOut()
    assert (scene.cluster.writes, is_paused(scene), noted(scene)) == ([], True, note)


async def test_where_a_person_has_unpaused_it_by_hand_we_need_not() -> None:
    scene, update = await held_up()
    scene.cluster.edit_pool(paused=False)
    scene.clock.advance(UNTIL_NEXT)
    await followed(scene, update)
    assert scene.cluster.writes == ["pause"]


async def test_somebody_who_paused_it_before_we_could_is_not_overwritten() -> None:
    """The watch does not know yet; the API server does."""
    scene, update = await under_way()
    scene.clock.advance(HOUR)
    scene.cluster.lag()
    scene.cluster.edit_pool(paused=True)
    await followed(scene, update)
    assert (scene.cluster.writes, noted(scene)) == ([], None)


async def test_who_takes_over_while_it_is_held_up_is_told_that_the_pool_is_paused() -> None:
    scene, update = await held_up()
    scene.cluster.put(our_override(update, os_image_url="by hand"))
    assert await followed(scene, update) == TakenOver(
        f"somebody changed {OURS} to by hand; the pool is still paused, "
        "so unpause it when it is well"
    )


async def test_who_takes_over_a_pool_that_is_not_held_up_hears_of_no_pause() -> None:
    scene, update = await under_way()
    scene.cluster.put(our_override(update, os_image_url="by hand"))
    assert await followed(scene, update) == TakenOver(f"somebody changed {OURS} to by hand")


# --- going back -----------------------------------------------------------------------------------


async def test_what_goes_wrong_while_held_up_goes_back_and_is_unpaused_at_its_end() -> None:
    scene, update = await held_up()
    scene.cluster.begin("node-0", state="Degraded", why="rebase failed")
    wrong = await followed(scene, update)
    assert isinstance(wrong, WentWrong)
    update = step(update, wrong, now=scene.clock.now())
    assert await climbed(scene, update) == WAIT
    scene.cluster.render()
    assert await climbed(scene, update) == WAIT
    assert scene.cluster.writes == [
        "pause",
        f"annotate {lineage.REFUSED_BUILDS}",
        f"apply {OLD}",
        "unpause",
    ]
    scene.cluster.take("node-0")
    assert await climbed(scene, update) == RolledBack()
    assert (is_paused(scene), noted(scene), scene.image) == (False, None, OLD)


async def test_what_has_gone_wrong_is_not_paused_for_a_window() -> None:
    scene, update = await under_way()
    scene.clock.advance(HOUR)
    scene.cluster.begin("node-0", state="Degraded", why="rebase failed")
    assert isinstance(await followed(scene, update), WentWrong)
    assert scene.cluster.writes == []


# --- late, or only held up ------------------------------------------------------------------------

DAYS_LATER = 10 * 24 * HOUR
"""Far beyond any deadline of three nodes, at the same time of the day."""


async def told(scene: Scene, update: Update) -> list[str]:
    return [entry.event for entry in await scene.store.audit(update.id)]


async def test_a_rollout_that_we_hold_up_is_not_late() -> None:
    scene, update = await held_up()
    scene.clock.advance(DAYS_LATER)
    assert await followed(scene, update) == WAIT
    shown = await scene.store.progress(update.id)
    assert shown["phase"] == "rolling"
    assert "it should have ended" not in str(shown["waiting"])
    assert "Stalled" not in await told(scene, update)


async def test_a_rollout_that_somebody_else_holds_up_is_late() -> None:
    scene, update = await under_way()
    scene.cluster.edit_pool(paused=True)
    scene.clock.advance(DAYS_LATER + HOUR)
    await followed(scene, update)
    assert (await scene.store.progress(update.id))["phase"] == "stalled"
    assert await told(scene, update) == ["Stalled"]


async def test_after_a_pause_nodes_have_their_time_anew() -> None:
    scene, update = await held_up()
    scene.clock.advance(UNTIL_NEXT)
    await followed(scene, update)
    updating = conditions(Updated="False", Updating="True", Degraded="False")
    moved = tuple(replace(c, last_transition=scene.clock.now()) for c in updating)
    scene.cluster.edit_pool(conditions=moved)
    scene.clock.advance(600 + 3 * 1800)
    await followed(scene, update)
    assert "Stalled" not in await told(scene, update)
    scene.clock.advance(1)
    await followed(scene, update)
    assert await told(scene, update) == ["Stalled"]


async def test_where_nothing_pauses_the_time_runs_from_the_apply() -> None:
    scene, update = await under_way(Policy())
    updating = conditions(Updated="False", Updating="True", Degraded="False")
    scene.clock.advance(600 + 3 * 1800)
    moved = tuple(replace(c, last_transition=scene.clock.now()) for c in updating)
    scene.cluster.edit_pool(conditions=moved)
    scene.clock.advance(1)
    await followed(scene, update)
    assert await told(scene, update) == ["Stalled"]

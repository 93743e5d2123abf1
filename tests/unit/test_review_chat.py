"""Ways past the rules that a review found: each is closed here."""

from dataclasses import replace

import pytest

from tests.facts import INFRA, PROD
from tests.scene import Scene
from tests.unit.test_canary import STAGE, Fleet
from tests.unit.test_courier import C1, HOME, World, letter, nothing, once, play
from tests.unit.test_people_chat import Desk
from tests.unit.test_rights import Door
from watcher.core import lineage
from watcher.core.approval import ApprovalRules
from watcher.core.update import Policy
from watcher.core.update_events import UpdateState
from watcher.directory import SettingsDirectory
from watcher.errors import Declined
from watcher.ports import Change, Refused
from watcher.settings import Settings


async def test_a_person_that_was_not_known_at_her_first_vote_is_still_one_person() -> None:
    desk = Desk(quorum=2, approvers=("token:ann", "slack:UANN", "token:bob"))
    await desk.put()
    before = SettingsDirectory(settings=Settings(), store=desk.store, clock=desk.clock)
    await replace(desk.people, directory=before).approve("u-1", by="token:ann")
    outcome = await desk.approve("slack:UANN")
    assert outcome.sentence == "slack:UANN approved u-1 already; it counts once"
    assert outcome.update.approval is None
    assert (await desk.approve("token:bob")).update.approval is not None


class Layered(Fleet):
    """`stage/infra`, which goes first, is a pool of ours too, and still on the stock image."""

    def __init__(self) -> None:
        super().__init__()
        self.stage.machine_configs.clear()
        settings = self.scene.settings
        canary = replace(settings.pools[0], cluster=STAGE, pool=INFRA)
        self.scene.settings = replace(settings, pools=(*settings.pools, canary))
        self.scene.observer = replace(self.scene.observer, settings=self.scene.settings)
        self.scene.planner = replace(self.scene.planner, settings=self.scene.settings)
        self.join()


async def test_the_stock_image_proves_nothing_where_a_layered_one_is_to_come() -> None:
    said = await Layered().waits()
    assert said == "stage/infra has to take 4.16.3 first; it does not run it yet"


async def test_the_stock_image_that_a_person_asked_for_is_no_reason_to_wait() -> None:
    fleet = Layered()
    pool = fleet.stage.pools[INFRA]
    fleet.stage.edit_pool(meta=replace(pool.meta, annotations={lineage.STOCK_BY: "token:ann"}))
    assert await fleet.waits() == ""


@pytest.mark.parametrize("cause", ["not_in_channel", "is_archived", "invalid_blocks"])
def test_an_edit_that_was_refused_for_a_while_does_not_leave_a_message_stale_for_ever(
    cause: str,
) -> None:
    async def scenario(world: World) -> None:
        async with world.courier():
            await world.want("u", letter("card", "awaiting"))
            await world.quiet()
            world.places.before = once(Refused(cause), "edit")
            await world.want("u", letter("card", "rolling out"))
            await world.quiet()
            assert len(world.places.at(HOME)) == 1  # it was told, once
            world.places.before = nothing
            await world.want("u", letter("card", "done"))
            await world.quiet()
        world.check()
        assert len(world.places.made("edit", place=C1)) == 2

    play(scenario)


async def test_who_could_not_reject_an_update_does_not_end_it_by_asking_for_another() -> None:
    scene = Scene(policy=Policy(approval=ApprovalRules(approvers=("token:ann",))))
    approved = replace(scene.update, state=UpdateState.SCHEDULED)
    await scene.store.commit([Change(job=approved, expected=0)], [])
    with pytest.raises(Declined, match="it would take the place of u-1, and token:eve is not an"):
        await scene.planner.stock(PROD, INFRA, by="token:eve")
    with pytest.raises(Declined, match="it would take the place of u-1, and token:eve is not an"):
        await scene.planner.rebuild(PROD, INFRA, by="token:eve", allow_downgrade=True)
    assert (await scene.store.get("u-1")).job == approved
    await scene.planner.stock(PROD, INFRA, by="token:ann")
    assert (await scene.store.get("u-1")).job.state is UpdateState.SUPERSEDED


async def test_a_freeze_that_cannot_be_read_is_ordered_anew_by_whoever_may_lift_it() -> None:
    door = Door()
    door.store._freezes["prod"] = b'{"scope":"prod"}'
    await door.rights.check_freeze("prod", by="cli:cat", surface="cli")
    with pytest.raises(Declined, match="token:ann is not an approver"):
        await door.rights.check_freeze("prod", by="token:ann", surface="cli")

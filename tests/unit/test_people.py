"""What people decide: late, repeated, stale and forged decisions change nothing and are audited."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.facts import INFRA, PROD, a_policy, an_update, digest, image
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from watcher.core.approval import AUTO, ApprovalRules
from watcher.core.update import Policy, Update
from watcher.core.update_events import UpdateState
from watcher.errors import Declined
from watcher.people import People
from watcher.ports import AuditEntry, Change, Conflict

S = UpdateState


class Desk:
    """People in front of one update."""

    def __init__(self, policy: Policy | None = None, store: FakeStore | None = None) -> None:
        self.clock = FixedClock()
        self.store = store or FakeStore(self.clock)
        self.people = People(store=self.store, clock=self.clock)
        self.asked = an_update(state=S.AWAITING_APPROVAL, policy=policy or a_policy())

    async def put(self, update: Update | None = None) -> None:
        await self.store.commit([Change(job=update or self.asked, expected=0)], [])

    async def now(self) -> Update:
        job = (await self.store.get("u-1")).job
        assert isinstance(job, Update)
        return job

    async def declined(self, what: str, because: str, **said: object) -> None:
        """It is refused with this sentence, audited, and changes nothing."""
        before = await self.now()
        act = self.people.approve if what == "Approve" else self.people.reject
        with pytest.raises(Declined) as caught:
            await act("u-1", **{"by": "ann", **said})  # type: ignore[arg-type]
        assert because in str(caught.value)
        assert await self.now() == before
        assert self.store.entries[-1].event.endswith("Declined")
        assert because in self.store.entries[-1].detail
        assert await self.store.remembered(PROD, INFRA) == {}


async def test_one_approval_of_one_needed_schedules_the_update() -> None:
    desk = Desk()
    await desk.put()
    outcome = await desk.people.approve("u-1", by="ann", binding=desk.asked.binding.digest())
    assert outcome.sentence == "u-1 is approved by ann"
    assert (await desk.now()).state is S.SCHEDULED
    assert [(e.event, e.by) for e in desk.store.entries] == [("Voted", "ann"), ("Approved", "ann")]
    assert desk.store.due_in("u-1") == 0


async def test_two_needed_means_two_different_people() -> None:
    desk = Desk(a_policy(quorum=2))
    await desk.put()
    first = await desk.people.approve("u-1", by="ann")
    assert first.sentence == "counted; 1 more approval(s) needed"
    again = await desk.people.approve("u-1", by="ann")
    assert again.sentence == "ann approved u-1 already; it counts once"
    assert (await desk.now()).state is S.AWAITING_APPROVAL
    assert (await desk.people.approve("u-1", by="bob")).update.state is S.SCHEDULED


@pytest.mark.parametrize("what", ["Approve", "Reject"])
@pytest.mark.parametrize(
    ("by", "because"),
    [("eve", "eve is not an approver"), ("", "needs a name"), (AUTO, "only the policy itself")],
)
async def test_who_may_not_decide_is_declined(what: str, by: str, because: str) -> None:
    desk = Desk(a_policy(approvers=("ann",)))
    await desk.put()
    await desk.declined(what, because, by=by)


@pytest.mark.parametrize("what", ["Approve", "Reject"])
async def test_a_decision_about_what_it_was_before_is_declined(what: str) -> None:
    desk = Desk()
    await desk.put()
    await desk.declined(what, "it has changed since it was shown", binding=digest("before"))


async def test_a_late_approval_is_declined() -> None:
    desk = Desk()
    await desk.put()
    desk.clock.advance(24 * 3600)
    await desk.declined("Approve", "the time to decide ended 2026-11-19 08:00 UTC")


async def test_an_approval_before_the_build_is_ready_is_declined() -> None:
    desk = Desk()
    await desk.put(an_update())
    await desk.declined("Approve", "u-1 has no image yet: its build is not ready")


@pytest.mark.parametrize("state", [S.APPLYING, S.ROLLING_OUT, S.DONE, S.REJECTED, S.STUCK])
@pytest.mark.parametrize("what", ["Approve", "Reject"])
async def test_after_the_fact_nothing_can_be_decided(what: str, state: UpdateState) -> None:
    desk = Desk()
    await desk.put(an_update(state=state, ended_because="why" if state is S.STUCK else ""))
    await desk.declined(what, f"u-1 is {state} already" + (": why" if state is S.STUCK else ""))


async def test_a_second_approval_of_what_is_approved_is_declined() -> None:
    desk = Desk()
    await desk.put(an_update(state=S.SCHEDULED))
    await desk.declined("Approve", "u-1 is approved already")


@pytest.mark.parametrize("state", [S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.SCHEDULED])
async def test_until_it_is_applied_it_can_be_rejected(state: UpdateState) -> None:
    desk = Desk()
    await desk.put(an_update(state=state))
    outcome = await desk.people.reject("u-1", by="ann", reason=" breaks the GPU \n")
    assert (outcome.update.state, desk.store.due_in("u-1")) == (S.REJECTED, None)
    assert outcome.update.ended_because == "rejected by ann: breaks the GPU"
    said = await desk.store.remembered(PROD, INFRA)
    assert said == {"key of 4.16.3": "ann rejected it 2026-11-18 08:00 UTC: breaks the GPU"}


async def test_a_rejection_without_the_reason_that_the_policy_wants_is_declined() -> None:
    desk = Desk(Policy(approval=ApprovalRules(reason_required=True)))
    await desk.put()
    await desk.declined("Reject", "asks for a reason", reason="  ")


async def test_a_reason_is_bounded() -> None:
    desk = Desk()
    await desk.put()
    await desk.people.reject("u-1", by="ann", reason="x" * 10_000)
    (why,) = (await desk.store.remembered(PROD, INFRA)).values()
    assert len(why) < 600


@pytest.mark.parametrize("what", ["approve", "reject"])
async def test_what_does_not_exist_is_said_so(what: str) -> None:
    desk = Desk()
    with pytest.raises(KeyError):
        await getattr(desk.people, what)("u-404", by="ann")


class ChangingStore(FakeStore):
    """Somebody else changes the update right before the next commits."""

    changes_left = 0

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        if self.changes_left:
            self.changes_left -= 1
            self.rows["u-1"].version += 1
        return await super().commit(changes, audit)


@pytest.mark.parametrize(("changes", "is_counted"), [(1, True), (4, True), (5, False)])
async def test_a_decision_is_made_anew_when_the_record_changed(
    changes: int, is_counted: bool
) -> None:
    store = ChangingStore(FixedClock())
    desk = Desk(store=store)
    await desk.put()
    store.changes_left = changes
    if is_counted:
        assert (await desk.people.approve("u-1", by="ann")).update.state is S.SCHEDULED
        assert [e.event for e in store.entries] == ["Voted", "Approved"]
    else:
        with pytest.raises(Declined, match="keeps changing"):
            await desk.people.approve("u-1", by="ann")


async def test_a_decision_whose_audit_cannot_be_written_does_not_happen() -> None:
    desk = Desk()
    await desk.put()
    desk.store.fails["commit"] = [Conflict("x")] * 5
    with pytest.raises(Declined):
        await desk.people.approve("u-1", by="ann")
    assert await desk.now() == replace(desk.asked, image=image("new"))

"""What people decide, from chat and elsewhere: one human is one vote; groups, snoozes, freezes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from tests.facts import INFRA, PROD, T0, a_policy, an_update, digest, seconds
from tests.fake_store import FakeStore
from tests.fakes import FixedClock
from tests.scene import Scene, ours
from watcher.core.approval import ApprovalRules
from watcher.core.facts import Digest
from watcher.core.timing import Freeze
from watcher.core.update import MOST_SNOOZE, Policy, Update, step
from watcher.core.update_events import ClearForApply, Superseded, UpdateState
from watcher.directory import SettingsDirectory
from watcher.errors import Declined
from watcher.people import Outcome, People
from watcher.ports import AuditEntry, Change, Later, Transient
from watcher.settings import PersonSettings, Settings

S = UpdateState
HOUR, DAY = 3600.0, 86400.0
BUTTON = "slack button"
ANN = PersonSettings(name="ann", identities=("token:ann", "slack:UANN", "cli:ann"))
BOB = PersonSettings(name="bob", identities=("token:bob", "slack:UBOB"))


@dataclass
class Rooms:
    """Chat's groups; what is not there does not answer."""

    members_of: Mapping[str, set[str]] = field(default_factory=dict)

    async def members(self, group: str) -> frozenset[str]:
        if group not in self.members_of:
            raise Transient("slack: 503")
        return frozenset(self.members_of[group])


class Desk:
    """People with several identities, in front of one update."""

    def __init__(self, *, store: FakeStore | None = None, groups: Any = None, **rules: Any) -> None:
        self.clock = FixedClock()
        self.store = store or FakeStore(self.clock)
        directory = SettingsDirectory(
            settings=Settings(people=(ANN, BOB)),
            store=self.store,
            clock=self.clock,
            groups=Rooms(groups or {}),
        )
        self.people = People(store=self.store, clock=self.clock, directory=directory)
        self.policy = Policy(approval=ApprovalRules(**rules))

    async def put(self, **said: Any) -> Update:
        default = {"state": S.AWAITING_APPROVAL, "policy": self.policy}
        update = an_update(**{**default, **said})
        await self.store.commit([Change(job=update, expected=0)], [])
        return update

    async def now(self) -> Update:
        job = (await self.store.get("u-1")).job
        assert isinstance(job, Update)
        return job

    async def approve(self, by: str, **said: Any) -> Outcome:
        return await self.people.approve("u-1", by=by, **said)

    async def snooze(self, until_seconds: float, by: str = "token:ann", **said: Any) -> Outcome:
        until = self.clock.now() + seconds(until_seconds)
        return await self.people.snooze("u-1", by=by, until=until, **said)


# --- one human is one ---------------------------------------------------------------------------


async def test_two_identities_of_one_person_count_once_across_surfaces() -> None:
    desk = Desk(quorum=2)
    await desk.put()
    await desk.approve("token:ann", surface="http")
    again = await desk.approve("cli:ann", surface="cli")
    assert again.sentence == "cli:ann approved u-1 already; it counts once"
    assert (await desk.now()).state is S.AWAITING_APPROVAL
    assert len((await desk.now()).votes) == 1


async def test_a_second_person_makes_the_quorum_after_two_identities_of_the_first() -> None:
    desk = Desk(quorum=2)
    await desk.put()
    for by in ("token:ann", "cli:ann"):
        await desk.approve(by)
    assert (await desk.approve("token:bob")).update.state is S.SCHEDULED


async def test_a_person_among_the_approvers_decides_with_any_of_her_identities() -> None:
    desk = Desk(approvers=("person:ann",))
    await desk.put()
    outcome = await desk.approve("slack:UANN", surface=BUTTON)
    assert outcome.update.state is S.SCHEDULED
    assert outcome.sentence == "u-1 is approved by slack:UANN"


async def test_one_identity_in_the_list_does_not_let_the_others_in() -> None:
    desk = Desk(approvers=("token:ann",))
    await desk.put()
    with pytest.raises(Declined, match="slack:UANN is not an approver"):
        await desk.approve("slack:UANN")


async def test_from_chat_nobody_decides_where_no_approver_is_named() -> None:
    desk = Desk()
    await desk.put()
    with pytest.raises(Declined, match="nobody decides from chat"):
        await desk.approve("slack:UANN")


async def test_a_vote_says_who_where_and_why() -> None:
    desk = Desk(approvers=("slack-group:SOPS",), groups={"SOPS": {"UANN"}})
    update = await desk.put()
    await desk.approve("slack:UANN", surface=BUTTON, reason="looks good")
    (vote,) = (await desk.now()).votes
    assert (vote.person, vote.groups) == ("ann", ("slack-group:SOPS",))
    assert (vote.surface, vote.reason, vote.binding) == (BUTTON, "looks good", update.binding)


async def test_the_reason_of_a_vote_is_bounded() -> None:
    desk = Desk()
    await desk.put()
    await desk.approve("token:ann", reason="x" * 10_000)
    assert len((await desk.now()).votes[0].reason) == 500


# --- groups -------------------------------------------------------------------------------------


async def test_a_member_of_an_asked_group_may_approve() -> None:
    desk = Desk(approvers=("slack-group:SOPS",), groups={"SOPS": {"UANN"}})
    await desk.put()
    assert (await desk.approve("slack:UANN")).update.state is S.SCHEDULED


async def test_who_is_in_none_of_the_groups_is_declined() -> None:
    desk = Desk(approvers=("slack-group:SOPS",), groups={"SOPS": {"UBOB"}})
    await desk.put()
    with pytest.raises(Declined, match="slack:UANN is not an approver"):
        await desk.approve("slack:UANN")


async def test_a_group_that_cannot_be_looked_up_means_no_and_says_so() -> None:
    desk = Desk(approvers=("slack-group:SOPS",))
    before = await desk.put()
    with pytest.raises(Declined, match=r"slack-group:SOPS cannot be looked up: slack: 503"):
        await desk.approve("slack:UANN")
    assert await desk.now() == before


async def test_a_group_that_cannot_be_looked_up_keeps_nobody_out_who_is_named_too() -> None:
    desk = Desk(approvers=("slack-group:SOPS", "person:ann"))
    await desk.put()
    assert (await desk.approve("slack:UANN")).update.state is S.SCHEDULED


async def test_a_vote_counts_by_the_groups_of_its_moment() -> None:
    rooms = {"SOPS": {"UANN", "UBOB"}}
    desk = Desk(approvers=("slack-group:SOPS",), groups=rooms, quorum=2)
    await desk.put()
    await desk.approve("slack:UANN")
    rooms["SOPS"] = {"UBOB"}
    desk.clock.advance(HOUR)
    assert (await desk.approve("slack:UBOB")).update.state is S.SCHEDULED


# --- the two-person rule ------------------------------------------------------------------------


async def test_who_asked_for_it_is_counted_but_not_enough() -> None:
    desk = Desk(two_person=True)
    await desk.put(authors=("token:ann", "person:ann"))
    outcome = await desk.approve("token:ann")
    assert outcome.update.state is S.AWAITING_APPROVAL
    assert "somebody who neither asked for it nor wrote its recipe" in outcome.sentence


async def test_who_asked_for_it_is_the_same_person_by_all_her_identities() -> None:
    desk = Desk(two_person=True, approvers=("person:ann", "person:bob"))
    await desk.put(authors=("token:ann", "person:ann"))
    assert (await desk.approve("slack:UANN")).update.state is S.AWAITING_APPROVAL


async def test_somebody_else_makes_two_of_it() -> None:
    desk = Desk(two_person=True)
    await desk.put(authors=("token:ann", "person:ann"))
    await desk.approve("token:ann")
    outcome = await desk.approve("token:bob")
    assert outcome.update.state is S.SCHEDULED
    assert outcome.update.approval is not None
    assert outcome.update.approval.by == ("token:ann", "token:bob")


async def test_without_the_rule_who_asked_may_approve_alone() -> None:
    desk = Desk()
    await desk.put(authors=("token:ann",))
    assert (await desk.approve("token:ann")).update.state is S.SCHEDULED


# --- snooze -------------------------------------------------------------------------------------


async def test_a_snooze_puts_the_update_off_and_moves_its_expiry_behind_it() -> None:
    desk = Desk(ask_seconds=2 * 3600)
    await desk.put()
    outcome = await desk.snooze(DAY, surface=BUTTON)
    assert outcome.sentence == "u-1 is put off until 2026-11-19 08:00 UTC"
    assert outcome.update.snoozed_until == T0 + seconds(DAY)
    assert outcome.update.snoozed_by == "token:ann"
    assert outcome.update.expires_at == T0 + seconds(DAY + 2 * HOUR)


async def test_a_short_snooze_never_brings_the_expiry_nearer() -> None:
    desk = Desk(ask_seconds=60)
    update = await desk.put()
    assert (await desk.snooze(HOUR)).update.expires_at == update.expires_at


@pytest.mark.parametrize(
    ("offset", "because"),
    [
        (0.0, "2026-11-18 08:00 UTC is over already"),
        (-HOUR, "2026-11-18 07:00 UTC is over already"),
        (MOST_SNOOZE.total_seconds() + 1, "by 30 days at most"),
    ],
    ids=["now", "the past", "more than 30 days"],
)
async def test_a_snooze_that_is_none_is_declined(offset: float, because: str) -> None:
    desk = Desk()
    before = await desk.put()
    with pytest.raises(Declined, match=because):
        await desk.snooze(offset)
    assert await desk.now() == before
    assert desk.store.entries[-1].event == "SnoozeDeclined"


async def test_thirty_days_are_not_too_long() -> None:
    desk = Desk()
    await desk.put()
    assert (await desk.snooze(MOST_SNOOZE.total_seconds())).update.snoozed_until is not None


async def test_who_may_not_approve_may_not_snooze() -> None:
    desk = Desk(approvers=("token:ann",))
    before = await desk.put()
    with pytest.raises(Declined, match="token:bob is not an approver"):
        await desk.snooze(HOUR, by="token:bob")
    assert await desk.now() == before


async def test_before_its_build_is_ready_there_is_nothing_to_put_off() -> None:
    desk = Desk()
    await desk.put(state=S.WAITING_FOR_BUILD)
    with pytest.raises(Declined, match="has no image yet"):
        await desk.snooze(HOUR)


async def test_an_approved_update_is_put_off_within_its_approval() -> None:
    desk = Desk(keep_seconds=7 * 86400, ask_seconds=30 * 86400)
    update = await desk.put(state=S.SCHEDULED)
    outcome = await desk.snooze(DAY)
    assert (outcome.update.state, outcome.update.expires_at) == (S.SCHEDULED, update.expires_at)


async def test_an_approved_update_is_not_put_off_beyond_its_approval() -> None:
    desk = Desk(keep_seconds=86400)
    before = await desk.put(state=S.SCHEDULED)
    with pytest.raises(Declined, match="its approval is good until 2026-11-19 08:00 UTC only"):
        await desk.snooze(DAY)
    assert await desk.now() == before


async def test_what_was_put_off_does_not_begin_before() -> None:
    scene = Scene()
    await scene.put(scene.update)
    await scene.people.snooze("u-1", by="ann", until=T0 + seconds(HOUR))
    asleep = (await scene.store.get("u-1")).job
    assert isinstance(asleep, Update)
    said = await scene.clear(asleep, ClearForApply(asleep.binding), ours)
    assert isinstance(said, Later)
    shown = await scene.store.progress("u-1")
    assert shown["waiting"] == "snoozed by ann until 2026-11-18 09:00 UTC"
    assert shown["scheduled_for"] == "2026-11-18T09:00:00+00:00"


async def test_what_was_put_off_begins_when_it_is_over() -> None:
    scene = Scene()
    await scene.put(scene.update)
    await scene.people.snooze("u-1", by="ann", until=T0 + seconds(HOUR))
    asleep = (await scene.store.get("u-1")).job
    assert isinstance(asleep, Update)
    scene.clock.advance(HOUR)
    assert not isinstance(await scene.clear(asleep, ClearForApply(asleep.binding), ours), Later)


async def test_an_approval_ends_a_snooze() -> None:
    desk = Desk()
    await desk.put()
    await desk.snooze(DAY)
    after = (await desk.approve("token:bob")).update
    assert (after.state, after.snoozed_until, after.snoozed_by) == (S.SCHEDULED, None, "")


async def test_a_vote_that_is_not_enough_leaves_the_snooze() -> None:
    desk = Desk(quorum=2)
    await desk.put()
    await desk.snooze(DAY)
    assert (await desk.approve("token:bob")).update.snoozed_until == T0 + seconds(DAY)


# --- too late, or about something else ----------------------------------------------------------


async def act(desk: Desk, what: str, **said: Any) -> Outcome:
    if what == "Snooze":
        return await desk.snooze(HOUR, **said)
    by = {"by": "token:ann", **said}
    if what == "Reject":
        return await desk.people.reject("u-1", **by)
    return await desk.people.approve("u-1", **by)


@pytest.mark.parametrize("what", ["Approve", "Snooze"])
async def test_after_its_expiry_it_is_neither_approved_nor_put_off(what: str) -> None:
    desk = Desk()
    before = await desk.put()
    desk.clock.advance(24 * HOUR)
    with pytest.raises(Declined, match="the time to decide ended"):
        await act(desk, what)
    assert await desk.now() == before


@pytest.mark.parametrize("what", ["Approve", "Reject", "Snooze"])
async def test_a_decision_for_another_binding_is_declined(what: str) -> None:
    desk = Desk()
    before = await desk.put()
    with pytest.raises(Declined, match="it has changed since it was shown"):
        await act(desk, what, binding=digest("before"))
    assert await desk.now() == before


@pytest.mark.parametrize("what", ["Approve", "Reject", "Snooze"])
async def test_after_it_was_superseded_the_answer_says_by_what(what: str) -> None:
    desk = Desk()
    update = await desk.put()
    ended = step(update, Superseded("u-2"), now=T0)
    await desk.store.commit([Change(job=ended, expected=1, due_in_seconds=None)], [])
    with pytest.raises(Declined, match="u-1 is superseded already: superseded by u-2"):
        await act(desk, what)


@pytest.mark.parametrize("what", ["Approve", "Snooze"])
async def test_after_it_was_rejected_the_answer_says_by_whom_and_why(what: str) -> None:
    desk = Desk()
    await desk.put()
    await desk.people.reject("u-1", by="token:bob", reason="breaks the GPU")
    with pytest.raises(Declined, match="rejected already: rejected by token:bob: breaks the GPU"):
        await act(desk, what)


@pytest.mark.parametrize("what", ["Approve", "Reject", "Snooze"])
async def test_a_refused_attempt_is_audited_with_who_how_what_and_why(what: str) -> None:
    desk = Desk(approvers=("token:bob",))
    await desk.put()
    shown = digest("shown")
    with pytest.raises(Declined):
        await act(desk, what, by="token:eve", binding=shown, surface=BUTTON)
    entry = desk.store.entries[-1]
    assert (entry.event, entry.by, entry.surface) == (f"{what}Declined", "token:eve", BUTTON)
    assert (entry.job, entry.cluster, entry.pool, entry.binding) == ("u-1", PROD, INFRA, shown)
    assert entry.detail == "token:eve is not an approver of this pool (approvers: token:bob)"


@pytest.mark.parametrize("what", ["Approve", "Reject", "Snooze"])
async def test_a_decision_is_audited_with_surface_and_binding(what: str) -> None:
    desk = Desk()
    update = await desk.put()
    await act(desk, what, surface=BUTTON)
    assert {(e.surface, e.binding, e.by) for e in desk.store.entries} == {
        (BUTTON, update.binding.digest(), "token:ann")
    }


# --- whether somebody may at all ----------------------------------------------------------------


async def may(desk: Desk, by: str, binding: Digest) -> Update:
    return await desk.people.may("u-1", "Reject", by=by, binding=binding, surface=BUTTON)


async def test_asking_whether_one_may_decides_nothing() -> None:
    desk = Desk()
    update = await desk.put()
    assert await may(desk, "token:ann", update.binding.digest()) == update
    assert (await desk.now(), desk.store.entries) == (update, [])


async def test_who_may_not_is_told_before_a_form_opens_and_audited() -> None:
    desk = Desk(approvers=("token:bob",))
    update = await desk.put()
    with pytest.raises(Declined, match="token:ann is not an approver"):
        await may(desk, "token:ann", update.binding.digest())
    assert desk.store.entries[-1].event == "RejectDeclined"


async def test_a_form_about_what_it_was_before_does_not_open() -> None:
    desk = Desk()
    await desk.put()
    with pytest.raises(Declined, match="changed since"):
        await may(desk, "token:ann", digest("before"))


async def test_what_a_surface_turned_away_is_audited() -> None:
    desk = Desk()
    await desk.put()
    await desk.people.refused("u-1", "Approve", by="U" * 999, because="forged", surface=BUTTON)
    entry = desk.store.entries[-1]
    assert (entry.job, entry.event, entry.detail) == ("u-1", "ApproveDeclined", "forged")
    assert (entry.surface, len(entry.by)) == (BUTTON, 200)


async def test_an_attempt_on_what_is_not_there_is_audited_too() -> None:
    desk = Desk()
    await desk.people.refused("u-404", "Chat", by="slack:U9", because="forged", surface=BUTTON)
    entry = desk.store.entries[-1]
    assert (entry.job, entry.event, entry.surface) == ("", "ChatDeclined", BUTTON)


# --- at the same time ---------------------------------------------------------------------------


class Racing(FakeStore):
    """Everybody has read before anybody writes."""

    def __init__(self, clock: FixedClock, racers: int) -> None:
        super().__init__(clock)
        self.barrier = asyncio.Barrier(racers)
        self.raced = 0

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        if changes[0].expected == 1 and self.raced < self.barrier.parties:
            self.raced += 1
            await self.barrier.wait()
        return await super().commit(changes, audit)


async def test_two_approvals_at_once_of_one_person_count_once() -> None:
    desk = Desk(quorum=2, store=Racing(FixedClock(), 2))
    await desk.put()
    await asyncio.gather(desk.approve("token:ann"), desk.approve("cli:ann"))
    after = await desk.now()
    assert (len(after.votes), after.state) == (1, S.AWAITING_APPROVAL)
    assert [entry.event for entry in desk.store.entries] == ["Voted"]


async def test_two_approvals_at_once_of_two_people_both_count() -> None:
    desk = Desk(quorum=2, store=Racing(FixedClock(), 2))
    await desk.put()
    await asyncio.gather(desk.approve("token:ann"), desk.approve("token:bob"))
    after = await desk.now()
    assert after.state is S.SCHEDULED
    assert [entry.event for entry in desk.store.entries] == ["Voted", "Voted", "Approved"]


async def test_an_approval_that_a_rejection_overtook_is_told_so() -> None:
    desk = Desk(store=Racing(FixedClock(), 2))
    await desk.put()
    rejecting = desk.people.reject("u-1", by="token:bob")
    said = await asyncio.gather(desk.approve("token:ann"), rejecting, return_exceptions=True)
    assert (await desk.now()).state is S.REJECTED
    assert isinstance(said[0], Declined)
    assert "rejected already" in str(said[0])


async def test_a_snooze_is_decided_anew_when_the_update_was_rejected_meanwhile() -> None:
    desk = Desk(store=Racing(FixedClock(), 2))
    await desk.put()
    rejecting = desk.people.reject("u-1", by="token:bob")
    said = await asyncio.gather(desk.snooze(HOUR), rejecting, return_exceptions=True)
    assert isinstance(said[0], Declined)
    assert "rejected already" in str(said[0])
    assert (await desk.now()).snoozed_until is None


# --- freezes ------------------------------------------------------------------------------------


async def test_a_freeze_is_in_force_and_audited() -> None:
    desk = Desk()
    until = T0 + seconds(DAY)
    made = await desk.people.freeze(
        "prod", by="slack:UANN", because=" audit week ", until=until, surface=BUTTON
    )
    assert made == Freeze(scope="prod", by="slack:UANN", because="audit week", at=T0, until=until)
    assert await desk.store.freezes() == [made]
    entry = desk.store.entries[-1]
    assert (entry.event, entry.cluster, entry.pool) == ("Frozen", "prod", "")
    assert (entry.by, entry.surface) == ("slack:UANN", BUTTON)
    assert entry.detail == "audit week; until 2026-11-19 08:00 UTC"


async def test_of_a_single_pool_it_is_a_hold() -> None:
    desk = Desk()
    await desk.people.freeze("prod/infra", by="token:ann", because="", until=None)
    await desk.people.unfreeze("prod/infra", by="token:bob", surface="http")
    held, unheld = desk.store.entries
    assert (held.event, held.cluster, held.pool, held.detail) == ("Held", "prod", "infra", "")
    assert (unheld.event, unheld.by, unheld.surface) == ("Unheld", "token:bob", "http")
    assert await desk.store.freezes() == []


@pytest.mark.parametrize("until", [T0, T0 - seconds(1)], ids=["now", "before"])
async def test_a_freeze_that_is_over_already_is_declined(until: datetime) -> None:
    desk = Desk()
    with pytest.raises(Declined, match="is over already; nothing was frozen"):
        await desk.people.freeze("prod", by="token:ann", because="", until=until)
    assert (await desk.store.freezes(), desk.store.entries) == ([], [])


async def test_the_reason_of_a_freeze_is_bounded() -> None:
    desk = Desk()
    made = await desk.people.freeze("", by="token:ann", because="x" * 10_000, until=None)
    assert len(made.because) == 500


async def test_lifting_what_is_not_frozen_names_what_is_in_force() -> None:
    desk = Desk()
    await desk.people.freeze("", by="token:ann", because="", until=None)
    await desk.people.freeze("stage", by="token:ann", because="", until=T0 + seconds(60))
    desk.clock.advance(60)
    with pytest.raises(Declined) as caught:
        await desk.people.unfreeze("prod/infra", by="token:ann")
    assert str(caught.value) == "prod/infra is not held; in force: everywhere"
    assert [entry.event for entry in desk.store.entries] == ["Frozen", "Frozen"]


async def test_lifting_one_freeze_leaves_the_wider_one() -> None:
    desk = Desk()
    for scope in ("", "prod"):
        await desk.people.freeze(scope, by="token:ann", because="", until=None)
    await desk.people.unfreeze("prod", by="token:ann")
    assert [freeze.scope for freeze in await desk.store.freezes()] == [""]


async def test_a_freeze_ends_no_update_and_stops_none_from_being_approved() -> None:
    desk = Desk()
    await desk.put()
    await desk.people.freeze("", by="token:ann", because="", until=None)
    assert (await desk.approve("token:bob")).update.state is S.SCHEDULED


# --- what was voted on has changed ----------------------------------------------------------------


async def changed_since(desk: Desk) -> Update:
    """Ann has approved; then the policy was changed, and with it the binding."""
    await desk.put()
    await desk.approve("token:ann")
    voted = await desk.now()
    moved = replace(voted, policy=replace(a_policy(quorum=2), soak_seconds=1))
    await desk.store.commit([Change(job=moved, expected=2)], [])
    return moved


async def test_votes_for_two_bindings_make_no_quorum() -> None:
    desk = Desk(quorum=2)
    await changed_since(desk)
    assert (await desk.approve("token:bob")).update.state is S.AWAITING_APPROVAL


async def test_who_approved_what_it_was_before_may_approve_what_it_is_now() -> None:
    desk = Desk(quorum=2)
    moved = await changed_since(desk)
    await desk.approve("token:bob")
    after = (await desk.approve("token:ann")).update
    assert after.state is S.SCHEDULED
    assert {vote.binding for vote in after.votes} == {moved.binding}

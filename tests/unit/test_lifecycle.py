"""What can never happen to an update or a build, over histories of events their states know.

Events are drawn from the table's row of the present state, mostly fitting, sometimes stale, forged
or late: events drawn at random hardly ever get past the first states, and prove nothing.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import get_args

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.facts import T0, a_build, a_policy, an_update, approved, digest, image, seconds
from watcher.core import build as builds
from watcher.core import update as updates
from watcher.core.approval import AUTO, Binding, Vote, Who
from watcher.core.build import BuildEvent, BuildFailed, BuildStarted, BuildState, Built, Verified
from watcher.core.transition import IllegalTransition
from watcher.core.update import UNTOUCHED_ENDS, UPDATE_ENDS, UPDATE_TRANSITIONS, Update
from watcher.core.update_events import (
    Applied,
    Approved,
    BuildReady,
    Cleared,
    Expired,
    Failed,
    NotApplied,
    Override,
    Rejected,
    RolledBack,
    RolledOut,
    Snoozed,
    Soaked,
    Superseded,
    TakenOver,
    UndoFailed,
    UpdateEvent,
    UpdateState,
    Voted,
    WentWrong,
)

S = UpdateState
PEOPLE = ("ann", "bob", "cat")
DAY = 24 * 3600
FORWARD = (BuildReady, Voted, Voted, Approved, Cleared, Applied, RolledOut, Soaked, RolledBack)


@dataclass(frozen=True, slots=True)
class Step:
    """One event offered to an update; `after` is None where it was refused."""

    before: Update
    event: UpdateEvent
    at: datetime
    after: Update | None


@dataclass(frozen=True, slots=True)
class History:
    steps: tuple[Step, ...]
    last: Update

    @property
    def states(self) -> list[UpdateState]:
        return [step.after.state for step in self.steps if step.after is not None]


def right_binding(update: Update) -> Binding:
    """Written out here once more, so that a fault in `Update.binding` is seen."""
    assert update.image is not None
    return Binding(
        update=update.id,
        image=update.image.digest,
        base=update.target.base.digest,
        recipe=update.target.recipe_digest,
        policy=update.policy.digest(),
    )


def bindings(update: Update) -> st.SearchStrategy[Binding]:
    right = right_binding(update)
    stale = [
        replace(right, update="u-0"),
        replace(right, image=digest("another image")),
        replace(right, base=digest("another base")),
        replace(right, recipe=digest("another recipe")),
        replace(right, policy=digest("another policy")),
    ]
    return st.one_of(*[st.just(right)] * 4, st.sampled_from(stale))


names = st.sampled_from((*PEOPLE, *PEOPLE, *PEOPLE, "eve", "", AUTO))


def _vote(update: Update, now: datetime) -> st.SearchStrategy[UpdateEvent]:
    return st.builds(
        lambda by, binding: Voted(Vote(by=by, at=now, binding=binding)), names, bindings(update)
    )


def _cleared(update: Update, now: datetime) -> st.SearchStrategy[UpdateEvent]:
    right = update.target.base.digest
    bases = st.sampled_from((right, right, right, digest("a newer base")))
    previous = st.sampled_from((None, Override(image="example.com/old@sha256:0")))
    return st.builds(Cleared, bindings(update), bases, previous)


def _snoozed(update: Update, now: datetime) -> st.SearchStrategy[UpdateEvent]:
    hours = st.sampled_from((-1, 0, 1, 4, 24, 24 * 40))
    return st.builds(
        lambda by, later: Snoozed(Who(by=by), now + seconds(later * 3600)), names, hours
    )


OFFERS: dict[type, Callable[[Update, datetime], st.SearchStrategy[UpdateEvent]]] = {
    BuildReady: lambda update, now: st.just(BuildReady(image("new"))),
    Voted: _vote,
    Snoozed: _snoozed,
    Approved: lambda update, now: bindings(update).map(Approved),
    Rejected: lambda update, now: names.map(lambda by: Rejected(Who(by=by), "no")),
    Expired: lambda update, now: st.just(Expired()),
    Superseded: lambda update, now: st.just(Superseded("u-2")),
    Failed: lambda update, now: st.just(Failed("no")),
    Cleared: _cleared,
    Applied: lambda update, now: st.just(Applied()),
    NotApplied: lambda update, now: st.just(NotApplied("no")),
    RolledOut: lambda update, now: st.just(RolledOut()),
    Soaked: lambda update, now: st.just(Soaked()),
    WentWrong: lambda update, now: st.just(WentWrong("degraded")),
    TakenOver: lambda update, now: st.just(TakenOver("changed by hand")),
    RolledBack: lambda update, now: st.just(RolledBack()),
    UndoFailed: lambda update, now: st.just(UndoFailed("no")),
}


@st.composite
def histories(draw: st.DrawFn) -> History:
    policy = a_policy(
        auto=draw(st.booleans()),
        quorum=draw(st.integers(0, 3)),
        approvers=draw(st.sampled_from(((), PEOPLE))),
    )
    update, now = an_update(policy=policy), T0
    steps: list[Step] = []
    for _ in range(40):
        if update.is_ended:
            break
        now += seconds(draw(st.sampled_from((0, 0, 0, 0, 60, 60, 60, 3600, 3600, DAY))))
        known = list(UPDATE_TRANSITIONS[update.state])
        weighted = known + 25 * [kind for kind in FORWARD if kind in known]
        offered = draw(OFFERS[draw(st.sampled_from(weighted))](update, now))
        try:
            after = updates.step(update, offered, now=now)
        except IllegalTransition:
            steps.append(Step(update, offered, now, None))
            continue
        steps.append(Step(update, offered, now, after))
        update = after
    note(f"ends {update.state}")
    return History(tuple(steps), update)


def good_votes(history: History) -> set[str]:
    """Who voted for exactly what was built, being allowed to, in time: judged anew here."""
    voters = set()
    for step in history.steps:
        if not isinstance(step.event, Voted):
            continue
        vote, asked = step.event.vote, step.before
        allowed = asked.policy.approval.approvers
        assert asked.expires_at is not None
        if (
            vote.binding == right_binding(asked)
            and vote.by not in ("", AUTO)
            and (not allowed or vote.by in allowed)
            and step.at < asked.expires_at
        ):
            voters.add(vote.by)
    return voters


some = settings(max_examples=50)


@some
@given(histories())
def test_nothing_is_applied_that_was_not_approved_by_enough_people_or_by_the_policy(
    history: History,
) -> None:
    if S.APPLYING not in history.states:
        return
    update, rules = history.last, history.last.policy.approval
    assert update.approval is not None
    assert update.approval.binding == right_binding(update)
    if rules.auto:
        assert update.approval.by == (AUTO,)
    else:
        assert set(update.approval.by) <= good_votes(history)
        assert len(set(update.approval.by)) >= max(1, rules.quorum)


@some
@given(histories())
def test_nothing_is_applied_on_another_base_than_the_completed_release_or_too_late(
    history: History,
) -> None:
    for step in history.steps:
        if isinstance(step.event, Cleared) and step.after is not None:
            assert step.event.completed_base == step.before.target.base.digest
            assert step.event.binding == right_binding(step.before)
            approval = step.before.approval
            assert approval is not None
            kept = step.before.policy.approval.keep_seconds
            assert step.at < approval.at + seconds(kept)


@some
@given(histories())
def test_an_untouched_end_never_had_its_change_on_the_cluster(history: History) -> None:
    """Touched means: the change was confirmed (`Applied`). An attempt that was seen not to have
    changed anything (APPLYING, then `NotApplied`) ends as failed, and counts as not touched."""
    states = [S.WAITING_FOR_BUILD, *history.states]
    if history.last.state in UNTOUCHED_ENDS:
        assert not any(isinstance(step.event, Applied) for step in history.steps)
        assert S.ROLLING_OUT not in states
        if S.APPLYING in states:
            assert isinstance(history.steps[-1].event, NotApplied)
            assert history.last.state is S.FAILED
    if history.last.state in (S.DONE, S.ROLLED_BACK):
        assert S.ROLLING_OUT in states
    if history.last.state is S.STUCK:
        assert S.APPLYING in states


@some
@given(histories())
def test_decisions_are_made_in_time_by_those_who_may(history: History) -> None:
    for step in history.steps:
        if step.after is None:
            continue
        until, approvers = step.before.expires_at, step.before.policy.approval.approvers
        match step.event:
            case Approved():
                assert until is not None
                assert step.at < until
            case Expired():
                assert until is not None
                assert step.at >= until
            case Rejected(by, _):
                assert by.by not in ("", AUTO)
                assert not approvers or by.by in approvers
            case Snoozed(by, asleep):
                assert by.by not in ("", AUTO)
                assert not approvers or by.by in approvers
                assert step.at < asleep
                assert step.after.expires_at is not None
                assert asleep < step.after.expires_at
                assert step.after.approval == step.before.approval


@some
@given(histories())
def test_what_was_decided_stays_what_it_was(history: History) -> None:
    for step in history.steps:
        if step.after is None:
            continue
        before, after = step.before, step.after
        kept = ("id", "cluster", "pool", "kind", "target", "policy", "created_at", "requested_by")
        assert all(getattr(before, name) == getattr(after, name) for name in kept)
        if before.image is not None:
            assert after.image == before.image
        assert after.changed_at == step.at
        voters = [vote.by for vote in after.votes]
        assert len(voters) == len(set(voters)), "whoever votes twice is kept once"


@some
@given(histories())
def test_an_update_waits_for_an_action_or_has_ended_and_says_why(history: History) -> None:
    last = history.last
    assert (updates.action_for(last) is None) == last.is_ended
    if last.is_ended and last.state is not S.DONE:
        assert last.ended_because


def test_the_histories_get_far_enough_to_prove_something() -> None:
    reached: Counter[str] = Counter()

    @settings(max_examples=150, derandomize=True, database=None)
    @given(histories())
    def collect(history: History) -> None:
        reached["drawn"] += 1
        reached["ended"] += history.last.is_ended
        reached["applying"] += S.APPLYING in history.states
        reached["refused"] += any(step.after is None for step in history.steps)
        reached[history.last.state] += 1

    collect()
    assert reached["ended"] >= 0.8 * reached["drawn"], reached
    assert reached["applying"] >= 0.25 * reached["drawn"], reached
    assert reached["refused"] >= 0.3 * reached["drawn"], reached
    assert {state for state in UPDATE_ENDS if not reached[state]} == set(), reached


def fitting(update: Update, kind: type) -> tuple[UpdateEvent, datetime]:
    """An event of this kind as it would come from those who may send it, and when."""
    now, binding = update.changed_at, right_binding(update) if update.image else None
    match kind:
        case _ if kind is BuildReady:
            return BuildReady(image("new")), now
        case _ if kind is Voted:
            assert binding is not None
            return Voted(Vote(by="ann", at=now, binding=binding)), now
        case _ if kind is Approved:
            assert binding is not None
            return Approved(binding), now
        case _ if kind is Cleared:
            assert binding is not None
            return Cleared(binding, update.target.base.digest, None), now
        case _ if kind is Snoozed:
            return Snoozed(Who(by="ann"), now + seconds(60)), now
        case _ if kind is Rejected:
            return Rejected(Who(by="ann"), "no"), now
        case _ if kind is Expired:
            return Expired(), update.expires_at or now
        case _:
            needs_text = kind in (Superseded, Failed, NotApplied, WentWrong, TakenOver, UndoFailed)
            made: UpdateEvent = kind("why") if needs_text else kind()
            return made, now


@pytest.mark.parametrize("auto", [True, False])
def test_from_every_reachable_state_an_end_is_reachable(auto: bool) -> None:
    first = an_update(policy=a_policy(auto=auto))
    reached, edges, ahead = {first.state}, list[tuple[S, S]](), [first]
    voted = set[S]()
    while ahead:
        update = ahead.pop()
        for kind in UPDATE_TRANSITIONS[update.state]:
            event, now = fitting(update, kind)
            try:
                after = updates.step(update, event, now=now)
            except IllegalTransition:
                assert kind is Approved, "only an approval may need votes first"
                continue
            edges.append((update.state, after.state))
            is_new_vote = kind is Voted and after.state not in voted
            if after.state not in reached or is_new_vote:
                reached.add(after.state)
                voted |= {after.state} if is_new_vote else set()
                ahead.append(after)
    assert reached == set(S), "every state is reachable by fitting events"
    leads_out = set(UPDATE_ENDS)
    for _ in reached:
        leads_out |= {before for before, after in edges if after in leads_out}
    assert leads_out == reached


def test_the_table_knows_every_event_and_every_state() -> None:
    known = {kind for row in UPDATE_TRANSITIONS.values() for kind in row}
    assert known == set(get_args(UpdateEvent))
    assert set(UPDATE_TRANSITIONS) == set(S)
    assert {s for s in S if an_ended(s)} == UPDATE_ENDS


def an_ended(state: UpdateState) -> bool:
    return an_update(state=state).is_ended


ENDED = sorted(UPDATE_ENDS)


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("kind", get_args(UpdateEvent), ids=lambda kind: kind.__name__)
def test_an_ended_update_accepts_nothing(state: UpdateState, kind: type) -> None:
    update = an_update(state=state, expires_at=T0)
    event, now = fitting(update, kind)
    with pytest.raises(IllegalTransition, match=f"cannot happen while {state}"):
        updates.step(update, event, now=now)


# --- each guard by name --------------------------------------------------------------------------


def refused(update: Update, event: UpdateEvent, *, after_seconds: float = 0) -> str:
    with pytest.raises(IllegalTransition) as caught:
        updates.step(update, event, now=T0 + seconds(after_seconds))
    return caught.value.because


asked = an_update(state=S.AWAITING_APPROVAL)
OTHER = replace(right_binding(asked), image=digest("another image"))


def test_a_vote_for_another_image_is_refused() -> None:
    assert "changed since" in refused(asked, Voted(Vote(by="ann", at=T0, binding=OTHER)))


def test_a_vote_after_the_time_to_decide_is_refused() -> None:
    vote = Voted(Vote(by="ann", at=T0, binding=right_binding(asked)))
    assert "time to decide ended" in refused(asked, vote, after_seconds=DAY)


def test_a_vote_of_somebody_else_is_refused() -> None:
    update = replace(asked, policy=a_policy(approvers=("ann",)))
    vote = Voted(Vote(by="eve", at=T0, binding=right_binding(update)))
    assert "eve is not an approver" in refused(update, vote)


def test_an_approval_for_another_image_is_refused() -> None:
    auto = replace(asked, policy=a_policy(auto=True))
    other = replace(right_binding(auto), image=digest("another image"))
    assert "changed since" in refused(auto, Approved(other))


def test_an_approval_without_the_quorum_is_refused() -> None:
    assert refused(asked, Approved(right_binding(asked))) == "1 more approval(s) needed"


def test_an_approval_after_the_time_to_decide_is_refused_even_with_all_votes() -> None:
    vote = Vote(by="ann", at=T0, binding=right_binding(asked))
    voted = updates.step(asked, Voted(vote), now=T0)
    assert "time to decide" in refused(voted, Approved(right_binding(asked)), after_seconds=DAY)


def test_an_expiry_before_its_time_is_refused() -> None:
    assert refused(asked, Expired(), after_seconds=DAY - 1) == "it is not time yet"


def test_a_rejection_by_somebody_else_is_refused() -> None:
    update = replace(asked, policy=a_policy(approvers=("ann",)))
    assert "eve is not an approver" in refused(update, Rejected(Who(by="eve"), "no"))


scheduled = an_update(state=S.SCHEDULED)
RIGHT, BASE = right_binding(scheduled), scheduled.target.base.digest


@pytest.mark.parametrize(
    ("update", "cleared", "after_seconds", "because"),
    [
        (scheduled, Cleared(OTHER, BASE, None), 0, "no approval for exactly this"),
        (replace(scheduled, approval=None), Cleared(RIGHT, BASE, None), 0, "no approval"),
        # The image was exchanged after it was approved: the old approval must not carry it.
        (replace(scheduled, image=image("x")), Cleared(RIGHT, BASE, None), 0, "no approval"),
        (scheduled, Cleared(RIGHT, BASE, None), 7 * DAY, "the approval was good until"),
        (scheduled, Cleared(RIGHT, digest("newer"), None), 0, "its base is not that of"),
    ],
    ids=["other binding", "no approval", "other image", "approval ran out", "other base"],
)
def test_a_clearance_that_does_not_fit_is_refused(
    update: Update, cleared: Cleared, after_seconds: float, because: str
) -> None:
    assert because in refused(update, cleared, after_seconds=after_seconds)


def test_a_fitting_clearance_keeps_what_must_be_put_back() -> None:
    previous = Override(image="example.com/old:tag", annotations=(("relayer.io/base", "x"),))
    after = updates.step(scheduled, Cleared(RIGHT, BASE, previous), now=T0)
    assert (after.state, after.previous) == (S.APPLYING, previous)


def test_an_approval_counts_from_when_it_was_given() -> None:
    auto = replace(asked, policy=a_policy(auto=True))
    now = T0 + seconds(60)
    after = updates.step(auto, Approved(right_binding(auto)), now=now)
    assert after.approval is not None
    assert after.approval.by == (AUTO,)
    assert after.expires_at == after.approval.until == now + seconds(7 * DAY)


def test_a_take_over_while_going_back_keeps_why_it_went_wrong() -> None:
    update = an_update(state=S.ROLLING_BACK, ended_because="node-1 is Degraded")
    after = updates.step(update, TakenOver("somebody changed it"), now=T0)
    assert after.ended_because == "node-1 is Degraded; somebody changed it"


def test_a_failed_undo_keeps_why_it_went_wrong() -> None:
    update = an_update(state=S.ROLLING_BACK, ended_because="node-1 is Degraded")
    after = updates.step(update, UndoFailed("no answer"), now=T0)
    assert after.ended_because == "node-1 is Degraded; undoing failed: no answer"


def test_the_approved_helper_makes_what_the_table_would() -> None:
    vote = Vote(by="ann", at=T0, binding=right_binding(asked))
    voted = updates.step(asked, Voted(vote), now=T0)
    made = updates.step(voted, Approved(right_binding(asked)), now=T0)
    assert replace(made, votes=(), times=()) == approved(replace(asked, state=S.SCHEDULED))


# --- builds --------------------------------------------------------------------------------------

BUILT = image("new")
BUILD_OFFERS: dict[type, st.SearchStrategy[BuildEvent]] = {
    BuildStarted: st.just(BuildStarted()),
    Built: st.just(Built(BUILT)),
    Verified: st.sampled_from((Verified(BUILT.digest), Verified(digest("another")))),
    BuildFailed: st.just(BuildFailed("no")),
}


@given(st.data())
def test_a_ready_build_was_verified_under_the_digest_that_was_built(data: st.DataObject) -> None:
    build = a_build()
    verified = None
    for _ in range(8):
        kinds = list(builds.BUILD_TRANSITIONS[build.state])
        if not kinds:
            break
        offered = data.draw(BUILD_OFFERS[data.draw(st.sampled_from(kinds))])
        try:
            build = builds.step(build, offered, now=T0)
        except IllegalTransition:
            continue
        verified = offered.image if isinstance(offered, Verified) else verified
    note(f"ends {build.state}")
    if build.state is BuildState.READY:
        assert build.image is not None
        assert build.image.digest == verified
    assert (builds.action_for(build) is None) == build.is_ended


def test_a_verification_of_another_image_is_refused() -> None:
    build = a_build(state=BuildState.VERIFYING, image=BUILT)
    with pytest.raises(IllegalTransition, match="it names another image"):
        builds.step(build, Verified(digest("another")), now=T0)


@pytest.mark.parametrize("state", [BuildState.READY, BuildState.FAILED])
@pytest.mark.parametrize(
    "event",
    [BuildStarted(), Built(BUILT), Verified(BUILT.digest), BuildFailed("no")],
    ids=lambda event: type(event).__name__,
)
def test_an_ended_build_accepts_nothing(state: BuildState, event: BuildEvent) -> None:
    with pytest.raises(IllegalTransition):
        builds.step(a_build(state=state, image=BUILT), event, now=T0)


def test_the_same_person_voting_twice_is_kept_once() -> None:
    vote = Voted(Vote(by="ann", at=T0, binding=right_binding(asked)))
    twice = updates.step(updates.step(asked, vote, now=T0), vote, now=T0)
    assert [v.by for v in twice.votes] == ["ann"]

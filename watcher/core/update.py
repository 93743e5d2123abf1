"""The life of one update: bring one pool of one cluster to one layered image.

The table is the only place that says which state may follow which, and the source of
docs/lifecycle.mmd. Ends are told apart by what a person must know: before APPLYING the cluster
was never touched; after it, the pool was brought forward, brought back, or needs a person.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from watcher.core import approval
from watcher.core.approval import Approval, ApprovalRules, Binding, Vote
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec
from watcher.core.order import After
from watcher.core.transition import IllegalTransition
from watcher.core.update_events import (
    Applied,
    Apply,
    Approved,
    AskApproval,
    AwaitBuild,
    BuildReady,
    Cleared,
    ClearForApply,
    Expired,
    Failed,
    FollowRollout,
    Kind,
    NotApplied,
    Override,
    Rejected,
    RollBack,
    RolledBack,
    RolledOut,
    Snoozed,
    Soak,
    Soaked,
    Superseded,
    TakenOver,
    UndoFailed,
    UpdateAction,
    UpdateEvent,
    UpdateState,
    Voted,
    WentWrong,
)
from watcher.core.windows import Blackout, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the pool shall run, and from what it is made."""

    release_version: str
    release_image: Pullspec
    base: Pullspec
    recipe: str
    recipe_digest: Digest
    build_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """What was true when the update was proposed: for people, never decided upon."""

    nodes: int = 0
    estimate_seconds: int | None = None
    """How long the rollout may take, from how long the last one took a node; None: never seen."""
    os_version: str = ""
    """RHCOS version of the new base."""
    signature: str = ""
    """What is known of the release's signature, as a sentence."""
    from_image: str = ""
    """What the pool runs; empty: the stock image."""
    from_release: str = ""
    from_base: str = ""
    from_recipe: str = ""
    from_os_version: str = ""
    complaints: tuple[str, ...] = ()
    """What lint said of the recipe, errors first; bounded by whoever wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the configuration says about acting on one pool."""

    approval: ApprovalRules = field(default_factory=ApprovalRules)
    windows: tuple[Window, ...] = ()
    """When it may be applied; none means at any time."""
    blackouts: tuple[Blackout, ...] = ()
    """Days on which nothing begins, whatever the windows say."""
    min_age_seconds: int = 0
    """How long ago we must have first seen a release before it is applied."""
    after: tuple[After, ...] = ()
    """Pools that must have taken the release first, and stayed well."""
    when_closed: str = "finish"
    """What a rollout does when its window closes: `finish`, or `pause` the pool until the next."""
    soak_seconds: int = 600
    """How long a finished rollout is watched before the update is done. 10 min: MCO's alerts."""
    node_seconds: int = 1800
    """How long one node may take to drain, reboot and return. 30 min: twice a slow metal host."""

    def digest(self) -> Digest:
        """A digest of all of it; part of every binding."""
        said = asdict(self)
        for window in said["windows"]:
            window["hours"] = float(window["hours"])  # 4 and 4.0 are the same policy
            _drop_defaults(window, cron="")
        # So that a release of ours with one more setting does not void what was approved before.
        _drop_defaults(said, blackouts=(), min_age_seconds=0, after=(), when_closed="finish")
        _drop_defaults(said["approval"], two_person=False)
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


def _drop_defaults(said: dict[str, object], **defaults: object) -> None:
    for name, default in defaults.items():
        if said[name] == default:
            del said[name]


def asked_by_person(policy: Policy) -> Policy:
    """Return the policy for what a person asks for: people approve it, never the policy alone."""
    return replace(policy, approval=replace(policy.approval, auto=False))


S = UpdateState
_UNTOUCHED: dict[type, UpdateState] = {
    Rejected: S.REJECTED,
    Superseded: S.SUPERSEDED,
    Failed: S.FAILED,
}
UPDATE_TRANSITIONS: dict[UpdateState, dict[type, UpdateState]] = {
    S.WAITING_FOR_BUILD: {BuildReady: S.AWAITING_APPROVAL, **_UNTOUCHED},
    S.AWAITING_APPROVAL: {
        Voted: S.AWAITING_APPROVAL,
        Snoozed: S.AWAITING_APPROVAL,
        Approved: S.SCHEDULED,
        Expired: S.EXPIRED,
        **_UNTOUCHED,
    },
    S.SCHEDULED: {
        Cleared: S.APPLYING,
        Snoozed: S.SCHEDULED,
        Expired: S.EXPIRED,
        **_UNTOUCHED,
    },
    # From here on the cluster may have been touched: giving up means going back, unless it was
    # seen to be as it was before.
    S.APPLYING: {
        Applied: S.ROLLING_OUT,
        NotApplied: S.FAILED,
        TakenOver: S.STUCK,
    },
    S.ROLLING_OUT: {RolledOut: S.SOAKING, WentWrong: S.ROLLING_BACK, TakenOver: S.STUCK},
    S.SOAKING: {Soaked: S.DONE, WentWrong: S.ROLLING_BACK, TakenOver: S.STUCK},
    S.ROLLING_BACK: {RolledBack: S.ROLLED_BACK, UndoFailed: S.STUCK, TakenOver: S.STUCK},
    S.DONE: {},
    S.REJECTED: {},
    S.EXPIRED: {},
    S.SUPERSEDED: {},
    S.FAILED: {},
    S.ROLLED_BACK: {},
    S.STUCK: {},
}
UPDATE_ENDS = frozenset(state for state, out in UPDATE_TRANSITIONS.items() if not out)
UNTOUCHED_ENDS = frozenset({S.REJECTED, S.EXPIRED, S.SUPERSEDED, S.FAILED})
NOT_BEGUN = frozenset({S.WAITING_FOR_BUILD, S.AWAITING_APPROVAL, S.SCHEDULED})
MOST_SNOOZE = timedelta(days=30)
"""Longer is not "later": reject it, or hold the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    id: str
    cluster: ClusterName
    pool: PoolName
    kind: Kind
    target: Target
    policy: Policy
    because: str
    """The decision's sentence: why this update was proposed."""
    requested_by: str
    """`relayer`, or the person who asked."""
    created_at: datetime
    changed_at: datetime
    expires_at: datetime | None = None
    """Set while a decision is awaited, and after it while it waits to be used."""
    state: UpdateState = UpdateState.WAITING_FOR_BUILD
    build: str = ""
    image: Pullspec | None = None
    votes: tuple[Vote, ...] = ()
    approval: Approval | None = None
    previous: Override | None = None
    """Set on the way to APPLYING; None there means: there was none, remove ours to undo."""
    downgrade_allowed: bool = False
    """A person asked for exactly this by name."""
    ended_because: str = ""
    change: str = ""
    """The kind of change (`changes.Change`) whose policy this is under."""
    authors: tuple[str, ...] = ()
    """Every name of those who asked for it or wrote its recipe, for the two-person rule."""
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    background: Background = field(default_factory=Background)
    times: tuple[tuple[str, datetime], ...] = ()
    """When it came into each of its states, in order; the first is `created_at`."""

    @property
    def is_ended(self) -> bool:
        return self.state in UPDATE_ENDS

    @property
    def binding(self) -> Binding:
        """What an approval of this update is bound to; there must be an image."""
        assert self.image is not None, f"update {self.id} is {self.state} without an image"
        return Binding(
            update=self.id,
            image=self.image.digest,
            base=self.target.base.digest,
            recipe=self.target.recipe_digest,
            policy=self.policy.digest(),
        )


def step(update: Update, event: UpdateEvent, *, now: datetime) -> Update:
    """Return the update after `event`; raise IllegalTransition, else never."""
    state = UPDATE_TRANSITIONS[update.state].get(type(event))
    if state is None:
        raise IllegalTransition(update.state, event)
    if refusal := _refusal(update, event, now):
        raise IllegalTransition(update.state, event, refusal)
    moved = update if state is update.state else replace(update, times=_times(update, state, now))
    return _after(replace(moved, state=state, changed_at=now), event, now)


def _times(update: Update, state: UpdateState, now: datetime) -> tuple[tuple[str, datetime], ...]:
    return (*update.times, (str(state), now))


def _refusal(update: Update, event: UpdateEvent, now: datetime) -> str | None:
    """Return why an event that the table knows is still not to be believed."""
    match event:
        case Voted(vote):
            if vote.binding != update.binding:
                return "the vote is for something that has changed since"
            return approval.why_not(update.policy.approval, vote.who) or _too_late(update, now)
        case Snoozed(by, until):
            return approval.why_not(update.policy.approval, by) or _no_snooze(update, until, now)
        case Approved(binding):
            if binding != update.binding:
                return "the approval is for something that has changed since"
            if not update.policy.approval.auto and missing(update):
                return f"{missing(update)} more approval(s) needed"
            return _too_late(update, now)
        case Rejected(by, _):
            return approval.why_not(update.policy.approval, by)
        case Expired():
            if update.expires_at is None or now < update.expires_at:
                return "it is not time yet"
        case Cleared(binding, completed_base):
            given = update.approval
            if given is None or given.binding != binding or binding != update.binding:
                return "there is no approval for exactly this"
            if now >= given.until:
                return f"the approval was good until {given.until:%Y-%m-%d %H:%M} UTC"
            if completed_base != update.target.base.digest:
                return "its base is not that of the release the control plane has completed"
        case _:
            pass
    return None


def missing(update: Update) -> int:
    """Return how many more people must approve `update` as it is; there must be an image."""
    rules = update.policy.approval
    return approval.missing(rules, update.binding, update.votes, authors=update.authors)


def _no_snooze(update: Update, until: datetime, now: datetime) -> str | None:
    if until <= now:
        return f"{until:%Y-%m-%d %H:%M} UTC is over already"
    if until > now + MOST_SNOOZE:
        return f"it can be put off by {MOST_SNOOZE.days} days at most; reject it, or hold the pool"
    given = update.approval
    if given is not None and until >= given.until:
        return f"its approval is good until {given.until:%Y-%m-%d %H:%M} UTC only"
    return _too_late(update, now)


def _too_late(update: Update, now: datetime) -> str | None:
    if update.expires_at is not None and now >= update.expires_at:
        return f"the time to decide ended {update.expires_at:%Y-%m-%d %H:%M} UTC"
    return None


def _after(after: Update, event: UpdateEvent, now: datetime) -> Update:
    match event:
        case BuildReady(image):
            until = now + timedelta(seconds=after.policy.approval.ask_seconds)
            return replace(after, image=image, expires_at=until)
        case Voted(vote):
            others = tuple(v for v in after.votes if v.by != vote.by)
            return replace(after, votes=(*others, vote))
        case Snoozed(by, until):
            asleep = replace(after, snoozed_until=until, snoozed_by=by.by)
            if after.approval is not None:
                return asleep
            again = until + timedelta(seconds=after.policy.approval.ask_seconds)
            return replace(asleep, expires_at=max(again, after.expires_at or again))
        case Approved(binding):
            rules, authors = after.policy.approval, after.authors
            given = approval.approve(rules, binding, after.votes, now=now, authors=authors)
            assert given is not None, "checked in _refusal"
            awake = replace(after, snoozed_until=None, snoozed_by="")
            return replace(awake, approval=given, expires_at=given.until)
        case Cleared(_, _, previous):
            return replace(after, previous=previous, expires_at=None)
        case Rejected(by, because):
            return replace(
                after, ended_because=f"rejected by {by.by}" + (f": {because}" * bool(because))
            )
        case Superseded(by):
            return replace(after, ended_because=f"superseded by {by}")
        case Expired():
            return replace(after, ended_because=f"nobody acted on it in time ({after.expires_at})")
        case Failed(why) | NotApplied(why) | WentWrong(why):
            return replace(after, ended_because=why)
        case TakenOver(why):
            # While it was being undone, both why it went wrong and who took over are of use.
            both = (after.ended_because, why)
            return replace(after, ended_because="; ".join(filter(None, both)))
        case UndoFailed(why):
            return replace(after, ended_because=f"{after.ended_because}; undoing failed: {why}")
        case Applied() | RolledOut() | Soaked() | RolledBack():
            return after
        case never:
            assert_never(never)


def action_for(update: Update) -> UpdateAction | None:
    """Return what this update waits for us to do; also how work resumes after a crash."""
    match update.state:
        case UpdateState.WAITING_FOR_BUILD:
            return AwaitBuild()
        case UpdateState.AWAITING_APPROVAL:
            return AskApproval(update.binding)
        case UpdateState.SCHEDULED:
            return ClearForApply(update.binding)
        case UpdateState.APPLYING:
            return Apply(_image(update))
        case UpdateState.ROLLING_OUT:
            return FollowRollout(_image(update))
        case UpdateState.SOAKING:
            return Soak(_image(update))
        case UpdateState.ROLLING_BACK:
            return RollBack()
        case (
            UpdateState.DONE
            | UpdateState.REJECTED
            | UpdateState.EXPIRED
            | UpdateState.SUPERSEDED
            | UpdateState.FAILED
            | UpdateState.ROLLED_BACK
            | UpdateState.STUCK
        ):
            return None
        case never:
            assert_never(never)


def _image(update: Update) -> Pullspec:
    assert update.image is not None, f"update {update.id} is {update.state} without an image"
    return update.image

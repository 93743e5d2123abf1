"""What can happen to an update, and what must then be done: states, events, actions.

Frozen values with only ids and facts inside; `watcher.core.update` holds the table that joins them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watcher.core.approval import Binding, Vote, Who
from watcher.core.facts import Digest, Pullspec


class Kind(StrEnum):
    LAYERED = "layered"
    STOCK = "stock"
    """A person asked for the override to be removed."""


class UpdateState(StrEnum):
    WAITING_FOR_BUILD = "waiting-for-build"
    AWAITING_APPROVAL = "awaiting-approval"
    SCHEDULED = "scheduled"
    APPLYING = "applying"
    ROLLING_OUT = "rolling-out"
    SOAKING = "soaking"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    """Given up before the cluster was touched, like the three above."""
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    """Given up after the cluster was touched, and undone."""
    STUCK = "stuck"
    """Undoing failed, or somebody else took over: only a person knows how the pool stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What a MachineConfig of ours said before we touched it, so that it can be put back."""

    image: str
    """Verbatim: it may have been written by hand, even by tag."""
    annotations: tuple[tuple[str, str], ...] = ()


# Events: what happened.
@dataclass(frozen=True, slots=True)
class BuildReady:
    image: Pullspec


@dataclass(frozen=True, slots=True)
class Voted:
    vote: Vote


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Somebody who may decide wants to be asked later; it neither begins nor expires before."""

    by: Who
    until: datetime


@dataclass(frozen=True, slots=True)
class Approved:
    """Quorum or policy was reached. `step` counts again: the event alone proves nothing."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Rejected:
    by: Who
    because: str


@dataclass(frozen=True, slots=True)
class Expired: ...


@dataclass(frozen=True, slots=True)
class Superseded:
    by: str


@dataclass(frozen=True, slots=True)
class Failed:
    because: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """Every precondition held a moment ago; the base is that of the completed release."""

    binding: Binding
    completed_base: Digest
    previous: Override | None


@dataclass(frozen=True, slots=True)
class Applied: ...


@dataclass(frozen=True, slots=True)
class NotApplied:
    """The cluster said no, and was seen not to carry the override."""

    because: str


@dataclass(frozen=True, slots=True)
class RolledOut: ...


@dataclass(frozen=True, slots=True)
class Soaked: ...


@dataclass(frozen=True, slots=True)
class WentWrong:
    """The pool degraded while it took the image."""

    because: str


@dataclass(frozen=True, slots=True)
class TakenOver:
    """Somebody else changed the override under us: theirs is the say, ours is to tell."""

    because: str


@dataclass(frozen=True, slots=True)
class RolledBack: ...


@dataclass(frozen=True, slots=True)
class UndoFailed:
    because: str


UpdateEvent = (
    BuildReady
    | Voted
    | Snoozed
    | Approved
    | Rejected
    | Expired
    | Superseded
    | Failed
    | Cleared
    | Applied
    | NotApplied
    | RolledOut
    | Soaked
    | WentWrong
    | TakenOver
    | RolledBack
    | UndoFailed
)


# Actions: what must now be done.
@dataclass(frozen=True, slots=True)
class AwaitBuild: ...


@dataclass(frozen=True, slots=True)
class AskApproval:
    binding: Binding


@dataclass(frozen=True, slots=True)
class ClearForApply:
    """Evaluate every precondition; wait while one does not hold."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Apply:
    image: Pullspec


@dataclass(frozen=True, slots=True)
class FollowRollout:
    image: Pullspec


@dataclass(frozen=True, slots=True)
class Soak:
    image: Pullspec


@dataclass(frozen=True, slots=True)
class RollBack: ...


UpdateAction = AwaitBuild | AskApproval | ClearForApply | Apply | FollowRollout | Soak | RollBack

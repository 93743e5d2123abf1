"""Who may approve what, and for how long.

An approval is bound to everything the approver saw: the update, the layered image, its base, the
recipe and the policy. If any of them changes the approval is worth nothing.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.facts import Digest

AUTO = "policy:auto"
"""The name under which the policy itself approves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    auto: bool = False
    """True: the policy approves by itself, and nobody is asked."""
    quorum: int = 1
    """How many different people must approve."""
    approvers: tuple[str, ...] = ()
    """Identities that count (`token:ann`, `cli:root`). Empty: whoever could pass the door."""
    reason_required: bool = False
    """True: a rejection without a reason is refused."""
    ask_seconds: int = 24 * 3600
    """Without a decision for this long the update expires. 24 h: everybody's working day once."""
    keep_seconds: int = 7 * 24 * 3600
    """An approval not used for this long is void. 7 days: the next weekly window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Exactly what is approved."""

    update: str
    image: Digest
    base: Digest
    recipe: Digest
    policy: Digest

    def digest(self) -> Digest:
        """What a button or a form carries instead of the five values."""
        text = "\n".join((self.update, self.image, self.base, self.recipe, self.policy))
        return Digest("sha256:" + hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    by: str
    at: datetime
    binding: Binding
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A decision that was reached. Void after `until`."""

    binding: Binding
    by: tuple[str, ...]
    at: datetime
    until: datetime


def why_not(rules: ApprovalRules, by: str) -> str | None:
    """Return why this identity may not decide, or None if it may."""
    if not by:
        return "a decision needs a name"
    if by == AUTO:
        return "only the policy itself decides under that name"
    if rules.approvers and by not in rules.approvers:
        return f"{by} is not an approver of this pool (approvers: {', '.join(rules.approvers)})"
    return None


def voters(rules: ApprovalRules, binding: Binding, votes: Iterable[Vote]) -> tuple[str, ...]:
    """Return the different people whose approving votes count for exactly this binding."""
    counted: dict[str, None] = {}
    for vote in votes:
        if vote.binding == binding and why_not(rules, vote.by) is None:
            counted[vote.by] = None
    return tuple(counted)


def missing(rules: ApprovalRules, binding: Binding, votes: Iterable[Vote]) -> int:
    """Return how many more people must approve; 0 means the quorum is reached."""
    return max(0, max(1, rules.quorum) - len(voters(rules, binding, votes)))


def approve(
    rules: ApprovalRules, binding: Binding, votes: Iterable[Vote], *, now: datetime
) -> Approval | None:
    """Return the approval if policy or quorum gives it, else None."""
    if rules.auto:
        by: tuple[str, ...] = (AUTO,)
    elif missing(rules, binding, votes) == 0:
        by = voters(rules, binding, votes)
    else:
        return None
    return Approval(
        binding=binding, by=by, at=now, until=now + timedelta(seconds=rules.keep_seconds)
    )

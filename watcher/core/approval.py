"""Who may approve what, and for how long.

An approval is bound to everything the approver saw: the update, the layered image, its base, the
recipe and the policy. If any of them changes the approval is worth nothing.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.core.facts import Digest

AUTO = "policy:auto"
"""The name under which the policy itself approves."""
PERSON = "person:"
"""Begins the identity that stands for all identities of one person (`people` in the settings)."""
GROUP = "slack-group:"
"""Begins a group of identities that is looked up when somebody decides."""
CHAT = "slack:"
"""Begins an identity from chat, where the door alone proves nothing: it must be named."""
PROXY = "proxy:"
"""Begins the identity of somebody whom a trusted proxy named."""
OPENSHIFT = "openshift:"
"""Begins the identity of somebody whose token a cluster knows."""
LOCAL = "local:"
"""Begins that of whoever is on the service's machine where nobody is asked who he is: such a vote
never counts, whatever the rules say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRules:
    auto: bool = False
    """True: the policy approves by itself, and nobody is asked."""
    quorum: int = 1
    """How many different people must approve."""
    approvers: tuple[str, ...] = ()
    """Who counts: `token:ann`, `proxy:ann`, `openshift:ann`, `cli:root`, `slack:U…`,
    `slack-group:S…`, `person:ann`. Empty: whoever could pass the door, and nobody from chat."""
    two_person: bool = False
    """True: whoever asked for the update or wrote its recipe cannot be its only approver."""
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
class Who:
    """Somebody who decides, with all that says whether it counts."""

    by: str
    """The identity that passed the door: `token:ann`, `proxy:ann`, `slack:U…`, `cli:root`."""
    person: str = ""
    """Whose identity that is, where the settings say so: two of hers are one vote."""
    groups: tuple[str, ...] = ()
    """Those of the asked groups that have this person, as of now."""
    unresolved: tuple[str, ...] = ()
    """A sentence for each asked group that could not be looked up: it counts as no."""

    @property
    def one(self) -> str:
        """What this human is counted under."""
        return PERSON + self.person if self.person else self.by

    @property
    def names(self) -> frozenset[str]:
        """Every name that may stand in a list of approvers."""
        return frozenset((self.by, self.one, *self.groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    by: str
    at: datetime
    binding: Binding
    reason: str = ""
    person: str = ""
    groups: tuple[str, ...] = ()
    """What was true of the voter at that moment, see `Who`."""
    surface: str = ""
    """Where it was given: `slack button`, `http`, `cli`."""

    @property
    def who(self) -> Who:
        return Who(by=self.by, person=self.person, groups=self.groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A decision that was reached. Void after `until`."""

    binding: Binding
    by: tuple[str, ...]
    at: datetime
    until: datetime


def why_not(rules: ApprovalRules, who: Who) -> str | None:
    """Return why this identity may not decide, or None if it may."""
    if not who.by:
        return "a decision needs a name"
    if who.by == AUTO:
        return "only the policy itself decides under that name"
    if rules.approvers and not who.names & set(rules.approvers):
        refused = f"{who.by} is not an approver of this pool"
        more = "; ".join(who.unresolved)
        return f"{refused} (approvers: {', '.join(rules.approvers)})" + (f"; {more}" * bool(more))
    if not rules.approvers and who.by.startswith(CHAT):
        return "this pool names no approvers, so nobody decides from chat: name some in its policy"
    return None


def voters(rules: ApprovalRules, binding: Binding, votes: Iterable[Vote]) -> tuple[str, ...]:
    """Return the different people whose approving votes count for exactly this binding.

    Each by the identity of the first such vote.
    """
    counted: dict[str, str] = {}
    for vote in votes:
        if _counts(rules, binding, vote):
            counted.setdefault(vote.who.one, vote.by)
    return tuple(counted.values())


def _counts(rules: ApprovalRules, binding: Binding, vote: Vote) -> bool:
    is_named = not vote.by.startswith(LOCAL)
    return is_named and vote.binding == binding and why_not(rules, vote.who) is None


def missing(
    rules: ApprovalRules, binding: Binding, votes: Sequence[Vote], *, authors: Collection[str] = ()
) -> int:
    """Return how many more people must approve; 0 means the quorum is reached.

    `authors`: every name of those who asked for it or wrote its recipe.
    """
    short = max(1, rules.quorum) - len(voters(rules, binding, votes))
    return max(0, short, int(only_authors(rules, binding, votes, authors=authors)))


def only_authors(
    rules: ApprovalRules, binding: Binding, votes: Sequence[Vote], *, authors: Collection[str]
) -> bool:
    """Whether the two-person rule still waits for somebody who neither asked nor wrote it."""
    if not rules.two_person:
        return False
    counted = [v for v in votes if _counts(rules, binding, v)]
    return all({v.by, v.who.one} & set(authors) for v in counted)


def approve(
    rules: ApprovalRules,
    binding: Binding,
    votes: Sequence[Vote],
    *,
    now: datetime,
    authors: Collection[str] = (),
) -> Approval | None:
    """Return the approval if policy or quorum gives it, else None."""
    if rules.auto:
        by: tuple[str, ...] = (AUTO,)
    elif missing(rules, binding, votes, authors=authors) == 0:
        by = voters(rules, binding, votes)
    else:
        return None
    return Approval(
        binding=binding, by=by, at=now, until=now + timedelta(seconds=rules.keep_seconds)
    )

"""What we ask a cluster about people: whose token this is, and what that one may.

TokenReview and SubjectAccessReview of Kubernetes, in our words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """Somebody whom the cluster knows, with all that its authoriser looks at."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Among it the scopes of a token that may less than its owner."""


class Reviews(Protocol):
    async def whose(self, token: str, *, audiences: Sequence[str]) -> Reviewed | None:
        """Return whose token it is; None if the cluster does not know it, or not for any of the
        audiences. Raise OutsideError if the cluster cannot say."""

    async def allows(self, who: Reviewed, *, verb: str, namespace: str) -> bool:
        """Whether this one may do so to `pools.relayer.io` there ("" is everywhere).

        Raise OutsideError if the cluster cannot say."""

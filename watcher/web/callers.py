"""Who asks over HTTP, and what such a person may do here.

A role opens doors of pages and API; who may decide about a pool is said by the pool's own rules,
which hold here as in chat and on the command line.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    """Sees everything."""
    OPERATOR = "operator"
    """And may ask for updates, stop and let go, and silence."""
    APPROVER = "approver"
    """And may decide, where a pool's rules let her."""

    def covers(self, other: "Role") -> bool:
        """Whether this one may do all that the other may."""
        order = tuple(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    identity: str = ""
    """`token:ann`, `proxy:ann`, `openshift:ann`, as it stands in votes and audit; empty: somebody
    on this machine who only looks."""
    role: Role = Role.VIEWER
    csrf: str = ""
    """What a request that changes something must carry, where a cookie says who it is."""

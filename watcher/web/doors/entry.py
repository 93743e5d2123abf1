"""Who came through a door."""

from collections.abc import Iterable
from dataclasses import dataclass

from watcher.web.callers import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    identity: str
    role: Role | None = None
    """None: the door knows him, and nobody gave him a role."""
    bound: str = ""
    """What browsers send by themselves, as a cookie, is proof of who asks and not of what he wants:
    the CSRF value is derived from this. Empty: a token in a header, which no browser adds."""


def highest(roles: Iterable[Role]) -> Role | None:
    """Return the role that covers all others; None of none."""
    found: Role | None = None
    for role in roles:
        if found is None or role.covers(found):
            found = role
    return found

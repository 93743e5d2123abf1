"""A proxy before us says who asks, in headers. Believed is the socket's peer, and no header.

So that nothing can believe them by accident, `Guards` drops these headers where somebody else
sent them.
"""

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers

from watcher.core.approval import PROXY
from watcher.settings_web import NO_ROLE, ProxySettings
from watcher.web.callers import Role
from watcher.web.doors.entry import Entry, highest
from watcher.web.problems import Problem

LONGEST_USER = 150
MOST_GROUPS = 500
USUAL = ("x-forwarded-user", "x-forwarded-groups", "x-auth-request-user", "x-auth-request-groups")
"""Dropped in every mode, whatever the settings name."""


class ProxyDoor:
    def __init__(self, said: ProxySettings) -> None:
        self._said = said
        self._networks = [ipaddress.ip_network(one) for one in said.trusted]

    @property
    def headers(self) -> frozenset[bytes]:
        """The names of the headers that only the proxy may send, as they travel."""
        named = (self._said.user_header.lower(), self._said.groups_header.lower(), *USUAL)
        return frozenset(name.encode() for name in named)

    def trusts(self, peer: str) -> bool:
        """Whether the address at the other end of the connection is the proxy's."""
        address = address_of(peer)
        return address is not None and any(address in one for one in self._networks)

    def entry(self, headers: Headers) -> Entry | None:
        """Return whom the proxy names; None if nobody. Raise Problem 401 for what is no name.

        Only for a peer that is trusted.
        """
        said = self._said
        users = headers.getlist(said.user_header)
        if not users:
            return None
        (user, *more) = users
        good = user.isascii() and user.isprintable() and user.strip() == user and "," not in user
        if more or not good or not 0 < len(user) <= LONGEST_USER:
            raise Problem(401, f"the proxy's {said.user_header} is not one user's name")
        groups = _groups(headers.getlist(said.groups_header))
        roles = [Role(said.groups[group]) for group in groups if group in said.groups]
        if said.others != NO_ROLE:
            roles.append(Role(said.others))
        identity = PROXY + user
        return Entry(identity=identity, role=highest(roles), bound=identity)


def address_of(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a peer's address, an IPv4 one where IPv6 only carries it; None of a socket file."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _groups(values: Sequence[str]) -> list[str]:
    found = [group.strip() for value in values for group in value.split(",")]
    if len(found) > MOST_GROUPS:
        raise Problem(401, f"the proxy names more than {MOST_GROUPS} groups")
    return [group for group in found if group]

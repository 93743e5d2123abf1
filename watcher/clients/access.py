"""How registries are reached, as seen from one cluster or from none.

The configured logins, mirrors and authorities come first; those of the cluster (its pull secret,
mirror sets, additionalTrustedCA) are added. Everything that reads or writes images asks here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from watcher.clients.registry import Credentials, RegistryClient
from watcher.core.facts import ClusterName
from watcher.core.mirrors import Mirrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What one cluster adds up to."""

    credentials: Credentials = field(default_factory=Credentials)
    mirrors: Mirrors = field(default_factory=Mirrors)
    trusted: Mapping[str, str] = field(default_factory=dict)
    """host[:port] → PEM, beside the system's authorities and the configured files."""


class Access(Protocol):
    async def ways(self, cluster: ClusterName) -> Ways:
        """Raise Transient only: what a cluster does not tell is gone without, and logged."""

    async def client(self, cluster: ClusterName) -> RegistryClient:
        """A client for these ways; connections and tokens are kept from one call to the next."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same ways everywhere: for commands without a cluster, and for tests."""

    one: RegistryClient
    said: Ways = field(default_factory=Ways)

    async def ways(self, cluster: ClusterName) -> Ways:
        """See `Access`."""
        return self.said

    async def client(self, cluster: ClusterName) -> RegistryClient:
        """See `Access`."""
        return self.one

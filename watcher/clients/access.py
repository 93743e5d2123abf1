"""How registries are reached, as seen from one cluster or from none.

The configured logins, mirrors and authorities come first; those of the cluster (its pull secret,
mirror sets, additionalTrustedCA) are added. Everything that reads or writes images asks here.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from watcher.clients.registry import Credentials, RegistryClient
from watcher.core.facts import ClusterName
from watcher.core.mirrors import Mirrors
from watcher.errors import Refused, Transient

if TYPE_CHECKING:
    from watcher.core.cluster import ClusterView

ASKED_AGAIN_SECONDS = 300.0
"""A cluster's pull secret and authorities are read anew after this long."""
AGAIN_SECONDS = 30.0
"""A cluster that did not answer is not asked for so long, where it told them before: whoever reads
an image waits for it."""


class Source(Protocol):
    """What of a cluster says how registries are reached: a part of `ports.Cluster`."""

    @property
    def name(self) -> ClusterName: ...

    def view(self) -> "ClusterView": ...

    async def pull_secret(self) -> bytes: ...

    async def trusted_cas(self) -> Mapping[str, str]: ...


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

    async def as_nodes(self, cluster: ClusterName) -> RegistryClient:
        """A client with the mirrors and authorities that the cluster's nodes have, and no login."""


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

    async def as_nodes(self, cluster: ClusterName) -> RegistryClient:
        """See `Access`."""
        return self.one.using(Credentials())


@dataclass(frozen=True, slots=True)
class _Told:
    """What a cluster's objects said, beside its mirrors, which its watches know."""

    credentials: Credentials
    trusted: Mapping[str, str]
    until: float


def _warn(what: str, cluster: Source, error: Exception) -> None:
    import structlog  # late: a command without a cluster does without it

    structlog.get_logger().warning(
        "gone_without", what=what, cluster=cluster.name, cause=str(error)
    )


OnGone = Callable[[str, Source, Exception], None]
"""Takes what of a cluster is gone without, the cluster, and why."""


class ClusterAccess:
    """`Access` over the watched clusters."""

    def __init__(
        self,
        client: RegistryClient,
        clusters: Mapping[ClusterName, Source],
        configured: Ways,
        *,
        on_gone: OnGone = _warn,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` reaches registries in the configured ways."""
        self._client = client
        self._clusters = clusters
        self._configured = configured
        self._on_gone = on_gone
        self._monotonic = monotonic
        self._told: dict[ClusterName, _Told] = {}
        self._asking: dict[ClusterName, asyncio.Lock] = {}
        self._made: dict[ClusterName, tuple[Ways, RegistryClient]] = {}

    async def ways(self, cluster: ClusterName) -> Ways:
        """See `Access`. A cluster that is not known adds nothing."""
        if cluster not in self._clusters:
            return self._configured
        told = await self._asked(cluster)
        mine, theirs = self._configured, self._clusters[cluster].view().mirrors
        return Ways(
            credentials=Credentials.joined(mine.credentials, told.credentials),
            mirrors=Mirrors.joined(mine.mirrors.rules, theirs),
            trusted={**told.trusted, **mine.trusted},
        )

    async def client(self, cluster: ClusterName) -> RegistryClient:
        """See `Access`."""
        if cluster not in self._clusters:
            return self._client
        ways = await self.ways(cluster)
        made = self._made.get(cluster)
        if made is None or made[0] != ways:
            client = self._client.using(
                ways.credentials, mirrors=ways.mirrors, trusted=ways.trusted
            )
            made = self._made[cluster] = (ways, client)
        return made[1]

    async def as_nodes(self, cluster: ClusterName) -> RegistryClient:
        """See `Access`: what is configured for Relayer alone says nothing of what nodes can do."""
        if cluster not in self._clusters:
            return self._client.using(Credentials())
        mirrors = Mirrors(self._clusters[cluster].view().mirrors)
        trusted = (await self._asked(cluster)).trusted
        return self._client.using(Credentials(), mirrors=mirrors, trusted=trusted)

    async def _asked(self, cluster: ClusterName) -> _Told:
        async with self._asking.setdefault(cluster, asyncio.Lock()):
            told = self._told.get(cluster)
            if told is None or self._monotonic() >= told.until:
                told = self._told[cluster] = await self._ask(cluster, told)
            return told

    async def _ask(self, name: ClusterName, before: _Told | None) -> _Told:
        cluster, now = self._clusters[name], self._monotonic
        try:
            logins, trusted = await self._logins(cluster), await self._authorities(cluster)
        except Transient:
            if before is None:
                raise
            return replace(before, until=now() + AGAIN_SECONDS)
        return _Told(logins, trusted, now() + ASKED_AGAIN_SECONDS)

    async def _logins(self, cluster: Source) -> Credentials:
        """The cluster's pull secret; none where it may not or cannot be read."""
        try:
            # One broken entry in it stands in the way of its own host only.
            secret = await cluster.pull_secret()
            return Credentials.parse(secret, what="the cluster's pull secret", strict=False)
        except Refused as error:
            self._on_gone("the pull secret", cluster, error)
            return Credentials()

    async def _authorities(self, cluster: Source) -> Mapping[str, str]:
        try:
            return await cluster.trusted_cas()
        except Refused as error:
            self._on_gone("additionalTrustedCA", cluster, error)
            return {}

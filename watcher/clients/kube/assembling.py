"""Facts into the view of a cluster, wherever they were read: watched, asked for, or in a dump.

Imports nothing that speaks to a network: who reads files must not wait for such libraries.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar, cast

from watcher.clients.kube import kinds
from watcher.clients.kube.kinds import Kind
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName

F = TypeVar("F")

_NONE: Mapping[str, str] = MappingProxyType({})


def assemble(
    name: ClusterName,
    found: Mapping[str, Mapping[str, object]],
    *,
    observed_at: datetime,
    unreadable_pools: Mapping[str, str] = _NONE,
    problems: tuple[str, ...],
) -> ClusterView:
    """A view from facts by kind's title and object's name; nothing is copied.

    `unreadable_pools`: name → why; of those that are among the facts as well the fact counts.
    """

    def of(kind: Kind[F]) -> Mapping[str, F]:
        return cast("Mapping[str, F]", found.get(kind.title, {}))

    return ClusterView(
        cluster=name,
        observed_at=observed_at,
        cluster_version=of(kinds.CLUSTER_VERSION).get(kinds.CLUSTER_VERSION.only),
        pools=of(kinds.POOL),
        unreadable_pools={n: w for n, w in unreadable_pools.items() if n not in of(kinds.POOL)},
        machine_configs=of(kinds.MACHINE_CONFIG),
        nodes=of(kinds.NODE),
        os_image_urls=of(kinds.OS_IMAGE_URLS).get(kinds.OS_IMAGE_URLS.only),
        machine_os_configs=of(kinds.MACHINE_OS_CONFIG),
        machine_os_builds=of(kinds.MACHINE_OS_BUILD),
        os_image_stream=of(kinds.OS_IMAGE_STREAM).get(kinds.OS_IMAGE_STREAM.only),
        mirrors=tuple(
            rule
            for kind in kinds.MIRROR_SETS
            for _, rules in sorted(of(kind).items())
            for rule in rules
        ),
        problems=problems,
    )

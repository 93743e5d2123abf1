"""What lint is told of a pool that a cluster shows."""

from watcher.core import mco
from watcher.core.cluster import ClusterView, MachineConfig, Pool
from watcher.core.lint.model import PoolContext


def selected(view: ClusterView, pool: Pool, *, release: str) -> tuple[MachineConfig, ...]:
    """Return the MachineConfigs that a pool gets, in the order in which they are merged."""
    selector = pool.machine_config_selector
    mine = [mc for mc in view.machine_configs.values() if mco.selects(selector, mc.meta.labels)]
    try:
        return mco.merge_order(mine, version=release)
    except ValueError:  # a release whose version is none: its pools still have their files
        return tuple(sorted(mine, key=lambda mc: mc.meta.name))


def context_of(view: ClusterView, pool: Pool, *, release: str) -> PoolContext:
    """Return what is known of the pool that an image is for."""
    return PoolContext.of(selected(view, pool, release=release), release=release)

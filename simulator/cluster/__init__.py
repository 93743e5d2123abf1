"""A cluster that behaves: ClusterVersion, MachineConfigPools, nodes that drain and reboot."""

from simulator.cluster.clock import SimClock
from simulator.cluster.cluster import SimulatedCluster
from simulator.cluster.specs import PoolSpec, Release, Timings

__all__ = ["PoolSpec", "Release", "SimClock", "SimulatedCluster", "Timings"]

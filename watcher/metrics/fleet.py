"""Figures of pools and clusters, ours or not."""

from watcher.core.blocks import Target
from watcher.core.stages import StageKind
from watcher.core.state import Flag, State
from watcher.metrics.figure import (
    CLUSTER,
    CONDITIONS,
    DECISIONS,
    MOMENT,
    PLACE,
    SECONDS,
    VERSION,
    Figure,
    Label,
    Who,
    every,
)

POOLS = (
    Figure(
        name="relayer_pool_state",
        said="1 for the state that a pool is in (docs/states.md), 0 for the others.",
        labels=(*PLACE, Label("state", every(State))),
    ),
    Figure(
        name="relayer_pool_flag",
        said="1 for each flag that a pool has beside its state, 0 for the others.",
        labels=(*PLACE, Label("flag", every(Flag))),
    ),
    Figure(
        name="relayer_pool_flag_timestamp_seconds",
        said="Since when a pool has a flag; absent where nobody knows.",
        unit=MOMENT,
        labels=(*PLACE, Label("flag", every(Flag))),
    ),
    Figure(
        name="relayer_pool_lag_releases",
        said="By how many releases a pool is behind its cluster; absent where nobody knows.",
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_lag_minors",
        said="By how many minor releases a pool is behind its cluster; absent where nobody knows.",
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_lag_seconds",
        said="Time between the builds of a pool's base and of the one that its release names, in"
        " whole days; absent where nobody knows.",
        unit=SECONDS,
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_blocks",
        said="How many reasons a pool gives against the next patch, against a minor upgrade, or"
        " for missing certificates.",
        labels=(*PLACE, Label("target", every(Target))),
    ),
    Figure(
        name="relayer_pool_certificate_timestamp_seconds",
        said="When the certificates end that the nodes of a paused pool have; absent where nobody"
        " knows, and of pools that are not paused.",
        unit=MOMENT,
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_nodes",
        said="Nodes of a pool.",
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_nodes_in_condition",
        said="Nodes of a pool that are updated, and that are degraded.",
        labels=(*PLACE, Label("condition", CONDITIONS)),
    ),
    Figure(
        name="relayer_pool_observed_timestamp_seconds",
        said="When what is told of a pool was last known to be so; 0: never.",
        unit=MOMENT,
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_decision",
        said="1 for the decision of the last look at a pool, 0 for the others.",
        labels=(*PLACE, Label("decision", DECISIONS)),
    ),
    Figure(
        name="relayer_pool_unverified",
        said="1 while the release that a pool shall get is not proven genuine, and so not applied.",
        labels=PLACE,
    ),
    Figure(
        name="relayer_pool_look_timestamp_seconds",
        said="When a pool was last looked at.",
        unit=MOMENT,
        labels=PLACE,
    ),
)

CLUSTERS = (
    Figure(
        name="relayer_cluster_info",
        said="Always 1; the version is the one that the cluster works towards or has.",
        labels=(CLUSTER, VERSION),
    ),
    Figure(
        name="relayer_cluster_stage",
        said="1 for where a cluster stands on its way between releases, 0 for the others.",
        labels=(CLUSTER, Label("stage", every(StageKind))),
    ),
    Figure(
        name="relayer_cluster_observed_timestamp_seconds",
        said="When the oldest of what is known of a cluster was last in step with it; 0: never.",
        unit=MOMENT,
        labels=(CLUSTER,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_cluster_problems",
        said="What cannot be read of a cluster, and will not pass by itself.",
        labels=(CLUSTER,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_watch_age_seconds",
        said="How long ago a kind of a cluster was last in step with its API server; absent until"
        " it was.",
        unit=SECONDS,
        labels=(CLUSTER, Label("kind", told="a kind that Relayer watches, such as Node")),
        who=Who.EACH,
    ),
)

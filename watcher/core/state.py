"""What state a pool is in, and everything that is said about it: one finding a pool.

The same findings make `relayer drift`, alerts, metrics, letters and pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName, PoolName
from watcher.core.lag import Lag
from watcher.core.stages import StageSeen, stage_of


class State(StrEnum):
    """One for each pool; docs/states.md says of each what it means and what to do."""

    STOCK = "stock"
    """No override: it follows the release."""
    CURRENT = "current"
    """Our override, on the base of the release, of the recipe as it is now."""
    BEHIND = "behind"
    AHEAD = "ahead"
    """Its base is of a newer release than the control plane's."""
    RECIPE_CHANGED = "recipe-changed"
    UNKNOWN_LINEAGE = "unknown-lineage"
    TAGGED = "tagged"
    """The override names its image by tag."""
    MISSING = "missing"
    """A recipe is configured, and there is no override."""
    SHADOWED = "shadowed"
    """Our override is there and loses the merge."""
    FOREIGN = "foreign"
    """Somebody else's override decides, and there is none of ours."""
    IMAGE_MODE = "image-mode"
    """A MachineOSConfig builds its image on the cluster."""
    PREBUILT_FROZEN = "prebuilt-frozen"
    """MCO's own 10-prebuiltimage-osimageurl-<pool>, which nobody may edit."""
    BLOCKED = "blocked"
    """It has somewhere to go and is not there: paused, degraded, render-degraded, or updating."""
    EMPTY = "empty"
    """No nodes."""
    UNREADABLE = "unreadable"
    """What decides about it could not be read."""


class Flag(StrEnum):
    PAUSED = "paused"
    DEGRADED = "degraded"
    UNPULLABLE = "unpullable"
    MIXED_NODES = "mixed-nodes"
    TAG_MOVED = "tag-moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One flag of a pool."""

    flag: Flag
    since: datetime | None = None
    """None: nobody says since when."""
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What a pool keeps from happening."""

    target: str
    """A version, `next minor`, or `certificates`."""
    why: str
    """A sentence."""
    until: datetime | None = None
    """Of certificates: when they end; None where nobody knows, and for all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    machineconfig: str
    image: str
    by: str
    """`relayer`, `machine-config-operator`, or `somebody`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    total: int = 0
    updated: int = 0
    degraded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One pool at one moment."""

    cluster: ClusterName
    pool: PoolName
    state: State
    sentence: str
    """Why, for people; one line."""
    flags: tuple[Raised, ...] = ()
    base_expected: str = ""
    base_actual: str = ""
    base_source: str = ""
    """Who said the actual one: a `lineage.SaidBy`."""
    override: Override | None = None
    lag: Lag = field(default_factory=Lag)
    blocks: tuple[Block, ...] = ()
    nodes: Nodes = field(default_factory=Nodes)
    observed_at: datetime | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    """What it was decided from, name → value, for `relayer drift -o json` and `explain`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """One cluster at one moment: what findings, alerts, figures and pages are made from."""

    cluster: ClusterName
    stage: StageSeen
    version: str = ""
    """status.desired.version; empty: the ClusterVersion was not read."""
    release: str = ""
    findings: tuple[Finding, ...] = ()
    """Of each pool, by name."""
    said: tuple[Block, ...] = ()
    """What the cluster says against a minor upgrade that is about none of its pools."""
    problems: tuple[str, ...] = ()
    unreadable: frozenset[str] = frozenset()
    """Pools whose own object cannot be read: all else that was found of them is not known now."""
    observed_at: datetime
    """When the oldest of what it is made from was last known to be in step with the cluster."""
    asked_at: datetime | None = None
    """When registries and the update service were last asked for it."""

    @classmethod
    def of(
        cls,
        view: ClusterView,
        findings: tuple[Finding, ...] = (),
        said: tuple[Block, ...] = (),
        *,
        asked_at: datetime | None = None,
    ) -> "Surveyed":
        """Return what a view says, and what was found in it."""
        cv = view.cluster_version
        return cls(
            cluster=view.cluster,
            stage=stage_of(cv),
            version=cv.desired_version if cv else "",
            release=cv.desired_image if cv else "",
            findings=findings,
            said=said,
            problems=view.problems,
            unreadable=frozenset(view.unreadable_pools),
            observed_at=view.observed_at,
            asked_at=asked_at,
        )

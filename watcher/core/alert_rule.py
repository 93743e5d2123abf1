"""The names of the rules of alerts, apart from what makes cases of them: settings need no more."""

from enum import StrEnum


class Rule(StrEnum):
    """What can be told of; docs/alerts.md says of each when, why and what to do."""

    LAG = "lag"
    BLOCKS_MINOR = "blocks-minor"
    BLOCKS_PATCH = "blocks-patch"
    CERTIFICATE = "certificate"
    PAUSED = "paused"
    DEGRADED = "degraded"
    UNPULLABLE = "unpullable"
    UNVERIFIED = "unverified"
    HELD = "held"
    """A look says that something is not as it should be, and that nothing may be done."""
    UPDATE_STUCK = "update-stuck"
    APPROVAL_WAITING = "approval-waiting"
    ROLLOUT_STALLED = "rollout-stalled"
    BUILD_FAILING = "build-failing"
    BLIND = "blind"
    """A cluster is not seen, or looks at its pools do not end. Whoever looks cannot tell that it
    does not, but the courier beside it can; that the whole service is down is for the alerts of a
    monitoring, and for the heartbeat."""
    QUEUE_NOT_MOVING = "queue-not-moving"
    AVAILABLE = "available"
    """There is something to do, and the policy says that it is only told."""
    FROZEN = "frozen"

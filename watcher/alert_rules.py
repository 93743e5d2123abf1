"""The names of alert rules, as people write them: in settings, in silences, on the command line."""

RULES: tuple[str, ...] = (
    "lag-releases",
    "lag-minors",
    "lag-days",
    "blocks-minor",
    "blocks-patch",
    "paused",
    "certificate",
    "unpullable",
    "unverified",
    "held",
    "approval-waiting",
    "rollout-stalled",
    "update-stuck",
    "build-failing",
    "blind",
    "queue-not-moving",
)

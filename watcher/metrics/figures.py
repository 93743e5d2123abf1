"""Every figure by name: what it means, its unit, its labels and what they can be.

The table is the only place that says so: registry and scrape are made from it, and docs/metrics.md,
the alert rules and the dashboard are compared with it.
"""

from watcher.core.build import BUILD_ENDS
from watcher.core.letters import Severity
from watcher.core.update import UPDATE_ENDS
from watcher.core.update_events import UpdateState
from watcher.metrics.figure import (
    BUILD_BUCKETS,
    CLUSTER,
    JOB,
    JOB_STATE,
    MOMENT,
    MOST_HOSTS,
    MOST_RULES,
    OUTCOME,
    PLACE,
    RECIPE,
    SECONDS,
    SINK,
    STEP_BUCKETS,
    SURFACES,
    UPDATE_BUCKETS,
    VERBS,
    VERSION,
    Figure,
    Kind,
    Label,
    Who,
    every,
)
from watcher.metrics.fleet import CLUSTERS, POOLS

WORK = (
    Figure(
        name="relayer_jobs",
        said="Jobs that have not ended, by kind and state.",
        labels=(JOB, JOB_STATE),
    ),
    Figure(
        name="relayer_dead_letters",
        said="Jobs set aside until a person revives them.",
    ),
    Figure(
        name="relayer_update_state_timestamp_seconds",
        said="When the newest update of a pool came into its present state.",
        unit=MOMENT,
        labels=(*PLACE, Label("state", every(UpdateState))),
    ),
    Figure(
        name="relayer_update_stalled",
        said="1 while the rollout of a pool is later than its nodes and maxUnavailable allow.",
        labels=PLACE,
    ),
    Figure(
        name="relayer_approvals_waiting",
        said="Updates of a cluster that wait for people, and that nobody has put off.",
        labels=(CLUSTER,),
    ),
    Figure(
        name="relayer_approval_requested_timestamp_seconds",
        said="Since when the update of a pool waits for people; absent when it does not, or is put"
        " off.",
        unit=MOMENT,
        labels=PLACE,
    ),
    Figure(
        name="relayer_updates_ended_total",
        kind=Kind.COUNTER,
        said="Updates that ended, by cluster and result.",
        labels=(CLUSTER, Label("result", every(sorted(UPDATE_ENDS)))),
    ),
    Figure(
        name="relayer_update_duration_seconds",
        kind=Kind.HISTOGRAM,
        said="How long updates took from proposal to end, by result.",
        unit=SECONDS,
        labels=(Label("result", every(sorted(UPDATE_ENDS))),),
        buckets=UPDATE_BUCKETS,
    ),
    Figure(
        name="relayer_update_state_duration_seconds",
        kind=Kind.HISTOGRAM,
        said="How long updates that ended had been in each state on their way.",
        unit=SECONDS,
        labels=(Label("state", every([s for s in UpdateState if s not in UPDATE_ENDS])),),
        buckets=UPDATE_BUCKETS,
    ),
    Figure(
        name="relayer_builds_ended_total",
        kind=Kind.COUNTER,
        said="Builds that ended, by result.",
        labels=(Label("result", every(sorted(BUILD_ENDS))),),
    ),
    Figure(
        name="relayer_build_duration_seconds",
        kind=Kind.HISTOGRAM,
        said="How long builds took from being asked for to their end, by result.",
        unit=SECONDS,
        labels=(Label("result", every(sorted(BUILD_ENDS))),),
        buckets=BUILD_BUCKETS,
    ),
    Figure(
        name="relayer_builds_failed_in_a_row",
        said="Builds of a recipe in the last 7 days that failed since one of it was ready.",
        labels=(RECIPE,),
    ),
    Figure(
        name="relayer_transitions_total",
        kind=Kind.COUNTER,
        said="Saved changes of state by this replica's workers, by the state that was reached.",
        labels=(JOB, JOB_STATE),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_retries_total",
        kind=Kind.COUNTER,
        said="Steps of jobs that failed outside and are tried again.",
        labels=(JOB, JOB_STATE),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_step_duration_seconds",
        kind=Kind.HISTOGRAM,
        said="How long one step of a job took, by the state it began in.",
        unit=SECONDS,
        labels=(JOB, JOB_STATE),
        who=Who.EACH,
        buckets=STEP_BUCKETS,
    ),
    Figure(
        name="relayer_decisions_declined_total",
        kind=Kind.COUNTER,
        said="Decisions of people that were refused.",
        labels=(Label("surface", SURFACES),),
        who=Who.EACH,
    ),
)

QUEUE = (
    Figure(
        name="relayer_queue_waiting",
        said="Jobs in the queue that nobody works on, due or not.",
        labels=(JOB,),
    ),
    Figure(
        name="relayer_queue_due",
        said="Of them those that a worker should have taken by now.",
        labels=(JOB,),
    ),
    Figure(
        name="relayer_queue_leased",
        said="Jobs that a worker has.",
        labels=(JOB,),
    ),
    Figure(
        name="relayer_queue_oldest_due_seconds",
        said="For how long the first of those that are due has been due; 0 if none is.",
        unit=SECONDS,
        labels=(JOB,),
    ),
)

TELLING = (
    Figure(
        name="relayer_alerts_firing",
        said="Alerts that Relayer itself tells of now; one cause counts once, wherever it is told,"
        " by its worst severity. What is silenced as a whole is not counted."
        f" Beyond {MOST_RULES} rules, `other`.",
        labels=(Label("rule", told="a rule of docs/alerts.md"), Label("severity", every(Severity))),
    ),
    Figure(
        name="relayer_messages_posted_total",
        kind=Kind.COUNTER,
        said="Messages said anew.",
        labels=(SINK,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_messages_edited_total",
        kind=Kind.COUNTER,
        said="Edits of messages.",
        labels=(SINK,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_messages_failed_total",
        kind=Kind.COUNTER,
        said="Attempts to say or edit something that failed.",
        labels=(SINK,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_messages_paused_seconds_total",
        kind=Kind.COUNTER,
        said="Seconds for which a place asked us to wait.",
        unit=SECONDS,
        labels=(SINK,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_messages_waiting",
        said="Messages that are not yet what they should be.",
        who=Who.LEADER,
    ),
    Figure(
        name="relayer_messages_waiting_seconds",
        said="For how long the oldest of them has waited.",
        unit=SECONDS,
        who=Who.LEADER,
    ),
)

CALLS = (
    Figure(
        name="relayer_api_calls_total",
        kind=Kind.COUNTER,
        said="Requests to the API servers of clusters.",
        labels=(CLUSTER, Label("verb", VERBS), OUTCOME),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_registry_calls_total",
        kind=Kind.COUNTER,
        said="Requests to registries, and to the hosts that they redirect to; repetitions count."
        f" Beyond {MOST_HOSTS} hosts, `other`.",
        labels=(Label("registry", told="`host[:port]`, or `other`"), OUTCOME),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_slack_calls_total",
        kind=Kind.COUNTER,
        said="Requests to Slack; `response_url` are private answers.",
        labels=(Label("method", told="a method of Slack's Web API"), OUTCOME),
        who=Who.EACH,
    ),
)

REPLICA = (
    Figure(
        name="relayer_build_info",
        said="Always 1; Relayer's own version.",
        labels=(VERSION,),
        who=Who.EACH,
    ),
    Figure(
        name="relayer_leader",
        said="1 while this replica plans.",
        who=Who.LEADER,
    ),
    Figure(
        name="relayer_heartbeat_timestamp_seconds",
        said="When this replica, leading, last found that every cluster is seen and the store"
        " answers: a dead man's switch; 0: never yet.",
        unit=MOMENT,
        who=Who.LEADER,
    ),
)

SECTIONS = {
    "Pools": POOLS,
    "Clusters": CLUSTERS,
    "Builds, updates, approvals": WORK,
    "The queue": QUEUE,
    "Alerts and messages": TELLING,
    "Calls": CALLS,
    "Relayer itself": REPLICA,
}
"""As docs/metrics.md has them."""
FIGURES = {figure.name: figure for figures in SECTIONS.values() for figure in figures}

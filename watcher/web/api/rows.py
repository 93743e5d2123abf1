"""What answers look like, for the document: types of the rows that `shown`, `shown_drift` and
`timetable` make. Tests hold every answer to them, so that none can drift away.
"""

from typing import Annotated, Any, NotRequired, TypedDict

from msgspec import Meta

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in UTC."""
Anything = dict[str, Any]


class ProblemRow(TypedDict):
    """RFC 9457: what went wrong, with its cause and the next step in `detail`."""

    type: str
    title: str
    status: int
    detail: str


class TimeRow(TypedDict):
    state: str
    at: Moment


class VoteRow(TypedDict):
    by: str
    at: Moment
    reason: str
    surface: str
    person: str


class ApprovalRow(TypedDict):
    auto: bool
    quorum: int
    missing: int
    approvers: list[str]
    two_person: bool
    reason_required: bool
    votes: list[VoteRow]
    by: list[str]
    until: Moment | None


class BackgroundRow(TypedDict):
    """What people want to know before they decide, as of when it was proposed."""

    nodes: int
    estimate_seconds: float | None
    os_version: str
    signature: str
    from_image: str
    from_release: str
    from_base: str
    from_recipe: str
    from_os_version: str
    complaints: list[str]


class UpdateRow(TypedDict):
    """`binding` is what a decision about it must name."""

    id: str
    cluster: str
    pool: str
    kind: str
    change: str
    state: str
    ended: bool
    because: str
    ended_because: str
    requested_by: str
    created_at: Moment
    changed_at: Moment
    expires_at: Moment | None
    snoozed_until: Moment | None
    snoozed_by: str
    scheduled_for: Moment | None
    times: list[TimeRow]
    authors: list[str]
    release: str
    base: str
    image: str
    recipe: str
    recipe_digest: str
    build: str
    build_key: str
    binding: str
    approval: ApprovalRow
    background: BackgroundRow
    progress: Anything


class BuildRow(TypedDict):
    id: str
    key: str
    state: str
    recipe: str
    recipe_digest: str
    release: str
    base: str
    target: str
    platforms: list[str]
    image: str
    created_at: Moment
    changed_at: Moment
    ended_because: str


class AuditRow(TypedDict):
    at: Moment
    job: str
    event: str
    by: str
    state: str
    detail: str
    cluster: str
    pool: str
    surface: str
    binding: str


class UpdatePage(UpdateRow):
    """One update with all about it."""

    build_record: BuildRow | None
    log: list[str]
    audit: list[AuditRow]


class BuildPage(BuildRow):
    progress: Anything
    audit: list[AuditRow]


class FreezeRow(TypedDict):
    scope: str
    cluster: str
    pool: str
    by: str
    because: str
    at: Moment
    until: Moment | None
    sentence: str


class SilenceRow(TypedDict):
    id: str
    scope: str
    cluster: str
    pool: str
    rule: str
    by: str
    because: str
    at: Moment
    until: Moment
    sentence: str


class LookRow(TypedDict):
    """What the last look at a pool said."""

    cluster: str
    pool: str
    at: Moment | None
    decision: str
    because: str
    release: str
    nodes: int
    paused: bool
    image: str
    expected_base: str
    expected_release: str
    update: str
    unmet: list[str]
    unverified: str
    mode: NotRequired[str]
    modes: NotRequired[dict[str, str]]
    only_told: NotRequired[bool]
    stock_by: NotRequired[str]
    release_seen_at: NotRequired[str]
    running_release: NotRequired[str]


class Status(TypedDict):
    at: Moment
    pools: list[LookRow]
    active: list[UpdateRow]
    recent: list[UpdateRow]
    freezes: list[FreezeRow]
    dead_letters: int


class FlagRow(TypedDict):
    flag: str
    since: Moment | None
    said: str


class BaseRow(TypedDict):
    expected: str | None
    actual: str | None
    source: str | None


class OverrideRow(TypedDict):
    machineconfig: str
    image: str
    by: str


class LagRow(TypedDict):
    releases: int | None
    minors: int | None
    days: int | None
    said_by: str


class BlockRow(TypedDict):
    target: str
    why: str


class NodesRow(TypedDict):
    total: int
    updated: int
    degraded: int


class FindingRow(TypedDict):
    """One pool as it was found, ours or not."""

    pool: str
    state: str
    flags: list[FlagRow]
    sentence: str
    base: BaseRow
    override: OverrideRow | None
    lag: LagRow
    blocks: list[BlockRow]
    nodes: NodesRow
    observed_at: Moment | None
    evidence: dict[str, str]


class ClusterRow(TypedDict):
    cluster: str
    version: str | None
    release: str | None
    stage: str | None
    stage_sentence: str
    problems: list[str]
    blocks: list[BlockRow]
    observed_at: Moment | None
    pools: list[FindingRow]


class Drift(TypedDict):
    clusters: list[ClusterRow]


class PlanRow(TypedDict):
    """What would be done about a pool, and why."""

    cluster: str
    pool: str
    decision: str
    because: str
    release: str
    running: str
    base: str
    base_release: str
    recipe: str
    recipe_digest: str
    build_key: str
    complaints: list[str]
    unmet: list[str]
    update: UpdateRow | None


class TimetableRow(TypedDict):
    """When a pool may be changed."""

    cluster: str
    pool: str
    at: Moment
    time_zone: str
    mode: str
    modes: dict[str, str]
    allowed: bool
    reasons: list[str]
    opens_at: Moment | None
    when_closed: str
    windows: list[Anything]
    openings: list[Anything]
    blackouts: list[Anything]
    freezes: list[FreezeRow]
    min_age_seconds: float
    release: str
    release_seen_at: Moment | None
    old_enough_at: Moment | None
    after: list[Anything]
    looked_at: Moment | None
    decision: str
    because: str
    unmet: list[str]
    update: str
    snoozed_until: Moment | None
    snoozed_by: str
    waiting: str

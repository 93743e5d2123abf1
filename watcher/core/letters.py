"""What people are told, as values: which message shall stand where, and what it says.

A letter is wanted as long as it is true: the courier compares what stands with what should, so a
crash or an outage costs nothing but time, and only the newest state is ever sent. Text from
clusters is in here as it came; each sink escapes and bounds it in its own way.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

FLEET = "fleet"
"""The subject of all that concerns no single update."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    """Somebody should look today."""
    CRITICAL = "critical"
    """Somebody should look now."""


class About(StrEnum):
    """What routes can choose by; a digest says itself where it goes."""

    UPDATE = "update"
    NOTICE = "notice"
    """An alert, a freeze, a message that could not be delivered."""
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """How the recipe differs from that of the running image."""

    known: bool
    """False: nothing is remembered of the recipe that the running image was built from."""
    lines: tuple[str, ...] = ()
    """`+`, `-` and file names; bounded by whoever made it."""
    summary: str = ""
    """`Containerfile +2 −1; motd changed`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteLine:
    by: str
    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One update as people follow it from `building` to `done`."""

    update: str
    cluster: str
    pool: str
    kind: str
    """`layered` or `stock`."""
    state: str
    line: str
    """The state as one line to scan: `awaiting 1 of 2`, `rolling out 2/6 nodes`, `done 14:02`.
    A duration in it moves in steps, so that time alone hardly ever edits a message."""
    severity: Severity
    because: str
    ended_because: str = ""
    change: str = ""
    release: str = ""
    from_release: str = ""
    os_version: str = ""
    from_os_version: str = ""
    image: str = ""
    from_image: str = ""
    base: str = ""
    signature: str = ""
    complaints: tuple[str, ...] = ()
    """What lint says of the recipe, errors first."""
    recipe: str = ""
    recipe_digest: str = ""
    diff: Diff | None = None
    nodes: int = 0
    estimate_seconds: int | None = None
    next_window: str = ""
    """When it may be applied, as people say it: `now`, `Sat 2026-11-28 02:00 CET`."""
    scheduled_for: datetime | None = None
    in_the_way: tuple[str, ...] = ()
    """What stands against applying it now, a sentence each."""
    requested_by: str = ""
    votes: tuple[VoteLine, ...] = ()
    quorum: int = 1
    missing: int = 0
    approvers: tuple[str, ...] = ()
    two_person: bool = False
    expires_at: datetime | None = None
    snoozed_until: datetime | None = None
    snoozed_by: str = ""
    binding: str = ""
    """What a button must carry; empty while there is nothing to decide."""
    can_approve: bool = False
    can_reject: bool = False
    can_snooze: bool = False
    reason_required: bool = False
    snooze_choices: tuple[tuple[str, str], ...] = ()
    """Word of the choice (`1h`, `4h`, `tomorrow`, `next-window`) and its label."""
    several_clusters: bool = False
    """True: names are cluster/pool everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    at: datetime
    what: str
    by: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    name: str
    state: str
    updated: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the thread of an update's message holds: one reply, edited in place."""

    update: str
    events: tuple[EventLine, ...] = ()
    """The audit trail, oldest first; bounded by whoever made it."""
    nodes: tuple[NodeLine, ...] = ()
    build: str = ""
    build_log: tuple[str, ...] = ()
    """The end of the log of a build that failed."""
    diff: Diff | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nudge:
    """Said once, because an edited message wakes nobody: a reminder, an escalation, a bad end."""

    update: str
    cluster: str
    pool: str
    sentence: str
    mentions: tuple[str, ...] = ()
    """Identities to wake: `slack:U…`, `slack-group:S…`; never the whole channel."""
    severity: Severity = Severity.WARNING
    cause: str = ""
    """That of the notice it is about, where it is about no update: `update` is empty then, and
    cluster and pool are, if it concerns more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One cause, however many pools it concerns; edited as that changes, and when it is over."""

    cause: str
    """What makes it the same notice: never holds a number or a duration."""
    title: str
    sentence: str
    places: tuple[str, ...] = ()
    """The pools concerned, cluster/pool."""
    severity: Severity = Severity.WARNING
    since: datetime | None = None
    over_at: datetime | None = None
    """Set once it is over."""
    rule: str = ""
    """Of alerts, see docs/alerts.md; empty: it is about telling itself."""
    silenced: str = ""
    """By whom and until when nobody is called for it; empty: nobody did."""
    escalated: bool = False
    """It is told here because it had lasted elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestRow:
    place: str
    text: str
    update: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """The summary of a day or a week."""

    title: str
    day: str
    behind: tuple[DigestRow, ...] = ()
    waiting: tuple[DigestRow, ...] = ()
    done: tuple[DigestRow, ...] = ()
    failed: tuple[DigestRow, ...] = ()
    in_step: int = 0
    """Pools that run what they should."""
    frozen: tuple[str, ...] = ()


Body = Card | Details | Nudge | Notice | Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A letter that shall stand at a place."""

    key: str
    """Names it within its subject, its place included: `card@slack:C024BE91L`."""
    place: str
    """`slack:C…` or `webhook:<name>`."""
    about: About
    body: Body
    severity: Severity = Severity.INFO
    thread_of: str = ""
    """Key of the letter in whose thread it stands; it waits for that one to be there."""
    broadcast: bool = False
    """With `thread_of`: shown in the channel too."""
    once: bool = False
    """Said once and never edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where what goes. Empty patterns fit everything; `*` is a wildcard, as in a shell."""

    to: tuple[str, ...]
    clusters: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    """`infra` or `prod/infra`."""
    severities: tuple[str, ...] = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Whom to wake when nobody has decided after a while."""

    after_seconds: int
    to: str
    """`slack:C…` another channel, `slack-group:S…` or `slack:U…` to be named in the thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a decision is asked for; no part of what is approved."""

    remind_seconds: tuple[int, ...] = (12 * 3600,)
    """Reminders in the thread, this long after asking. Half of the default `ask`."""
    escalate: tuple[Escalation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What stands at a place, as far as we know. It outlives crashes, replicas and outages."""

    key: str
    sent: str = ""
    """Fingerprint of the content that was accepted last; empty: none yet, or not to be trusted."""
    ref: str = ""
    """The place's own name of the message (Slack: its ts); empty until the first is accepted."""
    trying: str = ""
    """Set before a first delivery, whose answer may get lost: look there before repeating it."""
    gone: str = ""
    """Why nothing more is delivered there: deleted, archived, refused."""
    version: int = 0
    """Writing it back needs this to be the newest; 0: it is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A subject whose letters may no longer be what they should be."""

    subject: str
    """`u-…` an update, `fleet` all that concerns no single one, `digest:<name>:<day>`."""
    rev: int
    """Grows with every mark; clearing needs the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """All that a subject wants now, and when that may change without anything happening."""

    wanted: tuple[Wanted, ...] = ()
    again_at: datetime | None = None
    """A reminder or a coarse duration is due then."""

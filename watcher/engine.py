"""Carry jobs through: claim, act, step, save; one loop for builds and updates alike.

What a job waits for us to do follows from its saved state (`action_for`), so a crash at any line
means: the lease runs out, somebody claims the job, and the same action runs again. Handlers are
therefore idempotent, and what they return is committed under the lease's fence or not at all.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from watcher.core import build, jobs, update
from watcher.core.build import Build, BuildFailed
from watcher.core.jobs import Action, Event, Job, JobKind
from watcher.core.update import NOT_BEGUN, Update
from watcher.core.update_events import Failed
from watcher.ports import (
    AuditEntry,
    Change,
    Clock,
    Conflict,
    Later,
    Leased,
    LeaseLost,
    Meter,
    OutsideError,
    Refused,
    StillOurs,
    Store,
    Transient,
)

T = TypeVar("T")
log = structlog.get_logger()

CRASHES_ALLOWED = 5
"""Claims in a row that ended by a bug or a dead process before a person has to look."""
BACKOFF_FIRST_SECONDS = 2.0
BACKOFF_LONGEST_SECONDS = 300.0


Handler = Callable[[Any, Any, StillOurs], Awaitable[Event | Later]]
"""Takes job and action. Transient: tried again with backoff. Refused: see `on_refusal`."""


class Superfluous(Conflict):
    """Somebody decided about the job while we worked on it: what we did is not committed."""


def on_refusal(job: Job, refusal: Refused) -> Event | None:
    """Return the event that a refusal amounts to; None where giving up is not ours to decide.

    Before the cluster was touched it ends the job. After, only a rollout's own judgement may.
    """
    if isinstance(job, Build):
        return BuildFailed(str(refusal))
    return Failed(str(refusal)) if job.state in NOT_BEGUN else None


def step(job: Job, event: Any, *, now: datetime) -> Job:
    """Return the job after the event; raise IllegalTransition."""
    if isinstance(job, Build):
        return build.step(job, event, now=now)
    return update.step(job, event, now=now)


def audit_entry(job: Job, event: object, *, by: str, now: datetime, detail: str = "") -> AuditEntry:
    """Return the line for auditors about `event`, with `job` as it is after it."""
    said = detail or _detail(job, event)
    return noted(job, type(event).__name__, by=by, now=now, detail=said)


def noted(job: Job, what: str, *, by: str, now: datetime, detail: str = "") -> AuditEntry:
    """Return the line for auditors about something that is no event of the lifecycle."""
    place = (job.cluster, job.pool) if isinstance(job, Update) else ("", "")
    return AuditEntry(
        at=now,
        job=job.id,
        event=what,
        by=by,
        state=job.state,
        detail=detail,
        cluster=place[0],
        pool=place[1],
    )


def noted_of(
    scope: str, what: str, *, by: str, now: datetime, detail: str, surface: str, job: str = ""
) -> AuditEntry:
    """Return the line about something of a scope (a freeze's: a pool, a cluster, "" for all)."""
    cluster, _, pool = scope.partition("/")
    return AuditEntry(
        at=now,
        job=job,
        event=what,
        by=by[:200],
        state="",
        detail=detail,
        cluster=cluster,
        pool=pool,
        surface=surface,
    )


def _detail(job: Job, event: object) -> str:
    if until := getattr(event, "until", None):
        return f"until {until:%Y-%m-%d %H:%M} UTC"
    for name in ("because", "image"):
        if value := getattr(event, name, ""):
            return str(value)
    if isinstance(job, Update) and job.approval and type(event).__name__ == "Approved":
        return f"{job.approval.binding.image} by {', '.join(job.approval.by)}"
    return ""


def backoff_seconds(attempt: int, *, spread: float) -> float:
    """Exponential from 2 s to 5 min; `spread` in [0, 1) takes up to half off: jitter."""
    full: float = min(BACKOFF_LONGEST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(attempt - 1, 10))
    return full * (1 - spread / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Works on jobs of some kinds, one at a time. Run several for concurrency."""

    name: str
    kinds: Sequence[JobKind]
    store: Store
    handlers: Mapping[type, Handler]
    clock: Clock
    lease_seconds: float = 30.0
    idle_seconds: float = 1.0
    """How long to wait for the bell before looking at the queue anyway."""
    meter: Meter | None = None
    """Told of each step; a side channel."""

    async def run(self) -> None:
        """Work for ever."""
        while True:
            try:
                if not await self.once():
                    await self.store.wait_due(self.idle_seconds)
            except OutsideError as error:
                # The store is away: nothing can be claimed or saved, so nothing is done.
                log.warning("store_away", worker=self.name, cause=str(error))
                await asyncio.sleep(self.idle_seconds)

    async def once(self) -> bool:
        """Claim one job and carry it as far as it goes without waiting; False if none was due."""
        leased = await self.store.claim(self.name, self.lease_seconds, self.kinds)
        if leased is None:
            return False
        try:
            await self._carry(leased)
        except Conflict as error:  # LeaseLost too: whoever has it now carries on
            log.info("overtaken", job=leased.job.id, worker=self.name, cause=str(error))
        return True

    async def _carry(self, leased: Leased) -> None:
        try:
            while (action := jobs.action_for(leased.job)) is not None:
                outcome = await self._timed(leased, action)
                if isinstance(outcome, Later):
                    return await self.store.release(
                        leased, due_in_seconds=outcome.seconds, failed=False
                    )
                if (advanced := await self._save(leased, outcome)) is None:
                    return None
                leased = advanced
        except asyncio.CancelledError:
            await self._hand_back(leased)
            raise
        except LeaseLost:
            raise
        except Superfluous:
            # Somebody waits for what follows from their decision: not until the lease runs out.
            await self._hand_back(leased)
            raise
        except OutsideError as error:
            await self._retry(leased, error)
        except Exception as error:  # a bug of ours; the lease must not be left to look like work
            await self._crashed(leased, error)

    async def _timed(self, leased: Leased, action: Action) -> Event | Later:
        began = asyncio.get_running_loop().time()
        outcome = await self._act(leased, action)
        if self.meter:
            self.meter.observe_step(leased.job, asyncio.get_running_loop().time() - began)
        return outcome

    async def _act(self, leased: Leased, action: Action) -> Event | Later:
        """Run the handler while its lease is renewed; stop it when the job has changed."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(_outcome(self._handled(leased, action)))
            renewal = group.create_task(_outcome(self._renewed(leased)))
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
            winner = work if work.done() else renewal
            work.cancel()
            renewal.cancel()
        outcome = winner.result()
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None, "renewal only ends by an error"
        return outcome

    async def _handled(self, leased: Leased, action: Action) -> Event | Later:
        job = leased.job

        async def still_ours() -> None:
            if await self.store.renew(leased, self.lease_seconds) != leased.version:
                raise Superfluous(f"{job.id} was changed meanwhile")

        try:
            return await self.handlers[type(action)](job, action, still_ours)
        except Refused as refusal:
            event = on_refusal(job, refusal)
            if event is None:
                raise
            return event

    async def _renewed(self, leased: Leased) -> None:
        loop = asyncio.get_running_loop()
        lasts_until = loop.time() + self.lease_seconds
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            asked_at = loop.time()
            try:
                version = await self.store.renew(leased, self.lease_seconds)
            except Transient as error:
                # The store is away for a moment: go on as long as nobody else can have the job.
                if loop.time() > lasts_until - self.lease_seconds / 6:
                    raise LeaseLost(f"could not renew the lease of {leased.job.id}") from error
                continue
            lasts_until = asked_at + self.lease_seconds
            if version != leased.version:
                raise Superfluous(f"{leased.job.id} changed to version {version} meanwhile")

    async def _save(self, leased: Leased, event: Event) -> Leased | None:
        now = self.clock.now()
        after = step(leased.job, event, now=now)
        change = Change(
            job=after,
            expected=leased.version,
            fence=leased.fence,
            keep_lease=not after.is_ended,
            due_in_seconds=None if after.is_ended else 0.0,
        )
        entry = audit_entry(after, event, by="relayer", now=now)
        try:
            (version,) = await self.store.commit([change], [entry])
        except LeaseLost:
            raise
        except Conflict as error:  # a decision came in between; no failure, no backoff
            raise Superfluous(str(error)) from error
        log.info("step", job=after.id, what=type(event).__name__, state=str(after.state))
        if self.meter:
            self.meter.stepped(after)
        if after.is_ended:
            return None
        return replace(leased, job=after, version=version, attempt=1)

    async def _retry(self, leased: Leased, error: OutsideError) -> None:
        if self.meter:
            self.meter.retried(leased.job)
        named = error.retry_after_seconds if isinstance(error, Transient) else None
        # Whatever the other side names: a rollout must not be unwatched for a day.
        named = min(named, BACKOFF_LONGEST_SECONDS) if named else None
        pause = named or backoff_seconds(leased.attempt, spread=random.random())  # noqa: S311 - jitter
        log.warning("retry", job=leased.job.id, in_seconds=round(pause, 1), cause=str(error))
        seen = await self.store.progress(leased.job.id)
        await self.store.set_progress(leased.job.id, {**seen, "waiting": str(error)[:500]})
        if isinstance(leased.job, Update):
            await self.store.outbox.mark(leased.job.id)
        await self.store.release(leased, due_in_seconds=pause, failed=True)

    async def _crashed(self, leased: Leased, error: Exception) -> None:
        """A bug: try again a few times, then set the job aside for a person; never lose it."""
        log.error("handler_crashed", job=leased.job.id, exc_info=error)
        because = f"{type(error).__name__}: {error}"[:500]
        if leased.attempt < CRASHES_ALLOWED:
            pause = backoff_seconds(leased.attempt, spread=0.0)
            return await self.store.release(leased, due_in_seconds=pause, failed=True)
        now = self.clock.now()
        entry = noted(leased.job, "Buried", by="relayer", now=now, detail=because)
        return await self.store.bury(leased, because, entry)

    async def _hand_back(self, leased: Leased) -> None:
        """We stop, or the job has changed: whoever claims it next can go on at once."""
        try:
            async with asyncio.timeout(2):
                await self.store.release(leased, due_in_seconds=0.0, failed=False)
        except (OutsideError, TimeoutError) as error:
            log.warning("lease_left_to_run_out", job=leased.job.id, cause=str(error))


async def _outcome(work: Awaitable[T]) -> T | Exception:
    """Return what it raised instead of raising, so that a TaskGroup does not wrap it."""
    try:
        return await work
    except Exception as error:
        return error

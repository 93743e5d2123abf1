"""From an observation to a decision, and from a decision to an update in the queue.

The same code serves the service's own passes and what people ask for by name. All is repeatable:
a second pass over an unchanged pool finds the update of the first.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watcher import proposals
from watcher.core import approval, preconditions
from watcher.core.build import Build, BuildState
from watcher.core.changes import Mode
from watcher.core.drift import (
    Asked,
    Decision,
    Hold,
    InStep,
    Observation,
    Rebuild,
    decide,
    not_stock,
)
from watcher.core.facts import ClusterName, PoolName
from watcher.core.release import Base
from watcher.core.update import NOT_BEGUN, Background, Policy, Update
from watcher.core.update_events import Kind, Superseded, UpdateState
from watcher.engine import audit_entry, noted, step
from watcher.errors import Declined
from watcher.observe import platforms
from watcher.people import People
from watcher.ports import (
    AuditEntry,
    Change,
    Clock,
    Conflict,
    Images,
    Observer,
    OutsideError,
    Store,
    Stored,
    Unseen,
)
from watcher.settings import Settings

AFTER_FAILURE_SECONDS = 1800.0
"""What failed is proposed again after this long, unless a person asks sooner."""
TRIES = 5
"""How often a proposal is made anew when somebody else changed the same records."""
RELAYER = "relayer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done about one pool, and why."""

    cluster: ClusterName
    pool: PoolName
    observation: Observation | None = None
    decision: Decision
    unmet: tuple[str, ...] = ()
    """What would stand in the way of applying it right now."""
    active: Update | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    settings: Settings
    store: Store
    observer: Observer
    images: Images
    people: People
    clock: Clock

    async def plan(
        self, cluster: ClusterName, pool: PoolName, *, asked: Asked | None = None
    ) -> Plan:
        """Observe and decide; change nothing."""
        seen = await self.observer.observe(cluster, pool)
        active = await self._active(cluster, pool)
        update = active.job if active and isinstance(active.job, Update) else None
        if isinstance(seen, Unseen):
            return _held(cluster, pool, seen.because, update)
        now = self.clock.now()
        return Plan(
            cluster=cluster,
            pool=pool,
            observation=seen,
            decision=decide(seen, now=now, asked=asked),
            unmet=tuple(
                preconditions.standing_in_the_way(
                    seen, self._policy(cluster, pool), tuple(await self.store.freezes()), now
                )
            ),
            active=update,
        )

    async def pass_over(self, cluster: ClusterName, pool: PoolName) -> Plan:
        """One look at a pool by the service itself: decide, and propose what is needed."""
        try:
            plan = await self._calmed(await self.plan(cluster, pool))
        except OutsideError as error:
            await self._show(await self._unseen(cluster, pool, error))
            raise
        await self._show(plan)
        active = plan.active
        if isinstance(plan.decision, Rebuild) and plan.observation:
            told = self._only_told(plan.observation)
            if told and active and active.requested_by == RELAYER:
                await self._withdraw(active, "shall only be told of, by its policy")
            elif told:
                pass  # people see that the pool is behind; what one of them asked for stands
            elif active is None or (active.kind is Kind.LAYERED and active.state in NOT_BEGUN):
                await self._propose(plan.observation, plan.decision, by=RELAYER)
        elif isinstance(plan.decision, InStep) and active and active.requested_by == RELAYER:
            await self._withdraw(active, plan.decision.because)
        if plan.observation and active and active.kind is Kind.STOCK:
            await self._renew_stock(plan.observation, active)
        if plan.observation and active:
            await proposals.tell_signature(self.store, active.id, plan.observation)
        return plan

    async def _calmed(self, plan: Plan) -> Plan:
        """Hold what failed a moment ago: tried at every look, a 403 would fill the audit."""
        if not isinstance(plan.decision, Rebuild) or plan.active:
            return plan
        newest = await self.store.history(plan.cluster, plan.pool, 1)
        last = newest[0].job if newest else None
        if not isinstance(last, Update) or last.state is not UpdateState.FAILED:
            return plan
        again = last.changed_at + timedelta(seconds=AFTER_FAILURE_SECONDS)
        wanted = plan.decision.recipe.build_key
        if last.target.build_key != wanted or self.clock.now() >= again:
            return plan
        because = (
            f"{last.id} failed: {last.ended_because}; tried again {again:%H:%M} UTC, "
            f"or by `relayer rebuild {plan.cluster}/{plan.pool}`"
        )
        return replace(plan, decision=Hold(plan.pool, because))

    async def _renew_stock(self, seen: Observation, active: Update) -> None:
        """Ask anew when what was asked about is no more: the release moved, or the policy did."""
        if not isinstance(seen.base, Base):
            return
        update = self._stock_update(seen, seen.base, active.requested_by)
        stored = await self.store.get(active.id)
        if stored.job.state not in NOT_BEGUN or proposals.same(active, update):
            return
        why = f"{update.because}; asked anew, as the release or the policy of the pool changed"
        said = await self._gatherer.background(seen, seen.base)
        await self._commit_new(replace(update, because=why, background=said), replaces=stored)

    async def rebuild(
        self,
        cluster: ClusterName,
        pool: PoolName,
        *,
        by: str,
        allow_downgrade: bool = False,
        surface: str = "",
    ) -> Update:
        """Propose an update because a person asked. Raise Declined with the reason if not."""
        plan = await self.plan(cluster, pool, asked=Asked(by, downgrade=allow_downgrade))
        if not isinstance(plan.decision, Rebuild) or plan.observation is None:
            raise Declined(plan.decision.because)
        policy = self._policy(cluster, pool, proposals.kind_of_change(plan.observation))
        if policy.approval.auto:  # asking is all it takes there
            who = await self.people.directory.who(by, policy.approval.approvers)
            if why := approval.why_not(policy.approval, who):
                raise Declined(why)
        if plan.active and plan.active.state not in NOT_BEGUN:
            raise Declined(f"{plan.active.id} is {plan.active.state}; wait for its end")
        await self.store.forget(cluster, pool)
        return await self._propose(plan.observation, plan.decision, by=by, surface=surface)

    async def stock(
        self, cluster: ClusterName, pool: PoolName, *, by: str, surface: str = ""
    ) -> Update:
        """Ask for the override to be removed; the asker's own vote is counted if it may be."""
        plan = await self.plan(cluster, pool)
        seen = plan.observation
        if seen is None or not isinstance(seen.base, Base):
            raise Declined(plan.decision.because)
        if seen.running is None or not seen.running.ours:
            raise Declined(f"{cluster}/{pool} has no override of Relayer's to remove")
        if seen.beneath:
            raise Declined(not_stock(seen))
        if plan.active and plan.active.state not in NOT_BEGUN:
            raise Declined(f"{plan.active.id} is {plan.active.state}; wait for its end")
        update = self._stock_update(seen, seen.base, by)
        active = await self._active(cluster, pool)
        if active and isinstance(active.job, Update) and proposals.same(active.job, update):
            update = active.job  # asked for before: this is one more vote for it
        else:
            await self.people.may_replace(active, by=by)
            update = replace(update, background=await self._gatherer.background(seen, seen.base))
            await self._commit_new(update, replaces=active, surface=surface)
        try:
            return (await self.people.approve(update.id, by=by, surface=surface)).update
        except Declined:
            return update  # not an approver: somebody else must say yes

    async def _show(self, plan: Plan) -> None:
        seen, configured = plan.observation, self.settings.pool(plan.cluster, plan.pool)
        mode = configured.mode_of(proposals.kind_of_change(seen)) if seen and configured else None
        key, view = f"pool:{plan.cluster}/{plan.pool}", _shown(plan, mode, self.clock.now())
        before = await self.store.view(key)
        await self.store.put_view(key, view)
        if plan.active and before.get("unmet") != view["unmet"]:
            await self.store.outbox.mark(plan.active.id)  # its card says what is in the way

    async def _unseen(self, cluster: ClusterName, pool: PoolName, error: OutsideError) -> Plan:
        """Return what people shall see while looks at a pool fail, instead of an old decision."""
        active = await self._active(cluster, pool)
        update = active.job if active and isinstance(active.job, Update) else None
        return _held(cluster, pool, f"cannot be looked at, and is tried again: {error}", update)

    def _policy(self, cluster: ClusterName, pool: PoolName, change: str = "") -> Policy:
        configured = self.settings.pool(cluster, pool)
        return configured.policy_for(change) if configured else Policy()

    def _only_told(self, seen: Observation) -> bool:
        """Whether the policy says that this kind of change is only told of."""
        configured = self.settings.pool(seen.cluster, seen.pool.name)
        mode = configured.mode_of(proposals.kind_of_change(seen)) if configured else Mode.APPROVE
        return mode is Mode.NOTIFY

    @property
    def _gatherer(self) -> proposals.Gatherer:
        return proposals.Gatherer(self.images, self.store)

    def _stock_update(self, seen: Observation, base: Base, by: str) -> Update:
        return proposals.stock(
            seen,
            base,
            settings=self.settings,
            by=by,
            background=Background(),
            now=self.clock.now(),
        )

    async def _active(self, cluster: ClusterName, pool: PoolName) -> Stored | None:
        owner = await self.store.owner(f"update:{cluster}/{pool}")
        if owner is None:
            return None
        try:
            return await self.store.get(owner)
        except KeyError:
            return None

    async def _propose(
        self, seen: Observation, wanted: Rebuild, *, by: str, surface: str = ""
    ) -> Update:
        """Put the update, and its build if nobody has it, into the queue; or find it there."""
        for _ in range(TRIES):
            now = self.clock.now()
            build, is_new = await self._build(seen, wanted, now)
            update = proposals.layered(
                seen,
                wanted,
                build,
                settings=self.settings,
                by=by,
                background=Background(),
                now=now,
            )
            active = await self._active(seen.cluster, seen.pool.name)
            if active and isinstance(active.job, Update):
                if proposals.same(active.job, update) and active.job.image in (None, build.image):
                    return active.job
                if by == RELAYER and active.job.kind is Kind.STOCK:
                    raise Conflict(f"{active.job.id} came in between: a person's wish stands")
                if by != RELAYER:
                    await self.people.may_replace(active, by=by)
            update = replace(update, background=await self._gatherer.layered(seen, wanted.base))
            extra = [Change(job=build, expected=0)] if is_new else []
            queued = noted(build, "Queued", by=by, now=now, detail=str(build.base))
            entries = [queued] if is_new else []
            try:
                await self._commit_new(update, extra, entries, replaces=active, surface=surface)
            except Conflict:
                continue
            return update
        raise Conflict(f"{seen.cluster}/{seen.pool.name} keeps changing; nothing was proposed")

    async def _commit_new(
        self,
        update: Update,
        extra: Sequence[Change] = (),
        entries: Sequence[AuditEntry] = (),
        *,
        replaces: Stored | None,
        surface: str = "",
    ) -> None:
        """Save a new update, ending the one it replaces in the same step.

        Raise Conflict if the pool has another active update than `replaces` by now.
        """
        now = update.created_at
        changes: list[Change] = []
        audit: list[AuditEntry] = list(entries)
        if replaces is not None:
            if replaces.job.state not in NOT_BEGUN:
                raise Conflict(f"{replaces.job.id} is {replaces.job.state}")
            change, entry = _superseded(replaces, update.id, by=update.requested_by, now=now)
            changes.append(change)
            audit.append(entry)
        changes += [*extra, Change(job=update, expected=0)]
        by, why = update.requested_by, update.because
        proposed = noted(update, "Proposed", by=by, now=now, detail=why)
        audit.append(replace(proposed, surface=surface))
        await self.store.commit(changes, audit)

    async def _withdraw(self, active: Update, because: str) -> None:
        """End an update of our own that is no longer needed."""
        stored = await self.store.get(active.id)
        if stored.job.state not in NOT_BEGUN:
            return
        what = f"nothing: the pool {because}"
        change, entry = _superseded(stored, what, by=RELAYER, now=self.clock.now())
        await self.store.commit([change], [entry])

    async def _build(self, seen: Observation, wanted: Rebuild, now: datetime) -> tuple[Build, bool]:
        """Return the build of this key: the one that is there if it is of use, else a new one."""
        key = wanted.recipe.build_key
        owner = await self.store.owner(f"build:{key}")
        if owner is not None:
            job = (await self.store.get(owner)).job
            if isinstance(job, Build) and await self._is_of_use(job):
                return job, False
        recipe = self.settings.recipe(wanted.recipe.name)
        build = Build(
            id=f"b-{key[:10]}-{secrets.token_hex(2)}",
            key=key,
            base=wanted.base.image,
            base_version=wanted.base.release.version,
            recipe=wanted.recipe.name,
            recipe_digest=wanted.recipe.digest,
            target=recipe.target,
            platforms=platforms(seen.architectures),
            created_at=now,
            changed_at=now,
            cluster=seen.cluster,
        )
        return build, True

    async def _is_of_use(self, build: Build) -> bool:
        if build.state is not BuildState.READY or build.image is None:
            return build.state is not BuildState.FAILED
        try:
            return await self.images.seen_from(build.cluster).exists(build.image)
        except OutsideError:
            return True  # not known to be gone; the preconditions look again before it is applied


def _held(cluster: ClusterName, pool: PoolName, because: str, active: Update | None) -> Plan:
    """Return the plan for a pool that cannot be seen."""
    return Plan(cluster=cluster, pool=pool, decision=Hold(pool, because), active=active)


def _superseded(
    stored: Stored, by_what: str, *, by: str, now: datetime
) -> tuple[Change, AuditEntry]:
    """Return what ends an update that has not begun, and its line for auditors."""
    ended = step(stored.job, event := Superseded(by_what), now=now)
    change = Change(job=ended, expected=stored.version, due_in_seconds=None)
    return change, audit_entry(ended, event, by=by, now=now)


def _shown(plan: Plan, mode: Mode | None, now: datetime) -> dict[str, object]:
    """What people see of the last look at a pool; `mode` is that of the change it may need."""
    seen, active = plan.observation, plan.active
    running = seen.running if seen else None
    base = seen.base if seen and isinstance(seen.base, Base) else None
    seen_at = seen.release_seen_at if seen else None
    # One that a person asked for all the same is told of by itself.
    unasked = active is None or active.requested_by == RELAYER
    return {
        "cluster": plan.cluster,
        "pool": plan.pool,
        "at": now.isoformat(),
        "decision": type(plan.decision).__name__,
        "because": plan.decision.because,
        "release": seen.release.sentence if seen else "",
        "nodes": seen.pool.machine_count if seen else 0,
        "paused": seen.pool.paused if seen else False,
        "image": running.image if running else "",
        "expected_base": str(base.image) if base else "",
        "expected_release": base.release.version if base else "",
        "update": active.id if active else "",
        "unmet": list(plan.unmet),
        "unverified": seen.genuine.blocks if seen else "",
        "mode": "" if mode is None or isinstance(plan.decision, InStep) else str(mode),
        "only_told": mode is Mode.NOTIFY and isinstance(plan.decision, Rebuild) and unasked,
        "stock_by": seen.stock_by if seen else "",
        "release_seen_at": seen_at.isoformat() if seen_at else "",
        "running_release": running.lineage.release_version if running else "",
    }

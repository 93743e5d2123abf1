"""What people and their scripts are shown: the same JSON on the command line and over HTTP.

The names here are an interface: add, do not rename. Times are ISO 8601 in UTC, images by digest.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watcher.core import approval
from watcher.core.build import Build
from watcher.core.drift import Rebuild
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import Job, JobKind
from watcher.core.release import Base
from watcher.core.update import Update
from watcher.core.update_events import UpdateState
from watcher.planner import Plan
from watcher.ports import AuditEntry, Store

Row = dict[str, Any]
Place = tuple[ClusterName, PoolName]
RECENT = 10
"""How many ended updates a status shows."""


def update_row(update: Update, progress: Mapping[str, object] | None = None) -> Row:
    """One update as everybody is shown it; `binding` is what an approval must name."""
    has_image = update.image is not None
    return {
        "id": update.id,
        "cluster": update.cluster,
        "pool": update.pool,
        "kind": str(update.kind),
        "state": str(update.state),
        "ended": update.is_ended,
        "because": update.because,
        "ended_because": update.ended_because,
        "requested_by": update.requested_by,
        "created_at": _at(update.created_at),
        "changed_at": _at(update.changed_at),
        "expires_at": _at(update.expires_at),
        "release": update.target.release_version,
        "base": str(update.target.base),
        "image": str(update.image) if has_image else "",
        "recipe": update.target.recipe,
        "recipe_digest": str(update.target.recipe_digest),
        "build": update.build,
        "build_key": update.target.build_key,
        "binding": str(update.binding.digest()) if has_image else "",
        "approval": _approval_row(update),
        "progress": dict(progress or {}),
    }


def _approval_row(update: Update) -> Row:
    rules, given = update.policy.approval, update.approval
    short = approval.missing(rules, update.binding, update.votes) if update.image else rules.quorum
    return {
        "auto": rules.auto,
        "quorum": rules.quorum,
        "missing": 0 if given or rules.auto else short,
        "approvers": list(rules.approvers),
        "reason_required": rules.reason_required,
        "votes": [{"by": v.by, "at": _at(v.at), "reason": v.reason} for v in update.votes],
        "by": list(given.by) if given else [],
        "until": _at(given.until) if given else None,
    }


def build_row(build: Build) -> Row:
    """One build, without its log."""
    return {
        "id": build.id,
        "key": build.key,
        "state": str(build.state),
        "recipe": build.recipe,
        "recipe_digest": str(build.recipe_digest),
        "release": build.base_version,
        "base": str(build.base),
        "target": str(build.target),
        "platforms": list(build.platforms),
        "image": str(build.image) if build.image else "",
        "created_at": _at(build.created_at),
        "changed_at": _at(build.changed_at),
        "ended_because": build.ended_because,
    }


def job_row(job: Job) -> Row:
    """A build or an update; `job` says which."""
    if isinstance(job, Build):
        return {"job": "build", **build_row(job)}
    return {"job": "update", **update_row(job)}


def audit_row(entry: AuditEntry) -> Row:
    """One line of the audit trail."""
    return {
        "at": _at(entry.at),
        "job": entry.job,
        "event": entry.event,
        "by": entry.by,
        "state": entry.state,
        "detail": entry.detail,
        "cluster": entry.cluster,
        "pool": entry.pool,
    }


def plan_row(plan: Plan) -> Row:
    """What would be done about a pool, and why."""
    seen, decision = plan.observation, plan.decision
    base = seen.base if seen and isinstance(seen.base, Base) else None
    wanted = decision if isinstance(decision, Rebuild) else None
    return {
        "cluster": plan.cluster,
        "pool": plan.pool,
        "decision": type(decision).__name__,
        "because": decision.because,
        "release": seen.release.sentence if seen else "",
        "running": seen.running.image if seen and seen.running else "",
        "base": str(base.image) if base else "",
        "base_release": base.release.version if base else "",
        "recipe": wanted.recipe.name if wanted else "",
        "recipe_digest": str(wanted.recipe.digest) if wanted else "",
        "build_key": wanted.recipe.build_key if wanted else "",
        "unmet": list(plan.unmet),
        "update": update_row(plan.active) if plan.active else None,
    }


async def status(store: Store, places: Sequence[Place], *, now: datetime) -> Row:
    """The fleet: each configured pool with its last decision, what is active, what ended last."""
    views, active, ended, dead = await asyncio.gather(
        store.views(),
        store.jobs(JobKind.UPDATE, ended=False),
        store.jobs(JobKind.UPDATE, ended=True),
        store.dead(),
    )
    updates = [stored.job for stored in active if isinstance(stored.job, Update)]
    progress = await asyncio.gather(*(_progress(store, update) for update in updates))
    return {
        "at": _at(now),
        "pools": [_pool_row(views.get(f"pool:{c}/{p}"), c, p) for c, p in places],
        "active": [update_row(u, p) for u, p in zip(updates, progress, strict=True)],
        "recent": [update_row(u) for u in _updates(s.job for s in ended)][:RECENT],
        "dead_letters": len(dead),
    }


def _pool_row(view: Mapping[str, object] | None, cluster: str, pool: str) -> Row:
    nothing: Row = {
        "cluster": cluster,
        "pool": pool,
        "at": None,
        "decision": "",
        "because": "not looked at yet: is the service running?",
        "release": "",
        "nodes": 0,
        "paused": False,
        "image": "",
        "expected_base": "",
        "expected_release": "",
        "update": "",
    }
    return {**nothing, **(view or {})}


async def update_page(store: Store, update: Update) -> Row:
    """Everything about one update: progress, its build with the log, its audit trail."""
    progress, audit = await asyncio.gather(_progress(store, update), store.audit(update.id))
    build: Row | None = None
    log: list[str] = []
    if update.build:
        log = await store.log(update.build)
        try:
            found = (await store.get(update.build)).job
        except KeyError:
            found = None
        build = build_row(found) if isinstance(found, Build) else None
    return {
        **update_row(update, progress),
        "build_record": build,
        "log": log,
        "audit": [audit_row(entry) for entry in audit],
    }


async def _progress(store: Store, update: Update) -> Mapping[str, object]:
    """What moves about an update; while it waits for its build, what that waits for."""
    own = await store.progress(update.id)
    if update.state is UpdateState.WAITING_FOR_BUILD and update.build:
        return {**own, **await store.progress(update.build)}
    return own


def _updates(jobs: Iterable[Job]) -> list[Update]:
    return [job for job in jobs if isinstance(job, Update)]


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

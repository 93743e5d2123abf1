"""What people and their scripts are shown: the same JSON on the command line and over HTTP.

The names here are an interface: add, do not rename. Times are ISO 8601 in UTC, images by digest.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from watcher.core import silences as quiet
from watcher.core import timing
from watcher.core.build import Build
from watcher.core.drift import Rebuild
from watcher.core.facts import ClusterName, PoolName
from watcher.core.jobs import Job, JobKind
from watcher.core.release import Base
from watcher.core.silences import Silence
from watcher.core.timing import Freeze
from watcher.core.update import NOT_BEGUN, Background, Update, missing
from watcher.core.update_events import UpdateState

if TYPE_CHECKING:  # loading the planner takes longer than a status
    from watcher.planner import Plan
    from watcher.ports import AuditEntry, Store, Stored
    from watcher.settings import Settings

Row = dict[str, Any]
Place = tuple[ClusterName, PoolName]
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""Spreadsheets run a cell that begins so, some of them full-width signs too."""
_BLANKS = ("\t", "\r", "\n")
RECENT = 10
"""How many ended updates a status shows."""


def update_row(update: Update, progress: Mapping[str, object] | None = None) -> Row:
    """One update as everybody is shown it; `binding` is what an approval must name."""
    has_image, said = update.image is not None, dict(progress or {})
    return {
        "id": update.id,
        "cluster": update.cluster,
        "pool": update.pool,
        "kind": str(update.kind),
        "change": update.change,
        "state": str(update.state),
        "ended": update.is_ended,
        "because": update.because,
        "ended_because": update.ended_because,
        "requested_by": update.requested_by,
        "created_at": _at(update.created_at),
        "changed_at": _at(update.changed_at),
        "expires_at": _at(update.expires_at),
        "snoozed_until": _at(update.snoozed_until),
        "snoozed_by": update.snoozed_by,
        "scheduled_for": _utc(said.get("scheduled_for")) if update.state in NOT_BEGUN else None,
        "times": [{"state": state, "at": _at(at)} for state, at in update.times],
        "authors": list(update.authors),
        "release": update.target.release_version,
        "base": str(update.target.base),
        "image": str(update.image) if has_image else "",
        "recipe": update.target.recipe,
        "recipe_digest": str(update.target.recipe_digest),
        "build": update.build,
        "build_key": update.target.build_key,
        "binding": str(update.binding.digest()) if has_image else "",
        "approval": _approval_row(update),
        "background": _background_row(update.background),
        "progress": said,
    }


def _approval_row(update: Update) -> Row:
    rules, given = update.policy.approval, update.approval
    short = missing(update) if update.image else max(1, rules.quorum)
    return {
        "auto": rules.auto,
        "quorum": rules.quorum,
        "missing": 0 if given or rules.auto else short,
        "approvers": list(rules.approvers),
        "two_person": rules.two_person,
        "reason_required": rules.reason_required,
        "votes": [
            {
                "by": vote.by,
                "at": _at(vote.at),
                "reason": vote.reason,
                "surface": vote.surface,
                "person": vote.person,
            }
            for vote in update.votes
        ],
        "by": list(given.by) if given else [],
        "until": _at(given.until) if given else None,
    }


def _background_row(said: Background) -> Row:
    return {
        "nodes": said.nodes,
        "estimate_seconds": said.estimate_seconds,
        "os_version": said.os_version,
        "signature": said.signature,
        "from_image": said.from_image,
        "from_release": said.from_release,
        "from_base": said.from_base,
        "from_recipe": said.from_recipe,
        "from_os_version": said.from_os_version,
        "complaints": list(said.complaints),
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


def job_row(job: Job, progress: Mapping[str, object] | None = None) -> Row:
    """A build or an update; `job` says which."""
    if isinstance(job, Build):
        return {"job": "build", **build_row(job)}
    return {"job": "update", **update_row(job, progress)}


def audit_row(entry: "AuditEntry") -> Row:
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
        "surface": entry.surface,
        "binding": entry.binding,
    }


def cell(value: object) -> str:
    """Return a value as a spreadsheet takes for text: anybody may have written a reason."""
    text = str(value if value is not None else "").replace("\0", "")
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text[:1] in _BLANKS else text


def freeze_row(freeze: Freeze) -> Row:
    """One freeze; of a single pool it is a hold."""
    cluster, _, pool = freeze.scope.partition("/")
    return {
        "scope": freeze.scope,
        "cluster": cluster,
        "pool": pool,
        "by": freeze.by,
        "because": freeze.because,
        "at": _at(freeze.at),
        "until": _at(freeze.until),
        "sentence": timing.freeze_sentence(freeze),
    }


async def freezes(store: "Store", *, now: datetime) -> list[Row]:
    """Every freeze and hold that is in force, wherever."""
    rows = [(one, freeze_row(one)) for one in await store.freezes()]
    return [r for f, r in rows if timing.in_force((f,), r["cluster"], r["pool"], now=now)]


def silence_row(silence: Silence) -> Row:
    """One silence; an empty `rule` is every rule."""
    cluster, _, pool = silence.scope.partition("/")
    return {
        "id": silence.id,
        "scope": silence.scope,
        "cluster": cluster,
        "pool": pool,
        "rule": silence.rule,
        "by": silence.by,
        "because": silence.because,
        "at": _at(silence.at),
        "until": _at(silence.until),
        "sentence": quiet.sentence(silence),
    }


async def silences(store: "Store", *, now: datetime) -> list[Row]:
    """Every silence that is in force, wherever; the one that ends first comes first."""
    on = [one for one in await store.silences() if now < one.until]
    return [silence_row(one) for one in sorted(on, key=lambda one: (one.until, one.id))]


def plan_row(plan: "Plan") -> Row:
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
        "complaints": list(seen.complaints) if seen else [],
        "unmet": list(plan.unmet),
        "update": update_row(plan.active) if plan.active else None,
    }


async def status(
    store: "Store", places: Sequence[Place], *, now: datetime, settings: "Settings | None" = None
) -> Row:
    """The fleet: each configured pool with its last decision, what is active, what ended last.

    With `settings` each pool has its mode too.
    """
    views, active, ended, dead, frozen = await asyncio.gather(
        store.views(),
        store.jobs(JobKind.UPDATE, ended=False),
        store.jobs(JobKind.UPDATE, ended=True),
        store.dead(),
        freezes(store, now=now),
    )
    return {
        "at": _at(now),
        "pools": [
            {**pool_row(views.get(f"pool:{c}/{p}"), c, p), **_modes(settings, c, p)}
            for c, p in places
        ],
        "active": await moving_rows(store, updates_of(active)),
        "recent": [update_row(u) for u in updates_of(ended)[:RECENT]],
        "freezes": frozen,
        "dead_letters": len(dead),
    }


async def moving_rows(store: "Store", updates: Sequence[Update]) -> list[Row]:
    """Updates, those that have not ended with what moves about them."""

    async def row(update: Update) -> Row:
        return update_row(update, {} if update.is_ended else await _progress(store, update))

    return await asyncio.gather(*(row(update) for update in updates))


def pool_row(view: Mapping[str, object] | None, cluster: str, pool: str) -> Row:
    """What the last look at a pool said."""
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
        "unmet": [],
        "unverified": "",
    }
    return {**nothing, **(view or {})}


def _modes(settings: "Settings | None", cluster: str, pool: str) -> Row:
    configured = settings.pool(cluster, pool) if settings else None
    return {
        "mode": str(configured.mode) if configured else "",
        "modes": {change: str(mode) for change, mode in configured.modes.items()}
        if configured
        else {},
    }


async def update_page(store: "Store", update: Update) -> Row:
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


async def _progress(store: "Store", update: Update) -> Mapping[str, object]:
    """What moves about an update; while it waits for its build, what that waits for."""
    own = await store.progress(update.id)
    if update.state is UpdateState.WAITING_FOR_BUILD and update.build:
        return {**own, **await store.progress(update.build)}
    return own


def updates_of(found: Iterable["Stored"]) -> list[Update]:
    """Return the updates among what the store gave."""
    return [stored.job for stored in found if isinstance(stored.job, Update)]


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _utc(moment: object) -> str | None:
    """A moment that was kept as text, in UTC."""
    if not isinstance(moment, str) or not moment:
        return None
    return _at(datetime.fromisoformat(moment).astimezone(UTC))

"""Findings as JSON: the same of `relayer drift`, of the API and of pages.

The names are an interface: add, do not rename. Times are ISO 8601 in UTC, images by digest.
"""

from datetime import datetime, timedelta
from typing import Any

from watcher.core.lag import Lag
from watcher.core.sight import is_ahead, is_old
from watcher.core.state import Block, Finding, State, Surveyed

QUIET = frozenset({State.STOCK, State.CURRENT, State.EMPTY})
"""States that nobody needs to do anything about; they come last."""
FRESH = timedelta(minutes=2)
"""API servers send a bookmark about once a minute: what was seen so lately is of now."""


def cluster_row(seen: Surveyed) -> dict[str, Any]:
    """Return one cluster with its pools."""
    return {
        "cluster": seen.cluster,
        "version": seen.version or None,
        "release": str(seen.release) or None,
        "stage": str(seen.stage.kind) if seen.version else None,
        "stage_sentence": seen.stage.sentence,
        "problems": list(seen.problems),
        "blocks": [_block(one) for one in seen.said],
        "observed_at": _iso(seen.observed_at),
        "pools": [pool_row(one) for one in seen.findings],
    }


def pool_row(found: Finding) -> dict[str, Any]:
    """Return one pool as JSON."""
    override = found.override
    return {
        "pool": found.pool,
        "state": str(found.state),
        "flags": [
            {"flag": str(f.flag), "since": _iso(f.since), "said": f.said} for f in found.flags
        ],
        "sentence": found.sentence,
        "base": {
            "expected": found.base_expected or None,
            "actual": found.base_actual or None,
            "source": found.base_source or None,
        },
        "override": override
        and {
            "machineconfig": override.machineconfig,
            "image": str(override.image),
            "by": override.by,
        },
        "lag": {
            "releases": found.lag.releases,
            "minors": found.lag.minors,
            "days": found.lag.days,
            "said_by": str(found.lag.said_by),
        },
        "blocks": [_block(one) for one in found.blocks],
        "nodes": {
            "total": found.nodes.total,
            "updated": found.nodes.updated,
            "degraded": found.nodes.degraded,
        },
        "observed_at": _iso(found.observed_at),
        "evidence": dict(found.evidence),
    }


def urgency(one: Finding) -> tuple[bool, str, str]:
    """Order of findings for people: those that nobody needs to do anything about come last."""
    return (one.state in QUIET, one.cluster, one.pool)


def why(one: Finding) -> str:
    """Return its sentence, and its flags."""
    flags = ", ".join(str(raised.flag) for raised in one.flags)
    return f"{one.sentence} [{flags}]" if flags else one.sentence


def behind(lag: Lag) -> str:
    """Return how far behind, in words; empty if it is not, or nobody knows."""
    parts = ((lag.minors, "minor"), (lag.releases, "release"), (lag.days, "day"))
    return ", ".join(f"{n} {unit}{'s' if n != 1 else ''}" for n, unit in parts if n)


def is_stale(seen: Surveyed, *, now: datetime) -> bool:
    """Whether what is known of a cluster is not of now: never read, or out of sight since."""
    return is_old(seen.observed_at, now=now, most=FRESH)


def age_sentence(seen: Surveyed, *, now: datetime) -> str:
    """Return how old what is known of a cluster is, where that is worth a word; else empty."""
    if seen.observed_at.year == 1:
        return f"{seen.cluster} was not read yet"
    if not is_stale(seen, now=now):
        return ""
    if is_ahead(seen.observed_at, now=now):
        return f"{seen.cluster} was last seen before the clock was put back"
    age = now - seen.observed_at
    return f"{seen.cluster} was last seen {age.total_seconds() // 60:.0f} min ago"


def _block(one: Block) -> dict[str, str]:
    return {"target": one.target, "why": one.why}


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None

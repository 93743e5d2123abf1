"""What a pool keeps from happening: upgrades it stops, and certificates that its nodes may miss.

Rules: `skew`; machine-config-operator pkg/operator/status.go (Upgradeable of the cluster operator
machine-config) and sync.go (syncRequiredMachineConfigPools: an upgrade waits for some pools).
What the cluster itself says against an upgrade is read in `upgradeable`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeGuard

from watcher.core import mco, skew, upgradeable
from watcher.core.cluster import ClusterVersion, ClusterView, Node, Pool
from watcher.core.skew import Kubelets, Minor
from watcher.core.stages import is_completed, line
from watcher.core.state import Block
from watcher.core.upgradeable import Cause, Said

NEXT_MINOR, NEXT_PATCH, CERTIFICATES = "next minor", "next patch", "certificates"
"""Targets of a block, where no version is known or meant."""
REQUIRED_FOR_UPGRADE = "operator.machineconfiguration.openshift.io/required-for-upgrade"
ALWAYS_REQUIRED = ("master", "arbiter")
_VERSION = re.compile(r"(\d+)\.(\d+)(\.\d+)?")
_LAST_TO_WAIT_FOR_UPDATING = (4, 17)
"""Later ones call an updating pool upgradeable; some early 4.18 still say otherwise themselves."""
SIGNER = "kube-apiserver-to-kubelet-signer"
"""What kubelets know the API server by; a node gets the next one by way of its pool."""
LIFETIME, RENEWED_AFTER = timedelta(days=365), timedelta(days=292)
OVERLAP = LIFETIME - RENEWED_AFTER
"""For so long the old one is still good when the next one is there."""
_FIRST_YEAR, _LAST_YEAR = 1971, 9000


class Target(StrEnum):
    """What a pool can keep from happening, by kind."""

    PATCH = "patch"
    MINOR = "minor"
    CERTIFICATES = "certificates"


def target_of(block: Block, version: str) -> Target:
    """Return the kind of what is blocked in a cluster that has `version`; what cannot be told
    apart counts as the worse one, a minor upgrade."""
    if block.target == CERTIFICATES:
        return Target.CERTIFICATES
    if block.target == NEXT_PATCH:
        return Target.PATCH
    asked, has = _VERSION.match(block.target), _VERSION.match(version)
    is_patch = asked and has and asked[3] and asked.group(1, 2) == has.group(1, 2)
    return Target.PATCH if is_patch else Target.MINOR


def blocks(
    view: ClusterView,
    pool: Pool,
    nodes: Sequence[Node],
    *,
    now: datetime,
    paused_since: datetime | None = None,
) -> tuple[Block, ...]:
    """Return everything that `pool` keeps from happening, each with why.

    `nodes`: those of the pool. `paused_since`: None where nobody knows it.
    """
    seen = _Seen.of(view.cluster_version, pool, nodes)
    found = [*_stalled(seen), *_too_old(seen), *_not_well(seen)]
    told = {cause for cause, _ in found}
    found += [
        (said.cause, Block(target=seen.next_minor, why=f"pool {pool.name} is meant: {_said(said)}"))
        for said in seen.said
        if said.cause not in told and seen.is_meant_by(said)
    ]
    found += [*_unfinished(seen), *_certificates(pool, now, paused_since)]
    return tuple(dict.fromkeys(block for _, block in found))


def unmapped(view: ClusterView, nodes: Mapping[str, Sequence[Node]]) -> tuple[Block, ...]:
    """Return what the cluster says against a minor upgrade and that is about none of its pools.

    `nodes`: those of each pool, by the pool's name.
    """
    seen = [
        _Seen.of(view.cluster_version, pool, nodes.get(name, ()))
        for name, pool in view.pools.items()
    ]
    cv = view.cluster_version
    return tuple(
        Block(target=_next_minor(_release(cv)), why=_said(said))
        for said in (upgradeable.said(cv) if cv else ())
        if not any(one.is_meant_by(said) for one in seen)
    )


Found = tuple[Cause | None, Block]
"""A cause that the cluster may tell of as well; None: it never does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    cv: ClusterVersion | None
    release: Minor | None
    pool: Pool
    nodes: frozenset[str]
    kubelets: Kubelets | None
    said: tuple[Said, ...]

    @classmethod
    def of(cls, cv: ClusterVersion | None, pool: Pool, nodes: Sequence[Node]) -> "_Seen":
        release = _release(cv)
        return cls(
            cv=cv,
            release=release,
            pool=pool,
            nodes=frozenset(node.meta.name for node in nodes),
            kubelets=skew.kubelets(nodes, release) if release else None,
            said=upgradeable.said(cv) if cv else (),
        )

    @property
    def next_minor(self) -> str:
        return _next_minor(self.release)

    @property
    def is_required(self) -> bool:
        """Whether an upgrade is completed only when this pool is."""
        return self.pool.name in ALWAYS_REQUIRED or REQUIRED_FOR_UPGRADE in self.pool.meta.labels

    def is_meant_by(self, said: Said) -> bool:
        lags = bool(self.release and self.kubelets and skew.blocked(self.release, self.kubelets))
        return said.is_about(self.pool, self.nodes, lags=lags)


def _release(cv: ClusterVersion | None) -> Minor | None:
    try:
        return mco.minor_of(cv.desired_version) if cv else None
    except ValueError:
        return None


def _name(release: Minor) -> str:
    return f"{release[0]}.{release[1]}"


def _next_minor(release: Minor | None) -> str:
    return _name((release[0], release[1] + 1)) if release else NEXT_MINOR


def _said(said: Said) -> str:
    """Who says what, as a sentence."""
    by = f"cluster operator {line(said.operator, limit=100)}" if said.operator else "the cluster"
    reason = f" ({line(said.reason, limit=100)})" if said.reason else ""
    return f"{by} lets no minor upgrade begin{reason}: {line(said.message)}"


def _stalled(seen: _Seen) -> Iterator[Found]:
    """A pool that every upgrade waits for, and that does not move."""
    pool = seen.pool
    hindered = [
        w for w, is_so in (("degraded", pool.is_true("Degraded")), ("paused", pool.paused)) if is_so
    ]
    if seen.cv is None or not seen.is_required or not hindered:
        return
    what = f"pool {pool.name} is {' and '.join(hindered)}"
    version = line(seen.cv.desired_version, limit=100)
    if is_completed(seen.cv) or not version:
        why = f"{what}: an upgrade waits for this pool, so the next one would not complete"
        yield None, Block(target=NEXT_PATCH, why=why)
    else:
        why = f"{what}: the upgrade to {version} waits for this pool and cannot complete"
        yield None, Block(target=version, why=why)


def _too_old(seen: _Seen) -> Iterator[Found]:
    if not (seen.release and seen.kubelets):
        return
    for target, why in skew.blocked(seen.release, seen.kubelets):
        name = _name(target)
        why = f"pool {seen.pool.name} blocks the upgrade to {name}: {why}"
        yield Cause.KUBELETS, Block(target=name, why=why)


def _not_well(seen: _Seen) -> Iterator[Found]:
    """What machine-config says of the whole cluster as soon as one pool is so."""
    pool, release = seen.pool, seen.release
    waits = release is not None and release <= _LAST_TO_WAIT_FOR_UPDATING
    rules = (
        (Cause.DEGRADED, pool.is_true("Degraded"), "it is degraded"),
        (Cause.INTERRUPTED, pool.is_true("BuildInterrupted"), "the build of its image broke off"),
        (Cause.UPDATING, waits and pool.is_true("Updating"), "it is still updating"),
    )
    for cause, is_so, what in rules:
        if is_so:
            to = seen.next_minor if release else f"the {NEXT_MINOR}"
            why = f"pool {pool.name} blocks the upgrade to {to}: {what}"
            yield cause, Block(target=seen.next_minor, why=why)


def _unfinished(seen: _Seen) -> Iterator[Found]:
    """A pool that is paused over an update between extended releases, at the end of the way.

    On the release between (4.19 of 4.18 → 4.20) it is meant to wait.
    """
    pool, release, kubelets = seen.pool, seen.release, seen.kubelets
    pending = pool.spec_configuration != pool.status_configuration
    if not (release and pool.paused and pending and skew.is_last_stop(release)):
        return
    if kubelets and not kubelets.behind:
        return  # it waits with something else than a release
    number = kubelets.number_behind if kubelets else pool.machine_count
    nodes = "1 node has" if number == 1 else f"{number} nodes have"
    to, config = _name(release), line(pool.spec_configuration, limit=100)
    why = (
        f"pool {pool.name} is paused and {nodes} yet to take {config}: the upgrade to {to} is not "
    )
    yield None, Block(target=to, why=f"{why}finished")


def _certificates(pool: Pool, now: datetime, paused_since: datetime | None) -> Iterator[Found]:
    if not pool.paused:
        return
    since = min(_utc(paused_since), _utc(now)) if _is_told(paused_since) else None
    listed = [(_utc(c.expiry), c.subject) for c in pool.cert_expiries if _is_told(c.expiry)]
    ends: datetime | None = None
    why = f"pool {pool.name} is paused: its nodes may miss the next "
    if signers := sorted(ends for ends, subject in listed if SIGNER in subject):
        ends = _theirs(signers, since)
        why += f"{SIGNER}, and theirs {_ends(ends, now)}"
    elif since:
        # Theirs was not due for renewal yet when the pool was paused.
        ends = since + OVERLAP
        why += f"{SIGNER}, and theirs {_ends(ends, now, estimated=True)}"
    elif listed:
        ends, subject = min(listed)
        why += f"certificates, and {line(subject, limit=100)} {_ends(ends, now)}"
    else:
        why += f"{SIGNER}: one lasts {LIFETIME.days} days, the next comes after "
        why += f"{RENEWED_AFTER.days}, and since when it is paused nobody knows"
    yield None, Block(target=CERTIFICATES, why=why, until=ends)


def _theirs(listed: Sequence[datetime], since: datetime | None) -> datetime:
    """Return when the newest signer ends that the nodes have for sure; `listed` ascends.

    What is listed is the control plane's. A paused pool has of it what was there when it was
    paused: where nobody knows that moment, the one that ends first counts.
    """
    if since is None:
        return listed[0]
    if had := [ends for ends in listed if ends - LIFETIME <= since]:
        return had[-1]
    ends = listed[0]
    while ends - LIFETIME > since:
        ends -= RENEWED_AFTER  # the one before it, no longer listed
    return ends


def _is_told(at: datetime | None) -> TypeGuard[datetime]:
    """Whether it is a moment at all: what Go leaves unset comes as the year 1."""
    return at is not None and _FIRST_YEAR <= at.year <= _LAST_YEAR


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _ends(at: datetime, now: datetime, *, estimated: bool = False) -> str:
    day, left = f"{at:%Y-%m-%d}", at - _utc(now)
    if left <= timedelta():
        return f"{'may have ended' if estimated else 'ended'} on {day}"
    days = f"in {left.days} day{'' if left.days == 1 else 's'} ({day})"
    return f"ends {days}{' at the earliest' if estimated else ''}"

"""`ports.Signatures` by gpgv: which keys must have signed, where signatures are, what they prove.

As openshift/library-go pkg/verify does it: each `verifier-public-key-*` is a keyring of its own and
must be satisfied by some signature, each by another if need be; the cluster's own ConfigMaps come
first, then the stores, side by side.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from watcher.clients.registry.errors import clean
from watcher.clients.signatures import armor
from watcher.clients.signatures.gpgv import Checker, NotInstalled
from watcher.clients.signatures.stores import MOST_SIGNATURES, MOST_STORES, Fetcher, named
from watcher.core.cluster import ClusterView
from watcher.core.facts import ClusterName, Digest, Malformed, Pullspec
from watcher.core.genuine import Proof, Verdict, parse_statement
from watcher.ports import Clock, OutsideError, Refused, ReleaseSignatures, Transient
from watcher.settings_registry import ReleaseSettings

ASKED_AGAIN_SECONDS = 60.0
"""A verdict is given again for this long without asking anybody: 100 pools look within seconds."""
CHECKED_AGAIN_SECONDS = 24 * 3600.0
"""A good verdict is kept at most so long: keys expire too, and only gpgv knows when."""
LOOK_SECONDS = 60.0
"""The longest one search may take, whatever is found."""
MOST_KEPT = 512
"""Verdicts kept; a cluster goes through some dozen releases in its life."""
_MOST_KEYS = 16
_MOST_TOLD = 3
"""Problems that are told; there may be one for each of many signatures."""
CLUSTER = "cluster"
"""`Verdict.source` of signatures in the cluster's ConfigMaps."""

K = TypeVar("K")
Keys = Mapping[str, bytes]
"""Name of a verifier → its keyring, armored or binary."""


class Trusting(Protocol):
    """What is asked of a cluster; `ports.Cluster` can do it, and a command's look at one too."""

    def view(self) -> ClusterView: ...

    async def release_signatures(self, release: Digest) -> ReleaseSignatures: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    verdict: Verdict
    until: datetime


@dataclass(slots=True)
class _Search:
    """One search for the signatures of one release."""

    release: Digest
    remaining: dict[str, bytes]
    """Verifiers, with their binary keyrings, that no signature satisfied yet."""
    signers: dict[str, str] = field(default_factory=dict)
    """Fingerprint → where its signature was found."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong with signatures that are no good for anybody."""
    problems: list[str] = field(default_factory=list)
    """Places that could not be asked."""
    expires: datetime | None = None


class GpgSignatures:
    """`ports.Signatures`. Remembers good verdicts until they expire (a day at most), others for a
    minute."""

    def __init__(
        self,
        settings: ReleaseSettings,
        clusters: Mapping[ClusterName, Trusting],
        *,
        gpgv: Checker,
        stores: Fetcher,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._clusters = clusters
        self._gpgv = gpgv
        self._stores = stores
        self._clock = clock
        self._lately: dict[tuple[ClusterName, Digest], _Kept] = {}
        self._good: dict[tuple[Digest, str], _Kept] = {}
        """By digest and the fingerprint of all keys: as good in another cluster."""
        self._asking: WeakValueDictionary[tuple[ClusterName, Digest], asyncio.Lock] = (
            WeakValueDictionary()
        )

    async def verdict(
        self, cluster: ClusterName, release: Pullspec, *, fresh: bool = False
    ) -> Verdict:
        """See `ports.Signatures`. However many ask at once, each place is asked once."""
        key = (cluster, release.digest)
        lock = self._asking.setdefault(key, asyncio.Lock())
        async with lock:
            kept = self._lately.get(key)
            if kept is not None and self._is_fresh(kept) and not fresh:
                return kept.verdict
            verdict, expires = await self._of_cluster(cluster, release.digest, fresh=fresh)
            until = self._clock.now() + timedelta(seconds=ASKED_AGAIN_SECONDS)
            _keep(self._lately, key, _Kept(verdict, min(until, expires or until)))
            return verdict

    async def verdict_with(self, material: ReleaseSignatures, release: Digest) -> Verdict:
        """The verdict with what is given and the configured keys and stores, nothing remembered:
        for commands that look at no cluster. Raises nothing of the ports."""
        verdict, _ = await self._of(material, material.stores, release)
        return verdict

    async def _of_cluster(
        self, name: ClusterName, release: Digest, *, fresh: bool
    ) -> tuple[Verdict, datetime | None]:
        cluster = self._clusters.get(name)
        if cluster is None:
            because = f"cluster {name} is not looked at here"
            return Verdict(proof=Proof.UNCHECKED, because=because), None
        try:
            material = await cluster.release_signatures(release)
        except OutsideError as error:
            if fresh and isinstance(error, Transient):  # tried again, and nothing is given up
                raise
            because = f"the keys that must have signed it cannot be read: {error}"
            return Verdict(proof=Proof.UNREACHABLE, because=because), None
        seen = cluster.view().cluster_version
        own = None if seen is None else seen.signature_stores
        return await self._of(material, material.stores if own is None else own, release)

    async def _of(
        self, material: ReleaseSignatures, stores: Iterable[str], release: Digest
    ) -> tuple[Verdict, datetime | None]:
        try:
            keyrings = await self._keyrings(material.keys)
        except Malformed as error:
            return Verdict(proof=Proof.UNCHECKED, because=str(error)), None
        known = (release, _mark(keyrings.values()))
        kept = self._good.get(known)
        if kept is not None and self._is_fresh(kept):
            return kept.verdict, kept.until
        search = _Search(release, dict(keyrings))
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self._look(search, material.signatures, stores)
        except TimeoutError:
            search.problems.append(f"the search was given up after {LOOK_SECONDS:g} s")
        except NotInstalled:
            because = "gpgv is not installed here: install gnupg2 (Debian: gpgv)"
            return Verdict(proof=Proof.UNCHECKED, because=because), None
        verdict = _concluded(search, tuple(keyrings))
        if verdict.proof is Proof.GOOD:
            until = self._clock.now() + timedelta(seconds=CHECKED_AGAIN_SECONDS)
            _keep(self._good, known, _Kept(verdict, min(until, search.expires or until)))
        return verdict, search.expires

    async def _keyrings(self, given: Keys) -> dict[str, bytes]:
        """Binary keyrings by verifier; raise Malformed, with what to do, if none can be had."""
        keys = given
        if not keys and self._settings.keys:
            keys = await asyncio.to_thread(_configured, self._settings.keys)
        if not keys:
            raise Malformed(
                "no key says who must have signed it: the cluster has no ConfigMap"
                " release-verification in openshift-config-managed; name the keys in release.keys"
            )
        if len(keys) > _MOST_KEYS:
            raise Malformed(f"more than {_MOST_KEYS} keys must have signed it")
        found = {}
        for name in sorted(keys):
            try:
                found[name] = armor.keyring(keys[name])
            except Malformed as error:  # to go on without it would ask for less than all
                raise Malformed(f"{clean(name)} cannot be used: {error}") from error
        return found

    async def _look(
        self, search: _Search, in_cluster: tuple[bytes, ...], stores: Iterable[str]
    ) -> None:
        for signature in in_cluster:
            await self._try(search, signature, CLUSTER)
        places = list(dict.fromkeys((*stores, *self._settings.signature_stores)))
        if len(places) > MOST_STORES:
            search.problems.append(f"only {MOST_STORES} of {len(places)} stores are asked")
        if not search.remaining or not places:
            return
        tasks: list[asyncio.Task[None]] = []

        async def ask(store: str) -> None:
            found = await self._stores.fetch(store, search.release)
            for signature in found.signatures[:MOST_SIGNATURES]:
                await self._try(search, signature, named(store))
            if found.problem:
                search.problems.append(found.problem)
            if not search.remaining:  # nobody waits for a slow store then
                for task in tasks:
                    task.cancel()

        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(ask(store)) for store in places[:MOST_STORES]]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _try(self, search: _Search, signature: bytes, source: str) -> None:
        """See which verifiers this signature satisfies."""
        wrong: list[str] = []
        is_good = False
        for name, keyring in tuple(search.remaining.items()):
            try:
                signed = await self._gpgv.check(signature, keyring, self._clock.now())
                parse_statement(signed.text, search.release)
            except Malformed as error:
                wrong.append(str(error))
                continue
            except Refused as error:  # a message made to keep gpgv busy must not hide a good one
                search.problems.append(str(error))
                return
            search.remaining.pop(name, None)
            search.signers.setdefault(signed.fingerprint, source)
            ends = [moment for moment in (search.expires, signed.expires) if moment is not None]
            search.expires = min(ends, default=None)
            is_good = True
        if not is_good:
            search.wrong += wrong[:1]

    def _is_fresh(self, kept: _Kept) -> bool:
        return self._clock.now() < kept.until


def _concluded(search: _Search, verifiers: tuple[str, ...]) -> Verdict:
    signers = tuple(search.signers)
    source = ", ".join(dict.fromkeys(search.signers.values()))
    if not search.remaining:
        because = "every key that must have signed it has"
        return Verdict(proof=Proof.GOOD, because=because, signers=signers, source=source)
    missing = ", ".join(clean(name) for name in search.remaining)
    unasked = f"; not asked: {_some(search.problems)}" if search.problems else ""
    if search.wrong and not signers:
        because = f"no signature of it is good: {_some(search.wrong)}{unasked}"
        return Verdict(proof=Proof.BAD, because=because)
    if signers:
        have = ", ".join(clean(name) for name in verifiers if name not in search.remaining)
        because = f"signed by {have}, but not by {missing}, and all must have signed{unasked}"
    else:
        because = f"no signature by {missing} was found{unasked}"
    proof = Proof.UNREACHABLE if search.problems else Proof.MISSING
    return Verdict(proof=proof, because=because, signers=signers, source=source)


def _some(sentences: list[str]) -> str:
    distinct = list(dict.fromkeys(sentences))
    more = f" and {len(distinct) - _MOST_TOLD} more" if len(distinct) > _MOST_TOLD else ""
    return "; ".join(distinct[:_MOST_TOLD]) + more


def _mark(keyrings: Iterable[bytes]) -> str:
    """The same for the same keys, in whatever order and under whatever names."""
    parts = sorted(hashlib.sha256(keyring).digest() for keyring in keyrings)
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _configured(paths: tuple[Path, ...]) -> dict[str, bytes]:
    """The configured keys; blocking. Raise Malformed where a file cannot be read."""
    found = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                found[str(path)] = file.read(armor.MOST_BYTES + 1)
        except OSError as error:
            raise Malformed(f"key file {path} cannot be read: {error.strerror}") from error
    return found


def _keep(kept: dict[K, _Kept], key: K, value: _Kept) -> None:
    """Keep it as the newest; the oldest goes where there are too many."""
    kept.pop(key, None)
    while len(kept) >= MOST_KEPT:
        kept.pop(next(iter(kept)))
    kept[key] = value
